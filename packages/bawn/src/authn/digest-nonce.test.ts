import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createDigestNonces } from './digest-nonce.ts'

const now = Date.UTC(2027, 0, 1)

test('each count of a nonce is used once, in any order within the window', () => {
  const nonces = createDigestNonces({ lifetimeMs: 60_000 })
  const nonce = nonces.issue(now)
  const rows: readonly (readonly [number, string])[] = [
    [3, 'fresh'],
    [1, 'fresh'],
    [2, 'fresh'],
    [2, 'replayed'],
    [3, 'replayed'],
    [1, 'replayed'],
    [10, 'fresh'],
    [4, 'fresh'],
    [4, 'replayed'],
    [265, 'fresh'],
    [10, 'replayed'],
    [9, 'stale'],
    [11, 'fresh'],
    [100_000, 'fresh'],
    [99_999, 'fresh'],
    [265, 'stale'],
    [0xffffffff, 'fresh'],
    [0xffffffff, 'replayed'],
  ]
  for (const [count, expected] of rows) assert.equal(nonces.use(nonce, count, now), expected, String(count))
})

test('parallel requests do not go stale, whichever way they are shuffled', () => {
  for (let round = 0; round < 20; round++) {
    const nonces = createDigestNonces({ lifetimeMs: 60_000 })
    const nonce = nonces.issue(now)
    const counts = Array.from({ length: 200 }, (_, at) => ({ count: at + 1, order: Math.random() }))
    for (const { count } of counts.sort((a, b) => a.order - b.order))
      assert.equal(nonces.use(nonce, count, now), 'fresh')
    for (const { count } of counts) assert.equal(nonces.use(nonce, count, now), 'replayed')
  }
})

test('a nonce ends with its time, and is nobody else’s', () => {
  const nonces = createDigestNonces({ lifetimeMs: 60_000 })
  const nonce = nonces.issue(now)
  assert.equal(nonces.use(nonce, 1, now + 60_000), 'fresh')
  assert.equal(nonces.use(nonce, 2, now + 60_001), 'stale')
  assert.equal(nonces.use(nonces.issue(now), 1, now - 1), 'stale', 'a clock that was set back')
  assert.equal(createDigestNonces({ lifetimeMs: 60_000 }).use(nonces.issue(now), 1, now), 'stale', 'another process')
  for (const forged of [
    '',
    'x',
    nonce.slice(1),
    `${nonce}A`,
    `${nonce}=`,
    nonce.replace(/^./, c => (c === 'A' ? 'B' : 'A')),
  ]) {
    assert.equal(nonces.use(forged, 1, now), 'stale', forged)
  }
  assert.notEqual(nonces.issue(now), nonces.issue(now))
})

test('what had to be forgotten is stale, not new', () => {
  const nonces = createDigestNonces({ lifetimeMs: 60_000, maxNonces: 2 })
  const [first, second, third] = [nonces.issue(now), nonces.issue(now + 1), nonces.issue(now + 2)]
  const unused = nonces.issue(now)
  for (const nonce of [first, second, third]) assert.equal(nonces.use(nonce, 1, now + 10), 'fresh')
  assert.equal(nonces.use(first, 1, now + 10), 'stale', 'its counts are gone, so a replay could not be told')
  assert.equal(nonces.use(unused, 1, now + 10), 'stale', 'as old as one that is forgotten')
  assert.equal(nonces.use(third, 1, now + 10), 'replayed')
  assert.equal(nonces.use(nonces.issue(now + 11), 1, now + 11), 'fresh')
})
