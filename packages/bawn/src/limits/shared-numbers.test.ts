import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { createBuckets } from './bucket.ts'
import { numbersPurposes } from './numbers.ts'
import { createNumbersPlace, numbersThreadEnded, processNow, sharedNumbers } from './shared-numbers.ts'

test('numbers are those that were set last, by key and by purpose', () => {
  const numbers = sharedNumbers(createNumbersPlace(), 1)
  const [rates, trusted] = [numbers('rates', 0), numbers('login trusted', 0)]
  const expected = new Map<string, number>()
  for (let n = 0; n < 30_000; n++) {
    const key = `key ${n % 9_000}`
    rates.set(key, n)
    expected.set(key, n)
  }
  for (const [key, value] of expected) assert.equal(rates.get(key), value)
  assert.equal(trusted.get('key 1'), undefined)
  assert.equal(rates.get('key 9001'), undefined)
})

test('memory is bounded, and what was set lately stays', () => {
  const numbers = sharedNumbers(createNumbersPlace(), 1)('login pairs', 0)
  const max = numbersPurposes['login pairs']
  for (let n = 0; n < 2 * max; n++) numbers.set(`key ${n}`, n)
  const kept = (from: number): number =>
    Array.from({ length: 1_000 }, (_, n) => numbers.get(`key ${from + n}`)).filter(one => one !== undefined).length
  // Rows fill unevenly: a few are kept for longer than that.
  assert.ok(kept(0) < 250, `${kept(0)}`)
  assert.equal(kept(2 * max - 1_000), 1_000)
})

/** Takes from one bucket until it is empty, a thousand times at once with others. */
const taking = `
const { workerData, parentPort } = require('node:worker_threads')
Promise.all([import(workerData.numbers), import(workerData.bucket)]).then(([{ sharedNumbers }, { createBuckets }]) => {
  const numbers = sharedNumbers(workerData.place, workerData.thread)('rates', 0)
  const buckets = createBuckets(numbers)
  let taken = 0
  for (let n = 0; n < 20_000; n++) {
    numbers.alone(() => {
      if (buckets.wait('one', workerData.limit, 0) > 0) return
      buckets.take('one', workerData.limit, 0)
      taken += 1
    })
  }
  parentPort.postMessage(taken)
})`

test('of one bucket no more is taken by several threads than by one', async () => {
  const place = createNumbersPlace()
  const limit = { burst: 15_000, intervalMs: 1_000 }
  const start = (thread: number): Worker => {
    const numbers = new URL('shared-numbers.ts', import.meta.url).href
    const bucket = new URL('bucket.ts', import.meta.url).href
    return new Worker(taking, { eval: true, workerData: { place, thread, limit, numbers, bucket } })
  }
  const taken = await Promise.all([2, 3, 4].map(async thread => Number((await once(start(thread), 'message'))[0])))
  assert.equal(
    taken.reduce((sum, one) => sum + one, 0),
    limit.burst,
  )
  const numbers = sharedNumbers(place, 1)('rates', 0)
  assert.ok(createBuckets(numbers).wait('one', limit, 0) > 0)
})

test('a thread that has ended keeps nobody out', async () => {
  const place = createNumbersPlace()
  const inside = new Worker(
    `const { workerData } = require('node:worker_threads')
     import(workerData.numbers).then(({ sharedNumbers }) =>
       sharedNumbers(workerData.place, 2)('rates', 0).alone(() => { for (;;) Atomics.store(workerData.signal, 0, 1) }))`,
    {
      eval: true,
      workerData: {
        place,
        numbers: new URL('shared-numbers.ts', import.meta.url).href,
        signal: new Int32Array(new SharedArrayBuffer(4)),
      },
    },
  )
  const word = new Int32Array(place.memory, 0, 1)
  while (Atomics.load(word, 0) !== 2) await new Promise(resolve => setTimeout(resolve, 5))
  await inside.terminate()
  numbersThreadEnded(place, 3, 1)
  assert.equal(Atomics.load(word, 0), 2, 'another one has ended')
  numbersThreadEnded(place, 2, 1)
  const numbers = sharedNumbers(place, 1)('rates', 0)
  numbers.set('a', 1)
  assert.equal(numbers.get('a'), 1)
})

test('time only grows', () => {
  const at = processNow()
  assert.ok(processNow() >= at)
})
