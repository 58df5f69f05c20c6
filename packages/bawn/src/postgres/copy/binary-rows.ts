import type { MessageBuilder } from '../wire/builder.ts'
import { malformed, tooFewCells, tooLong, tooManyCells } from './copy-error.ts'
import { RowBuffer } from './row-buffer.ts'
import type { Convert } from './stream.ts'

const signature = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1')
const fixedHeaderBytes = signature.length + 8

/** Takes `bytes[start..end)`, a piece that goes on as it is or the row at `start`, converted. */
export interface BinaryTaker {
  /** Bytes outside of rows. */
  raw(bytes: Buffer): void
  row(bytes: Buffer): void
}

/**
 * Cuts the binary format into its header, rows and trailer (manual, COPY, "Binary Format"), however they arrive. Lengths are checked
 * before what they announce is kept.
 */
export class BinaryRows {
  readonly #columns: number
  readonly #maxBytes: number
  readonly #held = new RowBuffer()
  #phase: 'header' | 'extension' | 'rows' | 'over' = 'header'
  /** Bytes of the header's extension that are still to come. */
  #extension = 0
  /** Nothing can be done with less. */
  #needed = fixedHeaderBytes

  constructor(columns: number, maxBytes: number) {
    this.#columns = columns
    this.#maxBytes = maxBytes
  }

  /** @throws {PostgresError} `postgres.copy_malformed`, `postgres.too_large` */
  push(chunk: Buffer, taker: BinaryTaker): void {
    const held = this.#held
    held.add(chunk)
    while (held.length >= this.#needed && this.#step(taker));
    held.keep()
  }

  /** The server takes data without a trailer too, and nothing else that is cut. */
  finish(): void {
    if (this.#phase === 'header' || this.#phase === 'extension' || this.#held.length > 0) {
      throw malformed('unexpected end of binary COPY data')
    }
  }

  #step(taker: BinaryTaker): boolean {
    const held = this.#held
    const { bytes, start } = held
    switch (this.#phase) {
      case 'header': {
        if (!bytes.subarray(start, start + signature.length).equals(signature)) {
          throw malformed('COPY file signature not recognized')
        }
        if (bytes.readUInt32BE(start + 11) >>> 16 !== 0)
          throw malformed('unrecognized critical flags in COPY file header')
        this.#extension = bytes.readInt32BE(start + 15)
        if (this.#extension < 0) throw malformed('invalid COPY file header (missing length)')
        this.#raw(taker, fixedHeaderBytes)
        this.#next(this.#extension > 0 ? 'extension' : 'rows')
        return true
      }
      case 'extension': {
        const size = Math.min(this.#extension, held.length)
        this.#extension -= size
        this.#raw(taker, size)
        if (this.#extension === 0) this.#next('rows')
        return held.length > 0
      }
      case 'rows':
        return this.#row(taker)
      case 'over':
        if (held.length > 0) throw malformed('received copy data after EOF marker')
        return false
    }
  }

  #row(taker: BinaryTaker): boolean {
    const held = this.#held
    const { bytes, start } = held
    const count = bytes.readInt16BE(start)
    if (count === -1) {
      this.#raw(taker, 2)
      this.#next('over')
      return true
    }
    if (count !== this.#columns) throw count < this.#columns ? tooFewCells() : tooManyCells()
    let size = 2
    for (let place = 0; place < count; place += 1) {
      if (held.length < size + 4) return this.#await(size + 4)
      const length = bytes.readInt32BE(start + size)
      if (length < -1) throw malformed('invalid field size')
      size += 4 + Math.max(length, 0)
      if (size > this.#maxBytes) throw tooLong(this.#maxBytes)
    }
    if (held.length < size) return this.#await(size)
    taker.row(bytes.subarray(start, start + size))
    held.start += size
    this.#needed = 2
    return true
  }

  #await(needed: number): false {
    this.#needed = needed
    return false
  }

  #next(phase: 'extension' | 'rows' | 'over'): void {
    this.#phase = phase
    this.#needed = phase === 'rows' ? 2 : 1
  }

  #raw(taker: BinaryTaker, size: number): void {
    const { bytes, start } = this.#held
    taker.raw(bytes.subarray(start, start + size))
    this.#held.start += size
  }
}

/** As `convertTextRow`, for a row of the binary format whose lengths were checked. */
export function convertBinaryRow(
  row: Buffer,
  guarded: readonly boolean[],
  convert: Convert,
  out: MessageBuilder,
): void {
  let copied = 0
  let at = 2
  for (let place = 0; place < guarded.length; place += 1) {
    const length = row.readInt32BE(at)
    const next = at + 4 + Math.max(length, 0)
    if (guarded[place] === true && length >= 0) {
      const value = convert(place, row.subarray(at + 4, next))
      out.bytes(row, copied, at).int32(value?.length ?? -1)
      if (value !== undefined) out.bytes(value)
      copied = next
    }
    at = next
  }
  out.bytes(row, copied, row.length)
}
