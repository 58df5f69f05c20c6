import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deriveBcryptTag, formatBcryptVerifier, parseBcryptVerifier } from './bcrypt.ts'

// Made by libxcrypt 4.4.33, but for the first and the one of bytes: those are in the tests of every implementation (jBCrypt, crypt_blowfish).
const rows: readonly { readonly name: string; readonly password: string | Uint8Array; readonly hash: string }[] = [
  { name: 'cost 6', password: 'abc', hash: '$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i' },
  { name: 'empty', password: '', hash: '$2b$04$If6bvum7DFjUnE9p2uDeDulFgYov56gX9cM8Or7NcLxa0BLOaa2/q' },
  { name: 'one letter', password: 'a', hash: '$2y$04$If6bvum7DFjUnE9p2uDeDuPclGv3dFIX44fnrtu2XJJRsWqKmsrFS' },
  { name: 'letters', password: 'abc', hash: '$2b$04$If6bvum7DFjUnE9p2uDeDucp2Wtj9yCnnZ/22ojXzNt6nEEkieowK' },
  {
    name: 'words',
    password: 'correct horse battery staple',
    hash: '$2a$04$If6bvum7DFjUnE9p2uDeDuMUpfvpWo2St/k.RQATv5eOqa7vdt2hO',
  },
  { name: 'UTF-8', password: 'pässwörd', hash: '$2y$04$If6bvum7DFjUnE9p2uDeDunvUtCxe9CsGlEiBI024Sb2rfDZoYr3S' },
  {
    name: 'longer than 72 bytes',
    password: '0123456789'.repeat(8).concat('01'),
    hash: '$2b$04$If6bvum7DFjUnE9p2uDeDu033NW6zgwbnNx9mtEmc05ro6NcO51zO',
  },
  { name: '72 bytes', password: 'x'.repeat(72), hash: '$2b$05$abcdefghijklmnopqrstuujf8SX2ahXLwp9w/B.Y5XdysS6yR576q' },
  { name: '73 bytes', password: 'x'.repeat(73), hash: '$2b$05$abcdefghijklmnopqrstuujf8SX2ahXLwp9w/B.Y5XdysS6yR576q' },
  {
    name: 'bytes with the highest bit, as the fault called 2x got wrong',
    password: Uint8Array.of(0xff, 0xff, 0xa3),
    hash: '$2y$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e',
  },
]

for (const { name, password, hash } of rows) {
  test(name, () => {
    const verifier = parseBcryptVerifier(hash)
    assert.ok(verifier !== undefined)
    const tag = deriveBcryptTag(Buffer.from(password), verifier.salt, verifier.cost)
    assert.equal(formatBcryptVerifier({ ...verifier, tag }), hash)
  })
}
