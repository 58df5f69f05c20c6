import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { parseErrorResponse } from '../packages/bawn/src/postgres/wire/error-response.ts'
import { type Kit, rawLogin, say, startKit, withClient } from './postgres-kit.ts'

// Errors as PostgreSQL itself tells them, where nothing protected is at stake: the same five fields through the door as direct.

let kit: Kit
const tables = `
    create table public.people (id int check (id > 0), name text, email bytea, photo bytea);
    create table public.plain (id int primary key, body text check (body <> 'bad'), n int not null default 0);
    insert into public.plain values (1, 'one');
    create table public.child (of int references public.plain)`
before(async () => {
  kit = await startKit(tables)
  await kit.direct('create database mirror')
})
after(() => kit?.stop())

interface Told {
  readonly code: string | undefined
  readonly message: string
  readonly detail: string | undefined
  readonly hint: string | undefined
  readonly position: string | undefined
}

async function told(client: pg.Client, query: string | pg.QueryConfig): Promise<Told | undefined> {
  try {
    await client.query(query)
    return undefined
  } catch (error) {
    assert(error instanceof pg.DatabaseError, String(error))
    const { code, message, detail, hint, position } = error
    return { code, message, detail, hint, position }
  }
}

/** Run one after the other in one session; several in a row where `~` stands. */
const statements: readonly string[] = [
  // Not grammar, of statements that need not be looked at.
  'select',
  'selec 1',
  'select 1 +',
  'select nothing from plain',
  'select * from nowhere',
  "insert into plain values (1, 'again')",
  "insert into plain values (2, 'bad')",
  'insert into plain (id, n) values (3, null)',
  'insert into child values (7)',
  'delete from plain where id = 1 returning nothing',
  'select 1 / 0',
  "select 'x'::int",
  'select nofunction(1)',
  // Of grammar, in statements that are parsed.
  'create tabel x (a int)',
  'create table x (a int',
  'create table x (a int,, b int)',
  'create table x (a int) with oids',
  'create table x (a int check (a > 0) no inherit deferrable initially wrong)',
  'create table x (a int primary key initially deferred not deferrable)',
  'create table x (a int references plain match partial)',
  'create index on plain (id desc nulls middle)',
  'create view x as select 1 into y',
  'create function f(int, out int) returns int language sql as $$ select 1',
  'create function f() returns int language sql language sql as $$ select 1 $$ x',
  'create trigger t before insert on plain for each sentence execute function f()',
  'create trigger t before insert on plain execute procedure f(1, 2',
  'create role x login login login wrong',
  'create cast (int as text) with function f(int) as assignement',
  'create operator === (leftarg = int,',
  'create type t as (a int,)',
  'create publication p for table plain, tables in schema public, all tables',
  'create subscription s connection x publication',
  'create policy p on plain for nothing',
  "create table x (a int) partition by range (a) partition of plain for values in (1) 'x",
  'alter table plain add column',
  'alter table plain alter column n type',
  'alter table plain alter constraint c not deferrable initially deferred',
  'alter table plain alter constraint c no inherit not enforced wrong',
  'alter table a.b.c.d add column x int',
  'alter table plain set (wrong',
  'drop table',
  'drop tabel plain',
  'drop table plain restrict cascade',
  'do wrong',
  'call plain',
  'prepare p select 1',
  'execute',
  'execute 1',
  'fetch wrong wrong wrong',
  'discard everything',
  'deallocate prepare',
  'import foreign schema x',
  'set client_encoding to',
  "select set_config('a.b', 'c'",
  'with recursive a as (create table x (a int)) select 1',
  'with a as (select 1) create table x (a int)',
  'select 1; create tabel x (a int); select 2',
  "create table x (a text default 'unterminated)",
  'create table x (a int) /* unterminated',
  'create table "unterminated (a int)',
  'create table x (a int) $tag$ unterminated',
  "create table x (a text default e'\\xzz\\u12')",
  "create table x (a text default U&'\\00')",
  "create table x (a text default b'012')",
  'create table x (a numeric default 1e)',
  'create table x (a int default 0x)',
  'create table x (a int default 1_000_)',
  'create table x (a int default 123abc)',
  'create table x (a int default $1a)',
  'create table "" (a int)',
  'create äöü tabel (a int)',
  "create table x (ä text default 'ö', ü wrong wrong)",
  // Not of grammar, in statements that are parsed.
  'create table plain (id int)',
  'create table x (id nothing)',
  'create table x (a int, a int)',
  'create index on plain (nothing)',
  'create index on nowhere (nothing)',
  'alter table nowhere add a int',
  'alter table plain add column n int',
  "alter table plain add constraint c check (body <> 'one')",
  'create unique index on (select 1) (a)',
  'drop table nowhere',
  'drop table plain',
  'drop view plain',
  'create view plain as select 1',
  'create or replace view v as select nothing',
  "create function f() returns int language sql as 'selec 1'",
  'create trigger t before insert on plain for each row execute function nofunction()',
  "do $$ begin raise exception 'mine' using detail = 'of it', hint = 'do', errcode = 'P1234'; end $$",
  'do $$ begin perform 1 / 0; end $$',
  'do $$ begin wrong wrong; end $$',
  'call nothing()',
  // SQL-level EXECUTE.
  'execute nothing',
  'execute nothing (1)',
  'prepare p as select nothing',
  'prepare p as selec 1',
  'prepare p (int, text) as insert into plain values ($1, $2)',
  'prepare p as select 1',
  "execute p (1, 'again')",
  "execute p (2, 'bad')",
  "execute p ('x', 'y')",
  'execute p (1)',
  'execute p (4, nothing)',
  'prepare c as insert into child values ($1)~execute c (7)~deallocate c~execute c (7)',
  "prepare twice as insert into plain values (1, 'x'); execute twice",
  'execute twice',
  "begin~execute p (1, 'again')~select 1~rollback",
  'deallocate nothing',
  'deallocate p~execute p (1, 2)',
  'fetch nothing',
  'declare c cursor for select 1',
  'begin~declare d cursor for select 1 / (2 - n) from generate_series(1, 3) n~fetch 1 from d~fetch 1 from d~rollback',
  `begin~declare j cursor for select ('{"a":' || n)::json from generate_series(1, 3) n~fetch 1 from j~rollback`,
  `begin; declare j cursor for select ('{"a":' || n)::json from generate_series(1, 3) n; fetch 1 from j~rollback`,
  `begin~declare j scroll cursor for select ('{"a":' || n)::json from plain~declare k cursor for select 1~select 2~fetch 1 from k~fetch 1 from j~rollback`,
  'copy plain from stdin wrong',
  'copy nowhere to stdout',
]

test('an error where nothing protected is at stake is told as PostgreSQL tells it', async t => {
  const { host, port, user, password } = kit.postgres
  const config = { host, port, user, password, database: 'mirror' }
  await withClient(config, async direct => {
    await direct.query(tables)
    await withClient(kit.client('billy'), async door => {
      let names = 0
      for (const client of [direct, door]) await client.query("set application_name = 'x'")
      for (const line of statements) {
        await t.test(line, async () => {
          for (const sql of line.split('~')) {
            for (const query of [sql, { text: sql, values: [] }, { name: `s${names++}`, text: sql }]) {
              assert.deepEqual(await told(door, query), await told(direct, query))
            }
          }
        })
      }
    })
  })
})

test('where something protected is at stake, the text stays here, and DETAIL as well', async () => {
  await withClient(kit.client('billy'), async client => {
    for (const sql of [
      'insert into people (email) valus ($$ann$$)',
      "create table t as execute p ('ann'",
      'select u&"p" from t where',
      "create role x password 'a' wrong",
      "execute function ('ann@x.com'",
      "execute procedure/**/('ann@x.com'",
      "execute function /**/ ('ann@x.com'",
    ]) {
      const error = await told(client, sql)
      assert.equal(error?.code, '42601')
      assert.match(error?.detail ?? '', /^bawn: postgres\.statement_unreadable, request /, sql)
    }
    await client.query('prepare p (int) as insert into people (id) values ($1)')
    assert.equal((await told(client, 'execute p (-1)'))?.code, '23514')
    assert.equal((await told(client, 'execute p (-1)'))?.detail, undefined)
    await client.query('prepare q as insert into plain values (1)')
    assert.match((await told(client, 'execute q'))?.detail ?? '', /already exists/)
    // The name is another statement's before the first is answered for.
    const [, , late] = await Promise.all([
      client.query('deallocate q'),
      client.query('prepare q as insert into people (id) values (-1)'),
      told(client, 'execute q'),
    ])
    assert.deepEqual([late?.code, late?.detail], ['23514', undefined])
    await client.query('deallocate q; prepare q as insert into plain values (1); deallocate p')
    await client.query('prepare p (int) as insert into plain values ($1)')
    await client.query('create view over as select id, email from people')
    assert.equal((await told(client, 'execute q'))?.detail, undefined)
  })
})

test('what was prepared or bound by the protocol, and what a cursor reads, decides what EXECUTE and FETCH tell', async () => {
  await kit.direct(`
    create function opens(c refcursor) returns refcursor language plpgsql as
      $$ begin open c for select ('{"a":' || name)::json from public.people; return c; end $$;
    insert into people (id, name) values (7, 'Ann')`)
  const raw = await rawLogin(kit.door.address.port, 'ray', 'billing')
  const answered = async (message: Buffer): Promise<void> => {
    raw.received = Buffer.alloc(0)
    raw.socket.write(message)
    await raw.until(() => raw.letters().endsWith('Z'))
  }
  /** DETAIL of the one error that the messages lead to, each sent when the one before has been answered. */
  const detail = async (name: string, messages: readonly Buffer[]): Promise<string | undefined> => {
    const details: (string | undefined)[] = []
    for (const message of messages) {
      await answered(message)
      const failures = raw.messages().filter(({ type }) => type === 'E')
      details.push(...failures.map(({ body }) => parseErrorResponse(body, 0, body.length).get('D')))
    }
    assert.equal(details.length, 1, `errors of: ${name}`)
    return details[0]
  }
  const { query } = say
  const batch = (...messages: readonly Buffer[]): Buffer => Buffer.concat([...messages, say.sync])
  const parse = (name: string, text: string): Buffer => batch(say.parse(name, text, [23]))
  const portal = (text: string): Buffer => Buffer.concat([say.parse('s', text), say.bind('p', 's')])
  const [plain, hidden] = ["insert into plain values ($1, 'again')", 'insert into people (id) values ($1)']
  const [json, sealed] = [`select ('{"a":' || id)::json from plain`, `select ('{"a":' || id)::json, email from people`]
  const [begin, opens, fetch] = [query('begin'), query("select opens('c')"), query('fetch 1 from c')]
  const declare = query(`declare c cursor for ${json}`)
  const rows: readonly (readonly [name: string, isTold: boolean, ...messages: readonly Buffer[]])[] = [
    ['prepared by the protocol', true, parse('a', plain), query('execute a (1)')],
    ['prepared over something protected', false, parse('b', hidden), query('execute b (-1)')],
    [
      'SQL has taken its name',
      false,
      parse('a', plain),
      query(`deallocate a; prepare a (int) as ${hidden}`),
      query('execute a (-1)'),
    ],
    [
      'the protocol has taken it back',
      false,
      query(`prepare d (int) as ${plain}`),
      batch(say.close('S', 'd'), say.parse('d', hidden, [23])),
      query('execute d (-1)'),
    ],
    ['a portal', true, begin, batch(portal(json)), query('fetch 1 from p')],
    ['a portal over something protected', false, begin, batch(portal(sealed)), query('fetch 1 from p')],
    ['a cursor', true, begin, declare, query('select 2'), fetch],
    ['a cursor in the text of its FETCH', true, query(`begin; declare c cursor for ${json}; fetch 1 from c`)],
    ['a cursor over something protected', false, begin, query(`declare c cursor for ${sealed}`), fetch],
    ['MOVE', true, begin, declare, query('move 1 in c')],
    ['MOVE over something protected', false, begin, query(`declare c cursor for ${sealed}`), query('move 1 in c')],
    ['a cursor of a function', false, begin, opens, fetch],
    ['one of the name of another that was closed', false, begin, declare, query('close c'), opens, fetch],
    [
      'the same in one text',
      false,
      query(`begin; declare c cursor for ${json}; close c; select opens('c'); fetch 1 from c`),
    ],
    [
      'closed by a portal',
      false,
      begin,
      declare,
      batch(say.parse('', 'close c'), say.bind('', ''), say.execute('')),
      opens,
      fetch,
    ],
    ['closed by Close', false, begin, declare, batch(say.close('P', 'c')), opens, fetch],
    ['gone with a savepoint', false, query('begin; savepoint s'), declare, query('rollback to s'), opens, fetch],
    ['gone with its transaction', false, begin, declare, query('commit; begin'), opens, fetch],
  ]
  for (const [name, isTold, ...messages] of rows) {
    assert.equal((await detail(name, messages)) !== undefined, isTold, name)
    await answered(query('rollback; deallocate all'))
    await answered(batch(...['a', 'b', 'd', 's'].map(one => say.close('S', one))))
  }
  raw.socket.destroy()
})

test('what the server would take all the same is not run, and is refused in our words', async () => {
  const shop = kit.state.databases.get('shop')
  assert(shop)
  const unread = { kind: 'refused', code: 'postgres.statement_unreadable', message: 'syntax error' } as const
  const plan: typeof shop.planner.plan = (text, ...more) =>
    Buffer.from(text).includes('new grammar')
      ? { ...unread, hint: 'correct it', offset: undefined, askServer: true }
      : shop.planner.plan(text, ...more)
  const planner = { ...shop.planner, plan, read: shop.planner.read.bind(shop.planner), close: async () => {} }
  const planned = { ...planner, match: shop.planner.match.bind(shop.planner) }
  const { address } = await kit.listen({}, { databases: new Map([['shop', { ...shop, planner: planned }]]) })
  await withClient(kit.client('billy', { port: address.port }), async client => {
    const sql = 'delete from plain /* new grammar */'
    kit.events.length = 0
    await client.query('begin')
    for (const query of [sql, { text: sql, values: [] }, { name: 'named', text: sql }]) {
      await client.query('savepoint a')
      assert.match((await told(client, query))?.detail ?? '', /^bawn: postgres\.statement_unreadable/)
      assert.equal((await told(client, 'select 1'))?.code, '25P02')
      await client.query('rollback to a')
    }
    await client.query('commit')
    const refusals = kit.events.filter(({ decision }) => decision === 'deny')
    assert.equal(refusals.length, 3)
    const { rows } = await client.query(
      'select (select count(*)::int from plain) as plain, (select count(*)::int from pg_prepared_statements) as kept',
    )
    assert.equal(rows[0]?.kept, 0)
    assert.notEqual(rows[0]?.plain, 0)
  })
})
