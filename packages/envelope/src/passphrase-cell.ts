import { createSecretKey, type KeyObject, pbkdf2Sync } from 'node:crypto'
import { decrypt, encrypt, ivSize, tagSize } from './aes-gcm.ts'
import { asBuffer } from './bytes.ts'
import { EnvelopeError } from './error.ts'
import { deriveDataKey } from './kdf.ts'
import { writeRandom } from './random.ts'
import { checkLengths, checkMessage, contextOf, forged, idWithPassphrase, parseAlgorithm } from './secure-cell.ts'

// Secure Cell, sealed with a passphrase:
//   0 algorithm id | 4 IV length | 8 tag length | 12 message length | 16 derivation block length b | 20 IV | 32 tag
//   48 iterations, LE32 | 52 salt length, LE16 | 54 salt | 48 + b ciphertext

const saltSize = 16
const blockSize = 6 + saltSize
const blockAt = 48
const iterationsWritten = 314_110
/** About 0.7 s of one core. The count is read before anything is authenticated, so it must not be the writer's to choose. */
const maxIterations = 2_000_000

/**
 * Seals with a key that PBKDF2-HMAC-SHA256 makes of a passphrase. Deliberately slow (about a tenth of a second), and synchronous.
 *
 * @param passphrase text is taken as UTF-8 and not normalised; bytes as they are
 * @returns the plaintext's size + 70 bytes
 * @throws {EnvelopeError} `envelope.empty` for an empty passphrase or plaintext
 */
export function sealCellWithPassphrase(
  passphrase: string | Uint8Array,
  plaintext: Uint8Array,
  context?: Uint8Array,
): Buffer {
  return sealWithIterations(passphrase, plaintext, context, iterationsWritten)
}

/** As `sealCellWithPassphrase`, with a count of its own. Nothing but tests should need one. */
export function sealWithIterations(
  passphrase: string | Uint8Array,
  plaintext: Uint8Array,
  context: Uint8Array | undefined,
  iterations: number,
): Buffer {
  const message = checkMessage(plaintext)
  const bound = contextOf(context)
  const cell = Buffer.allocUnsafe(blockAt + blockSize + message.length)
  cell.writeUInt32LE(idWithPassphrase, 0)
  cell.writeUInt32LE(ivSize, 4)
  cell.writeUInt32LE(tagSize, 8)
  cell.writeUInt32LE(message.length, 12)
  cell.writeUInt32LE(blockSize, 16)
  cell.writeUInt32LE(iterations, blockAt)
  cell.writeUInt16LE(saltSize, blockAt + 4)
  writeRandom(cell, blockAt + 6, saltSize)
  const preKey = stretch(passphrase, cell.subarray(blockAt + 6, blockAt + blockSize), iterations)
  const dataKey = deriveDataKey(preKey, message.length, bound, 32)
  encrypt(cell, { iv: 20, tag: 32, ciphertext: blockAt + blockSize }, dataKey, message, bound)
  return cell
}

/**
 * @param cell as `sealCellWithPassphrase` makes it; any salt and 1 to 2 000 000 iterations are read
 * @throws {EnvelopeError} `envelope.malformed` when it is no such cell; `envelope.unsupported` for another cipher, a cell sealed with
 *   a key, or too many iterations; `envelope.forged` when passphrase, context or bytes are not the ones it was sealed with
 */
export function openCellWithPassphrase(
  passphrase: string | Uint8Array,
  cell: Uint8Array,
  context?: Uint8Array,
): Buffer {
  const sealed = asBuffer(cell, 'cell')
  if (sealed.length <= blockAt + 6)
    throw new EnvelopeError('envelope.malformed', 'a passphrase cell has at least 55 bytes')
  const algorithm = parseAlgorithm(sealed, 'passphrase')
  const block = sealed.readUInt32LE(16)
  const iterations = sealed.readUInt32LE(blockAt)
  const salt = sealed.readUInt16LE(blockAt + 4)
  if (block > sealed.length - blockAt - 1 || 6 + salt > block) {
    throw new EnvelopeError('envelope.malformed', 'the derivation block does not fit into the cell')
  }
  const ciphertext = sealed.subarray(blockAt + block)
  checkLengths(sealed, ciphertext.length)
  if (iterations === 0) throw new EnvelopeError('envelope.malformed', 'the cell states no iterations')
  if (iterations > maxIterations) {
    throw new EnvelopeError('envelope.unsupported', `the cell asks for ${iterations} iterations, over ${maxIterations}`)
  }
  const bound = contextOf(context)
  const preKey = stretch(passphrase, sealed.subarray(blockAt + 6, blockAt + 6 + salt), iterations)
  const dataKey = deriveDataKey(preKey, ciphertext.length, bound, algorithm.keySize)
  const plaintext = decrypt(dataKey, algorithm, sealed.subarray(20, 32), sealed.subarray(32, 48), ciphertext, bound)
  if (plaintext === undefined) throw forged('cell')
  return plaintext
}

function stretch(passphrase: string | Uint8Array, salt: Buffer, iterations: number): KeyObject {
  const secret = typeof passphrase === 'string' ? unpooled(passphrase) : asBuffer(passphrase, 'passphrase')
  if (secret.length === 0) throw new EnvelopeError('envelope.empty', 'a passphrase cannot be empty')
  const preKey = pbkdf2Sync(secret, salt, iterations, 32, 'sha256')
  try {
    return createSecretKey(preKey)
  } finally {
    preKey.fill(0)
    if (typeof passphrase === 'string') secret.fill(0)
  }
}

/** UTF-8 in memory of its own; `Buffer.from` would leave a copy in a pool that others see. */
function unpooled(text: string): Buffer {
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(text, 'utf8'))
  bytes.write(text, 'utf8')
  return bytes
}
