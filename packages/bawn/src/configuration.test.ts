import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { composeIssuers } from './compose-issuers.ts'
import { probeFiles } from './config/probe.ts'
import { loadConfiguration } from './configuration.ts'
import { kindSurroundings } from './kinds.ts'

// A whole file with plug-ins: what it may say, and where what is wrong with it is shown.

const folder = mkdtempSync(join(tmpdir(), 'bawn-configuration-'))
after(() => rmSync(folder, { recursive: true }))

const schema = (...keys: readonly string[]) => `{ '~standard': { version: 1, vendor: 'x', validate(value) {
  const issues = Object.keys(value).filter(key => !${JSON.stringify(keys)}.includes(key))
    .map(key => ({ message: 'is not known', path: [key] }))
  return issues.length > 0 ? { issues } : { value }
} } }`
writeFileSync(
  join(folder, 'all.js'),
  `export default { name: 'all', api: 1,
    mechanisms: [
      { kind: 'badge', doors: ['http', 'postgres'], options: ${schema('key')}, create: () => { throw new Error() } },
      { kind: 'web-only', doors: ['http'], options: ${schema()}, create: () => { throw new Error() } },
    ],
    accountStores: [{ kind: 'csv', options: ${schema('path')}, open: () => { throw new Error() } }],
    tokenManagers: [{ kind: 'json', options: ${schema('path')}, open: () => { throw new Error() } }],
    tokenChecks: [{ kind: 'must-have', options: ${schema('claims')}, create: () => ({ check: claims => 'a' in claims ? 'accept' : { reject: 'no a' } }) }],
  }\n`,
)

const base = `keys: { store: { kind: directory, path: keys }, master: env:MASTER, client_id: tests }
audit: { file: audit.jsonl }
`
const issuer =
  'issuers: { corp: { issuer: i, audience: [a], jwks: j.json, checks: [{ check: must-have, claims: [a] }] } }'

async function load(text: string) {
  const file = join(folder, 'bawn.yaml')
  writeFileSync(file, `${text}\n${base}`)
  return loadConfiguration(file)
}

/** Lines of YAML that name the plug-in and use nothing of it. */
const plain = `listeners: { web: { door: http, address: 127.0.0.1:0 }, sql: { door: postgres, address: 127.0.0.1:0 } }
plugins: { all: { module: ./all.js } }`

test('everything that a plug-in brings may be named, and is kept as it is written', async () => {
  const loaded = await load(`${plain}
mechanisms: { badge: { key: "file:badge.key" }, web-only: {}, jwt: { realm: x } }
accounts: { staff: { kind: csv, path: users.csv } }
tokens: { kind: json, ttl: 5m, path: tokens.jsonl }
${issuer}
host_rules: [{ door: http, use: [token, web-only, badge] }, { door: postgres, use: [badge] }]`)
  assert(loaded.kind === 'ok', JSON.stringify(loaded))
  const { config, warnings, source } = loaded
  assert.deepEqual(warnings, [])
  assert.deepEqual(config.accounts['staff'], { kind: 'plugin', name: 'csv', written: { path: 'users.csv' } })
  assert.deepEqual(config.tokens, {
    kind: 'plugin',
    name: 'json',
    written: { path: 'tokens.jsonl' },
    ttl: 300_000,
    resource: '/tokens',
    endpoint: '/token',
    headers: true,
    claims: [],
    cookie: undefined,
  })
  assert.deepEqual(Reflect.get(config.mechanisms, 'badge'), {
    kind: 'plugin',
    name: 'badge',
    written: { key: 'file:badge.key' },
  })
  assert.equal(config.mechanisms.jwt.realm, 'x')
  assert(Object.isFrozen(Reflect.get(config.mechanisms, 'badge').written))
  // A secret is looked for where the file is, whoever wants it.
  const missing = probeFiles(config, source, {}).map(({ path, message, line }) => [path, message, line])
  assert.deepEqual(missing[0], [
    'mechanisms.badge.key',
    `file:${join(folder, 'badge.key')}: the file cannot be read (ENOENT)`,
    3,
  ])
})

interface Row {
  readonly name: string
  readonly text: string
  /** `line:column message`, and what would fit. */
  readonly problem: string
  readonly suggestion?: string
}

const rows: readonly Row[] = [
  {
    name: 'an option that the plug-in does not know',
    text: `${plain}\naccounts:\n  staff:\n    kind: csv\n    pth: users.csv`,
    problem: '6:10 accounts.staff.pth is not known',
  },
  {
    name: 'an option of a mechanism',
    text: `${plain}\nmechanisms:\n  badge: { kye: x }`,
    problem: '4:17 mechanisms.badge.kye is not known',
  },
  {
    name: 'an option of a token manager',
    text: `${plain}\ntokens: { kind: json, pth: x }\nhost_rules: [{ use: [token] }]`,
    problem: '3:28 tokens.pth is not known',
  },
  {
    name: 'an option that every token manager has',
    text: `${plain}\ntokens: { kind: json, ttl: soon }\nhost_rules: [{ use: [token] }]`,
    problem: '3:28 tokens.ttl must be a number and a unit: 250ms, 5s, 10m, 1h, 1d',
  },
  {
    name: 'an option of a check',
    text: `${plain}\n${issuer.replace('claims:', 'clams:')}`,
    problem: '3:96 issuers.corp.checks[0].clams is not known',
  },
  {
    name: 'a check that nobody has',
    text: `${plain}\n${issuer.replace('must-have', 'must-hav')}`,
    problem: '3:78 no check is called "must-hav"',
    suggestion: 'did you mean "must-have"?',
  },
  {
    name: 'a kind of store that nobody has',
    text: `${plain}\naccounts: { staff: { kind: csvv, path: x } }`,
    problem: '3:28 "csvv" is not one of: sqlite, postgres, mongo, file, postgres-roles, csv',
    suggestion: 'did you mean "csv"?',
  },
  {
    name: 'a kind of token manager that nobody has',
    text: `${plain}\ntokens: { kind: jsn, path: x }`,
    problem: '3:17 "jsn" is not one of: memory, sqlite, redis, signed, json',
    suggestion: 'did you mean "json"?',
  },
  {
    name: 'a mechanism that nobody has',
    text: `${plain}\nmechanisms: { bagde: {} }`,
    problem: '3:15 unknown key "bagde" in mechanisms',
    suggestion: 'did you mean "badge"?',
  },
  {
    name: 'what only the reader itself may write',
    text: `${plain}\naccounts: { staff: { kind: plugin, name: csv, written: { path: x } } }`,
    problem: '3:28 "plugin" is not one of: sqlite, postgres, mongo, file, postgres-roles, csv',
  },
  {
    name: 'a mechanism in a host rule without its options',
    text: `${plain}\nhost_rules: [{ use: [badge] }]`,
    problem: '3:22 badge needs to be configured',
    suggestion: 'add under mechanisms: badge: { … }',
  },
  {
    name: 'a mechanism at a door that it is not made for',
    text: `${plain}\nmechanisms: { web-only: {} }\nhost_rules: [{ door: postgres, use: [web-only] }]`,
    problem: '4:38 door postgres has no mechanism web-only',
    suggestion: 'door postgres has: certificate, scram, jwt, token, password, oauthbearer, trust, pass-through, badge',
  },
  {
    name: 'a store with the name of a mechanism',
    text: `${plain}\naccounts: { badge: { kind: csv, path: x } }`,
    problem: '3:13 a plug-in has a mechanism badge',
  },
  {
    name: 'a plug-in that is not there, and nothing else while it is missing',
    text: `listeners: {}\nplugins:\n  one:\n    module: ./none.js\naccounts: { staff: { kind: csv } }`,
    problem: '4:13 plugins.not_found: ./none.js: there is no file ',
  },
  {
    name: 'a module that leads elsewhere',
    text: `${plain.replace('./all.js', '../all.js')}`,
    problem: '2:27 plugins.all.module must be ./path/of/a/file',
  },
  {
    name: 'an option of plug-ins that there is not',
    text: plain.replace('module:', 'modul:'),
    problem: '2:19 unknown key "modul" in plugins.all',
    suggestion: 'did you mean "module"?',
  },
  {
    name: 'a plug-in whose names are taken',
    text: plain.replace('./all.js }', './all.js }, again: { module: ./all.js }'),
    problem: '2:56 plugins.duplicate_kind: plug-in again has a kind of account store "csv", and there is one already',
  },
]
for (const { name, text, problem, suggestion } of rows) {
  test(`a problem with its place: ${name}`, async () => {
    const loaded = await load(text)
    assert(loaded.kind === 'invalid')
    const found = loaded.problems.map(({ line, column, message }) => `${line}:${column} ${message}`)
    const at = found.findIndex(one => one.includes(problem))
    assert(at >= 0, found.join('\n'))
    if (suggestion !== undefined) assert.equal(loaded.problems[at]?.suggestion, suggestion)
  })
}

test('while a plug-in cannot be had, only that is told', async () => {
  const loaded = await load(`${plain.replace('all.js', 'none.js')}\naccounts: { staff: { kind: csv } }`)
  assert(loaded.kind === 'invalid')
  assert.equal(loaded.problems.length, 1)
})

test('without plug-ins, what they would bring is unknown', async () => {
  const loaded = await load(`${plain.split('\n')[0]}\n${issuer}`)
  assert(loaded.kind === 'invalid')
  const [problem] = loaded.problems
  assert.deepEqual(
    [problem?.message, problem?.suggestion],
    ['no check is called "must-have"', 'name the plug-in that has it under plugins'],
  )
})

test('what judges tokens is made with the checks of each issuer', async () => {
  const loaded = await load(`${plain}\n${issuer}\nhost_rules: [{ use: [jwt] }]`)
  assert(loaded.kind === 'ok')
  const lines: string[] = []
  const surroundings = kindSurroundings({}, { clock: () => 0, log: (_level, message) => lines.push(message) })
  const none = await composeIssuers({ ...loaded.config, issuers: {} }, loaded.kinds, surroundings)
  assert.equal(none, undefined)
  const issuers = await composeIssuers(loaded.config, loaded.kinds, surroundings)
  assert.equal((await issuers?.authenticate('x'))?.kind, 'rejected')
  issuers?.close()
})
