import assert from 'node:assert/strict'
import { createSecretKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { calculateJwkThumbprint, compactVerify, createLocalJWKSet, flattenedVerify, importJWK, type JWK } from 'jose'
import { TokenError } from './error.ts'
import { createJwtSigner } from './jwt-signer.ts'
import { signClaims } from './signed-claims.ts'
import { type SigningAlgorithm, signingAlgorithms, signingOptions } from './signing-option.ts'

function pairFor(algorithm: SigningAlgorithm) {
  const curve = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' }[algorithm as string]
  if (curve !== undefined) return generateKeyPairSync('ec', { namedCurve: curve })
  return algorithm === 'EdDSA' ? generateKeyPairSync('ed25519') : generateKeyPairSync('rsa', { modulusLength: 2048 })
}

const pem = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }).toString()
const publicPem = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' }).toString()
const options = (from: object) => signingOptions.parse({ key: 'env:K', ...from })

test('another implementation believes what every algorithm signs, in both forms', async () => {
  for (const algorithm of signingAlgorithms) {
    const isSecret = algorithm.startsWith('HS')
    const secret = randomBytes(64)
    const pair = isSecret ? undefined : pairFor(algorithm)
    const text = pair === undefined ? secret.toString('base64') : pem(pair.privateKey)
    const signer = createJwtSigner('a', options({ algorithm }), () => text)
    const payload = '{"sub":"alice","n":12345678901234567890}'
    const key =
      pair === undefined ? createSecretKey(secret) : createLocalJWKSet({ keys: [...signer.jwks.keys] as JWK[] })
    const compact = await compactVerify(signer.sign(payload, 'at+jwt'), key as KeyObject, { algorithms: [algorithm] })
    assert.equal(Buffer.from(compact.payload).toString(), payload, algorithm)
    assert.equal(compact.protectedHeader.typ, 'at+jwt')
    const flat = JSON.parse(signer.signJson(payload, 'JWT'))
    assert.deepEqual(Object.keys(flat).sort(), ['payload', 'protected', 'signature'])
    await flattenedVerify(flat, key as KeyObject, { algorithms: [algorithm] })
    if (pair === undefined) {
      assert.deepEqual(signer.jwks.keys, [])
      continue
    }
    const [published] = signer.jwks.keys
    assert.ok(published !== undefined)
    assert.equal(published['kid'], await calculateJwkThumbprint(published as JWK))
    for (const secretMember of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k']) assert.equal(published[secretMember], undefined)
    await importJWK(published as JWK, algorithm)
  }
})

test('keys that come and go are published beside the one that signs', () => {
  const [now, next, former] = [pairFor('ES256'), pairFor('ES256'), pairFor('ES256')]
  const texts: Record<string, string> = {
    'env:K': pem(now.privateKey),
    'env:NEXT': pem(next.privateKey),
    'env:FORMER': publicPem(former.publicKey),
  }
  const signer = createJwtSigner(
    'a',
    options({ key_id: 'mine', other_keys: ['env:NEXT', 'env:FORMER'] }),
    of => texts[of] ?? '',
  )
  assert.equal(signer.jwks.keys.length, 3)
  assert.equal(signer.jwks.keys[0]?.['kid'], 'mine')
  assert.ok(signer.jwks.keys.every(key => key['d'] === undefined))
  assert.match(Buffer.from(signer.sign('{}', 'JWT').split('.')[0] ?? '', 'base64url').toString(), /"kid":"mine"/)
})

test('a key that does not fit stops the start, and is not in the error', () => {
  const rows: readonly (readonly [SigningAlgorithm, string])[] = [
    ['ES256', pem(pairFor('ES384').privateKey)],
    ['ES256', pem(pairFor('EdDSA').privateKey)],
    ['RS256', pem(pairFor('ES256').privateKey)],
    ['RS256', pem(generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey)],
    ['EdDSA', pem(generateKeyPairSync('ed448').privateKey)],
    ['ES256', publicPem(pairFor('ES256').publicKey)],
    ['ES256', 'hunter2'],
    ['HS256', randomBytes(31).toString('base64')],
    ['HS512', randomBytes(63).toString('base64')],
    ['HS256', 'not base64 at all, but quite a long text'],
  ]
  for (const [algorithm, text] of rows) {
    assert.throws(
      () => createJwtSigner('a', options({ algorithm }), () => text),
      (error: unknown) =>
        error instanceof TokenError &&
        error.code === 'tokens.bad_signing_key' &&
        !String(error.stack).includes(text.slice(30, 60) || text),
      algorithm,
    )
  }
  assert.equal(signingOptions.safeParse({ key: 'env:K', algorithm: 'HS256', jwks: '/jwks' }).success, false)
})

test('claims get what is missing and nothing more', () => {
  const signer = createJwtSigner('a', options({ issuer: 'gate' }), () => pem(pairFor('ES256').privateKey))
  const now = 1_800_000_000_500
  const limits = { ttlMs: 60_000, typ: 'JWT', format: 'compact' } as const
  const claimsOf = (claims: Record<string, unknown>) => {
    const token = signClaims(claims, signer, limits, now)
    return token === undefined ? undefined : JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
  }
  const { jti, ...plain } = claimsOf({ sub: 'a' })
  assert.deepEqual(plain, { sub: 'a', iss: 'gate', iat: 1_800_000_000, exp: 1_800_000_060 })
  assert.match(jti, /^[0-9a-f-]{36}$/)
  const given = { sub: 'a', iss: 'b', iat: 1_799_999_000, exp: 1_800_000_010, jti: 'j', nbf: 5 }
  assert.deepEqual(claimsOf(given), given)
  assert.equal(claimsOf({ exp: 4_000_000_000 }).exp, 1_800_000_060, 'no longer than the limit')
  for (const wrong of [
    { exp: 1_800_000_000 },
    { exp: '1900000000' },
    { exp: null },
    { iat: 'now' },
    { nbf: true },
    { exp: -1 },
  ]) {
    assert.equal(claimsOf(wrong), undefined, JSON.stringify(wrong))
  }
})
