import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { openSqliteAccounts } from '../packages/bawn/src/accounts/sqlite.ts'
import { deriveVerifiers } from '../packages/bawn/src/accounts/verifier.ts'
import { runBawn, startTestWorld, type TestWorld } from './world.ts'

// Whoever is locked out or has other roles now loses the sessions that are open, busy or not; everybody else keeps theirs.

let world: TestWorld
before(async () => {
  world = await startTestWorld()
})
after(() => world?.remove())

async function olga(): Promise<{ client: pg.Client; ended: Promise<unknown> }> {
  const { user: _, ssl, ...door } = world.billing
  const client = new pg.Client({
    ...door,
    // Without the certificate of billing.
    ssl: { ca: typeof ssl === 'object' ? ssl.ca : undefined },
    user: 'olga',
    password: world.place.read('olga.password').trim(),
  })
  const ended = new Promise(resolve => client.on('error', resolve))
  await client.connect()
  return { client, ended }
}

test('an account that is locked loses a statement that runs, and cannot come back until it is unlocked', async () => {
  const other = new pg.Client(world.billing)
  await other.connect()
  const { client, ended } = await olga()
  const running = assert.rejects(client.query('select pg_sleep(120)'), { code: '57P01' })
  assert.equal((await runBawn('accounts', 'lock', 'olga', '--config', world.place.path('bawn.yaml'))).status, 0)
  await Promise.all([running, ended])
  await assert.rejects(olga(), { code: '28P01' })
  assert.equal((await other.query('select 1 as one')).rows[0].one, 1)
  await other.end()
  assert.equal((await runBawn('accounts', 'unlock', 'olga', '--config', world.place.path('bawn.yaml'))).status, 0)
})

test('an account whose roles change loses its idle session', async () => {
  const { ended } = await olga()
  const set = await runBawn('accounts', 'roles', 'olga', 'billing', '--config', world.place.path('bawn.yaml'))
  assert.equal(set.status, 0, set.output)
  await ended
})

test('a new password ends the session that the old one began, busy or not, within a second', async () => {
  const store = openSqliteAccounts({ name: 'staff', path: world.place.path('data/accounts.db') })
  const before = await store.find('olga')
  assert(before !== undefined)
  const other = new pg.Client(world.billing)
  await other.connect()
  const { client, ended } = await olga()
  const running = assert.rejects(client.query('select pg_sleep(120)'), { code: '57P01' })
  await store.setVerifier('olga', await deriveVerifiers('another password'))
  const changed = performance.now()
  await Promise.all([running, ended])
  assert(performance.now() - changed < 2_000, `${performance.now() - changed} ms`)
  await assert.rejects(olga(), { code: '28P01' })
  assert.equal((await other.query('select 1 as one')).rows[0].one, 1, 'others go on')
  await other.end()
  await store.setVerifier('olga', { scram: before.scram, password: before.password })
  const again = await olga()
  assert.equal((await again.client.query('select 1 as one')).rows[0].one, 1)
  await again.client.end()
  await store.close()
})

test('an account that came with a certificate keeps its session while nothing changes, and loses it by a lock', async () => {
  const config = world.place.path('bawn.yaml')
  const text = readFileSync(config, 'utf8')
  writeFileSync(config, text.replace('common_name: billing', 'common_name: somebody'))
  const reload = await runBawn('reload', '--config', config)
  assert.equal(reload.status, 0, reload.output)
  const store = openSqliteAccounts({ name: 'staff', path: world.place.path('data/accounts.db') })
  await store.add({ name: 'billing', roles: ['billing'], scram: undefined, password: undefined, locked: false })
  const client = new pg.Client(world.billing)
  const ended = new Promise(resolve => client.on('error', resolve))
  await client.connect()
  // Each of these takes a round of looking at everybody.
  for (let round = 0; round < 3; round += 1) {
    const { ended: gone } = await olga()
    await store.setLocked('olga', true)
    await gone
    await store.setLocked('olga', false)
  }
  assert.equal((await client.query('select 1 as one')).rows[0].one, 1)
  await store.setLocked('billing', true)
  await ended
  await store.close()
})
