import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { runBawn, startTestWorld, type TestWorld } from './world.ts'

// An operator sees who is connected, ends sessions, and the trail says who did it.

let world: TestWorld
before(async () => {
  world = await startTestWorld()
})
after(() => world?.remove())

interface Row {
  readonly id: string
  readonly user: string
  readonly state: string
  readonly [member: string]: unknown
}

const config = (): string[] => ['--config', world.place.path('bawn.yaml')]

async function sessions(): Promise<readonly Row[]> {
  const { status, output } = await runBawn('sessions', '--json', ...config())
  assert.equal(status, 0, output)
  return JSON.parse(output)
}

async function connect(config: pg.ClientConfig): Promise<{ client: pg.Client; ended: Promise<unknown> }> {
  const client = new pg.Client(config)
  const ended = new Promise(resolve => client.on('error', resolve))
  await client.connect()
  return { client, ended }
}

function olga(): Promise<{ client: pg.Client; ended: Promise<unknown> }> {
  const { user: _, ssl, ...door } = world.billing
  return connect({
    ...door,
    // Without the certificate of billing.
    ssl: { ca: typeof ssl === 'object' ? ssl.ca : undefined },
    user: 'olga',
    password: world.place.read('olga.password').trim(),
    application_name: 'report',
  })
}

const code = (error: unknown): unknown => (error instanceof pg.DatabaseError ? error.code : error)

test('a list says who is connected and what they do', async () => {
  const { client, ended } = await olga()
  const billing = await connect(world.billing)
  await billing.client.query('begin')
  const { rows } = await client.query('select pg_backend_pid() as pid')
  const list = await sessions()
  assert.deepEqual(
    list.map(({ user, mechanism, application_name, database, state }) => [
      user,
      mechanism,
      application_name,
      database,
      state,
    ]),
    [
      ['olga', 'scram', 'report', 'shop', 'idle'],
      ['billing', 'certificate', '', 'shop', 'idle in transaction'],
    ],
  )
  const [first] = list
  assert.match(String(first?.id), /^[0-9a-f]{16}$/)
  assert.equal(first?.['server_pid'], rows[0].pid)
  assert.equal(first?.['server'], `${world.owner.host}:${world.owner.port}`)
  assert.ok(Number(first?.['bytes_in']) > 30 && Number(first?.['bytes_out']) > 30)
  for (const key of ['since', 'state_since'] as const) {
    assert.ok(Math.abs(Date.parse(String(first?.[key])) - Date.now()) < 120_000, key)
  }
  const running = client.query('select pg_sleep(60)').catch(error => error)
  const { output } = await runBawn('sessions', ...config())
  assert.match(output, /^ +id +\| +user +\| +mechanism +\|/)
  assert.match(output, /\| olga +\| scram +\| 127\.0\.0\.1 +\| report +\| shop +\| active +\|/)
  assert.match(output, /\(2 rows\)\n$/)

  const killed = await runBawn('sessions', 'kill', String(first?.id), ...config())
  assert.deepEqual(killed, { status: 0, output: 'ended 1 session\n' })
  assert.equal(code(await running), '57P01')
  await ended
  assert.deepEqual(
    (await sessions()).map(({ user }) => user),
    ['billing'],
  )
  await billing.client.query('commit')
  await billing.client.end()
})

test('sessions end by user and by database, and the trail has who did it', async () => {
  const [one, two, billing] = [await olga(), await olga(), await connect(world.billing)]
  const both = await runBawn('sessions', 'kill', '--user', 'olga', '--database', 'shop', '--json', ...config())
  assert.equal(both.status, 0, both.output)
  const killed: Row[] = JSON.parse(both.output)
  assert.deepEqual(
    killed.map(({ user }) => user),
    ['olga', 'olga'],
  )
  assert.deepEqual([code(await one.ended), code(await two.ended)], ['57P01', '57P01'])
  assert.equal((await billing.client.query('select 1 as one')).rows[0].one, 1)
  const elsewhere = await runBawn('sessions', 'kill', '--user', 'billing', '--database', 'other', ...config())
  assert.deepEqual(elsewhere, { status: 1, output: 'ended 0 sessions\n' })
  assert.equal((await runBawn('sessions', 'kill', '--database', 'shop', ...config())).status, 0)
  assert.equal(code(await billing.ended), '57P01')
  const nobody = await runBawn('sessions', 'kill', ...config())
  assert.equal(nobody.status, 2, nobody.output)

  const lines = world.place
    .read('data/audit.jsonl')
    .trim()
    .split('\n')
    .map((line): Record<string, unknown> => JSON.parse(line))
  const kills = lines.filter(({ action }) => action === 'session kill')
  for (const { id } of killed) {
    const line = kills.find(({ resource }) => resource === `shop/olga/${id}`)
    assert.deepEqual([line?.['kind'], line?.['door'], line?.['decision']], ['admin', 'admin', 'permit'])
    assert.match(String(line?.['claimedName']), /./)
    assert.equal(line?.['address'], '127.0.0.1')
  }
  assert.ok(kills.some(({ resource }) => resource === 'no session'))
  assert.equal((await runBawn('audit', 'verify', ...config())).status, 0)
})

test('an account that is locked is gone from the list', async () => {
  const { ended } = await olga()
  assert.equal((await runBawn('accounts', 'lock', 'olga', ...config())).status, 0)
  assert.equal(code(await ended), '57P01')
  assert.deepEqual(await sessions(), [])
})
