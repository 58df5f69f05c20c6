import { isUint8Array } from 'node:util/types'

/** No bytes. A context that is absent and one that is empty are the same thing in every format here. */
export const nothing: Buffer = Buffer.alloc(0)

/**
 * The same memory as a `Buffer`, whose integer readers and `subarray` the parsers use.
 *
 * @throws {TypeError} when it is not a `Uint8Array`; a string passed by mistake must not be taken for a key or a value
 */
export function asBuffer(bytes: Uint8Array, name: string): Buffer {
  if (Buffer.isBuffer(bytes)) return bytes
  if (!isUint8Array(bytes)) throw new TypeError(`${name} must be a Uint8Array`)
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
