import { createECDH, createPrivateKey, createPublicKey, ECDH, type KeyObject } from 'node:crypto'
import { asBuffer } from './bytes.ts'
import { EnvelopeError } from './error.ts'
import { type Curve, type CurveFacts, curveFacts, parseKeyContainer, writeKeyHeader } from './key-container.ts'

/**
 * An EC private key, ready for use. Nothing of the key shows when it is inspected, logged, cloned or turned into JSON; its bytes
 * lie in OpenSSL's memory and are cleared when the object is collected. Only `importPrivateKey` makes one.
 */
export interface PrivateKey {
  readonly kind: 'private'
  readonly curve: Curve
}

/** An EC public key, checked to be on its curve. Only `importPublicKey` and `publicKeyOf` make one. */
export interface PublicKey {
  readonly kind: 'public'
  readonly curve: Curve
}

interface PrivateParts {
  readonly facts: CurveFacts
  /** Made once: setting a private key costs 10 to 30 microseconds. Not re-entrant, but every call here is synchronous. */
  readonly ecdh: ECDH
  signing: KeyObject | undefined
}

interface PublicParts {
  readonly facts: CurveFacts
  readonly point: Buffer
  readonly key: KeyObject
}

const privateParts = new WeakMap<PrivateKey, PrivateParts>()
const publicParts = new WeakMap<PublicKey, PublicParts>()

function partsOfPrivate(key: PrivateKey): PrivateParts {
  const parts = privateParts.get(key)
  if (parts === undefined) throw new TypeError('not a private key made by importPrivateKey')
  return parts
}

function partsOfPublic(key: PublicKey): PublicParts {
  const parts = publicParts.get(key)
  if (parts === undefined) throw new TypeError('not a public key made by importPublicKey')
  return parts
}

/**
 * @param container `REC2`, `REC3` or `REC5`, 12-byte header, then an optional zero byte and the scalar (45 or 44 bytes for P-256).
 *   Not kept: the caller may and should wipe it
 * @throws {EnvelopeError} `envelope.malformed`, also for a scalar of zero or not below the group order
 */
export function importPrivateKey(container: Uint8Array): PrivateKey {
  const parsed = parseKeyContainer(asBuffer(container, 'container'), 'private')
  if (typeof parsed === 'string') throw new EnvelopeError('envelope.malformed', parsed)
  const { facts, body } = parsed
  const ecdh = createECDH(facts.name)
  try {
    ecdh.setPrivateKey(body)
  } catch {
    throw new EnvelopeError('envelope.malformed', 'the private key is zero or not below the order of its curve')
  }
  const key: PrivateKey = Object.freeze({ kind: 'private', curve: facts.curve })
  privateParts.set(key, { facts, ecdh, signing: undefined })
  return key
}

/**
 * @param container `UEC2`, `UEC3` or `UEC5`, 12-byte header, then a compressed or an uncompressed point (45 or 77 bytes for P-256)
 * @throws {EnvelopeError} `envelope.malformed`, also for a point that is not on the curve
 */
export function importPublicKey(container: Uint8Array): PublicKey {
  const parsed = parseKeyContainer(asBuffer(container, 'container'), 'public')
  if (typeof parsed === 'string') throw new EnvelopeError('envelope.malformed', parsed)
  return publicKeyFrom(parsed.facts, parsed.body)
}

/** The public half of a private key; computed, because the container does not hold it. */
export function publicKeyOf(privateKey: PrivateKey): PublicKey {
  const { facts, ecdh } = partsOfPrivate(privateKey)
  return publicKeyFrom(facts, ecdh.getPublicKey())
}

/** @returns the container with the compressed point: 45 bytes for P-256, 61 for P-384, 79 for P-521 */
export function exportPublicKey(publicKey: PublicKey): Buffer {
  const { facts, point } = partsOfPublic(publicKey)
  return writeContainer('public', facts, point)
}

/**
 * Makes a key pair as containers, to be stored. The private container is secret: seal it, then wipe it.
 *
 * @param curve P-256 unless told; nothing else fits into an AcraStruct
 */
export function generateKeyPair(curve: Curve = 'P-256'): { privateKey: Buffer; publicKey: Buffer } {
  const facts = curveFacts(curve)
  const ecdh = createECDH(facts.name)
  ecdh.generateKeys()
  const point = ecdh.getPublicKey(null, 'compressed')
  // OpenSSL leaves leading zeros out: one key in 256 comes back shorter than its field.
  const scalar = ecdh.getPrivateKey()
  const padded = Buffer.allocUnsafeSlow(facts.size + 1).fill(0)
  scalar.copy(padded, padded.length - scalar.length)
  try {
    return { privateKey: writeContainer('private', facts, padded), publicKey: writeContainer('public', facts, point) }
  } finally {
    scalar.fill(0)
    padded.fill(0)
  }
}

/**
 * The x coordinate of the ECDH point with its leading zeros, 32 bytes for P-256. Secret: whoever calls wipes it.
 *
 * @param point compressed or uncompressed, of the key's curve
 * @returns `undefined` when the point is not on the curve
 */
export function agree(privateKey: PrivateKey, point: Buffer): Buffer | undefined {
  const { ecdh } = partsOfPrivate(privateKey)
  try {
    return ecdh.computeSecret(point)
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ERR_CRYPTO_ECDH_INVALID_PUBLIC_KEY')
      return undefined
    throw cause
  }
}

/** The compressed point. */
export function pointOf(publicKey: PublicKey): Buffer {
  return partsOfPublic(publicKey).point
}

/** For `diffieHellman` and `verify`. */
export function publicKeyObject(publicKey: PublicKey): KeyObject {
  return partsOfPublic(publicKey).key
}

/** For `sign`. Made at the first use: most keys never sign. */
export function signingKeyObject(privateKey: PrivateKey): KeyObject {
  const parts = partsOfPrivate(privateKey)
  parts.signing ??= createSigningKey(parts)
  return parts.signing
}

function publicKeyFrom(facts: CurveFacts, body: Buffer): PublicKey {
  let point: Buffer
  try {
    // Also the check that the point is on the curve.
    point = Buffer.from(ECDH.convertKey(body, facts.name, undefined, undefined, 'compressed'))
  } catch {
    throw new EnvelopeError('envelope.malformed', 'the public key is not a point of its curve')
  }
  const key: PublicKey = Object.freeze({ kind: 'public', curve: facts.curve })
  publicParts.set(key, { facts, point, key: createVerifyingKey(facts, point) })
  return key
}

// SubjectPublicKeyInfo, RFC 5480 section 2. All lengths stay below 128, so each takes one byte.
const ecPublicKeyOid = Buffer.from('06072a8648ce3d0201', 'hex')

function createVerifyingKey(facts: CurveFacts, point: Buffer): KeyObject {
  const algorithm = der(0x30, ecPublicKeyOid, facts.oid)
  return createPublicKey({ key: der(0x30, algorithm, der(0x03, Buffer.of(0), point)), format: 'der', type: 'spki' })
}

// ECPrivateKey, RFC 5915 section 3, without the optional public key.
function createSigningKey({ facts, ecdh }: PrivateParts): KeyObject {
  const scalar = ecdh.getPrivateKey()
  const padded = Buffer.allocUnsafeSlow(facts.size).fill(0)
  scalar.copy(padded, padded.length - scalar.length)
  const octets = der(0x04, padded)
  const key = der(0x30, Buffer.of(0x02, 1, 1), octets, der(0xa0, facts.oid))
  try {
    return createPrivateKey({ key, format: 'der', type: 'sec1' })
  } finally {
    for (const secret of [scalar, padded, octets, key]) secret.fill(0)
  }
}

function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  const out = Buffer.allocUnsafeSlow(2 + length)
  out[0] = tag
  out[1] = length
  let at = 2
  for (const part of parts) at += part.copy(out, at)
  return out
}

function writeContainer(role: 'private' | 'public', facts: CurveFacts, body: Buffer): Buffer {
  const container = Buffer.allocUnsafeSlow(12 + body.length)
  body.copy(container, 12)
  writeKeyHeader(container, 0, container.length, role, facts)
  return container
}
