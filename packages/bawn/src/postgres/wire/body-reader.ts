import { WireError } from './wire-error.ts'

/** The server takes names of statements and portals that begin alike for one. */
const objectNameBytes = 63

/** Names that were read lately, by a few of their bytes: clients use the same few again and again, and a text costs more than a look. */
const recent: string[] = Array.from({ length: 256 }, () => '')

/** The name of a statement or portal that lies in `buffer[from..to)`, as `BodyReader.objectName` has it. */
export function objectNameAt(buffer: Buffer, from: number, end: number): string {
  const to = Math.min(end, from + objectNameBytes)
  const length = to - from
  if (length === 0) return ''
  const slot = ((buffer[to - 1] ?? 0) * 31 + (buffer[to - 2] ?? 0) * 7 + length) & 255
  const known = recent[slot] ?? ''
  if (known.length === length) {
    let at = 0
    while (at < length && known.charCodeAt(at) === buffer[from + at]) at += 1
    if (at === length) return known
  }
  const name = buffer.toString('latin1', from, to)
  recent[slot] = name
  return name
}

/** Reads the fields of one message body in order; every read is bounded by the message, and `finish` wants it read to its end. */
export class BodyReader {
  readonly buffer: Buffer
  at: number
  readonly end: number

  /** @param start first byte of the body (after letter and length) */
  constructor(buffer: Buffer, start: number, end: number) {
    this.buffer = buffer
    this.at = start
    this.end = end
  }

  get left(): number {
    return this.end - this.at
  }

  uint8(): number {
    return this.buffer.readUInt8(this.#advance(1))
  }

  /** Counts are unsigned in practice: PostgreSQL reads up to 65535 parameters. */
  uint16(): number {
    return this.buffer.readUInt16BE(this.#advance(2))
  }

  int16(): number {
    return this.buffer.readInt16BE(this.#advance(2))
  }

  int32(): number {
    return this.buffer.readInt32BE(this.#advance(4))
  }

  uint32(): number {
    return this.buffer.readUInt32BE(this.#advance(4))
  }

  /** Moves over a text and its NUL; the text is `buffer[from..at - 1)`. */
  skipCstring(): { readonly from: number; readonly to: number } {
    const from = this.at
    const nul = this.buffer.indexOf(0, from)
    if (nul === -1 || nul >= this.end) throw new WireError('invalid string in message')
    this.at = nul + 1
    return { from, to: nul }
  }

  cstring(): string {
    const { from, to } = this.skipCstring()
    return this.buffer.toString('utf8', from, to)
  }

  /**
   * Name of a statement or portal: one character for each byte (latin1), so that two names that differ on the wire never become
   * one here, as broken UTF-8 would. Only the 63 bytes that the server keeps (NAMEDATALEN): the rest would be memory that a client fills.
   */
  objectName(): string {
    const { buffer, at: from, end } = this
    let to = from
    while (to < end && buffer[to] !== 0) to += 1
    if (to >= end) throw new WireError('invalid string in message')
    this.at = to + 1
    return objectNameAt(buffer, from, to)
  }

  /** Shares memory with the message. */
  bytes(count: number): Buffer {
    const from = this.#advance(count)
    return this.buffer.subarray(from, from + count)
  }

  /** Bytes after the last field would be read by nobody and executed by somebody. */
  finish(): void {
    if (this.at !== this.end) throw new WireError('invalid message format')
  }

  #advance(count: number): number {
    const from = this.at
    if (count < 0 || from + count > this.end) throw new WireError('insufficient data left in message')
    this.at = from + count
    return from
  }
}
