import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createHashQueue } from './hash-queue.ts'

test('few run, few wait, in order; the next is told that it is too many', async () => {
  const queue = createHashQueue({ concurrency: 2, maxWaiting: 3 })
  const open: (() => void)[] = []
  const begun: number[] = []
  const work = (n: number) => () =>
    new Promise<number>(resolve => {
      begun.push(n)
      open.push(() => resolve(n))
    })
  const results = [1, 2, 3, 4, 5].map(n => queue.run(work(n)))
  await assert.rejects(queue.run(work(6)), { code: 'accounts.busy' })
  assert.equal(queue.runIfIdle(work(7)), undefined)
  assert.deepEqual(begun, [1, 2])
  while (open.length > 0) {
    open.shift()?.()
    await Promise.race(results)
    await new Promise(setImmediate)
  }
  assert.deepEqual(await Promise.all(results), [1, 2, 3, 4, 5])
  assert.deepEqual(begun, [1, 2, 3, 4, 5])
  const idle = queue.runIfIdle(async () => 8)
  assert.equal(await idle, 8)
})

test('work that fails makes room like other work', async () => {
  const queue = createHashQueue({ concurrency: 1, maxWaiting: 2 })
  const failing = [1, 2, 3].map(() => queue.run(() => Promise.reject(new Error('no'))))
  assert.deepEqual(
    (await Promise.allSettled(failing)).map(({ status }) => status),
    ['rejected', 'rejected', 'rejected'],
  )
  assert.equal(await queue.run(async () => 4), 4)
})
