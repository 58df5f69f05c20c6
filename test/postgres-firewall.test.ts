import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { createGate } from '../packages/bawn/src/policy/gate.ts'
import { createFirewall } from '../packages/bawn/src/postgres/firewall/firewall.ts'
import { openLearning, parseShapes } from '../packages/bawn/src/postgres/firewall/learning.ts'
import { firewallOptions } from '../packages/bawn/src/postgres/firewall/option.ts'
import type { PostgresListener } from '../packages/bawn/src/postgres/listener.ts'
import { createParser } from '../packages/bawn/src/postgres/sql/parser.ts'
import { createPlanner } from '../packages/bawn/src/postgres/sql/planner.ts'
import { createSchemaSource } from '../packages/bawn/src/postgres/sql/schema.ts'
import { type Kit, startKit, withClient } from './postgres-kit.ts'

// The firewall at a real door, before a real PostgreSQL: what it refuses never arrives there, by whatever way it is tried.

let kit: Kit
let pool: pg.Pool
const folder = mkdtempSync(join(tmpdir(), 'bawn-firewall-'))
const closers: (() => Promise<void>)[] = []

before(async () => {
  kit = await startKit(`
    create table public.people (id int, name text, email bytea, photo bytea);
    create schema hr;
    create table hr.salaries (person text, amount int);
    insert into hr.salaries values ('Aoife', 100);
    create table public.notes (id int primary key, body text);
    insert into public.notes values (1, 'one'), (2, 'two');
    create view public.harmless as select person as x, amount as y from hr.salaries;
    create view public.twice as select * from public.harmless;
    create table public.log (at int) partition by range (at);
    create table public.log_old partition of public.log for values from (0) to (10);
    create table public.parent (a int);
    create table public.child () inherits (public.parent);
    create function public.peek() returns bigint language sql security definer as 'select sum(amount) from hr.salaries';
    create function public.whose(n public.notes) returns bigint language sql as 'select sum(amount) from hr.salaries';
    create function public.twofold(n int) returns int language sql immutable as 'select n * 2';
    create table public.salaries (decoy int);
  `)
  const { host, port, user, password } = kit.postgres
  pool = new pg.Pool({ host, port, user, password, database: 'postgres', max: 1 })
  pool.on('error', () => {})
})
after(async () => {
  for (const close of closers) await close()
  await pool?.end()
  await kit?.stop()
  rmSync(folder, { recursive: true })
})

/** A listener whose database has this firewall. */
async function guarded(written: unknown): Promise<PostgresListener> {
  const options = firewallOptions.parse(written)
  const policies = { support: { roles: ['support'] }, billing: { roles: ['billing'] } }
  const firewall = await createFirewall(options, await createParser(), allow => createGate(allow, policies))
  const planner = await createPlanner({ firewall })
  closers.push(() => planner.close())
  const schema = createSchemaSource({
    query: async (sql, parameters) => (await pool.query(sql, [...parameters])).rows,
    fields: kit.state.catalogue.fields,
    database: 'shop',
    objects: () => firewall.asksForTables,
    watched: firewall.watched,
  })
  const shop = kit.state.databases.get('shop')
  assert(shop)
  const learn = options.learn
  const learning =
    learn && openLearning({ file: learn.file, maxShapes: learn.max_shapes, onProblem: message => assert.fail(message) })
  const databases = new Map([['shop', { ...shop, schema, planner, firewall, learning }]])
  return kit.listen({}, { databases })
}

function on(door: PostgresListener, user: string): pg.ClientConfig {
  return kit.client(user, { port: door.address.port })
}

async function refusal(client: pg.Client, query: string | pg.QueryConfig): Promise<pg.DatabaseError> {
  const text = typeof query === 'string' ? query : query.text
  try {
    const result: unknown = await client.query(query)
    return assert.fail(`${text} went through: ${JSON.stringify(result)}`)
  } catch (error) {
    if (error instanceof pg.DatabaseError) return error
    throw error
  }
}

test('a refused statement is told with 42501 and the rule, and the session goes on', async () => {
  const door = await guarded({ default: 'allow', rules: [{ name: 'no-drops', action: 'deny', statements: ['DDL'] }] })
  await withClient(on(door, 'billy'), async client => {
    const error = await refusal(client, 'drop table notes')
    assert.equal(error.code, '42501')
    assert.equal(error.message, 'statement refused by firewall rule "no-drops"')
    assert.match(error.detail ?? '', /^bawn: postgres\.statement_denied, request /)
    assert.match(error.hint ?? '', /bawn explain sql/)
    assert.equal((await client.query('select 1 as one')).rows[0]?.one, 1)
    const extended = await refusal(client, { text: 'drop table notes /* $1 */', values: [] })
    assert.equal(extended.code, '42501')
    const named = await refusal(client, { name: 'p', text: 'drop table notes' })
    assert.equal(named.code, '42501')
    // As after any error of PostgreSQL, a transaction is over.
    await client.query('begin')
    await refusal(client, 'drop table notes')
    assert.equal((await refusal(client, 'select 1')).code, '25P02')
    await client.query('rollback')
    assert.equal((await client.query('select count(*)::int as n from notes')).rows[0]?.n, 2)
    const syntax = await refusal(client, 'selec 1')
    assert.deepEqual([syntax.code, syntax.position], ['42601', '1'])
  })
  const denied = kit.events.filter(event => event.code === 'postgres.statement_denied')
  assert.deepEqual(
    [...new Set(denied.map(({ action, decision, rule }) => `${action} ${decision} ${rule}`))],
    ['DDL deny firewall: no-drops'],
  )
})

const bypasses = [
  'select * from hr.salaries',
  'select * from "hr"."salaries"',
  'select * from U&"h\\0072".U&"sal\\0061ries"',
  'select * from U&"h!0072" uescape \'!\'.salaries',
  'select/**/*/**/from/**/hr/**/./**/salaries',
  'select * from HR.Salaries as notes',
  'with notes as (select * from hr.salaries) select * from notes',
  'select 1; select * from hr.salaries',
  'select * from notes where id = (select sum(amount) from hr.salaries)',
  'select * from harmless',
  'select * from twice',
  'select * from log',
  'select * from log_old',
  'select * from child',
  'select * from parent',
  'select peek()',
  'select * from peek()',
  'select n.whose from notes n',
  'select (notes).whose from notes',
  "select query_to_xml('select * from hr.salaries', true, false, '')",
  "select table_to_xml('hr.salaries'::regclass, true, false, '')",
  "select * from xpath('//x', query_to_xml('table hr.salaries', true, false, ''))",
  "select ts_stat('select to_tsvector(person) from hr.salaries')",
  'do $$ begin perform * from hr.salaries; end $$',
  "do language plpgsql 'begin execute ''table hr.'' || ''salaries''; end'",
  'copy hr.salaries to stdout',
  'copy (table hr.salaries) to stdout',
  'copy hr.salaries (person) to stdout',
  'prepare p as table hr.salaries',
  'begin; declare c cursor for table hr.salaries',
  'explain analyze table hr.salaries',
  'create table mine as table hr.salaries',
  'create temp table mine as table hr.salaries',
  'create view mine as table hr.salaries',
  'create temp view mine as table hr.salaries',
  'create rule r as on update to notes do also select * from hr.salaries',
  "create function mine() returns bigint language sql as 'select 1'",
  'create function mine() returns bigint language sql return (select sum(amount) from hr.salaries)',
  'alter table hr.salaries rename to notes2',
  'alter table hr.salaries set schema public',
  'alter schema hr rename to innocent',
  'alter table notes inherit hr.salaries',
  'create table mine () inherits (hr.salaries)',
  'create table mine (like hr.salaries)',
  'create trigger t after insert on hr.salaries execute function peek()',
  'drop table hr.salaries',
  'drop schema hr cascade',
  'truncate hr.salaries',
  'lock hr.salaries',
  'insert into hr.salaries values (1)',
  'insert into notes select 3, person from hr.salaries',
  'update hr.salaries set amount = 0',
  'delete from notes using hr.salaries',
  'merge into notes using hr.salaries on true when matched then delete',
  'set role postgres',
  'table hr.salaries',
  'select most_common_vals from pg_stats',
  'select stavalues1 from pg_statistic',
  'select query from pg_stat_activity',
  // Which one is meant depends on search_path.
  'select * from salaries',
  'set search_path = hr; select * from salaries',
] as const

test('a table that is denied cannot be reached by other names or ways', async () => {
  const tables = ['hr.salaries', 'public.log_old', 'public.child']
  const door = await guarded({
    default: 'allow',
    trusted_functions: ['public.twofold'],
    rules: [{ name: 'pay', action: 'deny', tables }],
  })
  await withClient(on(door, 'billy'), async client => {
    for (const text of bypasses) {
      const simple = await refusal(client, text)
      assert.deepEqual([simple.code, simple.message], ['42501', 'statement refused by firewall rule "pay"'], text)
      await client.query('rollback')
      if (text.includes(';') && !text.startsWith('do')) continue
      const extended = await refusal(client, { text, values: [] })
      assert.equal(extended.code, '42501', text)
    }
    // What has nothing to do with it works.
    assert.equal((await client.query('select twofold(2) as n')).rows[0]?.n, 4)
    await client.query('create temp table own (a int)')
    await client.query('insert into own values (1)')
    assert.equal((await client.query('select count(*)::int as n from own')).rows[0]?.n, 1)
    await client.query('begin; declare c cursor for select * from notes; fetch 1 from c; commit')
    await client.query('prepare q as select * from notes where id = $1; execute q(1)')
    assert.equal((await client.query('select count(*)::int as n from public.notes')).rows[0]?.n, 2)
  })
  const [row] = await kit.direct('select count(*)::int as rows, sum(amount)::int as amount from hr.salaries')
  assert.deepEqual(row, { rows: 1, amount: 100 })
})

test('a list of what is allowed: everything else is refused, also what came to be a moment ago', async () => {
  const door = await guarded({
    rules: [
      { name: 'notes', action: 'allow', statements: ['SELECT'], tables: ['public.notes', 'public.fresh'] },
      {
        name: 'one',
        action: 'allow',
        for: ['billing'],
        queries: ['update notes set body = %%VALUE%% where id = %%VALUE%%'],
      },
      { name: 'basics', action: 'allow', statements: ['TRANSACTION', 'CURSOR'] },
    ],
  })
  await withClient(on(door, 'billy'), async client => {
    assert.equal((await client.query('select * from notes')).rows.length, 2)
    await client.query({ text: 'UPDATE notes SET body = $1 WHERE id = $2', values: ['uno', 1] })
    await client.query("update notes set body='eins' where id=1 -- x")
    const other = await refusal(client, 'update notes set body = body where id = 1')
    assert.equal(other.message, 'statement refused by the firewall: no rule allows it')
    await refusal(client, "update notes set body = 'x'")
    await refusal(client, 'select * from twice')
    await refusal(client, 'select * from fresh')
    await kit.direct('create table public.fresh (a int)')
    assert.equal((await client.query('select * from fresh')).rows.length, 0)
    // Another table of that name makes it doubtful which one is meant.
    await kit.direct('create table hr.fresh (a int)')
    assert.equal((await client.query('select * from public.fresh')).rows.length, 0)
  })
  await withClient(on(door, 'sue'), async client => {
    assert.equal((await client.query('select * from notes')).rows.length, 2)
    assert.equal((await refusal(client, "update notes set body = 'x' where id = 1")).code, '42501')
  })
})

const ways = [
  'select salary from staff',
  'select * from staff',
  'table staff',
  'select s from staff s',
  'select s.* from staff s',
  'select (s).salary from staff s',
  'select s::text from staff s',
  'select row_to_json(s) from staff s',
  'select salary(s) from staff s',
  'select x.c from staff as x (a, b, c)',
  'select j.c from (staff s join notes n on true) as j (a, b, c, d, e)',
  'select j from (staff s join notes n on true) as j',
  'select pay from pay_view',
  'select salary from staff_old',
  'select staff_old from staff_old',
  'with w (a, b, c) as (table staff) select c from w',
  'select id from staff union all select salary from staff',
  'select most_common_vals, histogram_bounds from pg_stats',
  'update staff set id = null',
  'update staff set id = -1',
  'update staff set name = name returning staff',
  'update staff set name = name returning old',
  'insert into staff (id, name, salary) values (9, $$x$$, 1) returning salary',
  'insert into staff (id, name) values (1, $$x$$) on conflict (id) do update set name = staff.salary::text',
  'copy staff to stdout',
  'copy (select salary from staff) to stdout',
  'select id / (salary - 424242) from staff',
  'select name from staff where salary = 424242',
  "select query_to_xml('table staff', true, true, '')",
  "do $$ begin raise notice '%', (select max(salary) from staff); end $$",
  'select raised()',
  'create index on staff ((1 / (salary - 424242)))',
  'alter table staff alter salary type int using 1 / (salary - 424242)',
  'alter table staff add check (salary < 0)',
  'create table mine as table staff',
  'explain analyze select 1 from staff where salary = 424242',
] as const

test('a column that somebody may not read is shown in no way, nor by an error', async () => {
  await kit.direct(`
    create table public.staff (id int primary key check (id > 0), name text not null, salary int);
    create table public.staff_old () inherits (public.staff);
    insert into public.staff values (1, 'Aoife', 424242);
    insert into public.staff_old values (2, 'Bran', 424242);
    create view public.pay_view as select salary as pay from public.staff;
    create function public.raised() returns int language plpgsql as $$ begin raise notice '%', (select max(salary) from public.staff); return 1; end $$;
    analyze public.staff;
  `)
  const columns = [{ name: 'pay', table: 'public.staff', columns: ['salary'], read: ['billing'] }]
  const door = await guarded({ default: 'allow', columns })
  await withClient(on(door, 'sue'), async client => {
    let heard = ''
    client.on('notice', notice => {
      heard += JSON.stringify(notice)
    })
    for (const text of ways) {
      const error = await refusal(client, text)
      const shown = `${JSON.stringify({ ...error, message: error.message })}${heard}`.replaceAll(text, '')
      assert.doesNotMatch(shown, /424242/, text)
      if (error.code === '42501')
        assert.match(error.message, /column salary of table public\.staff.*\(firewall rule "pay"\)$/, text)
      else assert.match(error.code ?? '', /^23/, `${text}: ${error.message}`)
    }
    assert.equal(
      (await refusal(client, 'select salary from staff')).message,
      'permission denied for column salary of table public.staff (firewall rule "pay")',
    )
    assert.deepEqual((await client.query('select name from staff order by id')).rows, [
      { name: 'Aoife' },
      { name: 'Bran' },
    ])
    await client.query({ text: 'update staff set name = $1 where id = $2', values: ['Áine', 1] })
    await client.query("insert into staff (id, name) values (3, 'Cian')")
  })
  await withClient(on(door, 'billy'), async client => {
    assert.deepEqual((await client.query('select salary from staff where id = 1')).rows, [{ salary: 424242 }])
    assert.match((await refusal(client, 'update staff set id = -1 where id = 1')).detail ?? '', /424242/)
  })
})

test('observe lets everything pass and says what would have been refused; shapes are collected without values', async () => {
  const file = join(folder, 'shapes.jsonl')
  const door = await guarded({ mode: 'observe', learn: { file }, rules: [] })
  const before = kit.events.length
  await withClient(on(door, 'billy'), async client => {
    for (const body of ['secret one', 'secret two'])
      await client.query(`select id from notes where body = '${body}' and id in (1, 2)`)
    await client.query({ text: 'select id from notes where body = $1 and id in ($2)', values: ['secret', 3] })
    await client.query("insert into notes (id, body) values (70, 'secret'), (71, 'secret')")
    await client.query("set application_name = 'secret'")
    await client.query("delete from notes where id > 10 and body = 'secret'; select now() - interval '3 days'")
    await refusal(client, "selec 'secret'")
  })
  const observed = kit.events.slice(before).filter(event => event.kind === 'statement' && event.decision === 'permit')
  assert.equal(observed.length, 7)
  assert.ok(observed.every(({ rule, code }) => /^firewall: /.test(rule) && code === 'postgres.statement_denied'))
  const text = readFileSync(file, 'utf8')
  assert.doesNotMatch(text, /secret|70|days/)
  assert.equal(statSync(file).mode & 0o777, 0o600)
  assert.deepEqual(
    parseShapes(text).map(({ roles, query, classes }) => `${roles} ${query ?? classes.join(' ')}`),
    [
      'billing select id from notes where body = %%VALUE%% and id in (%%LIST_OF_VALUES%%)',
      'billing insert into notes (id, body) values (%%LIST_OF_VALUES%%)',
      'billing SET',
      'billing delete from notes where id > %%VALUE%% and body = %%VALUE%%',
      'billing select now() - %%VALUE%%',
    ],
  )
})
