import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type TLSSocket } from 'node:tls'

// HTTP/2 by hand, for what no client would send: frames (RFC 9113 section 4.1), and HPACK literals without indexing and without
// Huffman (RFC 7541 section 6.2.2), which need no state.

export const types = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  window: 8,
  continuation: 9,
} as const
export const endStream = 1
export const endHeaders = 4

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Buffer
}

export function frame(type: number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1')
  const length: number[] = []
  if (bytes.length < 127) length.push(bytes.length)
  else {
    let rest = bytes.length - 127
    length.push(127)
    while (rest >= 128) {
      length.push((rest % 128) + 128)
      rest = Math.floor(rest / 128)
    }
    length.push(rest)
  }
  return Buffer.concat([Uint8Array.from(length), bytes])
}

export function block(...lines: readonly string[]): Buffer {
  const pieces: Buffer[] = []
  for (let at = 0; at < lines.length; at += 2) {
    pieces.push(Buffer.of(0), text(lines[at] ?? ''), text(lines[at + 1] ?? ''))
  }
  return Buffer.concat(pieces)
}

/** The head of an ordinary request. @param more further lines, flat */
export function headOf(method: string, path: string, ...more: readonly string[]): Buffer {
  return block(':method', method, ':scheme', 'https', ':authority', 'gate.example', ':path', path, ...more)
}

export class FrameClient {
  readonly socket: TLSSocket
  readonly frames: Frame[] = []
  closed = false
  #kept: Buffer = Buffer.alloc(0)
  #wake: (() => void) | undefined

  constructor(socket: TLSSocket) {
    this.socket = socket
    socket.on('data', bytes => this.#data(bytes))
    socket.on('error', () => {})
    socket.once('close', () => {
      this.closed = true
      this.#wake?.()
    })
  }

  send(...frames: readonly Uint8Array[]): void {
    if (this.socket.writable) this.socket.write(Buffer.concat(frames))
  }

  /** Waits until what came fits, or nothing more can come. @returns whether it fits */
  async until(fits: () => boolean): Promise<boolean> {
    let isLate = false
    const late = setTimeout(() => {
      isLate = true
      this.socket.destroy()
    }, 10_000)
    while (!fits() && !this.closed) {
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
    clearTimeout(late)
    assert.ok(!isLate, 'in time')
    return fits()
  }

  has(type: number, stream?: number): Frame | undefined {
    return this.frames.find(each => each.type === type && (stream === undefined || each.stream === stream))
  }

  /** What became of a request: an answer, a reset, or the end of the connection. */
  async fate(stream: number): Promise<'answered' | 'reset' | 'closed'> {
    await this.until(() => this.has(types.headers, stream) !== undefined || this.has(types.reset, stream) !== undefined)
    if (this.has(types.headers, stream) !== undefined) return 'answered'
    return this.has(types.reset, stream) === undefined ? 'closed' : 'reset'
  }

  #data(bytes: Buffer): void {
    this.#kept = Buffer.concat([this.#kept, bytes])
    while (this.#kept.length >= 9) {
      const length = this.#kept.readUIntBE(0, 3)
      if (this.#kept.length < 9 + length) break
      this.frames.push({
        type: this.#kept[3] ?? 0,
        flags: this.#kept[4] ?? 0,
        stream: this.#kept.readUInt32BE(5),
        payload: Buffer.from(this.#kept.subarray(9, 9 + length)),
      })
      this.#kept = this.#kept.subarray(9 + length)
    }
    this.#wake?.()
  }
}

/** Connects, and has said the preface and its (empty) SETTINGS, unless `silent`. */
export async function connectFrames(port: number, silent = false): Promise<FrameClient> {
  const socket = connect({ port, host: '127.0.0.1', ALPNProtocols: ['h2'], rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  const client = new FrameClient(socket)
  if (!silent) client.send(Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(types.settings, 0, 0))
  return client
}
