import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chownSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { type Postgres, startPostgres } from '@bawn/demo/postgres'
import pg from 'pg'
import { generateAuditKey, generateKeys } from '../packages/bawn/src/keys/generate.ts'
import { type RunningServer, startServer } from '../packages/bawn/src/server.ts'
import { connected } from './limits-kit.ts'
import { runBawn } from './world.ts'

// One database on several hosts: two real PostgreSQL servers in streaming replication, and one host that hears and says nothing. The
// primary is killed, its standby promoted. The tests are one story, in order.

const password = 'of the superuser'
const setup = `
create table notes (id int primary key generated always as identity, text text not null);
create table people (id int primary key, email bytea);
create role gateway login replication password 'of the gateway';
create role alice login password 'alice wonder';
grant select, insert on notes, people to gateway, alice;
create schema bawn;
create function bawn.scram_verifier(role text) returns text language sql stable security definer
  set search_path = pg_catalog, pg_temp
  begin atomic select a.rolpassword from pg_catalog.pg_authid a where a.rolname = role; end;
grant usage on schema bawn to gateway;
grant execute on function bawn.scram_verifier(text) to gateway;
`

let folder: string
let first: Postgres
let second: Postgres
let third: Postgres | undefined
/** Accepts connections, and says nothing. */
let silent: { readonly port: number; readonly accepted: () => number; close(): void }
let gateway: RunningServer
let desk: string
const log: string[] = []

/** Waits until a condition holds, ten seconds at most. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!(await condition())) {
    assert.ok(performance.now() < deadline, 'it did not come to that in ten seconds')
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

const direct = async <T>(server: Postgres, work: (client: pg.Client) => Promise<T>): Promise<T> => {
  const { host, port, user, database } = server
  const client = new pg.Client({ host, port, user, database, password })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** A standby of a server that is running. */
async function startStandby(of: Postgres, name: string): Promise<Postgres> {
  const dataDirectory = join(folder, name)
  const { uid, gid } = statSync(of.dataDirectory)
  const own = (file: string, text: string): void => {
    writeFileSync(join(dataDirectory, file), text, { mode: 0o600 })
    chownSync(join(dataDirectory, file), uid, gid)
  }
  await direct(of, async client => {
    await client.query("select pg_backup_start('standby', true)")
    await promisify(execFile)('cp', ['-R', '-p', of.dataDirectory, dataDirectory])
    const { rows } = await client.query('select labelfile from pg_backup_stop()')
    own('backup_label', rows[0].labelfile)
  })
  for (const file of ['postmaster.pid', 'postmaster.opts']) rmSync(join(dataDirectory, file), { force: true })
  own('standby.signal', '')
  own(
    'postgresql.auto.conf',
    `primary_conninfo = 'host=${of.host} port=${of.port} user=${of.user} password=''${password}'''\n`,
  )
  return await startPostgres({ dataDirectory, password })
}

async function startSilent(): Promise<typeof silent> {
  const sockets = new Set<Socket>()
  let accepted = 0
  const server = createServer(socket => {
    accepted += 1
    sockets.add(socket)
    socket.on('error', () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    accepted: () => accepted,
    close() {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'bawn-hosts-'))
  // PostgreSQL may run as another user than we do.
  await promisify(execFile)('chmod', ['711', folder])
  const settings = { wal_keep_size: '256MB', max_wal_senders: '8' }
  first = await startPostgres({ dataDirectory: join(folder, 'first'), password, settings })
  await direct(first, client => client.query(setup))
  second = await startStandby(first, 'second')
  silent = await startSilent()
  const put = (name: string, text: string): void => writeFileSync(join(folder, name), text, { mode: 0o600 })
  const masterKey = randomBytes(32)
  put('master', masterKey.toString('base64'))
  put('gateway.password', 'of the gateway')
  put('users.yml', 'users:\n  - userid: carol\n    password: carol sings\n    roles: [staff]\n')
  generateAuditKey({ path: join(folder, 'keys'), masterKey })
  generateKeys({ path: join(folder, 'keys'), masterKey, clientId: 'shop-keys' })
  const server = `hosts: ["127.0.0.1:${silent.port}", "127.0.0.1:${second.port}", "127.0.0.1:${first.port}"], database: postgres, tls: off, connect_timeout: 2s`
  const flow = server.replaceAll(/, (?=database|tls|connect)/g, '\n    ')
  const login = 'user: gateway, password: file:gateway.password'
  put(
    'bawn.yaml',
    `listeners:
  sql: { door: postgres, address: 127.0.0.1:0 }
  desk: { door: admin, address: 127.0.0.1:0, token_file: desk.token }
databases:
  shop: { ${server}, login: { ${login} }, allow: [staff], replication: [staff] }
  pooled: { ${server}, login: { ${login} }, allow: [staff], pool: { mode: transaction, size: 4 } }
  kept: { ${server}, login: { ${login} }, allow: [staff], pool: { mode: session, size: 4 } }
  own: { ${server}, login: { kind: verifier, ${login} }, allow: [staff] }
  filtered:
    ${flow}
    login: { ${login} }
    identity: { setting: app.user, roles_setting: app.roles }
    row_filters: [{ name: own, table: public.notes, rows: [{ for: [authenticated], where: "true" }] }]
    allow: [staff]
accounts:
  people: { kind: file, format: users_yml, path: users.yml }
  roles: { kind: postgres-roles, ${server}, login: { ${login} }, roles: [staff] }
host_rules:
  - { door: postgres, database: [shop, pooled, kept, filtered], user: carol, address: 127.0.0.1, use: [trust] }
  - { door: postgres, database: own, use: [scram] }
policies: { staff: { roles: [staff] } }
fields:
  - { name: email, database: shop, columns: [public.people.email], protect: { encrypt: acrablock }, reveal: { default: { mask: email } } }
keys: { store: { kind: directory, path: keys }, master: file:master, client_id: shop-keys }
audit: { file: audit.jsonl }
`,
  )
  gateway = await startServer({ configPath: join(folder, 'bawn.yaml'), log: line => log.push(line), clock: Date.now })
  desk = `http://${gateway.addresses['desk']}`
})
after(async () => {
  await gateway?.close(0)
  silent?.close()
  for (const server of [third, second, first]) await server?.stop()
  rmSync(folder, { recursive: true, force: true })
})

const as = (database: string, target?: string): pg.ClientConfig => ({
  host: '127.0.0.1',
  port: Number(gateway.addresses['sql']?.split(':').at(-1)),
  ...(database !== 'own' ? { user: 'carol', password: 'carol sings' } : { user: 'alice', password: 'alice wonder' }),
  database,
  ...(target === undefined ? {} : { options: `-c bawn.target=${target}` }),
})

const where =
  'select pg_is_in_recovery() as standby, current_setting(\'port\')::int as port, session_user::text as "user"'

async function ask(config: pg.ClientConfig, sql = where): Promise<readonly Record<string, unknown>[]> {
  const { client } = await connected(config)
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

async function ready(): Promise<string> {
  return await (await fetch(`${desk}/readyz`)).text()
}

test('whoever asks for nothing gets the primary, whatever the order, and a replica is for whoever asks', async () => {
  for (const [database, user] of [
    ['shop', 'gateway'],
    ['own', 'alice'],
    ['pooled', 'gateway'],
    ['kept', 'gateway'],
  ] as const) {
    assert.deepEqual(await ask(as(database)), [{ standby: false, port: first.port, user }])
    assert.deepEqual(await ask(as(database, 'primary')), [{ standby: false, port: first.port, user }])
    assert.deepEqual(await ask(as(database, 'replica')), [{ standby: true, port: second.port, user }])
  }
  await assert.rejects(ask(as('shop', 'any')), { code: '42501' })
  // Whether a replica has heard of them is not known.
  await assert.rejects(ask(as('filtered', 'replica')), { code: '42501', message: /it has row filters/ })
})

test('physical replication, which takes no question, finds its host too', async () => {
  for (const [target, { port }] of [
    ['primary', first],
    ['replica', second],
  ] as const) {
    const config = { ...as('shop', target), replication: 'true' }
    assert.deepEqual(await ask(config, 'SHOW port'), [{ port: String(port) }])
  }
})

test('a replica reads, with fields as they are at the primary, and does not write', async () => {
  await ask(as('shop'), "insert into notes (text) values ('before')")
  await ask(as('shop'), "insert into people values (1, 'ann@example.org')")
  const { client } = await connected(as('shop', 'replica'))
  await until(async () => (await client.query('select from people')).rowCount === 1)
  assert.deepEqual((await client.query('select email from people')).rows, [{ email: 'a****@example.org' }])
  await assert.rejects(client.query("insert into notes (text) values ('no')"), { code: '25006' })
  await client.end()
})

test('a host that says nothing is waited for once, not by every login', async () => {
  const { accepted } = silent
  const before = accepted()
  for (let count = 0; count < 20; count += 1) {
    await ask(as('shop'))
    await ask(as('shop', 'replica'))
  }
  // It is first in the list. Of ten seconds one try at most, of logins for a replica: the primary is known.
  assert.ok(accepted() - before <= 3, String(accepted() - before))
})

test('the operator sees which host is which, and where sessions are', async () => {
  const text = await ready()
  assert.match(text, new RegExp(`127.0.0.1:${first.port} primary`))
  assert.match(text, new RegExp(`127.0.0.1:${silent.port} unreachable`))
  const said = log.join('\n')
  assert.match(said, new RegExp(`database shop: its primary is 127.0.0.1:${first.port}"`))
  assert.match(said, new RegExp(`database shop: its host 127.0.0.1:${silent.port} cannot be reached`))
  const { client } = await connected(as('shop', 'replica'))
  const { output } = await runBawn(
    'sessions',
    '--json',
    '--config',
    join(folder, 'bawn.yaml'),
    '--address',
    String(gateway.addresses['desk']),
  )
  assert.match(output, new RegExp(`127.0.0.1:${second.port}`))
  await client.end()
})

test('the primary is killed: its sessions end, and new ones have the one that is promoted', async () => {
  const writing = await connected(as('shop'))
  const reading = await connected(as('shop', 'replica'))
  await writing.client.query("insert into notes (text) values ('at the first')")
  // With pools: who is idle holds nothing that could be lost, and who is in a transaction loses that.
  const [idle, amid, pooledReading] = [
    await connected(as('pooled')),
    await connected(as('pooled')),
    await connected(as('pooled', 'replica')),
  ]
  for (const { client } of [idle, amid, pooledReading]) await client.query({ name: 'where', text: where })
  await ask(as('kept'))
  await amid.client.query('begin')
  await amid.client.query("insert into notes (text) values ('lost')")
  process.kill(first.pid, 'SIGKILL')
  const error = await writing.ended
  assert.ok(error instanceof Error)
  await assert.rejects(writing.client.query('select 1'))
  // Before the promotion there is none, and that is said.
  for (const database of ['shop', 'pooled', 'kept'])
    await assert.rejects(ask(as(database)), { code: '08001', message: /no host of the database is a primary/ })
  assert.ok((await amid.ended) instanceof Error)
  // Verifiers are the primary's to tell: a role may have been locked there.
  await assert.rejects(ask(as('own', 'replica')), { code: '57P03' })
  await direct(second, client => client.query('select pg_promote()'))
  await until(() =>
    ask(as('shop'), "insert into notes (text) values ('at the second')").then(
      () => true,
      () => false,
    ),
  )
  assert.equal((await direct(second, client => client.query('select from notes'))).rowCount, 3)
  for (const [database, user] of [
    ['shop', 'gateway'],
    ['own', 'alice'],
    ['pooled', 'gateway'],
    ['kept', 'gateway'],
  ] as const) {
    assert.deepEqual(await ask(as(database)), [{ standby: false, port: second.port, user }])
    // There is no replica any more: the primary will do.
    assert.deepEqual(await ask(as(database, 'replica')), [{ standby: false, port: second.port, user }])
  }
  assert.deepEqual(await ask(as('shop'), 'select email from people'), [{ email: 'a****@example.org' }])
  for (const { client } of [idle, pooledReading]) {
    const { rows } = await client.query({ name: 'where', text: where })
    assert.deepEqual(rows, [{ standby: false, port: second.port, user: 'gateway' }])
    await client.end()
  }
  // Who read at the standby is still there.
  assert.deepEqual((await reading.client.query(where)).rows, [{ standby: false, port: second.port, user: 'gateway' }])
  await reading.client.end()
})

test('the connection that reads the schema has followed', async () => {
  // What is known of the schema is believed for ten seconds at most.
  await until(async () => {
    assert.match(await ready(), new RegExp(`127.0.0.1:${second.port} primary`))
    const sql = "select from pg_stat_activity where application_name = 'bawn: schema'"
    return ((await direct(second, client => client.query(sql))).rowCount ?? 0) > 0
  })
  const said = log.join('\n')
  assert.match(
    said,
    new RegExp(`database shop: its primary is 127.0.0.1:${second.port}, and was 127.0.0.1:${first.port}`),
  )
})

test('the old primary that is back as a standby is not taken for the primary', async () => {
  const { port } = first
  rmSync(join(folder, 'first'), { recursive: true })
  third = await startStandby(second, 'third')
  // At the address where the first was.
  await third.stop()
  third = await startPostgres({ dataDirectory: join(folder, 'third'), password, port })
  await until(async () => (await ask(as('shop', 'replica')))[0]?.['port'] === port)
  for (const database of ['shop', 'own']) {
    const [row] = await ask(as(database))
    assert.deepEqual([row?.['standby'], row?.['port']], [false, second.port])
  }
  await ask(as('shop'), "insert into notes (text) values ('after')")
})
