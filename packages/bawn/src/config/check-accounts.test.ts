import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseConfig } from './load.ts'
import { probeFiles } from './probe.ts'

const example = readFileSync(new URL('example.yaml', import.meta.url), 'utf8')
const entry = /^ {2}staff:\n {4}kind: sqlite\n {4}path: .*$/m
assert.match(example, entry)

/** The example with this store, in the form of one line. */
const withStore = (store: string): string => example.replace(entry, () => `  staff: ${store}`)

function problems(store: string): readonly string[] {
  const loaded = parseConfig('/etc/bawn/bawn.yaml', new TextEncoder().encode(withStore(store)))
  const found = loaded.kind === 'ok' ? loaded.warnings : loaded.problems
  return found.map(({ level, path, message }) => `${level} ${path}: ${message}`)
}

const postgres = (more: string): string =>
  `{ kind: postgres, host: 127.0.0.1, database: users, login: { user: u, password: env:P }${more} }`
/** With SCRAM, which the example uses. */
const mongo = (more: string, url = 'mongodb://127.0.0.1'): string =>
  `{ kind: mongo, url: "${url}", hash: argon2id${more} }`

const rows: readonly (readonly [name: string, store: string, wanted: RegExp | undefined])[] = [
  ['postgres', postgres(''), undefined],
  ['postgres on this machine without TLS', postgres(', tls: off'), undefined],
  ['postgres over a socket', postgres(', tls: off').replace('127.0.0.1', '/run/postgresql'), undefined],
  ['postgres elsewhere without TLS', postgres(', tls: off').replace('127.0.0.1', 'db'), /^warning .*tls: UNSAFE/],
  ['a password instead of a reference', postgres('').replace('env:P', 'hunter2'), /never the secret itself/],
  ['a misspelt key', postgres(', statment_timeout: 1s'), /unknown key "statment_timeout"/],
  ['a schema that others use', postgres(', schema: public'), /must be a schema of its own/],
  ['a schema of PostgreSQL', postgres(', schema: pg_catalog'), /must be a schema of its own/],
  ['a schema that needs quotes', postgres(", schema: 'a\"b'"), /must be a schema of its own/],
  ['no time at all', postgres(', connect_timeout: 0s'), /must be more than 0/],
  ['no connection at all', postgres(', max_connections: 0'), /max_connections/],

  ['mongo', mongo(''), undefined],
  [
    'mongo with hashes that know no SCRAM',
    mongo('').replace(', hash: argon2id', ''),
    /^warning .*scram lets nobody in/,
  ],
  ['mongo by a secret', mongo('', 'env:MONGO_URL'), undefined],
  ['mongo by DNS', mongo('', 'mongodb+srv://cluster.example'), undefined],
  ['a replica set', mongo('', 'mongodb://a:1,b:2/?replicaSet=rs0&authSource=admin'), undefined],
  ['mongo here without TLS', mongo(', tls: off'), undefined],
  ['mongo elsewhere without TLS', mongo(', tls: off', 'mongodb://127.0.0.1,db'), /^warning .*tls: UNSAFE/],
  ['nobody knows where, without TLS', mongo(', tls: off', 'env:MONGO_URL'), /^warning .*tls: UNSAFE/],
  ['a password in the URL', mongo('', 'mongodb://u:hunter2@db'), /without a password/],
  ['another scheme', mongo('', 'postgres://db'), /must be mongodb:/],
  [
    'TLS that is none, in the URL',
    mongo('', 'mongodb://db/?tlsInsecure=true'),
    /the option tlsInsecure is not for the URL/,
  ],
  ['a standby, in the URL', mongo('', 'mongodb://db/?readPreference=secondary'), /readPreference is not for the URL/],
  ['no acknowledgement, in the URL', mongo('', 'mongodb://db/?w=0'), /the option w is not for the URL/],
  ['a password in clear, in the URL', mongo('', 'mongodb://db/?authMechanism=PLAIN'), /cannot have this value/],
  ['an option of objects', mongo('', 'mongodb://db/?__proto__=1'), /__proto__ is not for the URL/],
  ['a user without password', mongo(', user: u'), /user: user and password belong together/],
  ['a password without user', mongo(', password: env:P'), /password: user and password belong together/],
  ['a certificate without key', mongo(', tls: { certificate: c.pem }'), /certificate and key belong together/],
  ['an operator for a name', mongo(', property_id: $where'), /property_id/],
  ['an operator inside a name', mongo(', property_id: a.$b'), /property_id/],
  ['a password deep inside', mongo(', property_password: a.b'), /property_password/],
  ['name and password in one', mongo(', property_password: _id'), /property_password: property_id is "_id" already/],
  ['lock and roles in one', mongo(', property_locked: roles'), /json_path_roles: property_locked is "roles" already/],
  ['name and roles in one object', mongo(', property_id: a.b, json_path_roles: $.a.c'), undefined],
  ['a path that searches', mongo(', json_path_roles: $..roles'), /character 2: \.\. searches/],
  ['a path without $', mongo(', json_path_roles: roles'), /character 1: a path begins with \$/],
  ['bcrypt that is cheap', mongo(', bcrypt_complexity: 4'), /bcrypt_complexity/],
  ['bcrypt that never ends', mongo(', bcrypt_complexity: 31'), /bcrypt_complexity/],
  ['clear passwords', mongo(', insecure_clear_passwords: true'), /^warning .*insecure_clear_passwords: UNSAFE/],
  ['a first user', mongo(', first_user: { name: root, password: env:P, roles: [admin] }'), undefined],
  [
    'a first user with a password',
    mongo(', first_user: { name: r, password: hunter2, roles: [a] }'),
    /never the secret/,
  ],
  ['a first user without roles', mongo(', first_user: { name: r, password: env:P, roles: [] }'), /roles/],
  [
    'a first user whose roles cannot be written',
    mongo(', json_path_roles: "$.g[*].r", first_user: { name: r, password: env:P, roles: [a] }'),
    /first_user: roles at a path with \[\*\] cannot be written/,
  ],
  ['a cache', mongo(', cache: { size: 10, ttl: 1m, expire: after_read }'), undefined],
  ['a cache that never ends', mongo(', cache: { expire: never }'), /expire/],
  ['a cache without time', mongo(', cache: { ttl: 0s }'), /must be more than 0/],
]

for (const [name, store, wanted] of rows) {
  test(`accounts: ${name}`, () => {
    const found = problems(store)
    if (wanted === undefined) assert.deepEqual(found, [])
    else
      assert(
        found.some(text => wanted.test(text)),
        found.join('\n') || 'no problem at all',
      )
    assert.doesNotMatch(found.join('\n'), /hunter2/)
  })
}

test('paths and secrets of the stores are relative to the file, and looked for', t => {
  const folder = mkdtempSync(join(tmpdir(), 'bawn-config-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const stores = `
  staff: { kind: postgres, host: db, database: u, tls: { ca: db.pem }, login: { user: u, password: file:db.secret } }
  people: { kind: mongo, url: file:mongo.url, user: u, password: file:mongo.secret, tls: { ca: m.pem, certificate: c.pem, key: k.pem }, first_user: { name: r, password: file:first.secret, roles: [a] } }`
  const file = join(folder, 'bawn.yaml')
  writeFileSync(
    file,
    example.replace(entry, () => stores.slice(1)),
  )
  const loaded = parseConfig(file, readFileSync(file))
  assert(loaded.kind === 'ok')
  const names = ['db.pem', 'db.secret', 'mongo.url', 'mongo.secret', 'm.pem', 'c.pem', 'k.pem', 'first.secret']
  const missing = () =>
    probeFiles(loaded.config, loaded.source, { ACRA_MASTER_KEY: 'x' }).filter(({ path }) => path.startsWith('accounts'))
  for (const name of names)
    assert(
      missing().some(({ message }) => message.includes(join(folder, name))),
      name,
    )
  assert.equal(missing().length, names.length)
  for (const name of names) writeFileSync(join(folder, name), 'x', { mode: 0o600 })
  assert.deepEqual(missing(), [])
})
