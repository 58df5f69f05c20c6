import { diffieHellman, ECDH, generateKeyPairSync } from 'node:crypto'
import { asBuffer, nothing } from './bytes.ts'
import { agree, type PrivateKey, type PublicKey, publicKeyObject } from './ec-key.ts'
import { EnvelopeError } from './error.ts'
import { dekSize, deriveDataKeyOfDek } from './kdf.ts'
import { curveFacts, parseKeyContainer, writeKeyHeader } from './key-container.ts'
import { writeRandom } from './random.ts'
import { cellOverhead, checkMessage, contextOf, decryptCellAt, forged, isCellAt, writeCell } from './secure-cell.ts'
import { dataKeyOfSecret, typeEncrypted } from './secure-message.ts'

// 0 tag, 8 x 22 | 8 throwaway public key, 45 | 53 data key wrapped as a Secure Message, 84 | 137 LE64 length of the rest | 145 cell

const keyAt = 8
const keySize = 45
const pointAt = 20
const messageAt = 53
const messageSize = 84
const wrappedAt = 61
const lengthAt = 137
const dataAt = 145
const p256 = curveFacts('P-256')

/** What sealing adds. */
export const acraStructOverhead = dataAt + cellOverhead

/**
 * Seals with nothing but a public key: for writers that must not be able to read.
 *
 * @param publicKey P-256; there is room for no other
 * @param context absent in normal use; the zone id with zones
 * @returns the plaintext's size + 189 bytes
 * @throws {EnvelopeError} `envelope.empty`; `envelope.unsupported` for another curve
 */
export function sealAcraStruct(publicKey: PublicKey, plaintext: Uint8Array, context?: Uint8Array): Buffer {
  const message = checkMessage(plaintext)
  const bound = contextOf(context)
  if (publicKey.curve !== 'P-256') {
    throw new EnvelopeError('envelope.unsupported', `an AcraStruct has no room for a key of ${publicKey.curve}`)
  }
  const container = Buffer.allocUnsafe(acraStructOverhead + message.length)
  container.fill(0x22, 0, keyAt)

  // A pair of KeyObjects is a quarter faster here than an ECDH object, and its private half is gone with this call.
  const throwaway = generateKeyPairSync('ec', { namedCurve: p256.name })
  const { x, y } = throwaway.publicKey.export({ format: 'jwk' })
  writePoint(container, x, y)
  writeKeyHeader(container, keyAt, keySize, 'public', p256)

  container.writeUInt32LE(typeEncrypted, messageAt)
  container.writeUInt32LE(messageSize, messageAt + 4)
  const secret = diffieHellman({ privateKey: throwaway.privateKey, publicKey: publicKeyObject(publicKey) })
  const wrapping = dataKeyOfSecret(secret, dekSize)
  container.writeUInt32LE(cellOverhead + message.length, lengthAt)
  container.writeUInt32LE(0, lengthAt + 4)
  const dek = Buffer.allocUnsafeSlow(dekSize)
  try {
    writeRandom(dek, 0, dekSize)
    writeCell(container, wrappedAt, wrapping, dek, nothing)
    writeCell(container, dataAt, deriveDataKeyOfDek(dek, message.length, bound), message, bound)
  } finally {
    dek.fill(0)
  }
  return container
}

/**
 * @param privateKeys the current one first, then earlier ones, newest first: the container does not say which fits, so each costs an
 *   ECDH until one does
 * @param container exactly one AcraStruct
 * @param context the one it was sealed with; none unless zones are in use
 * @throws {EnvelopeError} `envelope.malformed` when it is no AcraStruct; `envelope.forged` when no key opens it
 */
export function openAcraStruct(
  privateKeys: readonly PrivateKey[],
  container: Uint8Array,
  context?: Uint8Array,
): Buffer {
  const bytes = asBuffer(container, 'container')
  const fault = acraStructFault(bytes)
  if (fault !== undefined) throw new EnvelopeError('envelope.malformed', fault)
  const bound = contextOf(context)
  const point = bytes.subarray(pointAt, messageAt)
  for (const privateKey of privateKeys) {
    if (privateKey.curve !== 'P-256') continue
    const secret = agree(privateKey, point)
    if (secret === undefined) break
    const plaintext = openWithSecret(bytes, secret, bound)
    if (plaintext !== undefined) return plaintext
  }
  // Whether the point is on the curve does not depend on the keys, so the answer must not either, even if there are none.
  if (!isOnCurve(point)) throw new EnvelopeError('envelope.malformed', 'the throwaway key is not a point of its curve')
  throw forged('AcraStruct')
}

function openWithSecret(bytes: Buffer, secret: Buffer, context: Buffer): Buffer | undefined {
  const dek = decryptCellAt(bytes, wrappedAt, dekSize, dataKeyOfSecret(secret, dekSize), nothing)
  if (dek === undefined) return undefined
  try {
    const size = bytes.length - acraStructOverhead
    return decryptCellAt(bytes, dataAt, size, deriveDataKeyOfDek(dek, size, context), context)
  } finally {
    dek.fill(0)
  }
}

/**
 * What keeps `bytes`, all of them, from being an AcraStruct, in words; `undefined` when nothing does. No key is used, and the point
 * is not checked to be on the curve: that comes first in the ECDH.
 */
export function acraStructFault(bytes: Buffer): string | undefined {
  if (bytes.length <= acraStructOverhead) return 'an AcraStruct has at least 190 bytes'
  if (bytes.readUInt32LE(0) !== 0x2222_2222 || bytes.readUInt32LE(4) !== 0x2222_2222) return 'no tag of an AcraStruct'
  // Eight bytes wide: the upper half must be zero before the lower one means anything.
  if (bytes.readUInt32LE(lengthAt + 4) !== 0 || bytes.readUInt32LE(lengthAt) !== bytes.length - dataAt) {
    return 'the data length of the AcraStruct differs from what is there'
  }
  if (bytes.readUInt32LE(messageAt) !== typeEncrypted || bytes.readUInt32LE(messageAt + 4) !== messageSize) {
    return 'the AcraStruct holds no wrapped key'
  }
  if (!isCellAt(bytes, wrappedAt, dekSize)) return 'the wrapped key of the AcraStruct is no cell of 32 bytes'
  if (!isCellAt(bytes, dataAt, bytes.length - acraStructOverhead))
    return 'the data of the AcraStruct is no cell that fills it'
  const key = parseKeyContainer(bytes.subarray(keyAt, messageAt), 'public')
  if (typeof key === 'string') return `throwaway key: ${key}`
  return key.facts === p256 ? undefined : 'the throwaway key is not of P-256'
}

/** How long the AcraStruct at `at` says that it is, when its tag is there and that fits into `bytes`. */
export function acraStructSizeAt(bytes: Buffer, at: number): number | undefined {
  const room = bytes.length - at - dataAt
  if (room < 0 || bytes.readUInt32LE(at + lengthAt + 4) !== 0) return undefined
  const size = bytes.readUInt32LE(at + lengthAt)
  return size <= room ? dataAt + size : undefined
}

function writePoint(target: Buffer, x: unknown, y: unknown): void {
  if (typeof x !== 'string' || typeof y !== 'string') throw new TypeError('OpenSSL gave a point without coordinates')
  // A JWK's coordinates keep their leading zeros (RFC 7518 section 6.2.1.2).
  const parity = (Buffer.from(y, 'base64url')[p256.size - 1] ?? 0) & 1
  target[pointAt] = 2 + parity
  target.write(x, pointAt + 1, p256.size, 'base64url')
}

function isOnCurve(point: Buffer): boolean {
  try {
    ECDH.convertKey(point, p256.name)
    return true
  } catch {
    return false
  }
}
