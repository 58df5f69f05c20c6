import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type RedisServer, startRedis } from '../clients/redis-server.ts'
import { testRevocations } from '../clients/revocations-behaviour.ts'
import { bearer, eventually, type IssuedNode, startIssuedGateways } from '../revocations-kit.ts'

// Revocations of gateways with two workers each: what holds for one thread holds at whichever worker a connection comes to.

const password = 'a password for the test'
let redis: RedisServer
before(async () => {
  redis = await startRedis(password)
})
after(() => redis?.remove())

testRevocations('SQLite, two workers', () => '{ kind: sqlite, path: revocations.db }', 2)
testRevocations(
  'Redis, two workers',
  folder => {
    writeFileSync(join(folder, 'redis.password'), password, { mode: 0o600 })
    return `{ kind: redis, url: "redis://127.0.0.1:${redis.port}/1", password: file:redis.password }`
  },
  2,
)

/** A session at each of the two workers: the list of sessions says which it is. */
async function atEach(node: IssuedNode, user: string, token: string) {
  const sessions = new Map<number, Awaited<ReturnType<IssuedNode['connect']>>>()
  for (let tries = 0; sessions.size < 2; tries++) {
    assert.ok(tries < 100, 'a hundred sessions are all at one worker')
    const session = await node.connect(user, token)
    const { processID } = session.client as unknown as { readonly processID: number }
    const listed = (await node.admin('GET', '/sessions')).body['sessions'] as { server_pid: number; worker: number }[]
    const worker = listed.find(({ server_pid: pid }) => pid === processID)?.worker ?? assert.fail('not in the list')
    if (sessions.has(worker)) await session.client.end()
    else sessions.set(worker, session)
  }
  return [...sessions.values()]
}

test('a revocation ends the sessions of every worker, by whatever way it comes, and a worker that was started again knows it', async t => {
  const gateways = await startIssuedGateways(
    () => ({ sections: 'workers: 2\nrevocations: { kind: sqlite, path: revocations.db }' }),
    1,
  )
  t.after(() => gateways.stop())
  const [node] = gateways.nodes
  assert(node)
  const spared = await atEach(node, 'adam', gateways.token({ sub: 'adam' }))
  const ways: readonly (readonly [user: string, revoke: () => Promise<unknown>])[] = [
    ['una', () => gateways.run(0, 'tokens', 'revoke', '--claim', 'sub=una')],
    ['dora', () => node.admin('POST', '/revocations/revoke?claim=sub&value=dora')],
    ['tim', () => node.admin('POST', '/tokens/sub/tim')],
  ]
  for (const [user, revoke] of ways) {
    const token = gateways.token({ sub: user })
    const [idle, busy] = await atEach(node, user, token)
    assert(idle && busy)
    const running = assert.rejects(busy.client.query('select pg_sleep(120)'), { code: '57P01' }, user)
    await revoke()
    assert.equal(await idle.ended, '57P01', user)
    await running
    for (let tries = 0; tries < 12; tries++) await assert.rejects(node.connect(user, token), { code: '28P01' })
    for (let tries = 0; tries < 12; tries++) assert.equal((await node.ask(bearer(token))).status, 401)
  }
  for (const { client } of spared) assert.equal((await client.query('select 1 as one')).rows[0].one, 1)
  // Told once, in one trail.
  assert.equal(node.trail().match(/"action":"token revoke"/g)?.length, ways.length)

  await node.kill()
  await node.restart()
  for (let tries = 0; tries < 12; tries++) {
    assert.equal((await node.ask(bearer(gateways.token({ sub: 'tim' })))).status, 401)
  }
  await node.admin('POST', '/revocations/restore?claim=sub&value=tim')
  for (let tries = 0; tries < 12; tries++) {
    assert.equal((await node.ask(bearer(gateways.token({ sub: 'tim' })))).status, 200, 'acknowledged is restored')
  }
})

test('without the store no worker lets anybody through, and nothing is acknowledged; back, both go on', async t => {
  const gateways = await startIssuedGateways(folder => {
    writeFileSync(join(folder, 'redis.password'), password, { mode: 0o600 })
    const store = `kind: redis, url: "redis://127.0.0.1:${redis.port}/2", password: file:redis.password, stale_after: 2s`
    return { sections: `workers: 2\nrevocations: { ${store} }` }
  }, 1)
  t.after(() => gateways.stop())
  const [node] = gateways.nodes
  assert(node)
  const good = gateways.token({ jti: 'good' })
  await redis.kill()
  const { status, body } = await node.admin('POST', '/tokens/jti/good')
  assert.deepEqual([status, body['code']], [503, 'tokens.unavailable'])
  const answers = async (): Promise<string> => {
    const all = await Promise.all(Array.from({ length: 12 }, async () => (await node.ask(bearer(good))).status))
    return [...new Set(all)].join(' ')
  }
  await eventually('closed at both', async () => (await answers()) === '503')
  assert.match(await (await fetch(`http://${node.desk}/readyz`)).text(), /"name":"revocations","ok":false/)
  await redis.start()
  await eventually('open at both', async () => (await answers()) === '200')
})
