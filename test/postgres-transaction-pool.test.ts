import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import pg from 'pg'
import postgres from 'postgres'
import { createSessionLimits } from '../packages/bawn/src/postgres/session-limits.ts'
import { buildCancelRequest } from '../packages/bawn/src/postgres/wire/startup.ts'
import { failureOf, until } from './limits-kit.ts'
import { listenWithPool, type PooledDoor } from './pool-kit.ts'
import { type Kit, RawClient, rawLogin, rules, say, startKit, withClient } from './postgres-kit.ts'

// Connections that clients have for a transaction each: whose transaction runs is who PostgreSQL takes it for, and nothing stays behind.

const setup = `
create table people (id int primary key, name text, email bytea, photo bytea);
create table by_role (owner text, text text);
insert into by_role values ('sue', 'of sue'), ('billy', 'of billy'), ('gus', 'of gus');
alter table by_role enable row level security;
create policy own on by_role using (owner = current_user and owner = current_setting('app.user', true));
create role sue nologin; create role billy nologin; create role gus nologin;
create role broker noinherit login password 'of the broker';
grant sue, billy, gus to broker;
grant select, insert, update on people, by_role to sue, billy, gus, broker;
grant temporary on database postgres to public;
create sequence numbers; create table numbered (id int default nextval('numbers'));
grant all on sequence numbers to public; grant all on numbered to public;
create function keeps(text) returns text language sql as $$ select set_config('my.secret', $1, false) $$;
`

const marks = { role: 'id', setting: 'app.user', rolesSetting: undefined } as const

let kit: Kit
const doors: PooledDoor[] = []

async function listen(...[options, more]: [object?, Parameters<typeof listenWithPool>[2]?]): Promise<PooledDoor> {
  const opened = await listenWithPool(kit, { mode: 'transaction', ...options }, more)
  doors.push(opened)
  return opened
}

async function connected(door: PooledDoor, user: string, more: pg.ClientConfig = {}): Promise<pg.Client> {
  const client = new pg.Client(door.as(user, more))
  client.on('error', () => {})
  await client.connect()
  return client
}

/** A raw client of a door in clear before the same pool. */
async function plain(port: number, user = 'raw', role = 'billing'): Promise<RawClient> {
  return rawLogin(port, user, role)
}

async function plainPort({ database }: PooledDoor): Promise<number> {
  return (await kit.listen({ tls: undefined }, { databases: new Map([['shop', database]]) })).address.port
}

const one = async (client: pg.Client, text: string): Promise<unknown> => {
  const { rows } = await client.query({ text, rowMode: 'array' })
  return rows[0]?.[0]
}

before(async () => {
  kit = await startKit(setup)
  await withClient(kit.client('billy'), client =>
    client.query('insert into people (id, name, email) values (1, $1, $2)', ['Ann', 'ann@example.com']),
  )
})
after(async () => {
  for (const door of doors) await door.close()
  await kit.stop()
})
beforeEach(() => rules.clear())

test('50 clients of three identities over 4 connections: each sees what it may, in every transaction', async () => {
  const door = await listen({ size: 4 }, { marks })
  const emails = { billy: 'ann@example.com', sue: 'a', gus: undefined } as const
  const users = Object.keys(emails) as (keyof typeof emails)[]
  await Promise.all(
    Array.from({ length: 48 }, async (_, index) => {
      const user = users[index % users.length] ?? 'gus'
      const client = await connected(door, user, { application_name: `number ${index}` })
      for (let round = 0; round < 4; round += 1) {
        const rows = await client.query(
          round % 2 === 0
            ? 'select text from by_role'
            : { name: 'rows', text: 'select text from by_role where $1::int > 0', values: [1] },
        )
        assert.deepEqual(rows.rows, [{ text: `of ${user}` }])
        const who = `select current_user::text || ' ' || current_setting('app.user') || ' ' || current_setting('application_name')`
        assert.equal(await one(client, who), `${user} ${user} bawn:${user} number ${index}`)
        const { rows: people } = await client.query({
          name: 'people',
          text: 'select email from people where id = $1',
          values: [1],
        })
        const email: unknown = people[0]?.email
        if (user === 'sue') assert.match(String(email), /^a\*+/)
        else assert.equal(email ?? undefined, emails[user])
        if (round === 3) {
          await client.query('begin')
          assert.equal(await one(client, 'select current_user::text'), user)
          await client.query(index % 2 === 0 ? 'commit' : 'rollback')
        }
      }
      assert.ok(door.pool.counts.open <= 4)
      await client.end()
    }),
  )
  assert.ok(door.pool.counts.open <= 4)
  await until(() => door.pool.counts.idle === door.pool.counts.open)
})

test('postgres.js: its own pool, with statements that it prepares', async () => {
  const door = await listen({ size: 2 }, { marks })
  const { port } = door.door.address
  const ssl = { ca: kit.authority.certificate }
  const connect = (user: string): postgres.Sql =>
    postgres({
      host: 'localhost',
      port,
      user,
      password: 'correct horse',
      database: 'shop',
      ssl,
      max: 3,
      fetch_types: false,
    })
  const all = ['sue', 'billy'].map(user => ({ user, sql: connect(user) }))
  await Promise.all(
    all.flatMap(({ user, sql }) =>
      Array.from({ length: 20 }, async (_, index) => {
        if (index % 4 === 0) {
          await sql.begin(async inside => {
            assert.deepEqual([...(await inside`select text from by_role`)], [{ text: `of ${user}` }])
            await inside`select ${index}::int`
          })
        } else
          assert.deepEqual(
            [...(await sql`select text from by_role where ${index}::int >= 0`)],
            [{ text: `of ${user}` }],
          )
      }),
    ),
  )
  for (const { sql } of all) await sql.end()
})

test('nobody can take another identity, nor lay its own off', async () => {
  const door = await listen({ size: 1 }, { marks })
  const sue = await connected(door, 'sue')
  const attacks = [
    'set role billy',
    'reset role',
    'set role none',
    'reset session authorization',
    `select set_config('app.user', 'billy', false)`,
    `reset app."user"`,
    'reset all',
    'discard all',
    'begin; reset all',
  ]
  for (const text of attacks) {
    assert.equal((await failureOf(sue.query(text))).code, '42501', text)
    await sue.query('rollback')
    assert.equal(await one(sue, 'select text from by_role'), 'of sue')
  }
  // Taken back with its transaction, the mark would be gone: it was set outside of any.
  await sue.query('begin')
  await sue.query('rollback')
  assert.equal(await one(sue, `select current_setting('app.user')`), 'sue')
  await sue.end()
})

test('a role that the database does not have lets nobody in', async () => {
  const door = await listen(
    { size: 1 },
    { marks: { role: new Map([['support', 'nobody_there']]), setting: undefined, rolesSetting: undefined } },
  )
  await assert.rejects(connected(door, 'sue'), /nobody_there/)
  await assert.rejects(connected(door, 'sue'), /nobody_there/)
  assert.equal(door.pool.counts.idle, 0)
})

// What one leaves, and the question that would tell another of it. Both have the same identity.
const leaves: readonly (readonly [left: string, question: string, without: unknown])[] = [
  [`set search_path = pg_catalog, public`, `select current_setting('search_path')`, '"$user", public'],
  [`set timezone = 'Asia/Tokyo'`, `select current_setting('timezone') = 'Asia/Tokyo'`, false],
  [`select set_config('my.secret', 'x', false)`, `select coalesce(current_setting('my.secret', true), '')`, ''],
  [`select keeps('x')`, `select coalesce(current_setting('my.secret', true), '')`, ''],
  [
    `do $$ begin perform set_config('my.secret', 'x', false); end $$`,
    `select coalesce(current_setting('my.secret', true), '')`,
    '',
  ],
  ['create temporary table left_over (id int)', `select to_regclass('left_over')::text`, null],
  ['select 1 into temporary left_over', `select to_regclass('left_over')::text`, null],
  ['listen left_over', 'select count(*)::int from pg_listening_channels()', 0],
  ['prepare left_over as select 1', `select count(*)::int from pg_prepared_statements where name = 'left_over'`, 0],
  ['declare left_over cursor with hold for select 1', 'select count(*)::int from pg_cursors', 0],
  ['select pg_advisory_lock(4711)', `select pg_try_advisory_lock(4711)`, true],
  ['set session characteristics as transaction read only', `select current_setting('transaction_read_only')`, 'off'],
]

test('who makes its settings those of somebody else does not get what that one has left, nor leaves it anything', async () => {
  const door = await listen({ size: 1 })
  const [sue, billy] = [await connected(door, 'sue'), await connected(door, 'billy')]
  await sue.query(`create schema evil; create table evil.people (name text); insert into evil.people values ('Eve')`)
  await sue.query(`create function evil.turn() returns trigger language plpgsql as
    $$ begin perform set_config('search_path', 'evil, public', false); return new; end $$`)
  await sue.query(`create table evil.trap (id int); create trigger trap before insert on evil.trap
    for each row execute function evil.turn()`)
  await billy.query({ name: 'own', text: `select 'known to billy alone'` })
  assert.equal(await one(billy, `select current_setting('application_name')`), 'bawn:billy')
  await sue.query(`set application_name = 'bawn:billy'`)
  const prepared = `select count(*)::int from pg_prepared_statements where statement ~ 'known to billy'`
  assert.equal(await one(sue, `${prepared} and statement !~ 'pg_prepared'`), 0)
  await sue.query('insert into evil.trap values (1)')
  assert.equal(await one(billy, 'select name from people'), 'Ann')
  await billy.end()
  await sue.query('drop schema evil cascade')
  await sue.end()
})

test('what PostgreSQL calls by planning alone leaves nothing either', async () => {
  const door = await listen({ size: 1 })
  const port = await plainPort(door)
  const owner = await connected(door, 'billy')
  await owner.query(`create function folded() returns text immutable language plpgsql as
    $$ begin return set_config('my.secret', 'x', false); end $$`)
  const [a, b] = [await plain(port), await plain(port)]
  a.socket.write(Buffer.concat([say.parse('', 'select folded()'), say.bind('', ''), say.sync]))
  assert.equal(await a.ready(), '12Z')
  b.socket.write(say.query(`select coalesce(current_setting('my.secret', true), '') || '.'`))
  await b.until(() => b.letters() === 'TDCZ')
  assert.equal(b.messages()[1]?.body.subarray(6).toString(), '.')
  a.socket.destroy()
  b.socket.destroy()
  await owner.query('drop function folded')
  await owner.end()
})

test('what no reset takes off goes with the connection', async () => {
  const door = await listen({ size: 1 })
  for (const text of [
    'select setseed(0.5)',
    'select "setseed"(0.5)',
    'set seed = 0.5',
    'do $$ begin perform setseed(0.5); end $$',
  ]) {
    const first = await connected(door, 'billy')
    const pid = await one(first, 'select pg_backend_pid()')
    await first.query(text)
    await first.end()
    const next = await connected(door, 'sue')
    assert.notEqual(await one(next, 'select pg_backend_pid()'), pid, text)
    await next.end()
  }
})

test('DEALLOCATE and DISCARD ALL take nothing from what comes behind them', async () => {
  const door = await listen({ size: 1 })
  const port = await plainPort(door)
  const client = await plain(port)
  const run = async (letters: string, ...parts: Buffer[]): Promise<void> => {
    client.received = Buffer.alloc(0)
    client.socket.write(Buffer.concat(parts))
    await client.until(() => client.letters().length >= letters.length)
    assert.equal(client.letters().replaceAll('S', ''), letters)
  }
  await run('1Z1Z', say.parse('x', 'select 1'), say.sync, say.parse('y', 'select 2'), say.sync)
  // Another statement of the same transaction goes on, whichever was taken off.
  await run('CZCZ', say.query('begin'), say.query('deallocate x'))
  await run('2DCZ', say.bind('', 'y'), say.execute(''), say.sync)
  await run('CCZ', say.query('deallocate all; set local extra_float_digits = 1'))
  await run('CZ', say.query('rollback'))
  await run('CZCZ', say.query('discard all'), say.query('listen heard'))
  client.socket.write(say.query('notify heard'))
  await client.until(() => client.letters().includes('A'))
  client.socket.destroy()
})

test('what one leaves stays with it, and is gone when it goes', async () => {
  for (const [left, question, without] of leaves) {
    const door = await listen({ size: 2 })
    const first = await connected(door, 'billy')
    await first.query(left)
    const second = await connected(door, 'billy')
    const locked = left.includes('advisory')
    assert.deepEqual(await one(second, question), locked ? false : without, left)
    await first.end()
    await until(() => door.pool.counts.open === door.pool.counts.idle || locked)
    await until(async () => {
      const now = await one(second, question)
      return now === without
    })
    await second.end()
  }
})

test('what belongs to a session is found again by it', async () => {
  const door = await listen({ size: 3 })
  const client = await connected(door, 'billy')
  const other = await connected(door, 'billy')
  const pid = 'select pg_backend_pid()'
  await client.query('create temporary table own (id int)')
  const own = await one(client, pid)
  await client.query('insert into own values (1)')
  assert.notEqual(await one(other, pid), own)
  assert.equal(await one(client, 'select count(*)::int from own'), 1)
  // Given back, and everything with it.
  await client.query('discard all')
  assert.equal(await one(client, `select to_regclass('own')::text`), null)
  const heard = new Promise<pg.Notification>(resolve => client.on('notification', resolve))
  await client.query('listen news')
  await other.query(`notify news, 'now'`)
  assert.equal((await heard).payload, 'now')
  await client.end()
  await other.end()
})

test('settings of drivers go along, from connection to connection', async () => {
  const door = await listen({ size: 1 })
  const client = await connected(door, 'billy', { options: '-c statement_timeout=12345' })
  const other = await connected(door, 'billy')
  const asked = `select current_setting('timezone') || ' ' || current_setting('statement_timeout') || ' ' || current_setting('application_name')`
  const before = await one(other, asked)
  await client.query(`set timezone = 'Asia/Tokyo'`)
  await client.query(`SET extra_float_digits = 3`)
  await client.query(`select set_config('application_name', 'mine', false)`)
  await client.query(`set client_encoding to 'UTF8'`)
  for (let round = 0; round < 3; round += 1) {
    assert.equal(await one(other, asked), before)
    assert.equal(await one(client, asked), 'Asia/Tokyo 12345ms mine')
  }
  await client.query('reset timezone')
  assert.notEqual(String(await one(client, asked)).split(' ')[0], 'Asia/Tokyo')
  await client.query('discard all')
  assert.match(String(await one(client, asked)), / 12345ms bawn:billy$/)
  await client.end()
  await other.end()
})

test('prepared statements: of each client its own, wherever it works', async () => {
  const door = await listen({ size: 1 })
  const clients = await Promise.all(['billy', 'billy', 'sue'].map(user => connected(door, user)))
  for (let round = 0; round < 4; round += 1) {
    for (const [index, client] of clients.entries()) {
      const named = { name: 'same', text: `select ${index}::int as own, $1::int as given`, values: [round] }
      assert.deepEqual((await client.query(named)).rows, [{ own: index, given: round }])
      const shared = { name: `mine ${index}`, text: 'select $1::int as given', values: [index] }
      assert.deepEqual((await client.query(shared)).rows, [{ given: index }])
    }
  }
  for (const client of clients) await client.end()
  const port = await plainPort(door)
  const [a, b] = [await plain(port), await plain(port)]
  const raw = async (client: RawClient, ...parts: Buffer[]): Promise<string> => {
    client.socket.write(Buffer.concat(parts))
    await client.until(() => client.letters().includes('Z'))
    const codes = client
      .messages()
      .flatMap(({ type, body }) => (type === 'E' ? [/C([0-9A-Z]{5})/.exec(body.toString())?.[1]] : []))
    return [await client.ready(), ...codes].join(' ')
  }
  assert.equal(await raw(a, say.parse('x', 'select 1'), say.sync), '1Z')
  assert.equal(await raw(a, say.parse('x', 'select 2'), say.sync), 'EZ 42P05')
  assert.equal(await raw(b, say.bind('', 'x'), say.sync), 'EZ 26000')
  assert.equal(await raw(b, say.bind('', ''), say.sync), 'EZ 26000')
  assert.equal(await raw(a, say.parse('', 'select 3'), say.sync), '1Z')
  assert.equal(await raw(b, say.parse('', 'select 4'), say.bind('', ''), say.execute(''), say.sync), '12DCZ')
  assert.equal(await raw(b, say.query('select 5')), 'TDCZ')
  a.received = Buffer.alloc(0)
  a.socket.write(Buffer.concat([say.bind('', ''), say.execute(''), say.sync]))
  await a.until(() => a.letters() === '2DCZ')
  assert.equal(a.messages()[1]?.body.subarray(6).toString(), '3')
  a.received = Buffer.alloc(0)
  assert.equal(await raw(a, say.query('deallocate x')), 'CZ')
  assert.equal(await raw(a, say.bind('', 'x'), say.sync), 'EZ 26000')
  assert.equal(await raw(a, say.parse('x', 'select 1'), say.sync), '1Z')
  assert.equal(await raw(b, say.parse('x', 'select 1'), say.bind('', 'x'), say.execute(''), say.sync), '12DCZ')
  assert.equal(await raw(b, say.close('S', 'x'), say.sync), '3Z')
  assert.equal(await raw(a, say.bind('', 'x'), say.execute(''), say.sync), '2DCZ')
  assert.equal(await raw(a, say.query('deallocate all')), 'CZ')
  assert.equal(await raw(a, say.bind('', 'x'), say.sync), 'EZ 26000')
  a.socket.destroy()
  b.socket.destroy()
})

test('currval and lastval are of the transaction, or refused', async () => {
  const door = await listen({ size: 1 })
  const client = await connected(door, 'billy')
  await client.query('insert into numbered default values')
  assert.equal((await failureOf(client.query('select lastval()'))).code, '0A000')
  await client.query('begin')
  await client.query('insert into numbered default values')
  assert.equal(Number(await one(client, `select lastval()`)), 2)
  await client.query('commit')
  await client.end()
})

const ends: readonly (readonly [name: string, left: (client: RawClient) => Promise<void>])[] = [
  ['an open transaction', client => end(client, `begin; select set_config('my.secret', 'x', true)`)],
  ['a failed transaction', client => end(client, 'begin; select 1/0')],
  [
    'a COPY that was not finished',
    async client => {
      client.socket.write(say.query('copy numbered from stdin'))
      await client.until(() => client.letters().includes('G'))
      client.socket.destroy()
    },
  ],
  [
    'a portal in its middle',
    async client => {
      const text = "select set_config('my.secret', 'x', false) from generate_series(1, 10)"
      client.socket.write(Buffer.concat([say.parse('', text), say.bind('', ''), say.execute('', 2), say.flush]))
      await client.until(() => client.letters() === '12DDs')
      client.socket.destroy()
    },
  ],
  [
    'COPY to the client in its middle',
    async client => {
      client.socket.write(say.query('copy (select repeat($$x$$, 1000) from generate_series(1, 1000000)) to stdout'))
      await client.until(received => received.length > 100_000)
      client.socket.destroy()
    },
  ],
  [
    'idle in a transaction, and gone without a word',
    async client => {
      client.socket.write(say.query(`begin; select set_config('my.secret', 'x', true); lock table numbered`))
      await client.ready()
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
]

async function end(client: RawClient, text: string): Promise<void> {
  client.socket.write(say.query(text))
  await client.ready()
  client.socket.end(Buffer.from('X\0\0\0\x04', 'latin1'))
  await client.untilClosed()
}

test('who leaves in the middle takes the connection along, and the next one has its own', async () => {
  const door = await listen({ size: 1 })
  const port = await plainPort(door)
  for (const [name, leave] of ends) {
    const client = await plain(port)
    await leave(client)
    const next = await plain(port)
    next.socket.write(say.query(`select coalesce(current_setting('my.secret', true), '')`))
    assert.equal(await next.ready(), 'TDCZ', name)
    next.socket.destroy()
  }
})

test('killed in the middle of a result: the next transaction of somebody else has nothing of it', async () => {
  const door = await listen({ size: 1 })
  const [victim, next] = [await connected(door, 'billy'), await connected(door, 'sue')]
  const lost = failureOf(victim.query('select repeat($$x$$, 1000), pg_sleep(0.001) from generate_series(1, 100000)'))
  await until(() => door.door.sessions().some(({ now }) => now().activity === 'active'))
  const waiting = one(next, 'select 7')
  door.door.endSessions(({ identity }) => identity.id === 'billy', 'killed')
  assert.equal((await lost).code, '57P01')
  assert.equal(await waiting, 7)
  await next.end()
})

test('a cancel request reaches the transaction of its client, and no other', async () => {
  const door = await listen({ size: 1 })
  const port = await plainPort(door)
  const [a, b] = [await plain(port, 'one'), await plain(port, 'two')]
  const cancel = async ({ backendKey = Buffer.alloc(8) }: RawClient): Promise<void> => {
    const client = await RawClient.connect(port)
    client.socket.write(buildCancelRequest(backendKey.readInt32BE(0), backendKey.subarray(4)))
    await client.untilClosed()
  }
  a.socket.write(say.query('select pg_sleep(0.4)'))
  // It has no connection: whoever has it goes on.
  await new Promise(resolve => setTimeout(resolve, 100))
  await cancel(b)
  assert.equal(await a.ready(), 'TDCZ')
  b.socket.write(say.query('select pg_sleep(20)'))
  await until(
    async () =>
      (
        await kit.direct(
          `select 1 from pg_stat_activity where query like '%pg_sleep(20)%' and state = 'active' and pid <> pg_backend_pid()`,
        )
      ).length > 0,
  )
  await cancel(a)
  await cancel(b)
  assert.equal(await b.ready(), 'TEZ')
  a.socket.write(say.query('select 1'))
  assert.equal(await a.ready(), 'TDCZ')
  a.socket.destroy()
  b.socket.destroy()
})

test('who waits too long is told why', async () => {
  const door = await listen({ size: 1 }, { limits: { queue_timeout: '500ms', queue_length: 1 } })
  const holder = await connected(door, 'billy')
  const waiter = await connected(door, 'billy')
  const third = await connected(door, 'billy')
  await holder.query('begin')
  const waiting = failureOf(waiter.query('select 1'))
  await until(() => door.door.sessions().filter(({ now }) => now().activity === 'active').length === 1)
  assert.equal((await failureOf(third.query('select 1'))).code, '53300')
  const told = await waiting
  assert.equal(told.code, '53300')
  assert.match(told.message, /all connections to database "shop" are in use/)
  assert.match(told.hint, /Close sessions that are not used any more, or try again later/)
  await holder.query('commit')
  assert.equal(await one(holder, 'select 1'), 1)
  await holder.end()
})

test('who ends while it waits is forgotten, and a login waits for nobody whose like was there before', async () => {
  const door = await listen({ size: 1 })
  const holder = await connected(door, 'billy')
  await holder.query('begin')
  const gone = await connected(door, 'billy')
  gone.query('select 1').catch(() => {})
  await until(() => door.door.sessions().some(({ now }) => now().activity === 'active'))
  const ended = door.door.endSessions(({ now }) => now().activity === 'active', 'killed')
  assert.equal(ended.length, 1)
  await holder.query('commit')
  assert.equal(await one(holder, 'select 1'), 1)
  await until(() => door.pool.counts.idle === 1)
  await holder.end()
})

test('PostgreSQL ends idle connections: nobody notices', async () => {
  const door = await listen({ size: 2 })
  const clients = [await connected(door, 'billy'), await connected(door, 'sue')]
  for (const client of clients) await one(client, 'select 1')
  await kit.direct(
    `select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'bawn%' and state = 'idle'`,
  )
  await until(() => door.pool.counts.open === 0)
  for (const client of clients) assert.equal(await one(client, 'select 2'), 2)
  for (const client of clients) await client.end()
})

test('limits of sessions hold: time limits, drain, kill', async () => {
  const limits = createSessionLimits({
    queue_length: 10,
    queue_timeout: 1_000,
    by_role: [],
    statement_timeout: 200,
    idle_in_transaction: 300,
  })
  const door = await listen({ size: 1 }, { database: { limits } })
  const client = await connected(door, 'billy')
  assert.equal((await failureOf(client.query('select pg_sleep(5)'))).code, '57014')
  await client.query('set statement_timeout = 0')
  assert.equal((await failureOf(client.query('select pg_sleep(5)'))).code, '57014')
  await client.query('begin')
  const ended = new Promise<Error & { code?: string }>(resolve => client.once('error', resolve))
  assert.equal((await ended).code, '25P03')
  const next = await connected(door, 'sue')
  assert.equal(await one(next, 'select 1'), 1)
  const over = new Promise<Error & { code?: string }>(resolve => next.once('error', resolve))
  await door.door.drain(1_000)
  assert.equal((await over).code, '57P01')
})
