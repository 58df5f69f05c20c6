import assert from 'node:assert/strict'
import { test } from 'node:test'
import { writeRandom } from './random.ts'

test('no random bytes are handed out twice, also where the pool is filled again', () => {
  const seen = new Set<string>()
  for (let round = 0; round < 3000; round++) {
    const target = Buffer.alloc(24)
    writeRandom(target, 8, 12)
    assert.deepEqual(target.subarray(0, 8), Buffer.alloc(8), 'nothing before the offset')
    assert.deepEqual(target.subarray(20), Buffer.alloc(4), 'nothing after the size')
    seen.add(target.toString('hex', 8, 20))
  }
  assert.equal(seen.size, 3000)
})

test('a whole pool at once', () => {
  const target = Buffer.alloc(8192)
  writeRandom(target, 0, 8192)
  assert.ok(new Set(target).size > 200)
})
