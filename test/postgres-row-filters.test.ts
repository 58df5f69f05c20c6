import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import pg from 'pg'
import type { PostgresListener } from '../packages/bawn/src/postgres/listener.ts'
import { missingFilters } from '../packages/bawn/src/postgres/row-filters/in-place.ts'
import { rowFilterOptions } from '../packages/bawn/src/postgres/row-filters/option.ts'
import { policySql, type RowPolicy, rowPolicyOf } from '../packages/bawn/src/postgres/row-filters/policy-sql.ts'
import { guardOf } from '../packages/bawn/src/postgres/session-marks.ts'
import { createParser } from '../packages/bawn/src/postgres/sql/parser.ts'
import { createPlanner } from '../packages/bawn/src/postgres/sql/planner.ts'
import { createSchemaSource, type SchemaSource } from '../packages/bawn/src/postgres/sql/schema.ts'
import { type Kit, startKit, withClient } from './postgres-kit.ts'

// Row filters: what `bawn rls` prints is run at a real PostgreSQL by the owner of the tables, and then nobody sees a row of another,
// whatever they write; while anything of it is missing, nothing is served.

const setup = `
create table people (id int primary key, name text, email bytea, photo bytea);
create role owner login; create role broker login password 'of the broker'; create role other login password 'of the other';
grant create on schema public to owner;
set role owner;
create table orders (id int primary key, owner text not null check (owner <> 'nobody'), region text, note text);
insert into orders values (1, 'sue', 'north', 'of sue'), (2, 'sam', 'north', 'of sam'), (3, 'bo', 'south', 'of bo');
create table parted (id int, owner text) partition by range (id);
create table parted_1 partition of parted for values from (0) to (10);
insert into parted values (1, 'sue'), (2, 'sam');
create view order_view as select * from orders;
create function cheap(text) returns boolean language plpgsql cost 0.0000001 as $$ begin raise notice 'seen %', $1; return true; end $$;
grant select, insert, update, delete on orders, parted, parted_1, order_view to broker, other;
reset role;
grant select on people to broker;
grant temporary on database postgres to public;
`
const written = [
  {
    name: 'orders',
    table: 'public.orders',
    rows: [
      { for: ['billing'], where: 'true' },
      { for: ['support'], where: "owner = @user AND note <> '@user'" },
    ],
  },
  {
    name: 'parted',
    table: 'public.parted',
    rows: [{ for: ['authenticated'], where: "owner = @user OR 'billing' = ANY (@roles)" }],
  },
]
const policies = { billing: { roles: ['billing'] }, support: { roles: ['support', "o'brien"] }, granted: { grant: [] } }
const settings = { login: 'broker', setting: 'app.user', rolesSetting: 'app.roles' }

let kit: Kit
let door: PostgresListener
let schema: SchemaSource
let broker: pg.Client
let filters: readonly RowPolicy[]
const closers: (() => Promise<void>)[] = []

before(async () => {
  kit = await startKit(setup)
  const parser = await createParser()
  filters = await Promise.all(written.map(one => rowPolicyOf(rowFilterOptions.parse(one), policies, settings, parser)))
  broker = new pg.Client({
    host: kit.postgres.host,
    port: kit.postgres.port,
    user: 'broker',
    password: 'of the broker',
    database: 'postgres',
  })
  await broker.connect()
  const marks = { role: undefined, setting: 'app.user', rolesSetting: 'app.roles' }
  const planner = await createPlanner({ identity: guardOf(marks, 'broker') })
  closers.push(() => planner.close())
  schema = createSchemaSource({
    query: async (sql, parameters) => (await broker.query(sql, [...parameters])).rows,
    fields: kit.state.catalogue.fields,
    database: 'shop',
    missingFilters: query => missingFilters(query, filters),
  })
  const shop = kit.state.databases.get('shop')
  assert(shop)
  const upstream = { ...shop.upstream, user: 'broker', password: 'of the broker' }
  door = await kit.listen({}, { databases: new Map([['shop', { ...shop, schema, upstream, planner, marks }]]) })
})
after(async () => {
  for (const close of closers) await close()
  await broker?.end()
  await kit?.stop()
})

const config = (user: string): pg.ClientConfig => kit.client(user, { port: door.address.port })
const asOwner = (sql: string): Promise<unknown> => kit.direct(`set role owner; ${sql}`)
const problems = async (): Promise<readonly string[]> => (await schema.refresh()).missingFilters ?? []

test('while a filter is not in place, nothing is served; what is printed puts it in place, also twice', async () => {
  assert.deepEqual(await problems(), [
    'row filter orders: row-level security of public.orders is not enabled and forced',
    'row filter orders: the policy on public.orders is missing, or not what the configuration says',
    'row filter parted: row-level security of public.parted is not enabled and forced',
    'row filter parted: the policy on public.parted is missing, or not what the configuration says',
    'row filter parted: public.parted_1 can be read by its own name: enable and force row-level security on it too',
  ])
  await withClient(config('sue'), async client => {
    await assert.rejects(client.query('select * from orders'), { code: '55000', message: /row filter .* not in place/ })
    await assert.rejects(client.query({ text: 'select 1', values: [] }), { code: '55000' })
  })
  await asOwner(policySql(filters))
  await asOwner(policySql(filters))
  assert.deepEqual(await problems(), [
    'row filter parted: public.parted_1 can be read by its own name: enable and force row-level security on it too',
  ])
  await asOwner('alter table parted_1 enable row level security; alter table parted_1 force row level security')
  assert.deepEqual(await problems(), [])
})

test('everybody has their own rows, and no statement leads to another', async () => {
  await withClient(config('sue'), async client => {
    let heard = ''
    client.on('notice', notice => {
      heard += notice.message
    })
    const own = [{ note: 'of sue' }]
    for (const text of [
      'select note from orders',
      'select note from public.orders as o where true or cheap(o.note)',
      'select note from orders where cheap(note)',
      'select note from order_view where cheap(note)',
      'with w as (table orders) select note from w',
      'select (o).note from orders o',
      'select note from (select * from orders offset 0) x where cheap(note)',
      'select note from only orders',
      "select note from orders where region = 'north' order by (cheap(note))",
    ]) {
      assert.deepEqual((await client.query(text)).rows, own, text)
      assert.deepEqual((await client.query({ text, values: [] })).rows, own, text)
    }
    assert.doesNotMatch(heard, /of (?:sam|bo)/)
    assert.match(heard, /seen of sue/)
    assert.equal((await client.query('update orders set note = note where id = 2')).rowCount, 0)
    assert.equal((await client.query('delete from orders where id = 3')).rowCount, 0)
    // Results of writing are held against it too, and nothing of the row is told.
    for (const text of [
      "insert into orders values (9, 'sam', 'north', 'x')",
      "update orders set owner = 'sam' where id = 1",
    ]) {
      await assert.rejects(client.query(text), { code: '42501', message: /row-level security/ }, text)
    }
    await client.query("insert into orders values (8, 'sue', 'south', 'mine')")
    assert.equal((await client.query('delete from orders where id = 8')).rowCount, 1)
    for (const text of [
      'set app."user" = \'sam\'',
      "select set_config('app.user', 'sam', false)",
      "do $$ begin perform set_config('app.user', 'sam', false); end $$",
      'set role owner',
      'alter table orders disable row level security',
      'drop policy bawn_orders on orders',
      'truncate orders',
      'create policy mine on orders using (true)',
    ]) {
      await assert.rejects(client.query(text), { code: '42501' }, text)
    }
    await client.query('set row_security = off')
    await assert.rejects(client.query('select * from orders'), { code: '42501' })
    await client.query('reset row_security')
    assert.deepEqual((await client.query('select id from parted')).rows, [{ id: 1 }])
    assert.deepEqual((await client.query('select id from parted_1')).rows, [])
    const copied = await client.query("select count(*)::int as n from pg_stats where tablename = 'orders'")
    assert.deepEqual(copied.rows, [{ n: 0 }])
  })
  await withClient(config('billy'), async client => {
    assert.equal((await client.query('select note from orders')).rows.length, 3)
    assert.equal((await client.query('select id from parted')).rows.length, 2)
  })
  await withClient(config('gus'), async client => {
    assert.equal((await client.query('select note from orders')).rows.length, 0)
  })
  // Beside the gateway nobody is anybody, whatever they set.
  assert.equal((await broker.query('select * from orders')).rows.length, 0)
  const { host, port } = kit.postgres
  const direct = { host, port, user: 'other', password: 'of the other', database: 'postgres' }
  await withClient(direct, async client => {
    await client.query("select set_config('app.user', 'sue', false), set_config('app.roles', 'billing', false)")
    assert.equal((await client.query('select * from orders')).rows.length, 0)
    assert.equal((await client.query('select * from order_view')).rows.length, 0)
  })
})

test('whatever changes a filter, or leads around it, is found', async () => {
  const rows: readonly (readonly [change: string, back: string, found: RegExp])[] = [
    ['alter policy bawn_orders on orders using (true)', '', /policy on public.orders is missing, or not what/],
    ['drop policy bawn_orders on orders', '', /policy on public.orders is missing/],
    ['drop policy bawn_orders_all on orders', '', /policy on public.orders is missing/],
    ['alter policy bawn_orders on orders with check (true)', '', /policy on public.orders is missing, or not/],
    ['alter policy bawn_orders on orders to broker', '', /policy on public.orders is missing, or not/],
    ['alter table orders disable row level security', '', /not enabled and forced/],
    ['alter table orders no force row level security', '', /not enabled and forced/],
    ['grant truncate on orders to broker', 'revoke truncate on orders from broker', /may TRUNCATE public.orders/],
    [
      'create table orders_too () inherits (orders)',
      'drop table orders_too',
      /public.orders_too can be read by its own name/,
    ],
    [
      'create materialized view kept as select * from orders',
      'drop materialized view kept',
      /public.kept holds rows of public.orders/,
    ],
  ]
  for (const [change, back, found] of rows) {
    await asOwner(change)
    assert.match((await problems()).join('\n'), found, change)
    await withClient(config('billy'), async client => {
      await assert.rejects(client.query('select 1'), { code: '55000' }, change)
    })
    await asOwner(back === '' ? policySql(filters) : back)
    assert.deepEqual(await problems(), [], change)
  }
  const asSuperuser: typeof rows = [
    [
      'create view all_orders as select * from orders',
      'drop view all_orders',
      /view public.all_orders is a superuser’s/,
    ],
    ['alter role broker bypassrls', 'alter role broker nobypassrls', /has BYPASSRLS/],
    ['grant owner to broker', 'revoke owner from broker', /owns public.orders/],
    [
      'alter table orders rename to orders_2',
      'alter table orders_2 rename to orders',
      /there is no table public.orders/,
    ],
  ]
  for (const [change, back, found] of asSuperuser) {
    await kit.direct(change)
    assert.match((await problems()).join('\n'), found, change)
    await kit.direct(back)
    assert.deepEqual(await problems(), [], change)
  }
})

test('conditions that are none are refused, and policies that PostgreSQL cannot ask', async () => {
  const parser = await createParser()
  const rows = [
    ['true) OR (true', 'support', /is more than one expression|is no expression/],
    ['1), (2', 'support', /expression/],
    ['1, 2', 'support', /expression/],
    ['true AS x', 'support', /expression/],
    ['a) FROM pg_authid WHERE (b', 'support', /expression/],
    ['true); DROP TABLE orders; SELECT (1', 'support', /expression/],
    ['owner =', 'support', /no expression/],
    ['true --', 'support', undefined],
    ['true /*', 'support', /no expression/],
    ["'@user' = owner AND @user = owner", 'support', undefined],
    ['true', 'granted', /which PostgreSQL cannot ask/],
    ['true', 'unknown', /which PostgreSQL cannot ask/],
  ] as const
  for (const [where, policy, message] of rows) {
    const options = rowFilterOptions.parse({ name: 'x', table: 'public.orders', rows: [{ for: [policy], where }] })
    const made = rowPolicyOf(options, policies, settings, parser)
    if (message === undefined) assert.match((await made).expression, /^CASE\n[\s\S]*\n {2}ELSE false\nEND$/)
    else await assert.rejects(made, { code: 'postgres.row_filter_invalid', message }, where)
  }
  parser.close()
})
