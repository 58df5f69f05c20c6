import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parse } from 'yaml'
import { z } from 'zod'
import { duration } from '../option.ts'
import { alternatives, configJsonSchema, formatDuration, type JsonSchema, schemasAt } from './json-schema.ts'
import { configReference } from './reference.ts'

const example: unknown = parse(readFileSync(new URL('example.yaml', import.meta.url), 'utf8'))
const guide = readFileSync(new URL('../../../../docs/guide/configuration.md', import.meta.url), 'utf8')

test('the exported JSON Schema accepts the example, and refuses what we refuse', () => {
  const schema = z.fromJSONSchema(JSON.parse(JSON.stringify(configJsonSchema())))
  assert.equal(schema.safeParse(example).error?.message, undefined)
  assert.equal(schema.safeParse({ ...Object(example), listners: {} }).success, false)
  assert.equal(schema.safeParse({ ...Object(example), audit: undefined }).success, false)
})

test('every default that the schema offers is one that may be written', () => {
  const visit = (node: unknown, path: string): void => {
    if (typeof node !== 'object' || node === null) return
    if ('default' in node && 'pattern' in node && typeof node.pattern === 'string') {
      assert.match(String(node.default), new RegExp(node.pattern), path)
      assert.equal(typeof node.default, 'string', path)
    }
    for (const [key, inner] of Object.entries(node)) visit(inner, `${path}/${key}`)
  }
  visit(configJsonSchema(), '')
})

test('every option says what it is for', () => {
  const silent: string[] = []
  const visit = (schema: JsonSchema, path: string): void => {
    for (const member of alternatives(schema)) {
      for (const [key, property] of Object.entries(member.properties ?? {})) {
        // A literal (`door: http`) tells kinds apart, and is what it says.
        if (property.description === undefined && property.const === undefined) silent.push(path + key)
        visit(property, `${path}${key}.`)
      }
      if (member.items) visit(member.items, `${path}[].`)
      if (typeof member.additionalProperties === 'object') visit(member.additionalProperties, `${path}*.`)
    }
  }
  visit(configJsonSchema(), '')
  assert.deepEqual(silent, [])
})

test('a duration is written as it is read', () => {
  for (const text of ['0ms', '250ms', '1s', '90s', '1m', '65s', '1h', '1d', '1001ms']) {
    assert.equal(formatDuration(duration.parse(text)), text)
  }
})

test('the schema at a path follows the values on the way', () => {
  const keys = schemasAt(['listeners', 'sql'], example).flatMap(schema => Object.keys(schema.properties ?? {}))
  assert.ok(keys.includes('max_frame_bytes') && !keys.includes('max_body_bytes') && !keys.includes('token_file'))
  assert.deepEqual(schemasAt(['no', 'such', 0, 'path'], example), [])
})

test('docs/guide/configuration.md has the reference as the schema says it today', () => {
  const [, rest = ''] = guide.split('<!-- reference: bawn schema --markdown -->\n')
  assert.equal(rest.trim(), configReference().trim(), 'run: bawn schema --markdown, and put it in the guide')
})

test('the guide shows the example as it is', () => {
  const text = readFileSync(new URL('example.yaml', import.meta.url), 'utf8')
  assert.ok(guide.includes(`\`\`\`yaml\n${text}\`\`\``), 'the example in docs/guide/configuration.md is another one')
})
