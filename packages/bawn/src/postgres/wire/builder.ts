const leastBytes = 256
/** Most builders are taken from once: they get no further memory before it is needed. */
const none = Buffer.alloc(0)

/**
 * Writes messages into one growing buffer, so that many of them leave in one write. Numbers are big-endian. After `take` the
 * builder starts again with a fresh buffer: what was taken is never written to again.
 */
export class MessageBuilder {
  #bytes: Buffer
  #at = 0
  #lengthAt = -1

  constructor(initialBytes = leastBytes) {
    this.#bytes = Buffer.allocUnsafe(initialBytes)
  }

  get length(): number {
    return this.#at
  }

  /** Opens a message; `end` writes its length. */
  begin(type: number): this {
    this.uint8(type)
    this.#lengthAt = this.#at
    return this.int32(0)
  }

  /** Opens a start-up packet, which has no letter. */
  beginPacket(): this {
    this.#lengthAt = this.#at
    return this.int32(0)
  }

  end(): this {
    this.#bytes.writeInt32BE(this.#at - this.#lengthAt, this.#lengthAt)
    return this
  }

  uint8(value: number): this {
    this.#reserve(1)
    this.#bytes[this.#at] = value
    this.#at += 1
    return this
  }

  int16(value: number): this {
    this.#reserve(2)
    this.#at = this.#bytes.writeUInt16BE(value & 0xffff, this.#at)
    return this
  }

  int32(value: number): this {
    this.#reserve(4)
    this.#at = this.#bytes.writeInt32BE(value | 0, this.#at)
    return this
  }

  bytes(value: Uint8Array, start = 0, end = value.length): this {
    this.#reserve(end - start)
    if (start === 0 && end === value.length) this.#bytes.set(value, this.#at)
    else this.#bytes.set(value.subarray(start, end), this.#at)
    this.#at += end - start
    return this
  }

  /** UTF-8 and a NUL. A NUL inside would end the text early on the other side, so it is left out. */
  cstring(text: string): this {
    const clean = text.includes('\0') ? text.replaceAll('\0', '') : text
    const size = Buffer.byteLength(clean)
    this.#reserve(size + 1)
    this.#bytes.write(clean, this.#at)
    this.#at += size
    return this.uint8(0)
  }

  /** The inverse of `BodyReader.objectName`. */
  objectName(name: string): this {
    return this.bytes(Buffer.from(name, 'latin1')).uint8(0)
  }

  /** `\x` and lower-case hex, the text form of bytea. */
  hex(value: Uint8Array): this {
    this.#reserve(2 + value.length * 2)
    this.#bytes.write('\\x', this.#at, 'latin1')
    this.#bytes.write(Buffer.from(value.buffer, value.byteOffset, value.length).toString('hex'), this.#at + 2, 'latin1')
    this.#at += 2 + value.length * 2
    return this
  }

  /** Overwrites an int32 written before. */
  patchInt32(at: number, value: number): void {
    this.#bytes.writeInt32BE(value, at)
  }

  /** Forgets everything from `length` on. */
  truncate(length: number): void {
    this.#at = length
  }

  /** Makes room for `more` bytes at once, where it is known how many will come. */
  reserve(more: number): void {
    this.#reserve(more)
  }

  take(): Buffer {
    const taken = this.#bytes.subarray(0, this.#at)
    this.#bytes = none
    this.#at = 0
    return taken
  }

  #reserve(more: number): void {
    const needed = this.#at + more
    if (needed <= this.#bytes.length) return
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#bytes.length * 2, leastBytes))
    this.#bytes.copy(grown, 0, 0, this.#at)
    this.#bytes = grown
  }
}
