import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { createSchemaSource } from '../packages/bawn/src/postgres/sql/schema.ts'
import { MessageBuilder } from '../packages/bawn/src/postgres/wire/builder.ts'
import { front } from '../packages/bawn/src/postgres/wire/message.ts'
import { until } from './limits-kit.ts'
import { listenWithPool, type PooledDoor } from './pool-kit.ts'
import { cells, type Kit, type RawClient, rawLogin, say, startKit, withClient } from './postgres-kit.ts'

// Clients that leave a connection of a pool in the middle of something, on purpose: nobody gets another's answer, and no byte goes to the
// server that was not looked at.

const setup = `
create table people (id int primary key, name text, email bytea, photo bytea);
create table notes (id int primary key, body text);
create table unwilling (id int);
create function refuses() returns trigger language plpgsql as $$ begin raise exception 'not today'; end $$;
create trigger refuses before insert on unwilling for each statement execute function refuses();
`

const modes = ['session', 'transaction'] as const

let kit: Kit
const doors: PooledDoor[] = []
before(async () => {
  kit = await startKit(setup)
})
after(async () => {
  for (const door of doors) await door.close()
  await kit.stop()
})

/** Logs in again and again before one pool. */
async function enter(
  options: object,
): Promise<{ readonly pooled: PooledDoor; client(user: string): Promise<RawClient> }> {
  const pooled = await listenWithPool(kit, options)
  doors.push(pooled)
  const { port } = (await kit.listen({ tls: undefined }, { databases: new Map([['shop', pooled.database]]) })).address
  return { pooled, client: user => rawLogin(port, user, 'billing') }
}

async function ask(client: RawClient, text: string): Promise<readonly (string | undefined)[]> {
  client.received = Buffer.alloc(0)
  client.socket.write(say.query(text))
  await client.until(() => client.letters().includes('Z'))
  assert.equal(client.letters(), 'TDCZ', text)
  return client.messages().flatMap(({ type, body }) => (type === 'D' ? cells(body) : []))
}

/** The beginning of a CopyData message whose end is still to come. */
const begun = (text: string, whole: number): Buffer =>
  new MessageBuilder()
    .begin(front.copyData)
    .bytes(Buffer.from(text.padEnd(whole, 'x')))
    .end()
    .take()
    .subarray(0, 5 + text.length)

for (const mode of modes) {
  test(`${mode} mode: in the middle of a message that goes to the server piece by piece, its connection is nobody else's`, async () => {
    const { pooled, client } = await enter({ mode, size: 2 })
    const first = await client('same')
    first.socket.write(say.query('copy notes from stdin'))
    await first.until(() => first.letters() === 'G')
    const hidden = say.query("insert into notes values (1, 'seen by nobody'); select 1")
    // The server refuses the row, and has the beginning of the next message by then.
    first.socket.write(Buffer.concat([say.copyData('not a row\n'), begun('1', hidden.length + 1)]))
    await first.until(() => first.letters() === 'GEZ')
    const other = await client('same')
    assert.deepEqual(await ask(other, "select 'of the other'"), ['of the other'])
    first.received = Buffer.alloc(0)
    first.socket.write(hidden)
    assert.deepEqual(await ask(first, "select 'of the first'"), ['of the first'])
    assert.deepEqual(await kit.direct('select body from notes'), [])
    // Gone in the middle: the connection is, too.
    first.socket.write(say.query('copy notes from stdin'))
    first.received = Buffer.alloc(0)
    await first.until(() => first.letters() === 'G')
    first.socket.write(Buffer.concat([say.copyData('not a row\n'), begun('1', 100)]))
    await first.until(() => first.letters() === 'GEZ')
    const before = pooled.pool.counts.open
    first.socket.destroy()
    await until(() => pooled.pool.counts.open === before - 1)
    assert.deepEqual(await ask(other, 'select 2'), ['2'])
    other.socket.destroy()
  })

  test(`${mode} mode: a COPY that fails before it reads leaves its Sync to be answered, and not with somebody else`, async () => {
    const { client } = await enter({ mode, size: 1 })
    const copy = say.query('copy unwilling from stdin')
    for (const round of Array.from({ length: 5 }, (_, at) => at)) {
      const first = await client('same')
      const wanted = ['GEZZ', 'GEZZTDCZ', '12GEZ', 'GEZZ12DCZ'][round % 4] ?? ''
      const messages = [
        [copy, say.sync],
        [copy, say.sync, say.query("select 'of the first'")],
        [say.parse('', 'copy unwilling from stdin'), say.bind('', ''), say.execute(''), say.sync],
        [copy, say.sync, say.parse('', 'select 1'), say.bind('', ''), say.execute(''), say.sync],
      ][round % 4]
      first.socket.write(Buffer.concat(messages ?? []))
      await first.until(() => first.letters().length >= wanted.length)
      assert.equal(first.letters(), wanted)
      assert.deepEqual(await ask(first, `select 'still of the first ${round}'`), [`still of the first ${round}`])
      if (mode === 'session') first.socket.destroy()
      const other = await client('same')
      assert.deepEqual(await ask(other, `select 'of the other ${round}'`), [`of the other ${round}`])
      first.socket.destroy()
      other.socket.destroy()
    }
  })
}

for (const mode of modes) {
  test(`${mode} mode: a reset that fails while others wait behind it: they get another connection, and their own answers`, async () => {
    const { pooled, client } = await enter({ mode, size: 1 })
    const others = mode === 'session' ? [] : [await client('same'), await client('another')]
    const first = await client('same')
    first.socket.write(say.query('create temporary table in_the_way (id int)'))
    assert.equal(await first.ready(), 'CZ')
    const [pid] = await ask(first, 'select pg_backend_pid()')
    const locker = new pg.Client({ ...kit.postgres, database: 'postgres' })
    locker.on('error', () => {})
    await locker.connect()
    await locker.query('begin')
    const { rows } = await locker.query(
      `select relnamespace::regnamespace::text as at from pg_class where relname = 'in_the_way'`,
    )
    await locker.query(`lock table ${rows[0].at}.in_the_way in access share mode`)
    const pipelined = Buffer.concat([
      say.query("select 'one'"),
      say.query("select 'two'"),
      say.parse('x', 'select 3'),
      say.sync,
    ])
    for (const other of others) other.socket.write(pipelined)
    // Behind the reset, which takes the table off, and cannot.
    first.socket.end(say.terminate)
    const waits = `select from pg_stat_activity where pid = ${pid} and query = 'DISCARD ALL' and wait_event_type = 'Lock'`
    await until(async () => (await kit.direct(waits)).length === 1)
    const late = client('same')
    assert.equal(pooled.pool.counts.open, 1)
    await locker.query(`select pg_terminate_backend(${pid})`)
    await locker.end()
    for (const other of others) {
      await other.until(() => other.letters().split('Z').length === 4)
      assert.equal(other.letters().replaceAll('S', ''), 'TDCZTDCZ1Z')
      const said = other.messages().flatMap(({ type, body }) => (type === 'D' ? cells(body) : []))
      assert.deepEqual(said, ['one', 'two'])
      assert.notDeepEqual(await ask(other, 'select pg_backend_pid()'), [pid])
      other.socket.destroy()
    }
    const last = await late
    assert.deepEqual(await ask(last, "select 'of the last'"), ['of the last'])
    last.socket.destroy()
  })
}

test('transaction mode: what was planned before it had to wait for a connection is planned again', async () => {
  const { host, port, user, password } = kit.postgres
  const catalogue = new pg.Pool({ host, port, user, password, database: 'postgres', max: 1 })
  let gate: Promise<void> | undefined
  let now = 0
  let planning = 0
  const schema = createSchemaSource({
    async query(sql, parameters) {
      await gate
      return (await catalogue.query(sql, [...parameters])).rows
    },
    fields: kit.state.catalogue.fields,
    database: 'shop',
    now: () => now,
  })
  const fresh = schema.fresh.bind(schema)
  schema.fresh = age => {
    planning += 1
    return fresh(age)
  }
  const pooled = await listenWithPool(kit, { mode: 'transaction', size: 1 }, { database: { schema } })
  doors.push(pooled)
  try {
    await withClient(pooled.as('billy'), async first => {
      await withClient(pooled.as('billy'), async second => {
        await first.query("insert into people (id, email) values (70, 'ann@x.com')")
        const { promise, resolve } = Promise.withResolvers<void>()
        gate = promise
        now = 60_000
        planning = 0
        const begun = first.query('begin')
        await until(() => planning === 1)
        const late = second.query('select email from late where id = 70')
        await until(() => planning === 2)
        resolve()
        await begun
        await first.query('create view late as select id, email from people')
        await first.query('commit')
        assert.equal((await late).rows[0]?.email, 'ann@x.com')
      })
    })
  } finally {
    await catalogue.end()
  }
})
