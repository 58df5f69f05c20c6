// Both directions against Themis itself, compiled to WebAssembly: what one side seals, the other opens. Keys, contexts, sizes and values
// are random; a failure names the seed that repeats them.
import assert from 'node:assert/strict'
import { createHash, createSecretKey } from 'node:crypto'
import { before, test } from 'node:test'
import {
  KeyPair,
  PrivateKey,
  PublicKey,
  SecureCellContextImprint,
  SecureCellSeal,
  SecureCellTokenProtect,
  SecureMessage,
  SecureMessageSign,
  SecureMessageVerify,
} from 'wasm-themis'
import { type Seeded, withSeed } from '../testing/seeded.ts'
import { loadThemis } from '../testing/themis.ts'
import {
  createBlockKey,
  generateKeyPair,
  importPrivateKey,
  importPublicKey,
  openAcraBlock,
  openAcraStruct,
  openCell,
  openCellWithPassphrase,
  openContextImprint,
  openTokenProtect,
  sealAcraBlock,
  sealAcraStruct,
  sealCell,
  sealCellWithPassphrase,
  sealContextImprint,
  sealTokenProtect,
  signMessage,
  unwrapMessage,
  verifyMessage,
  wrapMessage,
} from './index.ts'

before(loadThemis)

const mebibyte = 1024 * 1024
const rounds = 40

/** 1 byte to 64 KiB, small ones as likely as large ones; one round in twenty goes to exactly 1 MiB. */
function sizeOf(round: number, random: Seeded): number {
  return round % 20 === 19 ? mebibyte : random.integer(1, 2 ** random.integer(0, 16))
}

const contextOf = (random: Seeded): Buffer => random.bytes(random.pick([0, 0, 1, 24, random.integer(2, 600)]))

function eachRound(body: (random: Seeded, size: number) => void, count = rounds): void {
  withSeed(random => {
    for (let round = 0; round < count; round++) body(random, sizeOf(round, random))
  })
}

/** Themis takes keys by class; its containers are ours. */
function themisPair(privateKey: Uint8Array, publicKey: Uint8Array): KeyPair {
  return new KeyPair(new PrivateKey(privateKey), new PublicKey(publicKey))
}

const same = (ours: Uint8Array, theirs: Uint8Array): void => assert.ok(Buffer.compare(ours, theirs) === 0)

test('Secure Cell, sealed with a key', () => {
  eachRound((random, size) => {
    const [key, context, value] = [random.bytes(random.integer(1, 200)), contextOf(random), random.bytes(size)]
    const themis = SecureCellSeal.withKey(key)
    same(themis.decrypt(sealCell(key, value, context), context), value)
    same(openCell(createSecretKey(key), themis.encrypt(value, context), context), value)
  })
})

test('Secure Cell, sealed with a passphrase', () => {
  withSeed(random => {
    const [context, value] = [contextOf(random), random.bytes(random.integer(1, 5000))]
    const passphrase = random.pick(['correct horse', 'пароль-€', ' ', '\u{1f511}'])
    const themis = SecureCellSeal.withPassphrase(passphrase)
    same(themis.decrypt(sealCellWithPassphrase(passphrase, value, context), context), value)
    same(openCellWithPassphrase(passphrase, themis.encrypt(value, context), context), value)
  })
})

test('Token Protect and Context Imprint', () => {
  eachRound((random, size) => {
    const [key, value] = [random.bytes(random.integer(1, 64)), random.bytes(size)]
    const tokens = SecureCellTokenProtect.withKey(key)
    const ours = sealTokenProtect(key, value)
    same(tokens.decrypt(ours.data, ours.token), value)
    const theirs = tokens.encrypt(value)
    same(openTokenProtect(key, theirs.token, theirs.data), value)
    const context = random.bytes(random.integer(1, 100))
    const imprint = SecureCellContextImprint.withKey(key)
    same(sealContextImprint(key, value, context), imprint.encrypt(value, context))
    same(openContextImprint(key, imprint.encrypt(value, context), context), value)
  }, 20)
})

test('Secure Message, encrypted, keys made by either side', () => {
  eachRound((random, size) => {
    const alice = generateKeyPair()
    const bob = new KeyPair()
    const value = random.bytes(size)
    const wrapped = wrapMessage(importPrivateKey(alice.privateKey), importPublicKey(bob.publicKey), value)
    same(new SecureMessage(themisPair(bob.privateKey, alice.publicKey)).decrypt(wrapped), value)
    const answer = new SecureMessage(themisPair(bob.privateKey, alice.publicKey)).encrypt(value)
    same(unwrapMessage(importPrivateKey(alice.privateKey), importPublicKey(bob.publicKey), answer), value)
  })
})

test('Secure Message, encrypted, on the larger curves', () => {
  withSeed(random => {
    for (const curve of ['P-384', 'P-521'] as const) {
      const [alice, bob] = [generateKeyPair(curve), generateKeyPair(curve)]
      const value = random.bytes(random.integer(1, 300))
      const wrapped = wrapMessage(importPrivateKey(alice.privateKey), importPublicKey(bob.publicKey), value)
      same(new SecureMessage(themisPair(bob.privateKey, alice.publicKey)).decrypt(wrapped), value)
    }
  })
})

test('Secure Message, signed', () => {
  eachRound((random, size) => {
    const pair = random.integer(0, 1) === 0 ? generateKeyPair() : new KeyPair()
    const value = random.bytes(size)
    const ours = signMessage(importPrivateKey(pair.privateKey), value)
    same(new SecureMessageVerify(new PublicKey(pair.publicKey)).verify(ours), value)
    const theirs = new SecureMessageSign(new PrivateKey(pair.privateKey)).sign(value)
    same(verifyMessage(importPublicKey(pair.publicKey), theirs), value)
  }, 20)
})

test('AcraStruct, put together and taken apart with the primitives of Themis', () => {
  eachRound((random, size) => {
    const [context, value, dek] = [contextOf(random), random.bytes(size), random.bytes(32)]
    const recipient = generateKeyPair()
    const throwaway = new KeyPair()
    const wrapped = new SecureMessage(themisPair(throwaway.privateKey, recipient.publicKey)).encrypt(dek)
    const data = SecureCellSeal.withKey(dek).encrypt(value, context)
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(data.length))
    const container = Buffer.concat([Buffer.alloc(8, 0x22), throwaway.publicKey, wrapped, length, data])
    same(openAcraStruct([importPrivateKey(recipient.privateKey)], container, context), value)

    const ours = sealAcraStruct(importPublicKey(recipient.publicKey), value, context)
    const theirs = new SecureMessage(themisPair(recipient.privateKey, ours.subarray(8, 53)))
    const opened = SecureCellSeal.withKey(theirs.decrypt(ours.subarray(53, 137))).decrypt(ours.subarray(145), context)
    same(opened, value)
  })
})

test('AcraBlock, put together and taken apart with the primitives of Themis', () => {
  eachRound((random, size) => {
    const [context, value, dek] = [contextOf(random), random.bytes(size), random.bytes(32)]
    const kek = random.bytes(random.integer(1, 64))
    const id = createHash('sha256').update(kek).update(context).digest().subarray(0, 2)
    const wrapped = SecureCellSeal.withKey(kek).encrypt(dek, context)
    const data = SecureCellSeal.withKey(dek).encrypt(value, context)
    const header = Buffer.alloc(18, 0)
    header.fill(0x22, 0, 4)
    header.writeBigUInt64LE(BigInt(14 + wrapped.length + data.length), 4)
    id.copy(header, 13)
    header.writeUInt16LE(wrapped.length, 16)
    const key = createBlockKey(kek, context)
    same(openAcraBlock([key], Buffer.concat([header, wrapped, data])).plaintext, value)

    const ours = sealAcraBlock(key, value)
    same(ours.subarray(13, 15), id)
    const theirDek = SecureCellSeal.withKey(kek).decrypt(ours.subarray(18, 94), context)
    same(SecureCellSeal.withKey(theirDek).decrypt(ours.subarray(94), context), value)
  })
})
