import { createCipheriv } from 'node:crypto'
import { asBuffer, nothing } from './bytes.ts'
import { EnvelopeError } from './error.ts'
import { deriveDataKey, deriveImprintIv } from './kdf.ts'
import { type CellKey, cellKey, checkMessage } from './secure-cell.ts'

/**
 * Context Imprint: AES-256-CTR under a key and IV that follow from key, length and context. Keeps the length, and is therefore
 * **deterministic and not authenticated**: equal values give equal bytes, and altered bytes open to altered plaintext without an
 * error. Two values of one length under one context share their key stream. Nothing in Acra uses it; prefer `sealCell`.
 *
 * @param context must not be empty, and should be unique to the value
 * @throws {EnvelopeError} `envelope.empty` for an empty key, plaintext or context; `envelope.unsupported` over 2^31 - 1 bytes
 */
export function sealContextImprint(key: CellKey, plaintext: Uint8Array, context: Uint8Array): Buffer {
  return imprint(key, checkMessage(plaintext), context)
}

/** The same operation backwards; there is no way to notice a wrong key. @throws {EnvelopeError} as `sealContextImprint` */
export function openContextImprint(key: CellKey, data: Uint8Array, context: Uint8Array): Buffer {
  return imprint(key, checkMessage(data), context)
}

function imprint(key: CellKey, message: Buffer, context: Uint8Array): Buffer {
  const bound = asBuffer(context, 'context')
  if (bound.length === 0) throw new EnvelopeError('envelope.empty', 'Context Imprint needs a context')
  const dataKey = deriveDataKey(cellKey(key), message.length, nothing, 32)
  const iv = deriveImprintIv(dataKey, bound)
  return createCipheriv('aes-256-ctr', dataKey, iv).update(message)
}
