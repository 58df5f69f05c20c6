import assert from 'node:assert/strict'
import { constants, createPrivateKey, generateKeyPairSync, randomBytes, randomInt, sign } from 'node:crypto'
import { test } from 'node:test'
import { exportJWK, jwtVerify, SignJWT } from 'jose'
import { createJwtMechanism, type JwtMechanism } from './jwt.ts'
import { attacks, createAttacked, goodTokens } from './token-attacks.fixture.ts'
import {
  allAlgorithms,
  allKeys,
  claims,
  es,
  forge,
  good,
  issuerWith,
  jwkOf,
  mechanismOf,
  now,
  type PairName,
  pairs,
  part,
  seconds,
  verdict,
} from './token-forge.fixture.ts'

const options = issuerWith

function mechanism(more: object = {}, keys: object = allKeys, clock = () => now): JwtMechanism {
  return mechanismOf({ corp: issuerWith(more) }, {}, keys, clock)
}

const signers: readonly { readonly alg: string; readonly key: PairName }[] = [
  ...(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const).map(alg => ({ alg, key: 'rsa' as const })),
  { alg: 'ES256', key: 'p256' },
  { alg: 'ES384', key: 'p384' },
  { alg: 'ES512', key: 'p521' },
  { alg: 'EdDSA', key: 'ed' },
]
for (const { alg, key } of signers) {
  test(`what jose signs with ${alg} is verified, and what is changed in it is not`, async () => {
    const token = await new SignJWT(claims).setProtectedHeader({ alg, kid: key }).sign(pairs[key].privateKey)
    const ours = mechanism()
    assert.equal(await verdict(ours, token), 'alice: support')
    const [header = '', payload = '', signature = ''] = token.split('.')
    for (let round = 0; round < 40; round++) {
      const bytes = Buffer.from(signature, 'base64url')
      const at = randomInt(bytes.length)
      bytes[at] = (bytes[at] ?? 0) ^ (1 << randomInt(8))
      assert.equal(await verdict(ours, `${header}.${payload}.${bytes.toString('base64url')}`), 'untrusted')
    }
    assert.equal(await verdict(ours, `${header}.${part({ ...claims, sub: 'admin' })}.${signature}`), 'untrusted')
    // The same key under an issuer that does not list the algorithm.
    const other = allAlgorithms.filter(allowed => allowed !== alg)
    assert.equal(await verdict(mechanism({ algorithms: other }), token), 'untrusted')
  })
}

test('our signatures in the two forms of ECDSA agree with jose for every length of r and s', async () => {
  const ours = mechanism()
  for (let round = 0; round < 300; round++) {
    const token = forge({ alg: 'ES256', kid: 'p256' }, { ...claims, jti: round })
    assert.equal(await verdict(ours, token), 'alice: support')
    if (round % 30 === 0) await jwtVerify(token, pairs.p256.publicKey, { currentDate: new Date(now) })
  }
})

test('RFC 7515 appendix A.3 and RFC 8037 appendix A.4', async () => {
  const { parseKeySet } = await import('./jwk.ts')
  const { isSignatureOf, parseCompactJws } = await import('./jws.ts')
  for (const example of [
    {
      alg: 'ES256' as const,
      jwk: {
        kty: 'EC',
        crv: 'P-256',
        x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
        y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
      },
      jws: 'eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q',
    },
    {
      alg: 'EdDSA' as const,
      jwk: { kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' },
      jws: 'eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg',
    },
  ]) {
    const set = parseKeySet(Buffer.from(JSON.stringify({ keys: [example.jwk] })))
    const jws = parseCompactJws(example.jws)
    assert.ok(set.kind === 'keys' && set.keys[0] !== undefined && jws !== undefined)
    assert.equal(isSignatureOf(set.keys[0], example.alg, jws), true)
    assert.equal(isSignatureOf(set.keys[0], 'RS256', jws), false)
  }
})

// RFC 8725 and what was found in other libraries: nothing of it gets in.
for (const attack of attacks) {
  test(`refused: ${attack.name}`, async () => {
    const ours = createAttacked()
    assert.equal(await verdict(ours, attack.token), attack.reason)
    assert.equal(await verdict(ours, attack.token), attack.reason, 'the second time too')
    // Where there is one issuer and nothing is encrypted it is refused too, whatever for.
    assert.equal((await mechanism().authenticate(attack.token)).kind, 'rejected')
  })
}

test('what the attacks start from is good', async () => {
  const ours = createAttacked()
  for (const { name, token } of goodTokens) assert.equal(await verdict(ours, token), 'alice: support', name)
})

const accepted: readonly {
  readonly name: string
  readonly token: string
  readonly more?: object
  readonly verdict: string
}[] = [
  { name: 'the plain one', token: good, verdict: 'alice: support' },
  { name: 'typ JWT', token: forge({ ...es, typ: 'JWT' }, claims), verdict: 'alice: support' },
  { name: 'typ at+jwt (RFC 9068)', token: forge({ ...es, typ: 'at+jwt' }, claims), verdict: 'alice: support' },
  { name: 'without kid', token: forge({ alg: 'ES256' }, claims), verdict: 'alice: support' },
  { name: 'a list of audiences', token: forge(es, { ...claims, aud: ['x', 'desk'] }), verdict: 'alice: support' },
  { name: 'roles as a string', token: forge(es, { ...claims, roles: 'b a  b' }), verdict: 'alice: a,b' },
  { name: 'no roles', token: forge(es, { ...claims, roles: undefined }), verdict: 'alice: ' },
  {
    name: 'roles that everybody has',
    more: { fixed_roles: ['b', 'a'] },
    token: forge(es, { ...claims, roles: ['b'] }),
    verdict: 'alice: a,b',
  },
  {
    name: 'roles that can be none',
    token: forge(es, { ...claims, roles: ['ok', 'not ok', '', 7, null, ['x'], '$all'] }),
    verdict: 'alice: ok',
  },
  { name: 'roles that are an object', token: forge(es, { ...claims, roles: { admin: true } }), verdict: 'alice: ' },
  {
    name: 'roles along a path',
    more: { roles_claim: 'realm_access.roles' },
    token: forge(es, { ...claims, realm_access: { roles: ['r'] } }),
    verdict: 'alice: r',
  },
  {
    name: 'roles by a name with dots',
    more: { roles_claim: 'https://x.example/roles' },
    token: forge(es, { ...claims, 'https://x.example/roles': ['r'] }),
    verdict: 'alice: r',
  },
  { name: 'a path to nowhere', more: { roles_claim: 'constructor.name' }, token: good, verdict: 'alice: ' },
  {
    name: 'another id claim',
    more: { id_claim: 'user.mail' },
    token: forge(es, { ...claims, user: { mail: 'a@b.example' } }),
    verdict: 'a@b.example: support',
  },
  {
    name: 'exp within the leeway',
    more: { leeway: '10s' },
    token: forge(es, { ...claims, exp: seconds - 9 }),
    verdict: 'alice: support',
  },
  {
    name: 'nbf within the leeway',
    more: { leeway: '10s' },
    token: forge(es, { ...claims, nbf: seconds + 10 }),
    verdict: 'alice: support',
  },
  { name: 'iat a little ahead', token: forge(es, { ...claims, iat: seconds + 30 }), verdict: 'alice: support' },
  { name: 'exp with a fraction', token: forge(es, { ...claims, exp: seconds + 0.5 }), verdict: 'alice: support' },
]
for (const row of accepted) {
  test(`accepted: ${row.name}`, async () => assert.equal(await verdict(mechanism(row.more), row.token), row.verdict))
}

test('the identity is frozen, without a prototype in its claims, and says who vouches and how long', async () => {
  const outcome = await mechanism({ leeway: '5s' }).authenticate(
    forge(es, { ...claims, ['__proto__']: { admin: true } }),
  )
  assert.ok(outcome.kind === 'identified')
  const { identity } = outcome
  assert.equal(identity.source, 'corp')
  assert.equal(identity.mechanism, 'jwt')
  assert.equal(identity.clientId, undefined)
  assert.equal(identity.expiresAt, now + 305_000)
  assert.equal(Object.getPrototypeOf(identity.claims), null)
  assert.equal(identity.claims['admin'], undefined)
  assert.ok(Object.isFrozen(identity) && Object.isFrozen(identity.claims) && Object.isFrozen(identity.claims['roles']))
})

test('PS256 is verified with a salt as long as the hash, and no other', async () => {
  const input = `${part({ alg: 'PS256', kid: 'rsa' })}.${part(claims)}`
  for (const [saltLength, expected] of [
    [32, 'alice: support'],
    [20, 'untrusted'],
    [0, 'untrusted'],
  ] as const) {
    const key = { key: pairs.rsa.privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength }
    const token = `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`
    assert.equal(await verdict(mechanism(), token), expected)
  }
})

test('of several keys without a name three are tried', async () => {
  const { kid: _kid, ...p256 } = await jwkOf('p256')
  const others = await Promise.all(
    [1, 2, 3].map(() => exportJWK(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey)),
  )
  const token = forge({ alg: 'ES256' }, claims)
  assert.equal(await verdict(mechanism({}, { keys: [...others.slice(0, 2), p256] }), token), 'alice: support')
  assert.equal(await verdict(mechanism({}, { keys: [...others, p256] }), token), 'untrusted')
  // Keys of another type do not count.
  const rsa = await jwkOf('rsa')
  assert.equal(await verdict(mechanism({}, { keys: [rsa, rsa, rsa, p256] }), token), 'alice: support')
  // A kid in the token must be a kid of the set.
  assert.equal(await verdict(mechanism({}, { keys: [p256] }), good), 'untrusted')
})

test('each issuer has its own keys, even where their names are the same', async () => {
  const strangerKeys = { keys: [await jwkOf('stranger', { kid: 'p256' })] }
  const ours = createJwtMechanism(
    { corp: options(), partner: options({ issuer: 'https://partner.example', jwks: 'https://partner.example/jwks' }) },
    {
      clock: () => now,
      secret: assert.fail,
      fetch: async url => Response.json(String(url).includes('partner') ? strangerKeys : allKeys),
    },
  )
  const partnerClaims = { ...claims, iss: 'https://partner.example' }
  assert.equal(await verdict(ours, good), 'alice: support')
  assert.equal(await verdict(ours, forge(es, partnerClaims, pairs.stranger.privateKey)), 'alice: support')
  assert.equal(await verdict(ours, forge(es, partnerClaims)), 'untrusted')
  assert.equal(await verdict(ours, forge(es, claims, pairs.stranger.privateKey)), 'untrusted')
})

test('two entries for one issuer, and a key set over plain HTTP, stop the start', () => {
  const surroundings = { fetch: async () => Response.json(allKeys), clock: () => now, secret: assert.fail }
  assert.throws(() => createJwtMechanism({ a: options(), b: options() }, surroundings), { code: 'authn.bad_issuer' })
  for (const jwks of [
    'http://id.example/jwks',
    'ftp://id.example/jwks',
    'https://user:pw@id.example/jwks',
    'https://',
  ]) {
    assert.throws(() => createJwtMechanism({ a: options({ jwks }) }, surroundings), { code: 'authn.bad_issuer' })
  }
  createJwtMechanism({ a: options({ jwks: 'http://127.0.0.1:1/jwks', insecure_http: true }) }, surroundings)
})

test('cut, flipped and random tokens are refused', async () => {
  const ours = mechanism()
  await ours.prime()
  for (let cut = 0; cut < good.length; cut++) {
    const outcome = await ours.authenticate(good.slice(0, cut))
    assert.equal(outcome.kind, 'rejected')
  }
  for (let round = 0; round < 2_000; round++) {
    const at = round % good.length
    const replaced = good.slice(0, at) + String.fromCharCode(randomInt(128)) + good.slice(at + 1)
    if (replaced !== good) assert.equal((await ours.authenticate(replaced)).kind, 'rejected')
    assert.equal((await ours.authenticate(randomBytes(round % 200).toString('latin1'))).kind, 'rejected')
  }
})

test('an RSA key below 2048 bits verifies nothing', async () => {
  const small = generateKeyPairSync('rsa', { modulusLength: 1024 })
  const keys = { keys: [{ ...(await exportJWK(small.publicKey)), kid: 'small' }, await jwkOf('p256')] }
  const input = `${part({ alg: 'RS256', kid: 'small' })}.${part(claims)}`
  const token = `${input}.${sign('sha256', Buffer.from(input), createPrivateKey(small.privateKey.export({ format: 'pem', type: 'pkcs8' }))).toString('base64url')}`
  assert.equal(await verdict(mechanism({}, keys), token), 'untrusted')
})
