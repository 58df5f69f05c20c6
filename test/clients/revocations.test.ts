import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { bearer, eventually, type IssuedGateways, startIssuedGateways } from '../revocations-kit.ts'
import { type RedisServer, startRedis } from './redis-server.ts'
import { testRevocations } from './revocations-behaviour.ts'

// Revocations of two gateways: in one file, and in one real Redis, which npm cannot install. So it is in this suite: npm run test:clients

const password = 'a password for the test'
let redis: RedisServer
before(async () => {
  redis = await startRedis(password)
})
after(() => redis?.remove())

const section = (folder: string, more = '') => {
  writeFileSync(join(folder, 'redis.password'), password, { mode: 0o600 })
  return `{ kind: redis, url: "redis://127.0.0.1:${redis.port}/1", password: file:redis.password${more} }`
}

testRevocations('SQLite', () => '{ kind: sqlite, path: revocations.db }')
testRevocations('Redis', folder => section(folder))

test('Redis killed: what is known holds, then nothing is let through; back, it goes on, and what it lost is put back', async t => {
  const gateways: IssuedGateways = await startIssuedGateways(folder => ({
    sections: `revocations: ${section(folder, ', prefix: away, stale_after: 3s')}`,
  }))
  t.after(() => gateways.stop())
  const [one, other] = gateways.nodes
  assert(one && other)
  const [bad, good] = [gateways.token({ jti: 'bad' }), gateways.token({ jti: 'good' })]
  const status = async (node: typeof one, token: string): Promise<number> => (await node.ask(bearer(token))).status
  await one.admin('POST', '/tokens/jti/bad')
  await eventually('both', async () => (await status(other, bad)) === 401)
  const session = await other.connect('jane', good)

  await redis.kill()
  const { status: refused, body } = await one.admin('POST', '/tokens/jti/good')
  assert.deepEqual([refused, body['code']], [503, 'tokens.unavailable'], 'not acknowledged')
  for (const node of [one, other]) assert.equal(await status(node, bad), 401, 'what is known holds')
  for (const node of [one, other]) {
    await eventually('closed', async () => (await status(node, good)) === 503)
    assert.equal(await status(node, bad), 503)
    assert.match(await (await node.ask(bearer(good))).text(), /"code":"tokens\.unavailable"/)
    assert.match(await (await fetch(`http://${node.desk}/readyz`)).text(), /"name":"revocations","ok":false/)
  }
  await assert.rejects(other.connect('jane', good), { code: '57P03' })
  assert.equal((await session.client.query('select 1 as one')).rows[0].one, 1, 'an open session goes on')

  await redis.start()
  for (const node of [one, other]) {
    await eventually('open', async () => (await status(node, good)) === 200)
    assert.equal(await status(node, bad), 401)
  }

  redis.command('FLUSHALL')
  await eventually('put back', async () => Number(redis.command('-n', '1', 'HLEN', '{away}:revoked')) === 1)
  await one.kill()
  await one.restart()
  for (const node of [one, other]) {
    assert.equal(await status(node, bad), 401)
    assert.equal(await status(node, good), 200)
  }
  await one.admin('POST', '/tokens/sub/jane')
  assert.equal(await session.ended, '57P01')
  redis.command('-n', '1', 'DEL', '{away}:revoked:list')
  await eventually('a new list', async () => redis.command('-n', '1', 'EXISTS', '{away}:revoked:list').trim() === '1')
  for (const node of [one, other]) assert.equal(await status(node, good), 401)
})
