import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32c } from './crc32c.ts'
import {
  EnvelopeError,
  generateKeyPair,
  importPrivateKey,
  importPublicKey,
  openAcraStruct,
  publicKeyOf,
  sealAcraStruct,
} from './index.ts'

const current = importPrivateKey(generateKeyPair().privateKey)
const earlier = importPrivateKey(generateKeyPair().privateKey)
const large = importPrivateKey(generateKeyPair('P-384').privateKey)
const value = Buffer.from('value')
const container = sealAcraStruct(publicKeyOf(earlier), value)

function failure(run: () => unknown): EnvelopeError {
  try {
    run()
  } catch (error) {
    if (error instanceof EnvelopeError) return error
  }
  return assert.fail('no EnvelopeError')
}

/** With another throwaway key of right checksum. */
function withPoint(point: Buffer): Buffer {
  const bytes = Buffer.from(container)
  point.copy(bytes, 20)
  bytes.writeUInt32LE(crc32c(bytes.subarray(8, 53), 8), 16)
  return bytes
}

test('every key is tried; those of other curves are passed over', () => {
  assert.deepEqual(openAcraStruct([large, current, earlier], container), value)
  assert.equal(failure(() => openAcraStruct([large, current], container)).code, 'envelope.forged')
})

test('only P-256 has room', () => {
  assert.equal(failure(() => sealAcraStruct(publicKeyOf(large), value)).code, 'envelope.unsupported')
})

test('an empty value is refused', () => {
  assert.equal(failure(() => sealAcraStruct(publicKeyOf(current), Buffer.alloc(0))).code, 'envelope.empty')
})

test('a throwaway key off the curve is malformed, with keys and without', () => {
  const bytes = withPoint(Buffer.concat([Buffer.of(2), Buffer.alloc(32, 0xff)]))
  for (const keys of [[], [earlier], [large], [current, earlier]]) {
    assert.equal(failure(() => openAcraStruct(keys, bytes)).code, 'envelope.malformed')
  }
})

test('a hybrid throwaway key is malformed', () => {
  assert.equal(failure(() => openAcraStruct([earlier], withPoint(Buffer.of(6)))).code, 'envelope.malformed')
})

test('a failed data key, failed data, another throwaway key and no key give one and the same error', () => {
  const flip = (at: number): Buffer => {
    const bytes = Buffer.from(container)
    bytes[at] = (container[at] ?? 0) ^ 1
    return bytes
  }
  const stranger = sealAcraStruct(publicKeyOf(current), value)
  const swapped = Buffer.concat([container.subarray(0, 8), stranger.subarray(8, 53), container.subarray(53)])
  const errors = [
    failure(() => openAcraStruct([earlier], flip(120))),
    failure(() => openAcraStruct([earlier], flip(191))),
    failure(() => openAcraStruct([earlier], swapped)),
    failure(() => openAcraStruct([], container)),
  ]
  assert.equal(new Set(errors.map(error => `${error.code} ${error.message} ${error.cause}`)).size, 1)
})

test('every container has a throwaway key of its own, both parities come up, and all open', () => {
  const publicKey = importPublicKey(generateKeyPair().publicKey)
  const seen = new Set<string>()
  const parities = new Set<number | undefined>()
  for (let round = 0; round < 64; round++) {
    const sealed = sealAcraStruct(publicKeyOf(current), value)
    assert.deepEqual(openAcraStruct([current], sealed), value)
    seen.add(sealAcraStruct(publicKey, value).toString('hex', 20, 53))
    parities.add(sealed[20])
  }
  assert.equal(seen.size, 64)
  assert.deepEqual([...parities].sort(), [2, 3])
})
