import assert from 'node:assert/strict'
import {
  createHash,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  randomInt,
  sign,
  X509Certificate,
} from 'node:crypto'
import { test } from 'node:test'
import { createAuthority } from '@bawn/demo/certificates'
import { exportJWK } from 'jose'
import { createJwtMechanism } from './jwt.ts'
import { isPem, parsePemKeys } from './pem-keys.ts'
import { claims, forge, issuerWith, now, pairs, part, verdict } from './token-forge.fixture.ts'

const spki = (key: KeyObject) => String(key.export({ format: 'pem', type: 'spki' }))
const authority = createAuthority('the issuer')

test('public keys and certificates are keys of the set, each with the algorithms of its type', () => {
  const text = [
    'Some text of an operator\n',
    spki(pairs.rsa.publicKey),
    String(pairs.rsa.publicKey.export({ format: 'pem', type: 'pkcs1' })),
    spki(pairs.ed.publicKey),
    authority.certificate,
  ].join('\n')
  const set = parsePemKeys(Buffer.from(text))
  assert.ok(set.kind === 'keys')
  assert.deepEqual(
    set.keys.map(key => [key.algorithms[0], key.fitsAnyName, key.kid]),
    [
      ['RS256', true, undefined],
      ['RS256', true, undefined],
      ['EdDSA', true, undefined],
      ['ES256', true, undefined],
    ],
  )
  assert.deepEqual(set.skipped, [])
})

const leftOut: readonly { readonly name: string; readonly pem: string; readonly why: RegExp }[] = [
  {
    name: 'a private key',
    pem: String(pairs.p256.privateKey.export({ format: 'pem', type: 'pkcs8' })),
    why: /neither/,
  },
  {
    name: 'a private key of SEC 1',
    pem: String(pairs.p256.privateKey.export({ format: 'pem', type: 'sec1' })),
    why: /neither/,
  },
  {
    name: 'RSA of 1024 bits',
    pem: spki(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey),
    why: /1024 bits/,
  },
  { name: 'secp256k1', pem: spki(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey), why: /curve/ },
  { name: 'X25519', pem: spki(generateKeyPairSync('x25519').publicKey), why: /curve/ },
  { name: 'a damaged key', pem: spki(pairs.p256.publicKey).replace(/\n./, '\n!'), why: /read/ },
]
for (const row of leftOut) {
  test(`left out, and the others stay: ${row.name}`, () => {
    const set = parsePemKeys(Buffer.from(row.pem + spki(pairs.ed.publicKey)))
    assert.ok(set.kind === 'keys')
    assert.deepEqual(
      set.keys.map(key => key.algorithms),
      [['EdDSA']],
    )
    assert.match(set.skipped.join(), row.why)
    assert.equal(parsePemKeys(Buffer.from(row.pem)).kind, 'malformed')
  })
}

test('a token verifies with a key of the file whatever kid it names, and with no other', async () => {
  const mechanism = (file: string) =>
    createJwtMechanism(
      { corp: issuerWith({ jwks: 'keys/corp.pem' }) },
      { fetch: assert.fail, clock: () => now, secret: assert.fail, readFile: async () => Buffer.from(file) },
    )
  const file = spki(pairs.p384.publicKey) + spki(pairs.p256.publicKey)
  for (const header of [{ alg: 'ES256' }, { alg: 'ES256', kid: 'any' }])
    assert.equal(await verdict(mechanism(file), forge(header, claims)), 'alice: support')
  assert.equal(await verdict(mechanism(file), forge({ alg: 'ES256' }, claims, pairs.stranger.privateKey)), 'untrusted')
  const input = `${part({ alg: 'ES256', kid: 'x' })}.${part(claims)}`
  const byAuthority = sign('sha256', Buffer.from(input), { key: authority.key, dsaEncoding: 'ieee-p1363' })
  const token = `${input}.${byAuthority.toString('base64url')}`
  assert.equal(await verdict(mechanism(authority.certificate), token), 'alice: support')
  assert.equal(await verdict(mechanism(file), token), 'untrusted')
})

test('a key that the file has since yesterday is found when a token needs it', async () => {
  let file = spki(pairs.p384.publicKey)
  let at = now
  const ours = createJwtMechanism(
    { corp: issuerWith({ jwks: 'keys/corp.pem', refresh: '1h' }) },
    { fetch: assert.fail, clock: () => at, secret: assert.fail, readFile: async () => Buffer.from(file) },
  )
  const token = forge({ alg: 'ES256', kid: 'new' }, claims)
  assert.equal(await verdict(ours, token), 'untrusted')
  file += spki(pairs.p256.publicKey)
  assert.equal(await verdict(ours, token), 'untrusted', 'it was looked for just now')
  at += 31_000
  assert.equal(await verdict(ours, token), 'alice: support')
})

test('tokens name a key by the thumbprint of its certificate, where the issuer says so', async () => {
  const { raw, publicKey } = new X509Certificate(authority.certificate)
  const thumbprint = (hash: string) => createHash(hash).update(raw).digest('base64url')
  const x5t = thumbprint('sha1')
  const s256 = thumbprint('sha256')
  const bare = await exportJWK(publicKey)
  const tokenWith = (header: object) => {
    const input = `${part({ alg: 'ES256', ...header })}.${part(claims)}`
    return `${input}.${sign('sha256', Buffer.from(input), { key: authority.key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
  }
  const other = await exportJWK(pairs.stranger.publicKey)
  // Each set has a stranger's key first that the token must not be verified with: then the name decided.
  const rows = [
    ['kid', { ...bare, kid: 'a', x5t }, { kid: 'a', x5t: 'x' }, 'alice: support'],
    ['x5t', { ...bare, kid: 'a', x5t }, { kid: 'other', x5t }, 'alice: support'],
    ['x5t', { ...bare, kid: 'a', x5t }, { kid: 'a', x5t: 'x' }, 'untrusted'],
    ['x5t', { ...bare, x5c: [raw.toString('base64')] }, { x5t }, 'alice: support'],
    ['x5t', { ...bare, x5t }, {}, 'alice: support'],
    ['x5t', { ...bare, x5t }, { x5t: 7 }, 'malformed'],
    ['x5t#S256', { ...bare, 'x5t#S256': s256 }, { 'x5t#S256': s256 }, 'alice: support'],
    ['x5t#S256', { ...bare, x5c: [raw.toString('base64')] }, { 'x5t#S256': s256 }, 'alice: support'],
    ['x5t#S256', { ...bare, x5t }, { 'x5t#S256': s256 }, 'untrusted'],
    ['kid_x5t', { ...bare, kid: 'a', x5t }, { kid: 'a', x5t }, 'alice: support'],
    ['kid_x5t', { ...bare, kid: 'a', x5t }, { kid: 'b', x5t }, 'untrusted'],
    ['kid_x5t', { ...bare, kid: 'a', x5t }, { kid: 'a', x5t: 'x' }, 'untrusted'],
  ] as const
  for (const [naming, jwk, header, expected] of rows) {
    const keys = { keys: [{ ...other, kid: 'x', x5t: 'y' }, jwk] }
    const ours = createJwtMechanism(
      { corp: issuerWith({ key_id: naming, jwks: keys }) },
      { fetch: assert.fail, clock: () => now, secret: assert.fail },
    )
    assert.equal(await verdict(ours, tokenWith(header)), expected, `${naming} ${JSON.stringify(header)}`)
  }
})

test('a set that is written out is read at the start, and stops it when it has no key', async () => {
  const surroundings = { fetch: assert.fail, clock: () => now, secret: assert.fail }
  const jwk = { ...(await exportJWK(pairs.p256.publicKey)), kid: 'p256' }
  const ours = createJwtMechanism({ corp: issuerWith({ jwks: { keys: [jwk] } }) }, surroundings)
  assert.equal(await verdict(ours, forge({ alg: 'ES256', kid: 'p256' }, claims)), 'alice: support')
  assert.equal(ours.status()[0]?.source, 'written out')
  for (const keys of [[{ kty: 'oct', k: 'AAAA' }], [await exportJWK(pairs.p256.privateKey)], [{}]]) {
    assert.throws(() => createJwtMechanism({ corp: issuerWith({ jwks: { keys } }) }, surroundings), {
      code: 'authn.bad_issuer',
    })
  }
})

test('cut, changed and random files are keys or malformed, and end', () => {
  const text = spki(pairs.p256.publicKey) + authority.certificate
  for (let round = 0; round < 300; round++) {
    const bytes = Buffer.from(text)
    if (round % 2 === 0) bytes[randomInt(bytes.length)] = randomInt(256)
    const found = parsePemKeys(round % 2 === 0 ? bytes : bytes.subarray(0, randomInt(bytes.length)))
    assert.ok(found.kind === 'malformed' || found.keys.length <= 2)
    assert.equal(parsePemKeys(randomBytes(round)).kind, 'malformed')
  }
  assert.equal(parsePemKeys(Buffer.from('-----BEGIN A-----'.repeat(60_000))).kind, 'malformed')
  assert.equal(parsePemKeys(Buffer.from(spki(pairs.ed.publicKey).repeat(101))).kind, 'malformed')
  assert.equal(isPem(Buffer.from('{"keys":[]}')), false)
})
