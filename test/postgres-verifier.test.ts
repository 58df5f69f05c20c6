import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import pg from 'pg'
import postgres from 'postgres'
import type { ScramLoginKeys } from '../packages/bawn/src/accounts/scram-verifier.ts'
import { openServerRoles } from '../packages/bawn/src/accounts/server-roles.ts'
import { type AccountStore, decoySecretOf } from '../packages/bawn/src/accounts/store.ts'
import { createScramMechanism, type ScramMechanism } from '../packages/bawn/src/authn/scram-mechanism.ts'
import { createDatabaseQuery } from '../packages/bawn/src/database-query.ts'
import { createGate } from '../packages/bawn/src/policy/gate.ts'
import type { PostgresListener } from '../packages/bawn/src/postgres/listener.ts'
import type { DatabaseState } from '../packages/bawn/src/postgres/state.ts'
import { type Kit, rules, startKit, withClient } from './postgres-kit.ts'

// Users log in as themselves: their verifier is read from PostgreSQL, and what they prove to the gateway logs them in there.

const setup = `
create table people (id int primary key, name text, email bytea, photo bytea);
create table notes (owner name default current_user, text text);
alter table notes enable row level security;
create policy own on notes using (owner = current_user);
create role support;
create role "Not A Name";
create role alice login password 'alice wonder' in role support, "Not A Name";
create role bob login password 'builder bob';
create role expired login password 'of the past' valid until '2001-01-01';
create role closed nologin password 'no login';
create role boss superuser login password 'of the boss';
create role copier replication login password 'of the copier';
set password_encryption = 'md5';
create role old login password 'of the past';
reset password_encryption;
create role without login;
grant select, insert on notes to alice, bob;
insert into notes values ('alice', 'of alice'), ('bob', 'of bob');
create schema bawn;
create function bawn.scram_verifier(role text) returns text language sql stable security definer
  set search_path = pg_catalog, pg_temp
  begin atomic select a.rolpassword from pg_catalog.pg_authid a where a.rolname = role; end;
revoke all on function bawn.scram_verifier(text) from public;
create role gateway login password 'of the gateway';
grant usage on schema bawn to gateway;
grant execute on function bawn.scram_verifier(text) to gateway;
`

let kit: Kit
let store: AccountStore
let door: PostgresListener
let own: DatabaseState
before(async () => {
  kit = await startKit(setup)
  const shop = kit.state.databases.get('shop')
  assert.ok(shop !== undefined)
  const upstream = { ...shop.upstream, user: 'gateway', password: 'of the gateway' }
  const asked = createDatabaseQuery(upstream, { searchPath: 'pg_catalog' })
  store = openServerRoles({
    name: 'roles',
    query: asked.query,
    function: 'bawn.scram_verifier',
    memberships: true,
    roles: ['staff'],
    secret: 'of the gateway',
    close: asked.close,
  })
  own = {
    ...shop,
    upstream,
    login: { kind: 'verifier' },
    gate: createGate(['staff'], { staff: { roles: ['staff'] } }),
  }
  const stores = [store]
  const scram = createScramMechanism({ stores, decoySecret: decoySecretOf(stores) })
  door = await kit.listen({}, { databases: new Map([['shop', own]]), scram })
})
after(async () => {
  await store.close()
  await kit.stop()
})
beforeEach(() => {
  rules.clear()
  kit.events.length = 0
  kit.logs.length = 0
})

const config = (user: string, password: string, more: pg.ClientConfig = {}): pg.ClientConfig =>
  kit.client(user, { password, port: door.address.port, ...more })

async function failure(of: pg.ClientConfig): Promise<pg.DatabaseError> {
  const client = new pg.Client(of)
  client.on('error', () => {})
  try {
    await client.connect()
  } catch (error) {
    assert.ok(error instanceof pg.DatabaseError, String(error))
    return error
  }
  await client.end()
  assert.fail('the login was let through')
}

const who = 'select current_user::text as current, session_user::text as session'

test('node-postgres is logged in to PostgreSQL as itself, by SCRAM with and without channel binding', async () => {
  for (const enableChannelBinding of [false, true]) {
    await withClient(config('alice', 'alice wonder', { enableChannelBinding }), async client => {
      assert.deepEqual((await client.query(who)).rows, [{ current: 'alice', session: 'alice' }])
      // Row-level security sees it.
      assert.deepEqual((await client.query('select text from notes')).rows, [{ text: 'of alice' }])
    })
  }
  const { identity } = kit.events[0] ?? {}
  assert.deepEqual(
    [identity?.id, identity?.mechanism, identity?.source, identity?.roles],
    ['alice', 'scram', 'roles', ['staff', 'support']],
  )
})

test('postgres.js in clear, as another one, who cannot become anybody else', async () => {
  const sql = postgres({
    host: '127.0.0.1',
    port: door.address.port,
    user: 'bob',
    password: 'builder bob',
    database: 'shop',
    ssl: false,
    max: 1,
  })
  try {
    assert.deepEqual([...(await sql`select text from notes`)], [{ text: 'of bob' }])
    for (const way of ['set role alice', 'set session authorization alice']) {
      await assert.rejects(sql.unsafe(way), { code: '42501' })
    }
    assert.equal((await sql`select pg_backend_pid() as pid`).length, 1)
  } finally {
    await sql.end()
  }
})

for (const row of [
  { name: 'a wrong password', user: 'alice', password: 'wrong' },
  { name: 'a name that is no role', user: 'nobody', password: 'alice wonder' },
  { name: 'a password whose VALID UNTIL is over (CVE-2025-2291)', user: 'expired', password: 'of the past' },
  { name: 'a role without LOGIN', user: 'closed', password: 'no login' },
  { name: 'a superuser', user: 'boss', password: 'of the boss' },
  { name: 'a role for replication', user: 'copier', password: 'of the copier' },
  { name: 'a password kept as md5', user: 'old', password: 'of the past' },
  { name: 'a role without a password', user: 'without', password: '' },
  { name: 'a name that would be SQL', user: "alice' or '1'='1", password: 'alice wonder' },
  { name: 'a name that is another in the server’s folding', user: 'ALICE', password: 'alice wonder' },
  { name: 'a name longer than the server’s names', user: `alice${'e'.repeat(80)}`, password: 'alice wonder' },
]) {
  test(`refused like a wrong password: ${row.name}`, async () => {
    const error = await failure(config(row.user, row.password || 'x'))
    assert.equal(error.code, '28P01')
    assert.equal(error.message, `password authentication failed for user "${row.user}"`)
  })
}

test('what a client says at the start does not reach the connection that asks for verifiers (CVE-2025-12819)', async () => {
  await kit.direct(`
    create schema trap; grant usage on schema trap to public;
    create function trap.coalesce_name(text, text) returns bool language sql as 'select true';
    create operator trap.= (function = trap.coalesce_name, leftarg = text, rightarg = text);`)
  for (const options of ['-c search_path=trap', '--search_path=trap,pg_catalog']) {
    const error = await failure(config('nobody', 'alice wonder', { options }))
    assert.equal(error.code, '28P01')
  }
  await kit.direct('drop schema trap cascade')
})

test('a password that was changed in PostgreSQL holds at once, and the old one no longer', async () => {
  await kit.direct(`alter role bob password 'changed at once'`)
  assert.equal((await failure(config('bob', 'builder bob'))).code, '28P01')
  await withClient(config('bob', 'changed at once'), client => client.query('select 1'))
  await kit.direct(`alter role bob password 'builder bob'`)
})

test('a verifier that PostgreSQL does not have any more lets nobody in', async () => {
  const stale = await store.find('bob')
  assert.ok(stale !== undefined)
  await kit.direct(`alter role bob password 'builder bob'`)
  const kept: AccountStore = { ...store, find: async user => (user === 'bob' ? stale : undefined) }
  const shop = kit.state.databases.get('shop')
  assert.ok(shop !== undefined)
  const scram = createScramMechanism({ stores: [kept], decoySecret: async () => Buffer.alloc(32) })
  const gate = createGate(['authenticated'], {})
  const second = await kit.listen(
    {},
    { databases: new Map([['shop', { ...shop, gate, login: { kind: 'verifier' } }]]), scram },
  )
  const error = await failure(kit.client('bob', { password: 'builder bob', port: second.address.port }))
  assert.deepEqual([error.code, error.message], ['28000', 'PostgreSQL does not let user "bob" in'])
  const causes = kit.logs.map(({ cause }) => (cause instanceof Error ? cause : undefined)).filter(Boolean)
  assert.match(JSON.stringify(causes.map(cause => causesOf(cause))), /authn\.other_verifier/)
})

function causesOf(error: unknown): readonly unknown[] {
  if (!(error instanceof Error)) return []
  return ['code' in error ? error.code : error.message, ...causesOf(error.cause)]
}

test('another mechanism identifies, and cannot be used once more', async () => {
  rules.set('alice', { kind: 'matched', rule: 'tokens', use: ['jwt'] })
  const error = await failure(config('alice', 'token:alice:staff'))
  assert.equal(error.code, '28000')
  assert.match(error.message, /takes logins by scram only, and this one was by jwt/)
  assert.equal(kit.events.at(-1)?.decision, 'deny')
})

test('unknown names get the rounds that known ones have, and the same salt at each try', async () => {
  const known = (await store.find('alice'))?.scram
  const [one, other] = [await store.decoy?.('nobody'), await store.decoy?.('nobody')]
  assert.equal(one?.scram?.iterations, known?.iterations)
  assert.equal(one?.scram?.salt.length, known?.salt.length)
  assert.deepEqual(one, other)
})

test('policy comes before the login: who is not permitted has no session in PostgreSQL', async () => {
  const shop = kit.state.databases.get('shop')
  assert.ok(shop !== undefined)
  const closed: DatabaseState = {
    ...shop,
    login: { kind: 'verifier' },
    gate: createGate(['no'], { no: { roles: ['x'] } }),
  }
  const scram = createScramMechanism({ stores: [store], decoySecret: async () => Buffer.alloc(32) })
  const second = await kit.listen({}, { databases: new Map([['shop', closed]]), scram })
  const error = await failure(kit.client('alice', { password: 'alice wonder', port: second.address.port }))
  assert.equal(error.code, '42501')
})

test('the ClientKey is gone when the login is over, and neither logs nor the trail hold a secret', async () => {
  const kept: ScramLoginKeys[] = []
  const plain = createScramMechanism({ stores: [store], decoySecret: async () => Buffer.alloc(32) })
  const scram: ScramMechanism = {
    start: async (user, login) => {
      const exchange = await plain.start(user, login)
      const final = (message: Uint8Array) => {
        const end = exchange.final(message)
        if (end.kind === 'identified' && end.keys !== undefined) kept.push(end.keys)
        return end
      }
      return { ...exchange, final }
    },
  }
  const second = await kit.listen({}, { databases: new Map([['shop', own]]), scram })
  const port = second.address.port
  await withClient(config('alice', 'alice wonder', { port }), client => client.query('select 1'))
  await failure(config('alice', 'not her password', { port }))
  await failure(config('alice', 'alice wonder', { port, options: '-c role=bob' }))
  assert.equal(kept.length, 2)
  for (const { clientKey } of kept) assert.deepEqual(clientKey, Buffer.alloc(32))

  const [row] = await kit.direct(`select rolpassword as text from pg_authid where rolname = 'alice'`)
  const verifier = String(row?.['text']).split(/[$:]/).slice(2)
  assert.equal(verifier.length, 3)
  const told = JSON.stringify([kit.events, kit.logs.map(log => [log.message, causesOf(log.cause)])])
  assert.match(told, /wrong-password/)
  for (const word of ['alice wonder', 'not her password', 'of the gateway', ...verifier]) {
    assert.ok(!told.includes(word), word)
  }
})

test('a database that cannot be asked: cannot decide, and nobody is told that a password is wrong', async () => {
  const gone = createDatabaseQuery({ ...(kit.state.databases.get('shop')?.upstream ?? assert.fail()), port: 1 })
  const dead = openServerRoles({
    name: 'gone',
    query: gone.query,
    function: 'bawn.scram_verifier',
    memberships: true,
    roles: [],
    secret: 'x',
    close: gone.close,
  })
  const scram = createScramMechanism({ stores: [dead], decoySecret: async () => Buffer.alloc(32) })
  const second = await kit.listen({}, { scram })
  assert.equal((await failure(kit.client('alice', { port: second.address.port }))).code, '57P03')
  await dead.close()
})
