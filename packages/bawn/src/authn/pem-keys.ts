import { createPublicKey } from 'node:crypto'
import { isJsonObject, parseJson } from './json.ts'
import { type KeySetReading, maxKeys, parseJwk, toReading, type VerificationKey } from './jwk.ts'

const block = /-----BEGIN ([A-Z0-9 ]+)-----[^-]*-----END \1-----/g
/** A private key would do too, and shows that somebody keeps it where it does not belong. */
const publicLabels = ['PUBLIC KEY', 'RSA PUBLIC KEY', 'CERTIFICATE']

/** Is it PEM (RFC 7468), and no JWK set? */
export function isPem(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 4_096)).includes('-----BEGIN ')
}

/**
 * Reads public keys and certificates in PEM as a key set. They have no names: each may be the one that any token names. Of a certificate
 * only the key counts; who signed it and until when it is good is not looked at, as with a key.
 *
 * @param bytes at most 1 MiB; the caller limits it while reading
 */
export function parsePemKeys(bytes: Uint8Array): KeySetReading {
  const blocks = [...Buffer.from(bytes).toString('latin1').matchAll(block)]
  if (blocks.length > maxKeys)
    return { kind: 'malformed', detail: `it has ${blocks.length} keys, more than ${maxKeys}` }
  const keys: VerificationKey[] = []
  const skipped: string[] = []
  for (const [index, [pem, label = '']] of blocks.entries()) {
    const reading = publicLabels.includes(label) ? readBlock(pem) : 'it is neither a public key nor a certificate'
    if (typeof reading === 'string') skipped.push(`PEM block ${index + 1}: ${reading}`)
    else keys.push({ ...reading, fitsAnyName: true })
  }
  return toReading(keys, skipped)
}

/** By way of a JWK, so that the same keys are good enough in both forms. */
function readBlock(pem: string): VerificationKey | string {
  try {
    const jwk = parseJson(Buffer.from(JSON.stringify(createPublicKey(pem).export({ format: 'jwk' }))))
    return isJsonObject(jwk) ? parseJwk(jwk) : 'it cannot be read'
  } catch {
    return 'it cannot be read'
  }
}
