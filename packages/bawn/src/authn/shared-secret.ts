import { createPublicKey, createSecretKey, X509Certificate } from 'node:crypto'
import { AuthnError } from './error.ts'
import { algorithmsOf, type IssuerOptions, type SecretAlgorithm, secretAlgorithms } from './issuer-option.ts'
import { isJsonObject, parseJson } from './json.ts'
import type { VerificationKey } from './jwk.ts'
import type { KeySet } from './jwks.ts'

/** RFC 7518 section 3.2: bytes, as many as the hash has. */
const minBytes: Readonly<Record<SecretAlgorithm, number>> = { HS256: 32, HS384: 48, HS512: 64 }
/** Random bytes, and texts made of them, have more different ones than this. */
const minDifferentBytes = 8

/**
 * The secrets that an issuer signs with, as the keys of that issuer: they verify HMAC and nothing else, whatever a token says.
 *
 * @param name of the issuer, for messages
 * @param resolve finds what is behind a reference
 * @throws {AuthnError} `authn.weak_secret`; the message has the reference, never a byte of the secret
 */
export function createSecretKeySet(
  name: string,
  options: IssuerOptions,
  resolve: (reference: string) => string,
): KeySet {
  const algorithms = algorithmsOf(options).flatMap(found => secretAlgorithms.find(known => known === found) ?? [])
  const least = Math.max(...algorithms.map(algorithm => minBytes[algorithm]))
  const references = [options.secret ?? [], options.former_secrets].flat()
  const keys = references.map((reference): VerificationKey => {
    const bytes = decodeSecret(resolve(reference), options.secret_encoding)
    const weakness = bytes === undefined ? `it is not ${options.secret_encoding}` : weaknessOf(bytes, least)
    if (bytes === undefined || weakness !== undefined)
      throw new AuthnError('authn.weak_secret', `issuer ${name}: ${reference}: ${weakness}`)
    const key = createSecretKey(bytes)
    bytes.fill(0)
    return { kid: undefined, fitsAnyName: true, algorithms, key, size: 0 }
  })
  const version = { generation: 1, keys }
  return {
    current: () => version,
    load: async () => version,
    reloadFor: async () => version,
    refresh: async () => {},
    status: () => ({
      source: 'secret',
      keys: keys.length,
      skipped: [],
      fetchedAt: undefined,
      usable: true,
      failure: undefined,
    }),
    close: () => {},
  }
}

/** `undefined` for what is not of that encoding. Space around base64 and hex is not part of them; of a text it is. */
function decodeSecret(text: string, encoding: IssuerOptions['secret_encoding']): Buffer | undefined {
  switch (encoding) {
    case 'text':
      return Buffer.from(text)
    case 'hex': {
      const digits = text.trim()
      return /^(?:[0-9a-f]{2})+$/i.test(digits) ? Buffer.from(digits, 'hex') : undefined
    }
    case 'base64': {
      const digits = text.trim().replace(/={0,2}$/, '')
      const bytes = Buffer.from(digits, 'base64')
      const same = digits.replaceAll('+', '-').replaceAll('/', '_')
      return bytes.toString('base64url') === same ? bytes : undefined
    }
  }
}

function weaknessOf(bytes: Buffer, least: number): string | undefined {
  if (bytes.length < least) return `it has ${bytes.length} bytes, and at least ${least} are needed`
  if (new Set(bytes).size < minDifferentBytes) return 'it is a few bytes, again and again'
  if (isKeyFile(bytes)) return 'it is a key in PEM, DER or JWK, and no secret'
  return undefined
}

/** Whoever takes for a secret what everybody may download lets everybody sign. */
function isKeyFile(bytes: Buffer): boolean {
  const json = bytes[0] === 0x7b ? parseJson(bytes) : undefined
  if (json !== undefined) return isJsonObject(json) && ('kty' in json || 'keys' in json)
  if (bytes.includes('-----BEGIN ')) return true
  const readers = [
    () => createPublicKey({ key: bytes, format: 'der', type: 'spki' }),
    () => createPublicKey({ key: bytes, format: 'der', type: 'pkcs1' }),
    () => new X509Certificate(bytes),
  ]
  return readers.some(read => {
    try {
      read()
      return true
    } catch {
      return false
    }
  })
}
