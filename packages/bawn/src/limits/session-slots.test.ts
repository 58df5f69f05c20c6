import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type DatabasePlaces, type Place, type PlaceAnswer, SessionSlots } from './session-slots.ts'

const free = { perIdentity: undefined, group: undefined }
const places = (more: Partial<DatabasePlaces> = {}): DatabasePlaces => ({
  sessions: 1,
  queueLength: 10,
  queueTimeoutMs: 60_000,
  ...more,
})

function taken(answer: PlaceAnswer | Place): () => void {
  assert.equal(answer.kind, 'taken')
  return answer.kind === 'taken' ? answer.leave : assert.fail()
}

function waiting(answer: PlaceAnswer): Extract<PlaceAnswer, { kind: 'waiting' }> {
  return answer.kind === 'waiting' ? answer : assert.fail(`not waiting but ${answer.kind}`)
}

test('who waits is let in in the order of coming, one for each who leaves', async () => {
  const slots = new SessionSlots()
  const leave = taken(slots.ask('shop', 'a', places(), free))
  const order: string[] = []
  const queue = ['b', 'c', 'd'].map(who => {
    const { place } = waiting(slots.ask('shop', who, places(), free))
    return place.then(answer => {
      order.push(who)
      return taken(answer)
    })
  })
  taken(slots.ask('other', 'a', places(), free))
  leave()
  leave()
  const leaveB = await queue[0]
  assert.deepEqual(order, ['b'])
  // Whoever comes now stands behind those who wait.
  const last = waiting(slots.ask('shop', 'e', places(), free))
  leaveB?.()
  ;(await queue[1])?.()
  ;(await queue[2])?.()
  taken(await last.place)()
  assert.deepEqual(order, ['b', 'c', 'd'])
})

test('who leaves the queue, or waits too long, has no place and keeps nobody from one', async () => {
  const slots = new SessionSlots()
  const leave = taken(slots.ask('shop', 'a', places(), free))
  const late = waiting(slots.ask('shop', 'b', places({ queueTimeoutMs: 1 }), free))
  const gone = waiting(slots.ask('shop', 'c', places(), { ...free, perIdentity: 1 }))
  const next = waiting(slots.ask('shop', 'd', places(), free))
  assert.deepEqual(await late.place, { kind: 'refused', reason: 'timed-out' })
  assert.deepEqual(slots.ask('shop', 'c', places(), { ...free, perIdentity: 1 }), {
    kind: 'refused',
    reason: 'identity',
  })
  gone.withdraw()
  const again = waiting(slots.ask('shop', 'c', places(), { ...free, perIdentity: 1 }))
  leave()
  taken(await next.place)()
  taken(await again.place)()
  taken(slots.ask('shop', 'a', places(), free))
})

test('limits of an identity and of a role are refused at once, and given back', () => {
  const slots = new SessionSlots()
  const many = places({ sessions: undefined })
  const group = { name: '0', sessions: 2 }
  const one = taken(slots.ask('shop', 'a', many, { perIdentity: 1, group }))
  assert.deepEqual(slots.ask('shop', 'a', many, { perIdentity: 1, group }), { kind: 'refused', reason: 'identity' })
  taken(slots.ask('shop', 'b', many, { perIdentity: 1, group }))
  assert.deepEqual(slots.ask('shop', 'c', many, { perIdentity: 1, group }), { kind: 'refused', reason: 'role' })
  taken(slots.ask('shop', 'd', many, free))
  one()
  taken(slots.ask('shop', 'c', many, { perIdentity: 1, group }))
})

test('a queue has an end, and a raised limit lets in whoever waits', async () => {
  const slots = new SessionSlots()
  const short = places({ queueLength: 1 })
  taken(slots.ask('shop', 'a', short, free))
  const { place } = waiting(slots.ask('shop', 'b', short, free))
  assert.deepEqual(slots.ask('shop', 'c', short, free), { kind: 'refused', reason: 'queue-full' })
  slots.resize('shop', 2)
  taken(await place)
})
