import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rateLimitOptions, routeRateLimitOptions } from './option.ts'
import { createRateLimiter, type RateLimit, type RateTaken } from './rate-limit.ts'

const taken = (limit: RateLimit, address = '192.0.2.1'): RateTaken => {
  const answer = limit.take(address)
  assert(!(answer instanceof Promise))
  return answer
}
const count = (limit: RateLimit, tries: number, address?: string): number =>
  Array.from({ length: tries }, () => taken(limit, address).kind).filter(kind => kind === 'permitted').length

test('what may be written, and what it means', () => {
  const rows = [
    [{ rate: '50/s' }, 50, 1_000],
    [{ rate: '50/s', burst: 100 }, 100, 2_000],
    [{ rate: '300/m', per: 'address' }, 300, 60_000],
    [{ rate: '1000/h', burst: 1 }, 1, 3_600],
  ] as const
  const limiter = createRateLimiter({ now: () => 0 })
  for (const [options, burst, windowMs] of rows) {
    const limit = limiter.limit('listener web', 'listener', rateLimitOptions.parse(options))
    assert.deepEqual([limit.burst, limit.windowMs], [burst, windowMs], options.rate)
  }
  for (const bad of [
    {},
    { rate: 50 },
    { rate: '0/s' },
    { rate: '-1/s' },
    { rate: '1/d' },
    { rate: '1.5/s' },
    { rate: '50/s', burst: 0 },
    { rate: '50/s', per: 'client' },
    { rate: '50/s', brust: 1 },
  ])
    assert.equal(rateLimitOptions.safeParse(bad).success, false, JSON.stringify(bad))
})

test('a burst at once, then the rate, for each network', () => {
  let at = 0
  const limiter = createRateLimiter({ now: () => at })
  const limit = limiter.limit('listener web', 'listener', rateLimitOptions.parse({ rate: '10/s', burst: 20 }))
  assert.deepEqual(taken(limit), { kind: 'permitted', remaining: 19, resetMs: 100, retryAfterMs: 0 })
  assert.equal(count(limit, 100), 19)
  assert.deepEqual(taken(limit), { kind: 'limited', remaining: 0, resetMs: 2_000, retryAfterMs: 100 })
  assert.equal(count(limit, 5, '192.0.2.2'), 5)
  at = 1_000
  assert.equal(count(limit, 100), 10)
  assert.equal(count(limit, 15, '2001:db8::1'), 15)
  assert.equal(count(limit, 15, '2001:db8::2'), 5, 'one customer')
  assert.equal(count(limit, 15, '2001:db8:0:1::1'), 15)
})

test('whoever has a /48 may come as often as sixteen networks, however many of its own it goes through', () => {
  let at = 0
  const limiter = createRateLimiter({ now: () => at })
  const limit = limiter.limit('listener web', 'listener', rateLimitOptions.parse({ rate: '10/s', burst: 20 }))
  const rotate = (tries: number): number =>
    Array.from({ length: tries }, (_, n) => count(limit, 1, `2001:db8:1:${n.toString(16)}::1`)).filter(one => one === 1)
      .length
  assert.equal(rotate(2_000), 320)
  assert.deepEqual(taken(limit, '2001:db8:1:ffff::1'), {
    kind: 'limited',
    remaining: 0,
    resetMs: 2_000,
    retryAfterMs: 7,
  })
  assert.equal(count(limit, 30, '2001:db8:2::1'), 20, 'another site')
  assert.equal(count(limit, 30, '192.0.2.9'), 20)
  at = 1_000
  assert.equal(rotate(2_000), 160)
})

test('two limits count for themselves; the same one goes on after a reload, and begins anew with other numbers', () => {
  const limiter = createRateLimiter({ now: () => 0 })
  const made = (scope: string, rate: string) => limiter.limit(scope, 'route', rateLimitOptions.parse({ rate }))
  assert.equal(count(made('route /a', '5/s'), 10), 5)
  assert.equal(count(made('route /b', '5/s'), 10), 5)
  assert.equal(count(made('route /a', '5/s'), 10), 0)
  assert.equal(count(made('route /a', '6/s'), 10), 6)
})

test('memory is bounded', () => {
  const limiter = createRateLimiter({ now: () => 0, maxBuckets: 100 })
  const limit = limiter.limit('listener web', 'listener', rateLimitOptions.parse({ rate: '1/s' }))
  for (let n = 0; n < 10_000; n += 1) taken(limit, `10.0.${n >> 8}.${n & 255}`)
  assert.equal(taken(limit, '10.0.39.15').kind, 'limited')
  assert.equal(taken(limit, '10.0.0.0').kind, 'permitted', 'forgotten')
})

test('whoever invents a value for each request fills a table apart, which is bounded too', () => {
  const limiter = createRateLimiter({ now: () => 0, maxBuckets: 100 })
  const byAddress = limiter.limit('listener web', 'listener', rateLimitOptions.parse({ rate: '1/s' }))
  const options = routeRateLimitOptions.parse({ rate: '1/s', per: { header: 'X-Tenant' } })
  const byHeader = limiter.limit('route /a', 'route', options)
  const takenBy = (caller: string) => Object(byHeader.take('192.0.2.1', caller)).kind
  assert.equal(taken(byAddress).kind, 'permitted')
  assert.equal(takenBy('first'), 'permitted')
  for (let n = 0; n < 60_000; n += 1) takenBy(`invented ${n}`)
  assert.equal(takenBy('invented 59999'), 'limited')
  assert.equal(takenBy('first'), 'permitted', 'forgotten')
  assert.equal(taken(byAddress).kind, 'limited', 'not forgotten')
})
