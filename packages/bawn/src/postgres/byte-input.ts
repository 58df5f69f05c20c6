import type { Socket } from 'node:net'
import { isBorrowed } from '../socket-fast-path.ts'
import { WireError } from './wire/wire-error.ts'

/** The other side closed, or the connection broke, while something was awaited. */
export class ConnectionLost extends Error {}

/** One message with its letter, in memory that is nobody else's: what is secret may be filled with zeros. */
export interface Message {
  readonly type: number
  /** A part of `whole`. */
  readonly body: Buffer
  /** As it came, with letter and length. */
  readonly whole: Buffer
}

const maxHeld = 256 * 1024

/**
 * Awaitable reading for the phases that are a conversation: start-up and login, on both sides. The relay that follows takes over
 * with `release`. Holds at most one message and one chunk.
 */
export class ByteInput {
  readonly socket: Socket
  #held: Buffer = Buffer.alloc(0)
  #ended = false
  #wake: (() => void) | undefined

  readonly #onData = (chunk: Buffer): void => {
    if (this.#held.length > 0) this.#held = Buffer.concat([this.#held, chunk])
    // The next read would overwrite it.
    else this.#held = isBorrowed(chunk) ? Buffer.from(chunk) : chunk
    if (this.#held.length > maxHeld) this.socket.pause()
    this.#wake?.()
  }
  readonly #onEnd = (): void => {
    this.#ended = true
    this.#wake?.()
  }

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', this.#onData)
    socket.on('end', this.#onEnd)
    socket.on('close', this.#onEnd)
    if (socket.destroyed) this.#ended = true
  }

  /** Bytes received and not yet read. */
  get held(): number {
    return this.#held.length
  }

  /** Resolves with at least `count` bytes, which stay unread. @throws {ConnectionLost} */
  async peek(count: number): Promise<Buffer> {
    while (this.#held.length < count) {
      if (this.#ended) throw new ConnectionLost('connection closed')
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
      this.#wake = undefined
    }
    return this.#held
  }

  /** @throws {ConnectionLost} */
  async read(count: number): Promise<Buffer> {
    await this.peek(count)
    return this.#take(count)
  }

  /** A packet that begins with its own length. @throws {WireError | ConnectionLost} */
  async readPacket(limits: { readonly min: number; readonly max: number }): Promise<Buffer> {
    const length = (await this.peek(4)).readInt32BE(0)
    if (length < limits.min || length > limits.max) throw new WireError('invalid length of startup packet')
    return await this.read(length)
  }

  /** @param maxBytes most that the length may announce, checked before the body is kept @throws {WireError | ConnectionLost} */
  async readMessage(maxBytes: number): Promise<Message> {
    while (true) {
      const message = this.takeMessage(maxBytes)
      if (message !== undefined) return message
      await this.peek(this.#held.length + 1)
    }
  }

  /** The next message, if all of it is here: a server says twenty at a time, and each wait for what has come costs more than the look. */
  takeMessage(maxBytes: number): Message | undefined {
    const held = this.#held
    if (held.length < 5) return undefined
    const length = held.readInt32BE(1)
    if (length < 4 || length > maxBytes) throw new WireError('invalid message length')
    if (held.length < length + 1) return undefined
    const whole = this.#take(length + 1)
    return { type: whole.readUInt8(0), body: whole.subarray(5), whole }
  }

  #take(count: number): Buffer {
    const held = this.#held
    this.#held = held.subarray(count)
    if (this.#held.length <= maxHeld && this.socket.isPaused()) this.socket.resume()
    return held.subarray(0, count)
  }

  /** Stops reading; the socket is paused and the unread bytes are the caller's. */
  release(): Buffer {
    this.socket.off('data', this.#onData)
    this.socket.off('end', this.#onEnd)
    this.socket.off('close', this.#onEnd)
    this.socket.pause()
    return this.#held
  }
}

const lingerMs = 10_000

/** Sends last words and closes; a peer that does not close its side in time is cut off. */
export function endSocket(socket: Socket, lastWords?: Buffer, waitMs = lingerMs): void {
  if (socket.destroyed) return
  if (lastWords === undefined) socket.end()
  else socket.end(lastWords)
  // What still arrives is read over: unread bytes would turn the close into a reset, and that can overtake the last words.
  socket.on('data', () => {})
  socket.resume()
  const timer = setTimeout(() => socket.destroy(), waitMs)
  timer.unref()
  socket.once('close', () => clearTimeout(timer))
}
