import assert from 'node:assert/strict'
import { hash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { text } from 'node:stream/consumers'
import { after, before, type TestContext, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import pg from 'pg'
import { createSharedThrottle } from '../../packages/bawn/src/accounts/shared-throttle.ts'
import { createLoginThrottle, type LoginThrottle } from '../../packages/bawn/src/accounts/throttle.ts'
import { guessDigest, parseGuessKey } from '../../packages/bawn/src/limits/guess-key.ts'
import { createSharedCounts } from '../../packages/bawn/src/limits/shared-counts.ts'
import { createSharedTries } from '../../packages/bawn/src/limits/shared-tries.ts'
import { connectRedis } from '../../packages/bawn/src/redis-connection.ts'
import { type AccountGateways, connectAs, type Node, startAccountGateways } from '../account-gateway.ts'
import { eventually } from '../revocations-kit.ts'
import { workersLine } from '../world.ts'
import { type RedisServer, startRedis } from './redis-server.ts'

// Guesses that several gateways count in one real Redis. npm cannot install redis-server, so it is in this suite: npm run test:clients

const password = 'a password for the test'
const guessKey = randomBytes(32).toString('base64')
let redis: RedisServer
before(async () => {
  redis = await startRedis(password)
})
after(() => redis?.remove())

/** The throttles of two processes, and what they say when Redis comes and goes. */
async function twoThrottles(t: TestContext, prefix: string) {
  const said: boolean[] = []
  const now = (): number => performance.now()
  const nodes = await Promise.all(
    [0, 1].map(async () => {
      const connection = await connectRedis(
        { url: `redis://127.0.0.1:${redis.port}/2`, user: undefined, password, ca: undefined, prefix },
        { unavailable: message => new Error(message) },
      )
      t.after(() => connection.close())
      const counts = createSharedCounts(connection, { tell: isAway => said.push(isAway), now })
      const tries = createSharedTries(counts, guessDigest(parseGuessKey(guessKey)))
      return createSharedThrottle(createLoginThrottle({ now }), tries)
    }),
  )
  const [one, other] = nodes
  assert(one && other)
  return { one, other, said }
}

/** How many of so many guesses at once were let through. */
async function guess(tries: number, ask: (n: number) => ReturnType<LoginThrottle['attempt']>): Promise<number> {
  const asked = await Promise.all(Array.from({ length: tries }, (_, n) => ask(n)))
  return asked.filter(({ kind }) => kind === 'permitted').length
}

test('two processes together let no more guesses through than one', async t => {
  const { one, other } = await twoThrottles(t, 'pairs')
  const at = (n: number): LoginThrottle => (n % 2 === 0 ? one : other)
  assert.equal(await guess(40, n => at(n).attempt('alice', '192.0.2.1')), 5, 'account and network')
  assert.equal(await guess(60, n => at(n).attempt('bob', `198.51.100.${n}`)), 20, 'account')
  assert.equal(await guess(80, n => at(n).attempt(`name ${n}`, '192.0.2.2')), 50, 'network')
  assert.equal(await guess(60, n => at(n).attempt('carol', `2001:db8:1:${n}::1`)), 10, 'account and site')
  assert.equal(await guess(80, n => at(n).attemptNameless('api-key', '192.0.2.1')), 50)
  assert.equal(await guess(80, n => at(n).attemptNameless('introspection', '192.0.2.1')), 50, 'a bucket of its own')
  const limited = await other.attempt('alice', '192.0.2.1')
  assert(limited.kind === 'throttled' && limited.retryAfterMs > 5_000 && limited.retryAfterMs <= 10_000)
})

test('a right password gives its try back, and is known at the other process', async t => {
  const { one, other } = await twoThrottles(t, 'trust')
  for (let n = 0; n < 12; n++) {
    const attempt = await (n % 2 === 0 ? one : other).attempt('alice', '192.0.2.1')
    assert(attempt.kind === 'permitted', `${n}`)
    if (n % 3 === 0) attempt.undecided()
    else attempt.succeeded()
    // Given back once, whatever is called how often.
    attempt.undecided()
  }
  assert.equal(await guess(80, n => (n % 2 === 0 ? one : other).attempt('alice', `203.0.113.${n}`)), 20)
  assert.equal(await guess(20, () => other.attempt('alice', '198.51.100.9')), 0, 'strangers have used the account up')
  const [dora] = [await one.attempt('dora', '192.0.2.9')]
  assert(dora?.kind === 'permitted')
  dora.succeeded()
  // On the same connection, so behind it.
  await one.attempt('somebody', '192.0.2.9')
  assert.equal(await guess(80, n => one.attempt('dora', `203.0.113.${n}`)), 20)
  assert.equal(
    await guess(20, () => other.attempt('dora', '192.0.2.9')),
    5,
    'where dora has logged in, by the other process',
  )
})

test('a wrong password that is sent again is no other guess', async t => {
  const { one } = await twoThrottles(t, 'again')
  for (let n = 0; n < 20; n++) {
    const attempt = await one.attempt('alice', '192.0.2.1')
    assert(attempt.kind === 'permitted', `${n}`)
    attempt.failed('the same', 'wrong-password')
  }
})

test('without Redis no more is let through than by one process alone, and it is said once', async t => {
  const { one, other, said } = await twoThrottles(t, 'away')
  assert.equal(await guess(3, () => one.attempt('alice', '192.0.2.1')), 3)
  await redis.kill()
  try {
    assert.equal(await guess(20, () => one.attempt('alice', '192.0.2.1')), 2, 'three were counted here as well')
    assert.equal(await guess(20, () => one.attempt('alice', '192.0.2.1')), 0)
    assert.equal(await guess(20, () => other.attempt('alice', '192.0.2.1')), 5)
    assert.deepEqual(said, [true, true], 'once by each')
  } finally {
    await redis.start()
  }
  await eventually('Redis counts again', async () => {
    await one.attempt('somebody', '192.0.2.77')
    return said.includes(false)
  })
  // What Redis has lost is no other burst.
  redis.command('-n', '2', 'FLUSHDB')
  assert.equal(await guess(20, () => one.attempt('alice', '192.0.2.1')), 0)
})

const sections = (secret: AccountGateways['secret'], database: number, workers: boolean): string => {
  const kept = `password: file:${secret('redis.password', password)}, guess_key: file:${secret('guess.key', guessKey)}`
  const url = `redis://127.0.0.1:${redis.port}/${database}`
  const line = workers && workersLine === '' ? 'workers: 2\n' : ''
  return `${line}rate_limits: { kind: redis, url: "${url}", ${kept}, timeout: 5s }\nmechanisms: { basic: {} }\n`
}

/** What a client is told, of a login over the HTTP door. */
async function tell({ url, ca }: Node, user: string, secret: string): Promise<readonly [number, string, boolean]> {
  const call = request(url, { auth: `${user}:${secret}`, ca: readFileSync(ca), agent: false }).end()
  const [answer] = await once(call, 'response')
  const body = (await text(answer)).replace(/"request_?[iI]d":"[^"]*"/, '').replace(/"instance":"[^"]*"/, '')
  return [answer.statusCode, body, 'retry-after' in answer.headers]
}

/** The same at the PostgreSQL door. */
async function tellPostgres(node: Node, user: string, secret: string, by: 'scram' | 'password'): Promise<string> {
  try {
    const client = await connectAs(node, user, secret, by)
    await client.end()
    return 'ok'
  } catch (error) {
    assert(error instanceof pg.DatabaseError, String(error))
    return `${error.code} ${error.message.replaceAll(user, 'USER')} ${error.hint}`.replace(/[0-9]+ s\b/g, 'N s')
  }
}

for (const [name, workers, database] of [
  ['two gateways', false, 3],
  ['two gateways of two workers each', true, 4],
] as const) {
  test(`${name}: guesses at one count at the other and at the other door; of nobody as of somebody`, async t => {
    const store = () => '{ kind: sqlite, path: accounts.db }'
    const gateways = await startAccountGateways(store, 2, false, undefined, secret =>
      sections(secret, database, workers),
    )
    t.after(() => gateways.stop())
    const [one, other] = gateways.nodes
    assert(one && other)
    for (const user of ['alice', 'carol', 'dora'])
      await gateways.run(['accounts', 'add', user, '--role', 'staff'], 'correct horse\n')

    const told: Record<string, unknown> = {}
    for (const user of ['alice', 'nobody']) {
      const guesses = []
      for (let n = 0; n < 3; n++) guesses.push(await tell(one, user, `guess ${n}`))
      guesses.push(await tellPostgres(other, user, 'guess 3', 'scram'))
      guesses.push(await tellPostgres(other, user, 'guess 4', 'password'))
      told[user] = [
        ...guesses,
        await tell(one, user, 'correct horse'),
        await tell(other, user, 'correct horse'),
        await tellPostgres(one, user, 'correct horse', 'scram'),
        await tellPostgres(other, user, 'correct horse', 'scram'),
        await tellPostgres(one, user, 'correct horse', 'password'),
        await tellPostgres(other, user, 'correct horse', 'password'),
      ]
    }
    assert.deepEqual(told['nobody'], told['alice'])
    const [first, , , fourth, , sixth, seventh, ...rest] = told['alice'] as (readonly [number, string, boolean])[]
    assert.deepEqual([first?.[0], sixth?.[0], sixth?.[2]], [401, 429, true])
    assert.deepEqual(seventh, sixth)
    assert.match(String(fourth), /^28P01 /)
    for (const one of rest) assert.match(String(one), /^53400 /)
    assert.equal(rest.length, 4)

    const keys = redis.command('-n', String(database), 'KEYS', '*')
    assert.match(keys, /guess:/)
    const digests = (['base64', 'base64url', 'hex'] as const).map(form => hash('sha256', 'alice', form))
    for (const clear of ['alice', 'nobody', '127.0.0.1', ...digests]) assert(!keys.includes(clear), clear)

    // Nobody else is held up, and who may try again may do so at either.
    assert.equal((await tell(other, 'carol', 'correct horse'))[0], 200)
    const deadline = performance.now() + 30_000
    while ((await tell(other, 'alice', 'correct horse'))[0] === 429) {
      assert(performance.now() < deadline)
      await setTimeout(250)
    }
    assert.equal((await tell(one, 'alice', 'correct horse'))[0], 200)
    assert.equal(await tellPostgres(one, 'alice', 'correct horse', 'scram'), 'ok')

    if (workers) return
    for (let n = 0; n < 3; n++) await tell(one, 'dora', `guess ${n}`)
    await redis.kill()
    try {
      const statuses = []
      for (let n = 3; n < 8; n++) statuses.push((await tell(one, 'dora', `guess ${n}`))[0])
      assert.deepEqual(statuses, [401, 401, 429, 429, 429], 'three were counted here as well')
      assert.equal((await tell(other, 'carol', 'correct horse'))[0], 200)
      assert.equal(one.log().match(/Redis does not answer: each process counts for itself/g)?.length, 1)
      assert.match(await one.metrics(), /^bawn_shared_limits_away 1$/m)
    } finally {
      await redis.start()
    }
    await eventually('Redis counts again', async () => {
      await tell(one, 'carol', 'correct horse')
      return /^bawn_shared_limits_away 0$/m.test(await one.metrics())
    })
    assert.match(one.log(), /Redis counts for rate_limit and guesses again/)
    assert.doesNotMatch(one.log(), /alice|dora/)
  })
}
