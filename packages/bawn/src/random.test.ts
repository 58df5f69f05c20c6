import assert from 'node:assert/strict'
import { test } from 'node:test'
import { takeRandom } from './random.ts'

test('random bytes are as many as were asked for, never the same, and not changed by what others take', () => {
  const taken: { readonly bytes: Buffer; readonly hex: string }[] = []
  for (let round = 0; round < 5_000; round += 1) {
    for (const count of [8, 18, 32, 256]) {
      const bytes = takeRandom(count)
      assert.equal(bytes.length, count)
      taken.push({ bytes, hex: bytes.toString('hex') })
    }
  }
  assert.equal(new Set(taken.map(({ hex }) => hex.slice(0, 16))).size, taken.length)
  for (const { bytes, hex } of taken) assert.equal(bytes.toString('hex'), hex)
})

test('more than is drawn at a time can be had', () => {
  const [one, other] = [takeRandom(10_000), takeRandom(10_000)]
  assert.equal(one.length, 10_000)
  assert.ok(!one.equals(other))
  assert.equal(takeRandom(0).length, 0)
})
