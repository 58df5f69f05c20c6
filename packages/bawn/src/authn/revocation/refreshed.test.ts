import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRefreshed, type Dated, retryMs } from './refreshed.ts'

/** A source that answers what the test says, when the test says so. */
function source(cacheMs = 1_000) {
  let now = 1_000_000
  const asked: ((answer: Dated<string> | Error) => void)[] = []
  const befores: (string | undefined)[] = []
  const failures: string[] = []
  const refreshed = createRefreshed<string>(
    before =>
      new Promise((resolve, reject) => {
        befores.push(before)
        asked.push(answer => (answer instanceof Error ? reject(answer) : resolve(answer)))
      }),
    { cacheMs, clock: () => now, onFailure: cause => failures.push(String(cause)) },
  )
  return {
    refreshed,
    befores,
    failures,
    pass: (ms: number) => {
      now += ms
    },
    now: () => now,
    asked: () => asked.length,
    /** Answers the last question. */
    async answer(answer: Dated<string> | Error): Promise<void> {
      await new Promise(resolve => setImmediate(resolve))
      asked.at(-1)?.(answer)
      await new Promise(resolve => setImmediate(resolve))
    },
    async get(answer?: Dated<string> | Error): Promise<string> {
      const found = refreshed.get().then(
        ({ value }) => value,
        (error: Error) => error.message,
      )
      if (answer !== undefined) await this.answer(answer)
      return found
    },
  }
}

test('is asked once while it is fresh, and once by everybody together', async () => {
  const one = source()
  const all = Promise.all([one.get(), one.get(), one.get()])
  await one.answer({ value: 'a', until: one.now() + 60_000 })
  assert.deepEqual(await all, ['a', 'a', 'a'])
  one.pass(999)
  assert.equal(await one.get(), 'a')
  assert.equal(one.asked(), 1)
  one.pass(1)
  assert.equal(await one.get({ value: 'b', until: one.now() + 60_000 }), 'b')
  assert.deepEqual(one.befores, [undefined, 'a'])
})

test('nothing is believed beyond what it says itself', async () => {
  const one = source()
  await one.get({ value: 'a', until: one.now() + 100 })
  assert.equal((await one.refreshed.get()).until, one.now() + 100)
  one.pass(100)
  assert.equal(await one.get(new Error('away')), 'away')
})

test('while it is away, the last answer goes on, and one attempt in a while is made beside', async () => {
  const one = source()
  await one.get({ value: 'a', until: one.now() + 60_000 })
  one.pass(1_000)
  assert.equal(await one.get(new Error('away')), 'a')
  assert.equal(one.asked(), 2)
  assert.equal((await one.refreshed.get()).until, one.now() + retryMs)
  assert.equal(one.asked(), 2)
  one.pass(retryMs)
  // Nobody waits for this one.
  assert.equal(await one.get(), 'a')
  await one.answer(new Error('still away'))
  assert.equal(one.asked(), 3)
  one.pass(retryMs)
  assert.equal(await one.get(), 'a')
  await one.answer({ value: 'b', until: one.now() + 60_000 })
  assert.equal(await one.get(), 'b')
  // Told once for each time that it went away.
  assert.deepEqual(one.failures, ['Error: away'])
})

test('when the last answer ends while it is away, there is none', async () => {
  const one = source()
  await one.get({ value: 'a', until: one.now() + 5_000 })
  one.pass(1_000)
  await one.get(new Error('away'))
  one.pass(4_000)
  assert.equal(await one.get(new Error('still away')), 'still away')
  assert.equal(await one.get(), 'still away')
  assert.equal(one.asked(), 3)
  one.pass(retryMs)
  assert.equal(await one.get({ value: 'b', until: one.now() + 1 }), 'b')
})

test('what failed from the beginning is not asked at every turn', async () => {
  const one = source()
  assert.equal(await one.get(new Error('away')), 'away')
  assert.equal(await one.get(), 'away')
  assert.equal(one.asked(), 1)
  one.pass(retryMs)
  assert.equal(await one.get({ value: 'a', until: one.now() + 1 }), 'a')
})

test('a change is loaded at once, and again while it cannot be', async () => {
  const one = source(Number.POSITIVE_INFINITY)
  await one.get({ value: 'a', until: one.now() + 60_000 })
  one.refreshed.invalidate()
  assert.equal(await one.get(new Error('half written')), 'a')
  one.pass(retryMs)
  assert.equal(await one.get(), 'a')
  await one.answer(new Error('half written'))
  one.refreshed.invalidate()
  // Changed again: looked at without waiting for the next attempt to be due, but beside.
  assert.equal(await one.get(), 'a')
  await one.answer({ value: 'b', until: one.now() + 60_000 })
  assert.equal(await one.get(), 'b')
  assert.equal(one.asked(), 4)
})

test('a change while it is loaded is loaded too', async () => {
  const one = source(Number.POSITIVE_INFINITY)
  const first = one.refreshed.get()
  await new Promise(resolve => setImmediate(resolve))
  one.refreshed.invalidate()
  await one.answer({ value: 'a', until: one.now() + 60_000 })
  assert.equal((await first).value, 'a')
  assert.equal(await one.get({ value: 'b', until: one.now() + 60_000 }), 'b')
})

test('a clock that is set back makes nothing fresh', async () => {
  const one = source()
  await one.get({ value: 'a', until: one.now() + 60_000 })
  one.pass(-10_000)
  assert.equal(await one.get({ value: 'b', until: one.now() + 60_000 }), 'b')
})
