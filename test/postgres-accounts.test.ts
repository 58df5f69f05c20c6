import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import pg from 'pg'
import { parseErrorResponse } from '../packages/bawn/src/postgres/wire/error-response.ts'
import { parseRowDescription } from '../packages/bawn/src/postgres/wire/row-description.ts'
import { type GrantsKit, openGrants } from './grants-kit.ts'
import { cells, type Kit, type RawClient, rawLogin, rules, say, startKit, withClient } from './postgres-kit.ts'

// Statements about accounts, typed by clients of PostgreSQL and answered by the gateway: nothing of them reaches the server.

let grants: GrantsKit
let kit: Kit
before(async () => {
  grants = await openGrants()
  kit = await startKit(
    `
    create schema crm;
    create table people (id serial primary key, name text, email bytea, photo bytea);
    create table notes (id int primary key, body text);
    create table orders (id int);
    create table crm.orders (id int);
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
  await grants.take('gus', 'sue', 'guest', 'support')
  for (const { name } of await grants.store.administration.principals()) {
    if (!['billy', 'sue', 'gus', 'guest', 'support'].includes(name)) await grants.store.administration.drop(name)
  }
  kit.events.length = 0
})

const secret = 'correct horse battery 7'

async function outcome(client: pg.Client, text: string, values?: unknown[]): Promise<string> {
  try {
    const result = await client.query(text, values)
    const rows = result.rows.map(row => Object.values(row).join('|'))
    return [`${result.command}${result.rowCount === null ? '' : ` ${result.rowCount}`}`, ...rows].join('\n')
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error
    return `${error.code} ${error.message}`
  }
}

test('a session of an administrator, statement by statement', async () => {
  await withClient(kit.client('billy'), async client => {
    const rows: readonly (readonly [statement: string, outcome: string | RegExp])[] = [
      [`CREATE USER Ann WITH (password = '${secret}')`, 'CREATE'],
      ['CREATE USER "Ann"', 'CREATE'],
      ['CREATE USER ann', /^42710 /],
      ['CREATE USER IF NOT EXISTS ann', 'CREATE'],
      ['CREATE ROLE billing', 'CREATE'],
      ['CREATE ROLE support', /^42710 /],
      [`CREATE ROLE x WITH (password = '${secret}')`, '42601 creating a ROLE with a password is not allowed'],
      [`ALTER USER ann SET (password = '${secret}!')`, 'ALTER'],
      ['ALTER USER nobody RESET (password)', /^42704 /],
      ['ALTER USER billing RESET (password)', /^22023 /],
      ['GRANT DQL, DML ON SCHEMA crm TO ann, billing', 'GRANT 4'],
      ['GRANT DQL ON SCHEMA crm TO ann', 'GRANT 0'],
      ['DENY DQL ON TABLE crm.orders TO ann', 'DENY 1'],
      ['GRANT DQL ON TABLE notes TO ann', 'GRANT 1'],
      ['GRANT DQL ON VIEW public.notes TO ann', 'GRANT 0'],
      ['GRANT ALL ON DATABASE shop TO billing', 'GRANT 3'],
      ['GRANT ALL TO billing', 'GRANT 4'],
      ['REVOKE AL FROM billing', 'REVOKE 1'],
      ['REVOKE AL FROM billing', 'REVOKE 0'],
      ['GRANT billing TO ann, support', 'GRANT 2'],
      ['GRANT support TO billing', /^0LP01 /],
      ['REVOKE billing FROM support', 'REVOKE 1'],
      ['GRANT ann TO support', /^22023 /],
      ['GRANT DQL ON TABLE orders TO ann', '42601 "orders" may mean tables of several schemas: public, crm'],
      ['GRANT DQL ON TABLE crm.ordres TO ann', '42P01 relation "crm.ordres" does not exist'],
      ['GRANT DQL ON TABLE ordres TO ann', '42P01 relation "ordres" does not exist'],
      ['GRANT DQL ON SCHEMA cmr TO ann', '3F000 schema "cmr" does not exist'],
      ['GRANT DQL ON DATABASE shp TO ann', '3D000 database "shp" does not exist'],
      ['GRANT AL ON TABLE notes TO ann', '22023 AL is a privilege on the cluster'],
      ['GRANT DQL TO nobody', /^42704 /],
      ['REVOKE DQL ON TABLE crm.gone FROM ann', 'REVOKE 0'],
      ['DROP ROLE billing', /^2BP01 /],
      ['DROP USER support', '22023 "support" is a role'],
      ['DROP USER nobody', /^42704 /],
      ['DROP USER IF EXISTS nobody', 'DROP'],
      ['GRANT DQL TO billy', /^42501 .*billy is a superuser/],
      ['DROP USER billy', /^42501 /],
      [`ALTER USER billy SET (password = '${secret}')`, /^42501 /],
      [
        'SHOW USERS',
        `SHOW\nAnn|||false|false\nann|billing|********|false|false\nbilly|||true|false\ngus|||false|false\nsue|||false|false`,
      ],
      ['SELECT name, superuser FROM sys.users', 'SELECT 5\nAnn|false\nann|false\nbilly|true\ngus|false\nsue|false'],
      ['SHOW ROLES', 'SHOW\nbilling|\nguest|\nsupport|'],
      ['SELECT nme FROM sys.users', '42601 column "nme" does not exist'],
      ['DROP USER "Ann"', 'DROP'],
      ['REVOKE billing FROM ann', 'REVOKE 1'],
      ['DROP ROLE billing', 'DROP'],
      [
        'SHOW GRANTS FOR ann',
        [
          'SHOW',
          'SCHEMA|ann|billy|shop.crm|GRANT|DML',
          'SCHEMA|ann|billy|shop.crm|GRANT|DQL',
          'TABLE|ann|billy|shop.crm.orders|DENY|DQL',
          'TABLE|ann|billy|shop.public.notes|GRANT|DQL',
        ].join('\n'),
      ],
    ]
    const wrong: string[] = []
    for (const [statement, expected] of rows) {
      const found = await outcome(client, statement)
      const fits = typeof expected === 'string' ? found === expected : expected.test(found)
      if (!fits) wrong.push(`${statement}\n  ${found}\n  ${String(expected)}`)
    }
    assert.equal(wrong.length, 0, wrong.join('\n'))
  })
})

test('a password works at once, and is nowhere but in the store', async () => {
  await withClient(kit.client('billy'), async client => {
    await client.query(`create user ann with (password = '${secret}')`)
    // The server keeps the last text of each connection: it has seen an empty one.
    const seen = await kit.direct("select query from pg_stat_activity where application_name like 'bawn:billy%'")
    assert.deepEqual(seen, [{ query: '' }])
    await client.query(`alter user ann password '${secret}'`)
    assert.equal(
      await outcome(client, `create user ann with (password = '${secret}')`),
      '42710 "ann" is the name of a user or a role already',
    )
    for (const broken of [
      `create user ben with (passwrd = '${secret}')`,
      `create user ben password '${secret}' superuser`,
      `create user ben password '${secret}`,
      `create user ben password '${secret}'; select 1`,
      `create group ben password '${secret}'`,
      `create usr ben password '${secret}'`,
    ]) {
      const error = await client.query(broken).catch((thrown: unknown) => thrown)
      assert(error instanceof pg.DatabaseError, broken)
      assert.equal(JSON.stringify(error).includes(secret), false, broken)
    }
    const texts = await kit.direct('select query from pg_stat_activity')
    assert.equal(JSON.stringify(texts).includes(secret), false)
  })
  const account = await grants.store.find('ann')
  assert(account?.scram !== undefined && account.password !== undefined)
  assert.equal(JSON.stringify([kit.events, kit.logs]).includes(secret), false)
  const told = kit.events.filter(event => event.action === 'CREATE USER' && event.decision === 'permit')
  assert.deepEqual(
    told.map(event => [event.resource, event.identity?.id, event.door, event.rule]),
    [['accounts/staff: CREATE USER ann WITH (password = ***)', 'billy', 'postgres', 'superuser billy']],
  )
})

test('PostgreSQL has nothing of it: its own roles and privileges stay as they are', async () => {
  await withClient(kit.client('billy'), async client => {
    await client.query('create user ann')
    await client.query('create role sales')
    await client.query('grant dql on table notes to ann')
    await client.query('grant sales to ann')
  })
  const roles = await kit.direct("select rolname from pg_roles where rolname in ('ann', 'sales')")
  assert.deepEqual(roles, [])
  const [acl] = await kit.direct("select relacl::text as acl from pg_class where relname = 'notes'")
  assert.deepEqual(acl, { acl: null })
})

test('it needs AL on the cluster, but for the own password and the own grants', async () => {
  await withClient(kit.client('gus'), async client => {
    for (const statement of [
      'create user ann',
      'drop user sue',
      "alter user sue set (password = 'x')",
      'grant dql to gus',
      'grant support to gus',
      'revoke dql from sue',
      'deny dql to sue',
      'show users',
      'show roles',
      'show grants',
      'show grants for sue',
      'select * from sys.privileges',
    ]) {
      assert.match(await outcome(client, statement), /^42501 permission denied: /, statement)
    }
    await grants.give('gus', 'DQL public.notes')
    assert.equal(await outcome(client, 'show grants for gus'), 'SHOW\nTABLE|gus|operator|shop.public.notes|GRANT|DQL')
    assert.equal(await outcome(client, 'show grants for current_user'), await outcome(client, 'show grants for gus'))
    assert.equal(await outcome(client, `alter user gus set (password = '${secret}')`), 'ALTER')
    assert.equal(await outcome(client, `alter user current_user set (password = '${secret}')`), 'ALTER')
  })
  const denials = kit.events.filter(event => event.decision === 'deny')
  assert.equal(denials.length, 12)
  assert.equal(denials[3]?.resource, 'accounts/staff: GRANT DQL ON CLUSTER TO gus')
  assert.equal(denials[3]?.rule, 'nothing grants AL on cluster')
  // Somebody else of the name, who comes with a token, is no account.
  const raw = await rawLogin(kit.door.address.port, 'gus', 'guest')
  const { errors } = await ask(raw, 1, say.query(`alter user gus set (password = '${secret}')`))
  assert.equal(errors[0]?.get('C'), '42501')
  raw.socket.destroy()
  rules.delete('gus')
})

test('nobody gives, denies or takes what they have not, nor becomes somebody who has more', async () => {
  await grants.give('sue', 'AL cluster', 'DQL,DML crm.*')
  await grants.give('gus', 'DQL public.notes')
  await grants.give('guest', 'DQL public.people')
  await grants.deny('guest', 'DQL crm.orders')
  await withClient(kit.client('sue'), async client => {
    assert.equal(await outcome(client, 'create user ann'), 'CREATE')
    assert.equal(await outcome(client, 'grant dql on schema crm to ann'), 'GRANT 1')
    assert.equal(await outcome(client, 'grant dql on table crm.orders to ann'), 'GRANT 1')
    for (const statement of [
      'grant dql on table notes to sue',
      'grant dql to ann',
      'grant ddl on schema crm to ann',
      'grant all on schema crm to ann',
      'grant dql, ddl on schema crm to ann',
      'revoke dql on table notes from gus',
      'deny dql on table notes to gus',
      'grant guest to sue',
      'grant guest to ann',
      'revoke guest from gus',
      "alter user gus set (password = 'taken over')",
    ]) {
      assert.match(await outcome(client, statement), /^42501 /, statement)
    }
    assert.equal(await outcome(client, `alter user ann set (password = '${secret}')`), 'ALTER')
    assert.equal(await outcome(client, 'grant al to ann'), 'GRANT 1')
  })
  // A denial is not lifted by who is denied, whether it is the own or that of a role.
  await grants.deny('sue', 'DQL crm.orders')
  await withClient(kit.client('sue'), async client => {
    assert.match(await outcome(client, 'revoke dql on table crm.orders from sue'), /^42501 /)
    assert.match(await outcome(client, 'grant dql on table crm.orders to sue'), /^42501 /)
  })
  await grants.take('sue', 'guest')
  await grants.give('sue', 'AL cluster')
  await grants.give('guest', 'DQL crm.orders')
  await grants.deny('support', 'DQL crm.orders')
  await grants.store.administration.grantRoles(['guest', 'support'], ['sue'])
  await grants.gate.refresh()
  await withClient(kit.client('sue'), async client => {
    assert.match(await outcome(client, 'select * from crm.orders'), /^42/)
    assert.match(await outcome(client, 'revoke support from sue'), /^42501 /)
    assert.match(await outcome(client, 'drop role support'), /^42501 /)
    assert.match(await outcome(client, 'grant guest to ann'), /^42501 /)
  })
})

test('not within a transaction, not beside other statements; lists may stand in a transaction', async () => {
  await withClient(kit.client('billy'), async client => {
    await client.query('begin')
    assert.equal(await outcome(client, 'create user ann'), '25001 CREATE USER cannot run inside a transaction block')
    assert.match(await outcome(client, 'select 1'), /^25P02/)
    assert.match(await outcome(client, 'show users'), /^25001 current transaction is aborted/)
    await client.query('rollback')
    await client.query('begin')
    assert.match(await outcome(client, 'show users'), /^SHOW\n/)
    assert.equal(await outcome(client, 'select 1'), 'SELECT 1\n1')
    await client.query('commit')
    assert.equal(await outcome(client, 'create user ann; select 1'), '42601 a statement about accounts stands alone')
    assert.equal(
      await outcome(client, 'create user ann; create user ben'),
      '42601 a statement about accounts stands alone',
    )
    assert.equal(
      await outcome(client, 'select 1; grant select on notes to public'),
      '42601 a statement about accounts stands alone',
    )
    assert.equal((await grants.store.find('ann')) === undefined, true)
  })
})

let raw: RawClient
async function ask(client: RawClient, ready: number, ...messages: Buffer[]) {
  client.received = Buffer.alloc(0)
  client.socket.write(Buffer.concat(messages))
  await client.until(() => client.letters().split('Z').length - 1 >= ready)
  const all = client.messages()
  const rows = all.filter(message => message.type === 'D').map(message => cells(message.body))
  const errors = all
    .filter(message => message.type === 'E')
    .map(message => parseErrorResponse(message.body, 0, message.body.length))
  const tags = all
    .filter(message => message.type === 'C')
    .map(message => message.body.toString('utf8', 0, message.body.length - 1))
  return { letters: client.letters(), all, rows, errors, tags }
}

test('in the extended protocol, message by message, and in order among pipelined statements', async () => {
  await grants.give('guest', 'DQL public.notes', 'AL cluster')
  raw = await rawLogin(kit.door.address.port, 'ray', 'guest')
  try {
    const made = await ask(
      raw,
      1,
      say.parse('', 'create user ann'),
      say.describe('S', ''),
      say.bind('', ''),
      say.describe('P', ''),
      say.execute(''),
      say.sync,
    )
    assert.equal(made.letters, '1tn2nCZ')
    assert.deepEqual(made.tags, ['CREATE ROLE'])
    const listed = await ask(
      raw,
      1,
      say.parse('l', 'show users'),
      say.describe('S', 'l'),
      say.bind('p', 'l', [], [1]),
      say.describe('P', 'p'),
      say.execute('p'),
      say.sync,
    )
    assert.equal(listed.letters, '1tT2TDDDDCZ')
    assert.deepEqual(listed.rows[0], ['ann', '', undefined, 'false', 'false'])
    const [, , statement, , portal] = listed.all
    for (const [message, format] of [
      [statement, 0],
      [portal, 1],
    ] as const) {
      assert(message)
      const columns = parseRowDescription(message.body, 0, message.body.length)
      assert.deepEqual(
        columns.map(column => column.name.toString()),
        ['name', 'granted_roles', 'password', 'superuser', 'locked'],
      )
      assert(columns.every(column => column.typeOid === 25 && column.format === format))
    }
    // Prepared once, run twice; some rows at a time.
    const again = await ask(raw, 1, say.bind('p', 'l'), say.execute('p', 3), say.execute('p', 3), say.sync)
    assert.equal(again.letters, '2DDDsDCZ')
    // Answers in the order of the questions, in one write.
    const mixed = await ask(
      raw,
      5,
      say.query('select 1'),
      say.query('grant dql on table notes to ann'),
      say.parse('', 'select id from notes'),
      say.bind('', ''),
      say.execute(''),
      say.sync,
      say.query('show roles'),
      say.query('revoke dql on table notes from ann'),
    )
    assert.equal(mixed.letters, 'TDCZCZ12CZTDDCZCZ')
    assert.deepEqual(mixed.tags, ['SELECT 1', 'GRANT 1', 'SELECT 0', 'SHOW', 'REVOKE 1'])
    // What follows an error up to Sync is skipped, by us as by the server.
    const skipped = await ask(
      raw,
      1,
      say.parse('', 'select nothing'),
      say.parse('g', 'grant dql on table notes to ann'),
      say.bind('', 'g'),
      say.execute(''),
      say.sync,
    )
    assert.equal(skipped.letters, 'EZ')
    assert.deepEqual(await grants.entries('ann'), [])
    // An error that the server finds only when it gets there.
    const late = await ask(
      raw,
      1,
      say.parse('', 'select 1 / (select count(*) from notes where id = -1)'),
      say.bind('', ''),
      say.execute(''),
      say.parse('g', 'grant dql on table notes to ann'),
      say.bind('h', 'g'),
      say.execute('h'),
      say.sync,
    )
    assert.equal(late.letters, '12EZ')
    assert.deepEqual(await grants.entries('ann'), [])
    const pipelined = await ask(
      raw,
      1,
      say.parse('', 'select 1'),
      say.bind('', ''),
      say.execute(''),
      say.parse('g', 'grant dql on table notes to ann'),
      say.bind('h', 'g'),
      say.execute('h'),
      say.sync,
    )
    assert.equal(pipelined.letters, '12DC12EZ')
    assert.equal(pipelined.errors[0]?.get('C'), '25001')
    const refused = await ask(
      raw,
      1,
      say.parse('', 'grant ddl on table notes to ann'),
      say.bind('', ''),
      say.execute(''),
      say.sync,
    )
    assert.equal(refused.letters, '12EZ')
    assert.equal(refused.errors[0]?.get('C'), '42501')
    const misread = await ask(
      raw,
      1,
      say.parse('', 'grant select on notes to ann'),
      say.bind('', ''),
      say.execute(''),
      say.sync,
    )
    assert.equal(misread.letters, 'EZ')
    // The right is asked for again when it runs.
    await ask(raw, 1, say.parse('g', 'create user ben'), say.sync)
    await grants.take('guest')
    const later = await ask(raw, 1, say.bind('', 'g'), say.execute(''), say.sync)
    assert.equal(later.letters, '2EZ')
    assert.equal(later.errors[0]?.get('C'), '42501')
    const parsed = await ask(raw, 1, say.parse('', 'create user ben'), say.sync)
    assert.equal(parsed.letters, 'EZ')
  } finally {
    raw.socket.destroy()
  }
})

test('whoever is granted something may do it with the next statement, and whoever is denied may not', async () => {
  await withClient(kit.client('billy'), async boss => {
    await withClient(kit.client('gus'), async client => {
      assert.match(await outcome(client, 'select * from notes'), /^42P01/)
      await boss.query('grant dql on table notes to gus')
      assert.equal(await outcome(client, 'select * from notes'), 'SELECT 0')
      await boss.query('deny dql on schema public to gus')
      assert.equal(await outcome(client, 'select * from notes'), 'SELECT 0')
      await boss.query('revoke dql on table notes from gus')
      assert.match(await outcome(client, 'select * from notes'), /^42P01/)
      await boss.query('create role readers')
      await boss.query('grant dql on table notes to readers')
      await boss.query('revoke dql on schema public from gus')
      await boss.query('grant readers to gus')
      assert.equal(await outcome(client, 'select * from notes'), 'SELECT 0')
      await boss.query('drop user gus')
      assert.match(await outcome(client, 'select * from notes'), /^42P01/)
      await boss.query('create user gus')
    })
  })
})

test('a table of the database itself called sys.users is read like any other', async () => {
  await kit.direct("create schema sys; create table sys.users as select 'own' as name")
  try {
    await withClient(kit.client('billy'), async client => {
      await client.query('select 1')
      const until = performance.now() + 15_000
      while ((await outcome(client, 'select * from sys.users')) !== 'SELECT 1\nown') assert(performance.now() < until)
    })
  } finally {
    await kit.direct('drop schema sys cascade')
  }
})
