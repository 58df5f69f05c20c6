import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parseConfig } from './load.ts'

const example = readFileSync(new URL('example.yaml', import.meta.url), 'utf8')

/** The example with a section of grants and one more policy. */
function problems(grants: string, policy = '', edit = (text: string) => text): readonly string[] {
  const text = edit(example.replace('policies:\n', policy === '' ? 'policies:\n' : `policies:\n  readers: ${policy}\n`))
  const loaded = parseConfig('/etc/bawn/bawn.yaml', new TextEncoder().encode(`${text}\n${grants}\n`))
  const found = loaded.kind === 'ok' ? loaded.warnings : loaded.problems
  return found.map(({ level, path, message, suggestion }) => `${level} ${path}: ${message}; ${suggestion ?? ''}`)
}

const good = 'grants: { accounts: staff }'
const table = '{ grant: DQL on table shop.public.people }'
const legacy = (text: string) =>
  text.replace('accounts:\n', 'accounts:\n  legacy: { kind: file, path: .htpasswd, format: htpasswd }\n')
const rename = (name: string) => (text: string) =>
  text.replace(/^ {2}staff:\n {4}kind: sqlite/m, `  ${name}:\n    kind: sqlite`)

const rows: readonly (readonly [name: string, found: readonly string[], wanted: readonly RegExp[]])[] = [
  ['a store', problems(good), []],
  ['databases', problems('grants: { accounts: staff, databases: [shop] }'), []],
  ['a grant', problems(good, table), []],
  ['grants', problems(good, '{ grant: [DQL on schema shop.public, AL on cluster] }'), []],
  ['roles and a grant', problems(good, '{ roles: [support], grant: "DDL on database shop" }'), []],
  [
    'a store that is none',
    problems('grants: { accounts: staf }'),
    [/^error grants.accounts: no account store is called "staf"; did you mean "staff"/],
  ],
  ['no store', problems('grants: {}'), [/missing key "accounts"/]],
  [
    'a misspelt key',
    problems('grants: { accounts: staff, superuser: [a] }'),
    [/unknown key "superuser".*did you mean "superusers"/],
  ],
  [
    'a store that holds none',
    problems('grants: { accounts: legacy }', '', legacy),
    [/^error grants.accounts: legacy is of kind file, which holds no grants/],
  ],
  [
    'a database that is none',
    problems('grants: { accounts: staff, databases: [shp] }'),
    [/grants.databases.0: no database is called "shp"; did you mean "shop"/],
  ],
  ['no databases at all', problems('grants: { accounts: staff, databases: [] }'), [/needs at least one entry/]],
  [
    'superusers are said aloud',
    problems('grants: { accounts: staff, superusers: [boss, root] }'),
    [/^warning grants.superusers.0: boss of accounts.staff needs no grant/, /^warning grants.superusers.1: root/],
  ],
  [
    'a store called like an issuer',
    problems('grants: { accounts: corp }', '', rename('corp')),
    [/cannot be told from somebody of issuers.corp/],
  ],
  [
    'a store called like a mechanism',
    problems('grants: { accounts: certificate }', '', rename('certificate')),
    [/cannot be told from somebody of mechanism certificate/],
  ],
  [
    'a policy that asks for a grant where there are none',
    problems('', table),
    [/^error policies.readers.grant: a grant needs the section grants/],
  ],
  [
    'of a database that is none',
    problems(good, '{ grant: DQL on table shp.public.people }'),
    [/^error policies.readers.grant: no database is called "shp"; did you mean "shop"/],
  ],
  [
    'of a privilege that is none',
    problems(good, '{ grant: SELECT on table shop.public.people }'),
    [/policies.readers.grant must be a privilege and what it is on/],
  ],
  [
    'of a table without its schema',
    problems(good, '{ grant: DQL on table people }'),
    [/must be a privilege and what it is on/],
  ],
  [
    'of a name in capitals',
    problems(good, '{ grant: DQL on table shop.public.People }'),
    [/must be a privilege and what it is on/],
  ],
  [
    'one of several that is none',
    problems(good, '{ grant: [AL on cluster, AL] }'),
    [/policies.readers.grant\[1\] must be a privilege and what it is on/],
  ],
  ['no grant at all', problems(good, '{ grant: [] }'), [/needs at least one entry/]],
  ['a number', problems(good, '{ grant: 5 }'), [/policies.readers.grant must be text or a list/]],
  [
    'a policy that asks for nothing',
    problems(good, '{}'),
    [/^error policies.readers: policies.readers needs roles, scopes, claims, grant or cel/],
  ],
  [
    'a misspelt policy',
    problems(good, '{ grants: AL on cluster }'),
    [/needs roles, scopes, claims, grant or cel/, /unknown key "grants" in policies.readers; did you mean "grant"/],
  ],
]

for (const [name, found, wanted] of rows) {
  test(`grants: ${name}`, () => {
    assert.equal(found.length, wanted.length, found.join('\n'))
    for (const [index, pattern] of wanted.entries()) assert.match(found[index] ?? '', pattern)
  })
}

test('what is said stands at its place in the file', () => {
  const loaded = parseConfig(
    '/etc/bawn/bawn.yaml',
    new TextEncoder().encode(`${example}\ngrants: { accounts: staf }\n`),
  )
  assert(loaded.kind === 'invalid')
  const [problem] = loaded.problems
  assert.equal(problem?.line, example.split('\n').length + 1)
  assert.equal(problem.column, 'grants: { accounts: '.length + 1)
})
