import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { type Postgres, startPostgres } from '@bawn/demo/postgres'
import pg from 'pg'
import type { DatabaseState } from '../packages/bawn/src/postgres/state.ts'
import { parseErrorResponse } from '../packages/bawn/src/postgres/wire/error-response.ts'
import { connected, failureOf, listenWithLimits, startCuttableRelay, until } from './limits-kit.ts'
import { type Kit, type RawClient, rawLogin, rules, say, startKit, withClient } from './postgres-kit.ts'

// PostgreSQL dies, the network dies, the disk is full: clients hear of it in the protocol, nothing hangs, and nobody gets another's answer.

let kit: Kit
before(async () => {
  kit = await startKit('create table people (id int primary key, name text, email bytea, photo bytea)')
})
after(() => kit.stop())
beforeEach(() => rules.clear())

/** A listener before a PostgreSQL of its own, which a test may kill. */
async function beforeMortal() {
  const mortal = await startPostgres()
  const shop = kit.state.databases.get('shop')
  assert.ok(shop !== undefined)
  const upstream: DatabaseState['upstream'] = {
    ...shop.upstream,
    host: mortal.host,
    port: mortal.port,
    tls: undefined,
    user: mortal.user,
    password: mortal.password,
  }
  const { door, as } = await listenWithLimits(kit, {}, { database: { upstream } })
  return { mortal, door, as }
}

/** Long enough for a login on a busy machine; a network that was cut is found out after as long. */
const connectTimeoutMs = 3_000

/** As `kill -9` of the whole server does: nobody says goodbye. */
async function killHard({ pid, host, port, user, password }: Postgres): Promise<void> {
  const client = new pg.Client({ host, port, user, password, database: 'postgres' })
  client.on('error', () => {})
  await client.connect()
  const { rows } = await client.query('select pid from pg_stat_activity where pid <> pg_backend_pid()')
  process.kill(pid, 'SIGKILL')
  for (const row of rows) {
    try {
      process.kill(Number(row.pid), 'SIGKILL')
    } catch {
      // It has followed the postmaster by itself.
    }
  }
}

/** What came breaks off within a message: nothing can be said behind that, and the connection is closed, as PostgreSQL itself would. */
function endsWithinMessage(raw: RawClient): boolean {
  return raw.messages().reduce((sum, { body }) => sum + body.length + 5, 0) < raw.received.length
}

function lastError(raw: RawClient): Map<string, string> {
  const error = raw.messages().findLast(({ type }) => type === 'E')
  assert.ok(error !== undefined, raw.letters())
  return parseErrorResponse(error.body, 0, error.body.length)
}

/** Errors of a connection that is gone: PostgreSQL's own last words, or ours. */
const goneCodes: readonly (string | undefined)[] = ['08006', '57P01', '57P02']

const moments: readonly { readonly name: string; readonly begin: (raw: RawClient) => Promise<void> }[] = [
  { name: 'idle', begin: async () => {} },
  {
    name: 'in the middle of a result',
    async begin(raw) {
      raw.socket.write(say.query('select i, pg_sleep(0.001) from generate_series(1, 1000000) i'))
      await raw.until(received => received.length > 200)
    },
  },
  {
    name: 'in the middle of COPY out',
    async begin(raw) {
      raw.socket.write(say.query('copy (select i, pg_sleep(0.001) from generate_series(1, 1000000) i) to stdout'))
      await raw.until(received => received.length > 200)
    },
  },
  {
    name: 'in the middle of COPY in',
    async begin(raw) {
      raw.socket.write(say.query('create temporary table t (i int)'))
      await raw.ready()
      raw.socket.write(say.query('copy t from stdin'))
      await raw.until(() => raw.letters() === 'G')
      raw.socket.write(Buffer.from('d\0\0\0\x061\n', 'latin1'))
    },
  },
  {
    name: 'in the middle of a transaction',
    async begin(raw) {
      raw.socket.write(say.query('begin'))
      await raw.ready()
    },
  },
]

test('PostgreSQL is killed: every session is told, whatever it does, and later ones are refused', async () => {
  const { mortal, door, as } = await beforeMortal()
  const sessions = await Promise.all(
    moments.map(async ({ name, begin }) => {
      const raw = await rawLogin(door.address.port, 'tess', 'billing')
      await begin(raw)
      return { name, raw }
    }),
  )
  await killHard(mortal)
  for (const { name, raw } of sessions) {
    await raw.untilClosed()
    if (/result|COPY out/.test(name) && endsWithinMessage(raw)) continue
    const fields = lastError(raw)
    assert.equal(fields.get('V'), 'FATAL', name)
    assert.ok(goneCodes.includes(fields.get('C')), `${name}: ${fields.get('C')}`)
  }
  assert.equal(door.sessions().length, 0)
  rules.clear()
  assert.equal((await failureOf(connected(as('billy')))).code, '08001')
  await mortal.stop()
})

test('the network is cut during login: 08001 in time', async t => {
  const relay = await startCuttableRelay(t, kit.postgres.port)
  relay.cut()
  const shop = kit.state.databases.get('shop')
  assert.ok(shop !== undefined)
  const upstream = { ...shop.upstream, port: relay.port, connectTimeoutMs: 300 }
  const { as, door } = await listenWithLimits(kit, {}, { database: { upstream } })
  assert.equal((await failureOf(connected(as('billy')))).code, '08001')
  assert.equal(door.sessions().length, 0)
})

test('the network is cut in the middle of a result: the client is told, or what it has ends within a message', async t => {
  const relay = await startCuttableRelay(t, kit.postgres.port)
  const shop = kit.state.databases.get('shop')
  assert.ok(shop !== undefined)
  const upstream = { ...shop.upstream, port: relay.port, probeAfterMs: 200, connectTimeoutMs }
  const { door } = await listenWithLimits(kit, {}, { database: { upstream } })
  const raw = await rawLogin(door.address.port, 'tess', 'billing')
  raw.socket.write(say.query("select repeat('x', 1000), pg_sleep(0.001) from generate_series(1, 1000000) i"))
  await raw.until(received => received.length > 50_000)
  relay.cut()
  await raw.untilClosed()
  if (!endsWithinMessage(raw)) assert.equal(lastError(raw).get('C'), '08006')
  assert.equal(door.sessions().length, 0)
})

test('a full disk is told as PostgreSQL tells it, and the session goes on', async () => {
  await withClient(kit.client('billy'), async client => {
    await client.query("set temp_file_limit = '100kB'; set work_mem = '64kB'")
    const failure = await failureOf(client.query('select i from generate_series(1, 1000000) i order by -i'))
    assert.equal(failure.code, '53400')
    assert.match(failure.message, /^temporary file size exceeds "temp_file_limit"/)
    assert.equal((await client.query('select 1 as one')).rows[0].one, 1)
  })
})

test('many clients, some of them cut off or killed in the middle: each gets its own answers only', async () => {
  const { door } = await listenWithLimits(kit, {})
  const work = async (name: number): Promise<number> => {
    const raw = await rawLogin(door.address.port, `user${name}`, 'billing')
    let answered = 0
    for (let round = 0; round < 20 && !raw.closed; round += 1) {
      const texts = Array.from({ length: 5 }, (_, index) => `client ${name} round ${round} statement ${index}`)
      raw.socket.write(Buffer.concat(texts.map(text => say.query(`select '${text}', repeat('${name % 10}', 20000)`))))
      if (name % 3 === 1 && round === 10) raw.socket.destroy()
      if (name % 3 === 2 && round === 10) {
        door.endSessions(({ identity }) => identity.id === `user${name}`, 'killed')
        await raw.untilClosed()
      }
      await raw.until(() => raw.letters().split('Z').length > 5).catch(() => {})
      const rows = raw.messages().filter(({ type }) => type === 'D')
      for (const [index, { body }] of rows.entries()) {
        const length = body.readInt32BE(2)
        assert.equal(body.toString('latin1', 6, 6 + length), texts[index])
        assert.match(body.toString('latin1', 10 + length), new RegExp(`^${name % 10}{20000}$`))
        answered += 1
      }
      raw.received = Buffer.alloc(0)
    }
    raw.socket.destroy()
    return answered
  }
  const answered = await Promise.all(Array.from({ length: 12 }, (_, name) => work(name)))
  for (const [name, count] of answered.entries()) {
    if (name % 3 === 0) assert.equal(count, 100)
    else assert.ok(count >= 50 && count <= 60, `${name}: ${count}`)
  }
  await until(() => door.sessions().length === 0)
})
