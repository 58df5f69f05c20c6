import assert from 'node:assert/strict'
import { createSecretKey } from 'node:crypto'
import { test } from 'node:test'
import { withSeed } from '../testing/seeded.ts'
import { deriveDataKey, deriveDataKeyOfDek } from './kdf.ts'

test('both ways to a data key lead to the same one', () => {
  withSeed(random => {
    for (let round = 0; round < 200; round++) {
      const dek = random.bytes(32)
      const context = random.bytes(random.pick([0, 0, 1, 24, 500]))
      const length = random.integer(1, 0xffff_ffff)
      const expected = deriveDataKey(createSecretKey(dek), length, context, 32)
      assert.ok(deriveDataKeyOfDek(dek, length, context).equals(expected))
    }
  })
})

test('a shorter key is the beginning of the longer one', () => {
  const key = createSecretKey(Buffer.alloc(5, 1))
  const [long, short] = [32, 16].map(size => deriveDataKey(key, 7, Buffer.alloc(0), size).export())
  assert.deepEqual(short, long?.subarray(0, 16))
})
