import { createPublicKey, hash, type KeyObject } from 'node:crypto'
import { decodeBase64Url } from './base64url.ts'
import type { KeyNaming, PublicKeyAlgorithm, SignatureAlgorithm } from './issuer-option.ts'
import { isJsonObject, type Json, type JsonObject, parseJson } from './json.ts'

/** A key of an issuer, and what it may verify: its type decides that, never the token (RFC 8725 section 3.1). */
export interface VerificationKey {
  /** What tokens name it by: `keyNameOf` its JWK. */
  readonly kid: string | undefined
  /** It came without a name, and may be the one that any token names. */
  readonly fitsAnyName?: true
  readonly algorithms: readonly SignatureAlgorithm[]
  /** Public, or the secret where `algorithms` are HMAC. */
  readonly key: KeyObject
  /** Bytes of an RSA modulus or of an EC coordinate; what a signature's length follows from. 0 for a secret. */
  readonly size: number
}

export type KeySetReading =
  | {
      readonly kind: 'keys'
      readonly keys: readonly VerificationKey[]
      /** Why others of the set are left out; kid and reason, no key. */
      readonly skipped: readonly string[]
      /** Equal for sets with the same keys under the same names. */
      readonly digest: string
    }
  | { readonly kind: 'malformed'; readonly detail: string }

export const maxKeys = 100
export const maxKidLength = 256

/**
 * Reads a JWK set (RFC 7517 section 5). One key that we cannot use does not spoil the others.
 *
 * @param bytes at most 1 MiB; the caller limits it while reading
 * @param naming which members name a key
 */
export function parseKeySet(bytes: Uint8Array, naming: KeyNaming = 'kid'): KeySetReading {
  const set = parseJson(bytes)
  if (!isJsonObject(set) || !Array.isArray(set['keys'])) return { kind: 'malformed', detail: 'it is not a JWK set' }
  const jwks: readonly Json[] = set['keys']
  if (jwks.length > maxKeys) return { kind: 'malformed', detail: `it has ${jwks.length} keys, more than ${maxKeys}` }
  const keys: VerificationKey[] = []
  const skipped: string[] = []
  for (const [index, jwk] of jwks.entries()) {
    const reading = isJsonObject(jwk) ? parseJwk(jwk, naming) : 'it is not an object'
    if (typeof reading === 'string') skipped.push(`keys[${index}]: ${reading}`)
    else keys.push(reading)
  }
  return toReading(keys, skipped)
}

/** @param skipped why others are left out */
export function toReading(keys: readonly VerificationKey[], skipped: readonly string[]): KeySetReading {
  if (keys.length === 0)
    return { kind: 'malformed', detail: `no key in it can be used (${skipped.join('; ').slice(0, 300)})` }
  const described = keys.map(({ kid, algorithms, key }) => [kid ?? null, algorithms, key.export({ format: 'jwk' })])
  return { kind: 'keys', keys, skipped, digest: hash('sha256', JSON.stringify(described), 'hex') }
}

/** @returns the key, or why it cannot verify signatures */
export function parseJwk(jwk: JsonObject, naming: KeyNaming = 'kid'): VerificationKey | string {
  const { use, alg } = jwk
  const kid = keyNameOf(naming === 'kid' ? jwk : withThumbprints(jwk), naming)
  if (kid === 'malformed') return `${naming} is not a string of up to 256 characters`
  if (use !== undefined && use !== 'sig') return 'it is not for signatures (use)'
  const operations = jwk['key_ops']
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify')))
    return 'it is not for verifying (key_ops)'
  // A private key that everybody can download proves nothing.
  if (['d', 'p', 'q', 'dp', 'dq', 'qi', 'k'].some(member => member in jwk)) return 'it is a private or shared key'
  const material = readMaterial(jwk)
  if (typeof material === 'string') return material
  const algorithms =
    alg === undefined ? material.algorithms : material.algorithms.filter(algorithm => algorithm === alg)
  if (algorithms.length === 0) return 'its alg does not fit its type, or is not supported'
  try {
    return {
      kid: kid?.name,
      algorithms,
      size: material.size,
      key: createPublicKey({ format: 'jwk', key: material.jwk }),
    }
  } catch {
    return 'its parameters make no valid key'
  }
}

const nameMembers = { kid: ['kid'], x5t: ['x5t'], 'x5t#S256': ['x5t#S256'], kid_x5t: ['kid', 'x5t'] } as const

/**
 * The name of a key, in a JWK or in the header of a token (RFC 7515 sections 4.1.4, 4.1.7 and 4.1.8). It is a label and nothing else: no
 * path, no URL, no query is ever made of it.
 *
 * @returns `undefined` when it has none
 */
export function keyNameOf(of: JsonObject, by: KeyNaming): { readonly name: string } | 'malformed' | undefined {
  const parts: string[] = []
  for (const member of nameMembers[by]) {
    const value = of[member]
    if (value === undefined) return undefined
    if (typeof value !== 'string' || value.length > maxKidLength) return 'malformed'
    parts.push(value)
  }
  return { name: parts.join('\n') }
}

/** A JWK may have its certificate (x5c) and not the thumbprints that tokens name it by. */
function withThumbprints(jwk: JsonObject): JsonObject {
  const [first] = Array.isArray(jwk['x5c']) ? jwk['x5c'] : []
  if (typeof first !== 'string') return jwk
  const der = Buffer.from(first, 'base64')
  const made = { x5t: hash('sha1', der, 'base64url'), 'x5t#S256': hash('sha256', der, 'base64url') }
  return Object.assign(Object.create(null), made, jwk)
}

interface Material {
  readonly jwk: { readonly kty: string; readonly [member: string]: string }
  /** Of public keys only: no key of a set ever verifies HMAC. */
  readonly algorithms: readonly PublicKeyAlgorithm[]
  readonly size: number
}

const curves: Readonly<Record<string, { readonly algorithm: PublicKeyAlgorithm; readonly size: number }>> = {
  'P-256': { algorithm: 'ES256', size: 32 },
  'P-384': { algorithm: 'ES384', size: 48 },
  'P-521': { algorithm: 'ES512', size: 66 },
}

const edwards: Readonly<Record<string, number>> = { Ed25519: 32, Ed448: 57 }

/** Only the public members are looked at and handed on. */
function readMaterial(jwk: JsonObject): Material | string {
  const { kty, crv, n, e, x, y } = jwk
  switch (kty) {
    case 'RSA': {
      const modulus = decodeMember(n)
      const exponent = decodeMember(e)
      if (modulus === undefined || exponent === undefined || typeof n !== 'string' || typeof e !== 'string')
        return 'n or e is not base64url'
      const bits = modulus.length * 8 - Math.clz32(modulus[0] ?? 0) + 24
      if (modulus[0] === 0 || bits < 2048 || bits > 8192) return `it has ${bits} bits; 2048 to 8192 are taken`
      // RFC 8017 section 3.1: odd and at least 3; more than 32 bits only costs time.
      const value = exponent.length <= 4 ? exponent.reduce((sum, byte) => sum * 256 + byte, 0) : 0
      if (value < 3 || value % 2 === 0) return 'its exponent is even, below 3 or above 32 bits'
      if (isRocaModulus(modulus)) return 'its modulus has the ROCA weakness (CVE-2017-15361)'
      return {
        jwk: { kty, n, e },
        algorithms: ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
        size: modulus.length,
      }
    }
    case 'EC': {
      const curve = typeof crv === 'string' && Object.hasOwn(curves, crv) ? curves[crv] : undefined
      if (curve === undefined || typeof crv !== 'string' || typeof x !== 'string' || typeof y !== 'string')
        return 'its curve is not supported'
      // RFC 7518 section 6.2.1.2: full length, leading zeros included. Whether the point is on the curve, OpenSSL checks.
      if (decodeMember(x)?.length !== curve.size || decodeMember(y)?.length !== curve.size)
        return 'x or y has not the length of its curve'
      return { jwk: { kty, crv, x, y }, algorithms: [curve.algorithm], size: curve.size }
    }
    case 'OKP': {
      const size = typeof crv === 'string' && Object.hasOwn(edwards, crv) ? edwards[crv] : undefined
      if (size === undefined || typeof crv !== 'string' || typeof x !== 'string') return 'its curve is not supported'
      if (decodeMember(x)?.length !== size) return 'x has not the length of its curve'
      return { jwk: { kty, crv, x }, algorithms: ['EdDSA'], size }
    }
    default:
      return 'its kty is not RSA, EC or OKP'
  }
}

function decodeMember(value: Json | undefined): Buffer | undefined {
  return typeof value === 'string' ? decodeBase64Url(value) : undefined
}

const rocaPrimes = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157]

/**
 * Moduli of a broken generator are powers of 65537 modulo every small prime (Nemec and others, "The Return of Coppersmith's Attack",
 * 2017, section 3). A sound modulus passes for one about once in 2^27.
 */
function isRocaModulus(modulus: Buffer): boolean {
  return rocaPrimes.every(prime => {
    const rest = modulus.reduce((value, byte) => (value * 256 + byte) % prime, 0)
    for (let power = 1, step = 0; step < prime; step++, power = (power * 65_537) % prime)
      if (power === rest) return true
    return false
  })
}
