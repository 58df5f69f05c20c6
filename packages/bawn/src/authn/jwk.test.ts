import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { calculateJwkThumbprint, exportJWK } from 'jose'
import { maxKeys, parseKeySet } from './jwk.ts'

const read = (set: unknown) => parseKeySet(Buffer.from(JSON.stringify(set)))
const rsa = await exportJWK(generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey)
const ec = await exportJWK(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey)
const ed = await exportJWK(generateKeyPairSync('ed25519').publicKey)
const small = await exportJWK(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey)
const odd = await exportJWK(generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 3 }).publicKey)
const x25519 = await exportJWK(generateKeyPairSync('x25519').publicKey)
const secp256k1 = await exportJWK(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey)
const privateEc = await exportJWK(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)

const usable: readonly { readonly name: string; readonly jwk: object; readonly algorithms: readonly string[] }[] = [
  { name: 'RSA', jwk: rsa, algorithms: ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] },
  { name: 'RSA with alg', jwk: { ...rsa, alg: 'PS256', use: 'sig' }, algorithms: ['PS256'] },
  { name: 'RSA with exponent 3', jwk: odd, algorithms: ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] },
  { name: 'P-256', jwk: { ...ec, key_ops: ['verify'] }, algorithms: ['ES256'] },
  { name: 'Ed25519', jwk: { ...ed, x5c: ['not looked at'] }, algorithms: ['EdDSA'] },
]
for (const row of usable) {
  test(`usable: ${row.name}`, async () => {
    const set = read({ keys: [{ ...row.jwk, kid: 'k' }] })
    assert.ok(set.kind === 'keys' && set.keys[0] !== undefined)
    assert.deepEqual(set.keys[0].algorithms, row.algorithms)
    assert.equal(await calculateJwkThumbprint(await exportJWK(set.keys[0].key)), await calculateJwkThumbprint(row.jwk))
  })
}

const refused: readonly { readonly name: string; readonly jwk: unknown; readonly why: RegExp }[] = [
  { name: 'not an object', jwk: 'key', why: /object/ },
  { name: 'no kty', jwk: {}, why: /kty/ },
  { name: 'a shared key', jwk: { kty: 'oct', k: 'AAAA' }, why: /shared/ },
  { name: 'a private key', jwk: privateEc, why: /private/ },
  { name: 'for encryption', jwk: { ...rsa, use: 'enc' }, why: /use/ },
  { name: 'for other operations', jwk: { ...rsa, key_ops: ['encrypt'] }, why: /key_ops/ },
  { name: 'alg of another type', jwk: { ...ec, alg: 'RS256' }, why: /alg/ },
  { name: 'alg of shared keys', jwk: { ...rsa, alg: 'HS256' }, why: /alg/ },
  { name: 'alg of encryption', jwk: { ...rsa, alg: 'RSA-OAEP' }, why: /alg/ },
  { name: 'RSA of 1024 bits', jwk: small, why: /1024 bits/ },
  { name: 'RSA of 16384 bits', jwk: { ...rsa, n: Buffer.alloc(2048, 0xff).toString('base64url') }, why: /16384 bits/ },
  {
    name: 'RSA with zeros before',
    jwk: { ...rsa, n: Buffer.concat([Buffer.alloc(1), Buffer.from(String(rsa.n), 'base64url')]).toString('base64url') },
    why: /bits/,
  },
  { name: 'exponent 1', jwk: { ...rsa, e: 'AQ' }, why: /exponent/ },
  { name: 'exponent 2', jwk: { ...rsa, e: 'Ag' }, why: /exponent/ },
  { name: 'a huge exponent', jwk: { ...rsa, e: Buffer.alloc(200, 1).toString('base64url') }, why: /exponent/ },
  { name: 'padded', jwk: { ...rsa, e: 'AQAB=' }, why: /base64url/ },
  { name: 'an unknown curve', jwk: secp256k1, why: /curve/ },
  { name: 'a curve of the prototype', jwk: { ...ec, crv: 'constructor' }, why: /curve/ },
  { name: 'X25519', jwk: x25519, why: /curve/ },
  { name: 'the curve of another size', jwk: { ...ec, crv: 'P-384' }, why: /length/ },
  { name: 'a point beside the curve', jwk: { ...ec, x: randomBytes(32).toString('base64url') }, why: /valid/ },
  { name: 'a short coordinate', jwk: { ...ec, x: randomBytes(31).toString('base64url') }, why: /length/ },
  { name: 'a long Ed25519 key', jwk: { ...ed, x: randomBytes(33).toString('base64url') }, why: /length/ },
  { name: 'a kid that is a number', jwk: { ...rsa, kid: 1 }, why: /kid/ },
]
for (const row of refused) {
  test(`left out, and the others stay: ${row.name}`, () => {
    const set = read({ keys: [row.jwk, { ...ec, kid: 'good' }] })
    assert.ok(set.kind === 'keys')
    assert.deepEqual(
      set.keys.map(key => key.kid),
      ['good'],
    )
    assert.equal(set.skipped.length, 1)
    assert.match(set.skipped[0] ?? '', row.why)
  })
}

test('what is no set, is empty, or has too many keys, is malformed', () => {
  for (const set of [
    undefined,
    null,
    [],
    {},
    { keys: {} },
    { keys: [] },
    { keys: [small] },
    { keys: Array(maxKeys + 1).fill(ec) },
  ]) {
    assert.equal(parseKeySet(Buffer.from(set === undefined ? '' : JSON.stringify(set))).kind, 'malformed')
  }
  assert.equal(parseKeySet(Buffer.from(`{"keys":[${JSON.stringify(ec)}],"keys":[]}`)).kind, 'malformed')
})

test('a weak generator is known by its modulus', () => {
  // 65537 to some power is what such a modulus is modulo each small prime; 65537 to the power of itself is one.
  let modulus = 1n
  while (modulus < 2n ** 2047n) modulus *= 65_537n
  const n = Buffer.from(modulus.toString(16).padStart(514, '0').slice(-514), 'hex')
  const set = read({ keys: [{ kty: 'RSA', e: 'AQAB', n: n.subarray(n[0] === 0 ? 1 : 0).toString('base64url') }] })
  assert.match(set.kind === 'malformed' ? set.detail : '', /ROCA/)
})

test('the digest follows keys and their names, and not their order of members', () => {
  const digest = (set: unknown) => {
    const reading = read(set)
    return reading.kind === 'keys' ? reading.digest : ''
  }
  const one = digest({ keys: [{ ...ec, kid: 'a' }] })
  assert.equal(digest({ keys: [{ kid: 'a', ...ec, x5t: 'new' }], more: 1 }), one)
  assert.notEqual(digest({ keys: [{ ...ec, kid: 'b' }] }), one)
  assert.notEqual(digest({ keys: [{ ...ed, kid: 'a' }] }), one)
})

test('cut and random sets are malformed', () => {
  const bytes = Buffer.from(JSON.stringify({ keys: [ec, rsa] }))
  for (let cut = 0; cut < bytes.length; cut++) assert.equal(parseKeySet(bytes.subarray(0, cut)).kind, 'malformed')
  for (let round = 0; round < 500; round++) {
    assert.equal(parseKeySet(randomBytes(round)).kind, 'malformed')
    const flipped = Buffer.from(bytes)
    flipped[round % bytes.length] = randomBytes(1)[0] ?? 0
    parseKeySet(flipped)
  }
})
