import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import pg from 'pg'
import { createHashQueue } from '../packages/bawn/src/accounts/hash-queue.ts'
import { createPasswordCheck } from '../packages/bawn/src/accounts/password.ts'
import { createLoginThrottle } from '../packages/bawn/src/accounts/throttle.ts'
import type { UsableMechanism } from '../packages/bawn/src/authn/option.ts'
import type { PostgresListener } from '../packages/bawn/src/postgres/listener.ts'
import { MessageBuilder } from '../packages/bawn/src/postgres/wire/builder.ts'
import { parseErrorResponse } from '../packages/bawn/src/postgres/wire/error-response.ts'
import { front } from '../packages/bawn/src/postgres/wire/message.ts'
import { buildStartupMessage } from '../packages/bawn/src/postgres/wire/startup.ts'
import { type Kit, password, RawClient, rules, startKit, withClient } from './postgres-kit.ts'

// The mechanisms of the PostgreSQL door that ask for more or less than SCRAM does, with other people's clients over TLS.

let kit: Kit
before(async () => {
  kit = await startKit('create table people (id int primary key, name text, email bytea, photo bytea)')
})
after(() => kit.stop())
beforeEach(() => {
  rules.clear()
  kit.events.length = 0
  kit.logs.length = 0
})

const use = (user: string, ...mechanisms: readonly UsableMechanism[]): void => {
  rules.set(user, { kind: 'matched', rule: 'test', use: mechanisms })
}

/** What node-postgres throws. */
async function failure(config: pg.ClientConfig): Promise<{ readonly code: string; readonly message: string }> {
  const client = new pg.Client(config)
  client.on('error', () => {})
  try {
    await client.connect()
  } catch (error) {
    assert.ok(error instanceof pg.DatabaseError, String(error))
    return { code: error.code ?? '', message: error.message }
  }
  await client.end()
  assert.fail('the login was let through')
}

test('password: node-postgres, with the hash that only a password in clear can be checked against', async () => {
  use('hasher', 'password')
  await withClient(kit.client('hasher'), async client => {
    assert.equal((await client.query('select 1 as one')).rows[0]?.one, 1)
  })
  const identity = kit.events[0]?.identity
  assert.deepEqual([identity?.id, identity?.mechanism, identity?.source], ['hasher', 'password', 'staff'])
  // A SCRAM verifier will do as well.
  use('billy', 'password', 'scram')
  await withClient(kit.client('billy'), client => client.query('select 1'))
  for (const user of ['hasher', 'lockey', 'nobody', 'billy']) {
    use(user, 'password')
    const wrong = await failure(kit.client(user, { password: user === 'lockey' ? password : 'wrong' }))
    assert.deepEqual(wrong, { code: '28P01', message: `password authentication failed for user "${user}"` })
  }
  const reasons = kit.events.filter(event => event.decision === 'deny').map(event => event.code)
  assert.deepEqual(reasons, ['wrong-password', 'locked', 'unknown-user', 'wrong-password'])
})

test('bawn.login chooses among the mechanisms of the rule, and no other', async () => {
  use('hasher', 'scram', 'password')
  assert.equal((await failure(kit.client('hasher'))).code, '28P01')
  await withClient(kit.client('hasher', { options: '-c bawn.login=password' }), client => client.query('select 1'))
  use('hasher', 'scram')
  assert.equal((await failure(kit.client('hasher', { options: '-c bawn.login=password' }))).code, '28P01')
  use('hasher', 'scram', 'trust')
  assert.equal((await failure(kit.client('hasher', { options: '-c bawn.login=trust' }))).code, '28P01')
})

test('trust: the name is enough, and it has to be one', async () => {
  use('sue', 'trust')
  await withClient(kit.client('sue', { password: undefined }), client => client.query('select 1'))
  assert.equal(kit.events[0]?.identity?.mechanism, 'trust')
  assert.deepEqual(kit.events[0]?.identity?.roles, ['support'])
  for (const user of ['nobody', 'lockey']) {
    use(user, 'trust')
    const { code, message } = await failure(kit.client(user))
    assert.deepEqual([code, message], ['28000', `trust authentication failed for user "${user}"`])
  }
})

test('a password in clear is not asked for outside TLS, but on the machine itself', async () => {
  use('hasher', 'password')
  await withClient(kit.client('hasher', { ssl: false }), client => client.query('select 1'))
})

test('guessing a password is slowed down by the same limits whatever the mechanism; the right one waits too, a token never', async () => {
  const now = () => 0
  const throttle = createLoginThrottle({ now })
  const hashed: string[] = []
  const checks = createPasswordCheck({
    stores: [],
    throttle,
    now,
    queue: createHashQueue({ concurrency: 1 }),
    isVerified: async () => hashed.push('one') < 0,
  })
  const door = await kit.listen({}, { throttle, password: checks })
  const at = (user: string, more: pg.ClientConfig = {}) => kit.client(user, { port: door.address.port, ...more })
  use('billy', 'scram', 'jwt', 'password')
  const inClear = (text: string) => at('billy', { password: text, options: '-c bawn.login=password' })
  const codes = [
    await failure(at('billy', { password: 'wrong' })),
    await failure(inClear('wrong')),
    await failure(inClear('worse')),
    // The same guess again is none.
    await failure(inClear('wrong')),
    await failure(at('billy', { password: 'wrong' })),
    await failure(at('billy', { password: 'wrong' })),
    await failure(at('billy')),
    await failure(inClear(password)),
  ].map(({ code }) => code)
  assert.deepEqual(codes, ['28P01', '28P01', '28P01', '28P01', '28P01', '28P01', '53400', '53400'])
  assert.equal(hashed.length, 2)
  assert.deepEqual(
    kit.events.slice(6).map(event => event.code),
    ['throttled', 'throttled'],
  )
  const byToken = { options: '-c bawn.login=jwt' }
  for (let n = 0; n < 6; n += 1)
    assert.equal((await failure(at('billy', { ...byToken, password: 'wrong' }))).code, '28P01')
  await withClient(at('billy', { ...byToken, password: 'token:billy:billing' }), client => client.query('select 1'))
  // An issuer that cannot be reached is no failed login.
  use('tess', 'jwt')
  for (let n = 0; n < 8; n += 1) assert.equal((await failure(at('tess', { password: 'outage:' }))).code, '57P03')
  await withClient(at('tess', { password: 'token:tess:support' }), client => client.query('select 1'))
  await checks.close()
})

test('too many checks waiting: 53300, and nobody is told that a password is wrong', async () => {
  const throttle = createLoginThrottle({ now: () => 0 })
  const checks = createPasswordCheck({
    stores: [],
    throttle,
    now: () => 0,
    queue: createHashQueue({ concurrency: 0, maxWaiting: 0 }),
  })
  const door = await kit.listen({}, { password: checks })
  use('hasher', 'password')
  assert.equal((await failure(kit.client('hasher', { port: door.address.port }))).code, '53300')
  await checks.close()
})

/** Inside TLS, up to the offer of mechanisms. */
async function offered(door: PostgresListener, user: string): Promise<RawClient> {
  use(user, 'oauthbearer')
  const client = await RawClient.connectTls(door.address.port, kit.authority.certificate, ['postgresql'])
  client.socket.write(
    buildStartupMessage([
      ['user', user],
      ['database', 'shop'],
    ]),
  )
  await client.until(() => client.letters() === 'R')
  assert.equal(client.messages()[0]?.body.toString('latin1'), '\0\0\0\nOAUTHBEARER\0\0')
  return client
}

const initial = (text: string, mechanism = 'OAUTHBEARER'): Buffer => {
  const data = Buffer.from(text, 'latin1')
  return new MessageBuilder().begin(front.password).cstring(mechanism).int32(data.length).bytes(data).end().take()
}
const seen = new MessageBuilder().begin(front.password).uint8(1).end().take()
const errorOf = (client: RawClient): Record<string, string> => {
  const error = client.messages().find(message => message.type === 'E')
  return error === undefined ? {} : Object.fromEntries(parseErrorResponse(error.body, 0, error.body.length))
}
/** The JSON of the server's challenge. */
const challengeOf = (client: RawClient): unknown => {
  const body = client.messages()[1]?.body ?? Buffer.alloc(0)
  assert.equal(body.readInt32BE(0), 11)
  return JSON.parse(body.toString('utf8', 4))
}

test('oauthbearer: a token logs in, without a word after it', async () => {
  // The kit's tokens have colons, which no bearer token has.
  const door = await kit.listen(
    {},
    { jwt: { authenticate: token => kit.state.jwt?.authenticate(token.replaceAll('.', ':')) ?? { kind: 'absent' } } },
  )
  const good = await offered(door, 'tess')
  good.socket.write(initial('n,,\x01auth=Bearer token.tess.support\x01\x01'))
  await good.until(() => good.letters().includes('Z'))
  assert.match(good.letters(), /^RRS+KZ$/)
  const identity = kit.events.find(event => event.decision === 'permit')?.identity
  assert.deepEqual([identity?.id, identity?.mechanism, identity?.source], ['tess', 'oauthbearer', 'corp'])
  good.socket.destroy()

  kit.events.length = 0
  for (const [token, reason] of [
    ['expired.', 'expired'],
    ['token.bob.support', 'name-mismatch'],
    ['nonsense', 'malformed'],
  ]) {
    const bad = await offered(door, 'tess')
    bad.socket.write(initial(`n,,\x01auth=Bearer ${token}\x01\x01`))
    await bad.until(() => bad.letters() === 'RR')
    assert.deepEqual(challengeOf(bad), {
      status: 'invalid_token',
      'openid-configuration': 'https://id.example/.well-known/openid-configuration',
      scope: 'openid',
    })
    bad.socket.write(seen)
    await bad.untilClosed()
    assert.deepEqual(
      [errorOf(bad)['C'], errorOf(bad)['M']],
      ['28000', 'OAuth bearer authentication failed for user "tess"'],
    )
    assert.equal(kit.events.at(-1)?.code, reason)
  }
})

test('oauthbearer: whoever leaves once told that a token is no good has failed, and the trail says so', async () => {
  for (const leave of [
    (client: RawClient) => client.socket.destroy(),
    (client: RawClient) => client.socket.write(initial('n,,\x01auth=Bearer again\x01\x01')),
  ]) {
    kit.events.length = 0
    const client = await offered(kit.door, 'tess')
    client.socket.write(initial('n,,\x01auth=Bearer nonsense\x01\x01'))
    await client.until(() => client.letters() === 'RR')
    leave(client)
    const until = Date.now() + 10_000
    while (kit.events.length === 0 && Date.now() < until) await new Promise(resolve => setTimeout(resolve, 5))
    assert.deepEqual([kit.events[0]?.decision, kit.events[0]?.code], ['deny', 'malformed'])
  }
})

test('oauthbearer: whoever asks where to get a token has not failed to log in', async () => {
  const throttle = createLoginThrottle({ now: () => 0 })
  const door = await kit.listen({}, { throttle })
  for (let n = 0; n < 8; n += 1) {
    const client = await offered(door, 'tess')
    client.socket.write(initial('n,,\x01auth=\x01\x01'))
    await client.until(() => client.letters() === 'RR')
    assert.match(JSON.stringify(challengeOf(client)), /well-known/)
    client.socket.write(seen)
    await client.untilClosed()
    assert.equal(errorOf(client)['C'], '28000')
  }
  assert.deepEqual(kit.events, [])
  assert.equal(throttle.attempt('tess', '127.0.0.1').kind, 'permitted')
})

test('oauthbearer: what breaks the protocol ends the connection', async () => {
  for (const message of [
    initial('n,,\x01auth=Bearer t\x01\x01', 'SCRAM-SHA-256'),
    initial('p=tls-server-end-point,,\x01auth=Bearer t\x01\x01'),
    initial(''),
    new MessageBuilder().begin(front.password).cstring('OAUTHBEARER').int32(-1).end().take(),
  ]) {
    const client = await offered(kit.door, 'tess')
    client.socket.write(message)
    await client.untilClosed()
    assert.equal(errorOf(client)['C'], '08P01')
  }
  const client = await offered(kit.door, 'tess')
  client.socket.write(initial('n,,\x01auth=\x01\x01'))
  await client.until(() => client.letters() === 'RR')
  client.socket.write(initial('n,,\x01auth=Bearer t\x01\x01'))
  await client.untilClosed()
  assert.equal(errorOf(client)['C'], '08P01')
})

test('oauthbearer exists inside TLS only', async () => {
  use('tess', 'oauthbearer')
  const client = await RawClient.connect(kit.door.address.port)
  client.socket.write(
    buildStartupMessage([
      ['user', 'tess'],
      ['database', 'shop'],
    ]),
  )
  await client.untilClosed()
  assert.deepEqual([errorOf(client)['C'], errorOf(client)['M']], ['28000', 'OAUTHBEARER needs TLS'])
})
