import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { runBawn, startTestWorld, type TestWorld } from './world.ts'

// kill -9 of the gateway in the middle of writes. What a client was told is there must be there, sealed and on the record.

let world: TestWorld
before(async () => {
  world = await startTestWorld()
})
after(() => world?.remove())

const address = (id: number) => `row${id}@crash.example`

/** Inserts rows one after the other until the connection breaks; `onRow` is told each one that was acknowledged. */
async function write(from: number, onRow: (id: number) => void): Promise<void> {
  const client = new pg.Client(world.billing)
  client.on('error', () => {})
  await client.connect()
  try {
    for (let id = from; ; id++) {
      await client.query('insert into people (id, name, city, email) values ($1, $2, $3, $4)', [
        id,
        `Row ${id}`,
        'Ennis',
        address(id),
      ])
      onRow(id)
    }
  } catch {
    // The gateway was killed; whatever had not been acknowledged is nobody's loss.
  } finally {
    client.end().catch(() => {})
  }
}

test('killed in the middle of writes, three times: nothing acknowledged is lost, in clear, or off the record', async () => {
  const acknowledged: number[] = []
  let gateway = world.gateway
  for (let round = 1; round <= 3; round++) {
    const enough = acknowledged.length + 60
    const writers = [0, 1, 2, 3].map(writer =>
      write(round * 100_000 + writer * 10_000, id => {
        acknowledged.push(id)
        if (acknowledged.length === enough) process.kill(gateway.pid, 'SIGKILL')
      }),
    )
    await Promise.all([gateway.ended, ...writers])
    gateway = await world.restartGateway()
  }

  const owner = new pg.Client({ ...world.owner, ssl: false })
  const billing = new pg.Client(world.billing)
  await Promise.all([owner.connect(), billing.connect()])
  try {
    const all = 'select id, email from people where id >= 100000'
    const stored = (await owner.query<{ id: number; email: Buffer }>(all)).rows
    const storedById = new Map(stored.map(row => [row.id, row.email]))
    const shown = (await billing.query<{ id: number; email: string }>(all)).rows
    const shownById = new Map(shown.map(row => [row.id, row.email]))
    for (const id of acknowledged) {
      const sealed = storedById.get(id)
      assert(sealed, `row ${id} was acknowledged and is gone`)
      assert.equal(shownById.get(id), address(id))
    }
    // Also of rows whose acknowledgement never arrived.
    for (const { id, email } of stored) assert(!email.includes('@crash'), `row ${id} is stored in clear`)
  } finally {
    await Promise.all([owner.end(), billing.end()])
  }

  const verified = await runBawn('audit', 'verify', '--config', world.place.path('bawn.yaml'))
  assert.equal(verified.status, 0, verified.output)
  const lines = readFileSync(world.place.path('data/audit.jsonl'), 'utf8').trimEnd().split('\n')
  const inserts = lines.filter(line => /"action":"INSERT"/.test(line) && /"decision":"permit"/.test(line))
  assert(inserts.length >= acknowledged.length, `${inserts.length} lines for ${acknowledged.length} rows`)
})
