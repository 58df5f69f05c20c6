import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chownSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { createAuthority } from '@bawn/demo/certificates'
import { type Postgres, startPostgres } from '@bawn/demo/postgres'
import pg from 'pg'
import type { DatabaseLogin } from '../database-client.ts'
import { administrationBehaviours } from './administration-behaviour.fixture.ts'
import { openPostgresAccounts, type PostgresAccountStore, type PostgresAccountsOptions } from './postgres.ts'
import type { Account } from './store.ts'
import { storeBehaviours } from './store-behaviour.fixture.ts'

const authority = createAuthority('test authority')
let postgres: Postgres
before(async () => {
  postgres = await startPostgres({ tls: authority.issue('postgres', 'server', ['localhost', '127.0.0.1']) })
})
after(() => postgres?.stop())

const loginTo = (server: Postgres, more: Partial<DatabaseLogin> = {}): DatabaseLogin => ({
  host: server.host,
  port: server.port,
  database: 'postgres',
  tls: undefined,
  user: server.user,
  password: server.password,
  connectTimeoutMs: 5_000,
  ...more,
})

function open(schema: string, more: Partial<PostgresAccountsOptions> = {}): PostgresAccountStore {
  const limits = { statementTimeoutMs: 5_000, maxConnections: 4, create: true } as const
  return openPostgresAccounts({ name: 'staff', schema, login: loginTo(postgres), ...limits, clock: Date.now, ...more })
}

let schemas = 0
const freshSchema = (): string => `accounts_${++schemas}`

function opener(t: TestContext, schema: string, more: Partial<PostgresAccountsOptions> = {}) {
  return async (clock: () => number = Date.now): Promise<PostgresAccountStore> => {
    const store = open(schema, { clock, ...more })
    t.after(() => store.close())
    return store
  }
}

administrationBehaviours({ kind: 'postgres', empty: async t => opener(t, freshSchema()) })
storeBehaviours({
  kind: 'postgres',
  keepsTimes: true,
  updatesAtOnce: true,
  keepsDigest: true,
  empty: async t => opener(t, freshSchema()),
})

const alice: Account = { name: 'alice', roles: ['support'], scram: undefined, locked: false }

/** As superuser, past the store. */
async function direct(sql: string, server = postgres): Promise<readonly Record<string, unknown>[]> {
  const client = new pg.Client({ ...loginTo(server) })
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

test('of nodes that open it for the first time at once, all find one set of tables and one secret', async t => {
  const schema = freshSchema()
  const nodes = await Promise.all(Array.from({ length: 5 }, opener(t, schema).bind(undefined, undefined)))
  const secrets = await Promise.all(nodes.map(node => node.decoySecret?.()))
  assert.equal(new Set(secrets.map(secret => Buffer.from(secret ?? []).toString('hex'))).size, 1)
  assert.deepEqual(await direct(`select version, oldest from ${schema}.edition`), [{ version: 2, oldest: 2 }])
})

test('nothing is made where nothing may be', async t => {
  const schema = freshSchema()
  const store = await opener(t, schema, { create: false })()
  await assert.rejects(store.find('alice'), { code: 'accounts.unavailable' })
  assert.deepEqual(await direct(`select from pg_namespace where nspname = '${schema}'`), [])
})

test('roles and grants changed at several nodes at once are as if one after the other', async t => {
  const open = opener(t, freshSchema())
  const nodes = await Promise.all([open(), open(), open()])
  const [first] = nodes
  assert(first !== undefined)
  for (const name of ['a', 'b', 'c', 'd']) await first.administration.create({ name, kind: 'role' })
  for (const name of ['alice', 'bob']) await first.administration.create({ name, kind: 'user' })
  // Each half of a cycle is fine alone: of both, one is refused, at whatever node.
  for (const [one, other] of [
    ['a', 'b'],
    ['c', 'd'],
  ] as const) {
    const results = await Promise.allSettled(
      nodes.flatMap(({ administration }) => [
        administration.grantRoles([one], [other]),
        administration.grantRoles([other], [one]),
      ]),
    )
    const refused = results.filter(result => result.status === 'rejected')
    assert.deepEqual([...new Set(refused.map(({ reason }) => reason.code))], ['accounts.role_cycle'])
    assert.equal(refused.length, 3)
  }
  // Whoever drops a role and whoever grants it meanwhile agree on who was first; names go to one or the other; users come and go beside it.
  const outcomes = await Promise.allSettled([
    ...nodes.map(({ administration }) => administration.grantRoles(['a'], ['alice'])),
    ...nodes.map(({ administration }) => administration.drop('a')),
    ...nodes.map(node => node.remove('bob')),
    ...nodes.map(node => node.setLocked('alice', true)),
    ...nodes.map((node, at) => node.add({ ...alice, name: `new${at}` })),
    ...nodes.map((node, at) => node.administration.create({ name: `new${at}`, kind: 'role' })),
  ])
  const codes = outcomes.map(result => (result.status === 'rejected' ? result.reason.code : 'done'))
  for (const code of codes) {
    assert(['accounts.exists', 'accounts.not_found', 'accounts.role_in_use', 'done'].includes(code), code)
  }
  assert.equal(codes.slice(6, 9).filter(code => code === 'done').length, 1, 'bob is removed once')
  const { roleNames } = await first.administration.snapshot()
  assert.equal((await first.find('alice'))?.granted.includes('a'), roleNames.has('a'))
  for (const name of ['new0', 'new1', 'new2']) {
    assert.equal((await first.find(name)) === undefined, roleNames.has(name), 'a user or a role, not both')
  }
})

test('a change of grants counts, whoever makes it', async t => {
  const schema = freshSchema()
  const { administration } = await opener(t, schema)()
  await administration.create({ name: 'staff', kind: 'role' })
  const before = await administration.version()
  await direct(`insert into ${schema}.privilege values ('staff', 'DQL', 'shop', '', '', 'grant', 'me', 0)`)
  assert.notEqual(await administration.version(), before)
  assert.equal((await administration.snapshot()).grants.get('staff')?.length, 1)
  await direct(`update ${schema}.privilege set database = 'x"', schema = 'y', relation = ''`)
  await direct(
    `alter table ${schema}.privilege drop constraint privilege_privilege_check; update ${schema}.privilege set privilege = 'X'`,
  )
  await assert.rejects(administration.snapshot(), { code: 'accounts.unavailable' })
  await direct(`update ${schema}.role set roles = '{null}'`)
  await assert.rejects(administration.principals(), { code: 'accounts.unavailable' })
})

test('a role that may use its schema and nothing else of the database is enough', async t => {
  const schema = freshSchema()
  await direct(`create role keeper login password 'of the keeper'; create schema ${schema} authorization keeper`)
  const login = loginTo(postgres, { user: 'keeper', password: 'of the keeper' })
  const store = await opener(t, schema, { login })()
  await store.add(alice)
  assert.equal((await store.find('alice'))?.name, 'alice')
  const other = freshSchema()
  const refused = await opener(t, other, { login })()
  await assert.rejects(refused.find('alice'), { code: 'accounts.unavailable' })
})

test('functions and operators that somebody put into the database are not called', async t => {
  const schema = freshSchema()
  await direct(`
    create function public.taken(text, text) returns boolean language sql as 'select true';
    create operator public.= (leftarg = text, rightarg = text, function = public.taken);
    alter database postgres set search_path = public, pg_catalog`)
  t.after(() => direct('drop operator public.= (text, text); alter database postgres reset search_path'))
  const store = await opener(t, schema)()
  await store.add(alice)
  assert.equal(await store.find('bob'), undefined)
})

test('tables that only a newer version can live with are left alone, also by whoever has them open', async t => {
  const schema = freshSchema()
  const running = await opener(t, schema)()
  await running.add(alice)
  await direct(`update ${schema}.edition set version = 3`)
  assert.equal((await running.find('alice'))?.name, 'alice')
  assert.equal((await (await opener(t, schema)()).find('alice'))?.name, 'alice')
  await direct(`update ${schema}.edition set oldest = 3`)
  await assert.rejects(running.find('alice'), { code: 'accounts.newer_schema' })
  await assert.rejects(running.find('bob'), { code: 'accounts.newer_schema' })
  await assert.rejects((await opener(t, schema)()).find('alice'), { code: 'accounts.newer_schema' })
})

test('tables of version 1 are brought up to date, and each password gets a version of its own', async t => {
  const schema = freshSchema()
  const before = await opener(t, schema)()
  for (const name of ['alice', 'bob']) await before.add({ ...alice, name })
  await direct(`
    drop table ${schema}.hashed_name;
    drop index ${schema}.account_with_password;
    alter table ${schema}.account drop column digest, drop column credential;
    update ${schema}.edition set version = 1, oldest = 1`)
  const [one, other] = [await opener(t, schema)(), await opener(t, schema)()]
  const [first, second] = await Promise.all([one.find('alice'), other.find('bob')])
  assert(first?.credential !== undefined && !first.credential.isSame(second?.credential))
  assert.equal(first.credential.isSame((await other.find('alice'))?.credential), true)
  assert.deepEqual(await direct(`select version, oldest from ${schema}.edition`), [{ version: 2, oldest: 2 }])
})

test('a damaged row, a lost secret and lost tables are a store that failed', async t => {
  const schema = freshSchema()
  const store = await opener(t, schema)()
  await store.add(alice)
  await direct(`
    insert into ${schema}.account (name, scram, password, roles, locked) values
      ('a', 'md5x', null, '{}', false), ('b', null, 'x', '{}', false), ('c', null, null, '{null}', false);
    delete from ${schema}.secret`)
  for (const name of ['a', 'b', 'c']) await assert.rejects(store.find(name), { code: 'accounts.unavailable' })
  assert.equal((await store.find('alice'))?.name, 'alice')
  // Between `a`, which cannot be read, and `alice`: nobody.
  for (const name of ['', 'aa', 'bb', 'zoe']) assert.equal(await store.find(name), undefined)
  await assert.rejects(store.decoySecret?.() ?? Promise.resolve(), { code: 'accounts.unavailable' })
  await direct(`drop schema ${schema} cascade`)
  // Not made again by a running gateway: that would make unknown names of everybody.
  for (let round = 0; round < 2; round++) await assert.rejects(store.find('alice'), { code: 'accounts.unavailable' })
  assert.deepEqual(await direct(`select from pg_namespace where nspname = '${schema}'`), [])
})

test('no error holds a verifier or the password of the gateway', async t => {
  const schema = freshSchema()
  const store = await opener(t, schema)()
  await store.add(alice)
  await direct(`alter table ${schema}.account add constraint none check (password is null)`)
  const { password } = await store.derive('correct horse')
  await assert.rejects(store.setVerifier('alice', { scram: undefined, password }), error => {
    const text = JSON.stringify(describe(error))
    assert.match(text, /SQLSTATE 23514/)
    assert.doesNotMatch(text, /argon2id|alice/)
    return true
  })
  const wrong = await opener(t, schema, { login: loginTo(postgres, { password: 'wrong-one' }) })()
  await assert.rejects(wrong.find('alice'), error => {
    assert.match(JSON.stringify(describe(error)), /password authentication failed/)
    assert.doesNotMatch(JSON.stringify(describe(error)), /wrong-one/)
    return true
  })
})

function describe(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  return { ...error, message: error.message, stack: error.stack, cause: describe(error.cause) }
}

test('the server must prove its name; without TLS it gets no password in clear', async t => {
  const schema = freshSchema()
  const tls = { ca: authority.certificate, serverName: undefined }
  const store = await opener(t, schema, { login: loginTo(postgres, { host: 'localhost', tls }) })()
  await store.add(alice)
  const others = [
    { ca: createAuthority('another').certificate, serverName: undefined },
    { ca: undefined, serverName: undefined },
    { ca: authority.certificate, serverName: 'db.example' },
  ]
  for (const other of others) {
    const refused = await opener(t, schema, { login: loginTo(postgres, { tls: other }) })()
    await assert.rejects(refused.find('alice'), { code: 'accounts.unavailable' })
  }
  const asked: string[] = []
  const { port } = await listen(t, socket => {
    // AuthenticationCleartextPassword, whatever comes.
    socket.once('data', () => {
      socket.write(Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 3]))
      socket.on('data', bytes => asked.push(bytes.toString('latin1')))
    })
  })
  const impostor = await opener(t, schema, { login: loginTo(postgres, { port }) })()
  await assert.rejects(impostor.find('alice'), { code: 'accounts.unavailable' })
  assert.doesNotMatch(asked.join(''), new RegExp(postgres.password))
})

async function listen(t: TestContext, talk: (socket: Socket) => void): Promise<{ readonly port: number }> {
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket.on('error', () => {}))
    talk(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  assert(address !== null && typeof address === 'object')
  return { port: address.port }
}

test('a server that does not answer is given up, when it connects and when it is asked', async t => {
  const { port } = await listen(t, () => {})
  const login = loginTo(postgres, { port, connectTimeoutMs: 100 })
  const silent = await opener(t, freshSchema(), { login })()
  await assert.rejects(silent.find('alice'), { code: 'accounts.unavailable' })

  const schema = freshSchema()
  const store = await opener(t, schema, { statementTimeoutMs: 100 })()
  await store.add(alice)
  const locker = new pg.Client(loginTo(postgres))
  await locker.connect()
  await locker.query(`begin; lock table ${schema}.account`)
  await assert.rejects(store.find('alice'), { code: 'accounts.unavailable' })
  await assert.rejects(store.setLocked('alice', true), { code: 'accounts.unavailable' })
  await locker.query('rollback')
  await locker.end()
  assert.equal((await store.find('alice'))?.locked, false)
})

test('no more connections than allowed, and none is left behind', async () => {
  const schema = freshSchema()
  const store = open(schema, { maxConnections: 2 })
  await store.add(alice)
  const count = async () =>
    Number(
      (await direct("select count(*) from pg_stat_activity where application_name = 'bawn: accounts'"))[0]?.['count'],
    )
  const before = await count()
  let most = 0
  const watch = (async () => {
    for (let round = 0; round < 10; round++) most = Math.max(most, await count())
  })()
  await Promise.all([watch, ...Array.from({ length: 500 }, () => store.find('alice'))])
  assert(most <= before + 2, `${most} connections`)
  await store.close()
})

test('a standby is not asked: it is behind', async t => {
  const schema = freshSchema()
  const store = await opener(t, schema)()
  await store.add(alice)
  const standby = await startStandby(t)
  const behind = await opener(t, schema, { login: loginTo(standby) })()
  await assert.rejects(behind.find('alice'), /standby/)
})

/** A server that was shut down cleanly and follows a primary that never comes: in recovery, and readable. */
async function startStandby(t: TestContext): Promise<Postgres> {
  const server = await startLasting(t)
  await server.stop()
  const signal = join(server.dataDirectory, 'standby.signal')
  writeFileSync(signal, '')
  const { uid, gid } = statSync(server.dataDirectory)
  chownSync(signal, uid, gid)
  return server.again()
}

interface Lasting extends Postgres {
  /** Starts it once more, on the same port and data. */
  again(): Promise<Postgres>
}

/** A server whose data survive it. */
async function startLasting(t: TestContext, settings: Readonly<Record<string, string>> = {}): Promise<Lasting> {
  const dataDirectory = mkdtempSync(join(tmpdir(), 'bawn-lasting-'))
  const start = async (port?: number): Promise<Postgres> => {
    const server = await startPostgres({
      ...{ dataDirectory, settings, password: 'of the test' },
      ...(port === undefined ? {} : { port }),
    })
    t.after(() => server.stop())
    return server
  }
  t.after(() => rmSync(dataDirectory, { recursive: true, force: true }))
  const server = await start()
  return { ...server, again: () => start(server.port) }
}

test('killed and started again, the database has lost nothing that was acknowledged, and is found again at once', async t => {
  // Less than the store asks for.
  const server = await startLasting(t, { synchronous_commit: 'off', wal_writer_delay: '10s' })
  const store = await opener(t, 'staff', { login: loginTo(server) })()
  await store.add(alice)
  const added: string[] = []
  let failure: unknown
  const adding = (async () => {
    try {
      for (let n = 0; ; n++) {
        await store.add({ ...alice, name: `user${n}` })
        added.push(`user${n}`)
        if (n === 40) server.kill()
      }
    } catch (error) {
      failure = error
    }
  })()
  await adding
  assert.equal(codeOf(failure), 'accounts.unavailable')
  await server.stop()
  for (const name of ['alice', 'nobody-knows']) {
    await assert.rejects(store.find(name), { code: 'accounts.unavailable' })
    await assert.rejects(store.decoy(name), { code: 'accounts.unavailable' })
  }
  await server.again()
  assert.equal((await store.find('alice'))?.name, 'alice')
  assert(added.length > 40)
  for (const name of added) assert.equal((await store.find(name))?.name, name)
})

test('restarted between two questions, it is asked once more over a new connection', async t => {
  const server = await startLasting(t)
  const store = await opener(t, 'staff', { login: loginTo(server) })()
  await store.add(alice)
  // As an administrator or a proxy would; the store may not have heard of it yet.
  await Promise.all([
    direct("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'bawn: accounts'", server),
    ...Array.from({ length: 20 }, async () => assert.equal((await store.find('alice'))?.name, 'alice')),
  ])
})

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}
