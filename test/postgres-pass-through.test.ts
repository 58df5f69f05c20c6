import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import pg from 'pg'
import postgres from 'postgres'
import type { HostRuleMatch } from '../packages/bawn/src/authn/host-rules.ts'
import { createGate } from '../packages/bawn/src/policy/gate.ts'
import type { PostgresListener } from '../packages/bawn/src/postgres/listener.ts'
import type { DatabaseState, LoginMode, UpstreamTarget } from '../packages/bawn/src/postgres/state.ts'
import { MessageBuilder } from '../packages/bawn/src/postgres/wire/builder.ts'
import { front } from '../packages/bawn/src/postgres/wire/message.ts'
import { buildStartupMessage } from '../packages/bawn/src/postgres/wire/startup.ts'
import { useHba } from './postgres-hba.ts'
import { type Kit, password, RawClient, rules, startKit, withClient } from './postgres-kit.ts'

// The client's own login goes on to PostgreSQL, whatever that asks for; what it accepts is who it is, and then policy decides.

let kit: Kit
let target: UpstreamTarget
/** PostgreSQL behind TLS of its own; PostgreSQL in clear, on this machine. */
let overTls: PostgresListener
let inClear: PostgresListener

const passed: HostRuleMatch = { kind: 'matched', rule: 'passed', use: ['pass-through'] }
const users = ['billy', 'sue', 'old', 'plain', 'anybody', 'shown', 'lockey', 'mapped', 'stranger', 'nobody', 'closed']

function database(upstream: UpstreamTarget, allow = ['staff']): ReadonlyMap<string, DatabaseState> {
  const shop = kit.state.databases.get('shop')
  assert.ok(shop !== undefined)
  const login: LoginMode = { kind: 'pass-through', roles: new Map([['mapped', ['support']]]) }
  const gate = createGate(allow, { staff: { roles: ['billing', 'support'] } })
  return new Map([['shop', { ...shop, upstream, login, gate }]])
}

before(async () => {
  kit = await startKit(`
    create table people (id int primary key, name text, email bytea, photo bytea);
    create role billy login password '${password}';
    create role sue login password '${password}';
    create role plain login password '${password}';
    create role anybody login password '${password}';
    create role shown login;
    create role lockey login password '${password}';
    create role mapped login password '${password}';
    create role stranger login password '${password}';
    create role closed nologin password '${password}';
    set password_encryption = 'md5';
    create role old login password '${password}';`)
  await useHba(
    kit.postgres,
    [
      'host all plain 127.0.0.1/32 password',
      'host all anybody 127.0.0.1/32 trust',
      'hostssl all shown 127.0.0.1/32 cert',
      'host all old 127.0.0.1/32 md5',
      'host all all 127.0.0.1/32 scram-sha-256',
    ],
    kit.authority.certificate,
  )
  const shop = kit.state.databases.get('shop')
  assert.ok(shop !== undefined)
  target = shop.upstream
  overTls = await kit.listen({}, { databases: database(target) })
  inClear = await kit.listen({}, { databases: database({ ...target, tls: undefined }) })
})
after(() => kit.stop())
beforeEach(() => {
  for (const user of users) rules.set(user, passed)
  kit.events.length = 0
  kit.logs.length = 0
})

const config = (user: string, door = overTls, more: pg.ClientConfig = {}): pg.ClientConfig =>
  kit.client(user, { port: door.address.port, ...more })

async function failure(of: pg.ClientConfig): Promise<readonly [code: string | undefined, message: string]> {
  const client = new pg.Client(of)
  client.on('error', () => {})
  try {
    await client.connect()
  } catch (error) {
    assert.ok(error instanceof pg.DatabaseError, String(error))
    return [error.code, error.message]
  }
  await client.end()
  assert.fail('the login was let through')
}

const who = 'select session_user::text as name'

for (const [method, user, roles] of [
  ['scram-sha-256', 'billy', ['billing']],
  ['scram-sha-256, with roles of the configuration', 'mapped', ['support']],
] as const) {
  test(`${method}: node-postgres over TLS and postgres.js in clear are who PostgreSQL says they are`, async () => {
    for (const door of [overTls, inClear]) {
      await withClient(config(user, door), async client => {
        assert.deepEqual((await client.query(who)).rows, [{ name: user }])
      })
      const sql = postgres({ host: '127.0.0.1', port: door.address.port, user, password, database: 'shop', max: 1 })
      try {
        assert.deepEqual([...(await sql.unsafe(who))], [{ name: user }])
      } finally {
        await sql.end()
      }
    }
    assert.equal(kit.events.length, 4)
    for (const { identity, decision } of kit.events) {
      assert.deepEqual(
        [identity?.id, identity?.mechanism, identity?.roles, decision],
        [user, 'pass-through', roles, 'permit'],
      )
    }
  })
}

for (const [method, user] of [
  ['md5', 'old'],
  ['password', 'plain'],
] as const) {
  test(`${method} is passed on as it is`, async () => {
    const roles = new Map([[user, ['support']]])
    const shop = database(target).get('shop')
    assert.ok(shop !== undefined)
    const door = await kit.listen(
      {},
      { databases: new Map([['shop', { ...shop, login: { kind: 'pass-through', roles } }]]) },
    )
    for (const ssl of [{ ca: kit.authority.certificate }, false]) {
      await withClient(config(user, door, { ssl }), async client => {
        assert.deepEqual((await client.query(who)).rows, [{ name: user }])
      })
    }
    const wrong = [`28P01`, `password authentication failed for user "${user}"`]
    assert.deepEqual(await failure(config(user, door, { password: 'wrong' })), wrong)
    assert.ok(!JSON.stringify([kit.events, kit.logs]).includes(password))
  })
}

const wrongPassword = (user: string) => ['28P01', `password authentication failed for user "${user}"`] as const

for (const row of [
  { name: 'a wrong password', user: 'billy', given: 'wrong' },
  { name: 'a name that is no role', user: 'nobody', given: password },
  { name: 'an account that is locked here', user: 'lockey', given: password },
]) {
  test(`refused like a wrong password: ${row.name}`, async () => {
    assert.deepEqual(await failure(config(row.user, overTls, { password: row.given })), wrongPassword(row.user))
    assert.equal(kit.events.at(-1)?.decision, 'deny')
  })
}

test('the right password of a role without LOGIN: PostgreSQL says no behind AuthenticationOk', async () => {
  const door = await kit.listen({}, { databases: database(target, ['authenticated']) })
  assert.deepEqual(await failure(config('closed', door)), ['28000', 'PostgreSQL does not let user "closed" in'])
  assert.deepEqual(await failure(config('closed', door, { password: 'wrong' })), wrongPassword('closed'))
})

for (const row of [
  { name: 'trust', user: 'anybody' },
  { name: 'the certificate of the gateway', user: 'shown' },
]) {
  test(`nobody is believed for ${row.name}`, async () => {
    const client = kit.authority.issue(row.user, 'client')
    const tls = target.tls && { ...target.tls, client }
    const door = await kit.listen({}, { databases: database({ ...target, tls }, ['staff', 'authenticated']) })
    const message = `PostgreSQL let user "${row.user}" in without asking for anything`
    assert.deepEqual(await failure(config(row.user, door)), ['28000', message])
  })
}

test('policy decides behind AuthenticationOk, and before anything goes on', async () => {
  const [code, message] = await failure(config('stranger'))
  assert.deepEqual([code, message], ['42501', 'permission denied for database "shop": no policy of staff permits'])
  assert.deepEqual(kit.events.at(-1)?.identity?.roles, [])
  // A client that does not wait: what it has sent behind its password is never forwarded.
  const client = await RawClient.connect(overTls.address.port)
  client.socket.write(
    buildStartupMessage([
      ['user', 'plain'],
      ['database', 'shop'],
    ]),
  )
  await client.until(() => client.letters() === 'R')
  const secret = new MessageBuilder().begin(front.password).cstring(password).end().take()
  const query = new MessageBuilder().begin(front.query).cstring('create table forwarded ()').end().take()
  client.socket.write(Buffer.concat([secret, query]))
  await client.untilClosed()
  // Neither AuthenticationOk nor anything else came before the refusal.
  assert.equal(client.letters(), 'RE')
  // And PostgreSQL has been told that nobody is there.
  const left = `select from pg_stat_activity where usename in ('stranger', 'plain')`
  while ((await kit.direct(left)).length > 0);
  assert.deepEqual(await kit.direct(`select to_regclass('forwarded') as found`), [{ found: null }])
})

test('a client that binds SCRAM to TLS: explained, or passed on where both show one certificate', async () => {
  // Channel binding on: it is offered SCRAM-SHA-256 alone, and says y.
  const [code, message] = await failure(config('billy', overTls, { enableChannelBinding: true }))
  assert.equal(code, '28000')
  assert.match(message, /wants to bind SCRAM to TLS/)
  // PostgreSQL without TLS did not offer it, and takes y.
  await withClient(config('billy', inClear, { enableChannelBinding: true }), client => client.query('select 1'))
  const folder = kit.postgres.dataDirectory
  const same = await kit.listen(
    {
      tls: {
        certificate: readFileSync(join(folder, 'server.crt'), 'utf8'),
        key: readFileSync(join(folder, 'server.key'), 'utf8'),
        clientCa: undefined,
        clientCertificate: 'off',
      },
    },
    { databases: database(target) },
  )
  for (const enableChannelBinding of [true, false]) {
    await withClient(config('billy', same, { enableChannelBinding }), client => client.query('select 1'))
  }
})

test('a password in clear crosses inside TLS only, on both parts of its way', async () => {
  const elsewhere = { ...target, host: 'localhost', tls: undefined }
  const door = await kit.listen({}, { databases: database(elsewhere, ['authenticated']) })
  await withClient(config('plain', door), client => client.query('select 1'))
  // The same machine by a name that could be any: it cannot be told, so nothing is sent.
  const far = await kit.listen({}, { databases: database({ ...elsewhere, host: '127.1' }, ['authenticated']) })
  assert.deepEqual(await failure(config('plain', far)), ['28000', 'a password in clear needs TLS on its whole way'])
})

test('a database that is not passed through refuses who comes by such a rule, and the other way round', async () => {
  assert.deepEqual(await failure(kit.client('billy')), wrongPassword('billy'))
  rules.set('billy', { kind: 'matched', rule: 'scram', use: ['scram'] })
  const [code, message] = await failure(config('billy'))
  assert.equal(code, '28000')
  assert.match(message, /takes logins by pass-through only, and this one was by scram/)
})

test('guessing is slowed down, and leaving without an answer is no try', async () => {
  const taken: string[] = []
  const left = Promise.withResolvers<void>()
  const throttle = {
    attempt: () => ({
      kind: 'permitted' as const,
      succeeded: () => taken.push('succeeded'),
      undecided: () => {
        taken.push('undecided')
        left.resolve()
      },
      failed: () => {},
    }),
    attemptNameless: () => assert.fail('who logs in to PostgreSQL has a name'),
    failureOf: () => undefined,
  }
  const door = await kit.listen({}, { databases: database(target), throttle })
  await failure(config('billy', door, { password: 'wrong' }))
  assert.deepEqual(taken, [])
  await withClient(config('billy', door), client => client.query('select 1'))
  assert.deepEqual(taken, ['succeeded'])
  const client = await RawClient.connect(door.address.port)
  client.socket.write(
    buildStartupMessage([
      ['user', 'billy'],
      ['database', 'shop'],
    ]),
  )
  await client.until(() => client.letters() === 'R')
  client.socket.destroy()
  await left.promise
  assert.deepEqual(taken, ['succeeded', 'undecided'])
})

test('a client that breaks the protocol, or sends too much, ends its own connection', async () => {
  const { port } = overTls.address
  for (const bytes of [
    new MessageBuilder().begin(front.query).cstring('select 1').end().take(),
    Buffer.from([front.password, 0x7f, 0xff, 0xff, 0xff]),
    Buffer.from([front.password, 0, 0, 0, 3]),
  ]) {
    const client = await RawClient.connect(port)
    client.socket.write(
      buildStartupMessage([
        ['user', 'billy'],
        ['database', 'shop'],
      ]),
    )
    await client.until(() => client.letters() === 'R')
    client.socket.write(bytes)
    await client.untilClosed()
    assert.match(client.letters(), /^RE?$/)
  }
  await withClient(config('billy'), client => client.query('select 1'))
})
