import assert from 'node:assert/strict'
import { createSecretKey } from 'node:crypto'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { createBlockKey, EnvelopeError, openAcraBlock, sealAcraBlock, sealCell } from './index.ts'

const kek = Buffer.alloc(32, 3)
const key = createBlockKey(kek)
const value = Buffer.from('value')

function failure(run: () => unknown): EnvelopeError {
  try {
    run()
  } catch (error) {
    if (error instanceof EnvelopeError) return error
  }
  return assert.fail('no EnvelopeError')
}

test('nothing of a block key shows, and wiping the bytes it was made of changes nothing', () => {
  const bytes = Buffer.from(kek)
  const context = Buffer.from('zone')
  const made = createBlockKey(bytes, context)
  const container = sealAcraBlock(made, value)
  bytes.fill(0)
  context.fill(0)
  assert.equal(inspect(made, { depth: 9, showHidden: true }), "{ kind: 'block' }")
  assert.deepEqual(openAcraBlock([createBlockKey(kek, Buffer.from('zone'))], container).plaintext, value)
  assert.deepEqual(openAcraBlock([made], container).plaintext, value)
})

test('only bytes of createBlockKey are a key, and never empty ones', () => {
  assert.throws(() => sealAcraBlock({ kind: 'block' }, value), TypeError)
  assert.equal(failure(() => createBlockKey(Buffer.alloc(0))).code, 'envelope.empty')
  assert.equal(failure(() => sealAcraBlock(key, Buffer.alloc(0))).code, 'envelope.empty')
})

test('no keys at all: forged, as with keys that do not fit', () => {
  assert.equal(failure(() => openAcraBlock([], sealAcraBlock(key, value))).code, 'envelope.forged')
})

test('a failed data key, failed data and a missing key give one and the same error', () => {
  const container = sealAcraBlock(key, value)
  const wrapped = Buffer.from(container)
  wrapped[70] = (container[70] ?? 0) ^ 1
  const data = Buffer.from(container)
  data[140] = (container[140] ?? 0) ^ 1
  const errors = [wrapped, data, container].map((bytes, index) =>
    failure(() => openAcraBlock(index === 2 ? [] : [key], bytes)),
  )
  assert.equal(new Set(errors.map(error => `${error.code} ${error.message} ${error.cause}`)).size, 1)
})

test('a right frame round a data key of another length is refused, however it is sealed', () => {
  const container = sealAcraBlock(key, value)
  for (const size of [1, 16, 31, 33, 64]) {
    const wrapped = sealCell(createSecretKey(kek), Buffer.alloc(size, 1))
    const forged = Buffer.concat([container.subarray(0, 18), wrapped, container.subarray(94)])
    forged.writeUInt32LE(forged.length - 4, 4)
    forged.writeUInt16LE(wrapped.length, 16)
    assert.equal(failure(() => openAcraBlock([key], forged)).code, 'envelope.malformed')
  }
})
