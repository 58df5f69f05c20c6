import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import pg from 'pg'
import { buildCancelRequest } from '../packages/bawn/src/postgres/wire/startup.ts'
import { failureOf, until } from './limits-kit.ts'
import { listenWithPool, type PooledDoor } from './pool-kit.ts'
import { type Kit, RawClient, rawLogin, rules, say, startKit, withClient } from './postgres-kit.ts'

// Connections that clients have one after the other, each for its whole session: nothing of one is ever with the next.

const setup = `
create table people (id int primary key, name text, email bytea, photo bytea);
create table by_role (owner text, text text);
insert into by_role values ('sue', 'of sue'), ('billy', 'of billy');
alter table by_role enable row level security;
create policy own on by_role using (owner = current_user and owner = current_setting('app.user', true));
create role sue nologin; create role billy nologin;
create role broker noinherit login password 'of the broker';
grant sue, billy to broker;
grant select, insert on by_role to sue, billy, broker;
grant temporary on database postgres to public;
create sequence numbers;
`

const marks = { role: 'id', setting: 'app.user', rolesSetting: undefined } as const

let kit: Kit
const doors: PooledDoor[] = []

async function listen(...[options, more]: [object?, Parameters<typeof listenWithPool>[2]?]): Promise<PooledDoor> {
  const opened = await listenWithPool(kit, { mode: 'session', ...options }, more)
  doors.push(opened)
  return opened
}

const pidOf = async (client: pg.Client): Promise<unknown> =>
  (await client.query('select pg_backend_pid() as pid')).rows[0]?.pid

/** One session, and the connection it was on, once that is back or gone. */
async function session(
  { pool, as }: PooledDoor,
  user: string,
  work: (client: pg.Client) => Promise<unknown> = async () => {},
  more: pg.ClientConfig = {},
): Promise<unknown> {
  const pid = await withClient(as(user, more), async client => {
    const own = await pidOf(client)
    await work(client)
    return own
  })
  await until(() => pool.counts.idle === pool.counts.open)
  return pid
}

before(async () => {
  kit = await startKit(setup)
})
after(async () => {
  for (const door of doors) await door.close()
  await kit.stop()
})
beforeEach(() => rules.clear())

test('the next session of the same identity has the connection, another identity has not', async () => {
  const door = await listen({}, { marks })
  const asks = async (client: pg.Client): Promise<void> => {
    const user = client.user ?? ''
    const { rows } = await client.query(
      `select current_user::text as role, session_user::text as login, current_setting('app.user') as setting`,
    )
    assert.deepEqual(rows, [{ role: user, login: 'broker', setting: user }])
    assert.deepEqual((await client.query('select text from by_role')).rows, [{ text: `of ${user}` }])
    await client.query('reset all')
    assert.deepEqual((await client.query('select text from by_role')).rows, [{ text: `of ${user}` }])
    for (const text of [
      'reset role',
      'set role billy',
      `select set_config('app.user', 'billy', false)`,
      'discard all',
    ]) {
      assert.equal((await failureOf(client.query(text))).code, '42501')
    }
  }
  const first = await session(door, 'sue', asks)
  assert.equal(await session(door, 'sue', asks), first)
  const other = await session(door, 'billy', asks)
  assert.notEqual(other, first)
  assert.equal(await session(door, 'sue', asks), first)
  assert.equal(await session(door, 'billy', asks), other)
})

test('settings that a client brings hold for its session, and RESET leads back to them', async () => {
  const door = await listen()
  const utc = { options: '-c timezone=UTC', application_name: 'one' }
  const zone = async (client: pg.Client): Promise<unknown> => {
    await client.query(`set timezone = 'Asia/Tokyo'; set application_name = 'changed'`)
    await client.query('reset all')
    return (await client.query(`select current_setting('timezone') as z, current_setting('application_name') as n`))
      .rows
  }
  const seen: unknown[] = []
  const first = await session(door, 'billy', async client => seen.push(await zone(client)), utc)
  const plain = await session(door, 'billy', async () => {}, { application_name: 'two' })
  const again = await session(door, 'billy', async client => seen.push(await zone(client)), utc)
  assert.deepEqual(seen, [[{ z: 'UTC', n: 'bawn:billy one' }], [{ z: 'UTC', n: 'bawn:billy one' }]])
  assert.equal(again, first)
  assert.notEqual(plain, first)
})

test('nothing that a session leaves is there for the next', async () => {
  const door = await listen()
  const leaves = [
    `set timezone = 'Asia/Tokyo'`,
    `set search_path = pg_catalog`,
    `select set_config('my.secret', 'of the one before', false)`,
    'create temporary table left_over (id int)',
    'listen left_over',
    'prepare left_over as select 1',
    'select pg_advisory_lock(4711)',
    'declare left_over cursor with hold for select 1',
    `select nextval('public.numbers')`,
    `set default_transaction_read_only = on`,
  ]
  const first = await session(door, 'billy', async client => {
    for (const text of leaves) await client.query(text)
    await client.query({ name: 'by_protocol', text: 'select 2' })
  })
  assert.deepEqual(await kit.direct(`select * from pg_locks where locktype = 'advisory'`), [])
  const next = await session(door, 'billy', async client => {
    const { rows } = await client.query(
      `select current_setting('timezone') = 'Asia/Tokyo' as zone, current_setting('search_path') as path,
         coalesce(current_setting('my.secret', true), '') as secret,
         to_regclass('left_over')::text as temporary, (select count(*)::int from pg_listening_channels()) as listening,
         (select count(*)::int from pg_prepared_statements) as prepared, (select count(*)::int from pg_cursors) as cursors,
         current_setting('default_transaction_read_only') as read_only`,
    )
    assert.deepEqual(rows, [
      {
        zone: false,
        path: '"$user", public',
        secret: '',
        temporary: null,
        listening: 0,
        prepared: 0,
        cursors: 0,
        read_only: 'off',
      },
    ])
    assert.equal((await failureOf(client.query(`select currval('numbers')`))).code, '55000')
    await client.query({ name: 'by_protocol', text: 'select 3' })
  })
  assert.equal(next, first)
})

const ends: readonly (readonly [name: string, left: (client: RawClient) => Promise<void>])[] = [
  ['an open transaction', async client => end(client, 'begin')],
  ['a failed transaction', async client => end(client, 'begin; select 1/0')],
  [
    'a COPY that was not finished',
    async client => {
      client.socket.write(say.query('copy by_role from stdin'))
      await client.until(() => client.letters().includes('G'))
      client.socket.destroy()
    },
  ],
  [
    'a result in its middle',
    async client => {
      client.socket.write(say.query('select repeat($$x$$, 1000) from generate_series(1, 1000000)'))
      await client.until(received => received.length > 100_000)
      client.socket.destroy()
    },
  ],
  [
    'a Parse without Sync',
    async client => {
      client.socket.write(Buffer.concat([say.parse('left', 'select 1'), Buffer.from('H\0\0\0\x04', 'latin1')]))
      await client.until(() => client.letters().includes('1'))
      client.socket.end(Buffer.from('X\0\0\0\x04', 'latin1'))
      await client.untilClosed()
    },
  ],
]

async function end(client: RawClient, text: string): Promise<void> {
  client.socket.write(say.query(text))
  await client.ready()
  client.socket.write(Buffer.from('X\0\0\0\x04', 'latin1'))
  await client.untilClosed()
}

test('a session that ends otherwise takes its connection along', async () => {
  const door = await listen({}, { database: {} })
  for (const [name, leave] of ends) {
    const client = await plain(door, 'ender')
    client.socket.write(say.query('select pg_backend_pid()'))
    await client.until(() => client.letters().includes('Z'))
    const pid = /\0\0\0.([0-9]+)C/s.exec(client.received.toString('latin1'))?.[1]
    client.received = Buffer.alloc(0)
    await leave(client)
    await until(async () => (await kit.direct(`select 1 from pg_stat_activity where pid = ${pid}`)).length === 0)
    assert.equal(door.pool.counts.open, 0, name)
  }
})

/** A raw client of a door in clear before the same pool. */
async function plain(door: PooledDoor, user: string): Promise<RawClient> {
  return rawLogin(await plainPort(door), user, 'billing')
}

async function plainPort({ database }: PooledDoor): Promise<number> {
  const door = await kit.listen({ tls: undefined }, { databases: new Map([['shop', database]]) })
  return door.address.port
}

test('there are never more than its size, and who waits is served in turn or told why', async () => {
  const opened = await listen({ size: 2 }, { limits: { queue_timeout: '300ms' } })
  const door = { ...opened, as: (user: string) => opened.as(user, { application_name: 'counted' }) }
  await session(door, 'billy')
  await session(door, 'sue')
  assert.deepEqual(door.pool.counts, { open: 2, idle: 2 })
  // Its own is not there: the oldest of the others goes.
  const gus = new pg.Client(door.as('gus'))
  await gus.connect()
  const sue = new pg.Client(door.as('sue'))
  await sue.connect()
  await until(() => door.pool.counts.open === 2)
  const refused = await failureOf(withClient(door.as('billy'), async () => {}))
  assert.equal(refused.code, '53300')
  const waiting = session(door, 'billy')
  await gus.end()
  await sue.end()
  await waiting
  const mine = `application_name like '% counted'`
  await until(async () => (await kit.direct(`select 1 from pg_stat_activity where ${mine}`)).length <= 2)
})

test('connections are closed when nobody used them for long, when they are old, and when the server ends them', async () => {
  const idle = await listen({ idle_timeout: '50ms' })
  await session(idle, 'billy')
  await until(() => idle.pool.counts.open === 0)

  const old = await listen({ lifetime: '200ms' })
  const first = await session(old, 'billy')
  await until(() => old.pool.counts.open === 0)
  assert.notEqual(await session(old, 'billy'), first)

  const ended = await listen()
  const pid = await session(ended, 'billy')
  await kit.direct(`select pg_terminate_backend(${pid})`)
  await until(() => ended.pool.counts.open === 0)
  assert.notEqual(await session(ended, 'billy'), pid)
})

test('a connection whose server has gone while nobody used it is found out, and another one is opened', async () => {
  const door = await listen()
  const pid = await session(door, 'billy')
  await until(() => door.pool.counts.idle === 1)
  await kit.direct(`select pg_terminate_backend(${pid}, 10000)`)
  // Whether the pool has heard of it by now or not.
  assert.notEqual(await session(door, 'billy'), pid)
})

test('a cancel request of a session that has ended hits nobody', async () => {
  const door = await listen()
  const port = await plainPort(door)
  const before = await rawLogin(port, 'canceller', 'billing')
  const key = before.backendKey ?? Buffer.alloc(8)
  before.socket.end(Buffer.from('X\0\0\0\x04', 'latin1'))
  await before.untilClosed()
  await until(() => door.pool.counts.idle === 1)
  const client = await rawLogin(port, 'canceller', 'billing')
  client.socket.write(say.query('select pg_sleep(0.3)'))
  const cancel = await RawClient.connect(port)
  cancel.socket.write(buildCancelRequest(key.readInt32BE(0), key.subarray(4)))
  await cancel.untilClosed()
  assert.equal(await client.ready(), 'TDCZ')
  assert.equal(door.pool.counts.open, 1)
  client.socket.destroy()
})

test('what another configuration has opened is not used', async () => {
  const door = await listen()
  await session(door, 'billy')
  const begun = new pg.Client(door.as('billy'))
  await begun.connect()
  const other = await listen()
  door.door.swap({ ...kit.state, databases: new Map([['shop', other.database]]) })
  assert.equal((await begun.query('select 1 as one')).rows[0]?.one, 1)
  await begun.end()
  await until(() => door.pool.counts.open === 0)
  await withClient(door.as('billy'), pidOf)
  await until(() => other.pool.counts.idle === 1)
})

test('where all places are kept for others, one of them makes room, and no more', async () => {
  const door = await listen({ size: 3 }, { marks })
  const kept = await Promise.all(
    Array.from({ length: 3 }, async () => {
      const client = new pg.Client(door.as('sue'))
      await client.connect()
      return client
    }),
  )
  for (const client of kept) await client.end()
  await until(() => door.pool.counts.idle === 3)
  await session(door, 'billy')
  assert.deepEqual(door.pool.counts, { open: 3, idle: 3 })
})
