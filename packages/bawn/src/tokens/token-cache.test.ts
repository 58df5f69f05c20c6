import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTokenCache } from './token-cache.ts'

test('what is put is found, by the digest and not by the token', () => {
  const cache = createTokenCache<number>({ maxEntries: 10, maxWeight: 1_000 })
  const digest = cache.digestOf('token')
  assert.notEqual(digest, cache.digestOf('token '))
  cache.set(digest, 7, 1)
  assert.equal(cache.get(digest), 7)
  assert.equal(cache.get('token'), undefined)
  cache.delete(digest)
  assert.equal(cache.get(digest), undefined)
})

test('it never holds more entries or more weight than it may', () => {
  const cache = createTokenCache<number>({ maxEntries: 10, maxWeight: 100 })
  for (let n = 0; n < 1_000; n++) {
    cache.set(`${n % 40}`, n, 1 + (n % 7))
    if (n % 3 === 0) cache.delete(`${(n * 7) % 40}`)
    cache.get(`${(n * 11) % 40}`)
    assert.ok(cache.size <= 10)
  }
  const heavy = createTokenCache<number>({ maxEntries: 1_000, maxWeight: 100 })
  for (let n = 0; n < 1_000; n++) {
    heavy.set(`${n}`, n, 10)
    assert.ok(heavy.size <= 10)
  }
  heavy.set('too heavy', 1, 51)
  assert.equal(heavy.get('too heavy'), undefined)
})

test('what is asked for stays, what is not goes', () => {
  const cache = createTokenCache<number>({ maxEntries: 10, maxWeight: 1_000 })
  cache.set('hot', 1, 1)
  for (let n = 0; n < 100; n++) {
    cache.set(`cold ${n}`, n, 1)
    assert.equal(cache.get('hot'), 1)
  }
  assert.equal(cache.get('cold 0'), undefined)
})
