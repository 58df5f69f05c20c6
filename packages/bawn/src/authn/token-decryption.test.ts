import assert from 'node:assert/strict'
import { createSecretKey, generateKeyPairSync, type KeyObject, randomBytes, randomInt } from 'node:crypto'
import { test } from 'node:test'
import { CompactEncrypt, type CompactJWEHeaderParameters, exportJWK, SignJWT } from 'jose'
import { contentEncryptions, type IssuerOptions, keyManagementAlgorithms } from './issuer-option.ts'
import { contentSizes, hasJweForm, holdsJwt, parseCompactJwe } from './jwe.ts'
import type { JwtMechanism } from './jwt.ts'
import {
  claims,
  es,
  forge,
  good,
  issuer,
  issuerWith,
  mechanismOf,
  pairs,
  part,
  verdict,
} from './token-forge.fixture.ts'

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const curves = {
  'P-256': generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  'P-384': generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  'P-521': generateKeyPairSync('ec', { namedCurve: 'P-521' }),
  X25519: generateKeyPairSync('x25519'),
}
const pem = (key: KeyObject) => String(key.export({ format: 'pem', type: 'pkcs8' }))
const decryptionOf = (keys: readonly string[], more: object = {}) => ({
  decryption: { keys, algorithms: keyManagementAlgorithms, encryption: contentEncryptions, ...more },
})

function mechanism(secrets: Readonly<Record<string, string>>, more: object = {}): JwtMechanism {
  return mechanismOf({ corp: issuerWith({ ...decryptionOf(Object.keys(secrets)), ...more }) }, secrets)
}

const seal = (text: string, key: KeyObject, header: Partial<CompactJWEHeaderParameters> & { readonly alg: string }) =>
  new CompactEncrypt(Buffer.from(text)).setProtectedHeader({ enc: 'A256GCM', cty: 'JWT', ...header }).encrypt(key)

/** Every way to find the content key, with keys that fit: [alg, our key, what the sender has]. */
const ways = [
  ...(['RSA-OAEP-256', 'RSA-OAEP'] as const).map(alg => [alg, pem(rsa.privateKey), rsa.publicKey] as const),
  ...Object.values(curves).flatMap(({ privateKey, publicKey }) =>
    (['ECDH-ES', 'ECDH-ES+A128KW', 'ECDH-ES+A192KW', 'ECDH-ES+A256KW'] as const).map(
      alg => [alg, pem(privateKey), publicKey] as const,
    ),
  ),
  ...(['A128', 'A192', 'A256'] as const).flatMap(size =>
    (['KW', 'GCMKW'] as const).map(kind => {
      const bytes = randomBytes(Number(size.slice(1)) / 8)
      return [`${size}${kind}` as const, bytes.toString('base64'), createSecretKey(bytes)] as const
    }),
  ),
]

for (const enc of contentEncryptions) {
  test(`what jose signs and encrypts is let in with every alg and ${enc}, and what is changed in it is not`, async () => {
    const inner = await new SignJWT(claims)
      .setProtectedHeader({ alg: 'ES256', kid: 'p256' })
      .sign(pairs.p256.privateKey)
    const direct = randomBytes(contentSizes[enc].key)
    for (const [alg, ours, theirs] of [...ways, ['dir', direct.toString('base64'), createSecretKey(direct)] as const]) {
      const token = await seal(inner, theirs, { alg, enc })
      const gateway = mechanism({ 'env:KEY': ours })
      assert.equal(await verdict(gateway, token), 'alice: support', alg)
      const parts = token.split('.')
      for (const [at, changed] of parts.entries()) {
        const bytes = Buffer.from(changed, 'base64url')
        if (bytes.length === 0) continue
        const place = randomInt(bytes.length)
        bytes[place] = (bytes[place] ?? 0) ^ (1 << randomInt(8))
        const forged = parts.with(at, bytes.toString('base64url')).join('.')
        assert.equal((await gateway.authenticate(forged)).kind, 'rejected', `${alg}, part ${at}`)
      }
      // Another key of the same kind, and an issuer that does not list the algorithm, or the encryption.
      const narrow = [
        decryptionOf(['env:KEY'], { algorithms: keyManagementAlgorithms.filter(name => name !== alg) }),
        decryptionOf(['env:KEY'], { encryption: contentEncryptions.filter(name => name !== enc) }),
      ]
      for (const more of narrow) assert.equal(await verdict(mechanism({ 'env:KEY': ours }, more), token), 'untrusted')
    }
  })
}

test('RFC 7516 appendix A.1 is read, and is not for us: it does not say that a token is inside', () => {
  const example =
    'eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.OKOawDo13gRp2ojaHV7LFpZcgV7T6DVZKTyKOMTYUmKoTCVJRgckCL9kiMT03JGeipsEdY3mx_etLbbWSrFr05kLzcSr4qKAq7YN7e9jwQRb23nfa6c9d-StnImGyFDbSv04uVuxIp5Zms1gNxKKK2Da14B8S4rzVRltdYwam_lDp5XnZAYpQdb76FdIKLaVmqgfwX7XWRxv2322i-vDxRfqNzo_tETKzpVLzfiwQyeyPGLBIO56YJ7eObdv0je81860ppamavo35UgoRdbYaBcoh9QcfylQr66oc6vFWXRcZ_ZT2LawVCWTIy3brGPi6UklfCpIMfIjf7iGdXKHzg.48V1_ALb6US04U3b.5eym8TW_c8SuK0ltJ3rpYIzOeDQz7TALvtu6UG9oMo4vpzs9tX_EFShS8iB7j6jiSdiwkIr3ajwQzaBtQD_A.XFBoMYUZodetZdvTiFvSkQ'
  const jwe = parseCompactJwe(example)
  assert.ok(jwe.kind === 'jwe' && !holdsJwt(jwe.header))
})

test('signed tokens are let in beside encrypted ones, and encrypted ones nowhere without keys', async () => {
  const token = await seal(good, rsa.publicKey, { alg: 'RSA-OAEP-256' })
  const gateway = mechanism({ 'env:KEY': pem(rsa.privateKey) })
  assert.equal(await verdict(gateway, good), 'alice: support')
  assert.equal(await verdict(gateway, token), 'alice: support')
  assert.equal(await verdict(mechanismOf({ corp: issuerWith() }), token), 'malformed')
})

test('a token is opened once: the second time it is remembered, and meanwhile others wait for the same', async () => {
  const gateway = mechanism({ 'env:KEY': pem(rsa.privateKey) })
  await gateway.prime()
  const token = await seal(good, rsa.publicKey, { alg: 'RSA-OAEP-256' })
  const first = gateway.authenticate(token)
  assert.ok(first instanceof Promise)
  assert.equal(gateway.authenticate(token), first)
  const outcome = await first
  assert.ok(outcome.kind === 'identified')
  const again = gateway.authenticate(token)
  assert.ok(!(again instanceof Promise) && again.kind === 'identified')
  assert.equal(again.identity, outcome.identity)
})

test('what was remembered of an encrypted token ends with it', async () => {
  let at = 1_800_000_000_000
  const issuers = { corp: issuerWith(decryptionOf(['env:KEY'])) }
  const gateway = mechanismOf(issuers, { 'env:KEY': pem(rsa.privateKey) }, undefined, () => at)
  const token = await seal(good, rsa.publicKey, { alg: 'RSA-OAEP-256' })
  assert.equal(await verdict(gateway, token), 'alice: support')
  at += 300_000
  assert.equal(await verdict(gateway, token), 'expired')
})

const typRows: readonly (readonly [header: object, expected: string])[] = [
  [{ cty: 'JWT' }, 'alice: support'],
  [{ cty: 'jwt', typ: 'JWT' }, 'alice: support'],
  [{ cty: 'application/jwt' }, 'alice: support'],
  [{ cty: 'at+jwt', iss: issuer, aud: 'shop' }, 'alice: support'],
  [{ cty: 'JWT', iss: issuer, sub: 'alice' }, 'alice: support'],
  [{ cty: 'JWT', kid: 'any' }, 'alice: support'],
  [{ cty: undefined }, 'untrusted'],
  [{ cty: '' }, 'untrusted'],
  [{ cty: 'json' }, 'untrusted'],
  [{ cty: ['JWT'] }, 'untrusted'],
  [{ cty: 'JWT', typ: 'logout+jwt' }, 'untrusted'],
  [{ cty: 'JWT', iss: 'https://evil.example' }, 'untrusted'],
  [{ cty: 'JWT', aud: ['shop'] }, 'untrusted'],
  [{ cty: 'JWT', sub: 'bob' }, 'untrusted'],
]
for (const [header, expected] of typRows) {
  test(`a header of ${JSON.stringify(header)}: ${expected}`, async () => {
    const gateway = mechanism({ 'env:KEY': pem(rsa.privateKey) })
    // The types of jose know what is right; what is wrong is sent all the same.
    const token = await seal(good, rsa.publicKey, { alg: 'RSA-OAEP-256', ...(header as object) })
    assert.equal(await verdict(gateway, token), expected)
  })
}

test('keys are exchanged by name, or by trying those that have none', async () => {
  const old = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const next = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const named = async (key: KeyObject, kid: string) => JSON.stringify({ ...(await exportJWK(key)), kid })
  const both = mechanism({
    'env:NEXT': await named(next.privateKey, 'next'),
    'env:OLD': await named(old.privateKey, 'old'),
  })
  const bare = mechanism({ 'env:NEXT': pem(next.privateKey), 'env:OLD': pem(old.privateKey) })
  for (const [pair, kid] of [
    [old, 'old'],
    [next, 'next'],
  ] as const) {
    for (const gateway of [both, bare]) {
      assert.equal(await verdict(gateway, await seal(good, pair.publicKey, { alg: 'ECDH-ES', kid })), 'alice: support')
      assert.equal(await verdict(gateway, await seal(good, pair.publicKey, { alg: 'ECDH-ES' })), 'alice: support')
    }
    assert.equal(await verdict(both, await seal(good, pair.publicKey, { alg: 'ECDH-ES', kid: 'other' })), 'untrusted')
  }
  assert.equal(await verdict(both, await seal(good, old.publicKey, { alg: 'ECDH-ES', kid: 'next' })), 'untrusted')
})

test('a key speaks for the issuers that have it, and for no other', async () => {
  const partner = 'https://partner.example'
  const keyOf = (name: string) => Object.values(curves)[['corp', 'partner', 'both'].indexOf(name)] ?? assert.fail()
  const secrets = {
    'env:CORP': pem(keyOf('corp').privateKey),
    'env:PARTNER': pem(keyOf('partner').privateKey),
    'env:BOTH': pem(keyOf('both').privateKey),
  }
  const issuers: Record<string, IssuerOptions> = {
    corp: issuerWith(decryptionOf(['env:CORP', 'env:BOTH'])),
    partner: issuerWith({ issuer: partner, ...decryptionOf(['env:PARTNER', 'env:BOTH']) }),
  }
  const gateway = mechanismOf(issuers, secrets)
  const partnerToken = forge(es, { ...claims, iss: partner })
  const sealed = (inner: string, name: string) => seal(inner, keyOf(name).publicKey, { alg: 'ECDH-ES' })
  assert.equal(await verdict(gateway, await sealed(good, 'corp')), 'alice: support')
  assert.equal(await verdict(gateway, await sealed(partnerToken, 'partner')), 'alice: support')
  assert.equal(await verdict(gateway, await sealed(good, 'both')), 'alice: support')
  assert.equal(await verdict(gateway, await sealed(partnerToken, 'both')), 'alice: support')
  assert.equal(await verdict(gateway, await sealed(good, 'partner')), 'untrusted')
  assert.equal(await verdict(gateway, await sealed(partnerToken, 'corp')), 'untrusted')
})

test('a token inside that is bad has a reason of its own only when the issuer signed it', async () => {
  const gateway = mechanism({ 'env:KEY': pem(rsa.privateKey) })
  const rows = [
    [forge(es, { ...claims, aud: 'other' }), 'wrong-audience'],
    [forge(es, { ...claims, exp: 1 }), 'expired'],
    [forge(es, { ...claims, exp: 'soon' }), 'malformed'],
    [forge(es, { ...claims, exp: 1 }, pairs.stranger.privateKey), 'untrusted'],
    [JSON.stringify(claims), 'untrusted'],
    ['not a token', 'untrusted'],
    [`${part({ alg: 'none' })}.${part(claims)}.`, 'untrusted'],
  ] as const
  for (const [inner, expected] of rows)
    assert.equal(await verdict(gateway, await seal(inner, rsa.publicKey, { alg: 'RSA-OAEP-256' })), expected, inner)
})

test('of many tokens at once some are told to come again, and none is let in or refused by that', async () => {
  const gateway = mechanism({ 'env:KEY': pem(curves['P-521'].privateKey) })
  await gateway.prime()
  const tokens = await Promise.all(
    Array.from({ length: 80 }, (_, n) =>
      seal(forge(es, { ...claims, jti: n }), curves['P-521'].publicKey, { alg: 'ECDH-ES' }),
    ),
  )
  const answers = await Promise.allSettled(tokens.map(async token => gateway.authenticate(token)))
  const busy = answers.filter(answer => answer.status === 'rejected')
  assert.deepEqual([...new Set(busy.map(({ reason }) => reason.code))], ['authn.busy'])
  assert.equal(busy.length, 16)
  assert.ok(answers.every(answer => answer.status === 'rejected' || answer.value.kind === 'identified'))
  for (const token of tokens) assert.equal(await verdict(gateway, token), 'alice: support')
})

test('a key that cannot be used stops the start', () => {
  assert.throws(() => mechanism({ 'env:KEY': 'AAAA' }), { code: 'authn.bad_decryption_key' })
})

test('cut, changed and random tokens are refused', async () => {
  const gateway = mechanism({
    'env:KEY': pem(curves['P-256'].privateKey),
    'env:SHARED': randomBytes(32).toString('base64'),
  })
  await gateway.prime()
  const token = await seal(good, curves['P-256'].publicKey, { alg: 'ECDH-ES', enc: 'A128CBC-HS256' })
  for (let cut = 0; cut < token.length; cut++) {
    const found = parseCompactJwe(token.slice(0, cut))
    assert.ok(found.kind === 'rejected' || cut > token.length - 25)
  }
  for (let round = 0; round < 300; round++) {
    const at = round % 2 === 0 ? randomInt(token.indexOf('.')) : randomInt(token.length)
    const changed = token.slice(0, at) + String.fromCharCode(randomInt(128)) + token.slice(at + 1)
    if (changed !== token) assert.equal((await gateway.authenticate(changed)).kind, 'rejected')
    const noise = Array.from({ length: 5 }, () => randomBytes(randomInt(40)).toString('base64url')).join('.')
    assert.ok(hasJweForm(noise))
    assert.equal((await gateway.authenticate(noise)).kind, 'rejected')
  }
  // Headers of every shape, over sound parts.
  const [, ...rest] = token.split('.')
  const values = [null, true, 0, -1, 1e300, '', 'JWT', 'dir', 'A256GCM', 'ECDH-ES', [], ['alg'], {}, { crv: 'P-256' }]
  const members = ['alg', 'enc', 'cty', 'typ', 'kid', 'epk', 'apu', 'apv', 'iv', 'tag', 'iss', 'aud', 'zip', 'crit']
  const sound = JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString())
  for (const member of members) {
    for (const value of values) {
      const changed = [part({ ...sound, [member]: value }), ...rest].join('.')
      if (sound[member] !== value)
        assert.equal((await gateway.authenticate(changed)).kind, 'rejected', `${member} ${value}`)
    }
  }
})
