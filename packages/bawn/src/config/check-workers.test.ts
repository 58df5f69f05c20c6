import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { checkWorkers } from './check-workers.ts'
import { draftOf } from './draft.ts'
import { noPluginKinds } from './kinds.ts'
import { parseConfig } from './load.ts'
import { plainSchema } from './schema.ts'

const example = readFileSync(new URL('example.yaml', import.meta.url), 'utf8')

function problems(more: string): readonly string[] {
  const loaded = parseConfig('/etc/bawn/bawn.yaml', new TextEncoder().encode(`${example}\n${more}`))
  const found = loaded.kind === 'ok' ? loaded.warnings : loaded.problems
  return found.map(({ level, path, message }) => `${level} ${path}: ${message}`)
}

const before = problems('')
const rows: readonly (readonly [name: string, more: string, wanted: RegExp | undefined])[] = [
  ['one', 'workers: 1', undefined],
  ['two', 'workers: 2', undefined],
  ['none', 'workers: 0', /^error workers: /],
  ['half of one', 'workers: 1.5', /^error workers: /],
  ['too many', 'workers: 65', /^error workers: /],
  ['another word', 'workers: all', /^error workers: /],
]

for (const [name, more, wanted] of rows) {
  test(`workers: ${name}`, () => {
    const found = problems(more).filter(problem => !before.includes(problem))
    if (wanted === undefined) assert.deepEqual(found, [])
    else assert.match(found.join('\n'), wanted)
  })
}

const drafts: readonly (readonly [name: string, value: object, platform: string, wanted: RegExp | undefined])[] = [
  ['another system', {}, 'darwin', /^error workers: several workers share a port/],
  [
    'connections',
    { upstreams: { a: { url: 'http://a', max_connections: 2 } } },
    'linux',
    /^error upstreams\.a: max_con/,
  ],
  ['enough of them', { upstreams: { a: { url: 'http://a', max_connections: 3 } } }, 'linux', undefined],
  ['tokens', { tokens: { kind: 'memory', max_per_subject: 2 } }, 'linux', /^error tokens: max_per_subject/],
  [
    'a pool',
    {
      databases: {
        a: {
          ...{ host: 'a', tls: 'off', login: { user: 'a', password: 'env:A' }, allow: ['authenticated'] },
          pool: { mode: 'session', size: 2 },
        },
      },
    },
    'linux',
    /^error databases\.a\.pool: the pool has 2 connections/,
  ],
  [
    'plug-ins',
    { plugins: { a: { module: './a.js' } } },
    'linux',
    /^warning plugins\.a: 3 workers load this plug-in 3 times/,
  ],
]

for (const [name, value, platform, wanted] of drafts) {
  test(`three workers and ${name}`, () => {
    const found: string[] = []
    const check = (workers: number): void =>
      checkWorkers(
        draftOf({ ...value, workers }, plainSchema, noPluginKinds),
        (level, path, _at, message) => found.push(`${level} ${path.join('.')}: ${message}`),
        platform,
      )
    check(1)
    assert.deepEqual(found, [])
    check(3)
    if (wanted === undefined) assert.deepEqual(found, [])
    else assert.match(found.join('\n'), wanted)
  })
}
