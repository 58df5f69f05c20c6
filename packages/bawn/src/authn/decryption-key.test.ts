import assert from 'node:assert/strict'
import { createSecretKey, generateKeyPairSync, type KeyObject, randomBytes, randomInt } from 'node:crypto'
import { test } from 'node:test'
import { exportJWK } from 'jose'
import { isKeyFor, parseDecryptionKey } from './decryption-key.ts'
import { contentEncryptions, keyManagementAlgorithms } from './issuer-option.ts'
import type { CompactJwe } from './jwe.ts'

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
const x25519 = generateKeyPairSync('x25519').privateKey
const pem = (key: KeyObject, type: 'pkcs8' | 'pkcs1' | 'sec1' = 'pkcs8') => String(key.export({ format: 'pem', type }))
const jwkOf = async (key: KeyObject, more: object = {}) => JSON.stringify({ ...(await exportJWK(key)), ...more })
const oct = (bytes: number, more: object = {}) => jwkOf(createSecretKey(randomBytes(bytes)), more)

const usable: readonly {
  readonly name: string
  readonly text: string
  readonly material: object
  readonly kid?: string
}[] = [
  { name: 'RSA in PKCS#8', text: pem(rsa), material: { kind: 'rsa' } },
  { name: 'RSA in PKCS#1', text: pem(rsa, 'pkcs1'), material: { kind: 'rsa' } },
  {
    name: 'RSA of 4096 bits',
    text: pem(generateKeyPairSync('rsa', { modulusLength: 4096 }).privateKey),
    material: { kind: 'rsa' },
  },
  { name: 'P-256 in PKCS#8', text: pem(p256), material: { kind: 'ecdh', curve: 'P-256' } },
  {
    name: 'P-256 in SEC 1, with text before',
    text: `made by openssl\n${pem(p256, 'sec1')}`,
    material: { kind: 'ecdh', curve: 'P-256' },
  },
  {
    name: 'P-384',
    text: pem(generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey),
    material: { kind: 'ecdh', curve: 'P-384' },
  },
  {
    name: 'P-521',
    text: pem(generateKeyPairSync('ec', { namedCurve: 'P-521' }).privateKey),
    material: { kind: 'ecdh', curve: 'P-521' },
  },
  { name: 'X25519', text: pem(x25519), material: { kind: 'ecdh', curve: 'X25519' } },
  { name: 'RSA as JWK', text: await jwkOf(rsa, { kid: 'a', use: 'enc' }), material: { kind: 'rsa' }, kid: 'a' },
  {
    name: 'P-256 as JWK',
    text: ` ${await jwkOf(p256, { key_ops: ['deriveBits'] })}\n`,
    material: { kind: 'ecdh', curve: 'P-256' },
  },
  { name: 'X25519 as JWK', text: await jwkOf(x25519, { alg: 'ECDH-ES' }), material: { kind: 'ecdh', curve: 'X25519' } },
  {
    name: 'a shared JWK',
    text: await oct(16, { alg: 'A128KW', kid: 'b' }),
    material: { kind: 'shared', bytes: 16 },
    kid: 'b',
  },
  {
    name: 'a shared JWK for dir',
    text: await oct(64, { alg: 'A256CBC-HS512' }),
    material: { kind: 'shared', bytes: 64 },
  },
  { name: 'base64', text: randomBytes(32).toString('base64'), material: { kind: 'shared', bytes: 32 } },
  {
    name: 'base64url, and a line end',
    text: `${randomBytes(48).toString('base64url')}\n`,
    material: { kind: 'shared', bytes: 48 },
  },
]
for (const row of usable) {
  test(`usable: ${row.name}`, () => {
    const key = parseDecryptionKey(row.text, 'env:KEY')
    assert.deepEqual(key.material, row.material)
    assert.equal(key.kid, row.kid)
    assert.notEqual(key.key.type, 'public')
  })
}

const refused: readonly { readonly name: string; readonly text: string; readonly why: RegExp }[] = [
  {
    name: 'a public key',
    text: String(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'pem', type: 'spki' })),
    why: /private key/,
  },
  {
    name: 'a public JWK',
    text: await jwkOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey),
    why: /private key/,
  },
  { name: 'a damaged PEM', text: pem(rsa).replace('A', '!'), why: /private key/ },
  {
    name: 'a locked PEM',
    text: String(rsa.export({ format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase: 'x' })),
    why: /private key/,
  },
  {
    name: 'RSA of 1024 bits',
    text: pem(generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey),
    why: /1024 bits/,
  },
  { name: 'secp256k1', text: pem(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey), why: /curve/ },
  { name: 'Ed25519', text: pem(generateKeyPairSync('ed25519').privateKey), why: /not RSA, EC or X25519/ },
  { name: 'for signatures', text: await jwkOf(p256, { use: 'sig' }), why: /use/ },
  { name: 'for other operations', text: await jwkOf(p256, { key_ops: ['sign'] }), why: /key_ops/ },
  { name: 'alg RSA1_5', text: await jwkOf(rsa, { alg: 'RSA1_5' }), why: /alg/ },
  { name: 'alg PBES2', text: await oct(32, { alg: 'PBES2-HS256+A128KW' }), why: /alg/ },
  { name: 'alg of signatures', text: await oct(32, { alg: 'HS256' }), why: /alg/ },
  { name: 'kid that is a number', text: await jwkOf(p256, { kid: 7 }), why: /kid/ },
  { name: 'a member twice', text: (await jwkOf(p256)).replace('{', '{"kty":"EC",'), why: /JWK/ },
  { name: 'a JWK set', text: `{"keys":[${await jwkOf(p256)}]}`, why: /private key/ },
  { name: '15 bytes', text: randomBytes(15).toString('base64'), why: /15 bytes/ },
  { name: '33 bytes', text: randomBytes(33).toString('base64'), why: /33 bytes/ },
  { name: 'a shared JWK without its key', text: '{"kty":"oct"}', why: /base64/ },
  { name: 'a shared JWK with padding', text: '{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAA=="}', why: /base64/ },
  { name: 'a password', text: 'correct horse battery staple', why: /neither/ },
  { name: 'nothing', text: '', why: /0 bytes/ },
]
for (const row of refused) {
  test(`stops the start: ${row.name}`, () => {
    assert.throws(
      () => parseDecryptionKey(row.text, 'env:KEY'),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, 'authn.bad_decryption_key')
        assert.match(error.message, row.why)
        assert.match(error.message, /^env:KEY: /)
        assert.equal(error.cause, undefined)
        return true
      },
    )
  })
}

test('a key is used with the algorithms of its type, of its size and of its alg, and for its name', async () => {
  const token = (algorithm: string, encryption: string, more: object = {}): CompactJwe => ({
    kind: 'jwe',
    header: {},
    algorithm: keyManagementAlgorithms.find(name => name === algorithm) ?? assert.fail(algorithm),
    encryption: contentEncryptions.find(name => name === encryption) ?? assert.fail(encryption),
    kid: undefined,
    curve: undefined,
    ...more,
  })
  const usedWith = (text: string) => {
    const key = parseDecryptionKey(text, 'env:KEY')
    return keyManagementAlgorithms.flatMap(algorithm =>
      contentEncryptions
        .filter(encryption => isKeyFor(key, token(algorithm, encryption, { curve: 'P-256' })))
        .map(encryption => (algorithm === 'dir' ? `dir ${encryption}` : algorithm)),
    )
  }
  const names = (text: string) => [...new Set(usedWith(text))]
  assert.deepEqual(names(pem(rsa)), ['RSA-OAEP-256', 'RSA-OAEP'])
  assert.deepEqual(names(await jwkOf(rsa, { alg: 'RSA-OAEP-256' })), ['RSA-OAEP-256'])
  assert.deepEqual(names(pem(p256)), ['ECDH-ES', 'ECDH-ES+A128KW', 'ECDH-ES+A192KW', 'ECDH-ES+A256KW'])
  assert.deepEqual(names(pem(x25519)), [])
  assert.deepEqual(names(await oct(16)), ['A128KW', 'A128GCMKW', 'dir A128GCM'])
  assert.deepEqual(names(await oct(24)), ['A192KW', 'A192GCMKW', 'dir A192GCM'])
  assert.deepEqual(names(await oct(32)), ['A256KW', 'A256GCMKW', 'dir A256GCM', 'dir A128CBC-HS256'])
  assert.deepEqual(names(await oct(48)), ['dir A192CBC-HS384'])
  assert.deepEqual(names(await oct(64)), ['dir A256CBC-HS512'])
  assert.deepEqual(names(await oct(32, { alg: 'A256GCM' })), ['dir A256GCM'])
  assert.deepEqual(names(await oct(32, { alg: 'dir' })), ['dir A256GCM', 'dir A128CBC-HS256'])
  const named = parseDecryptionKey(await oct(32, { kid: 'a' }), 'env:KEY')
  assert.equal(isKeyFor(named, token('A256KW', 'A256GCM', { kid: 'a' })), true)
  assert.equal(isKeyFor(named, token('A256KW', 'A256GCM', { kid: 'b' })), false)
  assert.equal(isKeyFor(named, token('A256KW', 'A256GCM')), true)
})

test('cut, changed and random texts are a key or the one error', async () => {
  const texts = [
    pem(p256),
    await jwkOf(p256, { kid: 'a' }),
    await oct(32, { kid: 'a' }),
    randomBytes(32).toString('base64'),
  ]
  for (let round = 0; round < 600; round++) {
    const bytes = Buffer.from(texts[round % texts.length] ?? '')
    if (round % 2 === 0) bytes[randomInt(bytes.length)] = randomInt(128)
    const text = round % 5 === 0 ? randomBytes(round % 90).toString('latin1') : bytes.toString('latin1')
    try {
      parseDecryptionKey(round % 2 === 0 ? text : text.slice(0, randomInt(text.length + 1)), 'env:KEY')
    } catch (error) {
      assert.ok(error instanceof Error && 'code' in error && error.code === 'authn.bad_decryption_key', String(error))
    }
  }
})
