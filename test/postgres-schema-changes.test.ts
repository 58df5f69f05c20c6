import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import pg from 'pg'
import { openDatabaseSchema } from '../packages/bawn/src/database-schema.ts'
import type { Field } from '../packages/bawn/src/fields/field.ts'
import { createPlanner } from '../packages/bawn/src/postgres/sql/planner.ts'
import { createSchemaSource } from '../packages/bawn/src/postgres/sql/schema.ts'
import { type Kit, startKit, withClient } from './postgres-kit.ts'

// What a statement that changes the schema costs whoever sent it: the catalogue is read again where it may concern what is protected.

let kit: Kit
let pool: pg.Pool
/** Questions to the catalogue. */
let asked = 0
const closers: (() => Promise<void>)[] = []

before(async () => {
  kit = await startKit(`
    create table public.people (id int, name text, email bytea, photo bytea);
    create table public.notes (id int primary key, body text);
  `)
  const { host, port, user, password } = kit.postgres
  pool = new pg.Pool({ host, port, user, password, database: 'postgres', max: 1 })
})
after(async () => {
  for (const close of closers) await close()
  await pool?.end()
  await kit?.stop()
})
beforeEach(() => {
  asked = 0
})

/** A door whose knowledge of the schema does not grow old by itself. */
async function door(fields: readonly Field[]): Promise<pg.ClientConfig> {
  const shop = kit.state.databases.get('shop')
  assert(shop)
  const planner = await createPlanner()
  closers.push(() => planner.close())
  const schema = createSchemaSource({
    query: async (sql, parameters) => {
      asked += 1
      return (await pool.query(sql, [...parameters])).rows
    },
    fields,
    database: 'shop',
    now: () => 0,
  })
  const { address } = await kit.listen({}, { databases: new Map([['shop', { ...shop, schema, planner }]]) })
  return kit.client('billy', { port: address.port })
}

test('where nothing is protected, the catalogue is never read', async () => {
  await withClient(await door([]), async client => {
    await client.query('create table a (b int)')
    await client.query('alter table a rename to c; create view d as select * from c')
    await client.query("do $$ begin execute 'create table e ()'; end $$")
    assert.equal((await client.query({ name: 'p', text: 'select count(*)::int as n from d' })).rows[0]?.n, 0)
    await client.query('drop table e; drop view d; drop table c')
    assert.equal((await client.query('select 1 as one')).rows[0]?.one, 1)
  })
  assert.equal(asked, 0)
})

const apart: readonly string[] = [
  'create table a (id int primary key, b text default random()::text)',
  'create table if not exists a (id int)',
  'create index on a (b)',
  'alter table a add column c int not null default 1, add check (c > 0), alter column b set not null',
  'alter table a alter column c type bigint using c + 1',
  'create view v as select * from a',
  'create or replace view v as select * from a where b > $$x$$',
  'create table made as select * from v',
  'create materialized view m as select b from v',
  'create temporary table t (like a including all)',
  'create sequence s owned by a.id; alter sequence s restart 3',
  "create function f() returns trigger language plpgsql as 'begin return new; end'",
  'create trigger r before insert on a for each row execute function f()',
  'drop materialized view m; drop view v; drop table made, t',
  'begin; create table other (like a); drop table other; commit',
]

test('what cannot concern a protected table does not have the catalogue read again', async t => {
  await withClient(await door(kit.state.catalogue.fields), async client => {
    await client.query('select count(email) from people')
    for (const sql of apart) {
      await t.test(sql, async () => {
        asked = 0
        await client.query(sql)
        await client.query('select count(email) from people')
        assert.equal(asked, 0)
      })
    }
    await client.query('drop table a cascade; drop function f()')
  })
})

/** Each makes `email` seen by a further name, so that reading it by that name shows the value. */
const concerning: readonly (readonly [sql: string, name: string])[] = [
  ['create view v1 as select id, email from people', 'v1'],
  ['create view v2 as select * from v1', 'v2'],
  ['create materialized view v3 as select email from v2', 'v3'],
  ['alter view v2 rename to v4', 'v4'],
  ['explain analyze create materialized view v5 as select id, email from people', 'v5'],
  ["create table child () inherits (people)~insert into child (id, email) values (2, 'ann@x.com')", 'child'],
  [
    "create table grandchild () inherits (child)~insert into grandchild (id, email) values (3, 'ann@x.com')",
    'grandchild',
  ],
  ['call make_view()', 'made_by_procedure'],
  ['drop view made_by_procedure; do $$ begin call make_view(); end $$', 'made_by_procedure'],
]

test('what may concern a protected table is known before the next statement', async t => {
  await kit.direct(`create procedure make_view() language sql
    as 'create view made_by_procedure as select email from people'`)
  await withClient(await door(kit.state.catalogue.fields), async client => {
    await client.query("insert into people (id, email) values (1, 'ann@x.com')")
    for (const [sql, name] of concerning) {
      await t.test(sql, async () => {
        for (const statement of sql.split('~')) await client.query(statement)
        assert.equal((await client.query(`select email from ${name} limit 1`)).rows[0]?.email, 'ann@x.com')
      })
    }
  })
})

test('what was sent before another change may concern a protected table by the time it is carried out', async () => {
  const config = await door(kit.state.catalogue.fields)
  await withClient(config, async first => {
    await withClient(config, async second => {
      await first.query('select pg_advisory_lock(7)')
      const late = second.query('select pg_advisory_xact_lock(7); create view over_late as select * from late')
      const waits = "select from pg_locks where locktype = 'advisory' and not granted"
      for (const deadline = Date.now() + 10_000; (await kit.direct(waits)).length === 0; ) assert(Date.now() < deadline)
      await first.query('create view late as select id, email from people')
      await first.query('select email from late limit 1')
      await first.query('select pg_advisory_unlock(7)')
      await late
      for (const client of [first, second]) {
        assert.equal((await client.query('select email from over_late limit 1')).rows[0]?.email, 'ann@x.com')
      }
    })
  })
})

/** A gateway of its own at the same database: its knowledge does not grow old either. */
async function node(): Promise<pg.ClientConfig> {
  const shop = kit.state.databases.get('shop')
  assert(shop)
  const planner = await createPlanner()
  const schema = openDatabaseSchema(shop.upstream, {
    fields: kit.state.catalogue.fields,
    database: 'shop',
    now: () => 0,
  })
  closers.push(
    () => planner.close(),
    () => schema.close(),
  )
  const state = { ...shop, schema: schema.source, planner }
  const { address } = await kit.listen({}, { databases: new Map([['shop', state]]) })
  return kit.client('billy', { port: address.port })
}

test('a change through one gateway is known to another, and one beside them when somebody says so', async () => {
  const [one, other] = [await node(), await node()]
  await withClient(one, async here => {
    await withClient(other, async there => {
      const shows = async (sql: string): Promise<void> => {
        const deadline = Date.now() + 10_000
        while ((await there.query(sql)).rows[0]?.email !== 'ann@x.com') assert(Date.now() < deadline, sql)
      }
      await shows('select email from people limit 1')
      await here.query('create view told as select email from people')
      await shows('select email from told limit 1')
      await here.query('begin; create view told_late as select email from people')
      await here.query('commit')
      await shows('select email from told_late limit 1')
      await kit.direct('create view told_beside as select email from people; notify bawn_schema')
      await shows('select email from told_beside limit 1')
    })
  })
})

test('a change is known to the other sessions of its gateway before their next statement', async () => {
  const config = await node()
  await withClient(config, async here => {
    await withClient(config, async there => {
      await there.query('select email from people limit 1')
      for (const [type, value] of [
        ['text', "'of text'"],
        ['int', '4711'],
      ]) {
        // Where the columns are not named, the gateway writes their names.
        await here.query(`alter table people add column added ${type}`)
        const columns = await kit.direct(
          "select count(*)::int as n from information_schema.columns where table_name = 'people'",
        )
        const nulls = Array.from({ length: Number(columns[0]?.['n']) - 2 }, () => 'null')
        await there.query(`insert into people values (${[4711, ...nulls, value].join(', ')})`)
        await there.query('delete from people where id = 4711')
        await here.query('alter table people drop column added')
      }
    })
  })
})

test('with an event trigger every change may concern a protected table', async () => {
  await kit.direct(`
    create function beside() returns event_trigger language plpgsql as $$ begin
      if tg_tag = 'CREATE TABLE' then create view beside as select email from people; end if; end $$;
    create event trigger beside on ddl_command_end execute function beside();
  `)
  await withClient(await door(kit.state.catalogue.fields), async client => {
    await client.query('create table innocent (id int)')
    assert.equal((await client.query('select email from beside limit 1')).rows[0]?.email, 'ann@x.com')
  })
})
