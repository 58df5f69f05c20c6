import { WireError } from './wire-error.ts'

/**
 * What to do with a frame, decided from its header alone, before any of its body is kept:
 * `open` presents it whole (collected in a slab if it is cut); `stream` presents its bytes as they come, never collected.
 */
export type Disposition = 'open' | 'stream'

/** @throws {WireError} when the letter or the length is not allowed here; `length` counts itself, so a body has `length - 4` bytes */
export type Decide = (type: number, length: number) => Disposition

/** Which part of a frame is presented. A `whole` frame of either disposition has its header at `start`. */
export type Piece = 'whole' | 'begin' | 'middle' | 'end'

const headerBytes = 5

/** Where the frame that begins at `start` ends; `undefined`: not in this chunk, or its length is none. */
export function frameEnd(chunk: Buffer, start: number): number | undefined {
  if (start + headerBytes > chunk.length) return undefined
  const high = ((chunk[start + 1] ?? 0) << 24) | ((chunk[start + 2] ?? 0) << 16)
  const length = high | ((chunk[start + 3] ?? 0) << 8) | (chunk[start + 4] ?? 0)
  const end = start + 1 + length
  return length < 4 || end > chunk.length ? undefined : end
}
const smallSlab = 8 * 1024
const keepSlab = 256 * 1024
const empty = Buffer.alloc(0)

/**
 * Cuts a stream into protocol 3 frames: bytes in by `push`, frames out by `next`, however the bytes arrive.
 *
 * Pulled, not pushed: whoever reads can stop between two frames and come back to the same one, for `type`, `buffer`, `start` and
 * `end` stay as they are until `next` is called again. A frame that lies whole in the received chunk is presented where it lies.
 * A cut one is collected in a slab that doubles as bytes arrive (never by its announced length, never by concatenation), so a
 * 40 MB frame costs linear time.
 */
export class FrameReader {
  /** Letter of the frame that is presented. */
  type = 0
  /** The bytes of the piece are `buffer[start..end)`. */
  buffer: Buffer = empty
  start = 0
  end = 0
  piece: Piece = 'whole'
  /** The bytes are overwritten by the next `next`: copy what has to live longer. */
  borrowed = false

  readonly #decide: Decide
  #chunk: Buffer = empty
  #at = 0
  readonly #later: Buffer[] = []
  #slab: Buffer = empty
  #held = 0
  /** Bytes of the streamed frame that are still to come. */
  #streaming = 0

  constructor(decide: Decide) {
    this.#decide = decide
  }

  /** Bytes received and not yet presented. */
  get buffered(): number {
    let total = this.#chunk.length - this.#at + this.#held
    for (const chunk of this.#later) total += chunk.length
    return total
  }

  /** A streamed frame has been presented in part: what is written now would land in its middle. */
  get isMidFrame(): boolean {
    return this.#streaming > 0
  }

  /** The next byte is the first of a frame. */
  get isBetweenFrames(): boolean {
    return this.#streaming === 0 && this.#held === 0 && this.#at === this.#chunk.length && this.#later.length === 0
  }

  /**
   * @param chunk must not change until `next` has answered false
   * @param from where its frames begin; what lies before was taken between two frames by somebody else
   */
  push(chunk: Buffer, from = 0): void {
    if (this.#at < this.#chunk.length || this.#later.length > 0)
      this.#later.push(from === 0 ? chunk : chunk.subarray(from))
    else this.#take(chunk, from)
  }

  /** Presents the next piece; false when more bytes are needed. @throws {WireError} */
  next(): boolean {
    while (true) {
      if (this.#at === this.#chunk.length) {
        const chunk = this.#later.shift()
        if (chunk === undefined) {
          // An idle connection must not keep the last 64 KiB chunk alive.
          this.#chunk = empty
          this.#at = 0
          this.buffer = empty
          return false
        }
        this.#take(chunk)
      }
      if (this.#streaming > 0) return this.#continueStream()
      if (this.#held > 0) {
        if (this.#fill()) return true
        continue
      }
      const left = this.#chunk.length - this.#at
      if (left < headerBytes) {
        this.#hold(left)
        continue
      }
      const type = this.#chunk.readUInt8(this.#at)
      const size = this.#size(this.#chunk.readInt32BE(this.#at + 1))
      const disposition = this.#decide(type, size - 1)
      this.type = type
      if (left >= size) {
        this.#present(this.#chunk, this.#at, this.#at + size, 'whole', false)
        this.#at += size
        return true
      }
      if (disposition === 'stream') {
        this.#present(this.#chunk, this.#at, this.#chunk.length, 'begin', false)
        this.#streaming = size - left
        this.#at = this.#chunk.length
        return true
      }
      this.#hold(left)
    }
  }

  /**
   * Widens the presented piece by the whole frames of the same letter that follow it in the received chunk: a result of a million rows
   * that nobody opens is walked, not presented row by row. Only for frames that are forwarded as they are, and whose letter decides that.
   */
  widen(): void {
    if (this.buffer !== this.#chunk || this.end !== this.#at) return
    const { type } = this
    const chunk = this.#chunk
    const last = chunk.length - headerBytes
    let at = this.#at
    while (at <= last && chunk[at] === type) {
      const length = chunk.readInt32BE(at + 1)
      // A wrong length is `next`'s to refuse.
      if (length < 4 || at + 1 + length > chunk.length) break
      at += 1 + length
    }
    this.#at = at
    this.end = at
  }

  /** Everything received and not presented, in order; the reader is empty afterwards. For handing a connection on. */
  drain(): Buffer {
    const rest = [this.#slab.subarray(0, this.#held), this.#chunk.subarray(this.#at), ...this.#later]
    this.#held = 0
    this.#later.length = 0
    this.#take(empty)
    return Buffer.concat(rest)
  }

  #take(chunk: Buffer, from = 0): void {
    this.#chunk = chunk
    this.#at = from
  }

  #size(length: number): number {
    if (length < 4) throw new WireError(`a message announces ${length} bytes; the least is 4`)
    return length + 1
  }

  #present(buffer: Buffer, start: number, end: number, piece: Piece, borrowed: boolean): void {
    this.buffer = buffer
    this.start = start
    this.end = end
    this.piece = piece
    this.borrowed = borrowed
  }

  #continueStream(): boolean {
    const size = Math.min(this.#streaming, this.#chunk.length - this.#at)
    this.#streaming -= size
    this.#present(this.#chunk, this.#at, this.#at + size, this.#streaming === 0 ? 'end' : 'middle', false)
    this.#at += size
    return true
  }

  /** Moves `count` bytes of the chunk into the slab. */
  #hold(count: number): void {
    const needed = this.#held + count
    if (this.#slab.length < needed) {
      const grown = Buffer.allocUnsafeSlow(Math.max(smallSlab, 2 ** Math.ceil(Math.log2(needed))))
      this.#slab.copy(grown, 0, 0, this.#held)
      this.#slab = grown
    } else if (this.#held === 0 && this.#slab.length > keepSlab) {
      this.#slab = Buffer.allocUnsafeSlow(Math.max(smallSlab, count))
    }
    this.#chunk.copy(this.#slab, this.#held, this.#at, this.#at + count)
    this.#held = needed
    this.#at += count
  }

  /** Adds to the cut frame in the slab; true when something is presented. */
  #fill(): boolean {
    if (this.#held < headerBytes) {
      this.#hold(Math.min(headerBytes - this.#held, this.#chunk.length - this.#at))
      if (this.#held < headerBytes) return false
      const size = this.#size(this.#slab.readInt32BE(1))
      this.type = this.#slab.readUInt8(0)
      const disposition = this.#decide(this.type, size - 1)
      if (disposition === 'stream' || size === headerBytes) {
        this.#held = 0
        this.#streaming = size - headerBytes
        this.#present(this.#slab, 0, headerBytes, this.#streaming === 0 ? 'whole' : 'begin', true)
        return true
      }
      if (this.#at === this.#chunk.length) return false
    }
    const size = this.#slab.readInt32BE(1) + 1
    this.#hold(Math.min(size - this.#held, this.#chunk.length - this.#at))
    if (this.#held < size) return false
    this.type = this.#slab.readUInt8(0)
    this.#held = 0
    this.#present(this.#slab, 0, size, 'whole', true)
    return true
  }
}
