import assert from 'node:assert/strict'
import { connect as connectTcp } from 'node:net'
import { after, before, test } from 'node:test'
import type pg from 'pg'
import { connect, type Gateway, oneEach, startWorkersWorld, until, type WorkersWorld } from './workers-kit.ts'

// A pool with two workers: each has its part of the connections, and whoever works on one is who it is, at whichever worker.

let world: WorkersWorld
let gateway: Gateway
before(async () => {
  world = await startWorkersWorld()
  world.configure()
  gateway = await world.start()
})
after(() => world?.stop())

const failure = (work: Promise<unknown>): Promise<pg.DatabaseError> =>
  work.then(
    () => assert.fail('it did not fail'),
    cause => cause,
  )

test('40 sessions of three identities at two workers: each its own, over no more connections than the pool has', async () => {
  const users = ['alice', 'bob', 'carol']
  const counted = await connect(gateway.client('dora'))
  const connections = async (): Promise<number> => {
    const { rows } = await counted.client.query(
      `select count(*)::int as n from pg_stat_activity where application_name like 'bawn%number%' or application_name = 'bawn'`,
    )
    return rows[0].n
  }
  const sessions = await Promise.all(
    Array.from({ length: 40 }, (_, at) => {
      const user = users[at % users.length] ?? ''
      return connect(gateway.client(user, { database: 'pooled', application_name: `number ${at}` }))
    }),
  )
  assert.deepEqual(new Set(sessions.map(({ worker }) => worker)), new Set([0, 1]))
  await Promise.all(
    sessions.map(async ({ client }, at) => {
      const text = `select current_setting('application_name') as who, ${at}::int as own, $1::int as given`
      for (let round = 0; round < 10; round += 1) {
        const inTransaction = round % 3 === 0
        if (inTransaction) await client.query('begin')
        const { rows } = await client.query({ name: 'same', text, values: [round] })
        const who = `bawn:${users[at % users.length]} number ${at}`
        assert.deepEqual(rows, [{ who, own: at, given: round }])
        if (inTransaction) await client.query('commit')
      }
      if (at % 10 === 0) assert.ok((await connections()) <= 4)
    }),
  )
  assert.ok((await connections()) <= 4)
  for (const { client } of [...sessions, counted]) await client.end()
})

test('a cancel request reaches the transaction of its client, whichever worker it comes to', async () => {
  const sessions = await oneEach(gateway.client('alice', { database: 'pooled' }))
  const watch = await connect(gateway.client('alice'))
  for (const round of [0, 1, 2, 3, 4, 5]) {
    const { client } = sessions[round % 2] ?? watch
    const sleeping = failure(client.query('select pg_sleep(60)'))
    await until(async () => {
      const text = "select from pg_stat_activity where query = 'select pg_sleep(60)' and state = 'active'"
      return (await watch.client.query(text)).rowCount === 1
    }, 'it sleeps')
    const { processID, secretKey } = client as unknown as { readonly processID: number; readonly secretKey: number }
    const request = Buffer.alloc(16)
    for (const [at, value] of [16, 80_877_102, processID, secretKey].entries()) request.writeInt32BE(value, at * 4)
    await new Promise<void>((resolve, reject) => {
      const socket = connectTcp(gateway.client('alice').port ?? 0, '127.0.0.1', () => socket.end(request))
      socket
        .on('error', reject)
        .on('close', () => resolve())
        .resume()
    })
    assert.equal((await sleeping).code, '57014')
    assert.equal((await client.query('select 1 as one')).rows[0].one, 1)
  }
  for (const { client } of [...sessions, watch]) await client.end()
})

test('who finds no connection free in the part of its worker waits there, and is told why', async () => {
  const config = gateway.client('bob', { database: 'tight' })
  const [one, other] = await oneEach(config)
  await one.client.query('begin')
  await one.client.query('select 1')
  // The other worker has its own.
  assert.equal((await other.client.query('select 2 as two')).rows[0].two, 2)
  let waiting = await connect(gateway.client('bob', { database: 'tight' }))
  while (waiting.worker !== one.worker) {
    await waiting.client.end()
    waiting = await connect(config)
  }
  const { code, hint } = await failure(waiting.client.query('select 3'))
  assert.equal(code, '53300')
  assert.match(hint ?? '', /./)
  await one.client.query('commit')
  assert.equal((await one.client.query('select 4 as four')).rows[0].four, 4)
  for (const { client } of [one, other]) await client.end()
})
