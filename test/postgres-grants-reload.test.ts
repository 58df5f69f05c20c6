import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import pg from 'pg'
import { AccountError } from '../packages/bawn/src/accounts/store.ts'
import type { DatabaseState } from '../packages/bawn/src/postgres/state.ts'
import { parseErrorResponse } from '../packages/bawn/src/postgres/wire/error-response.ts'
import { type GrantsKit, openGrants } from './grants-kit.ts'
import { type Kit, type RawClient, rawLogin, say, startKit, withClient } from './postgres-kit.ts'

// Grants that come, go or cannot be read while sessions are open.

let grants: GrantsKit
let kit: Kit
let port: number
/** What a reload changes for sessions that are open. */
let inForce: DatabaseState['grants']
before(async () => {
  grants = await openGrants()
  kit = await startKit(
    `
    create table people (id serial primary key, name text, email bytea, photo bytea);
    create table notes (id int primary key, body text);
    create table plans (id int primary key, secret text);
    insert into notes values (1, 'hello');
    insert into plans values (1, 'secret');
  `,
    [],
    grants,
  )
  const shop = kit.state.databases.get('shop')
  assert(shop)
  const { grants: _, ...rest } = shop
  const database: DatabaseState = {
    ...rest,
    get grants() {
      return inForce
    },
  }
  const door = await kit.listen({}, { databases: new Map([['shop', database]]) })
  port = door.address.port
  await grants.give('sue', 'DQL public.notes')
})
after(async () => {
  await kit.stop()
  grants.close()
})
beforeEach(() => {
  inForce = undefined
  kit.events.length = 0
})

const sue = () => ({ ...kit.client('sue'), port })

async function outcome(client: pg.Client, query: string | pg.QueryConfig): Promise<string> {
  try {
    const { rows } = await client.query(query)
    return JSON.stringify(rows.map(row => Object.values(row)))
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error
    return `${error.code} ${error.message}`
  }
}

test('grants that come with a reload hold for the next statement, for what was prepared before as well', async () => {
  await withClient(sue(), async client => {
    const plans = { name: 'plans', text: 'select secret from plans where id = $1', values: [1] }
    const notes = { name: 'notes', text: 'select body from notes where id = $1', values: [1] }
    assert.equal(await outcome(client, plans), '[["secret"]]')
    assert.equal(await outcome(client, notes), '[["hello"]]')
    await client.query('prepare p as select secret from plans')
    await client.query('begin')
    await client.query('declare c cursor for select secret from plans')
    inForce = grants
    assert.match(await outcome(client, 'fetch all from c'), /^34000/)
    await client.query('rollback')
    assert.match(await outcome(client, 'select secret from plans'), /^42P01/)
    assert.match(await outcome(client, plans), /^42P01/)
    assert.equal(await outcome(client, notes), '[["hello"]]')
    assert.match(await outcome(client, 'execute p'), /^26000/)
    assert.match(await outcome(client, 'do $$ begin end $$'), /^42501/)
    inForce = undefined
    assert.equal(await outcome(client, plans), '[["secret"]]')
    assert.equal(await outcome(client, 'execute p'), '[["secret"]]')
  })
})

test("without grants nothing is read and nothing is different: PostgreSQL's own GRANT reaches PostgreSQL", async () => {
  await withClient({ ...kit.client('billy'), port }, async client => {
    await client.query('create role helper; grant select on notes to helper')
    assert.deepEqual(await kit.direct("select rolname::text from pg_roles where rolname = 'helper'"), [
      { rolname: 'helper' },
    ])
    await client.query('revoke all on notes from helper; drop role helper')
    assert.match(await outcome(client, 'show users'), /^42704 unrecognized configuration parameter "users"/)
    assert.match(await outcome(client, 'deny dql to ann'), /^42601 syntax error at or near "deny"/)
  })
})

test('a statement about accounts that was prepared runs only while grants are in force', async () => {
  const { rows } = await withClient({ ...kit.client('billy'), port }, async client => {
    inForce = grants
    const users = { name: 'u', text: 'show users' }
    assert.equal((await client.query(users)).rows.length, 3)
    inForce = undefined
    await assert.rejects(client.query(users), { code: '0A000' })
    inForce = grants
    return client.query(users)
  })
  assert.equal(rows.length, 3)
})

test('a store that cannot be read decides nothing: 57P03, and the session goes on when it can be read again', async () => {
  let broken = false
  const guard = <Result>(work: () => Result): Result => {
    if (broken) throw new AccountError('accounts.unavailable', 'the grants in staff cannot be read')
    return work()
  }
  inForce = {
    administration: grants.administration,
    gate: {
      get epoch() {
        return broken ? -1 : grants.gate.epoch
      },
      decide: (...all) => guard(() => grants.gate.decide(...all)),
      sees: (...all) => guard(() => grants.gate.sees(...all)),
      isSuperuser: identity => grants.gate.isSuperuser(identity),
      refresh: () => grants.gate.refresh(),
    },
  }
  await withClient(sue(), async client => {
    const notes = { name: 'notes', text: 'select body from notes where id = $1', values: [1] }
    assert.equal(await outcome(client, notes), '[["hello"]]')
    await client.query('begin')
    await client.query('declare c cursor for select body from notes')
    broken = true
    assert.match(await outcome(client, 'fetch all from c'), /^57P03/)
    broken = false
    await client.query('rollback')
    broken = true
    assert.match(await outcome(client, 'select body from notes'), /^57P03/)
    assert.match(await outcome(client, notes), /^57P03/)
    assert.match(await outcome(client, 'select 1'), /^\[\[1\]\]/)
    assert.match(await outcome(client, 'create user ann'), /^57P03/)
    broken = false
    assert.equal(await outcome(client, notes), '[["hello"]]')
  })
  broken = false
  await grants.give('guest', 'DQL public.notes')
  const raw = await rawLogin(port, 'ray', 'guest')
  try {
    const ask = async (...messages: Buffer[]): Promise<string> => {
      raw.received = Buffer.alloc(0)
      raw.socket.write(Buffer.concat(messages))
      await raw.until(() => raw.letters().endsWith('Z'))
      return raw.letters()
    }
    assert.equal(await ask(say.parse('n', 'select body from notes'), say.sync), '1Z')
    broken = true
    assert.equal(await ask(say.describe('S', 'n'), say.sync), 'EZ')
    assert.equal(codeOf(raw), '57P03')
    assert.equal(await ask(say.bind('', 'n'), say.execute(''), say.sync), 'EZ')
    assert.equal(codeOf(raw), '57P03')
    broken = false
    assert.equal(await ask(say.bind('', 'n'), say.execute(''), say.sync), '2DCZ')
  } finally {
    raw.socket.destroy()
  }
})

function codeOf(raw: RawClient): string | undefined {
  const message = raw.messages().find(one => one.type === 'E')
  assert(message)
  return parseErrorResponse(message.body, 0, message.body.length).get('C')
}
