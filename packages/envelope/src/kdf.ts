import { createHmac, createSecretKey, hash, type KeyObject } from 'node:crypto'

/** What stands before the parts in the HMAC: a constant counter, the label, a zero byte. */
export function labelled(label: string): Buffer {
  return Buffer.from(`\0\0\0\x01${label}\0`, 'latin1')
}

const ivLabel = labelled('Themis secure cell message iv')
const keyLabel = labelled('Themis secure cell message key')
// Label and message length in one piece save a call per derivation. Holds no secret; filled anew before each use.
const keyInput = Buffer.concat([keyLabel, Buffer.alloc(4)])

/**
 * Themis' key derivation: the first `size` bytes of HMAC-SHA256 over label and parts. The size is not mixed in, so a shorter result
 * is a prefix of a longer one.
 *
 * @param label made by `labelled`
 * @param size 1 to 32
 * @returns secret bytes in memory of their own; whoever calls wipes them
 */
export function derive(key: KeyObject, label: Buffer, size: number, ...parts: readonly Buffer[]): Buffer {
  const hmac = createHmac('sha256', key).update(label)
  for (const part of parts) hmac.update(part)
  const whole = hmac.digest()
  whole.fill(0, size)
  return whole.subarray(0, size)
}

/**
 * The AES key of one message of a Secure Cell.
 *
 * @param messageLength in bytes, below 2^32; part of the derivation
 * @param size of the AES key: 32, 24 or 16
 */
export function deriveDataKey(key: KeyObject, messageLength: number, context: Buffer, size: number): KeyObject {
  keyInput.writeUInt32LE(messageLength, keyLabel.length)
  const derived = context.length === 0 ? derive(key, keyInput, size) : derive(key, keyInput, size, context)
  try {
    return createSecretKey(derived)
  } finally {
    derived.fill(0)
  }
}

/** Bytes of a data key of AcraStructs and AcraBlocks. */
export const dekSize = 32

const blockSize = 64
const innerPlain = Buffer.allocUnsafeSlow(blockSize + keyInput.length)
const outer = Buffer.allocUnsafeSlow(blockSize + 32)

/**
 * `deriveDataKey` for a key that lives for one value: HMAC (RFC 2104) from two one-shot hashes. A `KeyObject` and a `Hmac` cost twice
 * as much, a fifth of opening an AcraBlock, and keep a copy of the key until the garbage collector comes by; this one is wiped at once.
 *
 * @param dek 32 bytes; not kept
 */
export function deriveDataKeyOfDek(dek: Buffer, messageLength: number, context: Buffer): KeyObject {
  keyInput.writeUInt32LE(messageLength, keyLabel.length)
  const inner = context.length === 0 ? innerPlain : Buffer.allocUnsafeSlow(innerPlain.length + context.length)
  try {
    inner.fill(0x36, 0, blockSize)
    outer.fill(0x5c, 0, blockSize)
    for (let at = 0; at < dekSize; at++) {
      const byte = dek[at] ?? 0
      inner[at] = byte ^ 0x36
      outer[at] = byte ^ 0x5c
    }
    keyInput.copy(inner, blockSize)
    context.copy(inner, innerPlain.length)
    hash('sha256', inner, 'buffer').copy(outer, blockSize)
    const derived = hash('sha256', outer, 'buffer')
    const key = createSecretKey(derived)
    derived.fill(0)
    return key
  } finally {
    inner.fill(0)
    outer.fill(0)
  }
}

/** The 16-byte counter block of Context Imprint. */
export function deriveImprintIv(dataKey: KeyObject, context: Buffer): Buffer {
  return derive(dataKey, ivLabel, 16, context)
}
