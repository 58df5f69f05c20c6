import type { CopyFormat } from '../sql/plan.ts'
import { malformed, tooLong } from './copy-error.ts'
import { RowBuffer } from './row-buffer.ts'

const newline = 0x0a
const carriage = 0x0d
const backslash = 0x5c
const dot = 0x2e

/** A line of text or CSV without its end; `bytes` are valid until the call returns. */
export type TakeLine = (bytes: Buffer, end: Buffer) => void

const ends = {
  lf: Buffer.of(newline),
  crlf: Buffer.of(carriage, newline),
  cr: Buffer.of(carriage),
  none: Buffer.alloc(0),
}

/**
 * Cuts the data of COPY into lines as the server does (CopyReadLineText in copyfromparse.c), however it arrives: the first line decides
 * how lines end, a backslash (text) or quotes (CSV) keep a line end within a value. What versions of the server understand in
 * different ways is refused: a marker `\.` of the end that does not stand alone.
 */
export class Lines {
  readonly #isCsv: boolean
  readonly #quote: number
  /** -1 where it is the quote itself: doubling needs no memory. */
  readonly #escape: number
  readonly #maxBytes: number
  readonly #held = new RowBuffer()
  /** Bytes of the line that were looked at. */
  #seen = 0
  #ends: 'unknown' | 'lf' | 'crlf' | 'cr' = 'unknown'
  #escaped = false
  #quoted = false
  #carriage = false
  /** A text line began with `\.`. */
  #marker = false
  /** It ended so: the server reads nothing more. */
  #over = false

  constructor(format: Exclude<CopyFormat, { readonly kind: 'binary' }>, maxBytes: number) {
    this.#isCsv = format.kind === 'csv'
    this.#quote = format.kind === 'csv' ? format.quote : -1
    this.#escape = format.kind === 'csv' && format.escape !== format.quote ? format.escape : -1
    this.#maxBytes = maxBytes
  }

  /** @throws {PostgresError} `postgres.copy_malformed`, `postgres.too_large` */
  push(chunk: Buffer, take: TakeLine): void {
    if (this.#over) return
    const held = this.#held
    held.add(chunk)
    while (this.#line(take));
    if (held.length > this.#maxBytes) throw tooLong(this.#maxBytes)
    held.keep()
  }

  /** No more data: what is left is the last line. Throws as `push` does. */
  finish(take: TakeLine): void {
    if (this.#over) return
    const held = this.#held
    if (this.#carriage) {
      if (this.#ends === 'crlf') throw malformed('a carriage return stands in the data')
      this.#take(take, held.end - 1, held.end, ends.cr)
    } else if (held.length > 0) {
      if (this.#quoted) throw malformed('unterminated CSV quoted field')
      this.#take(take, held.end, held.end, ends.none)
    }
  }

  /** Takes one line; false when more data is needed. */
  #line(take: TakeLine): boolean {
    if (this.#over) return false
    const held = this.#held
    const { bytes, end } = held
    let at = held.start + this.#seen
    for (; at < end; at += 1) {
      const byte = bytes[at]
      if (this.#carriage) {
        this.#carriage = false
        if (byte === newline) {
          this.#ends = 'crlf'
          return this.#take(take, at - 1, at + 1, ends.crlf)
        }
        if (this.#ends === 'crlf') throw malformed('a carriage return stands in the data')
        this.#ends = 'cr'
        return this.#take(take, at - 1, at, ends.cr)
      }
      if (byte === 0) throw malformed('invalid byte sequence for encoding "UTF8": 0x00')
      if (this.#isCsv) {
        if (this.#quoted && byte === this.#escape) this.#escaped = !this.#escaped
        if (byte === this.#quote && !this.#escaped) this.#quoted = !this.#quoted
        if (byte !== this.#escape) this.#escaped = false
        if (this.#quoted) continue
      } else if (this.#escaped) {
        this.#escaped = false
        if (byte !== dot) continue
        if (at - 1 !== held.start) throw malformed('an end-of-copy marker is not alone on its line')
        this.#marker = true
        continue
      } else if (byte === backslash) {
        if (this.#marker) throw malformed('an end-of-copy marker is not alone on its line')
        this.#escaped = true
        continue
      }
      if (byte === carriage) {
        if (this.#ends === 'lf') throw malformed('a carriage return stands in the data')
        if (this.#ends === 'cr') return this.#take(take, at, at + 1, ends.cr)
        this.#carriage = true
      } else if (byte === newline) {
        if (this.#ends === 'cr' || this.#ends === 'crlf') throw malformed('a newline stands in the data')
        this.#ends = 'lf'
        return this.#take(take, at, at + 1, ends.lf)
      } else if (this.#marker) throw malformed('an end-of-copy marker is not alone on its line')
    }
    this.#seen = at - held.start
    return false
  }

  #take(take: TakeLine, to: number, next: number, end: Buffer): true {
    const held = this.#held
    if (to - held.start > this.#maxBytes) throw tooLong(this.#maxBytes)
    take(held.bytes.subarray(held.start, to), end)
    held.start = next
    this.#seen = 0
    this.#escaped = false
    this.#quoted = false
    this.#carriage = false
    this.#over = this.#marker
    if (this.#over) held.start = held.end
    return true
  }
}
