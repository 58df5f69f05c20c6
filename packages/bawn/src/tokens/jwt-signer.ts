import {
  constants,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  type JsonWebKey,
  type KeyObject,
  sign as signWith,
} from 'node:crypto'
import { TokenError } from './error.ts'
import type { SigningAlgorithm, SigningOptions } from './signing-option.ts'

/** Signs claims as a JWS (RFC 7515). */
export interface JwtSigner {
  readonly algorithm: SigningAlgorithm
  readonly issuer: string | undefined
  /** Path at the HTTP doors; `undefined`: nothing is published. */
  readonly jwksPath: string | undefined
  /** Public keys, for whoever has to believe what is signed here; empty for secrets. */
  readonly jwks: { readonly keys: readonly JsonWebKey[] }
  /** Compact. @param payload JSON */
  sign(payload: string, typ: string): string
  /** Flattened JSON serialization (RFC 7515 section 7.2.2). @param payload JSON */
  signJson(payload: string, typ: string): string
}

/**
 * @param name of the entry, for errors
 * @param secret resolves a reference; throws `config.secret`
 * @throws {TokenError} `tokens.bad_signing_key`; the message holds nothing of the key
 */
export function createJwtSigner(
  name: string,
  options: SigningOptions,
  secret: (reference: string) => string,
): JwtSigner {
  const { algorithm, issuer, jwks: jwksPath } = options
  const bad = (what: string): TokenError => new TokenError('tokens.bad_signing_key', `signing.${name}: ${what}`)
  const isSecret = algorithm.startsWith('HS')
  const key = isSecret
    ? readSecret(secret(options.key), algorithm, bad)
    : readPrivate(secret(options.key), algorithm, bad)
  const own = isSecret ? undefined : publish(createPublicKey(key), algorithm, options.key_id)
  const kid = own?.kid ?? options.key_id ?? digestOf(key)
  const others = options.other_keys.map(reference =>
    publish(readPublic(secret(reference), algorithm, bad), algorithm, undefined),
  )
  const sign = signerOf(key, algorithm)
  const headers = new Map<string, string>()
  const headerOf = (typ: string): string => {
    let header = headers.get(typ)
    if (header === undefined) {
      header = Buffer.from(JSON.stringify({ alg: algorithm, typ, kid })).toString('base64url')
      headers.set(typ, header)
    }
    return header
  }
  const parts = (payload: string, typ: string) => {
    const input = { protected: headerOf(typ), payload: Buffer.from(payload).toString('base64url') }
    return { ...input, signature: sign(Buffer.from(`${input.protected}.${input.payload}`)).toString('base64url') }
  }
  return Object.freeze({
    algorithm,
    issuer,
    jwksPath,
    jwks: { keys: [own, ...others].filter(jwk => jwk !== undefined) },
    sign: (payload, typ) => {
      const made = parts(payload, typ)
      return `${made.protected}.${made.payload}.${made.signature}`
    },
    signJson: (payload, typ) => {
      const { payload: encoded, protected: header, signature } = parts(payload, typ)
      return JSON.stringify({ payload: encoded, protected: header, signature })
    },
  } satisfies JwtSigner)
}

type Bad = (what: string) => TokenError

function readSecret(text: string, algorithm: SigningAlgorithm, bad: Bad): KeyObject {
  const trimmed = text.trim()
  const bytes = /^[A-Za-z0-9+/_-]+={0,2}$/.test(trimmed) ? Buffer.from(trimmed, 'base64') : Buffer.alloc(0)
  const least = Number(algorithm.slice(2)) / 8
  // RFC 7518 section 3.2: no shorter than the hash.
  if (bytes.length < least) throw bad(`key has to be base64 of at least ${least} bytes`)
  const key = createSecretKey(bytes)
  bytes.fill(0)
  return key
}

function readPrivate(pem: string, algorithm: SigningAlgorithm, bad: Bad): KeyObject {
  let key: KeyObject
  try {
    key = createPrivateKey(pem)
  } catch {
    // Without its cause: what OpenSSL says of a key may quote it.
    throw bad('key is no private key in PEM')
  }
  return fitting(key, algorithm, bad)
}

function readPublic(pem: string, algorithm: SigningAlgorithm, bad: Bad): KeyObject {
  try {
    return fitting(createPublicKey(pem), algorithm, bad)
  } catch (cause) {
    if (cause instanceof TokenError) throw cause
    throw bad('one of other_keys is no key in PEM')
  }
}

const curves = { ES256: 'prime256v1', ES384: 'secp384r1', ES512: 'secp521r1' } as const

function isEllipticCurve(algorithm: SigningAlgorithm): algorithm is keyof typeof curves {
  return algorithm in curves
}

/** RFC 7518 section 3, RFC 8037: one kind of key for each algorithm. */
function fitting(key: KeyObject, algorithm: SigningAlgorithm, bad: Bad): KeyObject {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  if (isEllipticCurve(algorithm)) {
    if (type === 'ec' && details?.namedCurve === curves[algorithm]) return key
    throw bad(`${algorithm} needs an EC key on ${curves[algorithm]}`)
  }
  if (algorithm === 'EdDSA') {
    if (type === 'ed25519') return key
    throw bad('EdDSA needs an Ed25519 key')
  }
  if (type === 'rsa' && (details?.modulusLength ?? 0) >= 2048) return key
  throw bad(`${algorithm} needs an RSA key of 2048 bits or more`)
}

function signerOf(key: KeyObject, algorithm: SigningAlgorithm): (input: Buffer) => Buffer {
  const hash = `sha${algorithm.slice(2)}`
  if (algorithm.startsWith('HS')) return input => createHmac(hash, key).update(input).digest()
  if (algorithm === 'EdDSA') return input => signWith(null, input, key)
  if (algorithm.startsWith('ES')) return input => signWith(hash, input, { key, dsaEncoding: 'ieee-p1363' })
  if (algorithm.startsWith('RS')) return input => signWith(hash, input, key)
  const padding = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
  return input => signWith(hash, input, { key, ...padding })
}

/** The public half alone. */
function publish(
  key: KeyObject,
  alg: SigningAlgorithm,
  keyId: string | undefined,
): JsonWebKey & { readonly kid: string } {
  const { kty = '', crv, n, e, x, y } = key.export({ format: 'jwk' })
  const members = { ...(crv && { crv }), ...(e && { e }), kty, ...(n && { n }), ...(x && { x }), ...(y && { y }) }
  // RFC 7638 section 3: the required members, in the order of the alphabet.
  const kid = keyId ?? createHash('sha256').update(JSON.stringify(members)).digest('base64url')
  return { ...members, kid, alg, use: 'sig' }
}

/** Tells secrets apart and nothing about them. */
function digestOf(key: KeyObject): string {
  return createHmac('sha256', key).update('bawn signing key id').digest('base64url').slice(0, 16)
}
