import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import pg from 'pg'
import { parseErrorResponse } from '../packages/bawn/src/postgres/wire/error-response.ts'
import { connected, failureOf, listenWithLimits, until } from './limits-kit.ts'
import { type Kit, rawLogin, rules, say, startKit, withClient } from './postgres-kit.ts'

// Sessions, transactions and statements end in time, in the words of PostgreSQL, and no setting of a session's own changes that.

let kit: Kit
before(async () => {
  kit = await startKit(`
    create table people (id int primary key, name text, email bytea, photo bytea);
    create function lifted() returns text language plpgsql set statement_timeout = 0 as
      $$ begin perform pg_catalog.pg_sleep(60); return 'slept'; end $$;
  `)
})
after(() => kit.stop())
beforeEach(() => rules.clear())

const code = (error: Error): unknown => (error instanceof pg.DatabaseError ? error.code : error)
const sleeping =
  "select count(*)::int as n from pg_stat_activity where query like '%pg_sleep(60)%' and state = 'active'"
const stillSleeping = async (): Promise<number> =>
  Number((await kit.direct(`${sleeping} and pid <> pg_backend_pid()`))[0]?.['n'])

test('an idle session ends with 57P05, and work begins its time anew', async () => {
  const { as } = await listenWithLimits(kit, { idle_session: '300ms' })
  const { client, ended } = await connected(as('billy'))
  await client.query('select pg_sleep(0.6)')
  const before = performance.now()
  const error = await ended
  assert.equal(code(error), '57P05')
  assert.match(error.message, /idle-session timeout/)
  assert.ok(performance.now() - before > 200)
})

test('a transaction that is idle, and one that is long, are rolled back', async () => {
  const { as } = await listenWithLimits(kit, { idle_session: '1d', idle_in_transaction: '300ms' })
  const { client, ended } = await connected(as('billy'))
  await client.query('begin')
  await client.query("insert into people (id, name) values (1, 'left open')")
  assert.equal(code(await ended), '25P03')
  const long = await listenWithLimits(kit, { transaction_timeout: '500ms' })
  const second = await connected(long.as('billy'))
  await second.client.query('begin')
  await second.client.query("insert into people (id, name) values (2, 'too long')")
  assert.equal((await failureOf(second.client.query('select pg_sleep(60)'))).code, '25P04')
  await second.ended
  await until(async () => (await stillSleeping()) === 0)
  assert.deepEqual(await kit.direct('select id from people'), [])
})

test('a session that is too old ends between two transactions', async () => {
  const { as } = await listenWithLimits(kit, { session_lifetime: '400ms' })
  const { client, ended } = await connected(as('billy'))
  await client.query('begin')
  await client.query('select pg_sleep(0.6)')
  assert.equal((await client.query('select 1 as one')).rows[0].one, 1)
  await client.query('commit')
  const error = await ended
  assert.equal(code(error), '57P01')
  const idle = await connected(as('billy'))
  assert.equal(code(await idle.ended), '57P01')
})

const liftings: readonly { readonly name: string; readonly lift: string; readonly config?: pg.ClientConfig }[] = [
  { name: 'nothing is lifted', lift: 'select 1' },
  { name: 'SET', lift: 'set statement_timeout = 0' },
  { name: 'SET LOCAL', lift: 'begin; set local statement_timeout = 0' },
  { name: 'set_config', lift: "select set_config('statement_timeout', '0', false)" },
  { name: 'RESET', lift: 'reset statement_timeout' },
  { name: 'in a string of several', lift: 'select 1; set session statement_timeout to 0; select 2' },
  { name: 'at connection start', lift: 'select 1', config: { options: '-c statement_timeout=0' } },
  { name: 'a longer one at connection start', lift: 'select 1', config: { options: '-c statement_timeout=1h' } },
]

for (const { name, lift, config = {} } of liftings) {
  test(`a statement that takes too long is cancelled: ${name}`, async () => {
    const { as } = await listenWithLimits(kit, { statement_timeout: '200ms' })
    await withClient(as('billy', config), async client => {
      await client.query(lift)
      const failure = await failureOf(client.query('select pg_sleep(60)'))
      assert.equal(failure.code, '57014')
      assert.equal(failure.message, 'canceling statement due to statement timeout')
      if (name === 'SET') assert.match(failure.hint, /whatever the session sets/)
      await client.query('rollback')
      // The session goes on, and the next statement is not hit.
      for (let count = 0; count < 5; count += 1) {
        assert.equal((await client.query('select 1 as one')).rows[0].one, 1)
      }
    })
  })
}

test('a statement that was prepared long ago takes too long by its values, and the next one is not hit', async () => {
  const { as } = await listenWithLimits(kit, { statement_timeout: '200ms' })
  await withClient(as('billy'), async client => {
    const sleep = (seconds: number) => client.query({ name: 'sleep', text: 'select pg_sleep($1)', values: [seconds] })
    // Otherwise PostgreSQL itself is quicker than the gateway.
    await client.query('set statement_timeout = 0')
    for (let round = 0; round < 2; round += 1) {
      await sleep(0)
      await sleep(0)
      assert.equal((await failureOf(sleep(60))).code, '57014')
    }
    await sleep(0)
  })
})

test('nor does a function, a role of the database, or the extended protocol without Sync lift it', async () => {
  const { as, door } = await listenWithLimits(kit, { statement_timeout: '200ms' })
  await withClient(as('billy'), async client => {
    const failure = await failureOf(client.query('select lifted()'))
    assert.equal(failure.message, 'canceling statement due to statement timeout')
    await client.query(`alter role ${kit.postgres.user} set statement_timeout = 0`)
  })
  try {
    await withClient(as('billy'), async client => {
      assert.equal((await client.query('show statement_timeout')).rows[0].statement_timeout, '200ms')
      assert.equal((await failureOf(client.query('select pg_sleep(60)'))).code, '57014')
    })
  } finally {
    await kit.direct(`alter role ${kit.postgres.user} reset statement_timeout`)
  }
  const raw = await rawLogin(door.address.port, 'tess', 'billing')
  raw.socket.write(say.query('set statement_timeout = 0'))
  await raw.ready()
  raw.socket.write(Buffer.concat([say.parse('', 'select pg_sleep(60)'), say.bind('', ''), say.execute('')]))
  await raw.until(() => raw.letters().endsWith('E'))
  raw.socket.destroy()
  await until(async () => (await stillSleeping()) === 0)
})

test('the hint says whose time it was, wherever in its group a statement stands', async () => {
  const { door } = await listenWithLimits(kit, { statement_timeout: '200ms' })
  const [nap, quick] = ['select pg_sleep(60)', 'select 1'].map(text => [
    say.parse('', text),
    say.bind('', ''),
    say.describe('P', ''),
    say.execute(''),
  ])
  const groups: readonly (readonly [name: string, ...messages: readonly (Buffer | undefined)[]])[] = [
    ['a simple query', say.query('select pg_sleep(60)')],
    ['by itself', ...(nap ?? []), say.sync],
    ['behind another one', ...(quick ?? []), ...(nap ?? []), say.sync],
    ['without Sync', ...(nap ?? [])],
    ['behind another one, without Sync', ...(quick ?? []), ...(nap ?? []), say.flush],
    ['before other groups', ...(nap ?? []), say.sync, ...(quick ?? []), say.sync],
  ]
  for (const [name, ...messages] of groups) {
    const raw = await rawLogin(door.address.port, 'tess', 'billing')
    raw.socket.write(say.query('set statement_timeout = 0'))
    await raw.ready()
    raw.socket.write(Buffer.concat(messages.filter(message => message !== undefined)))
    await raw.until(() => raw.letters().includes('E'))
    const { body = Buffer.alloc(0) } = raw.messages().find(({ type }) => type === 'E') ?? {}
    const fields = parseErrorResponse(body, 0, body.length)
    assert.deepEqual(
      [fields.get('C'), fields.get('M')],
      ['57014', 'canceling statement due to statement timeout'],
      name,
    )
    assert.match(fields.get('H') ?? '', /whatever the session sets/, name)
    raw.socket.destroy()
  }
})

test('statements sent ahead have their own times, and only the one that is too long is cancelled', async () => {
  const { door } = await listenWithLimits(kit, { statement_timeout: '800ms' })
  const raw = await rawLogin(door.address.port, 'tess', 'billing')
  const naps = Array.from({ length: 4 }, () => say.query('select pg_sleep(0.5)'))
  raw.socket.write(
    Buffer.concat([
      say.query('set statement_timeout = 0'),
      ...naps,
      say.query('select pg_sleep(60)'),
      say.query('select 1'),
    ]),
  )
  assert.equal(await raw.ready(7), `CZ${'TDCZ'.repeat(4)}TEZTDCZ`)
  raw.socket.destroy()
})

for (const stays of [true, false]) {
  test(`what was left with Terminate ends in time, ${stays ? 'for who still reads' : 'and for who has gone'}`, async () => {
    const { door } = await listenWithLimits(kit, { statement_timeout: '400ms' })
    const raw = await rawLogin(door.address.port, 'tess', 'billing')
    raw.socket.write(say.query('set statement_timeout = 0'))
    await raw.ready()
    const [napping, kept] = ['select pg_sleep(60)', `insert into people (id) values (${stays ? 10 : 11})`]
    raw.socket.write(Buffer.concat([say.query(kept), say.query(napping), say.terminate]))
    if (stays) {
      await raw.untilClosed()
      assert.equal(raw.letters(), 'CZTEZ')
    } else {
      await until(async () => (await stillSleeping()) === 1)
      raw.socket.end()
    }
    await until(async () => (await stillSleeping()) === 0)
    assert.deepEqual(await kit.direct(`delete from people where id in (10, 11) returning id`), [
      { id: stays ? 10 : 11 },
    ])
  })
}

test('a shorter one is the session’s own; roles have theirs', async () => {
  const { as } = await listenWithLimits(kit, {
    statement_timeout: '10s',
    lock_timeout: '3s',
    by_role: [{ roles: ['support'], statement_timeout: '1h' }],
  })
  const timeouts = (user: string, config: pg.ClientConfig = {}): Promise<unknown[]> =>
    withClient(as(user, config), async client => {
      const asked = "select current_setting('statement_timeout') as one, current_setting('lock_timeout') as two"
      return Object.values((await client.query(asked)).rows[0])
    })
  assert.deepEqual(await timeouts('billy'), ['10s', '3s'])
  assert.deepEqual(await timeouts('sue'), ['1h', '3s'])
  assert.deepEqual(await timeouts('billy', { options: '-c statement_timeout=2s -c lock_timeout=1min' }), ['2s', '3s'])
  assert.deepEqual(await timeouts('billy', { options: '-c STATEMENT_TIMEOUT=5000 -c statement_timeout=1d' }), [
    '10s',
    '3s',
  ])
})
