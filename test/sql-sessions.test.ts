import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { type Kit, withClient } from './postgres-kit.ts'
import { startShop } from './sql-guide/shop.ts'

// What becomes of statements in the course of a session: views and partitions that it makes, and statements that it names.

let kit: Kit
before(async () => {
  kit = await startShop()
})
after(() => kit.stop())

async function code(work: Promise<unknown>): Promise<string | undefined> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  if (error === undefined) return undefined
  assert(error instanceof pg.DatabaseError, String(error))
  return /postgres\.\w+/.exec(error.detail ?? '')?.[0] ?? error.code
}

const refused = 'postgres.statement_refused'

test('a view and a partition are known when their transaction has ended, here and in other sessions', async () => {
  await withClient(kit.client('billy'), async client => {
    await withClient(kit.client('gus'), async other => {
      await client.query('begin')
      await client.query('create view fresh as select id, email from users')
      await client.query('savepoint s')
      assert.equal(await code(client.query('select email from FRESH')), refused)
      await client.query('rollback to s')
      assert.equal(await code(client.query("insert into public.fresh (id, email) values (50, 'clear')")), refused)
      await client.query('rollback to s')
      assert.equal(await code(client.query({ name: 'p', text: 'select email from fresh' })), refused)
      await client.query('rollback to s')
      await client.query('select 1 as freshly')
      await client.query(
        "create table events_2030 partition of events for values from ('2030-01-01') to ('2031-01-01')",
      )
      await client.query('savepoint s')
      assert.equal(await code(client.query("insert into events_2030 values ('2030-01-01', 'clear')")), refused)
      await client.query('rollback to s')
      await client.query('commit')
      await client.query("insert into fresh (id, email) values (50, 'new@example.org')")
      await client.query("insert into events_2030 values ('2030-01-01', 'new@example.org')")
      const { rows } = await client.query('select email, who from fresh, events_2030 where id = 50')
      assert.deepEqual(rows, [{ email: 'new@example.org', who: 'new@example.org' }])
      assert.deepEqual((await other.query('select email from fresh where id = 50')).rows, [{ email: null }])
    })
    await client.query('drop view fresh; drop table events_2030; delete from users where id = 50')
  })
})

test('who writes through a new partition or view the moment it is there, in another session, has it sealed', async () => {
  await withClient(kit.client('billy'), async client => {
    await withClient(kit.client('billy'), async other => {
      for (let year = 2040; year < 2060; year += 1) {
        await client.query(
          `create table events_${year} partition of events for values from ('${year}-01-01') to ('${year + 1}-01-01')`,
        )
        await other.query(`insert into events_${year} values ('${year}-01-01', 'at once')`)
        await client.query(`create view users_${year} as select id, email from users`)
        await other.query(`insert into users_${year} values (${year}, 'at once')`)
      }
      const { rows } = await other.query("select who from events where at > '2040-01-01' and who = 'at once'")
      assert.equal(rows.length, 19)
      assert.equal((await other.query("select id from users where email = 'at once'")).rows.length, 20)
    })
    for (let year = 2040; year < 2060; year += 1) await kit.direct(`drop table events_${year}; drop view users_${year}`)
    await kit.direct('delete from users where id >= 2040')
  })
})

test('what was rolled back is free again', async () => {
  await withClient(kit.client('billy'), async client => {
    await client.query('begin')
    await client.query('create view undone as select id, email from users')
    await client.query('rollback')
    await client.query('create table undone (email text)')
    await client.query("insert into undone values ('a')")
    assert.deepEqual((await client.query('select email from undone')).rows, [{ email: 'a' }])
    await client.query('drop table undone')
  })
})

test('a view that has become temporary after all stays refused in its session, and concerns no other', async () => {
  await withClient(kit.client('billy'), async client => {
    await client.query('create temporary table chosen (id int)')
    await client.query('create view picked as select id, email from users where id in (select id from chosen)')
    assert.equal(await code(client.query("insert into picked (id, email) values (51, 'clear')")), refused)
    assert.equal(await code(client.query('select email from picked')), refused)
    await withClient(kit.client('billy'), async other => {
      await other.query('create table picked (email text)')
      await other.query("insert into picked values ('a')")
      await other.query('drop table picked')
    })
  })
})

test('a view that is made, changed or renamed beside the gateway is followed', async () => {
  await kit.direct('create view beside as select id, name as what from users')
  const { schema } = kit.state.databases.get('shop') ?? assert.fail()
  await schema.refresh()
  await withClient(kit.client('billy'), async client => {
    assert.deepEqual((await client.query('select what from beside where id = 1')).rows, [{ what: 'ann' }])
    const prepared = { name: 'beside', text: 'select * from beside where id = $1' }
    await client.query({ ...prepared, values: [1] })
    await kit.direct('drop view beside; create view beside as select id, email as what from users')
    await schema.refresh()
    assert.deepEqual((await client.query('select what from beside where id = 1')).rows, [{ what: 'ann@example.org' }])
    assert.equal(await code(client.query({ ...prepared, values: [1] })), 'postgres.plan_outdated')
    await kit.direct('alter view beside rename to elsewhere; alter view elsewhere rename column what to mail')
    await schema.refresh()
    assert.deepEqual((await client.query("select id from elsewhere where mail = 'ben@example.org'")).rows, [{ id: 2 }])
    await kit.direct(
      'drop view elsewhere; create view beside as select upper(encode(email, $$hex$$)) as what from users',
    )
    await schema.refresh()
    assert.equal(await code(client.query('select what from beside')), refused)
    await kit.direct('drop view beside')
  })
})

test('a lock that somebody holds on a table does not hold up the look at the schema', async () => {
  const { schema } = kit.state.databases.get('shop') ?? assert.fail()
  const before = await schema.refresh()
  const { host, port, user, password } = kit.postgres
  const owner = new pg.Client({ host, port, user, password, database: 'postgres' })
  await owner.connect()
  await owner.query('begin; lock table users in access exclusive mode; create view held as select id from users')
  assert.equal((await schema.refresh()).epoch, before.epoch)
  await owner.query('rollback')
  await owner.end()
})

test('values that EXECUTE gives to a statement of the protocol, or of SQL, are sealed', async () => {
  await withClient(kit.client('billy'), async client => {
    const text = 'update users set email = $1 where id = $2 returning email'
    await client.query({ name: 'change', text, values: ['a@example.org', 1] })
    await client.query("execute change('b@example.org', 1)")
    await client.query('prepare other as insert into users (id, email) values ($1, $2)')
    await client.query("execute other(60, 'c@example.org')")
    const found = await client.query(
      "select id from users where email in ('b@example.org', 'c@example.org') order by id",
    )
    assert.deepEqual(found.rows, [{ id: 1 }, { id: 60 }])
    // Freed, and given to a statement that takes plain values.
    await client.query('deallocate other')
    await client.query('prepare other as insert into staff (id, name) values ($1, $2)')
    await client.query("execute other(60, 'c@example.org')")
    assert.deepEqual((await client.query('select name from staff where id = 60')).rows, [{ name: 'c@example.org' }])
    // A name that is taken still means the first statement.
    await client.query('prepare third as update users set email = $1 where id = 60')
    assert.equal(await code(client.query('prepare third as update staff set name = $1 where id = 60')), '42P05')
    await client.query("execute third('d@example.org')")
    assert.deepEqual((await client.query('select email from users where id = 60')).rows, [{ email: 'd@example.org' }])
    await client.query('discard all')
    await client.query('prepare change as update staff set name = $1 where id = 60')
    await client.query("execute change('plain')")
    assert.deepEqual((await client.query('select name from staff where id = 60')).rows, [{ name: 'plain' }])
    await client.query(`delete from users where id = 60; delete from staff where id = 60`)
    await client.query("update users set email = 'ann@example.org' where id = 1")
  })
})

test('who may not search cannot prepare a search either', async () => {
  await withClient(kit.client('gus'), async client => {
    const prepare = client.query("prepare p as select id from users where email = $1; execute p('ann@example.org')")
    assert.equal(await code(prepare), 'postgres.column_protected')
  })
})

test('what the database itself writes in clear is shown to nobody, and a check refuses it', async () => {
  await kit.direct("insert into users (id, email) values (70, 'clear@example.org')")
  await withClient(kit.client('billy'), async client => {
    const error = await client.query('select email from users where id = 70').then(
      () => assert.fail('it was shown'),
      (thrown: unknown) => thrown,
    )
    assert(error instanceof pg.DatabaseError && /fields\.unreadable/.test(error.detail ?? ''), String(error))
    assert(!JSON.stringify({ ...error }).includes('clear@example.org'))
  })
  await kit.direct('delete from users where id = 70')
  await kit.direct(
    `alter table users add constraint sealed check (email = '' or substr(email, 34, 3) = '\\x252525'),
     add constraint sealed_phone check (phone = '' or substr(phone, 1, 3) = '\\x252525')`,
  )
  await assert.rejects(kit.direct("insert into users (id, email) values (70, 'clear@example.org')"), { code: '23514' })
  await withClient(kit.client('billy'), async client => {
    await client.query(
      "insert into users (id, email, phone) values (70, 'x@example.org', ''), (71, '', '+1'), (72, null, null)",
    )
    await client.query('delete from users where id >= 70 and id < 100')
  })
  await kit.direct('alter table users drop constraint sealed, drop constraint sealed_phone')
})
