import assert from 'node:assert/strict'
import { ECDH } from 'node:crypto'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { crc32c } from './crc32c.ts'
import {
  agree,
  exportPublicKey,
  generateKeyPair,
  importPrivateKey,
  importPublicKey,
  pointOf,
  publicKeyOf,
} from './ec-key.ts'
import { EnvelopeError } from './error.ts'

const malformed = (error: unknown): boolean => error instanceof EnvelopeError && error.code === 'envelope.malformed'

/** A container with right checksum round any body; the size is right unless `wrongBy` something. */
function container(tag: string, body: Buffer, wrongBy = 0): Buffer {
  const bytes = Buffer.concat([Buffer.from(tag), Buffer.alloc(8), body])
  bytes.writeUInt32BE(bytes.length + wrongBy, 4)
  bytes.writeUInt32LE(crc32c(bytes, 8), 8)
  return bytes
}

const order = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex')
const one = Buffer.concat([Buffer.alloc(31), Buffer.of(1)])
const pair = generateKeyPair()
const point = pointOf(importPublicKey(pair.publicKey))
const uncompressed = Buffer.from(ECDH.convertKey(point, 'prime256v1', undefined, undefined, 'uncompressed'))

for (const [name, bytes] of [
  ['a scalar of zero', container('REC2', Buffer.alloc(33))],
  ['the group order as scalar', container('REC2', Buffer.concat([Buffer.of(0), order]))],
  ['a scalar above the group order', container('REC2', Buffer.alloc(32, 0xff))],
  ['a non-zero padding byte', container('REC2', Buffer.concat([Buffer.of(1), one]))],
  ['a scalar of 31 bytes', container('REC2', one.subarray(1))],
  ['a scalar of 34 bytes', container('REC2', Buffer.concat([Buffer.alloc(2), one]))],
  ['a scalar of P-256 under the tag of P-384', container('REC3', Buffer.concat([Buffer.of(0), one]))],
  ['a size one too small', container('REC2', Buffer.concat([Buffer.of(0), one]), -1)],
  ['a size one too large', container('REC2', Buffer.concat([Buffer.of(0), one]), 1)],
  ['an unknown curve', container('REC4', Buffer.concat([Buffer.of(0), one]))],
  ['a public key', pair.publicKey],
  ['an RSA key', container('RRS1', Buffer.alloc(300, 1))],
  ['nothing', Buffer.alloc(0)],
] as const) {
  test(`a private key is refused: ${name}`, () => assert.throws(() => importPrivateKey(bytes), malformed))
}

for (const [name, bytes] of [
  ['a hybrid point, 06', container('UEC2', hybrid(6))],
  ['a hybrid point, 07', container('UEC2', hybrid(7))],
  ['the point at infinity', container('UEC2', Buffer.of(0))],
  ['an abscissa that no point has', container('UEC2', Buffer.concat([Buffer.of(2), Buffer.alloc(32, 0xff)]))],
  ['an uncompressed point off the curve', container('UEC2', offCurve())],
  ['a compressed point one byte short', container('UEC2', point.subarray(0, 32))],
  ['an uncompressed point one byte long', container('UEC2', Buffer.concat([uncompressed, Buffer.of(0)]))],
  ['a point of P-256 under the tag of P-384', container('UEC3', point)],
  ['a private key', pair.privateKey],
] as const) {
  test(`a public key is refused: ${name}`, () => assert.throws(() => importPublicKey(bytes), malformed))
}

function hybrid(first: number): Buffer {
  const bytes = Buffer.from(uncompressed)
  bytes[0] = first
  return bytes
}

function offCurve(): Buffer {
  const bytes = Buffer.from(uncompressed)
  bytes[64] = (bytes[64] ?? 0) ^ 1
  return bytes
}

test('the largest scalar and a scalar without its zero byte are read', () => {
  const largest = Buffer.from(order)
  largest[31] = (largest[31] ?? 0) - 1
  assert.equal(importPrivateKey(container('REC2', largest)).curve, 'P-256')
  assert.deepEqual(
    pointOf(publicKeyOf(importPrivateKey(container('REC2', one)))),
    Buffer.from('036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296', 'hex'),
  )
})

for (const [curve, size] of [
  ['P-256', 45],
  ['P-384', 61],
  ['P-521', 79],
] as const) {
  test(`generated keys of ${curve} read back, belong together and are exported compressed`, () => {
    // 20 rounds: scalars with leading zeros come up, and must keep their length.
    for (let round = 0; round < 20; round++) {
      const { privateKey, publicKey } = generateKeyPair(curve)
      assert.deepEqual([privateKey.length, publicKey.length, privateKey[12]], [size, size, 0])
      assert.deepEqual(exportPublicKey(publicKeyOf(importPrivateKey(privateKey))), publicKey)
    }
  })
}

test('both halves agree on a secret of full length, whatever the form of the point', () => {
  const other = generateKeyPair()
  const theirs = agree(importPrivateKey(other.privateKey), point)
  assert.equal(theirs?.length, 32)
  assert.deepEqual(agree(importPrivateKey(pair.privateKey), pointOf(importPublicKey(other.publicKey))), theirs)
  assert.deepEqual(agree(importPrivateKey(other.privateKey), uncompressed), theirs)
  assert.equal(
    agree(importPrivateKey(pair.privateKey), Buffer.concat([Buffer.of(2), Buffer.alloc(32, 0xff)])),
    undefined,
  )
})

test('nothing of a key shows when it is inspected, turned to JSON or cloned', () => {
  const key = importPrivateKey(pair.privateKey)
  assert.equal(inspect(key, { depth: 9, showHidden: true }), "{ kind: 'private', curve: 'P-256' }")
  assert.equal(JSON.stringify(key), '{"kind":"private","curve":"P-256"}')
  assert.throws(() => agree(structuredClone(key), point), TypeError)
  assert.throws(() => exportPublicKey({ kind: 'public', curve: 'P-256' }), TypeError)
})

test('a key does not change when its container is wiped afterwards', () => {
  const { privateKey, publicKey } = generateKeyPair()
  const imported = importPrivateKey(privateKey)
  const importedPublic = importPublicKey(publicKey)
  const exported = Buffer.from(publicKey)
  privateKey.fill(0)
  publicKey.fill(0)
  assert.deepEqual(exportPublicKey(publicKeyOf(imported)), exported)
  assert.deepEqual(exportPublicKey(importedPublic), exported)
})
