import assert from 'node:assert/strict'
import { connect, createServer } from 'node:net'
import { after, before, beforeEach, test } from 'node:test'
import pg from 'pg'
import type { PostgresListener } from '../packages/bawn/src/postgres/listener.ts'
import { guardOf } from '../packages/bawn/src/postgres/session-marks.ts'
import type { Planner } from '../packages/bawn/src/postgres/sql/plan.ts'
import { createPlanner } from '../packages/bawn/src/postgres/sql/planner.ts'
import type { DatabaseState, SessionMarks } from '../packages/bawn/src/postgres/state.ts'
import { type Kit, rawLogin, rules, say, startKit, withClient } from './postgres-kit.ts'

// Row-level security goes by who the gateway says is asking; whoever asks tries to be somebody else.

const setup = `
create table people (id int primary key, name text, email bytea, photo bytea);
create table by_role (owner text, text text);
create table by_setting (owner text, text text);
insert into by_role values ('sue', 'of sue'), ('billy', 'of billy');
insert into by_setting table by_role;
alter table by_role enable row level security;
alter table by_setting enable row level security;
create policy own on by_role using (owner = current_user);
create policy own on by_setting using (owner = current_setting('app.user', true));
create role app_support nologin; create role app_billing nologin; create role sue nologin; create role billy nologin;
create role broker noinherit login password 'of the broker';
grant sue, billy, app_support, app_billing to broker;
grant select, insert on by_role, by_setting to sue, billy, broker;
grant select on people to sue, billy, broker;
grant create on schema public to sue, billy, broker;
grant create, temporary on database postgres to public;
`

let kit: Kit
let byRole: PostgresListener
let bySetting: PostgresListener
const planners: Planner[] = []

async function listen(marks: SessionMarks, more: Partial<DatabaseState> = {}): Promise<PostgresListener> {
  const shop = kit.state.databases.get('shop')
  assert.ok(shop !== undefined)
  const planner = await createPlanner({ identity: guardOf(marks, 'broker') })
  planners.push(planner)
  const upstream = { ...shop.upstream, user: 'broker', password: 'of the broker' }
  return kit.listen({}, { databases: new Map([['shop', { ...shop, upstream, planner, marks, ...more }]]) })
}

before(async () => {
  kit = await startKit(setup)
  byRole = await listen({ role: 'id', setting: undefined, rolesSetting: undefined })
  bySetting = await listen({ role: undefined, setting: 'app.user', rolesSetting: 'app.roles' })
})
after(async () => {
  await kit.stop()
  for (const planner of planners) await planner.close()
})
beforeEach(() => {
  rules.clear()
  kit.logs.length = 0
})

const config = (user: string, door: PostgresListener): pg.ClientConfig => kit.client(user, { port: door.address.port })
const notes = { role: 'select text from by_role', setting: 'select text from by_setting' } as const

test('set_role: sessions are who is asking, each its own', async () => {
  for (const user of ['sue', 'billy']) {
    await withClient(config(user, byRole), async client => {
      const { rows } = await client.query('select current_user::text as current, session_user::text as session')
      assert.deepEqual(rows, [{ current: user, session: 'broker' }])
      assert.deepEqual((await client.query(notes.role)).rows, [{ text: `of ${user}` }])
    })
  }
})

test('setting: rules see the id and the roles', async () => {
  await withClient(config('sue', bySetting), async client => {
    const { rows } = await client.query(
      `select current_setting('app.user') as id, current_setting('app.roles') as roles`,
    )
    assert.deepEqual(rows, [{ id: 'sue', roles: 'support' }])
    assert.deepEqual((await client.query(notes.setting)).rows, [{ text: 'of sue' }])
  })
})

test('set_role by the roles of the identity: the first that has one, and none lets nobody in', async () => {
  const role = new Map([
    ['billing', 'app_billing'],
    ['support', 'app_support'],
  ])
  const door = await listen({ role, setting: undefined, rolesSetting: undefined })
  await withClient(config('sue', door), async client => {
    assert.deepEqual((await client.query('select current_user::text as name')).rows, [{ name: 'app_support' }])
  })
  await assert.rejects(
    withClient(config('gus', door), client => client.query('select 1')),
    { code: '42501' },
  )
})

test('a role that the database does not have, or would not give, lets nobody in', async () => {
  const cases = [
    ['gus', 'id'],
    ['sue', new Map([['support', 'postgres']])],
    ['sue', new Map([['support', 'nobody']])],
  ] as const
  for (const [user, role] of cases) {
    const door = await listen({ role, setting: undefined, rolesSetting: undefined })
    await assert.rejects(withClient(config(user, door), client => client.query('select 1')))
  }
})

// What a session may say, and must not be somebody else after.
const attacks: readonly (readonly [name: string, ...statements: string[]])[] = [
  ['SET ROLE', 'set role billy'],
  ['SET ROLE NONE', 'set role none'],
  ['SET LOCAL ROLE', 'begin', 'set local role billy'],
  ['SET of the setting that it is', `set role to 'billy'`, `set "ROLE" = 'billy'`, `set u&"\\0072ole" = 'billy'`],
  ['RESET ROLE', 'reset role'],
  ['SET ROLE to its default', 'set role to default'],
  ['SET SESSION AUTHORIZATION', 'set session authorization billy', 'set session authorization default'],
  ['RESET SESSION AUTHORIZATION', 'reset session authorization'],
  ['SET', `set app.user = 'billy'`, `set app."user" to 'billy'`, `set "app.user" to 'billy'`, `set APP.USER = 'billy'`],
  ['SET LOCAL', 'begin', `set local app.user = 'billy'`],
  ['RESET', 'reset app.user', 'set app.user to default'],
  ['RESET ALL', 'reset all'],
  ['DISCARD ALL', 'discard all'],
  [
    'set_config',
    `select set_config('role', 'billy', false)`,
    `select set_config('ROLE', 'none', false), set_config('App.User', 'billy', false)`,
    `select pg_catalog."set_config"('app.user'::text, 'billy', true)`,
    `select u&"set\\005fconfig"('app.user', 'billy', false)`,
    `select set_config(e'app\\x2euser', 'billy', false)`,
  ],
  ['set_config with a name that is made', `select set_config('app.' || 'user', 'billy', false)`],
  [
    'set_config with named arguments',
    `select set_config(new_value => 'billy', is_local => false, setting_name => 'app.user')`,
  ],
  ['set_config in a CTE', `with x as (select set_config('app.user', 'billy', false)) select * from x`],
  ['set_config in COPY', `copy (select set_config('app.user', 'billy', false)) to stdout`],
  ['set_config in EXPLAIN', `explain analyze select set_config('app.user', 'billy', false)`],
  ['set_config in a view', `create view v as select set_config('app.user', 'billy', false)`, 'select * from v'],
  [
    'set_config in a default',
    `create temp table d (x text default set_config('app.user', 'billy', false))`,
    'insert into d default values',
  ],
  ['set_config in a cursor', 'begin', `declare c cursor for select set_config('app.user', 'billy', false)`, 'fetch c'],
  ['PREPARE and EXECUTE', `prepare p as select set_config('app.user', 'billy', false)`, 'execute p'],
  [
    'PREPARE with the name as a parameter',
    'prepare q (text) as select set_config($1, $2, false)',
    `execute q ('app.user', 'billy')`,
  ],
  ['pg_settings', `update pg_settings set setting = 'billy' where name = 'app.user'`],
  [
    'a view of pg_settings',
    'create temp view v as select name, setting from pg_settings',
    `update v set setting = 'billy' where name in ('app.user', 'role')`,
  ],
  ['DO', `do $$ begin perform set_config('app.user', 'billy', false); execute 'set role billy'; end $$`],
  [
    'a function',
    `create function pg_temp.f() returns void language plpgsql as $$ begin execute 'set role billy'; perform set_config('app.' || 'user', 'billy', false); end $$`,
    'select pg_temp.f()',
  ],
  [
    'a function with SET',
    `create function g() returns bigint language sql set role = billy as 'select count(*) from by_role'`,
    'select g()',
  ],
  ['a procedure', `create procedure h() language plpgsql as $$ begin set role billy; end $$`, 'call h()'],
  [
    'an aggregate of set_config',
    `create aggregate a (text, boolean) (sfunc = set_config, stype = text, initcond = 'app.user')`,
    `select a('billy', false)`,
  ],
  ['a cast', 'create cast (text as int) with function length(text)'],
  ['query_to_xml', `select query_to_xml('select set_config(''app.user'', ''billy'', false)', true, false, '')`],
  ['ts_stat', `select ts_stat('select to_tsvector(set_config(''app.user'', ''billy'', false))')`],
  [
    'ts_rewrite',
    `select ts_rewrite('a'::tsquery, 'select ''a''::tsquery, to_tsquery(set_config(''app.user'', ''billy'', false))')`,
  ],
  [
    'settings of the login',
    `alter role broker set app.user = 'billy'`,
    `alter role broker set role = billy`,
    `alter database postgres set app.user = 'billy'`,
  ],
  ['several statements in one text', `select 1; set app.user = 'billy'; set role billy`],
  ['a comment within', `set/**/role/* x */billy`, `set --x\n app.user = 'billy'`],
  ['the end of a transaction', 'begin', 'rollback', 'reset all'],
  ['a savepoint', 'begin', 'savepoint s', `set app.user = 'billy'`, 'rollback to s'],
  ['a text that is not read', `set role billy; select ${'('.repeat(300)}1${')'.repeat(300)}`],
  ['a syntax error before it', `selec 1; set role billy`],
  ['GRANT and a role that is made', 'create role mine', 'grant billy to sue'],
]

for (const [door, name] of [
  ['role', 'set_role'],
  ['setting', 'setting'],
] as const) {
  for (const [attack, ...statements] of attacks) {
    test(`${name}: still the same one after ${attack}`, async () => {
      const listener = door === 'role' ? byRole : bySetting
      for (const way of ['simple', 'extended'] as const) {
        await withClient(config('sue', listener), async client => {
          for (const text of statements) {
            try {
              await client.query(way === 'simple' ? text : { name: `attack ${text}`.slice(0, 60), text })
            } catch (error) {
              assert.ok(error instanceof pg.DatabaseError, String(error))
            }
            const seen = await client.query(notes[door]).catch((error: unknown) => {
              assert.ok(error instanceof pg.DatabaseError && error.code === '25P02', String(error))
              return { rows: [{ text: 'of sue' }] }
            })
            assert.deepEqual(seen.rows, [{ text: 'of sue' }], text)
          }
          await client.query('rollback')
          assert.deepEqual((await client.query(notes[door])).rows, [{ text: 'of sue' }])
        })
      }
    })
  }
}

test('a name bound as a parameter is refused when the statement is prepared', async () => {
  await withClient(config('sue', bySetting), async client => {
    const text = 'select set_config($1, $2, false)'
    await assert.rejects(client.query(text, ['app.user', 'billy']), { code: '42501' })
  })
  const client = await rawLogin(bySetting.address.port, 'sue', 'support')
  client.socket.write(Buffer.concat([say.parse('', `set app.user = 'billy'`), say.sync]))
  assert.equal(await client.ready(), 'EZ')
  client.socket.write(say.query(notes.setting))
  await client.until(() => client.letters().endsWith('Z'))
  assert.match(client.received.toString('latin1'), /of sue/)
  client.socket.destroy()
})

test('a client cannot bring its own at the start', async () => {
  for (const options of ['-c role=billy', '-c app.user=billy', '--session_authorization=billy', '-c APP.USER=billy']) {
    await assert.rejects(
      withClient(kit.client('sue', { port: bySetting.address.port, options }), client => client.query('select 1')),
      { code: '42501' },
    )
  }
})

test('what is not forbidden works: settings of its own, RESET ALL, temporary tables, DISCARD of plans', async () => {
  for (const door of ['role', 'setting'] as const) {
    await withClient(config('sue', door === 'role' ? byRole : bySetting), async client => {
      await client.query(`set app.theme = 'dark'; set statement_timeout = '5s'; reset all; discard plans; discard temp`)
      await client.query(`select set_config('app.theme', 'light', false)`)
      await client.query('create temp table t (x int); insert into t values (1); select * from t')
      assert.deepEqual((await client.query(notes[door])).rows, [{ text: 'of sue' }])
    })
  }
})

test('something in between that leaves out what a session was to begin with', async () => {
  const { port } = kit.postgres
  // As a pooler does that ignores start parameters: the name is another, of the same length.
  const between = createServer(client => {
    const server = connect(port, '127.0.0.1')
    client.once('data', first => {
      server.write(Buffer.from(first.toString('latin1').replace('app.user\0', 'app.usex\0'), 'latin1'))
      client.pipe(server)
    })
    server.pipe(client)
    for (const socket of [client, server]) socket.on('error', () => {})
  })
  await new Promise<void>(done => between.listen(0, '127.0.0.1', done))
  const address = between.address()
  const shop = kit.state.databases.get('shop')
  assert.ok(shop !== undefined && address !== null && typeof address === 'object')
  const upstream = { ...shop.upstream, user: 'broker', password: 'of the broker', port: address.port, tls: undefined }
  const door = await listen({ role: undefined, setting: 'app.user', rolesSetting: undefined }, { upstream })
  await assert.rejects(
    withClient(config('sue', door), client => client.query('select 1')),
    { code: '08004' },
  )
  assert.match(JSON.stringify(kit.logs.map(({ cause }) => String(cause))), /was not given app\.user/)
  between.close()
})

test('the plan of one is not that of another: two sessions at once', async () => {
  await withClient(config('sue', byRole), async sue => {
    await withClient(config('billy', byRole), async billy => {
      for (let count = 0; count < 3; count += 1) {
        const [one, other] = await Promise.all([sue.query(notes.role), billy.query(notes.role)])
        assert.deepEqual([one.rows, other.rows], [[{ text: 'of sue' }], [{ text: 'of billy' }]])
      }
    })
  })
})

test('names that are no roles, or mean none, are refused before anything is opened', async () => {
  const door = await listen({ role: 'id', setting: undefined, rolesSetting: undefined })
  for (const user of ['none', 'NONE', `s${'u'.repeat(70)}`]) {
    rules.set(user, { kind: 'matched', rule: 'tokens', use: ['jwt'] })
    await assert.rejects(
      withClient(kit.client(user, { port: door.address.port, password: `token:${user}:support` }), client =>
        client.query('select 1'),
      ),
      { code: '42501' },
    )
  }
})
