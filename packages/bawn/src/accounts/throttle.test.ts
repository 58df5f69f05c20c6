import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLoginThrottle } from './throttle.ts'

function start(limits: Partial<Parameters<typeof createLoginThrottle>[0]> = {}) {
  let at = 1_000
  const throttle = createLoginThrottle({ now: () => at, ...limits })
  return {
    wait: (ms: number) => {
      at += ms
    },
    /** Fails as often as it is let; how often that was. */
    fail(user: string, address: string, tries: number): number {
      let permitted = 0
      for (let n = 0; n < tries; n += 1) if (throttle.attempt(user, address).kind === 'permitted') permitted += 1
      return permitted
    },
    succeed(user: string, address: string): boolean {
      const attempt = throttle.attempt(user, address)
      if (attempt.kind === 'permitted') attempt.succeeded()
      return attempt.kind === 'permitted'
    },
    throttle,
  }
}

test('one account from one network: five tries, then one in ten seconds', () => {
  const { fail, wait, throttle } = start()
  assert.equal(fail('alice', '192.0.2.1', 20), 5)
  assert.deepEqual(throttle.attempt('alice', '192.0.2.1'), { kind: 'throttled', retryAfterMs: 10_000 })
  wait(9_999)
  assert.equal(fail('alice', '192.0.2.1', 20), 0)
  wait(1)
  assert.equal(fail('alice', '192.0.2.1', 20), 1)
  wait(3_600_000)
  assert.equal(fail('alice', '192.0.2.1', 20), 5)
})

test('one account from many networks: twenty tries; who logged in lately is not shut out by them', () => {
  const { fail, succeed, wait } = start()
  assert.ok(succeed('alice', '198.51.100.1'))
  let permitted = 0
  for (let n = 0; n < 100; n += 1) permitted += fail('alice', `192.0.2.${n}`, 1)
  assert.equal(permitted, 20)
  assert.equal(fail('alice', '203.0.113.5', 1), 0)
  assert.ok(succeed('alice', '198.51.100.1'))
  // Also there, five wrong ones are enough.
  assert.equal(fail('alice', '198.51.100.1', 20), 5)
  wait(8 * 86_400_000)
  permitted = 0
  for (let n = 0; n < 100; n += 1) permitted += fail('alice', `192.0.2.${n}`, 1)
  assert.equal(permitted, 20)
  assert.equal(fail('alice', '198.51.100.1', 1), 0)
})

test('one network, many names, known or not: fifty tries, then one a second', () => {
  const { fail, wait, succeed } = start()
  let permitted = 0
  for (let n = 0; n < 200; n += 1) permitted += fail(`user${n}`, '192.0.2.1', 1)
  assert.equal(permitted, 50)
  assert.equal(fail('somebody', '192.0.2.1', 5), 0)
  assert.ok(succeed('alice', '192.0.2.2'))
  wait(2_000)
  assert.equal(fail('somebody', '192.0.2.1', 5), 2)
})

test('one IPv6 site, whatever networks it goes through: no more than sixteen, and it shuts nobody out of an account', () => {
  const { fail, succeed, wait, throttle } = start()
  const network = (n: number): string => `2001:db8:1:${n.toString(16)}::1`
  let permitted = 0
  for (let n = 0; n < 1_000; n += 1) permitted += fail('alice', network(n), 1)
  assert.equal(permitted, 10)
  assert.equal(fail('alice', '192.0.2.1', 1), 1, 'there are tries left for everybody else')
  for (let minute = 0; minute < 60; minute += 1) {
    wait(60_000)
    for (let n = 0; n < 1_000; n += 1) permitted += fail('alice', network(n), 1)
    // From where she has never been.
    assert.ok(succeed('alice', `198.51.100.${minute}`) && succeed('alice', `2001:db8:2:${minute}::1`))
  }
  // Half of what the account has from anywhere.
  assert.equal(permitted, 10 + 60 * 3)
  wait(60_000)
  permitted = 0
  for (let n = 0; n < 5_000; n += 1) permitted += fail(`user${n}`, network(n), 1)
  assert.equal(permitted, 16 * 50)
  wait(60_000)
  permitted = 0
  const guess = (n: number) => throttle.attemptNameless('api-key', network(n)).kind
  for (let n = 0; n < 5_000; n += 1) if (guess(n) === 'permitted') permitted += 1
  assert.equal(permitted, 16 * 50)
})

test('guesses of keys and of tokens keep nobody from logging in by password, nor each other', () => {
  const { fail, succeed, wait, throttle } = start()
  const guess = (kind: 'api-key' | 'introspection', tries: number): number =>
    Array.from({ length: tries }, () => throttle.attemptNameless(kind, '192.0.2.1').kind).filter(
      kind => kind === 'permitted',
    ).length
  assert.equal(guess('api-key', 200), 50)
  assert.equal(guess('introspection', 200), 50)
  assert.ok(succeed('alice', '192.0.2.1'))
  assert.equal(fail('bob', '192.0.2.1', 5), 5)
  wait(3_000)
  assert.equal(guess('api-key', 200), 3)
})

test('the same wrong guess again is no other one, from the same network, for two minutes at most', () => {
  let at = 0
  let chance = 1
  const throttle = createLoginThrottle({ now: () => at, random: () => chance })
  const fail = (guess: string, address = '192.0.2.1', user = 'alice'): string => {
    const attempt = throttle.attempt(user, address)
    if (attempt.kind === 'permitted') attempt.failed(guess, 'wrong-password')
    return attempt.kind
  }
  for (let n = 0; n < 100; n += 1) assert.equal(fail('old'), 'permitted')
  assert.equal(throttle.failureOf('alice', '192.0.2.1', 'old'), 'wrong-password')
  for (const [user, address, guess] of [
    ['alice', '192.0.2.2', 'old'],
    ['bob', '192.0.2.1', 'old'],
    ['alice', '192.0.2.1', 'older'],
  ] as const)
    assert.equal(throttle.failureOf(user, address, guess), undefined)
  // Four tries are left.
  assert.deepEqual(
    ['a', 'b', 'c', 'd', 'e'].map(guess => fail(guess)),
    ['permitted', 'permitted', 'permitted', 'permitted', 'throttled'],
  )
  at = 119_999
  assert.equal(throttle.failureOf('alice', '192.0.2.1', 'old'), 'wrong-password')
  at = 120_000
  assert.equal(throttle.failureOf('alice', '192.0.2.1', 'old'), undefined)
  chance = 0.25
  fail('old')
  at = 150_000
  assert.equal(throttle.failureOf('alice', '192.0.2.1', 'old'), undefined, 'each for a time of its own')
})

test('success gives the try back, and so does what could not be judged; once', () => {
  const { throttle, fail } = start()
  for (let n = 0; n < 100; n += 1) {
    const attempt = throttle.attempt('alice', '192.0.2.1')
    assert.ok(attempt.kind === 'permitted')
    if (n % 2 === 0) attempt.succeeded()
    attempt.undecided()
    attempt.undecided()
  }
  assert.equal(fail('alice', '192.0.2.1', 20), 5)
})

test('many tries under way at once are as many tries', () => {
  const { throttle } = start()
  const open = Array.from({ length: 20 }, () => throttle.attempt('alice', '192.0.2.1'))
  assert.equal(open.filter(attempt => attempt.kind === 'permitted').length, 5)
})

test('memory is bounded: the bucket that was used longest ago makes room', () => {
  const { fail } = start({ maxBuckets: 10 })
  assert.equal(fail('alice', '192.0.2.1', 5), 5)
  for (let n = 0; n < 10; n += 1) fail(`${'long'.repeat(10_000)}${n}`, `198.51.100.${n}`, 1)
  assert.equal(fail('alice', '192.0.2.1', 5), 5)
})
