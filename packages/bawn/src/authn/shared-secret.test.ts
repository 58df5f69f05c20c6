import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes, randomInt } from 'node:crypto'
import { test } from 'node:test'
import { createAuthority } from '@bawn/demo/certificates'
import { exportJWK, jwtVerify, SignJWT } from 'jose'
import type { JwtMechanism } from './jwt.ts'
import { issuerOptions } from './option.ts'
import { createSecretKeySet } from './shared-secret.ts'
import { claims, issuer, mechanismOf, now, verdict } from './token-forge.fixture.ts'

const options = (more: object = {}) =>
  issuerOptions.parse({ issuer, audience: ['shop'], secret: 'env:SECRET', ...more })

function mechanism(secrets: Readonly<Record<string, string>>, more: object = {}): JwtMechanism {
  return mechanismOf({ corp: options(more) }, secrets)
}

const signWith = (secret: Uint8Array, alg: string, header: object = {}) =>
  new SignJWT(claims).setProtectedHeader({ alg, ...header }).sign(secret)

const secret = randomBytes(64)

for (const alg of ['HS256', 'HS384', 'HS512']) {
  test(`what jose signs with ${alg} is verified, and what is changed in it is not`, async () => {
    const token = await signWith(secret, alg, { kid: 'whatever', typ: 'JWT' })
    await jwtVerify(token, secret, { currentDate: new Date(now) })
    const ours = mechanism({ 'env:SECRET': secret.toString('base64') }, { algorithms: [alg] })
    assert.equal(await verdict(ours, token), 'alice: support')
    const [header = '', payload = '', signature = ''] = token.split('.')
    for (let round = 0; round < 40; round++) {
      const bytes = Buffer.from(signature, 'base64url')
      const at = randomInt(bytes.length)
      bytes[at] = (bytes[at] ?? 0) ^ (1 << randomInt(8))
      assert.equal(await verdict(ours, `${header}.${payload}.${bytes.toString('base64url')}`), 'untrusted')
    }
    // Another algorithm with the same secret is not on the list.
    for (const other of ['HS256', 'HS384', 'HS512'].filter(name => name !== alg))
      assert.equal(await verdict(ours, await signWith(secret, other)), 'untrusted')
    assert.equal(await verdict(ours, await signWith(randomBytes(64), alg)), 'untrusted')
  })
}

test('a former secret is believed as long as it is listed', async () => {
  const old = randomBytes(32)
  const secrets = { 'env:SECRET': secret.toString('base64'), 'env:OLD': old.toString('base64url') }
  const tokens = [await signWith(secret, 'HS256'), await signWith(old, 'HS256', { kid: 'old' })] as const
  const both = mechanism(secrets, { former_secrets: ['env:OLD'] })
  for (const token of tokens) assert.equal(await verdict(both, token), 'alice: support')
  assert.equal(await verdict(mechanism(secrets), tokens[1]), 'untrusted')
})

test('the bytes of a secret are what its encoding says', async () => {
  const hex = randomBytes(32).toString('hex')
  const text = 'p\u00e4ssw\u00f6rd of the issuer, 32 bytes and more '
  const rows = [
    ['base64', secret.toString('base64'), secret],
    ['base64', ` ${secret.toString('base64url')}\n`, secret],
    ['hex', hex, Buffer.from(hex, 'hex')],
    ['hex', `${hex.toUpperCase()}\n`, Buffer.from(hex, 'hex')],
    ['text', hex, Buffer.from(hex)],
    ['text', text, Buffer.from(text)],
  ] as const
  for (const [encoding, value, bytes] of rows) {
    const ours = mechanism({ 'env:SECRET': value }, { secret_encoding: encoding })
    assert.equal(await verdict(ours, await signWith(bytes, 'HS256')), 'alice: support', `${encoding} ${value}`)
  }
  const spaced = mechanism({ 'env:SECRET': `${text} ` }, { secret_encoding: 'text' })
  assert.equal(await verdict(spaced, await signWith(Buffer.from(text), 'HS256')), 'untrusted')
})

const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')
const certificate = createAuthority('the tests').certificate
const weak: readonly { readonly name: string; readonly value: string; readonly more?: object; readonly why: RegExp }[] =
  [
    { name: '31 bytes for HS256', value: base64(randomBytes(31)), why: /31 bytes, and at least 32/ },
    { name: '47 bytes for HS384', value: base64(randomBytes(47)), more: { algorithms: ['HS384'] }, why: /at least 48/ },
    { name: '63 bytes for HS512', value: base64(randomBytes(63)), more: { algorithms: ['HS512'] }, why: /at least 64/ },
    {
      name: '32 bytes where HS512 is listed too',
      value: base64(randomBytes(32)),
      more: { algorithms: ['HS256', 'HS512'] },
      why: /at least 64/,
    },
    { name: 'a word', value: 'secret', more: { secret_encoding: 'text' }, why: /6 bytes/ },
    { name: 'zeros', value: base64(Buffer.alloc(64)), why: /again/ },
    { name: 'a word again and again', value: 'secret'.repeat(20), more: { secret_encoding: 'text' }, why: /again/ },
    {
      name: 'a public key in PEM',
      value: String(publicKey.export({ format: 'pem', type: 'spki' })),
      more: { secret_encoding: 'text' },
      why: /PEM/,
    },
    {
      name: 'a private key in PEM',
      value: String(privateKey.export({ format: 'pem', type: 'pkcs8' })),
      more: { secret_encoding: 'text' },
      why: /PEM/,
    },
    { name: 'a certificate in PEM', value: certificate, more: { secret_encoding: 'text' }, why: /PEM/ },
    { name: 'a public key in DER', value: base64(publicKey.export({ format: 'der', type: 'spki' })), why: /DER/ },
    { name: 'a public key in PKCS#1', value: base64(publicKey.export({ format: 'der', type: 'pkcs1' })), why: /DER/ },
    { name: 'a certificate in DER', value: certificate.replace(/-----[^-]+-----|\n/g, ''), why: /DER/ },
    { name: 'a JWK', value: JSON.stringify(await exportJWK(publicKey)), more: { secret_encoding: 'text' }, why: /JWK/ },
    {
      name: 'a JWK set',
      value: JSON.stringify({ keys: [await exportJWK(publicKey)] }),
      more: { secret_encoding: 'text' },
      why: /JWK/,
    },
    { name: 'no base64', value: 'Spaces do not belong there, however long it is', why: /not base64/ },
    { name: 'base64 with stray bits', value: `${'A'.repeat(42)}B`, why: /not base64/ },
    { name: 'no hex', value: 'zz'.repeat(40), more: { secret_encoding: 'hex' }, why: /not hex/ },
    { name: 'half a digit of hex', value: 'abc', more: { secret_encoding: 'hex' }, why: /not hex/ },
  ]
for (const row of weak) {
  test(`stops the start: ${row.name}`, () => {
    assert.throws(
      () => mechanism({ 'env:SECRET': row.value }, row.more),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, 'authn.weak_secret')
        assert.match(error.message, row.why)
        assert.match(error.message, /^issuer corp: env:SECRET: /)
        assert.ok(!error.message.includes(row.value.slice(0, 6)) || row.value === 'secret')
        return true
      },
    )
  })
}

test('a former secret that is weak stops the start too', () => {
  const secrets = { 'env:SECRET': base64(secret), 'env:OLD': 'AAAA' }
  assert.throws(() => mechanism(secrets, { former_secrets: ['env:OLD'] }), { code: 'authn.weak_secret' })
})

test('what the keys of a secret may verify is HMAC, whatever the options say', () => {
  // As if the checks of the options were not there.
  const anything = { ...options(), algorithms: ['HS256', 'RS256', 'ES256'] } as const
  const { keys = [] } = createSecretKeySet('corp', anything, () => base64(secret)).current() ?? {}
  assert.deepEqual(
    keys.map(key => [key.algorithms, key.key.type]),
    [[['HS256'], 'secret']],
  )
})

const contradicting: readonly { readonly name: string; readonly more: object; readonly path: string }[] = [
  { name: 'neither jwks nor secret', more: { secret: undefined }, path: '' },
  { name: 'jwks and secret', more: { jwks: 'https://id.example/jwks' }, path: '' },
  { name: 'an algorithm of public keys with a secret', more: { algorithms: ['HS256', 'RS256'] }, path: 'algorithms.1' },
  {
    name: 'HMAC with public keys',
    more: { secret: undefined, jwks: 'x', algorithms: ['HS256'] },
    path: 'algorithms.0',
  },
  {
    name: 'former secrets without one',
    more: { secret: undefined, jwks: 'x', former_secrets: ['env:A'] },
    path: 'former_secrets',
  },
  { name: 'the secret itself', more: { secret: base64(secret) }, path: 'secret' },
  { name: 'a name of keys with a secret', more: { key_id: 'x5t' }, path: 'key_id' },
  { name: 'an authority for a secret', more: { ca: 'ca.pem' }, path: 'ca' },
  { name: 'pins for a file', more: { secret: undefined, jwks: 'keys.json', pins: ['A'.repeat(43)] }, path: 'pins' },
  {
    name: 'an authority for plain HTTP',
    more: { secret: undefined, jwks: 'http://x', insecure_http: true, ca: 'x' },
    path: 'ca',
  },
]
for (const row of contradicting) {
  test(`contradicts itself: ${row.name}`, () => {
    const { error } = issuerOptions.safeParse({ issuer, audience: ['shop'], secret: 'env:SECRET', ...row.more })
    assert.deepEqual(
      error?.issues.map(({ path }) => path.join('.')),
      [row.path],
    )
  })
}

test('random texts are a secret or the one error, in every encoding', () => {
  for (let round = 0; round < 1_000; round++) {
    const bytes = randomBytes(round % 200)
    const encoding = (['base64', 'hex', 'text'] as const)[round % 3]
    const value = bytes.toString((['base64', 'hex', 'latin1'] as const)[randomInt(3)])
    try {
      createSecretKeySet('corp', options({ secret_encoding: encoding }), () => value)
    } catch (error) {
      assert.ok(error instanceof Error && 'code' in error && error.code === 'authn.weak_secret', String(error))
    }
  }
})
