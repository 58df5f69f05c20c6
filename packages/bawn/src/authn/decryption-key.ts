import { createPrivateKey, createPublicKey, createSecretKey, type KeyObject } from 'node:crypto'
import { decodeBase64Url } from './base64url.ts'
import { AuthnError } from './error.ts'
import { contentEncryptions, type KeyManagementAlgorithm, keyManagementAlgorithms } from './issuer-option.ts'
import { isJsonObject, type Json, type JsonObject, parseJson } from './json.ts'
import { type CompactJwe, contentSizes } from './jwe.ts'
import { keyNameOf, parseJwk } from './jwk.ts'

/** A key of ours that tokens are encrypted to. Its type decides what it is used for, never the token. */
export interface DecryptionKey {
  /** Of its JWK; a key without one may be the one that any token names. */
  readonly kid: string | undefined
  /** Private, or shared with the issuer. */
  readonly key: KeyObject
  readonly material: Material
  /** `alg` of its JWK: the only one that it is used with. */
  readonly only: string | undefined
}

type Material =
  | { readonly kind: 'rsa' }
  /** @property curve as a JWK calls it */
  | { readonly kind: 'ecdh'; readonly curve: string }
  | { readonly kind: 'shared'; readonly bytes: number }

/** More costs tens of milliseconds for each token, good or bad. */
const maxRsaBits = 4_096
const curves: Readonly<Record<string, string>> = { prime256v1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521' }
const sharedSizes = [16, 24, 32, 48, 64]
const wrapSizes: Partial<Record<KeyManagementAlgorithm, number>> = {
  A128KW: 16,
  A192KW: 24,
  A256KW: 32,
  A128GCMKW: 16,
  A192GCMKW: 24,
  A256GCMKW: 32,
}

/** Could the token be encrypted to this key? */
export function isKeyFor({ kid, material, only }: DecryptionKey, token: CompactJwe): boolean {
  const { algorithm, encryption } = token
  if (kid !== undefined && token.kid !== undefined && kid !== token.kid) return false
  // For dir a JWK may say how the content is sealed.
  if (only !== undefined && only !== algorithm && !(algorithm === 'dir' && only === encryption)) return false
  switch (material.kind) {
    case 'rsa':
      return algorithm.startsWith('RSA-OAEP')
    case 'ecdh':
      return algorithm.startsWith('ECDH-ES') && material.curve === token.curve
    case 'shared':
      return material.bytes === (algorithm === 'dir' ? contentSizes[encryption].key : wrapSizes[algorithm])
  }
}

/**
 * Reads a private key in PEM (PKCS#8, PKCS#1, SEC 1), a private or shared JWK, or a shared key in base64.
 *
 * @param where the reference, for messages
 * @throws {AuthnError} `authn.bad_decryption_key`; the message holds nothing of the text
 */
export function parseDecryptionKey(text: string, where: string): DecryptionKey {
  const reading = text.includes('-----BEGIN')
    ? readPrivate(() => createPrivateKey(text))
    : text.trimStart().startsWith('{')
      ? readJwk(parseJson(Buffer.from(text.trim())))
      : readShared(decodeBase64(text))
  if (typeof reading !== 'string') return reading
  throw new AuthnError('authn.bad_decryption_key', `${where}: ${reading}`)
}

function decodeBase64(text: string): Buffer | undefined {
  const digits = text.trim().replace(/={0,2}$/, '')
  return decodeBase64Url(digits.replaceAll('+', '-').replaceAll('/', '_'))
}

function readShared(bytes: Buffer | undefined): DecryptionKey | string {
  if (bytes === undefined) return 'it is neither PEM nor JWK nor base64'
  if (!sharedSizes.includes(bytes.length)) {
    return `it has ${bytes.length} bytes, and a shared key has ${sharedSizes.join(', ')}`
  }
  const key = createSecretKey(bytes)
  const material = { kind: 'shared', bytes: bytes.length } as const
  bytes.fill(0)
  return { kid: undefined, key, material, only: undefined }
}

function readJwk(jwk: Json | undefined): DecryptionKey | string {
  if (!isJsonObject(jwk)) return 'it is not a JWK'
  const { use, alg, kty, k } = jwk
  const kid = keyNameOf(jwk, 'kid')
  if (kid === 'malformed') return 'its kid is not a string of up to 256 characters'
  if (use !== undefined && use !== 'enc') return 'it is not for encryption (use)'
  const operations = jwk['key_ops']
  if (operations !== undefined && !(Array.isArray(operations) && operations.some(isDecrypting)))
    return 'it is not for decrypting (key_ops)'
  const only = [...keyManagementAlgorithms, ...contentEncryptions].find(known => known === alg)
  if (alg !== undefined && only === undefined) return 'its alg is not supported'
  const reading =
    kty === 'oct'
      ? readShared(typeof k === 'string' ? decodeBase64Url(k) : undefined)
      : readPrivate(() => createPrivateKey({ format: 'jwk', key: { ...jwk } }))
  return typeof reading === 'string' ? reading : { ...reading, kid: kid?.name, only }
}

const isDecrypting = (operation: Json): boolean =>
  ['decrypt', 'unwrapKey', 'deriveKey', 'deriveBits'].some(known => known === operation)

/** What OpenSSL says of a key may quote it: its errors go no further. */
function readPrivate(read: () => KeyObject): DecryptionKey | string {
  let key: KeyObject
  try {
    key = read()
  } catch {
    return 'it is not a private key that can be read'
  }
  const material = materialOf(key)
  return typeof material === 'string' ? material : { kid: undefined, key, material, only: undefined }
}

function materialOf(key: KeyObject): Material | string {
  const { namedCurve = '', modulusLength = 0 } = key.asymmetricKeyDetails ?? {}
  switch (key.asymmetricKeyType) {
    case 'rsa': {
      if (modulusLength > maxRsaBits) return `it has ${modulusLength} bits; up to ${maxRsaBits} are taken`
      const weak = parseJwk(publicPart(key))
      return typeof weak === 'string' ? weak : { kind: 'rsa' }
    }
    case 'ec': {
      const curve = Object.hasOwn(curves, namedCurve) ? curves[namedCurve] : undefined
      return curve === undefined ? 'its curve is not supported' : { kind: 'ecdh', curve }
    }
    case 'x25519':
      return { kind: 'ecdh', curve: 'X25519' }
    default:
      return 'it is not RSA, EC or X25519'
  }
}

function publicPart(key: KeyObject): JsonObject {
  const { kty = '', n = '', e = '' } = createPublicKey(key).export({ format: 'jwk' })
  return { kty, n, e }
}
