import { createSecretKey, type KeyObject, sign, verify } from 'node:crypto'
import { asBuffer, nothing } from './bytes.ts'
import { agree, type PrivateKey, type PublicKey, pointOf, publicKeyObject, signingKeyObject } from './ec-key.ts'
import { EnvelopeError } from './error.ts'
import { deriveDataKey } from './kdf.ts'
import { cellOverhead, checkMessage, decryptCellAt, forged, isCellAt, writeCell } from './secure-cell.ts'

// Encrypted: 0 type | 4 whole length | 8 cell under the shared secret of the two keys
// Signed:    0 type | 4 message length | 8 signature length | 12 message | signature

const headerSize = 8
const signedHeaderSize = 12
export const typeEncrypted = 0x2604_2720
const typeSigned = 0x2604_2620
const typeRsaEncrypted = 0x2604_2710
const typeRsaSigned = 0x2604_2610

/**
 * Encrypts for the owner of a public key. Both directions of a pair share one secret: the sender can open its own message, and a
 * message can be sent back or again. Freshness and direction are the caller's to check.
 *
 * @returns the message's size + 52 bytes
 * @throws {EnvelopeError} `envelope.empty` for an empty message; `envelope.unsupported` when the keys are of two curves
 */
export function wrapMessage(privateKey: PrivateKey, publicKey: PublicKey, message: Uint8Array): Buffer {
  const plaintext = checkMessage(message)
  const wrapped = Buffer.allocUnsafe(headerSize + cellOverhead + plaintext.length)
  wrapped.writeUInt32LE(typeEncrypted, 0)
  wrapped.writeUInt32LE(wrapped.length, 4)
  writeCell(wrapped, headerSize, sharedDataKey(privateKey, publicKey, plaintext.length), plaintext, nothing)
  return wrapped
}

/**
 * @param privateKey of the one side, `publicKey` of the other, whichever way the message went
 * @throws {EnvelopeError} `envelope.malformed` when it is no such message; `envelope.unsupported` for RSA and for keys of two curves;
 *   `envelope.forged` when it was not made with this pair of keys
 */
export function unwrapMessage(privateKey: PrivateKey, publicKey: PublicKey, message: Uint8Array): Buffer {
  const wrapped = asBuffer(message, 'message')
  const size = wrapped.length - headerSize - cellOverhead
  if (size < 1) throw new EnvelopeError('envelope.malformed', 'an encrypted message has at least 53 bytes')
  checkType(wrapped, typeEncrypted, typeRsaEncrypted)
  if (wrapped.readUInt32LE(4) !== wrapped.length || !isCellAt(wrapped, headerSize, size)) {
    throw new EnvelopeError('envelope.malformed', 'the header of the message does not fit what follows')
  }
  const dataKey = sharedDataKey(privateKey, publicKey, size)
  const plaintext = decryptCellAt(wrapped, headerSize, size, dataKey, nothing)
  if (plaintext === undefined) throw forged('message')
  return plaintext
}

/**
 * Signs with ECDSA over SHA-256. The message stays readable.
 *
 * @returns 12-byte header, message, DER signature
 * @throws {EnvelopeError} `envelope.empty`
 */
export function signMessage(privateKey: PrivateKey, message: Uint8Array): Buffer {
  const plaintext = checkMessage(message)
  const signature = sign('sha256', plaintext, signingKeyObject(privateKey))
  const header = Buffer.allocUnsafeSlow(signedHeaderSize)
  header.writeUInt32LE(typeSigned, 0)
  header.writeUInt32LE(plaintext.length, 4)
  header.writeUInt32LE(signature.length, 8)
  return Buffer.concat([header, plaintext, signature])
}

/**
 * Checks a signed message. Bytes after the signature are ignored: some writers have always added two. They and the header are not
 * signed, so the bytes of a signed message must not serve as its identity.
 *
 * @returns the message, in memory of its own
 * @throws {EnvelopeError} `envelope.malformed`, `envelope.unsupported` (RSA), `envelope.forged`
 */
export function verifyMessage(publicKey: PublicKey, signed: Uint8Array): Buffer {
  const bytes = asBuffer(signed, 'signed')
  if (bytes.length < signedHeaderSize + 2)
    throw new EnvelopeError('envelope.malformed', 'a signed message has at least 14 bytes')
  checkType(bytes, typeSigned, typeRsaSigned)
  const room = bytes.length - signedHeaderSize
  const size = bytes.readUInt32LE(4)
  const signatureSize = bytes.readUInt32LE(8)
  // Both are below 2^32, so their sum is exact in a double.
  if (size === 0 || signatureSize === 0 || size + signatureSize > room) {
    throw new EnvelopeError('envelope.malformed', 'the lengths of the signed message do not fit into it')
  }
  const message = bytes.subarray(signedHeaderSize, signedHeaderSize + size)
  const signature = bytes.subarray(signedHeaderSize + size, signedHeaderSize + size + signatureSize)
  if (!verify('sha256', message, publicKeyObject(publicKey), signature)) throw forged('signed message')
  return Buffer.from(message)
}

function checkType(message: Buffer, expected: number, rsa: number): void {
  const type = message.readUInt32LE(0)
  if (type === rsa) throw new EnvelopeError('envelope.unsupported', 'messages of RSA keys are not read')
  if (type !== expected) throw new EnvelopeError('envelope.malformed', 'the type is not that of such a message')
}

/** The AES key that a shared secret gives for a message of this length. Wipes the secret. */
export function dataKeyOfSecret(secret: Buffer, messageLength: number): KeyObject {
  try {
    return deriveDataKey(createSecretKey(secret), messageLength, nothing, 32)
  } finally {
    secret.fill(0)
  }
}

function sharedDataKey(privateKey: PrivateKey, publicKey: PublicKey, messageLength: number): KeyObject {
  if (privateKey.curve !== publicKey.curve) {
    throw new EnvelopeError(
      'envelope.unsupported',
      `keys of ${privateKey.curve} and ${publicKey.curve} do not go together`,
    )
  }
  const secret = agree(privateKey, pointOf(publicKey))
  if (secret === undefined) throw new EnvelopeError('envelope.malformed', 'the public key is not a point of its curve')
  return dataKeyOfSecret(secret, messageLength)
}
