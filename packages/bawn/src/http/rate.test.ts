import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { HttpMechanism } from '../authn/http-mechanism.ts'
import { rateLimitOptions } from '../limits/option.ts'
import { createRateLimiter, type RateLimit } from '../limits/rate-limit.ts'
import { codeOf, everything, get, startDoor, startUpstream } from './kit.test.ts'

const listenerLimit = (rate: string, now: () => number, burst?: number): RateLimit =>
  createRateLimiter({ now }).limit('listener web', 'listener', rateLimitOptions.parse({ rate, burst }))

/** Counts how often it was asked who somebody is. */
function counting(): { asked: number; readonly mechanism: HttpMechanism } {
  const counter = {
    asked: 0,
    mechanism: {
      name: 'jwt',
      carries: { headers: ['authorization'], query: [] },
      authenticate: ({ authorization }) => {
        if (authorization.length === 0) return { kind: 'absent' }
        counter.asked += 1
        return { kind: 'rejected', reason: 'untrusted' }
      },
      challenge: () => 'Bearer realm="bawn"',
    } satisfies HttpMechanism,
  }
  return counter
}

test('requests over the rate of the listener are answered 429 before anybody is asked who they are', async t => {
  let at = 0
  const upstream = await startUpstream(t, (_request, response) => response.end('fine'))
  const counter = counting()
  const { port, events } = await startDoor(t, {
    upstream,
    mechanisms: [counter.mechanism],
    rateLimit: listenerLimit('2/s', () => at, 3),
  })
  const ask = (target = '/a') => get(port, target, ['Authorization: Bearer x'])
  const first = await ask()
  assert.equal(first.status, 401)
  assert.deepEqual(
    [first.headers.get('ratelimit-policy'), first.headers.get('ratelimit')],
    ['"listener";q=3;w=2', '"listener";r=2;t=1'],
  )
  assert.deepEqual([(await ask()).status, (await get(port, '/a')).status], [401, 200])
  for (const target of ['/a', '/nowhere/x', '/a//b']) {
    const limited = await ask(target)
    assert.equal(codeOf(limited), 'http.rate_limited')
    assert.equal(limited.status, 429)
    assert.deepEqual(
      ['retry-after', 'ratelimit', 'www-authenticate'].map(name => limited.headers.get(name)),
      ['1', '"listener";r=0;t=2', undefined],
    )
  }
  assert.equal(counter.asked, 2)
  const last = events.at(-1)
  assert.deepEqual(
    [last?.decision, last?.rule, last?.code],
    ['deny', 'rate limit of the listener', 'http.rate_limited'],
  )
  at = 500
  assert.deepEqual([(await get(port, '/a')).status, (await get(port, '/a')).status], [200, 429])
})

test('a route has a rate of its own, besides that of the listener; answers say both', async t => {
  const upstream = await startUpstream(t, (_request, response) => {
    response.setHeader('RateLimit', '"upstream";r=9;t=1')
    response.end('fine')
  })
  const { port } = await startDoor(t, {
    upstream,
    now: () => 0,
    rateLimit: listenerLimit('100/m', () => 0),
    routes: [
      { path: '/slow', rate_limit: { rate: '60/h', burst: 2 } },
      { path: '/fast', methods: ['GET'] },
    ],
  })
  const answer = await get(port, '/slow')
  assert.equal(answer.status, 200)
  assert.equal(answer.headers.get('ratelimit-policy'), '"listener";q=100;w=60 | "route";q=2;w=120')
  assert.equal(
    answer.headers.get('ratelimit'),
    '"upstream";r=9;t=1 | "listener";r=99;t=1 | "route";r=1;t=60',
    'what the upstream says of its own limits stays',
  )
  assert.equal((await get(port, '/slow')).status, 200)
  const limited = await get(port, '/slow')
  assert.deepEqual([limited.status, limited.headers.get('retry-after')], [429, '60'])
  assert.equal((await get(port, '/fast')).status, 200)
})

test('without a rate nothing is counted and nothing is said', async t => {
  const upstream = await startUpstream(t, (_request, response) => response.end('fine'))
  const { port } = await startDoor(t, { upstream })
  const { headers } = await get(port, '/a')
  assert.deepEqual([headers.get('ratelimit'), headers.get('ratelimit-policy')], [undefined, undefined])
})

test('a limit that answers later is waited for; one that cannot answer lets nobody through', async t => {
  const upstream = await startUpstream(t, (_request, response) => response.end('fine'))
  const later = (answer: () => Promise<ReturnType<RateLimit['take']>>): RateLimit => ({
    name: 'listener',
    burst: 1,
    windowMs: 1_000,
    take: () => answer().then(taken => taken),
  })
  const permitted = { kind: 'permitted', remaining: 4, resetMs: 0, retryAfterMs: 0 } as const
  const good = await startDoor(t, { upstream, routes: [everything], rateLimit: later(async () => permitted) })
  const answer = await get(good.port, '/a')
  assert.deepEqual([answer.status, answer.headers.get('ratelimit')], [200, '"listener";r=4;t=0'])
  const away = await startDoor(t, {
    upstream,
    rateLimit: later(() => Promise.reject(new Error('the counter is away'))),
  })
  assert.equal((await get(away.port, '/a')).status, 500)
  assert.equal(away.logged.length, 1)
})
