import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto'
import { asBuffer } from './bytes.ts'

/** Number of the hash function, first byte of every search hash: HMAC-SHA256. No other is defined. */
export const searchHashNumber = 0x7f
export const searchHashSize = 33

/**
 * What stands before a searchable value: `7f` and HMAC-SHA256 of the whole plaintext. Equal values have equal hashes, which is what
 * makes them searchable and what whoever reads the column can see.
 *
 * @param key the client's search key, a secret `KeyObject`; a key of its own, never one that encrypts
 * @returns 33 bytes
 */
export function searchHash(key: KeyObject, plaintext: Uint8Array): Buffer {
  const hash = Buffer.allocUnsafeSlow(searchHashSize)
  hash[0] = searchHashNumber
  createHmac('sha256', key).update(asBuffer(plaintext, 'plaintext')).digest().copy(hash, 1)
  return hash
}

/** In constant time. @param hash 33 bytes */
export function isSearchHashOf(hash: Buffer, key: KeyObject, plaintext: Buffer): boolean {
  return timingSafeEqual(searchHash(key, plaintext), hash)
}
