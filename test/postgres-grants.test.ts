import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import pg from 'pg'
import postgres from 'postgres'
import { parseErrorResponse } from '../packages/bawn/src/postgres/wire/error-response.ts'
import { type GrantsKit, openGrants } from './grants-kit.ts'
import { type Kit, password, type RawClient, rawLogin, say, startKit, withClient } from './postgres-kit.ts'

// Grants at the door, with a real PostgreSQL behind it: what is permitted runs, what is not is refused before anything of it runs, and
// there is no way round.

let grants: GrantsKit
let kit: Kit
before(async () => {
  grants = await openGrants()
  kit = await startKit(
    `
    create schema crm;
    create schema lab;
    create table people (id serial primary key, name text, email bytea, photo bytea);
    create table notes (id int primary key, body text);
    create table plans (id int primary key, secret text);
    create table crm.plans (id int primary key, secret text);
    create table crm.deals (id int primary key, value text);
    create view plan_ids as select id from plans;
    create function reveal() returns setof text language sql as 'select secret from public.plans';
    create function crm.helper(t text) returns text language sql as 'select $1';
    insert into plans values (1, 'TOP SECRET');
    insert into crm.plans values (2, 'TOP SECRET');
    insert into crm.deals values (1, 'big');
    insert into notes values (1, 'hello'), (2, 'world');
    insert into people (name) values ('Ada');
  `,
    [],
    grants,
  )
})
after(async () => {
  await kit.stop()
  grants.close()
})

beforeEach(async () => {
  await grants.take('gus', 'sue', 'guest')
  kit.events.length = 0
})

const give: GrantsKit['give'] = (...all) => grants.give(...all)
const deny: GrantsKit['deny'] = (...all) => grants.deny(...all)
const take: GrantsKit['take'] = (...all) => grants.take(...all)

async function outcome(client: pg.Client, text: string, values?: unknown[]): Promise<string> {
  try {
    const result = await client.query(text, values)
    const rows = Array.isArray(result) ? result.flatMap(one => one.rows) : result.rows
    return JSON.stringify(rows.map(row => Object.values(row)))
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error
    return `${error.code} ${error.message}`
  }
}

test('without a grant nothing exists; with one it works; an entry more decides at once, in an open session', async () => {
  await withClient(kit.client('gus'), async client => {
    const ask = () => outcome(client, 'select body from notes where id = 1')
    assert.equal(await ask(), '42P01 relation "notes" does not exist')
    await give('gus', 'DML public.notes')
    assert.equal(await ask(), '42501 permission denied for table notes')
    await give('gus', 'DQL public.notes')
    assert.equal(await ask(), '[["hello"]]')
    await deny('gus', 'DQL public.plans')
    assert.equal(await ask(), '[["hello"]]')
    await take('gus')
    assert.equal(await ask(), '42P01 relation "notes" does not exist')
  })
})

test('a missing relation and a hidden one are told in the same words, with the same fields, at the same place', async () => {
  await give('gus', 'DQL public.*')
  await deny('gus', 'ALL public.plans')
  await withClient(kit.client('gus'), async client => {
    for (const text of ['select * from public.%s', 'select 1 from notes, %s', 'insert into public.%s values (1)']) {
      const missing = await client.query(text.replace('%s', 'plnas')).catch((error: unknown) => error)
      const hidden = await client.query(text.replace('%s', 'plans')).catch((error: unknown) => error)
      assert(missing instanceof pg.DatabaseError && hidden instanceof pg.DatabaseError)
      const fields = ({ message, code, detail, hint, position, file, line, routine, severity }: pg.DatabaseError) => {
        const written = message.replace(/plnas|plans/, 'x')
        return { message: written, code, detail, hint, position, file, line, routine, severity }
      }
      assert.deepEqual(fields(hidden), fields(missing), text)
      assert.equal(hidden.code, '42P01')
      assert(hidden.position !== undefined)
    }
  })
})

test('a refusal says what is needed, is one line in the trail, and leaves the session usable', async () => {
  await give('sue', 'DQL public.notes')
  await withClient(kit.client('sue'), async client => {
    await client.query('begin')
    const error = await client.query('delete from notes').catch((thrown: unknown) => thrown)
    assert(error instanceof pg.DatabaseError)
    assert.equal(error.code, '42501')
    assert.match(error.detail ?? '', /^bawn: postgres\.permission_denied, request /)
    assert.equal(error.hint, 'It needs DML on table public.notes, and nothing grants it')
    await client.query('rollback')
    assert.equal(await outcome(client, 'select count(*)::int from notes'), '[[2]]')
  })
  const [line, ...more] = kit.events.filter(event => event.kind === 'statement')
  assert.deepEqual(more, [])
  assert.deepEqual(
    { action: line?.action, resource: line?.resource, decision: line?.decision, rule: line?.rule, code: line?.code },
    {
      action: 'DELETE',
      resource: 'shop/notes',
      decision: 'deny',
      rule: 'nothing grants DML on table shop.public.notes',
      code: 'postgres.permission_denied',
    },
  )
})

test('nothing of a text with several statements runs when one is not permitted', async () => {
  await give('sue', 'ALL public.notes')
  await withClient(kit.client('sue'), async client => {
    assert.match(await outcome(client, "insert into notes values (7, 'x'); select * from plans"), /^42P01/)
    assert.equal(await outcome(client, 'select count(*)::int from notes'), '[[2]]')
  })
})

test('prepared statements, portals and cursors are decided again when grants changed', async () => {
  await give('sue', 'DQL public.notes', 'DQL crm.deals')
  await withClient(kit.client('sue'), async client => {
    const named = { name: 'n', text: 'select body from notes where id = $1', values: [1] }
    assert.deepEqual((await client.query(named)).rows, [{ body: 'hello' }])
    await client.query('prepare p as select body from notes where id = 2')
    assert.equal(await outcome(client, 'execute p'), '[["world"]]')
    await client.query('begin')
    await client.query('declare c cursor for select body from notes order by id')
    assert.equal(await outcome(client, 'fetch 1 from c'), '[["hello"]]')
    await take('sue')
    assert.match(await outcome(client, 'fetch 1 from c'), /^42P01/)
    await client.query('rollback')
    assert.match(await outcome(client, 'execute p'), /^42P01/)
    assert.match(await outcome(client, 'explain analyze execute p'), /^42P01/)
    await assert.rejects(client.query(named), { code: '42P01' })
    // By the other way in: what the protocol prepared is run by SQL.
    assert.match(await outcome(client, 'execute n (1)'), /^42P01/)
    await give('sue', 'DQL public.notes')
    assert.equal(await outcome(client, 'execute n (1)'), '[["hello"]]')
    assert.equal(await outcome(client, 'execute p'), '[["world"]]')
    assert.match(await outcome(client, 'execute unheard'), /^26000 prepared statement "unheard" does not exist/)
    assert.match(await outcome(client, 'fetch all from c'), /^34000 cursor "c" does not exist/)
  })
})

test('what SQL prepared or declared is run by messages of the protocol', async () => {
  await give('guest', 'DQL public.notes')
  const raw = await rawLogin(kit.door.address.port, 'ray', 'guest')
  const ask = async (...messages: Buffer[]): Promise<string> => {
    raw.received = Buffer.alloc(0)
    raw.socket.write(Buffer.concat(messages))
    await raw.until(() => raw.letters().endsWith('Z'))
    return `${raw.letters()} ${raw.letters().includes('E') ? codeOf(raw) : ''}`.trim()
  }
  const begin = say.query('begin')
  const declare = say.query('declare c cursor for select body from notes')
  const rollback = say.query('rollback')
  try {
    await ask(say.query('prepare p as select body from notes where id = 1'))
    assert.equal(await ask(say.bind('', 'p'), say.execute(''), say.sync), '2DCZ')
    await ask(begin)
    await ask(declare)
    assert.equal(await ask(say.execute('c', 1), say.sync), 'DsZ')
    await take('guest')
    assert.equal(await ask(say.execute('c', 1), say.sync), 'EZ 42P01')
    assert.equal(await ask(rollback), 'CZ')
    assert.equal(await ask(say.bind('', 'p'), say.execute(''), say.sync), 'EZ 42P01')
    assert.equal(await ask(say.describe('S', 'p'), say.sync), 'EZ 42P01')
    assert.equal(await ask(say.bind('', 'q'), say.sync), 'EZ 26000')
    assert.equal(await ask(say.execute('c'), say.sync), 'EZ 34000')
    // A name that is given away again in a transaction that has failed still means the first statement.
    await give('guest', 'DQL public.notes')
    await ask(begin)
    await ask(say.query('select 1 / 0'))
    assert.equal(await ask(say.query('deallocate p')), 'EZ 25P02')
    await ask(rollback)
    await take('guest')
    assert.equal(await ask(say.query('prepare p as select 1')), 'EZ 42P05')
    assert.equal(await ask(say.query('execute p')), 'EZ 42P01')
    assert.equal(await ask(say.query('deallocate p')), 'CZ')
    assert.equal(await ask(say.query('prepare p as select 1')), 'CZ')
    assert.equal(await ask(say.query('execute p')), 'TDCZ')
    // Not confirmed yet when the name is used: it waits.
    await give('guest', 'DQL public.notes')
    await ask(say.parse('r', 'select body from notes'), say.sync)
    await take('guest')
    raw.received = Buffer.alloc(0)
    const harmless = [say.bind('', 'nosuch'), say.close('S', 'r'), say.parse('r', 'select 1'), say.sync]
    raw.socket.write(Buffer.concat([...harmless, say.query('execute r')]))
    await raw.until(() => raw.letters().split('Z').length > 2)
    assert.equal(raw.letters(), 'EZEZ')
  } finally {
    raw.socket.destroy()
  }
})

test('a suspended portal is not run on after a revoke', async () => {
  await give('guest', 'DQL public.notes')
  const raw = await rawLogin(kit.door.address.port, 'ray', 'guest')
  const ask = async (...messages: Buffer[]): Promise<string> => {
    raw.received = Buffer.alloc(0)
    raw.socket.write(Buffer.concat(messages))
    await raw.until(() => raw.letters().endsWith('Z'))
    return raw.letters()
  }
  try {
    assert.equal(await ask(say.query('begin')), 'CZ')
    const text = 'select body from notes order by id'
    assert.equal(await ask(say.parse('s', text), say.bind('c', 's'), say.execute('c', 1), say.sync), '12DsZ')
    await take('guest')
    assert.equal(await ask(say.execute('c', 1), say.sync), 'EZ')
    assert.equal(codeOf(raw), '42P01')
    assert.equal(await ask(say.query('rollback')), 'CZ')
    assert.equal(await ask(say.describe('S', 's'), say.sync), 'EZ')
    assert.equal(codeOf(raw), '42P01')
    assert.equal(await ask(say.bind('', 's'), say.execute(''), say.sync), 'EZ')
    await give('guest', 'DQL public.notes')
    assert.equal(await ask(say.bind('', 's'), say.execute(''), say.sync), '2DDCZ')
  } finally {
    raw.socket.destroy()
  }
})

function codeOf(raw: RawClient): string | undefined {
  const message = raw.messages().find(one => one.type === 'E')
  assert(message)
  return parseErrorResponse(message.body, 0, message.body.length).get('C')
}

test('a superuser needs nothing, and may send what the gateway does not understand', async () => {
  await withClient(kit.client('billy'), async client => {
    assert.equal(await outcome(client, 'select secret from plans'), '[["TOP SECRET"]]')
    assert.match(await outcome(client, 'selec 1'), /^42601 syntax error at or near/)
    assert.equal(await outcome(client, "do $$ begin perform 1; end $$; select 'done'"), '[["done"]]')
  })
  await withClient(kit.client('gus'), async client => {
    assert.match(await outcome(client, 'selec 1'), /^42601 syntax error$/)
  })
})

test('what a session makes is its own: temporary tables, and tables of an open transaction', async () => {
  await give('sue', 'DQL public.notes', 'DQL,DML,DDL lab.*')
  await withClient(kit.client('sue'), async client => {
    await client.query('create temp table mine as select * from notes')
    assert.equal(await outcome(client, 'select count(*)::int from mine'), '[[2]]')
    assert.equal(await outcome(client, 'delete from mine; select count(*)::int from pg_temp.mine'), '[[0]]')
    await client.query('begin')
    await client.query('create table lab.made (id int)')
    await client.query('insert into lab.made values (1)')
    assert.equal(await outcome(client, 'select * from lab.made'), '[[1]]')
    await client.query('commit')
    assert.match(await outcome(client, 'insert into made values (1)'), /^42P01/)
    await client.query('set search_path = lab')
    assert.equal(await outcome(client, 'insert into made values (2); select count(*)::int from made'), '[[2]]')
    assert.match(await outcome(client, 'create table made (id int)'), /^42501 permission denied for schema/)
    await client.query('drop table mine; drop table lab.made')
    assert.match(await outcome(client, 'select * from mine'), /^42P01/)
  })
})

test('a table that was made beside the gateway is known soon', async () => {
  await give('sue', 'DQL lab.fresh')
  await withClient(kit.client('sue'), async client => {
    assert.match(await outcome(client, 'select 1 from lab.fresh'), /^42P01/)
    await client.query('set search_path = lab')
    assert.match(await outcome(client, 'select 1 from fresh'), /^42P01/)
    await kit.direct('create table lab.fresh as select 1 as id')
    // What was looked for a moment ago is looked for again after 50 ms: far sooner than the schema is read by itself.
    const until = performance.now() + 5_000
    while ((await outcome(client, 'select * from fresh')) !== '[[1]]') assert(performance.now() < until)
    await kit.direct('drop table lab.fresh')
  })
})

test('entries follow what is dropped and renamed, when it was committed', async () => {
  await grants.give('sue', 'ALL lab.*')
  await withClient(kit.client('sue'), async client => {
    const settled = async () => outcome(client, 'select 1')
    await client.query(
      'create table lab.a (id int); create view lab.v as select * from lab.a; create table lab.b (id int)',
    )
    await grants.give('gus', 'DQL lab.a', 'DQL lab.v')
    await grants.deny('gus', 'DQL lab.b')
    await client.query('begin')
    await client.query('alter table lab.a rename to c')
    await settled()
    assert.deepEqual(await grants.entries('gus'), ['DENY DQL lab.b', 'GRANT DQL lab.a', 'GRANT DQL lab.v'])
    await client.query('rollback')
    await settled()
    assert.deepEqual(await grants.entries('gus'), ['DENY DQL lab.b', 'GRANT DQL lab.a', 'GRANT DQL lab.v'])
    await client.query('alter table lab.a rename to c')
    await settled()
    assert.deepEqual(await grants.entries('gus'), ['DENY DQL lab.b', 'GRANT DQL lab.c', 'GRANT DQL lab.v'])
    await client.query(
      'begin; alter table lab.c rename to x; alter table lab.b rename to c; alter table lab.x rename to b; commit',
    )
    await settled()
    assert.deepEqual(await grants.entries('gus'), ['DENY DQL lab.c', 'GRANT DQL lab.b', 'GRANT DQL lab.v'])
    await client.query('drop table lab.b cascade')
    await settled()
    assert.deepEqual(await grants.entries('gus'), ['DENY DQL lab.c'])
    await client.query('create table lab.b (id int)')
    await client.query('drop table lab.c, lab.b')
    await settled()
    assert.deepEqual(await grants.entries('gus'), [])
  })
  const told = kit.events.filter(event => event.action.endsWith('of entries')).map(event => event.resource)
  assert.equal(told[0], 'accounts/staff: table shop.lab.a to table shop.lab.c (1)')
  assert.equal(told.at(-1), 'accounts/staff: table shop.lab.c (1)')
})

test('fields and grants: who may not read the table learns nothing of its fields', async () => {
  await give('gus', 'DQL public.notes')
  await withClient(kit.client('gus'), async client => {
    assert.match(
      await outcome(client, "select * from people where photo = 'x'"),
      /^42P01 relation "people" does not exist/,
    )
    await give('gus', 'DQL public.people')
    assert.match(
      await outcome(client, "select * from people where photo = 'x'"),
      /^42501 public\.people\.photo is encrypted/,
    )
    assert.equal(await outcome(client, 'select name, email from people'), '[["Ada",null]]')
  })
})

test('who may write and not read learns nothing by the error of a row that does not fit', async () => {
  await kit.direct('alter table notes add check (id > 0)')
  await withClient(kit.client('sue'), async client => {
    const failing = async (text: string) => {
      const error = await client.query(text).catch((thrown: unknown) => thrown)
      assert(error instanceof pg.DatabaseError)
      return [error.code, error.detail]
    }
    await give('sue', 'DML public.notes')
    assert.deepEqual(await failing('update notes set id = -1'), ['23514', undefined])
    assert.deepEqual(await failing("insert into notes values (1, 'x')"), ['23505', undefined])
    await give('sue', 'DQL public.notes')
    assert.deepEqual(await failing('update notes set id = -1'), ['23514', 'Failing row contains (-1, hello).'])
    await take('sue')
    // By definitions, it would be told by the message itself.
    await give('sue', 'DDL public.notes', 'DML public.notes')
    assert.deepEqual((await failing('alter table notes alter column body type int using body::int'))[0], '42501')
  })
})

test('postgres.js, whose statements are all prepared and pipelined', async () => {
  await give('sue', 'DQL public.notes')
  const sql = postgres({
    host: 'localhost',
    port: kit.door.address.port,
    user: 'sue',
    password,
    database: 'shop',
    ssl: { ca: kit.authority.certificate },
    max: 1,
    fetch_types: false,
  })
  try {
    const results = await Promise.allSettled([
      sql`select body from notes where id = ${1}`,
      sql`select secret from plans where id = ${1}`,
      sql`select body from notes where id = ${2}`,
    ])
    assert.deepEqual(
      results.map(result => (result.status === 'fulfilled' ? result.value[0]?.['body'] : result.reason.code)),
      ['hello', '42P01', 'world'],
    )
    await take('sue')
    await assert.rejects(sql`select body from notes where id = ${1}`, { code: '42P01' })
  } finally {
    await sql.end()
  }
})
