import assert from 'node:assert/strict'
import { createSecretKey } from 'node:crypto'
import { test } from 'node:test'
import {
  createBlockKey,
  EnvelopeError,
  generateKeyPair,
  importPrivateKey,
  looksLikeContainer,
  openStored,
  publicKeyOf,
  sealAcraBlock,
  sealAcraStruct,
  searchHash,
  serialize,
} from './index.ts'

const value = Buffer.from('value')
const zone = Buffer.from('DDDDDDDDmufclpqHJfnTDJZW')
const search = createSecretKey(Buffer.alloc(32, 2))
const blockKey = createBlockKey(Buffer.alloc(32, 3))
const privateKey = importPrivateKey(generateKeyPair().privateKey)
const keys = { blockKeys: [blockKey], privateKeys: [privateKey], search }
const block = sealAcraBlock(blockKey, value)
const struct = sealAcraStruct(publicKeyOf(privateKey), value)
const hash = searchHash(search, value)
const concat = (...parts: readonly Buffer[]): Buffer => Buffer.concat(parts)

for (const [name, stored] of [
  ['a bare AcraBlock', block],
  ['a bare AcraStruct', struct],
  ['a serialized AcraBlock', serialize('acrablock', block)],
  ['a serialized AcraStruct', serialize('acrastruct', struct)],
  ['search hash and bare AcraBlock', concat(hash, block)],
  ['search hash and bare AcraStruct', concat(hash, struct)],
  ['search hash and serialized AcraBlock', concat(hash, serialize('acrablock', block))],
  ['search hash and serialized AcraStruct', concat(hash, serialize('acrastruct', struct))],
] as const) {
  test(`${name} opens, and looks like a container`, () => {
    assert.deepEqual(openStored(stored, keys), value)
    assert.deepEqual(openStored(new Uint8Array(stored), { ...keys, search: undefined }), value)
    assert.ok(looksLikeContainer(stored))
  })
}

for (const [name, stored] of [
  ['nothing', Buffer.alloc(0)],
  ['plain text', value],
  ['a search hash alone', hash],
  ['a byte before', concat(Buffer.from(' '), block)],
  ['a byte after a bare AcraBlock', concat(block, Buffer.from(' '))],
  ['a byte after a bare AcraStruct', concat(struct, Buffer.from(' '))],
  ['a byte after a serialized one', concat(serialize('acrablock', block), Buffer.from(' '))],
  ['two containers', concat(block, block)],
  ['two search hashes', concat(hash, hash, block)],
  ['a serialized AcraBlock with a byte after it inside', nested(concat(block, Buffer.from(' ')), 0xf0)],
  ['a serialized one inside a serialized one', nested(serialize('acrablock', block), 0xf0)],
  ['an AcraBlock under the kind of an AcraStruct', nested(block, 0xf1)],
  ['an unknown kind', nested(block, 0xf2)],
  ['tag characters only', Buffer.alloc(300, 0x22)],
  ['percent signs only', Buffer.alloc(300, 0x25)],
] as const) {
  test(`${name} is malformed, and does not look like a container`, () => {
    assert.throws(
      () => openStored(stored, keys),
      error => error instanceof EnvelopeError && error.code === 'envelope.malformed',
    )
    assert.equal(looksLikeContainer(stored), false)
  })
}

function nested(inner: Buffer, kind: number): Buffer {
  const bytes = concat(Buffer.from('%%%'), Buffer.alloc(9), inner)
  bytes.writeUInt32LE(bytes.length, 3)
  bytes[11] = kind
  return bytes
}

test('a search hash of another value is forged, with the error of any forgery', () => {
  const other = concat(searchHash(search, Buffer.from('other')), block)
  const errors = [
    () => openStored(other, keys),
    () => openStored(block, { ...keys, blockKeys: [createBlockKey(Buffer.alloc(32, 4))] }),
  ].map(run => {
    try {
      run()
    } catch (error) {
      if (error instanceof EnvelopeError) return error.code
    }
    return assert.fail()
  })
  assert.deepEqual(errors, ['envelope.forged', 'envelope.forged'])
})

test('with zones both kinds are bound to the zone', () => {
  const zoned = { blockKeys: [createBlockKey(Buffer.alloc(32, 3), zone)], privateKeys: [privateKey], context: zone }
  const [blockKeyOfZone] = zoned.blockKeys
  assert.ok(blockKeyOfZone)
  for (const stored of [sealAcraBlock(blockKeyOfZone, value), sealAcraStruct(publicKeyOf(privateKey), value, zone)]) {
    assert.deepEqual(openStored(stored, zoned), value)
    assert.throws(() => openStored(stored, keys), EnvelopeError)
  }
})

test('only what can be read back is serialized', () => {
  for (const [kind, bytes] of [
    ['acrablock', struct],
    ['acrastruct', block],
    ['acrablock', concat(block, value)],
    ['acrablock', Buffer.alloc(0)],
  ] as const) {
    assert.throws(() => serialize(kind, bytes), EnvelopeError)
  }
})

test('the result shares no memory with the stored value', () => {
  const stored = Buffer.from(block)
  const opened = openStored(stored, keys)
  stored.fill(0)
  assert.deepEqual(opened, value)
})
