import { asBuffer } from './bytes.ts'
import { EnvelopeError } from './error.ts'
import { type CellKey, cellOverhead, openCellParts, sealCell } from './secure-cell.ts'

/**
 * Token Protect: a sealed cell in two parts, for values that must keep their length.
 *
 * @returns `data` as long as the plaintext and a `token` of 44 bytes, to be stored elsewhere
 * @throws {EnvelopeError} as `sealCell`
 */
export function sealTokenProtect(
  key: CellKey,
  plaintext: Uint8Array,
  context?: Uint8Array,
): { token: Buffer; data: Buffer } {
  const cell = sealCell(key, plaintext, context)
  return { token: Buffer.from(cell.subarray(0, cellOverhead)), data: Buffer.from(cell.subarray(cellOverhead)) }
}

/** @throws {EnvelopeError} as `openCell` */
export function openTokenProtect(key: CellKey, token: Uint8Array, data: Uint8Array, context?: Uint8Array): Buffer {
  const header = asBuffer(token, 'token')
  if (header.length !== cellOverhead) throw new EnvelopeError('envelope.malformed', 'a token has 44 bytes')
  return openCellParts(key, header, asBuffer(data, 'data'), context)
}
