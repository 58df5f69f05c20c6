import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { createDigestNonces, parseNonceKey } from './digest-nonce.ts'
import { createNoncePlace, nonceThreadEnded, openNonceMemory } from './nonce-memory.ts'

const now = Date.UTC(2027, 0, 1)
/** Of a process of its own, with one thread. */
const own = (place = createNoncePlace(0), thread = 1) =>
  createDigestNonces(openNonceMemory(place, thread), { lifetimeMs: 60_000, realm: 'bawn' })

test('each count of a nonce is used once, in any order within the window', () => {
  const nonces = own()
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
    const nonces = own()
    const nonce = nonces.issue(now)
    const counts = Array.from({ length: 200 }, (_, at) => ({ count: at + 1, order: Math.random() }))
    for (const { count } of counts.sort((a, b) => a.order - b.order))
      assert.equal(nonces.use(nonce, count, now), 'fresh')
    for (const { count } of counts) assert.equal(nonces.use(nonce, count, now), 'replayed')
  }
})

test('a nonce ends with its time, and is nobody else’s', () => {
  const nonces = own()
  const nonce = nonces.issue(now)
  assert.equal(nonces.use(nonce, 1, now + 60_000), 'fresh')
  assert.equal(nonces.use(nonce, 2, now + 60_001), 'stale')
  assert.equal(nonces.use(nonces.issue(now), 1, now - 1), 'stale', 'a clock that was set back')
  assert.equal(own().use(nonces.issue(now), 1, now), 'stale', 'another process')
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
  // One row of eight.
  const nonces = own(createNoncePlace(0, 1))
  const first = nonces.issue(now)
  const unused = nonces.issue(now)
  const others = Array.from({ length: 8 }, (_, at) => nonces.issue(now + 1 + at))
  for (const nonce of [first, ...others]) assert.equal(nonces.use(nonce, 1, now + 10), 'fresh')
  assert.equal(nonces.use(first, 1, now + 10), 'stale', 'its counts are gone, so a replay could not be told')
  assert.equal(nonces.use(unused, 1, now + 10), 'stale', 'as old as one that is forgotten')
  for (const nonce of others) assert.equal(nonces.use(nonce, 1, now + 10), 'replayed')
  assert.equal(nonces.use(nonces.issue(now + 11), 1, now + 11), 'fresh')
})

test('of a process all threads are one, and so is what a reload makes', () => {
  const place = createNoncePlace(now)
  const [one, other] = [own(place, 2), own(place, 3)]
  const nonce = one.issue(now)
  assert.deepEqual([other.use(nonce, 1, now), one.use(nonce, 1, now)], ['fresh', 'replayed'])
  assert.deepEqual(
    [one.use(nonce, 3, now), other.use(nonce, 3, now), other.use(nonce, 2, now)],
    ['fresh', 'replayed', 'fresh'],
  )
  const next = one.successor(nonce, 1, now + 45_000)
  assert(next !== undefined)
  assert.equal(other.successor(nonce, 2, now + 46_000), next)
  const longer = createDigestNonces(openNonceMemory(place, 4), { lifetimeMs: 600_000, realm: 'bawn' })
  assert.equal(one.use(nonce, 9, now + 60_001), 'stale')
  assert.equal(longer.use(nonce, 1, now + 60_001), 'replayed', 'it lives longer now, and what was used is used')
  const elsewhere = createDigestNonces(openNonceMemory(place, 5), { lifetimeMs: 60_000, realm: 'other' })
  assert.equal(elsewhere.use(one.issue(now), 1, now), 'stale', 'another realm has another key')
})

/** Uses each count of a nonce once, and says how often it was the first. */
const using = `
const { workerData, parentPort } = require('node:worker_threads')
Promise.all([import(workerData.memory), import(workerData.code)]).then(([{ openNonceMemory }, { createDigestNonces }]) => {
  const { place, thread, nonces: all, counts, now } = workerData
  const nonces = createDigestNonces(openNonceMemory(place, thread), { lifetimeMs: 60_000, realm: 'bawn' })
  let first = 0
  for (let count = 1; count <= counts; count++) for (const nonce of all) if (nonces.use(nonce, count, now) === 'fresh') first++
  parentPort.postMessage(first)
})`
const [memory, code] = ['nonce-memory.ts', 'digest-nonce.ts'].map(name => new URL(name, import.meta.url).href)

test('several threads at once let each count through once', async () => {
  const place = createNoncePlace(0)
  const nonces = Array.from({ length: 20 }, () => own(place).issue(now))
  const counts = 200
  const used = await Promise.all(
    [2, 3, 4].map(async thread => {
      const workerData = { place, thread, nonces, counts, now, memory, code }
      const worker = new Worker(using, { eval: true, workerData })
      return Number((await once(worker, 'message'))[0])
    }),
  )
  assert.ok(used.every(one => one <= nonces.length * counts))
  // One that is far behind may find its counts stale: then nobody used them, and nobody can.
  const inAll = used.reduce((sum, one) => sum + one, 0)
  assert.ok(inAll <= nonces.length * counts && inAll >= nonces.length * (counts / 2), String(inAll))
})

test('a thread that ended while it wrote makes no count new again, and keeps nobody out', () => {
  const place = createNoncePlace(0, 1)
  const nonces = own(place)
  const [used, unused] = [nonces.issue(now), nonces.issue(now)]
  assert.equal(nonces.use(used, 1, now), 'fresh')
  // As it is left behind: thread 7 is inside, and at the first entry.
  new Int32Array(place.memory).set([7, 1])
  nonceThreadEnded(place, 8, 1)
  assert.equal(new Int32Array(place.memory)[0], 7, 'another one that ended')
  nonceThreadEnded(place, 7, 1)
  assert.equal(nonces.use(used, 1, now), 'stale')
  assert.equal(nonces.use(unused, 1, now), 'stale')
  assert.equal(nonces.use(nonces.issue(now + 1), 1, now + 1), 'fresh')
})

test('near its end a nonce has one successor, whoever asks, and is itself good to its end', () => {
  const nonces = own()
  const nonce = nonces.issue(now)
  assert.equal(nonces.successor(nonce, 1, now + 50_000), undefined, 'never used')
  nonces.use(nonce, 1, now)
  assert.equal(nonces.successor(nonce, 1, now + 44_999), undefined)
  const next = nonces.successor(nonce, 1, now + 45_000)
  assert(next !== undefined)
  assert.equal(nonces.successor(nonce, 7, now + 59_000), next)
  assert.equal(nonces.use(nonce, 2, now + 60_000), 'fresh')
  assert.equal(nonces.use(next, 1, now + 60_000), 'fresh')
  assert.equal(nonces.use(next, 2, now + 105_000), 'fresh', 'its own time begins with it')
  const other = nonces.issue(now)
  nonces.use(other, 0xffff_0000, now)
  assert.notEqual(nonces.successor(other, 0xffff_0000, now), undefined, 'counts run out too')
})

const secret = Buffer.alloc(32, 7).toString('base64')
const shared = (startedAt: number, realm = 'bawn') =>
  createDigestNonces(openNonceMemory(createNoncePlace(startedAt), 1), {
    ...{ lifetimeMs: 60_000, realm },
    key: parseNonceKey(secret, realm),
  })

test('nodes with one key believe each other’s nonces; each counts for itself', () => {
  const [one, other] = [shared(now - 60_000), shared(now - 60_000)]
  const nonce = one.issue(now)
  assert.deepEqual([one.use(nonce, 1, now), other.use(nonce, 1, now)], ['fresh', 'fresh'])
  assert.deepEqual([one.use(nonce, 1, now), other.use(nonce, 1, now)], ['replayed', 'replayed'])
  assert.equal(other.use(nonce, 2, now + 60_001), 'stale')
  assert.equal(shared(now - 60_000, 'other').use(nonce, 1, now), 'stale', 'another realm has another key')
  assert.equal(own().use(nonce, 1, now), 'stale')
})

test('clocks of nodes may differ a little', () => {
  const [ahead, behind] = [shared(now - 60_000), shared(now - 60_000)]
  assert.equal(behind.use(ahead.issue(now + 9_000), 1, now), 'fresh')
  assert.equal(behind.use(ahead.issue(now + 11_000), 1, now), 'stale')
  assert.equal(ahead.use(ahead.issue(now), 1, now - 1), 'stale', 'its own clock it knows')
})

test('what was used before a node was started it does not know, and takes no nonce that is as old', () => {
  const before = shared(now - 60_000)
  const nonce = before.issue(now - 5_000)
  assert.equal(before.use(nonce, 1, now), 'fresh')
  const restarted = shared(now)
  assert.equal(restarted.use(nonce, 1, now + 1), 'stale', 'it would be a replay')
  assert.equal(restarted.use(before.issue(now + 9_000), 1, now + 9_000), 'stale', 'by the other clock it may be as old')
  assert.equal(restarted.use(before.issue(now + 11_000), 1, now + 11_000), 'fresh')
  assert.equal(restarted.use(restarted.issue(now), 1, now), 'fresh', 'its own are good at once')
})

test('a key that is none stops the start, and is not in the message', () => {
  for (const text of ['', 'short', Buffer.alloc(31, 7).toString('base64'), `${secret}!`, 'x'.repeat(2_000)]) {
    assert.throws(
      () => parseNonceKey(text, 'bawn'),
      (error: Error) => 'code' in error && error.code === 'authn.bad_nonce_key' && !error.message.includes('BwcH'),
      text.slice(0, 20),
    )
  }
})
