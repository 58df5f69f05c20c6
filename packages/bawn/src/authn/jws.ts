import { constants, createHmac, timingSafeEqual, verify } from 'node:crypto'
import { decodeBase64Url } from './base64url.ts'
import type { SignatureAlgorithm } from './issuer-option.ts'
import { isJsonObject, type JsonObject, parseJson } from './json.ts'
import type { VerificationKey } from './jwk.ts'

/** A compact JWS (RFC 7515 section 3.1) whose three parts are well formed. Nothing in it is proven. */
export interface CompactJws {
  readonly header: JsonObject
  readonly payload: Buffer
  /** Header, dot and payload as they came. */
  readonly signingInput: Buffer
  readonly signature: Buffer
}

/** Bytes of a token; more is not read. */
export const maxTokenLength = 16_384

/** @returns `undefined` for anything but three strict parts whose first is a JSON object */
export function parseCompactJws(token: string): CompactJws | undefined {
  if (token.length > maxTokenLength) return undefined
  const firstEnd = token.indexOf('.')
  const secondEnd = token.indexOf('.', firstEnd + 1)
  if (firstEnd <= 0 || secondEnd === -1 || secondEnd + 1 === token.length) return undefined
  // A further dot is no character of base64url.
  const signature = decodeBase64Url(token.slice(secondEnd + 1))
  const payload = decodeBase64Url(token.slice(firstEnd + 1, secondEnd))
  if (payload === undefined || signature === undefined) return undefined
  const header = readHeader(token.slice(0, firstEnd))
  return header && { header, payload, signature, signingInput: Buffer.from(token.slice(0, secondEnd), 'latin1') }
}

/** Headers that were read before, by their text: an issuer writes the same one into all of its tokens. Nothing of it is secret, or proven. */
const headers = new Map<string, JsonObject>()
const maxHeaders = 64
const maxKeptHeader = 512

function readHeader(text: string): JsonObject | undefined {
  const known = headers.get(text)
  if (known !== undefined) return known
  const bytes = decodeBase64Url(text)
  const header = bytes && parseJson(bytes)
  if (!isJsonObject(header)) return undefined
  // Anybody may write one: when there are too many, those that are used come back soon.
  if (headers.size >= maxHeaders) headers.clear()
  if (text.length <= maxKeptHeader) headers.set(text, header)
  return header
}

/** Whether the signature is the key's. False too when the algorithm is not one of the key's. */
export function isSignatureOf(key: VerificationKey, algorithm: SignatureAlgorithm, jws: CompactJws): boolean {
  if (!key.algorithms.includes(algorithm)) return false
  const { signingInput, signature } = jws
  switch (algorithm) {
    case 'RS256':
    case 'RS384':
    case 'RS512':
      return signature.length === key.size && verify(`sha${algorithm.slice(2)}`, signingInput, key.key, signature)
    case 'PS256':
    case 'PS384':
    case 'PS512': {
      if (signature.length !== key.size) return false
      // RFC 7518 section 3.5: the salt is as long as the hash.
      const padding = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
      return verify(`sha${algorithm.slice(2)}`, signingInput, { key: key.key, ...padding }, signature)
    }
    case 'ES256':
    case 'ES384':
    case 'ES512': {
      const der = ecdsaSignatureToDer(signature, key.size)
      return der !== undefined && verify(`sha${algorithm.slice(2)}`, signingInput, key.key, der)
    }
    case 'EdDSA':
      return verify(null, signingInput, key.key, signature)
    case 'HS256':
    case 'HS384':
    case 'HS512': {
      // createHmac would take a public key's text as a secret; a KeyObject that is none it refuses.
      const mac = createHmac(`sha${algorithm.slice(2)}`, key.key)
        .update(signingInput)
        .digest()
      return signature.length === mac.length && timingSafeEqual(signature, mac)
    }
  }
}

/**
 * r and s, one after the other (RFC 7518 section 3.4), as the SEQUENCE of two INTEGERs that OpenSSL wants. `dsaEncoding:
 * 'ieee-p1363'` would do it too, at half again the time of the whole verification: on Node 24 a key inside options is slow.
 *
 * @returns `undefined` when the length is not the curve's or a number is zero
 */
function ecdsaSignatureToDer(signature: Buffer, size: number): Buffer | undefined {
  if (signature.length !== 2 * size) return undefined
  const r = derInteger(signature.subarray(0, size))
  const s = derInteger(signature.subarray(size))
  if (r === undefined || s === undefined) return undefined
  const length = r.length + s.length
  return Buffer.concat([Buffer.from(length < 0x80 ? [0x30, length] : [0x30, 0x81, length]), r, s])
}

function derInteger(bytes: Buffer): Buffer | undefined {
  let start = 0
  while (bytes[start] === 0) start++
  const first = bytes[start]
  if (first === undefined) return undefined
  const magnitude = bytes.subarray(start)
  const prefix = first >= 0x80 ? [0x02, magnitude.length + 1, 0] : [0x02, magnitude.length]
  return Buffer.concat([Buffer.from(prefix), magnitude])
}
