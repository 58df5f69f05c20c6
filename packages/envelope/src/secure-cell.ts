import { createSecretKey, KeyObject } from 'node:crypto'
import { type AesGcm, aes256, decrypt, encrypt, ivSize, maxMessage, tagSize } from './aes-gcm.ts'
import { asBuffer, nothing } from './bytes.ts'
import { EnvelopeError } from './error.ts'
import { deriveDataKey } from './kdf.ts'

// Secure Cell, sealed with a symmetric key:
//   0 algorithm id | 4 IV length 12 | 8 tag length 16 | 12 message length | 16 IV | 28 tag | 44 ciphertext
// All integers little endian. The header is not authenticated: the message length is bound through the key derivation, the algorithm
// through the key, the two other lengths by nothing. Hence every field is compared with its one legal value.

/** Key of a Secure Cell: bytes (at least one), or for repeated use `createSecretKey(bytes)`, which is several times cheaper. */
export type CellKey = Uint8Array | KeyObject

/** What sealing adds. */
export const cellOverhead = 44

const idWithKey = 0x4001_0100
export const idWithPassphrase = 0x4101_0100

/**
 * Seals with AES-256-GCM under a key derived from `key`, the length of the plaintext and the context.
 *
 * @param plaintext 1 byte to 2^31 - 1
 * @param context bound to the cell, not stored in it; absent and empty are the same
 * @returns the plaintext's size + 44 bytes
 * @throws {EnvelopeError} `envelope.empty` for an empty key or plaintext; `envelope.unsupported` over the size
 */
export function sealCell(key: CellKey, plaintext: Uint8Array, context?: Uint8Array): Buffer {
  const message = checkMessage(plaintext)
  const bound = contextOf(context)
  const cell = Buffer.allocUnsafe(cellOverhead + message.length)
  writeCell(cell, 0, deriveDataKey(cellKey(key), message.length, bound, 32), message, bound)
  return cell
}

/**
 * @param cell as `sealCell` makes it; cells of AES-192 and AES-128 are read too
 * @param context the one it was sealed with, byte for byte
 * @throws {EnvelopeError} `envelope.malformed` when it is no cell; `envelope.unsupported` for a cell of another cipher or sealed
 *   with a passphrase; `envelope.forged` when key, context or bytes are not the ones it was sealed with
 */
export function openCell(key: CellKey, cell: Uint8Array, context?: Uint8Array): Buffer {
  const sealed = asBuffer(cell, 'cell')
  if (sealed.length <= cellOverhead) throw new EnvelopeError('envelope.malformed', 'a cell has at least 45 bytes')
  return openCellParts(key, sealed.subarray(0, cellOverhead), sealed.subarray(cellOverhead), context)
}

/** Header (44 bytes, IV and tag included) and ciphertext of a cell, wherever each was kept. @throws {EnvelopeError} as `openCell` */
export function openCellParts(
  key: CellKey,
  header: Buffer,
  ciphertext: Buffer,
  context: Uint8Array | undefined,
): Buffer {
  const algorithm = parseAlgorithm(header, 'key')
  checkLengths(header, ciphertext.length)
  const bound = contextOf(context)
  const dataKey = deriveDataKey(cellKey(key), ciphertext.length, bound, algorithm.keySize)
  const plaintext = decrypt(dataKey, algorithm, header.subarray(16, 28), header.subarray(28, 44), ciphertext, bound)
  if (plaintext === undefined) throw forged('cell')
  return plaintext
}

/** The one error for everything that does not authenticate; made in one place so that neither text nor cause tells cases apart. */
export function forged(what: string): EnvelopeError {
  return new EnvelopeError('envelope.forged', `the ${what} does not open with this key and context`)
}

/** @throws {EnvelopeError} `envelope.empty`, `envelope.unsupported` */
export function checkMessage(plaintext: Uint8Array): Buffer {
  const message = asBuffer(plaintext, 'plaintext')
  if (message.length === 0) throw new EnvelopeError('envelope.empty', 'an empty value cannot be sealed')
  if (message.length > maxMessage) {
    throw new EnvelopeError('envelope.unsupported', `a value of ${message.length} bytes is too long`)
  }
  return message
}

export function contextOf(context: Uint8Array | undefined): Buffer {
  return context === undefined ? nothing : asBuffer(context, 'context')
}

/** @throws {EnvelopeError} `envelope.empty` */
export function cellKey(key: CellKey): KeyObject {
  if (key instanceof KeyObject) {
    if (key.type !== 'secret') throw new TypeError('the key of a cell must be a secret KeyObject')
    return key
  }
  const bytes = asBuffer(key, 'key')
  if (bytes.length === 0) throw new EnvelopeError('envelope.empty', 'the key of a cell cannot be empty')
  return createSecretKey(bytes)
}

/**
 * Reads and checks the algorithm id of a cell.
 *
 * @param header at least 4 bytes
 * @throws {EnvelopeError} `envelope.malformed`, `envelope.unsupported`
 */
export function parseAlgorithm(header: Buffer, made: 'key' | 'passphrase'): AesGcm {
  const id = header.readUInt32LE(0)
  if (id === (made === 'key' ? idWithKey : idWithPassphrase)) return aes256
  const cipher = id >>> 28
  if (cipher >= 1 && cipher <= 3)
    throw new EnvelopeError('envelope.unsupported', 'the cell is not encrypted with AES-GCM')
  // Reserved bits are zero, the padding is 1, and there are two ways to make the key.
  if (cipher !== 4 || (id & 0x00ff_f000) !== 0x0001_0000 || ((id >>> 24) & 0xf) > 1) {
    throw new EnvelopeError('envelope.malformed', 'the algorithm id is not that of a cell')
  }
  if (((id >>> 24) & 0xf) !== (made === 'key' ? 0 : 1)) {
    throw new EnvelopeError('envelope.unsupported', `the cell was not sealed with a ${made}`)
  }
  switch (id & 0xfff) {
    case 0x100:
      return aes256
    case 0x0c0:
      return { cipher: 'aes-192-gcm', keySize: 24 }
    case 0x080:
      return { cipher: 'aes-128-gcm', keySize: 16 }
    default:
      throw new EnvelopeError('envelope.malformed', 'the algorithm id names no key size of AES')
  }
}

/** @throws {EnvelopeError} `envelope.malformed` unless IV, tag and message have the lengths that the header states */
export function checkLengths(header: Buffer, messageLength: number): void {
  if (header.readUInt32LE(4) !== ivSize || header.readUInt32LE(8) !== tagSize) {
    throw new EnvelopeError('envelope.malformed', 'the cell has an IV or a tag of another length')
  }
  if (messageLength === 0 || header.readUInt32LE(12) !== messageLength) {
    throw new EnvelopeError('envelope.malformed', 'the message length of the cell differs from what is there')
  }
  if (messageLength > maxMessage) throw new EnvelopeError('envelope.unsupported', 'the cell is too long')
}

/** Whether a cell of AES-256 with this message length stands at `offset`, as far as its fixed 16 bytes tell. */
export function isCellAt(bytes: Buffer, offset: number, messageLength: number): boolean {
  return (
    messageLength > 0 &&
    messageLength <= maxMessage &&
    bytes.readUInt32LE(offset) === idWithKey &&
    bytes.readUInt32LE(offset + 4) === ivSize &&
    bytes.readUInt32LE(offset + 8) === tagSize &&
    bytes.readUInt32LE(offset + 12) === messageLength
  )
}

/** Writes a whole cell, 44 bytes more than the message, to `target` at `offset`. */
export function writeCell(target: Buffer, offset: number, dataKey: KeyObject, message: Buffer, context: Buffer): void {
  target.writeUInt32LE(idWithKey, offset)
  target.writeUInt32LE(ivSize, offset + 4)
  target.writeUInt32LE(tagSize, offset + 8)
  target.writeUInt32LE(message.length, offset + 12)
  encrypt(target, { iv: offset + 16, tag: offset + 28, ciphertext: offset + cellOverhead }, dataKey, message, context)
}

/** Opens the AES-256 cell that `isCellAt` found at `offset`. @returns `undefined` when it does not authenticate */
export function decryptCellAt(
  bytes: Buffer,
  offset: number,
  messageLength: number,
  dataKey: KeyObject,
  context: Buffer,
): Buffer | undefined {
  const start = offset + cellOverhead
  return decrypt(
    dataKey,
    aes256,
    bytes.subarray(offset + 16, offset + 28),
    bytes.subarray(offset + 28, start),
    bytes.subarray(start, start + messageLength),
    context,
  )
}
