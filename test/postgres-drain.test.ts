import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { connected } from './limits-kit.ts'
import { runBawn, startTestWorld, type TestWorld } from './world.ts'

// What a reload and a stop do to open sessions.

let world: TestWorld
before(async () => {
  world = await startTestWorld()
})
after(() => world?.remove())

const config = (): string[] => ['--config', world.place.path('bawn.yaml')]
const code = (error: Error): unknown => (error instanceof pg.DatabaseError ? error.code : error)

function olga(): pg.ClientConfig {
  const { user: _, ssl, ...door } = world.billing
  // Without the certificate of billing.
  const ca = typeof ssl === 'object' ? ssl.ca : undefined
  return { ...door, ssl: { ca }, user: 'olga', password: world.place.read('olga.password').trim() }
}

/** Lets nobody but billing into the database. */
async function onlyBilling(): Promise<void> {
  const text = world.place
    .read('bawn.yaml')
    .replace('allow: [authenticated]', 'allow: [only_billing]')
    .replace('\npolicies:\n', '\npolicies:\n  only_billing: { roles: [billing] }\n')
  world.place.write('bawn.yaml', text)
  const { status, output } = await runBawn('reload', ...config())
  assert.equal(status, 0, output)
}

test('a reload ends sessions that would not be let in any more, between two transactions', async () => {
  const [idle, busy, other] = [await connected(olga()), await connected(olga()), await connected(world.billing)]
  await busy.client.query('begin')
  await onlyBilling()
  assert.equal(code(await idle.ended), '57P01')
  assert.equal((await busy.client.query('select 1 as one')).rows[0].one, 1)
  await busy.client.query('commit').catch(() => {})
  assert.equal(code(await busy.ended), '57P01')
  assert.equal((await other.client.query('select 1 as one')).rows[0].one, 1)
  await assert.rejects(connected(olga()), { code: '42501' })
  await other.client.end()
})

test('a stop tells idle sessions at once, and lets transactions end', async () => {
  const [idle, busy] = [await connected(world.billing), await connected(world.billing)]
  await busy.client.query('begin')
  const stopped = world.gateway.stop()
  assert.equal(code(await idle.ended), '57P01')
  await assert.rejects(connected(world.billing))
  assert.equal((await busy.client.query('select 1 as one')).rows[0].one, 1)
  await busy.client.query('commit').catch(() => {})
  assert.equal(code(await busy.ended), '57P01')
  await stopped
})
