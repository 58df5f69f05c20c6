import { decodeBase64Url } from './base64url.ts'
import type { RejectionReason } from './identity.ts'
import {
  type ContentEncryption,
  contentEncryptions,
  type KeyManagementAlgorithm,
  keyManagementAlgorithms,
} from './issuer-option.ts'
import { isJsonObject, type Json, type JsonObject, parseJson } from './json.ts'
import { keyNameOf } from './jwk.ts'
import { maxTokenLength } from './jws.ts'

/** A compact JWE (RFC 7516 section 7.1) whose parts are well formed. Nothing of it is decrypted, and nothing in it is proven. */
export interface CompactJwe {
  readonly kind: 'jwe'
  readonly header: JsonObject
  readonly algorithm: KeyManagementAlgorithm
  readonly encryption: ContentEncryption
  readonly kid: string | undefined
  /** Of the sender's ephemeral key, where the algorithm has one. */
  readonly curve: string | undefined
}

/** Sizes in bytes (RFC 7518 sections 5.2 and 5.3): of the content key, the initialization vector and the tag. */
export const contentSizes: Readonly<
  Record<ContentEncryption, { readonly key: number; readonly iv: number; readonly tag: number }>
> = {
  A128GCM: { key: 16, iv: 12, tag: 16 },
  A192GCM: { key: 24, iv: 12, tag: 16 },
  A256GCM: { key: 32, iv: 12, tag: 16 },
  'A128CBC-HS256': { key: 32, iv: 16, tag: 16 },
  'A192CBC-HS384': { key: 48, iv: 16, tag: 24 },
  'A256CBC-HS512': { key: 64, iv: 16, tag: 32 },
}

/** Five parts, and so no JWS. */
export function hasJweForm(token: string): boolean {
  return /^[^.]*(?:\.[^.]*){4}$/.test(token)
}

const jwtType = /^(?:application\/)?(?:at\+)?jwt$/i

/**
 * Does the header say that a JWT is inside (RFC 7519 section 5.2), and that the whole is one? Claims that are encrypted and not signed would be
 * those of whoever knows our public key.
 */
export function holdsJwt({ typ, cty }: JsonObject): boolean {
  const isJwt = (type: Json | undefined): boolean => typeof type === 'string' && jwtType.test(type)
  return isJwt(cty) && (typ === undefined || isJwt(typ))
}

/** Reads everything that can be judged before a key is touched. */
export function parseCompactJwe(
  token: string,
): CompactJwe | { readonly kind: 'rejected'; readonly reason: RejectionReason } {
  if (token.length > maxTokenLength) return malformed
  const parts = token.split('.', 6).map(decodeBase64Url)
  const [headerBytes, encryptedKey, iv, ciphertext, tag] = parts
  if (parts.length !== 5 || headerBytes === undefined || encryptedKey === undefined) return malformed
  if (iv === undefined || ciphertext === undefined || tag === undefined) return malformed
  const header = parseJson(headerBytes)
  if (!isJsonObject(header)) return malformed
  const kid = keyNameOf(header, 'kid')
  if (kid === 'malformed') return malformed

  const { alg, enc, epk } = header
  const algorithm = keyManagementAlgorithms.find(known => known === alg)
  const encryption = contentEncryptions.find(known => known === enc)
  if (algorithm === undefined || encryption === undefined) return untrusted
  // RFC 7516 sections 4.1.3 and 4.1.13: crit names what must be understood, and we understand nothing that it may name; what zip unpacks to
  // may be a thousand times its size.
  if (['crit', 'zip', 'b64', 'p2c', 'p2s'].some(member => member in header)) return untrusted

  const sizes = contentSizes[encryption]
  if (iv.length !== sizes.iv || tag.length !== sizes.tag || ciphertext.length === 0) return malformed
  const [least, most] = encryptedKeySizes(algorithm, sizes.key)
  if (encryptedKey.length < least || encryptedKey.length > most) return malformed
  const curve = isJsonObject(epk) && typeof epk['crv'] === 'string' ? epk['crv'] : undefined
  if (algorithm.startsWith('ECDH-ES') && curve === undefined) return malformed
  return { kind: 'jwe', header, algorithm, encryption, kid: kid?.name, curve }
}

/** Bytes, at least and at most, of the content key as it comes: RFC 7518 section 4. More only costs time. */
function encryptedKeySizes(algorithm: KeyManagementAlgorithm, contentKey: number): readonly [number, number] {
  if (algorithm === 'dir' || algorithm === 'ECDH-ES') return [0, 0]
  // A modulus of 2048 to 4096 bits.
  if (algorithm.startsWith('RSA-OAEP')) return [256, 512]
  const wrapped = algorithm.endsWith('GCMKW') ? contentKey : contentKey + 8
  return [wrapped, wrapped]
}

const malformed = { kind: 'rejected', reason: 'malformed' } as const
const untrusted = { kind: 'rejected', reason: 'untrusted' } as const
