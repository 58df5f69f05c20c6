import assert from 'node:assert/strict'
import { randomBytes, randomInt } from 'node:crypto'
import { test } from 'node:test'
import { closeFrame, FrameWalk } from './frame-walk.ts'

function frame(length: number, masked: boolean, forced?: 126 | 127): Buffer {
  const size = forced ?? (length < 126 ? length : length < 65_536 ? 126 : 127)
  const head = [0x82, size | (masked ? 0x80 : 0)]
  const more = Buffer.alloc(size === 126 ? 2 : size === 127 ? 8 : 0)
  if (size === 126) more.writeUInt16BE(length)
  if (size === 127) more.writeBigUInt64BE(BigInt(length))
  return Buffer.concat([Buffer.from(head), more, masked ? randomBytes(4) : Buffer.alloc(0), Buffer.alloc(length, 0xff)])
}

const frames = [
  ...[0, 1, 125, 126, 127, 300, 65_535, 65_536].flatMap(length => [frame(length, false), frame(length, true)]),
  frame(3, false, 126),
  frame(3, true, 127),
  closeFrame(1001),
]

test('a frame ends where it ends, however its bytes arrive', () => {
  const stream = Buffer.concat(frames)
  const ends = new Set([0])
  for (const index of frames.keys()) ends.add(Buffer.concat(frames.slice(0, index + 1)).length)
  for (let round = 0; round < 50; round++) {
    const walk = new FrameWalk()
    for (let at = 0; at < stream.length; ) {
      const next = Math.min(stream.length, at + randomInt(1, round % 2 === 0 ? 7 : 5_000))
      walk.push(stream.subarray(at, next))
      at = next
      assert.equal(walk.isBetween, ends.has(at), `at ${at}`)
    }
  }
})

test('a frame that says it is enormous is followed, and nothing is kept of it', () => {
  const walk = new FrameWalk()
  walk.push(Buffer.from([0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255]))
  for (let round = 0; round < 100; round++) walk.push(Buffer.alloc(65_536))
  assert.equal(walk.isBetween, false)
})

test('a Close of ours is one whole frame', () => {
  assert.deepEqual([...closeFrame(1008)], [0x88, 2, 0x03, 0xf0])
})
