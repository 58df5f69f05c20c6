import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { Grant, Need } from './accounts/grant.ts'
import { openSqliteAccounts } from './accounts/sqlite.ts'
import { createLoginThrottle } from './accounts/throttle.ts'
import { createMetrics } from './audit/metrics.ts'
import { createIdentity } from './authn/identity.ts'
import { createNoncePlace, openNonceMemory } from './authn/nonce-memory.ts'
import { type Composition, compose } from './compose.ts'
import { parseConfig } from './config/load.ts'
import { generateAuditKey, generateKeys } from './keys/generate.ts'
import { plainKinds } from './kinds.ts'
import { createRateLimiter } from './limits/rate-limit.ts'
import { SessionSlots } from './limits/session-slots.ts'
import { createMemoryTokenStore } from './tokens/memory.ts'

const folder = mkdtempSync(join(tmpdir(), 'bawn-compose-'))
const masterKey = randomBytes(32)
const environment = { MASTER: masterKey.toString('base64'), PASSWORD: 'x' }
const store = openSqliteAccounts({ name: 'staff', path: join(folder, 'accounts.db') })
before(async () => {
  generateAuditKey({ path: join(folder, 'keys'), masterKey })
  generateKeys({ path: join(folder, 'keys'), masterKey, clientId: 'shop-fields' })
  for (const name of ['alice', 'bob']) await store.administration.create({ name, kind: 'user' })
  await store.administration.grant([entry('alice')])
})
after(async () => {
  await store.close()
  rmSync(folder, { recursive: true })
})

const need: Need = {
  privilege: 'DQL',
  target: { kind: 'table', database: 'shop', schema: 'public', table: 'people' },
}
const entry = (grantee: string): Grant => ({ grantee, ...need, state: 'grant', grantor: 'operator' })
const [alice, bob] = (['alice', 'bob'] as const).map(id =>
  createIdentity({
    id,
    roles: [],
    claims: {},
    clientId: undefined,
    mechanism: 'scram',
    source: 'staff',
    expiresAt: undefined,
  }),
)
assert(alice !== undefined && bob !== undefined)

function composed(grants: string, databases = 'shop'): Promise<Composition> {
  const database =
    '{ host: 127.0.0.1, port: 1, tls: off, login: { user: b, password: env:PASSWORD }, allow: [readers] }'
  const entries = databases.split(' ').map(name => `  ${name}: ${database}\n`)
  const text = `listeners: { sql: { door: postgres, address: "127.0.0.1:0" }, web: { door: http, address: "127.0.0.1:0" } }
databases:
${entries.join('')}upstreams: { orders: { url: "http://127.0.0.1:1" } }
accounts: { staff: { kind: sqlite, path: accounts.db }, other: { kind: sqlite, path: other.db } }
policies: { readers: ${grants === '' ? '{ roles: [support] }' : `{ grant: DQL on table ${databases.split(' ')[0]}.public.people }`} }
host_rules: [{ door: http, use: [basic] }, { door: postgres, use: [scram] }]
routes: [{ path: /people, methods: [GET], upstream: orders, allow: [readers] }]
${grants}
keys: { store: { kind: directory, path: keys }, master: env:MASTER, client_id: shop-fields }
audit: { file: audit.jsonl }
`
  const loaded = parseConfig(join(folder, 'bawn.yaml'), Buffer.from(text))
  assert(loaded.kind === 'ok', JSON.stringify(loaded.kind === 'invalid' && loaded.problems))
  const surroundings = {
    trail: { emit: () => {}, commit: () => {}, head: '', close: async () => {} },
    metrics: createMetrics({ version: '0' }, 0),
    clock: Date.now,
    log: () => {},
    throttle: createLoginThrottle({ now: () => 0 }),
    limiter: createRateLimiter({ now: () => 0 }),
    slots: new SessionSlots(),
    nonces: openNonceMemory(createNoncePlace(0), 1),
    memoryTokens: createMemoryTokenStore(),
  }
  return compose(loaded.config, plainKinds, surroundings, environment)
}

const grantsOf = (composition: Composition, database = 'shop') => composition.postgres.databases.get(database)?.grants
const routeGate = (composition: Composition) =>
  composition.http.routes.match(['people'], 'localhost')?.methods.get('GET')?.gate
const get = { door: 'http', verb: 'GET' } as const

test('without the section nothing is enforced', async () => {
  const composition = await composed('')
  assert.equal(composition.grants, undefined)
  assert.equal(grantsOf(composition), undefined)
  await composition.close()
})

test('one gate for statements, for who may connect and for HTTP; superusers are those of the configuration', async () => {
  const composition = await composed('grants: { accounts: staff, superusers: [bob] }', 'shop archive')
  for (const name of ['shop', 'archive']) assert.equal(grantsOf(composition, name)?.gate, composition.grants?.gate)
  const rule = 'GRANT DQL ON TABLE shop.public.people TO alice'
  assert.deepEqual(grantsOf(composition)?.gate.decide(alice, [need]), { kind: 'permit', rule })
  assert.deepEqual(routeGate(composition)?.decide(alice, get), { kind: 'permit', rule: `readers: ${rule}` })
  const connect = composition.postgres.databases.get('shop')?.gate.decide(bob, { door: 'postgres', verb: 'connect' })
  assert.deepEqual(connect, { kind: 'permit', rule: 'readers: superuser bob' })
  await composition.close()
  assert.throws(() => routeGate(composition)?.decide(alice, get), { code: 'accounts.unavailable' })
})

test('databases that are not named are not enforced', async () => {
  const composition = await composed('grants: { accounts: staff, databases: [archive] }', 'shop archive')
  assert.equal(grantsOf(composition), undefined)
  assert.notEqual(grantsOf(composition, 'archive'), undefined)
  await composition.close()
})

test('a session of a configuration that was replaced is asked for grants by the one that serves', async () => {
  const none = await composed('')
  const first = await composed('grants: { accounts: staff, superusers: [bob] }')
  none.retire(first, () => {})
  assert.notEqual(grantsOf(none), undefined, 'a reload brings grants to sessions that are open')
  assert.equal(grantsOf(none)?.gate.decide(bob, [need]).kind, 'permit')
  const held = grantsOf(first)

  const second = await composed('grants: { accounts: staff }')
  first.retire(second, () => {})
  for (const composition of [none, first, second]) {
    assert.equal(grantsOf(composition)?.gate.decide(bob, [need]).kind, 'deny')
    assert.equal(grantsOf(composition)?.gate.decide(alice, [need]).kind, 'permit')
  }
  // Also through what was taken before.
  assert.equal(held?.gate.decide(bob, [need]).kind, 'deny')
  await first.close()
  await held?.administration.grant([entry('bob')])
  assert.equal(grantsOf(second)?.gate.decide(bob, [need]).kind, 'permit')
  await held?.administration.revoke([entry('bob')])
  assert.equal(held?.gate.decide(bob, [need]).kind, 'deny')

  // Another store: what the former one granted is over.
  const other = await composed('grants: { accounts: other }')
  second.retire(other, () => {})
  assert.equal(grantsOf(none)?.gate.decide(alice, [need]).kind, 'deny')
  // A database that is gone is not free for that.
  const gone = await composed('grants: { accounts: staff }', 'archive')
  other.retire(gone, () => {})
  assert.equal(grantsOf(other)?.gate.decide(bob, [need]).kind, 'deny')
  // And without the section nothing is enforced, for those sessions too; who still holds a gate gets no answer once it is closed.
  const last = await composed('')
  second.retire(last, () => {})
  assert.equal(grantsOf(second), undefined)
  for (const composition of [none, second, other, gone, last]) await composition.close()
})
