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
import type { Planner } from '../packages/bawn/src/postgres/sql/plan.ts'
import { createPlanner } from '../packages/bawn/src/postgres/sql/planner.ts'
import { createSchemaSource } from '../packages/bawn/src/postgres/sql/schema.ts'
import { type Kit, rawLogin, rules, say, startKit, withClient } from './postgres-kit.ts'

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
  const planner = await createPlanner()
  closers.push(() => planner.close())
  const schema = createSchemaSource({
    query: async (sql, parameters) => (await pool.query(sql, [...parameters])).rows,
    fields: kit.state.catalogue.fields,
    database: 'shop',
    objects: () => firewall.asksForTables,
    watched: () => firewall.watched,
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
    // What was read less than 50 ms ago is not read again for a refusal.
    const deadline = performance.now() + 10_000
    const fresh = (): Promise<pg.QueryResult> => client.query('select * from fresh')
    let found = await fresh().catch((error: unknown) => error)
    while (found instanceof pg.DatabaseError && performance.now() < deadline)
      found = await fresh().catch(error => error)
    assert(found instanceof Object && 'rows' in found, String(found))
    assert.deepEqual(found.rows, [])
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
  'copy staff_old to stdout',
  'copy (select pay from pay_view) to stdout',
  'copy pay_view from stdin',
  'copy staff_old from stdin',
  'prepare p as select salary from staff',
  'prepare p as select name from staff; execute p; execute q((select max(salary) from staff))',
  'create view mine as select salary from staff',
  'create materialized view mine as select name, salary from staff',
  'create table mine () inherits (staff)',
  'alter table staff_old no inherit staff',
  "create function mine() returns bigint language sql as 'select max(salary) from staff'",
  'create function mine() returns bigint language sql return (select max(salary) from staff)',
  'merge into staff using notes on false when not matched then insert values (9, $$x$$, 1)',
  'merge into notes n using staff s on s.salary = n.id when matched then delete',
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

test('column rules and protected columns see through views, children and named statements of other sessions, at once', async () => {
  await kit.direct(`
    insert into public.people (id, name) values (1, 'Aoife');
    create view public.open as select id, name from public.people;
    create view public.all_open as select * from public.open;
  `)
  const columns = [{ name: 'mail', table: 'public.people', columns: ['email'], read: ['billing'] }]
  const door = await guarded({ default: 'allow', columns })
  const other = await guarded({ default: 'allow', columns: [{ ...columns[0], columns: ['name'] }] })
  await withClient(on(door, 'billy'), async billy => {
    await billy.query("update people set email = 'aoife@example.org'")
    await withClient(on(door, 'sue'), async sue => {
      const denied = async (text: string): Promise<void> => {
        const error = await refusal(sue, text)
        assert.equal(error.code, '42501', `${text}: ${error.message}`)
        assert.match(error.message, /^permission denied for column email of table public\.people/, text)
      }
      await sue.query('select name from people')
      for (let round = 0; round < 10; round += 1) {
        await billy.query(`create view mails_${round} as select id, email from people`)
        await denied(`select id from mails_${round}`)
        await billy.query(`create table people_${round} () inherits (people)`)
        await denied(`select email from people_${round}`)
        await denied(`copy people_${round} from stdin`)
        await denied(`copy people_${round} (email) to stdout`)
        await denied(`copy (table mails_${round}) to stdout`)
      }
      await billy.query("prepare mine as select id from people where email = $1; execute mine('aoife@example.org')")
      await denied("prepare mine as select id from people where email = $1; execute mine('aoife@example.org')")
      await denied('prepare mine (text) as insert into people (id, email) values ($1, $2)')
      await sue.query("prepare mine as select id from people where name = $1; execute mine('Aoife')")
      await denied('execute mine(1); select email from people')
      await billy.query(
        'create table notes_2 (id int, body text, email bytea); create view known as select id from notes_2',
      )
      assert.deepEqual((await sue.query('select id from known')).rows, [])
      // A name that was harmless, and is not any more.
      await billy.query('create or replace view known as select id from people')
      await denied('select id from known')
    })
  })
  await withClient(on(other, 'sue'), async sue => {
    for (const text of ['select id from open', 'select id from all_open', 'copy (table open) to stdout']) {
      assert.equal((await refusal(sue, text)).code, '42501', text)
    }
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

/** A listener whose rules can be replaced under open sessions, as a reload does. */
async function reloadable(written: unknown) {
  const policies = { support: { roles: ['support'] }, billing: { roles: ['billing'] } }
  const made = async (rules: unknown) =>
    createFirewall(firewallOptions.parse(rules), await createParser(), allow => createGate(allow, policies), policies)
  let firewall = await made(written)
  const inner = await createPlanner()
  closers.push(() => inner.close())
  let next: typeof firewall | undefined
  const planner: Planner = {
    plan(...asked) {
      firewall = next ?? firewall
      next = undefined
      return inner.plan(...asked)
    },
    read: inner.read.bind(inner),
    match: inner.match.bind(inner),
    close: inner.close.bind(inner),
  }
  const schema = createSchemaSource({
    query: async (sql, parameters) => (await pool.query(sql, [...parameters])).rows,
    fields: [],
    database: 'shop',
    objects: () => firewall.asksForTables,
    watched: () => firewall.watched,
  })
  const shop = kit.state.databases.get('shop')
  assert(shop)
  const database = {
    ...shop,
    schema,
    planner,
    get firewall() {
      return firewall
    },
  }
  const door = await kit.listen({ tls: undefined }, { databases: new Map([['shop', database]]) })
  const reload = async (rules: unknown): Promise<void> => {
    firewall = await made(rules)
  }
  /** While the next text is planned: the firewall has let it pass by then. */
  const reloadWithin = async (rules: unknown): Promise<void> => {
    next = await made(rules)
  }
  return { door, reload, reloadWithin }
}

const open = { default: 'allow' }
const noDeletes = { default: 'allow', rules: [{ name: 'no-deletes', action: 'deny', statements: ['DELETE'] }] }
const noSelects = { default: 'allow', rules: [{ name: 'no-selects', action: 'deny', statements: ['SELECT'] }] }
const noSalaries = { default: 'allow', rules: [{ name: 'no-salaries', action: 'deny', tables: ['hr.salaries'] }] }

test('what was prepared before a reload is judged by the rules of after it', async () => {
  const { door, reload } = await reloadable(open)
  await withClient({ ...on(door, 'billy'), ssl: false }, async client => {
    const remove = { name: 'remove', text: 'delete from notes where id = $1', values: [-1] }
    const sum = { name: 'sum', text: 'select sum(y)::int as y from twice' }
    const count = { name: 'count', text: 'select count(*)::int as n from notes' }
    for (const query of [remove, sum, count]) await client.query(query)
    await client.query('prepare p as delete from notes where id = -1; prepare q as select 1 as one')
    await client.query('execute p')
    await reload(noDeletes)
    assert.equal((await refusal(client, remove)).code, '42501')
    assert.equal((await refusal(client, 'delete from notes where id = -1')).code, '42501')
    assert.equal((await client.query(count)).rows[0]?.n, 2)
    assert.equal((await client.query(sum)).rows[0]?.y, 100)
    // What SQL has named was judged by the text that named it.
    for (const sql of ['execute p', 'execute q', 'explain execute p', 'create table stored as execute p']) {
      assert.match((await refusal(client, sql)).message, /^cached plan must not change: the firewall has other rules/)
    }
    await client.query('deallocate q; prepare q as select 1 as one')
    assert.equal((await client.query('execute q')).rows[0]?.one, 1)
    assert.match((await refusal(client, 'execute remove(1)')).message, /cached plan/)
    assert.equal((await client.query('execute count')).rows[0]?.n, 2)
    // A name that is not free is still the first one's.
    await refusal(client, 'prepare p as select 1')
    assert.match((await refusal(client, 'execute p')).message, /cached plan/)
    // Rules about tables need to know which there are, and by which views they are read.
    await reload(noSalaries)
    assert.equal((await refusal(client, sum)).code, '42501')
    assert.equal((await refusal(client, 'select * from harmless')).code, '42501')
    await client.query(remove)
    await reload(open)
    assert.equal((await client.query(sum)).rows[0]?.y, 100)
  })
})

test('what is being planned when a reload comes was judged by the rules of before it', async () => {
  const { door, reload, reloadWithin } = await reloadable(open)
  await withClient({ ...on(door, 'billy'), ssl: false }, async client => {
    for (const text of [
      'prepare p as delete from notes where id = -1',
      { text: 'prepare q as delete from notes where id = -1', values: [] },
    ]) {
      await reload(open)
      await client.query('select 1 as one')
      await reloadWithin(noDeletes)
      await client.query(text)
      const name = typeof text === 'string' ? 'p' : 'q'
      assert.match((await refusal(client, `execute ${name}`)).message, /^cached plan must not change/, name)
    }
    await client.query('prepare r as select 1 as one')
    assert.equal((await client.query('execute r')).rows[0]?.one, 1)
  })
})

test('cursors and portals go on where a reload changes no rule, and end where it does', async () => {
  const { door, reload } = await reloadable(noDeletes)
  const client = await rawLogin(door.address.port, 'billy', 'billing')
  const ask = async (...messages: readonly Buffer[]): Promise<string> => {
    client.socket.write(Buffer.concat(messages))
    return await client.ready()
  }
  const next = say.execute('p', 1)
  await ask(say.parse('s', 'select id from notes order by id'), say.sync)
  await ask(say.query('begin; declare c cursor for select id from notes order by id; declare d cursor for select 1'))
  assert.equal(await ask(say.bind('p', 's'), next, say.sync), '2DsZ')
  await reload(noDeletes)
  assert.equal(await ask(next, say.sync), 'DsZ')
  assert.equal(await ask(say.query('fetch 1 from c')), 'TDCZ')
  assert.equal(await ask(say.execute('d', 1), say.sync), 'DsZ')
  await reload(noSelects)
  assert.equal(await ask(next, say.sync), 'EZ')
  assert.equal(await ask(say.query('rollback')), 'CZ')
  // A cursor of SQL, by SQL and by the protocol.
  await reload(open)
  for (const use of [[say.query('fetch 1 from c')], [say.execute('c', 1), say.sync]]) {
    await ask(say.query('begin; declare c cursor for select id from notes'))
    await reload(noSelects)
    assert.equal(await ask(...use), 'EZ')
    assert.equal(await ask(say.query('rollback')), 'CZ')
    await reload(open)
  }
  // A statement of SQL, by the protocol.
  await ask(say.query('prepare made as select 1'))
  await reload(noSelects)
  assert.equal(await ask(say.bind('', 'made'), say.execute(''), say.sync), 'EZ')
  client.socket.destroy()
  rules.clear()
})
