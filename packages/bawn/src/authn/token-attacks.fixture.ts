import { createHmac, createSecretKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { CompactEncrypt, type CompactJWEHeaderParameters, exportJWK } from 'jose'
import type { JwtMechanism } from './jwt.ts'
import {
  allKeys,
  claims,
  es,
  forge,
  good,
  issuer,
  issuerWith,
  mechanismOf,
  pairs,
  part,
  seconds,
} from './token-forge.fixture.ts'

// What was tried against other libraries, and what RFC 8725 warns of, against a gateway with three issuers: one with public keys, one with a
// secret, one that encrypts to us. No row gets in. The suite asks for the answers, bench/authn-attacks.ts for the time.

export interface Attack {
  readonly name: string
  readonly token: string
  /** Why it is refused. */
  readonly reason: string
}

const secretIssuer = 'https://secret.example'
const sealedIssuer = 'https://sealed.example'
const secret = randomBytes(64)
const decryptionPairs = {
  rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ec: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
}
const sharedKey = randomBytes(32)
const pem = (key: KeyObject): string => String(key.export({ format: 'pem', type: 'pkcs8' }))
const secrets = {
  'env:SECRET': secret.toString('base64'),
  'env:RSA': pem(decryptionPairs.rsa.privateKey),
  'env:EC': pem(decryptionPairs.ec.privateKey),
  'env:SHARED': sharedKey.toString('base64'),
}

/** The gateway that is attacked. */
export function createAttacked(): JwtMechanism {
  return mechanismOf(
    {
      corp: issuerWith(),
      partner: issuerWith({
        issuer: secretIssuer,
        jwks: undefined,
        secret: 'env:SECRET',
        algorithms: ['HS256', 'HS384', 'HS512'],
      }),
      sealed: issuerWith({
        issuer: sealedIssuer,
        decryption: {
          keys: ['env:RSA', 'env:EC', 'env:SHARED'],
          algorithms: ['RSA-OAEP-256', 'RSA-OAEP', 'ECDH-ES', 'ECDH-ES+A256KW', 'A256KW', 'A256GCMKW', 'dir'],
        },
      }),
    },
    secrets,
  )
}

const hmac = (key: string | Buffer, header: object, payload: unknown = claims, hash = 'sha256'): string => {
  const input = `${part(header)}.${part(payload)}`
  return `${input}.${createHmac(hash, key).update(input).digest('base64url')}`
}
/** Encrypts whatever is given, to our public key. */
const seal = (text: string, header: object = {}, key: KeyObject = decryptionPairs.ec.publicKey): Promise<string> => {
  const { alg = 'ECDH-ES', ...more } = header as { readonly alg?: string }
  const protectedHeader: CompactJWEHeaderParameters = { alg, enc: 'A256GCM', cty: 'JWT', ...more }
  const options = 'crit' in more ? { crit: { x: true } } : {}
  return new CompactEncrypt(Buffer.from(text)).setProtectedHeader(protectedHeader).encrypt(key, options)
}
/** Five parts of which only the header is looked at before a key is. */
const husk = (header: object, sizes = { key: 0, iv: 12, text: 300, tag: 16 }): string =>
  [
    part({ alg: 'ECDH-ES', enc: 'A256GCM', cty: 'JWT', ...header }),
    ...[sizes.key, sizes.iv, sizes.text, sizes.tag].map(size => randomBytes(size).toString('base64url')),
  ].join('.')

const secretClaims = { ...claims, iss: secretIssuer }
const sealedClaims = { ...claims, iss: sealedIssuer }
const sealedGood = forge(es, sealedClaims)
const epk = await exportJWK(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey)
const zeros32 = Buffer.alloc(32).toString('base64url')
const ones32 = Buffer.alloc(32, 0xff).toString('base64url')

/** Tokens that are good: who attacks starts from one. */
export const goodTokens: readonly { readonly name: string; readonly token: string }[] = [
  { name: 'signed with ES256', token: good },
  { name: 'signed with HS256', token: hmac(secret, { alg: 'HS256' }, secretClaims) },
  { name: 'encrypted with ECDH-ES', token: await seal(sealedGood) },
  {
    name: 'encrypted with RSA-OAEP-256',
    token: await seal(sealedGood, { alg: 'RSA-OAEP-256' }, decryptionPairs.rsa.publicKey),
  },
]

const publicForms = [
  ['RSA key in PEM', String(pairs.rsa.publicKey.export({ format: 'pem', type: 'spki' })), 'rsa'],
  [
    'RSA key in PEM without its line end',
    String(pairs.rsa.publicKey.export({ format: 'pem', type: 'spki' })).trim(),
    'rsa',
  ],
  ['RSA key in PKCS#1 PEM', String(pairs.rsa.publicKey.export({ format: 'pem', type: 'pkcs1' })), 'rsa'],
  ['RSA key in DER', pairs.rsa.publicKey.export({ format: 'der', type: 'spki' }), 'rsa'],
  ['RSA key as JWK', JSON.stringify(allKeys.keys[0]), 'rsa'],
  ['modulus of the RSA key', Buffer.from(String(allKeys.keys[0]?.n), 'base64url'), 'rsa'],
  ['EC key in PEM', String(pairs.p256.publicKey.export({ format: 'pem', type: 'spki' })), 'p256'],
  ['EC key as JWK', JSON.stringify(allKeys.keys[1]), 'p256'],
  ['Ed25519 key, its bytes', Buffer.from(String(allKeys.keys[4]?.x), 'base64url'), 'ed'],
  ['key set', JSON.stringify(allKeys), 'rsa'],
  ['issuer', issuer, 'rsa'],
  ['empty key', '', 'rsa'],
] as const

const confusion: Attack[] = [
  ...publicForms.flatMap(([name, key, kid]) =>
    (['HS256', 'HS384', 'HS512'] as const).map(alg => ({
      name: `${alg} with the ${name}`,
      token: hmac(Buffer.from(key), { alg, kid }, claims, `sha${alg.slice(2)}`),
      reason: 'untrusted',
    })),
  ),
  {
    name: 'HS256 with the RSA key in PEM, for the issuer with a secret',
    token: hmac(String(pairs.rsa.publicKey.export({ format: 'pem', type: 'spki' })), { alg: 'HS256' }, secretClaims),
    reason: 'untrusted',
  },
  { name: 'ES256 for the issuer with a secret', token: forge(es, secretClaims), reason: 'untrusted' },
  { name: 'HS256 with the secret of another issuer', token: hmac(secret, { alg: 'HS256' }), reason: 'untrusted' },
  {
    name: 'HS512 that is cut to the length of HS256',
    token: hmac(secret, { alg: 'HS512' }, secretClaims, 'sha256'),
    reason: 'untrusted',
  },
  {
    name: 'HS256 with half its bytes',
    token: `${hmac(secret, { alg: 'HS256' }, secretClaims).slice(0, -22)}`,
    reason: 'malformed',
  },
  {
    name: 'HS256 with no byte',
    token: hmac(secret, { alg: 'HS256' }, secretClaims).replace(/[^.]*$/, ''),
    reason: 'malformed',
  },
  { name: 'RS256 over the kid of an EC key', token: forge({ alg: 'RS256', kid: 'p256' }, claims), reason: 'untrusted' },
  { name: 'ES384 over a key of P-256', token: forge({ alg: 'ES384', kid: 'p256' }, claims), reason: 'untrusted' },
  ...[
    'none',
    'None',
    'NONE',
    'nOnE',
    'none ',
    '',
    'es256',
    'ES256 ',
    'ES256\0',
    'ES256K',
    'HS1',
    'RS1',
    'dir',
    '\uff25\uff33256',
  ].map(alg => ({
    name: `alg ${JSON.stringify(alg)} over a good signature`,
    token: forge({ alg, kid: 'p256' }, claims),
    reason: 'untrusted',
  })),
  ...['none', 'None', 'nOnE'].flatMap(alg => [
    { name: `alg ${alg}, no signature`, token: `${part({ alg })}.${part(claims)}.`, reason: 'malformed' },
    { name: `alg ${alg}, some signature`, token: `${part({ alg })}.${part(claims)}.AA`, reason: 'untrusted' },
  ]),
  ...[null, 1, ['ES256'], { alg: 'ES256' }, true].map(alg => ({
    name: `alg that is ${JSON.stringify(alg)}`,
    token: forge({ alg, kid: 'p256' }, claims),
    reason: 'untrusted',
  })),
  { name: 'no alg', token: forge({ kid: 'p256' }, claims), reason: 'untrusted' },
]

const strangerJwk = await exportJWK(pairs.stranger.publicKey)
const strange = (header: object): string => forge({ ...es, ...header }, claims, pairs.stranger.privateKey)
const keys: Attack[] = [
  { name: 'an embedded jwk', token: strange({ jwk: strangerJwk }), reason: 'untrusted' },
  { name: 'an embedded jwk without kid', token: strange({ kid: undefined, jwk: strangerJwk }), reason: 'untrusted' },
  { name: 'jku', token: strange({ jku: 'https://evil.example/jwks' }), reason: 'untrusted' },
  { name: 'jku of a file', token: strange({ kid: 'new', jku: 'file:///etc/passwd' }), reason: 'untrusted' },
  { name: 'x5u', token: strange({ x5u: 'https://evil.example/cert' }), reason: 'untrusted' },
  { name: 'x5c', token: strange({ x5c: ['MIIB'] }), reason: 'untrusted' },
  { name: 'x5t', token: strange({ x5t: 'A'.repeat(27) }), reason: 'untrusted' },
  ...[
    ['a path', '../../../dev/null'],
    ['a path to an empty file', '/dev/null'],
    ['a URL', 'https://evil.example/key'],
    ['SQL', "x' UNION SELECT 'key"],
    ['a command', '| /usr/bin/id'],
    ['the prototype', '__proto__'],
    ['a member of the prototype', 'constructor'],
    ['a NUL', 'p256\0'],
    ['another case', 'P256'],
    ['nothing', ''],
    ['a pattern', '.*'],
    ['half a character', '\ufffd'],
  ].map(([name, kid]) => ({
    name: `kid of ${name}`,
    token: forge({ alg: 'ES256', kid }, claims, pairs.stranger.privateKey),
    reason: 'untrusted',
  })),
  ...[1, null, ['p256'], { kid: 'p256' }, 'k'.repeat(257), 'k'.repeat(10_000)].map(kid => ({
    name: `kid that is ${JSON.stringify(kid).slice(0, 20)}`,
    token: forge({ alg: 'ES256', kid }, claims),
    reason: 'malformed',
  })),
]

const [goodHeader = '', goodPayload = '', goodSignature = ''] = good.split('.')
const signedBy = (signature: Buffer | string): string =>
  `${goodHeader}.${goodPayload}.${typeof signature === 'string' ? signature : signature.toString('base64url')}`
const order = 'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551'
const prime = 'ffffffff00000001000000000000000000000000ffffffffffffffffffffffff'
const zero = '0'.repeat(64)
const one = `${'0'.repeat(63)}1`
const rs = Buffer.from(goodSignature, 'base64url')
const rsaSigned = (bytes: Buffer): string =>
  `${part({ alg: 'RS256', kid: 'rsa' })}.${part(claims)}.${bytes.toString('base64url')}`
const signatures: Attack[] = [
  ...[
    ['r and s are 0', zero + zero],
    ['r is 0, s is 1', zero + one],
    ['r is 1, s is 0', one + zero],
    ['r and s are 1', one + one],
    ['r and s are the order', order + order],
    ['r is 1, s is the order', one + order],
    ['r is the prime of the field, s is 1', prime + one],
    ['r and s are the largest', 'f'.repeat(128)],
    ['r is beyond the order', `${'f'.repeat(64)}${rs.subarray(32).toString('hex')}`],
  ].map(([name, hex = '']) => ({
    name: `ECDSA: ${name}`,
    token: signedBy(Buffer.from(hex, 'hex')),
    reason: 'untrusted',
  })),
  {
    name: 'ECDSA: in DER',
    token: signedBy(sign('sha256', Buffer.from(`${goodHeader}.${goodPayload}`), pairs.p256.privateKey)),
    reason: 'untrusted',
  },
  { name: 'ECDSA: two bytes more', token: signedBy(Buffer.concat([rs, Buffer.alloc(2)])), reason: 'untrusted' },
  { name: 'ECDSA: a byte less', token: signedBy(rs.subarray(0, 63)), reason: 'untrusted' },
  { name: 'ECDSA: r alone', token: signedBy(rs.subarray(0, 32)), reason: 'untrusted' },
  { name: 'ECDSA: twelve kilobytes', token: signedBy(randomBytes(9_000)), reason: 'untrusted' },
  { name: 'RSA: zeros', token: rsaSigned(Buffer.alloc(256)), reason: 'untrusted' },
  { name: 'RSA: one', token: rsaSigned(Buffer.concat([Buffer.alloc(255), Buffer.of(1)])), reason: 'untrusted' },
  {
    name: 'RSA: the modulus',
    token: rsaSigned(Buffer.from(String(allKeys.keys[0]?.n), 'base64url')),
    reason: 'untrusted',
  },
  { name: 'RSA: the largest', token: rsaSigned(Buffer.alloc(256, 0xff)), reason: 'untrusted' },
  { name: 'RSA: a byte more', token: rsaSigned(Buffer.alloc(257, 1)), reason: 'untrusted' },
  { name: 'RSA: none', token: rsaSigned(Buffer.alloc(0)), reason: 'malformed' },
  {
    name: 'EdDSA: zeros',
    token: `${part({ alg: 'EdDSA', kid: 'ed' })}.${part(claims)}.${Buffer.alloc(64).toString('base64url')}`,
    reason: 'untrusted',
  },
  {
    name: 'EdDSA: the identity and 0',
    token: `${part({ alg: 'EdDSA', kid: 'ed' })}.${part(claims)}.${Buffer.concat([Buffer.of(1), Buffer.alloc(63)]).toString('base64url')}`,
    reason: 'untrusted',
  },
]

const headers: Attack[] = [
  { name: 'crit unknown', token: forge({ ...es, crit: ['x'], x: 1 }, claims), reason: 'untrusted' },
  { name: 'crit empty', token: forge({ ...es, crit: [] }, claims), reason: 'untrusted' },
  { name: 'crit of a name twice', token: forge({ ...es, crit: ['x', 'x'], x: 1 }, claims), reason: 'untrusted' },
  { name: 'crit of alg', token: forge({ ...es, crit: ['alg'] }, claims), reason: 'untrusted' },
  { name: 'crit of what is not there', token: forge({ ...es, crit: ['y'] }, claims), reason: 'untrusted' },
  { name: 'crit exp', token: forge({ ...es, crit: ['exp'], exp: seconds + 9 }, claims), reason: 'untrusted' },
  { name: 'crit null', token: forge({ ...es, crit: null }, claims), reason: 'untrusted' },
  { name: 'crit a text', token: forge({ ...es, crit: 'exp' }, claims), reason: 'untrusted' },
  { name: 'b64 false', token: forge({ ...es, b64: false, crit: ['b64'] }, claims), reason: 'untrusted' },
  { name: 'b64 true', token: forge({ ...es, b64: true, crit: ['b64'] }, claims), reason: 'untrusted' },
  { name: 'b64 without crit', token: forge({ ...es, b64: false }, claims), reason: 'untrusted' },
  { name: 'nested', token: forge({ ...es, cty: 'JWT' }, good), reason: 'malformed' },
  { name: 'nested that is an object', token: forge({ ...es, cty: 'JWT' }, claims), reason: 'untrusted' },
  {
    name: 'nested ten deep',
    token: Array.from({ length: 10 }).reduce<string>(inner => forge({ ...es, cty: 'JWT' }, inner), good),
    reason: 'malformed',
  },
  ...['logout+jwt', 'dpop+jwt', 'secevent+jwt', 'id+jwt', 'JOSE', 'application/json', '', 'at+jwt;x', 'jwt\0'].map(
    typ => ({
      name: `typ ${JSON.stringify(typ)}`,
      token: forge({ ...es, typ }, claims),
      reason: 'untrusted',
    }),
  ),
  { name: 'typ that is a list', token: forge({ ...es, typ: ['JWT'] }, claims), reason: 'untrusted' },
  { name: 'alg twice', token: forge('{"alg":"ES256","alg":"none","kid":"p256"}', claims), reason: 'malformed' },
  {
    name: 'alg twice, once escaped',
    token: forge('{"alg":"none","\\u0061lg":"ES256","kid":"p256"}', claims),
    reason: 'malformed',
  },
  { name: 'alg on __proto__', token: forge('{"__proto__":{"alg":"ES256","kid":"p256"}}', claims), reason: 'untrusted' },
  { name: 'header is a list', token: forge([es], claims), reason: 'malformed' },
  { name: 'header is null', token: forge('null', claims), reason: 'malformed' },
  { name: 'header has a byte order mark', token: forge(`\ufeff${JSON.stringify(es)}`, claims), reason: 'malformed' },
  {
    name: 'header of 15 kilobytes',
    token: forge({ ...es, x: 'x'.repeat(11_000) }, { ...claims, iss: '' }),
    reason: 'untrusted',
  },
]

const raw = (payload: Buffer): string => {
  const input = `${part(es)}.${payload.toString('base64url')}`
  const key = { key: pairs.p256.privateKey, dsaEncoding: 'ieee-p1363' } as const
  return `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`
}
const withExp = (exp: string): string => forge(es, `{"iss":"${issuer}","aud":"shop","sub":"alice","exp":${exp}}`)
const payloads: Attack[] = [
  {
    name: 'a claim twice',
    token: forge(es, `{"sub":"alice","iss":"${issuer}","aud":"shop","exp":${seconds + 9},"sub":"admin"}`),
    reason: 'malformed',
  },
  {
    name: 'a claim twice, once escaped',
    token: forge(es, `{"sub":"alice","iss":"${issuer}","aud":"shop","exp":${seconds + 9},"\\u0073ub":"admin"}`),
    reason: 'malformed',
  },
  { name: 'payload is a string', token: forge(es, '"alice"'), reason: 'malformed' },
  { name: 'payload is a list', token: forge(es, [claims]), reason: 'malformed' },
  { name: 'payload is null', token: forge(es, 'null'), reason: 'malformed' },
  { name: 'payload is empty', token: forge(es, ''), reason: 'malformed' },
  { name: 'payload has something behind it', token: forge(es, `${JSON.stringify(claims)} {}`), reason: 'malformed' },
  {
    name: 'payload is no UTF-8',
    token: raw(Buffer.from(JSON.stringify({ ...claims, x: 'x\xff' }), 'latin1')),
    reason: 'malformed',
  },
  {
    name: 'payload is overlong UTF-8',
    token: raw(Buffer.concat([Buffer.from('{"sub":"'), Buffer.of(0xc1, 0xa1), Buffer.from('"}')])),
    reason: 'malformed',
  },
  { name: 'payload is UTF-16', token: raw(Buffer.from(JSON.stringify(claims), 'utf16le')), reason: 'malformed' },
  {
    name: 'half a surrogate pair in sub',
    token: forge(es, JSON.stringify({ ...claims, sub: 'alice\ud800' })),
    reason: 'malformed',
  },
  {
    name: 'half a surrogate pair in a name',
    token: forge(es, JSON.stringify({ ...claims, '\udfff': 1 })),
    reason: 'malformed',
  },
  { name: 'deep', token: forge(es, `{"a":${'['.repeat(2_000)}${']'.repeat(2_000)}}`), reason: 'malformed' },
  { name: 'deep, of objects', token: forge(es, `${'{"a":'.repeat(1_000)}1${'}'.repeat(1_000)}`), reason: 'malformed' },
  { name: 'deep and never closed', token: forge(es, '['.repeat(8_000)), reason: 'malformed' },
  {
    name: 'nine hundred members',
    token: forge(es, Object.fromEntries(Array.from({ length: 900 }, (_, n) => [`m${n}`, n]))),
    reason: 'untrusted',
  },
  { name: 'a number of five thousand digits', token: withExp('9'.repeat(5_000)), reason: 'malformed' },
  { name: 'another issuer', token: forge(es, { ...claims, iss: 'https://evil.example' }), reason: 'untrusted' },
  { name: 'issuer with a slash more', token: forge(es, { ...claims, iss: `${issuer}/` }), reason: 'untrusted' },
  { name: 'issuer with a NUL', token: forge(es, { ...claims, iss: `${issuer}\0` }), reason: 'untrusted' },
  { name: 'issuer in a list', token: forge(es, { ...claims, iss: [issuer] }), reason: 'untrusted' },
  { name: 'issuer of the prototype', token: forge(es, { ...claims, iss: '__proto__' }), reason: 'untrusted' },
  { name: 'no issuer', token: forge(es, { ...claims, iss: undefined }), reason: 'untrusted' },
  { name: 'another audience', token: forge(es, { ...claims, aud: 'shopping' }), reason: 'wrong-audience' },
  { name: 'no audience', token: forge(es, { ...claims, aud: undefined }), reason: 'wrong-audience' },
  { name: 'an audience that is an object', token: forge(es, { ...claims, aud: { shop: 1 } }), reason: 'malformed' },
  { name: 'an audience list with a number', token: forge(es, { ...claims, aud: ['shop', 1] }), reason: 'malformed' },
  { name: 'no exp', token: forge(es, { ...claims, exp: undefined }), reason: 'malformed' },
  ...[
    ['a string', '"1900000000"'],
    ['null', 'null'],
    ['true', 'true'],
    ['a list', '[1900000000]'],
    ['an object', '{"valueOf":1900000000}'],
    ['1e400', '1e400'],
    ['1e999', '1e999'],
    ['1e300', '1e300'],
    ['beyond time', '8640000000001'],
    ['NaN', 'NaN'],
    ['Infinity', 'Infinity'],
    ['hexadecimal', '0x7fffffff'],
    ['with a plus', '+1900000000'],
    ['with a zero before', '01900000000'],
  ].map(([name, exp = '']) => ({ name: `exp is ${name}`, token: withExp(exp), reason: 'malformed' })),
  ...['0', '-0', '-1', '-1900000000', '1e-300', String(seconds), String(seconds - 1)].map(exp => ({
    name: `exp is ${exp}`,
    token: withExp(exp),
    reason: 'expired',
  })),
  { name: 'nbf is to come', token: forge(es, { ...claims, nbf: seconds + 1 }), reason: 'not-yet-valid' },
  { name: 'nbf is no number', token: forge(es, { ...claims, nbf: 'now' }), reason: 'malformed' },
  { name: 'nbf is null', token: forge(es, { ...claims, nbf: null }), reason: 'malformed' },
  {
    name: 'iat is an hour ahead',
    token: forge(es, { ...claims, iat: seconds + 3_600, exp: seconds + 7_200 }),
    reason: 'not-yet-valid',
  },
  { name: 'iat is after exp', token: forge(es, { ...claims, iat: seconds + 301 }), reason: 'malformed' },
  { name: 'no sub', token: forge(es, { ...claims, sub: undefined }), reason: 'malformed' },
  ...[
    ['empty', ''],
    ['with a control character', 'a\nb'],
    ['with a NUL', 'alice\0'],
    ['with a direction mark', 'alice\u202e'],
    ['long', 'a'.repeat(129)],
    ['a number', 7],
    ['a list', ['alice']],
  ].map(([name, sub]) => ({ name: `sub is ${name}`, token: forge(es, { ...claims, sub }), reason: 'malformed' })),
  {
    name: 'sub only on __proto__',
    token: forge(es, `{"iss":"${issuer}","aud":"shop","exp":${seconds + 9},"__proto__":{"sub":"admin"}}`),
    reason: 'malformed',
  },
]

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const last = alphabet.indexOf(goodSignature.at(-1) ?? '')
/** The same bytes by another last character: its low four bits belong to none of them. */
const stray = alphabet[(last & ~15) | ((last + 1) & 15)]
const forms: Attack[] = [
  {
    name: 'JSON serialization',
    token: JSON.stringify({ payload: goodPayload, protected: goodHeader, signature: goodSignature }),
    reason: 'malformed',
  },
  {
    name: 'general JSON serialization',
    token: JSON.stringify({ payload: goodPayload, signatures: [{ protected: goodHeader, signature: goodSignature }] }),
    reason: 'malformed',
  },
  { name: 'detached payload', token: `${goodHeader}..${goodSignature}`, reason: 'malformed' },
  { name: 'one part', token: goodHeader, reason: 'malformed' },
  { name: 'two parts', token: `${goodHeader}.${goodPayload}`, reason: 'malformed' },
  { name: 'a trailing dot', token: `${good}.`, reason: 'malformed' },
  { name: 'two trailing dots', token: `${good}..`, reason: 'untrusted' },
  { name: 'a leading dot', token: `.${good}`, reason: 'malformed' },
  { name: 'a JWS with two parts more', token: `${good}.AA.AA`, reason: 'untrusted' },
  { name: 'six parts', token: `${good}.AA.AA.AA`, reason: 'malformed' },
  { name: 'padding', token: `${good}==`, reason: 'malformed' },
  { name: 'padding in the header', token: `${goodHeader}=.${goodPayload}.${goodSignature}`, reason: 'malformed' },
  ...['\n', '\r\n', ' ', '\t', '\0', '%20', '\u00a0'].flatMap(character => [
    { name: `${JSON.stringify(character)} behind`, token: `${good}${character}`, reason: 'malformed' },
    { name: `${JSON.stringify(character)} before`, token: `${character}${good}`, reason: 'malformed' },
    {
      name: `${JSON.stringify(character)} within`,
      token: signedBy(`${goodSignature.slice(0, 40)}${character}${goodSignature.slice(40)}`),
      reason: 'malformed',
    },
  ]),
  { name: 'stray bits', token: good.slice(0, -1) + stray, reason: 'malformed' },
  { name: 'base64 instead of base64url', token: signedBy('+/'.repeat(43)), reason: 'malformed' },
  { name: 'letters of another alphabet', token: signedBy('\uff21'.repeat(86)), reason: 'malformed' },
  { name: 'empty', token: '', reason: 'malformed' },
  { name: 'a dot', token: '.', reason: 'malformed' },
  { name: 'dots', token: '..', reason: 'malformed' },
  { name: 'four dots', token: '....', reason: 'malformed' },
  { name: 'sixteen thousand dots', token: '.'.repeat(16_000), reason: 'malformed' },
  { name: 'sixteen thousand letters', token: 'A'.repeat(16_384), reason: 'malformed' },
  { name: 'huge', token: forge(es, { ...claims, x: 'x'.repeat(17_000) }), reason: 'malformed' },
  { name: 'ten megabytes', token: `${good}${'A'.repeat(10_000_000)}`, reason: 'malformed' },
]

const nested = async (deep: number): Promise<string> => {
  let token = sealedGood
  for (let layer = 0; layer < deep; layer++) token = await seal(token)
  return token
}
const { rsa, ec } = decryptionPairs
const [sealedHeader = '', , sealedIv = '', sealedText = '', sealedTag = ''] = (await seal(sealedGood)).split('.')
const encrypted: Attack[] = [
  {
    name: 'JWE: claims without a signature',
    token: await seal(JSON.stringify(sealedClaims), { cty: undefined }),
    reason: 'untrusted',
  },
  { name: 'JWE: claims that are called a JWT', token: await seal(JSON.stringify(sealedClaims)), reason: 'untrusted' },
  {
    name: 'JWE: alg none inside',
    token: await seal(`${part({ alg: 'none' })}.${part(sealedClaims)}.`),
    reason: 'untrusted',
  },
  {
    name: 'JWE: a stranger’s signature inside',
    token: await seal(forge(es, sealedClaims, pairs.stranger.privateKey)),
    reason: 'untrusted',
  },
  { name: 'JWE: a token of an issuer that does not encrypt', token: await seal(good), reason: 'untrusted' },
  {
    name: 'JWE: a token of the issuer with a secret',
    token: await seal(hmac(secret, { alg: 'HS256' }, secretClaims)),
    reason: 'untrusted',
  },
  {
    name: 'JWE: an expired token inside',
    token: await seal(forge(es, { ...sealedClaims, exp: seconds - 1 })),
    reason: 'expired',
  },
  { name: 'JWE: nothing inside', token: await seal(' '), reason: 'untrusted' },
  { name: 'JWE: bytes inside', token: await seal(randomBytes(500).toString('latin1')), reason: 'untrusted' },
  { name: 'JWE: a JWE inside', token: await nested(2), reason: 'untrusted' },
  { name: 'JWE: five JWEs inside', token: await nested(6), reason: 'untrusted' },
  { name: 'JWE: ten JWEs inside', token: await nested(11), reason: 'malformed' },
  { name: 'JWE: iss of the header is another', token: await seal(sealedGood, { iss: issuer }), reason: 'untrusted' },
  { name: 'JWE: sub of the header is another', token: await seal(sealedGood, { sub: 'admin' }), reason: 'untrusted' },
  { name: 'JWE: aud of the header is another', token: await seal(sealedGood, { aud: ['desk'] }), reason: 'untrusted' },
  { name: 'JWE: zip', token: await seal(sealedGood, { zip: 'DEF' }), reason: 'untrusted' },
  { name: 'JWE: zip of ten megabytes', token: await seal(' '.repeat(10_000_000), { zip: 'DEF' }), reason: 'untrusted' },
  { name: 'JWE: zip null', token: husk({ epk, zip: null }), reason: 'untrusted' },
  { name: 'JWE: crit', token: await seal(sealedGood, { crit: ['x'], x: 1 }), reason: 'untrusted' },
  { name: 'JWE: crit empty', token: husk({ epk, crit: [] }), reason: 'untrusted' },
  {
    name: 'JWE: p2c of a billion',
    token: husk({ alg: 'PBES2-HS512+A256KW', p2c: 1e9, p2s: zeros32 }, { key: 40, iv: 12, text: 300, tag: 16 }),
    reason: 'untrusted',
  },
  { name: 'JWE: p2c beside ECDH-ES', token: await seal(sealedGood, { p2c: 1e9 }), reason: 'untrusted' },
  {
    name: 'JWE: RSA1_5',
    token: husk({ alg: 'RSA1_5' }, { key: 256, iv: 12, text: 300, tag: 16 }),
    reason: 'untrusted',
  },
  { name: 'JWE: alg none', token: husk({ alg: 'none' }), reason: 'untrusted' },
  { name: 'JWE: alg of a signature', token: husk({ alg: 'HS256' }), reason: 'untrusted' },
  { name: 'JWE: enc unknown', token: husk({ epk, enc: 'A256CTR' }), reason: 'untrusted' },
  { name: 'JWE: enc that is not listed', token: await seal(sealedGood, { enc: 'A192GCM' }), reason: 'untrusted' },
  {
    name: 'JWE: alg that is not listed',
    token: await seal(sealedGood, { alg: 'ECDH-ES+A128KW' }),
    reason: 'untrusted',
  },
  {
    name: 'JWE: dir with zeros',
    token: await seal(sealedGood, { alg: 'dir' }, createSecretKey(Buffer.alloc(32))),
    reason: 'untrusted',
  },
  {
    name: 'JWE: dir with our public key',
    token: await seal(
      sealedGood,
      { alg: 'dir' },
      createSecretKey(Buffer.from(String((await exportJWK(ec.publicKey)).x), 'base64url')),
    ),
    reason: 'untrusted',
  },
  {
    name: 'JWE: RSA, random key',
    token: husk({ alg: 'RSA-OAEP-256' }, { key: 256, iv: 12, text: 300, tag: 16 }),
    reason: 'untrusted',
  },
  {
    name: 'JWE: RSA, zeros',
    token: husk({ alg: 'RSA-OAEP' }).replace('..', `.${Buffer.alloc(256).toString('base64url')}.`),
    reason: 'untrusted',
  },
  {
    name: 'JWE: RSA, a short key',
    token: husk({ alg: 'RSA-OAEP-256' }, { key: 100, iv: 12, text: 300, tag: 16 }),
    reason: 'malformed',
  },
  { name: 'JWE: RSA, no key', token: husk({ alg: 'RSA-OAEP-256' }), reason: 'malformed' },
  {
    name: 'JWE: RSA with the other hash',
    token: (await seal(sealedGood, { alg: 'RSA-OAEP-256' }, rsa.publicKey)).replace(
      /^[^.]*/,
      part({ alg: 'RSA-OAEP', enc: 'A256GCM', cty: 'JWT' }),
    ),
    reason: 'untrusted',
  },
  {
    name: 'JWE: A256KW, random key',
    token: husk({ alg: 'A256KW' }, { key: 40, iv: 12, text: 300, tag: 16 }),
    reason: 'untrusted',
  },
  {
    name: 'JWE: A256KW, eight kilobytes of key',
    token: husk({ alg: 'A256KW' }, { key: 8_000, iv: 12, text: 300, tag: 16 }),
    reason: 'malformed',
  },
  {
    name: 'JWE: A256GCMKW, a short tag',
    token: husk({ alg: 'A256GCMKW', iv: 'AAAAAAAAAAAAAAAA', tag: 'AAAA' }, { key: 32, iv: 12, text: 300, tag: 16 }),
    reason: 'untrusted',
  },
  {
    name: 'JWE: ECDH-ES with a key besides',
    token: husk({ epk }, { key: 32, iv: 12, text: 300, tag: 16 }),
    reason: 'malformed',
  },
  ...[
    ['beside the curve', { ...epk, y: randomBytes(32).toString('base64url') }],
    ['of zeros', { ...epk, x: zeros32, y: zeros32 }],
    ['beyond the prime', { ...epk, x: ones32, y: ones32 }],
    ['of short coordinates', { ...epk, x: 'AA', y: 'AA' }],
    ['of huge coordinates', { ...epk, x: randomBytes(4_000).toString('base64url') }],
    ['without y', { ...epk, y: undefined }],
    ['that is private', await exportJWK(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)],
    ['of another kty', { ...epk, kty: 'OKP' }],
  ].map(([name, value]) => ({ name: `JWE: epk ${name}`, token: husk({ epk: value }), reason: 'untrusted' })),
  { name: 'JWE: epk of another curve', token: husk({ epk: { ...epk, crv: 'P-384' } }), reason: 'untrusted' },
  { name: 'JWE: epk of the prototype', token: husk({ epk: { ...epk, crv: '__proto__' } }), reason: 'untrusted' },
  { name: 'JWE: no epk', token: husk({}), reason: 'malformed' },
  { name: 'JWE: a short tag', token: husk({ epk }, { key: 0, iv: 12, text: 300, tag: 4 }), reason: 'malformed' },
  { name: 'JWE: no tag', token: husk({ epk }, { key: 0, iv: 12, text: 300, tag: 0 }), reason: 'malformed' },
  { name: 'JWE: a long iv', token: husk({ epk }, { key: 0, iv: 16, text: 300, tag: 16 }), reason: 'malformed' },
  { name: 'JWE: no content', token: husk({ epk }, { key: 0, iv: 12, text: 0, tag: 16 }), reason: 'malformed' },
  {
    name: 'JWE: a changed tag',
    token: [sealedHeader, '', sealedIv, sealedText, randomBytes(16).toString('base64url')].join('.'),
    reason: 'untrusted',
  },
  {
    name: 'JWE: a changed iv',
    token: [sealedHeader, '', randomBytes(12).toString('base64url'), sealedText, sealedTag].join('.'),
    reason: 'untrusted',
  },
  {
    name: 'JWE: a changed header',
    token: [
      part({ ...JSON.parse(Buffer.from(sealedHeader, 'base64url').toString()), more: 1 }),
      '',
      sealedIv,
      sealedText,
      sealedTag,
    ].join('.'),
    reason: 'untrusted',
  },
  {
    name: 'JWE: JSON serialization',
    token: JSON.stringify({ protected: sealedHeader, iv: sealedIv, ciphertext: sealedText, tag: sealedTag }),
    reason: 'malformed',
  },
  { name: 'JWE: six parts', token: `${await seal(sealedGood)}.`, reason: 'malformed' },
  { name: 'JWE: padding', token: `${await seal(sealedGood)}==`, reason: 'malformed' },
  {
    name: 'JWE: sixteen kilobytes',
    token: husk({ epk }, { key: 0, iv: 12, text: 11_800, tag: 16 }),
    reason: 'untrusted',
  },
]

export const attacks: readonly Attack[] = [
  ...confusion,
  ...keys,
  ...signatures,
  ...headers,
  ...payloads,
  ...forms,
  ...encrypted,
]
