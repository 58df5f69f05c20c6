/**
 * Walks over WebSocket frames (RFC 6455 section 5.2) by their heads, in pieces of any size, to know where one of our own may stand between
 * two of them. Payloads are not looked at, and nothing is kept.
 */
export class FrameWalk {
  #head = Buffer.alloc(14)
  #have = 0
  #left = 0n

  /** Everything so far ends with a whole frame. */
  get isBetween(): boolean {
    return this.#have === 0 && this.#left === 0n
  }

  push(bytes: Uint8Array): void {
    let at = 0
    while (at < bytes.length) {
      if (this.#left > 0n) {
        const step = Math.min(bytes.length - at, Number(this.#left > 0x4000_0000n ? 0x4000_0000n : this.#left))
        this.#left -= BigInt(step)
        at += step
        continue
      }
      this.#head[this.#have++] = bytes[at++] ?? 0
      const size = headSize(this.#head, this.#have)
      if (size === undefined || this.#have < size) continue
      this.#left = payloadLength(this.#head)
      this.#have = 0
    }
  }
}

function headSize(head: Buffer, have: number): number | undefined {
  if (have < 2) return undefined
  const second = head[1] ?? 0
  const length = second & 0x7f
  return 2 + (length === 126 ? 2 : length === 127 ? 8 : 0) + ((second & 0x80) === 0 ? 0 : 4)
}

function payloadLength(head: Buffer): bigint {
  const length = (head[1] ?? 0) & 0x7f
  if (length === 126) return BigInt(head.readUInt16BE(2))
  return length === 127 ? head.readBigUInt64BE(2) : BigInt(length)
}

/** A Close frame of a server (section 5.5.1). */
export function closeFrame(code: number): Buffer {
  const frame = Buffer.from([0x88, 2, 0, 0])
  frame.writeUInt16BE(code, 2)
  return frame
}
