import { createCipheriv, createDecipheriv, type KeyObject } from 'node:crypto'
import { writeRandom } from './random.ts'

export const ivSize = 12
export const tagSize = 16
/** One call of OpenSSL takes no more. */
export const maxMessage = 0x7fff_ffff

/** AES in Galois counter mode with a key of this size. */
export interface AesGcm {
  readonly cipher: 'aes-256-gcm' | 'aes-192-gcm' | 'aes-128-gcm'
  readonly keySize: 32 | 24 | 16
}

/** The only one that is written. */
export const aes256: AesGcm = { cipher: 'aes-256-gcm', keySize: 32 }

// Without this, OpenSSL takes tags of four bytes too.
const gcm = { authTagLength: tagSize }

/** Writes a fresh IV, the ciphertext and the tag to their places in `target`. */
export function encrypt(
  target: Buffer,
  at: { readonly iv: number; readonly tag: number; readonly ciphertext: number },
  dataKey: KeyObject,
  message: Buffer,
  context: Buffer,
): void {
  writeRandom(target, at.iv, ivSize)
  const cipher = createCipheriv(aes256.cipher, dataKey, target.subarray(at.iv, at.iv + ivSize), gcm)
  if (context.length > 0) cipher.setAAD(context)
  cipher.update(message).copy(target, at.ciphertext)
  cipher.final()
  cipher.getAuthTag().copy(target, at.tag)
}

/** @returns the plaintext in memory of its own, or `undefined` when it does not authenticate */
export function decrypt(
  dataKey: KeyObject,
  algorithm: AesGcm,
  iv: Buffer,
  tag: Buffer,
  ciphertext: Buffer,
  context: Buffer,
): Buffer | undefined {
  const decipher = createDecipheriv(algorithm.cipher, dataKey, iv, gcm)
  decipher.setAuthTag(tag)
  if (context.length > 0) decipher.setAAD(context)
  // `update` hands out plaintext before the tag is checked: nobody sees it until `final` has passed.
  const plaintext = decipher.update(ciphertext)
  try {
    decipher.final()
    return plaintext
  } catch {
    plaintext.fill(0)
    return undefined
  }
}
