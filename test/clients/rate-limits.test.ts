import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { rateLimitOptions } from '../../packages/bawn/src/limits/option.ts'
import { createRateLimiter } from '../../packages/bawn/src/limits/rate-limit.ts'
import { createSharedCounts } from '../../packages/bawn/src/limits/shared-counts.ts'
import { createSharedRateLimiter } from '../../packages/bawn/src/limits/shared-rate-limit.ts'
import { connectRedis, type RedisConnection } from '../../packages/bawn/src/redis-connection.ts'
import { bearer, eventually, type IssuedGateways, startIssuedGateways } from '../revocations-kit.ts'
import { type RedisServer, startRedis } from './redis-server.ts'

// Rates of two gateways in one real Redis. npm cannot install redis-server, so it is in this suite: npm run test:clients

const password = 'a password for the test'
let redis: RedisServer
before(async () => {
  redis = await startRedis(password)
})
after(() => redis?.remove())

const connection = () =>
  connectRedis(
    { url: `redis://127.0.0.1:${redis.port}/2`, user: undefined, password, ca: undefined, prefix: 'unit' },
    { unavailable: message => new Error(message) },
  )
const counts = (node: RedisConnection) => createSharedCounts(node, { tell: () => {}, now: () => performance.now() })

test('a burst at once from two nodes together, then the rate, and never more', async t => {
  const nodes = await Promise.all([connection(), connection()])
  t.after(() => Promise.all(nodes.map(node => node.close())))
  const limits = nodes.map(node =>
    createSharedRateLimiter(counts(node), { here: undefined }).limit(
      'listener web',
      'listener',
      rateLimitOptions.parse({ rate: '20/s', burst: 50 }),
    ),
  )
  const from = performance.now()
  let permitted = 0
  for (let round = 0; round < 10; round++) {
    const taken = await Promise.all(Array.from({ length: 40 }, (_, n) => limits[n % 2]?.take('192.0.2.1')))
    permitted += taken.filter(one => one?.kind === 'permitted').length
    const limited = taken.find(one => one?.kind === 'limited')
    if (limited) assert(limited.remaining === 0 && limited.retryAfterMs > 0 && limited.retryAfterMs <= 50)
  }
  const most = 50 + ((performance.now() - from) / 1_000) * 20 + 1
  assert(permitted >= 50 && permitted <= most, `${permitted} of at most ${most}`)
  // Idle for long, it is full and no fuller: no burst of twice as many.
  redis.command('-n', '2', 'FLUSHDB')
  const first = await limits[0]?.take('2001:db8::1')
  assert.deepEqual(first, { kind: 'permitted', remaining: 49, resetMs: 50, retryAfterMs: 0 })
})

test('in memory and in Redis the same sequence is judged alike', async t => {
  const node = await connection()
  t.after(() => node.close())
  const options = rateLimitOptions.parse({ rate: '1/h', burst: 7 })
  const shared = createSharedRateLimiter(counts(node), { here: undefined })
  const [one, other] = [shared, createRateLimiter({ now: () => 0 })].map(each =>
    each.limit('route /a', 'route', options),
  )
  for (let n = 0; n < 200; n++) {
    const address = `2001:db8:${n % 2}:${n % 5}::1`
    const [a, b] = [await one?.take(address), await other?.take(address)]
    assert.deepEqual([a?.kind, a?.remaining], [b?.kind, b?.remaining], `${n} ${address}`)
  }
})

test('per client: wherever it comes from, at both nodes; others have their own, and nobody’s is the address’s', async t => {
  const gateways = await startIssuedGateways(folder => {
    writeFileSync(join(folder, 'redis.password'), password, { mode: 0o600 })
    const url = `redis://127.0.0.1:${redis.port}/4`
    return {
      sections: `rate_limits: { kind: redis, url: "${url}", password: file:redis.password, timeout: 5s }`,
      route: ', rate_limit: { per: client, rate: 30/h, burst: 6 }',
    }
  })
  t.after(() => gateways.stop())
  const permitted = async (headers: Record<string, string>): Promise<number> => {
    const asked = Array.from({ length: 10 }, (_, n) => (gateways.nodes[n % 2] ?? assert.fail()).ask(headers))
    const answers = await Promise.all(asked)
    for (const { status, headers: said } of answers) {
      assert(status === 200 || status === 429, String(status))
      assert.equal(said.get('ratelimit-policy'), '"route";q=6;w=720')
      assert.equal(said.has('retry-after'), status === 429)
    }
    return answers.filter(({ status }) => status === 200).length
  }
  const [jane, again, pat] = [gateways.token({}), gateways.token({ jti: 'another' }), gateways.token({ sub: 'pat' })]
  assert.equal(await permitted(bearer(jane)), 6)
  assert.equal(await permitted(bearer(again)), 0, 'another token of hers')
  assert.equal(await permitted(bearer(pat)), 6)
  assert.equal(await permitted({ 'x-api-key': gateways.apiKey }), 6)
  // Who is nobody is told so, and not counted with anybody.
  const wrong = await Promise.all(Array.from({ length: 10 }, () => gateways.nodes[0]?.ask(bearer('a.b.c'))))
  assert(wrong.every(answer => answer?.status === 401))
})

test('per header, parameter and claim at both nodes together, and Redis is not told the values', async t => {
  const rate = 'rate: 30/h, burst: 4'
  const gateways = await startIssuedGateways(folder => {
    writeFileSync(join(folder, 'redis.password'), password, { mode: 0o600 })
    const url = `redis://127.0.0.1:${redis.port}/5`
    return {
      sections: `rate_limits: { kind: redis, url: "${url}", password: file:redis.password, timeout: 5s }`,
      route: `, rate_limit: { per: { claim: org.tenant }, ${rate} }`,
      routes: `  - { path: "/h", methods: [GET], upstream: who, allow: [anyone], rate_limit: { per: { header: X-Tenant }, ${rate} } }
  - { path: "/p/{customer}", methods: [GET], upstream: who, allow: [anyone], rate_limit: { per: { parameter: customer }, ${rate} } }
`,
    }
  })
  t.after(() => gateways.stop())
  const permitted = async (headers: Record<string, string>, path = '/who'): Promise<number> => {
    const asked = Array.from({ length: 8 }, (_, n) => (gateways.nodes[n % 2] ?? assert.fail()).ask(headers, path))
    const answers = await Promise.all(asked)
    assert(answers.every(({ status, headers: said }) => status === 200 || (status === 429 && said.has('retry-after'))))
    return answers.filter(({ status }) => status === 200).length
  }
  const tenant = (name: string, sub: string) => bearer(gateways.token({ org: { tenant: name }, sub }))
  assert.equal(await permitted(tenant('wren-tenant', 'jane')), 4)
  assert.equal(await permitted(tenant('wren-tenant', 'pat')), 0, 'a colleague')
  assert.equal(await permitted(tenant('heron-tenant', 'jane')), 4)
  assert.equal(await permitted(bearer(gateways.token({}))), 4, 'who has none')
  assert.equal(await permitted({ 'x-api-key': gateways.apiKey }), 0, 'and who has none either')
  assert.equal(await permitted({ 'X-Tenant': 'wren-tenant' }, '/h'), 4)
  assert.equal(await permitted({ 'X-Tenant': 'heron-tenant' }, '/h'), 4)
  assert.equal(await permitted({}, '/h'), 4)
  assert.equal(await permitted({}, '/p/wren-tenant'), 4)
  assert.equal(await permitted({}, '/p/heron-tenant'), 4)
  const found = redis.command('-n', '5', 'KEYS', '*').trim().split('\n')
  // By it nodes find out whether their keys for guesses differ.
  const keys = found.filter(key => !key.endsWith('guess-keys'))
  assert.equal(keys.length, 8)
  assert.doesNotMatch(keys.join(' '), /wren|heron/)
  for (const key of keys) assert(Number(redis.command('-n', '5', 'PTTL', key)) > 0, `${key} ends by itself`)
})

for (const away of ['count_here', 'refuse'] as const) {
  test(`two gateways count together, and with Redis away: ${away}`, async t => {
    const gateways: IssuedGateways = await startIssuedGateways(folder => {
      writeFileSync(join(folder, 'redis.password'), password, { mode: 0o600 })
      const url = `redis://127.0.0.1:${redis.port}/3`
      return {
        sections: `rate_limits: { kind: redis, url: "${url}", password: file:redis.password, prefix: ${away}, timeout: 5s, when_away: ${away} }`,
        route: ', rate_limit: { rate: 30/h, burst: 10 }',
        sql: ', rate_limit: { rate: 30/h, burst: 4 }',
      }
    })
    t.after(() => gateways.stop())
    const [one, other] = gateways.nodes
    assert(one && other)
    const token = gateways.token({})
    const ask = async (n: number): Promise<Response> => (n % 2 === 0 ? one : other).ask(bearer(token))
    const answers = await Promise.all(Array.from({ length: 16 }, (_, n) => ask(n)))
    assert.equal(answers.filter(({ status }) => status === 200).length, 10)
    const limited = answers.find(({ status }) => status === 429) ?? assert.fail()
    assert.equal(limited.headers.get('ratelimit-policy'), '"route";q=10;w=1200')
    assert.match(limited.headers.get('ratelimit') ?? '', /^"route";r=0;t=(1200|119\d)$/)
    assert(Number(limited.headers.get('retry-after')) > 100)

    const connections = await Promise.allSettled(
      Array.from({ length: 8 }, async (_, n) => {
        const { client } = await (n % 2 === 0 ? one : other).connect('jane', token)
        await client.end()
      }),
    )
    assert.equal(connections.filter(({ status }) => status === 'fulfilled').length, 4)
    for (const each of connections) {
      if (each.status === 'rejected') assert.equal(Object(each.reason).code, '53300')
    }

    await redis.kill()
    try {
      if (away === 'count_here') {
        await eventually('counted here', async () => (await one.ask(bearer(token))).status === 200)
        assert.match(one.log(), /Redis does not answer: each process counts for itself/)
        const more = await Promise.all(Array.from({ length: 12 }, () => one.ask(bearer(token))))
        assert(more.filter(({ status }) => status === 200).length <= 9)
      } else {
        await eventually('refused', async () => (await one.ask(bearer(token))).status === 503)
        assert.match(await (await one.ask(bearer(token))).text(), /"code":"gateway\.rate_unknown"/)
        await assert.rejects(one.connect('jane', token), { code: '57P03' })
      }
    } finally {
      await redis.start()
    }
    await eventually('Redis counts again', async () => (await one.ask(bearer(token))).status === 429)
    await eventually('said so', async () => {
      await one.ask(bearer(token))
      return /Redis counts for rate_limit again/.test(one.log())
    })
  })
}
