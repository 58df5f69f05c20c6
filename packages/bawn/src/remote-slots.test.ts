import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { type Place, type PlaceAnswer, poolRoom, SessionSlots } from './limits/session-slots.ts'
import { type PostedPlace, remoteSlots, slotsOfWorker } from './remote-slots.ts'

const one = { sessions: 1, queueLength: 10, queueTimeoutMs: 60_000 }
const anyNumber = { perIdentity: undefined, group: undefined }

function waiting(answer: PlaceAnswer): Extract<PlaceAnswer, { kind: 'waiting' }> {
  assert.equal(answer.kind, 'waiting')
  return answer as Extract<PlaceAnswer, { kind: 'waiting' }>
}

test('a worker that ends gives all places back, also one that it waited for', async () => {
  const slots = new SessionSlots()
  const first = slotsOfWorker(slots)
  const worker = remoteSlots(first)
  const has = waiting(worker.ask('shop', 'alice', one, anyNumber))
  assert.equal((await has.place).kind, 'taken')
  worker.ask('shop', 'bob', one, anyNumber)
  worker.ask('shop', 'carol', one, anyNumber)
  await turn()
  first.ended()
  await turn()
  assert.equal(slots.ask('shop', 'dora', one, anyNumber).kind, 'taken')
})

test('nobody waits in another thread for the place of somebody who has left', async () => {
  const slots = new SessionSlots()
  const first = slotsOfWorker(slots)
  let open = 0
  const counted = async (question: Parameters<typeof first.slotAsk>[0]): Promise<PostedPlace> => {
    open += 1
    try {
      return await first.slotAsk(question)
    } finally {
      open -= 1
    }
  }
  const worker = remoteSlots({ ...first, slotAsk: counted })
  const taken = slots.ask('shop', 'alice', one, anyNumber)
  const waits = waiting(worker.ask('shop', 'bob', one, anyNumber))
  let given: Place | undefined
  void waits.place.then(place => {
    given = place
  })
  await turn()
  assert.equal(open, 1)
  waits.withdraw()
  await turn()
  assert.equal(open, 0)
  assert.ok(taken.kind === 'taken')
  taken.leave()
  assert.equal(slots.ask('shop', 'carol', one, anyNumber).kind, 'taken')
  assert.equal(given, undefined)
})

test('who leaves while the place is on its way does not have it', async () => {
  const slots = new SessionSlots()
  const worker = remoteSlots(slotsOfWorker(slots))
  const waits = waiting(worker.ask('shop', 'alice', one, anyNumber))
  let given: Place | undefined
  void waits.place.then(place => {
    given = place
  })
  waits.withdraw()
  await turn()
  assert.equal(given, undefined)
  assert.equal(slots.ask('shop', 'bob', one, anyNumber).kind, 'taken')
})

test('each worker has as many connections of a pool as its part is, and sessions of a database are counted together', async () => {
  const slots = new SessionSlots()
  const [one, other] = [remoteSlots(slotsOfWorker(slots)), remoteSlots(slotsOfWorker(slots))]
  const part = { sessions: 1, queueLength: 1, queueTimeoutMs: 60_000, isOfThread: true }
  for (const worker of [one, other]) {
    assert.equal(worker.ask(poolRoom('shop'), 'alice', part, anyNumber).kind, 'taken')
    const next = waiting(worker.ask(poolRoom('shop'), 'bob', part, anyNumber))
    assert.deepEqual(worker.ask(poolRoom('shop'), 'carol', part, anyNumber), { kind: 'refused', reason: 'queue-full' })
    worker.resize(poolRoom('shop'), 2)
    assert.equal((await next.place).kind, 'taken')
  }
  const noQueue = { sessions: 1, queueLength: 0, queueTimeoutMs: 60_000 }
  assert.equal((await waiting(one.ask('shop', 'alice', noQueue, anyNumber)).place).kind, 'taken')
  assert.equal((await waiting(other.ask('shop', 'alice', noQueue, anyNumber)).place).kind, 'refused')
})
