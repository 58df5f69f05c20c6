import assert from 'node:assert/strict'
import { connect as connectTcp } from 'node:net'
import { after, before, beforeEach, test } from 'node:test'
import pg from 'pg'
import { createRateLimiter, type RateLimit } from '../packages/bawn/src/limits/rate-limit.ts'
import { parseErrorResponse } from '../packages/bawn/src/postgres/wire/error-response.ts'
import { buildCancelRequest, buildSslRequest, buildStartupMessage } from '../packages/bawn/src/postgres/wire/startup.ts'
import { type Kit, RawClient, rawLogin, rules, say, startKit, withClient } from './postgres-kit.ts'

let kit: Kit
before(async () => {
  kit = await startKit('create table people (id int primary key, name text, email bytea, photo bytea)')
})
after(() => kit.stop())
beforeEach(() => {
  rules.clear()
  kit.events.length = 0
})

const errorOf = (client: RawClient): Record<string, string> => {
  const error = client.messages().find(message => message.type === 'E')
  assert.ok(error !== undefined, 'an ErrorResponse')
  return Object.fromEntries(parseErrorResponse(error.body, 0, error.body.length))
}

const gss = Buffer.from('0000000804d21630', 'hex')

/** What node-postgres throws for a failed login. */
async function failure(
  config: pg.ClientConfig,
): Promise<{ readonly code: string; readonly message: string; readonly hint: string }> {
  const client = new pg.Client(config)
  client.on('error', () => {})
  try {
    await client.connect()
  } catch (error) {
    assert.ok(error instanceof pg.DatabaseError, String(error))
    return { code: error.code ?? '', message: error.message, hint: error.hint ?? '' }
  }
  await client.end()
  assert.fail('the login was let through')
}

const who = 'select current_user as login, current_setting($$application_name$$) as app'

test('SCRAM: the gateway logs in as itself and the application name tells who it is', async () => {
  await withClient(kit.client('billy', { application_name: 'report' }), async client => {
    assert.deepEqual((await client.query(who)).rows, [{ login: 'postgres', app: 'bawn:billy report' }])
  })
  const [event] = kit.events
  assert.equal(event?.kind, 'login')
  assert.equal(event?.decision, 'permit')
  assert.equal(event?.identity?.id, 'billy')
})

test('a client certificate needs no question, a token is a password', async () => {
  const { certificate, key } = kit.authority.issue('machine', 'client')
  await withClient(
    kit.client('machine', { ssl: { ca: kit.authority.certificate, cert: certificate, key } }),
    async client => {
      assert.deepEqual((await client.query(who)).rows, [{ login: 'postgres', app: 'bawn:machine' }])
    },
  )
  const wrongName = await failure(
    kit.client('billy', { ssl: { ca: kit.authority.certificate, cert: certificate, key } }),
  )
  assert.equal(wrongName.code, '28000')
  rules.set('tess', { kind: 'matched', rule: 'tokens', use: ['jwt', 'scram'] })
  await withClient(kit.client('tess', { password: 'token:tess:support' }), async client => {
    assert.equal((await client.query(who)).rows.length, 1)
  })
  rules.clear()
  await withClient(
    kit.client('tess', { password: 'token:tess:support', options: '-c bawn.login=jwt' }),
    async client => {
      assert.equal((await client.query(who)).rows.length, 1)
    },
  )
})

test('a certificate of another authority counts as none', async () => {
  const { createAuthority } = await import('@bawn/demo/certificates')
  const { certificate, key } = createAuthority('stranger').issue('machine', 'client')
  rules.set('machine', { kind: 'matched', rule: 'machines', use: ['certificate'] })
  const refused = await failure(
    kit.client('machine', { ssl: { ca: kit.authority.certificate, cert: certificate, key } }),
  )
  assert.equal(refused.code, '28000')
})

const failures: readonly {
  readonly name: string
  readonly config: () => pg.ClientConfig
  readonly code: string
  readonly reason?: string
}[] = [
  {
    name: 'wrong password',
    config: () => kit.client('billy', { password: 'wrong' }),
    code: '28P01',
    reason: 'wrong-password',
  },
  {
    name: 'unknown user',
    config: () => kit.client('nobody', { password: 'wrong' }),
    code: '28P01',
    reason: 'unknown-user',
  },
  { name: 'locked account', config: () => kit.client('lockey'), code: '28P01', reason: 'locked' },
  {
    name: 'expired token',
    config: () => kit.client('tess', { password: 'expired:', options: '-c bawn.login=jwt' }),
    code: '28P01',
    reason: 'expired',
  },
  {
    name: 'token of somebody else',
    config: () => kit.client('tess', { password: 'token:bob:support', options: '-c bawn.login=jwt' }),
    code: '28P01',
    reason: 'name-mismatch',
  },
  {
    name: 'issuer down',
    config: () => kit.client('tess', { password: 'outage:', options: '-c bawn.login=jwt' }),
    code: '57P03',
    reason: 'undecided',
  },
  { name: 'unknown database', config: () => kit.client('billy', { database: 'nowhere' }), code: '3D000' },
  {
    name: 'unknown database and wrong password',
    config: () => kit.client('billy', { database: 'nowhere', password: 'x' }),
    code: '28P01',
  },
  { name: 'policy denies', config: () => kit.client('outsider'), code: '42501' },
  { name: 'search_path', config: () => kit.client('billy', { options: '-c search_path=evil' }), code: '42501' },
  { name: 'a switch of the server program', config: () => kit.client('billy', { options: '-d 5' }), code: '42501' },
  { name: 'other encoding', config: () => kit.client('billy', { options: '-c client_encoding=SJIS' }), code: '0A000' },
]

test('logins that fail say why as far as they may', async () => {
  for (const { name, config, code, reason } of failures) {
    kit.events.length = 0
    assert.equal((await failure(config())).code, code, name)
    const [event] = kit.events
    assert.equal(event?.kind, 'login', name)
    assert.notEqual(event?.decision, 'permit', name)
    if (reason !== undefined) assert.equal(event?.code, reason, name)
  }
})

test('known and unknown users are told the same', async () => {
  const known = await failure(kit.client('billy', { password: 'wrong' }))
  const unknown = await failure(kit.client('bill2', { password: 'wrong' }))
  assert.deepEqual({ ...unknown, message: unknown.message.replace('bill2', 'billy') }, known)
})

test('no host rule, and a rule without a mechanism that fits', async () => {
  rules.set('billy', { kind: 'none' })
  assert.equal((await failure(kit.client('billy'))).code, '28000')
  rules.set('billy', { kind: 'matched', rule: 'nobody', use: [] })
  assert.equal((await failure(kit.client('billy'))).code, '28000')
  rules.set('billy', { kind: 'matched', rule: 'certificates only', use: ['certificate'] })
  assert.equal((await failure(kit.client('billy'))).code, '28000')
})

test('startup: SSLRequest, GSSENCRequest, direct TLS', async () => {
  const plain = await kit.listen({ tls: undefined })
  const refused = await RawClient.connect(plain.address.port)
  refused.socket.write(gss)
  await refused.until(bytes => bytes.toString() === 'N')
  refused.socket.write(buildSslRequest())
  await refused.until(bytes => bytes.toString() === 'NN')
  refused.socket.write(buildSslRequest())
  assert.equal((await refused.untilClosed()).toString(), 'NN')

  const injected = await RawClient.connect(kit.door.address.port)
  injected.socket.write(Buffer.concat([buildSslRequest(), buildStartupMessage([['user', 'billy']])]))
  assert.equal((await injected.untilClosed()).length, 0)

  const direct = await RawClient.connectTls(kit.door.address.port, kit.authority.certificate, ['postgresql'])
  direct.socket.write(
    buildStartupMessage([
      ['user', 'billy'],
      ['database', 'shop'],
    ]),
  )
  await direct.until(bytes => bytes.includes('SCRAM-SHA-256-PLUS'))
  direct.socket.destroy()

  const other = await RawClient.connectTls(kit.door.address.port, kit.authority.certificate, []).catch(() => undefined)
  if (other !== undefined) {
    other.socket.write(buildStartupMessage([['user', 'billy']]))
    assert.equal((await other.untilClosed()).length, 0)
  }
})

test('startup: versions, options, garbage', async () => {
  const connect = () => RawClient.connect(kit.door.address.port)
  const old = await connect()
  old.socket.write(Buffer.from('0000000800020000', 'hex'))
  await old.untilClosed()
  assert.equal(errorOf(old)['C'], '0A000')

  const future = await connect()
  const body = Buffer.from('user\0billy\0database\0shop\0_pq_.unheard_of\0yes\0\0')
  const packet = Buffer.alloc(8 + body.length)
  packet.writeInt32BE(packet.length)
  packet.writeInt32BE(0x0003_270f, 4)
  packet.set(body, 8)
  future.socket.write(packet)
  await future.until(() => future.letters() === 'vR')
  const [negotiate] = future.messages()
  assert.equal(negotiate?.body.readInt32BE(0), 0x0003_0002)
  assert.equal(negotiate?.body.toString('latin1', 8), '_pq_.unheard_of\0')
  future.socket.destroy()

  const nameless = await connect()
  nameless.socket.write(buildStartupMessage([['database', 'shop']]))
  await nameless.untilClosed()
  assert.equal(errorOf(nameless)['C'], '28000')

  for (const hex of [
    '00000007',
    '00002711',
    '7fffffff',
    'ffffffff',
    '0000000804d2162f00',
    '47455420',
    '0000000c04d2162e00000001',
  ]) {
    const garbage = await connect()
    garbage.socket.write(Buffer.from(hex, 'hex'))
    assert.equal((await garbage.untilClosed()).length, 0, hex)
  }

  const slow = await connect()
  const whole = buildStartupMessage([
    ['user', 'billy'],
    ['database', 'shop'],
  ])
  for (const byte of whole) slow.socket.write(Buffer.of(byte))
  await slow.until(() => slow.letters() === 'R')
  slow.socket.destroy()
})

test('login: malformed SASL and passwords end in 08P01', async () => {
  const starts = [
    Buffer.from('Q\0\0\0\x06x\0', 'latin1'),
    Buffer.from('p\0\0\0\x04', 'latin1'),
    Buffer.from('p\0\0\0\x08abcd', 'latin1'),
    Buffer.from('p\x7f\xff\xff\xff', 'latin1'),
    Buffer.from('p\0\0\0\x16SCRAM-SHA-256\0\xff\xff\xff\xff', 'latin1'),
  ]
  for (const bytes of starts) {
    const client = await RawClient.connect(kit.door.address.port)
    client.socket.write(
      buildStartupMessage([
        ['user', 'billy'],
        ['database', 'shop'],
      ]),
    )
    await client.until(() => client.letters() === 'R')
    client.socket.write(bytes)
    await client.untilClosed()
    assert.equal(errorOf(client)['C'], '08P01')
  }
})

test('an authentication that takes too long is cut', async () => {
  const door = await kit.listen({ authentication_timeout: 50 })
  const client = await RawClient.connect(door.address.port)
  await client.untilClosed()
})

test('too many connections are told so', async () => {
  const door = await kit.listen({ max_connections: 1 })
  const port = door.address.port
  await withClient(kit.client('billy', { port }), async () => {
    assert.equal((await failure(kit.client('billy', { port }))).code, '53300')
  })
})

test('cancel: by our key only', async () => {
  const client = new pg.Client(kit.client('billy'))
  await client.connect()
  try {
    // pg keeps what BackendKeyData said, and its own `cancel` speaks no TLS.
    const { processID, secretKey } = client as unknown as { processID: number; secretKey: number }
    const key = Buffer.alloc(4)
    key.writeInt32BE(secretKey)
    const running = client.query('select pg_sleep(30)')
    const outcome = running.then(
      () => 'done',
      (error: unknown) => (error instanceof pg.DatabaseError ? error.code : error),
    )
    await runningSleep()
    const wrong = await RawClient.connect(kit.door.address.port)
    wrong.socket.write(buildCancelRequest(processID, Buffer.alloc(4)))
    await wrong.untilClosed()
    assert.equal(
      (
        await kit.direct(
          "select count(*)::int as n from pg_stat_activity where query like '%pg_sleep(30)' and state = 'active'",
        )
      )[0]?.['n'],
      1,
    )
    const right = await RawClient.connect(kit.door.address.port)
    right.socket.write(buildCancelRequest(processID, key))
    await right.untilClosed()
    assert.equal(await outcome, '57014')
  } finally {
    await client.end()
  }
})

/** Resolves when the server runs pg_sleep. */
async function runningSleep(): Promise<void> {
  for (;;) {
    const rows = await kit.direct(
      "select 1 from pg_stat_activity where query like '%pg_sleep(30)' and state = 'active'",
    )
    if (rows.length > 0) return
  }
}

test('a client that vanishes takes its statement with it', async () => {
  const client = new pg.Client(kit.client('billy'))
  client.on('error', () => {})
  await client.connect()
  client.query('select pg_sleep(30)').catch(() => {})
  await runningSleep()
  const { stream } = (client as unknown as { connection: { stream: { destroy(): void } } }).connection
  stream.destroy()
  for (;;) {
    const rows = await kit.direct(
      "select 1 from pg_stat_activity where query like '%pg_sleep(30)' and state = 'active' and pid <> pg_backend_pid()",
    )
    if (rows.length === 0) break
  }
})

test('PostgreSQL that goes away ends the session with its own words, or 08001 at the start', async () => {
  const client = new pg.Client(kit.client('billy'))
  const ended = new Promise<unknown>(resolve => client.on('error', resolve))
  await client.connect()
  await kit.direct("select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'bawn:billy%'")
  const error = await ended
  assert.ok(error instanceof pg.DatabaseError && error.code === '57P01', String(error))
  const shop = kit.state.databases.get('shop')
  assert.ok(shop !== undefined)
  const gone = await kit.listen(
    {},
    { databases: new Map([['shop', { ...shop, upstream: { ...shop.upstream, port: 1 } }]]) },
  )
  assert.equal((await failure(kit.client('billy', { port: gone.address.port }))).code, '08001')
  const badPassword = await kit.listen(
    {},
    { databases: new Map([['shop', { ...shop, upstream: { ...shop.upstream, password: 'x' } }]]) },
  )
  const login = await failure(kit.client('billy', { port: badPassword.address.port }))
  assert.equal(login.code, '08004')
  assert.ok(!login.message.includes('postgres"'))
  const otherName = await kit.listen(
    {},
    {
      databases: new Map([
        [
          'shop',
          {
            ...shop,
            upstream: { ...shop.upstream, tls: { ca: kit.authority.certificate, serverName: 'other.example' } },
          },
        ],
      ]),
    },
  )
  assert.equal((await failure(kit.client('billy', { port: otherName.address.port }))).code, '08001')
})

test('revoking an identity ends its sessions, and draining waits for transactions', async () => {
  const door = await kit.listen()
  const { port } = door.address
  const end = (client: pg.Client) => new Promise<unknown>(resolve => client.on('error', resolve))
  const code = (error: unknown) => (error instanceof pg.DatabaseError ? error.code : String(error))

  const sue = new pg.Client(kit.client('sue', { port }))
  const sueEnded = end(sue)
  await sue.connect()
  const billy = new pg.Client(kit.client('billy', { port }))
  const billyEnded = end(billy)
  await billy.connect()
  assert.deepEqual(
    door
      .sessions()
      .map(session => session.identity.id)
      .sort(),
    ['billy', 'sue'],
  )
  assert.deepEqual(
    door.endSessions(({ identity }) => identity.id === 'sue', 'revoked').map(({ identity }) => identity.id),
    ['sue'],
  )
  assert.equal(code(await sueEnded), '57P01')

  await billy.query('begin')
  const drained = door.drain(10_000)
  assert.equal((await billy.query('select 1 as one')).rows[0]?.one, 1)
  await billy.query('commit').catch(() => {})
  assert.equal(code(await billyEnded), '57P01')
  await drained
  assert.equal(door.sessions().length, 0)
})

test('random bytes at every stage end cleanly', async () => {
  const { randomBytes, randomInt } = await import('node:crypto')
  for (let round = 0; round < 60; round += 1) {
    const client = await RawClient.connect(kit.door.address.port)
    if (round % 3 > 0)
      client.socket.write(
        buildStartupMessage([
          ['user', 'billy'],
          ['database', 'shop'],
        ]),
      )
    client.socket.end(randomBytes(randomInt(1, 200)))
    await client.untilClosed()
  }
  await withClient(kit.client('billy'), async client => {
    assert.equal((await client.query('select 1 as one')).rows[0]?.one, 1)
  })
})

test('a trail that cannot be written ends the session before anything is shown', async () => {
  let full = false
  const audit = {
    ...kit.state.audit,
    commit: () => {
      if (full) throw new Error('disk full')
    },
  }
  const door = await kit.listen({}, { audit })
  const client = new pg.Client(kit.client('billy', { port: door.address.port }))
  client.on('error', () => {})
  await client.connect()
  await client.query("insert into people (id, email) values (1, 'shown@example.com')")
  full = true
  const shown = client.query('select email from people where id = 1')
  await assert.rejects(shown, error => !String(error).includes('shown@example.com'))
  const next = new pg.Client(kit.client('billy', { port: door.address.port }))
  next.on('error', () => {})
  await assert.rejects(next.connect())
})

test('protocol 3.2 gets a key of 32 bytes, and cancels with it', async () => {
  const client = await rawLogin(kit.door.address.port, 'ray', 'billing', 2)
  const key = client.backendKey
  assert.equal(key?.length, 36)
  client.socket.write(say.query('select pg_sleep(30)'))
  await runningSleep()
  for (const secret of [key.subarray(4, 8), Buffer.alloc(32), key.subarray(4)]) {
    const cancel = await RawClient.connect(kit.door.address.port)
    cancel.socket.write(buildCancelRequest(key.readInt32BE(0), secret))
    await cancel.untilClosed()
  }
  await client.until(() => client.letters().includes('EZ'))
  assert.equal(errorOf(client)['C'], '57014')
  client.socket.destroy()
  const old = await rawLogin(kit.door.address.port, 'ray', 'billing', 0)
  assert.equal(old.backendKey?.length, 8)
  old.socket.destroy()
})

test('a session ends with its token, at the next statement', async () => {
  let now = Date.now()
  const door = await kit.listen({}, { now: () => now })
  rules.set('tess', { kind: 'matched', rule: 'tokens', use: ['jwt'] })
  const client = new pg.Client(
    kit.client('tess', { port: door.address.port, password: `token:tess:support:${now + 60_000}` }),
  )
  client.on('error', () => {})
  await client.connect()
  await client.query('select 1')
  now += 60_000
  await assert.rejects(client.query('select 1'), { code: '57P01' })
})

test('a new state is for new sessions, and ends those that it would not let in', async () => {
  const door = await kit.listen()
  const { port } = door.address
  const before = new pg.Client(kit.client('billy', { port }))
  const ended = new Promise<unknown>(resolve => before.on('error', resolve))
  await before.connect()
  const shop = kit.state.databases.get('shop')
  assert.ok(shop !== undefined)
  const elsewhere = { ...shop, upstream: { ...shop.upstream, tls: undefined, port: 1 } }
  door.swap({ ...kit.state, databases: new Map([['shop', elsewhere]]) })
  assert.equal((await failure(kit.client('billy', { port }))).code, '08001')
  assert.equal((await before.query('select 1 as one')).rows[0]?.one, 1)
  door.swap({ ...kit.state, databases: new Map() })
  assert.equal((await failure(kit.client('billy', { port }))).code, '3D000')
  const error = await ended
  assert.equal(error instanceof pg.DatabaseError && error.code, '57P01')
})

test('clients of another protocol version that never close do not fill the door', async t => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const door = await kit.listen({ max_connections: 1 })
  const { port } = door.address
  const stubborn = await Promise.all(
    Array.from({ length: 12 }, async () => {
      const client = new RawClient(connectTcp({ host: '127.0.0.1', port, allowHalfOpen: true }))
      client.socket.write(Buffer.from('0000000800020000', 'hex'))
      await client.until(() => client.letters() === 'E')
      return client
    }),
  )
  t.mock.timers.tick(10_000)
  const client = await RawClient.connect(port)
  client.socket.write(gss)
  assert.equal((await client.until(received => received.length > 0)).toString(), 'N')
  for (const { socket } of [client, ...stubborn]) socket.destroy()
})

test('connections over the rate are told so before TLS, with 53300, and take nobody’s place', async () => {
  let at = 0
  const limiter = createRateLimiter({ now: () => at })
  const options = { rate: { count: 1, unitMs: 1_000 }, burst: 2, per: 'address' } as const
  const door = await kit.listen({ rateLimit: limiter.limit('listener sql', 'listener', options), max_connections: 2 })
  const { port } = door.address
  await withClient(kit.client('billy', { port }), client => client.query('select 1'))
  await withClient(kit.client('billy', { port }), client => client.query('select 1'))
  for (const first of [buildSslRequest(), gss, buildStartupMessage([['user', 'billy']])]) {
    const clients = await Promise.all(Array.from({ length: 4 }, () => RawClient.connect(port)))
    for (const client of clients) {
      client.socket.write(first)
      await client.untilClosed()
      assert.deepEqual(
        [client.letters(), errorOf(client)['C'], errorOf(client)['M']],
        ['E', '53300', 'too many connections from this address: wait 1 s'],
      )
    }
  }
  assert.equal((await failure(kit.client('billy', { port, ssl: false }))).code, '53300')
  assert.equal(kit.events.filter(event => event.decision === 'deny').length, 0, 'nobody tried to log in')
  at = 1_000
  await withClient(kit.client('billy', { port }), client => client.query('select 1'))
})

test('connections that cannot be counted are refused', async () => {
  const rateLimit: RateLimit = {
    name: 'listener',
    burst: 1,
    windowMs: 1,
    take: () => Promise.reject(new Error('the counter is away')),
  }
  const door = await kit.listen({ rateLimit })
  const client = await RawClient.connect(door.address.port)
  await client.untilClosed()
  assert.equal(errorOf(client)['C'], '57P03')
})
