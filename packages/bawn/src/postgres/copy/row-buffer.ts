const smallSlab = 8 * 1024
const keepSlab = 256 * 1024
const empty = Buffer.alloc(0)

/**
 * Bytes of rows that arrive in pieces. What lies whole in a received chunk stays where it lies; a cut row is collected in a slab
 * that doubles, so that a long one costs linear time. `bytes[start..end)` is what was received and not taken.
 */
export class RowBuffer {
  bytes: Buffer = empty
  start = 0
  end = 0
  #slab: Buffer = empty

  get length(): number {
    return this.end - this.start
  }

  /** @param chunk must stay as it is until `keep` */
  add(chunk: Buffer): void {
    const held = this.length
    if (held === 0) {
      this.bytes = chunk
      this.start = 0
      this.end = chunk.length
      return
    }
    this.#collect(held + chunk.length)
    chunk.copy(this.#slab, this.end)
    this.end += chunk.length
  }

  /** The chunk may be overwritten from now on. */
  keep(): void {
    const held = this.length
    if (held > 0 && this.bytes !== this.#slab) this.#collect(held)
    else if (held === 0) {
      this.bytes = empty
      this.start = 0
      this.end = 0
      if (this.#slab.length > keepSlab) this.#slab = empty
    }
  }

  /** Moves what is held into the slab, with room for `needed` bytes from `start` on. */
  #collect(needed: number): void {
    const { bytes, start, end } = this
    if (bytes === this.#slab && start + needed <= bytes.length) return
    if (this.#slab.length < needed) {
      const grown = Buffer.allocUnsafeSlow(Math.max(smallSlab, 2 ** Math.ceil(Math.log2(needed))))
      bytes.copy(grown, 0, start, end)
      this.#slab = grown
    } else if (bytes === this.#slab) this.#slab.copyWithin(0, start, end)
    else bytes.copy(this.#slab, 0, start, end)
    this.bytes = this.#slab
    this.start = 0
    this.end = end - start
  }
}
