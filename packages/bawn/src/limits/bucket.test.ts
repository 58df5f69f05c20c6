import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type BucketLimit, createBuckets } from './bucket.ts'
import { createNumbers } from './numbers.ts'

const limit: BucketLimit = { burst: 3, intervalMs: 100 }

test('a burst at once, then one each interval, and never more than a burst however long nobody came', () => {
  const buckets = createBuckets(createNumbers(10))
  const takeAll = (at: number): number => {
    let count = 0
    while (buckets.wait('a', limit, at) === 0 && count < 100) {
      buckets.take('a', limit, at)
      count += 1
    }
    return count
  }
  assert.equal(takeAll(0), 3)
  assert.equal(buckets.wait('a', limit, 0), 100)
  assert.equal(buckets.wait('a', limit, 99), 1)
  assert.equal(takeAll(99), 0)
  assert.equal(takeAll(100), 1)
  assert.equal(takeAll(350), 2)
  assert.equal(takeAll(1_000_000), 3)
  assert.equal(buckets.wait('b', limit, 0), 0)
})

test('what is left, and when it is full', () => {
  const buckets = createBuckets(createNumbers(10))
  assert.deepEqual(buckets.left('a', limit, 0), { remaining: 3, fullMs: 0 })
  buckets.take('a', limit, 0)
  assert.deepEqual(buckets.left('a', limit, 0), { remaining: 2, fullMs: 100 })
  assert.deepEqual(buckets.left('a', limit, 40), { remaining: 2, fullMs: 60 })
  buckets.take('a', limit, 40)
  assert.deepEqual(buckets.left('a', limit, 40), { remaining: 1, fullMs: 160 })
  buckets.giveBack('a', limit)
  assert.deepEqual(buckets.left('a', limit, 40), { remaining: 2, fullMs: 60 })
  assert.deepEqual(buckets.left('a', limit, 100), { remaining: 3, fullMs: 0 })
})

test('over any time no more than a burst and the rate get through', () => {
  for (let round = 0; round < 50; round += 1) {
    const chosen = { burst: 1 + Math.floor(Math.random() * 20), intervalMs: 1 + Math.random() * 50 }
    const buckets = createBuckets(createNumbers(10))
    let [at, taken] = [0, 0]
    for (let step = 0; step < 500; step += 1) {
      at += Math.random() * 20
      if (buckets.wait('a', chosen, at) > 0) continue
      buckets.take('a', chosen, at)
      taken += 1
      assert.ok(taken <= chosen.burst + at / chosen.intervalMs + 1e-6, `${taken} within ${at} ms`)
    }
    // Waiting as long as it says is always enough.
    const wait = buckets.wait('a', chosen, at)
    assert.equal(buckets.wait('a', chosen, at + wait), 0)
  }
})

test('memory is bounded: the bucket that was used longest ago makes room', () => {
  const buckets = createBuckets(createNumbers(2))
  for (const key of ['a', 'b', 'a', 'c']) buckets.take(key, limit, 0)
  assert.deepEqual(
    ['a', 'b', 'c'].map(key => buckets.left(key, limit, 0).remaining),
    [1, 3, 2],
  )
})
