import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { failureOf, until } from './limits-kit.ts'
import { listenWithPool, type PooledDoor } from './pool-kit.ts'
import { type Kit, startKit } from './postgres-kit.ts'

// What a session can leave on a connection in transaction mode, kind by kind, and what becomes of it. docs/guide/databases.md has the same
// table. Both clients are the same identity with the same settings, so that one gets the other's connection as it is, if anybody does.

const setup = `
create table people (id int primary key, name text, email bytea, photo bytea);
create sequence numbers;
create role lower_role;
create function keeps(text) returns text language sql as $$ select set_config('my.secret', $1, false) $$;
create function makes() returns void language plpgsql as $$ begin create temporary table left_over (id int); end $$;
`

/** `along`: to whichever connection the client works on; `stays`: nothing is done about it. */
type Fate = 'nothing' | 'reset' | 'kept' | 'along' | 'closed' | 'refused' | 'stays'

interface Row {
  /** As in the guide. */
  readonly state: string
  readonly leave: string | readonly string[]
  readonly fate: Fate
  /** What would tell somebody else of it, and what that one has to find instead. */
  readonly question: string
  readonly without: unknown
}

const secret = `select coalesce(current_setting('my.secret', true), '')`
const mine = 'pg_catalog.pg_stat_activity where pid = pg_backend_pid()'
const rows: readonly Row[] = [
  {
    state: 'temporary tables',
    leave: 'create temporary table left_over (id int)',
    fate: 'kept',
    question: `select to_regclass('left_over')::text`,
    without: null,
  },
  {
    state: 'temporary tables that a function makes',
    leave: 'select makes()',
    fate: 'reset',
    question: `select to_regclass('left_over')::text`,
    without: null,
  },
  {
    state: 'advisory locks of the session',
    leave: 'select pg_advisory_lock(4711)',
    fate: 'kept',
    question: `select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()`,
    without: 0,
  },
  {
    state: 'advisory locks of the transaction',
    leave: 'select pg_advisory_xact_lock(4711)',
    fate: 'nothing',
    question: `select count(*)::int from pg_locks where locktype = 'advisory'`,
    without: 0,
  },
  {
    state: '`LISTEN`',
    leave: 'listen left_over',
    fate: 'kept',
    question: 'select count(*)::int from pg_listening_channels()',
    without: 0,
  },
  {
    state: 'cursors `WITH HOLD`',
    leave: 'declare left_over cursor with hold for select 1',
    fate: 'kept',
    question: 'select count(*)::int from pg_cursors',
    without: 0,
  },
  {
    state: '`PREPARE` in SQL',
    leave: 'prepare left_over as select 1',
    fate: 'kept',
    question: `select count(*)::int from pg_prepared_statements where name = 'left_over'`,
    without: 0,
  },
  {
    state: '`SET` of what drivers set',
    leave: `set timezone = 'Asia/Tokyo'`,
    fate: 'along',
    question: `select current_setting('timezone') = 'Asia/Tokyo'`,
    without: false,
  },
  {
    state: 'any other `SET`',
    leave: `set my.secret = 'x'`,
    fate: 'kept',
    question: secret,
    without: '',
  },
  {
    state: '`set_config(…, false)`',
    leave: `select set_config('my.secret', 'x', false)`,
    fate: 'kept',
    question: secret,
    without: '',
  },
  {
    state: '`set_config(…, false)` in a function, in `DO`',
    leave: [`select keeps('x')`, `do $$ begin perform set_config('my.secret', 'x', false); end $$`],
    fate: 'reset',
    question: secret,
    without: '',
  },
  {
    state: '`SET LOCAL`, `set_config(…, true)`',
    leave: ['begin', `set local my.secret = 'x'`, `select set_config('my.secret', 'x', true)`, 'commit'],
    fate: 'reset',
    question: secret,
    without: '',
  },
  {
    state: '`SET ROLE`, `SET SESSION AUTHORIZATION`, without `identity`',
    leave: ['set session authorization lower_role', 'set role lower_role'],
    fate: 'kept',
    question: `select session_user = 'lower_role' or current_user = 'lower_role'`,
    without: false,
  },
  {
    state: '`currval`, `lastval` first in a transaction',
    leave: `select currval('numbers')`,
    fate: 'refused',
    question: 'select 1',
    without: 1,
  },
  {
    state: 'the last value of a sequence',
    leave: `select nextval('numbers')`,
    fate: 'reset',
    question: `do $$ begin perform currval('numbers'); end $$`,
    without: '55000',
  },
  {
    state: 'descriptors of large objects',
    leave: ['begin', `select lo_open(lo_from_bytea(0, 'x'), 131072)`, 'commit'],
    fate: 'reset',
    question: `select loread(0, 1)`,
    without: '42704',
  },
  {
    state: '`setseed`, `SET seed`',
    leave: 'select setseed(0.5)',
    fate: 'closed',
    question: 'select random() = 0.9851677175347999',
    without: false,
  },
  {
    state: '`LOAD`, dblink, slots and backups of the session',
    leave: `select pg_create_physical_replication_slot('left_over', false, true)`,
    fate: 'closed',
    question: 'select count(*)::int from pg_replication_slots where active_pid = pg_backend_pid()',
    without: 0,
  },
  {
    state: "that a setting of your own was there: it is `''`, not NULL",
    leave: `select set_config('my.name', 'x', true)`,
    fate: 'stays',
    question: `select current_setting('my.name', true)`,
    without: '',
  },
  {
    state: 'statistics of the process: since when it runs, its last statement',
    leave: `select 'of before'`,
    fate: 'stays',
    question: `select (query ~ ('of be' || 'fore'))::text || ' ' || application_name from ${mine}`,
    without: 'false bawn:billy',
  },
]

let kit: Kit
const doors: PooledDoor[] = []
before(async () => {
  kit = await startKit(setup)
})
after(async () => {
  for (const door of doors) await door.close()
  await kit.stop()
})

async function connected(door: PooledDoor): Promise<pg.Client> {
  const client = new pg.Client(door.as('billy'))
  client.on('error', () => {})
  await client.connect()
  return client
}

/** The one value of the answer, or the SQLSTATE of the refusal. */
async function one(client: pg.Client, text: string): Promise<unknown> {
  try {
    return (await client.query({ text, rowMode: 'array' })).rows[0]?.[0]
  } catch (error) {
    assert.ok(error instanceof pg.DatabaseError)
    return error.code
  }
}

const pid = 'select pg_backend_pid()'

for (const { state, leave, fate, question, without } of rows) {
  test(`${state}: ${fate}`, async () => {
    const isKept = fate === 'kept' || fate === 'closed'
    const door = await listenWithPool(kit, { mode: 'transaction', size: isKept ? 2 : 1 })
    doors.push(door)
    const [first, other] = [await connected(door), await connected(door)]
    const own = await one(first, pid)
    assert.equal(await one(other, pid), own)
    const texts = typeof leave === 'string' ? [leave] : leave
    if (fate === 'refused') {
      for (const text of texts) assert.equal((await failureOf(first.query(text))).code, '0A000')
    } else for (const text of texts) await first.query(text)
    if (!isKept) await until(() => door.pool.counts.idle === door.pool.counts.open)
    assert.equal(await one(other, question), without)
    // Who has a connection for itself is not shared with, and finds what it has left there.
    assert.equal((await one(other, pid)) !== own, isKept)
    assert.equal((await one(first, pid)) === own, true)
    await first.end()
    await until(() => door.pool.counts.idle === door.pool.counts.open)
    assert.equal(await one(other, question), without)
    const alive = await kit.direct(`select 1 from pg_stat_activity where pid = ${own}`)
    assert.equal(alive.length, fate === 'closed' ? 0 : 1)
    await other.end()
  })
}

const said: { readonly [fate in Fate]: string } = {
  nothing: 'is over by itself',
  reset: 'taken off before anybody else works there',
  kept: 'the client keeps the connection',
  along: 'goes along with the client',
  closed: 'the client keeps the connection, and it is closed afterwards',
  refused: 'refused, 0A000',
  stays: 'stays',
}

test('the guide has this table', () => {
  const guide = readFileSync(new URL('../docs/guide/databases.md', import.meta.url), 'utf8')
  for (const { state, fate } of rows) {
    const line = `| ${state} | ${said[fate]} |`
    assert.ok(guide.includes(`${line}\n`), line)
  }
})
