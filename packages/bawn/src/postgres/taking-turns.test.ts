import assert from 'node:assert/strict'
import { randomBytes, randomInt } from 'node:crypto'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { TakingTurns } from './taking-turns.ts'

function busy(ms: number): void {
  const end = performance.now() + ms
  while (performance.now() < end);
}

test('every byte is worked on once and in order, however long it takes and whatever comes meanwhile', async () => {
  for (let round = 0; round < 20; round++) {
    const sent: Buffer[] = []
    const taken: Buffer[] = []
    let isReading = true
    const dear = randomInt(0, 3)
    const turns = new TakingTurns(
      chunk => {
        taken.push(Buffer.from(chunk))
        busy((chunk.length / 65_536) * dear)
      },
      isWaiting => {
        assert.equal(isReading, isWaiting)
        isReading = !isWaiting
      },
    )
    for (let count = 0; count < 20; count++) {
      const chunk = randomBytes(randomInt(1, 200_000))
      sent.push(Buffer.from(chunk))
      turns.push(chunk)
      // A read buffer is used again.
      chunk.fill(0)
      if (randomInt(0, 2) === 0) await nextTurn()
    }
    while (turns.isHolding || !isReading) await nextTurn()
    assert.ok(Buffer.concat(sent).equals(Buffer.concat(taken)))
  }
})

test('others have their turn between two pieces, and nothing is read meanwhile', async () => {
  const events: string[] = []
  const turns = new TakingTurns(
    () => {
      events.push('piece')
      busy(3)
    },
    isWaiting => events.push(isWaiting ? 'wait' : 'read'),
  )
  turns.push(Buffer.alloc(64 * 1024))
  while (turns.isHolding || events.at(-1) !== 'read') {
    events.push('other')
    await nextTurn()
  }
  assert.equal(events.filter(event => event === 'wait').length, 1)
  for (const [at, event] of events.entries()) {
    if (event === 'piece' && at > 0) assert.notEqual(events[at - 1], 'piece', events.join())
  }
  assert.ok(events.filter(event => event === 'piece').length >= 4)
})

test('what costs nothing goes through in one piece, and so do small chunks', async () => {
  const lengths: number[] = []
  const turns = new TakingTurns(
    chunk => lengths.push(chunk.length),
    () => {},
  )
  // A machine that is busy elsewhere makes everything look dear for once.
  for (let tries = 0; tries < 1_000 && lengths.at(-1) !== 256 * 1024; tries++) {
    turns.push(Buffer.alloc(256 * 1024))
    while (turns.isHolding) await nextTurn()
  }
  assert.equal(lengths.at(-1), 256 * 1024)
  turns.push(Buffer.alloc(100))
  assert.equal(lengths.at(-1), 100)
})

test('nothing is worked on for a session that has ended', async () => {
  let pieces = 0
  const turns = new TakingTurns(
    () => {
      pieces += 1
      busy(2)
      if (pieces === 2) turns.drop()
    },
    () => {},
  )
  turns.push(Buffer.alloc(512 * 1024))
  for (let turn = 0; turn < 10; turn++) await nextTurn()
  assert.equal(pieces, 2)
  assert.equal(turns.isHolding, false)
})
