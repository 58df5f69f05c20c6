import { crc32c } from './crc32c.ts'

/** NIST curves, as JWK (RFC 7518) and Themis' documentation name them. Acra uses P-256 only. */
export type Curve = 'P-256' | 'P-384' | 'P-521'

export interface CurveFacts {
  readonly curve: Curve
  /** OpenSSL's name. */
  readonly name: string
  /** Bytes of a coordinate and of a scalar. */
  readonly size: number
  /** Last byte of the tag. */
  readonly digit: number
  /** The object identifier of the curve, DER, tag and length included. */
  readonly oid: Buffer
}

const facts: readonly CurveFacts[] = [
  { curve: 'P-256', name: 'prime256v1', size: 32, digit: 0x32, oid: Buffer.from('06082a8648ce3d030107', 'hex') },
  { curve: 'P-384', name: 'secp384r1', size: 48, digit: 0x33, oid: Buffer.from('06052b81040022', 'hex') },
  { curve: 'P-521', name: 'secp521r1', size: 66, digit: 0x35, oid: Buffer.from('06052b81040023', 'hex') },
]

export function curveFacts(curve: Curve): CurveFacts {
  const found = facts.find(row => row.curve === curve)
  if (found === undefined) throw new TypeError(`unknown curve: ${String(curve)}`)
  return found
}

const tags = { private: 'REC', public: 'UEC' } as const
const headerSize = 12

export type ContainerRole = keyof typeof tags

/**
 * Checks the header of a key container and the form of its body: tag, size, checksum, body length, first byte.
 * Whether the point is on the curve or the scalar below the group order is left to OpenSSL.
 *
 * @returns the body (point, or scalar without the zero byte before it; same memory), or what is wrong in words
 */
export function parseKeyContainer(
  container: Buffer,
  role: ContainerRole,
): { readonly facts: CurveFacts; readonly body: Buffer } | string {
  if (container.length < headerSize) return 'a key container has at least 12 bytes'
  if (container.toString('latin1', 0, 3) !== tags[role]) return `the tag is not that of a ${role} EC key`
  const found = facts.find(row => row.digit === container[3])
  if (found === undefined) return 'the tag names no known curve'
  if (container.readUInt32BE(4) !== container.length) return 'the size field differs from the size of the key container'
  if (container.readUInt32LE(8) !== crc32c(container, 8)) return 'the checksum of the key container is wrong'
  const body = container.subarray(headerSize)
  const first = body[0]
  if (role === 'private') {
    if (body.length === found.size) return { facts: found, body }
    if (body.length !== found.size + 1) return 'the private key has another length than its curve wants'
    if (first !== 0) return 'the private key has a non-zero padding byte'
    return { facts: found, body: body.subarray(1) }
  }
  // OpenSSL would also take the hybrid forms 06 and 07, which no writer of this format makes.
  const compressed = (first === 2 || first === 3) && body.length === found.size + 1
  const uncompressed = first === 4 && body.length === 2 * found.size + 1
  if (!compressed && !uncompressed) return 'the public key is neither a compressed nor an uncompressed point'
  return { facts: found, body }
}

/**
 * Writes header and checksum round a body that already stands at `offset + 12` of `target`.
 *
 * @param size of the whole container
 */
export function writeKeyHeader(
  target: Buffer,
  offset: number,
  size: number,
  role: ContainerRole,
  of: CurveFacts,
): void {
  target.write(tags[role], offset, 'latin1')
  target[offset + 3] = of.digit
  target.writeUInt32BE(size, offset + 4)
  target.writeUInt32LE(crc32c(target.subarray(offset, offset + size), 8), offset + 8)
}
