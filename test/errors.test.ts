import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { type ErrorSpec, errors } from '../packages/bawn/src/error.ts'

const root = join(import.meta.dirname, '..')

/** The envelope has no status and no SQLSTATE, so its codes are a type and not a table: they are read from the source. */
function envelopeCodes(): readonly string[] {
  const source = readFileSync(join(root, 'packages/envelope/src/error.ts'), 'utf8')
  return [...new Set([...source.matchAll(/'(envelope\.[a-z_]+)'/g)].map(match => match[1] ?? ''))]
}

const codes: readonly string[] = [...Object.keys(errors), ...envelopeCodes()]

test('docs/errors.md has one heading per code and no other, each with something below it', () => {
  const sections = readFileSync(join(root, 'docs/errors.md'), 'utf8').split(/^## /m).slice(1)
  const headings = sections.map(section => /^`([^`]+)`\n/.exec(section)?.[1] ?? section.split('\n')[0])
  assert.deepEqual([...headings].sort(), [...codes].sort())
  for (const section of sections)
    assert.match(section, /\n\n\S.{20,}/, `nothing is said about ${section.split('\n')[0]}`)
})

test('codes are area.snake_case, statuses and SQLSTATEs are well-formed, hints are sentences', () => {
  for (const [code, spec] of Object.entries<ErrorSpec>(errors)) {
    assert.match(code, /^[a-z]+\.[a-z][a-z0-9_]*$/)
    assert(spec.status >= 400 && spec.status <= 599, `${code}: status ${spec.status}`)
    assert.match(spec.sqlstate, /^[0-9A-Z]{5}$/, code)
    assert.match(spec.hint, /^[A-Z].{10,}$/, code)
    assert(!spec.hint.endsWith('.'), `${code}: hints have no full stop`)
  }
})

test('who is to blame and the HTTP status do not contradict each other', () => {
  for (const [code, spec] of Object.entries<ErrorSpec>(errors)) {
    if (spec.blame === 'gateway') assert(spec.status >= 500, code)
    if (spec.blame === 'upstream') assert([502, 503, 504].includes(spec.status), `${code}: ${spec.status}`)
  }
})
