import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { MessageBuilder } from '../packages/bawn/src/postgres/wire/builder.ts'
import { parseErrorResponse } from '../packages/bawn/src/postgres/wire/error-response.ts'
import { front } from '../packages/bawn/src/postgres/wire/message.ts'
import { type GrantsKit, openGrants } from './grants-kit.ts'
import { type Kit, rawLogin, say, startKit, withClient } from './postgres-kit.ts'

// Ways round grants. Mallory may do everything in the schema lab, may read public.notes, and has nothing on public.plans and the schema
// crm, where the secrets are. The gateway's own login is a superuser of the database: nothing but the gateway stands between.

const mallory = 'gus'
let grants: GrantsKit
let kit: Kit

before(async () => {
  grants = await openGrants()
  kit = await startKit(
    `
    create schema crm; create schema lab;
    create table people (id serial primary key, name text, email bytea, photo bytea);
    create table notes (id int primary key, body text);
    create table plans (id int primary key, secret text, words tsvector);
    create table crm.plans (id int primary key, secret text);
    create table lab.plans (id int primary key, secret text);
    create table lab.scratch (id int primary key, secret text);
    create table lab.parts (id int, secret text) partition by list (id);
    create table crm.part (id int, secret text);
    create function reveal() returns setof text language sql as 'select secret from public.plans';
    create function crm.reveal_one(t text) returns text language sql as 'select secret from public.plans limit 1';
    create function public.reveal_row(r notes) returns text language sql as 'select secret from public.plans limit 1';
    create sequence crm.counter;
    insert into plans values (1, 'TOP SECRET', 'top secret'::tsvector);
    insert into crm.plans values (2, 'TOP SECRET');
    insert into crm.part values (1, 'TOP SECRET');
    insert into lab.scratch values (1, 'mine');
    insert into lab.plans values (1, 'mine');
    insert into notes values (1, 'hello');
    analyze plans;
  `,
    [],
    grants,
  )
  await grants.give(mallory, 'ALL lab.*', 'DQL public.notes')
})
after(async () => {
  await kit.stop()
  grants.close()
})

/** Name, then statements: the last one is the one that has to be refused, whatever became of those before. */
const attacks: readonly (readonly [name: string, ...statements: string[]])[] = [
  ['plainly', 'select secret from public.plans'],
  ['TABLE', 'table public.plans'],
  ['quoted', 'select secret from "public"."plans"'],
  ['in capitals', 'SELECT SECRET FROM PUBLIC.PLANS'],
  ['with escapes', 'select * from U&"public".U&"pl\\0061ns"'],
  ['with an escape character of its own', 'select * from public.U&"pl!0061ns" uescape \'!\''],
  ['with the database before it', 'select * from postgres.public.plans'],
  ['comments between', 'select/**/secret/* a /* b */ */from--x\npublic/**/./**/plans'],
  ['sub-select', 'select (select secret from public.plans limit 1)'],
  ['EXISTS as an oracle', "select 1 where exists (select from public.plans where secret like 'T%')"],
  ['derived table', 'select * from (select * from public.plans) x'],
  ['LATERAL', 'select x.secret from lab.scratch, lateral (select secret from public.plans) x'],
  ['join', 'select * from lab.scratch s left join public.plans p using (id)'],
  ['set operation', 'select secret from lab.scratch union all select secret from public.plans'],
  ['VALUES', 'values ((select secret from public.plans limit 1))'],
  ['ORDER BY', 'select 1 order by (select secret from public.plans limit 1)'],
  ['a WITH query that hides its own table', 'with plans as (select * from public.plans) select * from plans'],
  ['a WITH query of the name elsewhere', 'select * from (with plans as (select 1) select * from plans) a, plans'],
  ['WITH that writes', 'with w as (delete from public.plans returning secret) select * from w'],
  ['INSERT … SELECT', 'insert into lab.scratch (id, secret) select id + 100, secret from public.plans'],
  [
    'INSERT … VALUES with a sub-select',
    'insert into lab.scratch values (7, (select secret from public.plans limit 1))',
  ],
  [
    'ON CONFLICT DO UPDATE',
    "insert into lab.scratch values (1, 'x') on conflict (id) do update set secret = (select secret from public.plans limit 1)",
  ],
  ['RETURNING', "insert into lab.scratch values (8, 'x') returning (select secret from public.plans limit 1)"],
  ['UPDATE … SET', 'update lab.scratch set secret = (select secret from public.plans limit 1)'],
  ['UPDATE … FROM', 'update lab.scratch s set secret = p.secret from public.plans p returning s.secret'],
  ['DELETE … USING', 'delete from lab.scratch using public.plans p returning p.secret'],
  ['DELETE … WHERE', "delete from lab.scratch where exists (select from public.plans where secret like 'T%')"],
  [
    'MERGE',
    'merge into lab.scratch s using public.plans p on s.id = p.id when matched then update set secret = p.secret returning p.secret',
  ],
  ['COPY (query) TO', 'copy (select secret from public.plans) to stdout'],
  ['COPY table TO', 'copy public.plans to stdout'],
  ['COPY to a program', "copy lab.scratch to program 'cat'"],
  ['COPY from a file', "copy lab.scratch from '/etc/passwd'"],
  ['EXPLAIN ANALYZE', 'explain (analyze, verbose) select secret from public.plans'],
  ['EXPLAIN as an oracle', "explain select * from public.plans where secret = 'x'"],
  ['SELECT INTO', 'select * into lab.copy from public.plans'],
  ['CREATE TABLE AS', 'create table lab.copy as table public.plans'],
  ['a temporary table', 'create temp table copy as select * from public.plans'],
  ['a view', 'create view lab.v as select * from public.plans'],
  ['a temporary view', 'create temp view v as select * from public.plans'],
  ['a materialized view', 'create materialized view lab.m as select * from public.plans'],
  [
    'a rule',
    'create rule r as on insert to lab.scratch do also insert into lab.plans select 9, secret from public.plans',
  ],
  ['a rule that returns', 'create rule r as on update to lab.scratch do instead select secret from public.plans'],
  ['a policy', "create policy p on lab.scratch using (exists (select from public.plans where secret like 'T%'))"],
  ['a trigger with a function of others', 'create trigger g before insert on lab.scratch execute function reveal()'],
  ['LIKE', 'create table lab.t (like public.plans)'],
  ['INHERITS', 'create table lab.t () inherits (public.plans)'],
  ['a foreign key as an oracle', 'create table lab.t (id int references public.plans (id))'],
  ['attaching a partition', 'alter table lab.parts attach partition crm.part for values in (1)'],
  ['inheriting', 'alter table public.plans inherit lab.scratch'],
  ['moving the table', 'alter table public.plans set schema lab'],
  ['renaming the table', 'alter table public.plans rename to notes2'],
  ['moving the schema', 'alter schema crm rename to lab2'],
  ['an index', "create index on public.plans ((secret || 'x'))"],
  [
    'statistics of the server',
    "select most_common_vals::text, histogram_bounds::text from pg_stats where tablename = 'plans'",
  ],
  ['statistics, the table below', 'select stavalues1::text from pg_catalog.pg_statistic'],
  ['what others send', 'select query from pg_stat_activity'],
  ['passwords', 'select rolpassword from pg_authid'],
  ['ANALYZE', 'analyze public.plans'],
  ['LOCK', 'lock table public.plans'],
  ['TRUNCATE', 'truncate public.plans'],
  ['TRUNCATE … CASCADE', 'truncate lab.scratch cascade'],
  ['DROP', 'drop table public.plans'],
  ['DROP SCHEMA', 'drop schema crm cascade'],
  ['FOR UPDATE of what may only be read', 'select * from public.notes for update'],
  ['FOR UPDATE behind an alias', 'select * from public.notes n, lab.scratch s for share of n'],
  ['a function that reads', 'select * from reveal()'],
  ['a function that reads, in an expression', "select crm.reveal_one('x')"],
  ['a function as an attribute', 'select n.reveal_row from public.notes n'],
  ['query_to_xml', "select query_to_xml('select secret from public.plans', true, true, '')"],
  ['table_to_xml', "select table_to_xml('public.plans', true, true, '')"],
  ['schema_to_xml', "select pg_catalog.schema_to_xml('public', true, true, '')"],
  ['database_to_xml', "select database_to_xml(true, true, '')"],
  ['ts_stat', "select word from ts_stat('select words from public.plans')"],
  ['ts_stat as an attribute', "select ('select words from public.plans'::text).ts_stat"],
  ['ts_rewrite', "select ts_rewrite('a'::tsquery, 'select ''a''::tsquery, plainto_tsquery(secret) from public.plans')"],
  ['a file', "select pg_read_file('/etc/passwd')"],
  ['a file, as an attribute', "select ('/etc/passwd'::text).pg_read_file"],
  ['a file, as an attribute of a scalar row', "select x.pg_read_file from unnest(array['/etc/passwd']) x"],
  ['large objects', "select lo_import('/etc/passwd')"],
  ['another role', 'set role postgres'],
  ['another role by a function', "select set_config('role', 'postgres', false)"],
  ['another session user', "set session authorization 'postgres'"],
  ['ending sessions', 'select pg_terminate_backend(pg_backend_pid())'],
  ['DO', 'do $$ begin insert into lab.scratch select id + 50, secret from public.plans; end $$'],
  ['CREATE FUNCTION', "create function lab.f() returns text language sql as 'select secret from public.plans'"],
  ['CALL', 'call lab.p()'],
  ['an extension', 'create extension dblink'],
  ['an operator', 'create operator lab.=== (function = crm.reveal_one, rightarg = text)'],
  ['a setting that switches guards off', 'set session_replication_role = replica'],
  ["somebody's sequence", "select nextval('crm.counter')"],
  ["somebody's sequence, spelt otherwise", 'select setval(\'"crm".counter\'::regclass, 1)'],
  ['search_path', 'set search_path = crm', 'select secret from plans'],
  ['search_path by a function', "select set_config('search_path', 'public', false)", 'select secret from plans'],
  ['search_path after PREPARE', 'prepare s as select secret from plans', 'set search_path = public', 'execute s'],
  ['a cursor', 'begin', 'declare c cursor for select secret from public.plans'],
  ['a prepared statement', 'prepare q as select secret from public.plans'],
  ['a name that somebody else prepared', 'execute somebodys'],
  ['CREATE SCHEMA with a view in it', 'create schema lab3 create view v as select * from public.plans'],
  ['the second of two statements', 'select 1; select secret from public.plans'],
  ['behind an empty statement', ';;select secret from public.plans;;'],
  ["PostgreSQL's own GRANT", 'grant select on public.plans to public'],
  ["PostgreSQL's own role", 'create role helper superuser login'],
  ['default privileges', 'alter default privileges grant select on tables to public'],
  ['a partition by its name', 'select * from crm.part'],
  ['a toast table', 'select * from pg_toast.pg_toast_1'],
  ['syntax of a future version', 'select secret from public.plans qualify true'],
  ['a whole row', 'select p from public.plans p'],
  ['XMLTABLE', "select * from xmltable('/a' passing (select secret::xml from public.plans) columns a text)"],
  ['JSON', "select json_query(to_json((select secret from public.plans limit 1)), '$')"],
  ['a window', 'select sum(1) over (order by (select secret from public.plans limit 1)) from lab.scratch'],
  ['GROUP BY', 'select 1 from lab.scratch group by (select secret from public.plans limit 1)'],
  ['LIMIT', 'select 1 limit (select length(secret) from public.plans limit 1)'],
  ['CASE', 'select case when (select true from public.plans limit 1) then 1 end'],
  ['TABLESAMPLE', 'select * from public.plans tablesample system (100)'],
  ['a default', "create table lab.t (a text default crm.reveal_one('x'))"],
  ['a domain', "create domain lab.d as text check (crm.reveal_one(value) like 'T%')"],
]

async function refused(client: pg.Client, text: string, extended: boolean): Promise<string> {
  try {
    const config = extended ? { text, queryMode: 'extended' } : { text }
    const result = (await client.query(config)) as pg.QueryResult | pg.QueryResult[]
    const rows = [result].flat().flatMap(one => one.rows)
    return `ran: ${JSON.stringify(rows)}`
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error
    return error.code ?? ''
  }
}

/** Back to how a session begins. */
async function reset(client: pg.Client): Promise<void> {
  await client.query('rollback')
  await client.query('discard all')
}

for (const extended of [false, true]) {
  test(`no way round, ${extended ? 'in the extended protocol' : 'in simple queries'}`, async () => {
    const before = await kit.direct('select * from public.plans')
    const failed: string[] = []
    await withClient(kit.client(mallory), async client => {
      for (const [name, ...statements] of attacks) {
        kit.events.length = 0
        let last = ''
        for (const text of statements) {
          last = await refused(client, text, extended && !/^(?:prepare|declare|begin|copy)|;/.test(text))
        }
        const denials = kit.events.filter(event => event.kind === 'statement' && event.decision === 'deny')
        if (denials.length === 0 || last.startsWith('ran')) failed.push(`${name}: ${last}`)
        await reset(client)
      }
    })
    assert.deepEqual(failed, [])
    assert.deepEqual(await kit.direct('select * from public.plans'), before)
    const leaked = await kit.direct("select count(*)::int as n from lab.scratch where secret like '%SECRET%'")
    assert.deepEqual(leaked, [{ n: 0 }])
  })
}

test('the attacks are real: without grants most of them run, and many show the secret', async () => {
  let ran = 0
  let shown = 0
  await withClient(kit.client('billy'), async client => {
    for (const [name, ...statements] of attacks) {
      // It would end this very session.
      if (name === 'ending sessions') continue
      await client.query('begin')
      let last = ''
      for (const text of statements) last = await refused(client, text, false)
      if (last.startsWith('ran')) ran++
      if (last.includes('SECRET')) shown++
      await reset(client)
    }
  })
  assert(ran > attacks.length * 0.75, `${ran} of ${attacks.length} ran`)
  assert(shown > 20, `${shown} showed the secret`)
})

test('a denial of one table holds against a grant of the whole database, on every way', async () => {
  const trudy = 'sue'
  await grants.give(trudy, 'ALL shop')
  await grants.deny(trudy, 'DQL public.plans')
  const failed: string[] = []
  let count = 0
  await withClient(kit.client(trudy), async client => {
    for (const [name, ...statements] of attacks) {
      const text = statements.at(-1) ?? ''
      if (!/(?<!crm\.)\bplans\b/.test(text)) continue
      // She may define, write and destroy; only what it holds is not hers to see.
      if (/^(?:drop|truncate|lock|analyze|create index)/.test(text)) continue
      count++
      for (const one of statements.slice(0, -1)) await refused(client, one, false)
      const outcome = await refused(client, text, false)
      if (outcome.startsWith('ran')) failed.push(`${name}: ${outcome}`)
      await reset(client)
    }
  })
  assert.deepEqual(failed, [])
  assert(count > 60, `${count} statements`)
})

test('a large object by the function call message needs the grant that its function needs in a SELECT', async () => {
  const create = new MessageBuilder().begin(front.functionCall).int32(715).int16(1).int16(1).int16(1)
  const message = create.int32(4).int32(0).int16(1).end().take()
  const answer = async (user: string, role: string, bytes: Buffer): Promise<string> => {
    const client = await rawLogin(kit.door.address.port, user, role)
    client.socket.write(bytes)
    await client.until(() => client.letters().endsWith('Z'))
    client.socket.destroy()
    const [first] = client.messages()
    return first?.type === 'E' ? `${parseErrorResponse(first.body, 0, first.body.length).get('C')}` : client.letters()
  }
  await grants.give('guest', 'DQL public.notes')
  assert.equal(await answer('ray', 'guest', message), '42501')
  assert.equal(await answer('ray', 'guest', say.query('select lo_create(0)')), '42501')
  await grants.give('guest', 'AL cluster', 'DDL,DML,DQL shop')
  assert.equal(await answer('ray', 'guest', message), 'VZ')
  await grants.take('guest')
})
