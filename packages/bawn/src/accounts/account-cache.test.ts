import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createAccountCache } from './account-cache.ts'
import type { StoredAccount } from './store.ts'

const account = (name: string): StoredAccount => ({
  ...{
    name,
    roles: [],
    granted: [],
    scram: undefined,
    locked: false,
    createdAt: undefined,
    passwordChangedAt: undefined,
  },
})

const rows: readonly {
  readonly name: string
  readonly expire: 'after_write' | 'after_read'
  /** When it is asked for, in ms after it was read; ttl is 100. */
  readonly at: readonly number[]
  readonly found: readonly boolean[]
}[] = [
  { name: 'by write, it ends ttl after it was read', expire: 'after_write', at: [99, 100], found: [true, false] },
  { name: 'by write, use prolongs nothing', expire: 'after_write', at: [50, 90, 110], found: [true, true, false] },
  { name: 'by read, it ends ttl after its use', expire: 'after_read', at: [99, 198, 298], found: [true, true, false] },
  {
    name: 'by read, it ends ten ttl after it was read, however often it is used',
    expire: 'after_read',
    at: [90, 180, 270, 360, 450, 540, 630, 720, 810, 900, 990, 1_000],
    found: [...Array.from({ length: 11 }, () => true), false],
  },
]

for (const { name, expire, at, found } of rows) {
  test(name, () => {
    let time = 5_000
    const cache = createAccountCache({ size: 10, ttlMs: 100, expire, now: () => time })
    cache.set('alice', account('alice'), 1)
    const answers = at.map(ms => {
      time = 5_000 + ms
      return cache.get('alice', 1)?.account?.name === 'alice'
    })
    assert.deepEqual(answers, found)
  })
}

test('what was read before a change is not found, and an unknown name is kept like a known one', () => {
  const cache = createAccountCache({ size: 10, ttlMs: 100, expire: 'after_write', now: () => 0 })
  cache.set('alice', account('alice'), 1)
  cache.set('nobody', undefined, 1)
  assert.deepEqual(cache.get('nobody', 1), { account: undefined })
  assert.equal(cache.get('alice', 2), undefined)
  assert.equal(cache.get('alice', 1), undefined)
  cache.set('alice', account('alice'), 2)
  cache.delete('alice')
  assert.equal(cache.get('alice', 2), undefined)
})

test('it never holds more than its size; what is used stays', () => {
  const cache = createAccountCache({ size: 3, ttlMs: 100, expire: 'after_read', now: () => 0 })
  for (const name of ['a', 'b', 'c']) cache.set(name, account(name), 1)
  assert(cache.get('a', 1))
  for (const name of ['d', 'e']) cache.set(name, account(name), 1)
  assert.deepEqual(
    ['a', 'b', 'c', 'd', 'e'].filter(name => cache.get(name, 1) !== undefined),
    ['a', 'd', 'e'],
  )
})
