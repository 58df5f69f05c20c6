import { createHash, type KeyObject } from 'node:crypto'
import { asBuffer } from './bytes.ts'
import { EnvelopeError } from './error.ts'
import { dekSize, deriveDataKey, deriveDataKeyOfDek } from './kdf.ts'
import { writeRandom } from './random.ts'
import {
  cellKey,
  cellOverhead,
  checkMessage,
  contextOf,
  decryptCellAt,
  forged,
  isCellAt,
  writeCell,
} from './secure-cell.ts'

// 0 tag, 4 x 22 | 4 LE64 length of all that follows the tag | 12 key backend 0 | 13 key id, 2 | 15 data backend 0
// 16 LE16 wrapped length 76 | 18 data key as a cell under the key encryption key | 94 cell

const keyIdAt = 13
const wrappedAt = 18
const wrappedSize = cellOverhead + dekSize
const dataAt = wrappedAt + wrappedSize

/** What sealing adds. */
export const acraBlockOverhead = dataAt + cellOverhead

/**
 * A key encryption key of AcraBlocks with its context, derived once: the wrapping key is the same for every container, because the
 * length of what it wraps never changes. Nothing of it shows when it is inspected or logged. Only `createBlockKey` makes one.
 */
export interface BlockKey {
  readonly kind: 'block'
}

interface BlockParts {
  readonly wrapping: KeyObject
  readonly context: Buffer
  readonly id: number
}

const blockParts = new WeakMap<BlockKey, BlockParts>()

function partsOf(key: BlockKey): BlockParts {
  const parts = blockParts.get(key)
  if (parts === undefined) throw new TypeError('not a key made by createBlockKey')
  return parts
}

/**
 * @param kek any non-empty bytes, 32 as a rule. Not kept: the caller may and should wipe it
 * @param context none for stored columns; the zone id with zones; the client id for Acra's token storage
 * @throws {EnvelopeError} `envelope.empty`
 */
export function createBlockKey(kek: Uint8Array, context?: Uint8Array): BlockKey {
  const bytes = asBuffer(kek, 'kek')
  const bound = Buffer.from(contextOf(context))
  const wrapping = deriveDataKey(cellKey(bytes), dekSize, bound, 32)
  const id = createHash('sha256').update(bytes).update(bound).digest().readUInt16LE(0)
  const key: BlockKey = Object.freeze({ kind: 'block' })
  blockParts.set(key, { wrapping, context: bound, id })
  return key
}

/**
 * @returns the plaintext's size + 138 bytes
 * @throws {EnvelopeError} `envelope.empty`
 */
export function sealAcraBlock(key: BlockKey, plaintext: Uint8Array): Buffer {
  const message = checkMessage(plaintext)
  const { wrapping, context, id } = partsOf(key)
  // From Buffer's pool, unlike every buffer of a secret: nothing but ciphertext is ever written here.
  const container = Buffer.allocUnsafe(acraBlockOverhead + message.length)
  container.writeUInt32LE(0x2222_2222, 0)
  container.writeUInt32LE(container.length - 4, 4)
  container.writeUInt32LE(0, 8)
  container[12] = 0
  container.writeUInt16LE(id, keyIdAt)
  container[15] = 0
  container.writeUInt16LE(wrappedSize, 16)
  const dek = Buffer.allocUnsafeSlow(dekSize)
  try {
    writeRandom(dek, 0, dekSize)
    writeCell(container, wrappedAt, wrapping, dek, context)
    writeCell(container, dataAt, deriveDataKeyOfDek(dek, message.length, context), message, context)
  } finally {
    dek.fill(0)
  }
  return container
}

/**
 * Opens the AcraBlock at the start of `container`.
 *
 * @param keys in any number; only those whose two-byte id the container names are tried, in turn, since two keys can share one
 * @returns `consumed`: how many bytes belong to the container. What follows them is not looked at
 * @throws {EnvelopeError} `envelope.malformed` when there is no AcraBlock; `envelope.forged` when no key opens it
 */
export function openAcraBlock(
  keys: readonly BlockKey[],
  container: Uint8Array,
): { plaintext: Buffer; consumed: number } {
  const bytes = asBuffer(container, 'container')
  const fault = acraBlockFault(bytes)
  if (fault !== undefined) throw new EnvelopeError('envelope.malformed', fault)
  const consumed = 4 + bytes.readUInt32LE(4)
  const id = bytes.readUInt16LE(keyIdAt)
  for (const key of keys) {
    const parts = partsOf(key)
    if (parts.id !== id) continue
    const plaintext = openWith(parts, bytes, consumed - acraBlockOverhead)
    if (plaintext !== undefined) return { plaintext, consumed }
  }
  throw forged('AcraBlock')
}

function openWith({ wrapping, context }: BlockParts, bytes: Buffer, size: number): Buffer | undefined {
  const dek = decryptCellAt(bytes, wrappedAt, dekSize, wrapping, context)
  if (dek === undefined) return undefined
  try {
    return decryptCellAt(bytes, dataAt, size, deriveDataKeyOfDek(dek, size, context), context)
  } finally {
    dek.fill(0)
  }
}

/** What keeps the start of `bytes` from being an AcraBlock, in words; `undefined` when nothing does. No key is used. */
export function acraBlockFault(bytes: Buffer): string | undefined {
  if (bytes.length <= acraBlockOverhead) return 'an AcraBlock has at least 139 bytes'
  if (bytes.readUInt32LE(0) !== 0x2222_2222) return 'no tag of an AcraBlock'
  const size = acraBlockSizeAt(bytes, 0)
  if (size === undefined || size <= acraBlockOverhead) return 'the length of the AcraBlock does not fit what is there'
  if (bytes[12] !== 0 || bytes[15] !== 0) return 'the AcraBlock names an unknown way of encryption'
  if (bytes.readUInt16LE(16) !== wrappedSize || !isCellAt(bytes, wrappedAt, dekSize)) {
    return 'the wrapped key of the AcraBlock is no cell of 32 bytes'
  }
  return isCellAt(bytes, dataAt, size - acraBlockOverhead)
    ? undefined
    : 'the data of the AcraBlock is no cell that fills it'
}

/** How long the AcraBlock at `at` says that it is, its tag included, when that fits into `bytes`. */
export function acraBlockSizeAt(bytes: Buffer, at: number): number | undefined {
  const room = bytes.length - at - 4
  // Compared with what is left, never added to: 2^64 - 4 plus the tag would wrap to zero elsewhere.
  if (room < 8 || bytes.readUInt32LE(at + 8) !== 0) return undefined
  const rest = bytes.readUInt32LE(at + 4)
  return rest <= room ? 4 + rest : undefined
}
