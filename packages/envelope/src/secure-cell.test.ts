import assert from 'node:assert/strict'
import { createSecretKey, generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { inspect } from 'node:util'
import {
  EnvelopeError,
  type EnvelopeErrorCode,
  openCell,
  openCellWithPassphrase,
  openTokenProtect,
  sealCell,
  sealCellWithPassphrase,
  sealContextImprint,
  sealTokenProtect,
} from './index.ts'
import { sealWithIterations } from './passphrase-cell.ts'

const coded = (code: EnvelopeErrorCode) => (error: unknown) => error instanceof EnvelopeError && error.code === code
const key = Buffer.alloc(32, 1)
const value = Buffer.from('value')
const none = Buffer.alloc(0)

/** The sealed value with another 32-bit integer at `offset`. */
function changed(sealed: Buffer, offset: number, integer: number): Buffer {
  const copy = Buffer.from(sealed)
  copy.writeUInt32LE(integer >>> 0, offset)
  return copy
}

for (const [name, seal] of [
  ['plaintext', () => sealCell(key, none)],
  ['key', () => sealCell(none, value)],
  ['plaintext under a passphrase', () => sealCellWithPassphrase('secret', none)],
  ['passphrase', () => sealCellWithPassphrase('', value)],
  ['plaintext of Token Protect', () => sealTokenProtect(key, none)],
  ['plaintext of Context Imprint', () => sealContextImprint(key, none, value)],
  ['context of Context Imprint', () => sealContextImprint(key, value, none)],
] as const) {
  test(`an empty ${name} is refused when sealing`, () => assert.throws(seal, coded('envelope.empty')))
}

const cell = sealCell(key, value)
const passphraseCell = sealWithIterations('secret', value, undefined, 1)
for (const [name, offset, integer, code] of [
  ['AES-CTR', 0, 0x2001_0100, 'envelope.unsupported'],
  ['AES-XTS', 0, 0x3001_0100, 'envelope.unsupported'],
  ['cipher number 5', 0, 0x5001_0100, 'envelope.malformed'],
  ['a passphrase', 0, 0x4101_0100, 'envelope.unsupported'],
  ['key derivation number 2', 0, 0x4201_0100, 'envelope.malformed'],
  ['a reserved bit', 0, 0x4081_0100, 'envelope.malformed'],
  ['the other reserved bit', 0, 0x4001_1100, 'envelope.malformed'],
  ['padding number 0', 0, 0x4000_0100, 'envelope.malformed'],
  ['a key of 64 bits', 0, 0x4001_0040, 'envelope.malformed'],
  ['an IV of 16 bytes', 4, 16, 'envelope.malformed'],
  ['a tag of 4 bytes', 8, 4, 'envelope.malformed'],
  ['no message', 12, 0, 'envelope.malformed'],
  ['a longer message', 12, 6, 'envelope.malformed'],
] as const) {
  test(`a cell that states ${name} is ${code}`, () =>
    assert.throws(() => openCell(key, changed(cell, offset, integer)), coded(code)))
}

test('cells of AES-192 and AES-128 do not open as cells of AES-256', () => {
  for (const id of [0x4001_00c0, 0x4001_0080]) {
    assert.throws(() => openCell(key, changed(cell, 0, id)), coded('envelope.forged'))
  }
})

for (const [name, offset, integer, code] of [
  ['a key instead', 0, 0x4001_0100, 'envelope.unsupported'],
  ['no iterations', 48, 0, 'envelope.malformed'],
  ['one iteration over the cap', 48, 2_000_001, 'envelope.unsupported'],
  ['2^32 - 1 iterations', 48, 0xffff_ffff, 'envelope.unsupported'],
  ['a derivation block shorter than its salt', 16, 21, 'envelope.malformed'],
  ['a derivation block up to the end', 16, 27, 'envelope.malformed'],
  ['a derivation block of 2^32 - 1 bytes', 16, 0xffff_ffff, 'envelope.malformed'],
] as const) {
  test(`a passphrase cell that states ${name} is ${code}`, () =>
    assert.throws(() => openCellWithPassphrase('secret', changed(passphraseCell, offset, integer)), coded(code)))
}

test('a salt that reaches into the ciphertext is malformed, though all lengths add up', () => {
  const overlapping = changed(changed(passphraseCell, 16, 21), 12, value.length + 1)
  assert.throws(() => openCellWithPassphrase('secret', overlapping), coded('envelope.malformed'))
})

test('the context is bound, and absent is empty', () => {
  const bound = sealCell(key, value, Buffer.from('a'))
  assert.throws(() => openCell(key, bound, Buffer.from('b')), coded('envelope.forged'))
  assert.throws(() => openCell(key, bound), coded('envelope.forged'))
  assert.deepEqual(openCell(key, sealCell(key, value, none)), value)
  assert.deepEqual(openCell(key, cell, none), value)
})

test('key bytes and a KeyObject are the same key; other KeyObjects are refused', () => {
  assert.deepEqual(openCell(createSecretKey(key), cell), value)
  assert.throws(() => sealCell(generateKeyPairSync('ed25519').privateKey, value), TypeError)
})

test('a plain Uint8Array, also one that is a part of a larger buffer, does for every argument', () => {
  const large = new Uint8Array(100).fill(5)
  const [part, context] = [large.subarray(10, 42), large.subarray(50, 53)]
  const sealed = new Uint8Array(sealCell(part, large.subarray(60, 70), context))
  assert.deepEqual(openCell(part, sealed, context), Buffer.alloc(10, 5))
})

test('text is not taken for bytes', () => {
  for (const call of [
    () => Reflect.apply(sealCell, undefined, ['key', value]),
    () => Reflect.apply(sealCell, undefined, [key, 'value']),
    () => Reflect.apply(openCell, undefined, [key, cell, 'context']),
    () => Reflect.apply(openCellWithPassphrase, undefined, [undefined, passphraseCell]),
  ]) {
    assert.throws(call, TypeError)
  }
})

test('a token and data of two values do not go together', () => {
  const one = sealTokenProtect(key, value)
  const two = sealTokenProtect(key, value)
  assert.throws(() => openTokenProtect(key, one.token, two.data), coded('envelope.forged'))
  assert.throws(() => openTokenProtect(key, one.token.subarray(1), one.data), coded('envelope.malformed'))
  assert.throws(() => openTokenProtect(key, one.token, none), coded('envelope.malformed'))
  assert.throws(() => openTokenProtect(key, changed(one.token, 12, 0), none), coded('envelope.malformed'))
})

test('a plaintext shares its memory with nothing', () => {
  const opened = openCell(key, cell)
  assert.equal(opened.buffer.byteLength, opened.length)
})

test('an error holds neither key nor value', () => {
  try {
    openCell(Buffer.from('the secret key of somebody'), sealCell(key, Buffer.from('the value')))
    assert.fail()
  } catch (error) {
    assert.doesNotMatch(inspect(error, { depth: 9, showHidden: true }), /secret|value/)
  }
})
