import { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'

// System calls and what Node does around each of them are what a relay costs. This file leaves out what is around them, on plain TCP
// sockets: one buffer for all reads in place of a new one of 64 KiB each, and writes without the machinery of streams. Node has no public
// way to do the latter, or the former on accepted sockets, so each part is looked for before it is used; where one is missing, sockets
// are read and written as usual.

/** What a write that the kernel does not take at once is known by. */
interface WriteRequest {
  oncomplete: (status: number) => void
  /** Kept from being collected until it is written. */
  bytes: Buffer | undefined
}

interface StreamBinding {
  readonly WriteWrap: new () => WriteRequest
  readonly streamBaseState: Int32Array
  readonly kLastWriteWasAsync: number
}

interface TcpHandle {
  writeBuffer(request: WriteRequest, bytes: Buffer): number
  writeLatin1String(request: WriteRequest, text: string): number
  useUserBuffer(buffer: Buffer): void
}

/** How Node names the properties of a socket that `onread` fills, and that of what it has not written. */
interface SocketSymbols {
  readonly buffer: symbol
  readonly callback: symbol
  readonly queued: symbol
}

function isBinding(found: unknown): found is StreamBinding {
  if (typeof found !== 'object' || found === null) return false
  return (
    typeof Reflect.get(found, 'WriteWrap') === 'function' &&
    typeof Reflect.get(found, 'kLastWriteWasAsync') === 'number' &&
    Reflect.get(found, 'streamBaseState') instanceof Int32Array
  )
}

const binding = ((): StreamBinding | undefined => {
  try {
    const found: unknown = Reflect.apply(Reflect.get(process, 'binding'), process, ['stream_wrap'])
    return isBinding(found) ? found : undefined
  } catch {
    return undefined
  }
})()

const symbols = ((): SocketSymbols | undefined => {
  const all = Object.getOwnPropertySymbols(new Socket())
  const named = (description: string): symbol | undefined => all.find(symbol => symbol.description === description)
  const [buffer, callback, queued] = ['kBuffer', 'kBufferCb', 'lastWriteQueueSize'].map(named)
  return buffer && callback && queued && { buffer, callback, queued }
})()

/** `undefined` where the socket is none that can be used so. */
function handleOf(socket: Socket): TcpHandle | undefined {
  if (socket instanceof TLSSocket) return undefined
  const handle: unknown = Reflect.get(socket, '_handle')
  return isTcpHandle(handle) ? handle : undefined
}

function isTcpHandle(handle: unknown): handle is TcpHandle {
  if (typeof handle !== 'object' || handle === null || handle.constructor.name !== 'TCP') return false
  return (
    typeof Reflect.get(handle, 'writeBuffer') === 'function' &&
    typeof Reflect.get(handle, 'writeLatin1String') === 'function' &&
    typeof Reflect.get(handle, 'useUserBuffer') === 'function'
  )
}

/**
 * Plain connections read into this one: a read is worked through before the next begins, whoever's it is. Saves
 * an allocation of 64 KiB a read, which is what large results cost most beside the system calls.
 */
export const slab: Buffer = Buffer.allocUnsafeSlow(256 * 1024)

const slabMemory = slab.buffer

const shortBytes = 1_024
/** Beginnings of the slab, made once: a view costs more than the copy of a few bytes. */
const beginnings = Array.from<Buffer | undefined>({ length: shortBytes + 1 })

/** What was read into the slab: its first bytes. */
export function readIntoSlab(count: number): Buffer {
  if (count > shortBytes) return slab.subarray(0, count)
  const known = beginnings[count] ?? slab.subarray(0, count)
  beginnings[count] = known
  return known
}

/** What clients send is short, and a copy of it is kept: as much at a time as sockets give that are read as usual. */
const clientSlab = slab.subarray(0, 64 * 1024)

/**
 * Has an accepted socket, paused and without bytes that were read already, read without a buffer of its own. What comes is given to
 * `receive` in place of `data` events: those come where this does nothing, so listen to both.
 *
 * @param isLent what comes is borrowed, not a copy
 */
export function readWithoutBuffer(socket: Socket, receive: (chunk: Buffer) => void, isLent = false): void {
  const handle = handleOf(socket)
  if (handle === undefined || symbols === undefined || socket.readableLength > 0) return
  if (Reflect.get(socket, symbols.buffer) !== null) return
  Reflect.set(socket, symbols.buffer, clientSlab)
  Reflect.set(socket, symbols.callback, (count: number): boolean => {
    const bytes = readIntoSlab(count)
    receive(isLent ? bytes : Buffer.from(bytes))
    return true
  })
  handle.useUserBuffer(clientSlab)
}

/** Whether the bytes will be overwritten by the next read. */
export function isBorrowed(bytes: Buffer): boolean {
  return bytes.buffer === slabMemory
}

/** For who keeps them: a copy of bytes that are borrowed. */
export function owned(bytes: Buffer): Buffer {
  return isBorrowed(bytes) ? Buffer.from(bytes) : bytes
}

/** Where borrowed bytes are copied to for a write: those in which nothing of an earlier write is any more. */
const spares: Buffer[] = []
const maxSpares = 16
/** A request that was not needed: the kernel took everything at once. */
let unused: WriteRequest | undefined

/**
 * One side of a relay to write to. @see write
 */
export class RelayOutput {
  readonly #socket: Socket
  readonly #handle: TcpHandle | undefined
  /** Bytes that were written past the socket, and that the kernel has not taken yet. */
  #pending = 0
  /** Where they are, if it was a spare one. */
  #copy: Buffer | undefined

  constructor(socket: Socket) {
    this.#socket = socket
    this.#handle = binding === undefined ? undefined : handleOf(socket)
  }

  /** Something that was written has not left the process. */
  get isBehind(): boolean {
    return this.#pending > 0 || this.#socket.writableLength > 0
  }

  /**
   * Writes bytes that may be borrowed. @returns as `socket.write` does; `drain` comes from the socket
   *
   * A copy for each write is garbage of the size of the whole result. Mostly the kernel takes all bytes at once, and the copy is free
   * again when `write` returns; a socket that still has some keeps it.
   */
  write(bytes: Buffer): boolean {
    const socket = this.#socket
    if (this.isBehind || socket.writableEnded || socket.destroyed) {
      const taken = socket.write(owned(bytes))
      return taken && this.#pending === 0
    }
    if (!isBorrowed(bytes)) return this.#now(bytes)
    // A write inside TLS is never done at once: it would keep the spare each time.
    if (this.#handle === undefined) return socket.write(Buffer.from(bytes))
    const copy = spares.pop() ?? Buffer.allocUnsafeSlow(slab.length)
    bytes.copy(copy)
    const more = this.#now(copy.subarray(0, bytes.length))
    if (this.#pending > 0) this.#copy = copy
    else if (!this.isBehind) spares.push(copy)
    return more
  }

  /** Writes Latin-1. @returns as `write` does */
  writeText(text: string): boolean {
    const socket = this.#socket
    if (this.isBehind || socket.writableEnded || socket.destroyed) {
      const taken = socket.write(text, 'latin1')
      return taken && this.#pending === 0
    }
    return this.#now(text)
  }

  #now(data: Buffer | string): boolean {
    const handle = this.#handle
    if (binding === undefined || handle === undefined || symbols === undefined) return this.#usual(data)
    const request = unused ?? new binding.WriteWrap()
    unused = undefined
    const isText = typeof data === 'string'
    const failed = isText ? handle.writeLatin1String(request, data) : handle.writeBuffer(request, data)
    if (failed !== 0) {
      this.#socket.destroy()
      return true
    }
    if (binding.streamBaseState[binding.kLastWriteWasAsync] === 0) {
      unused = request
      return true
    }
    this.#pending = data.length
    request.bytes = isText ? undefined : data
    request.oncomplete = status => this.#written(status)
    // By it the socket's time-out tells a peer that takes little from one that takes nothing.
    Reflect.set(this.#socket, symbols.queued, data.length)
    return false
  }

  #usual(data: Buffer | string): boolean {
    return typeof data === 'string' ? this.#socket.write(data, 'latin1') : this.#socket.write(data)
  }

  #written(status: number): void {
    const socket = this.#socket
    this.#pending = 0
    if (this.#copy !== undefined && spares.length < maxSpares) spares.push(this.#copy)
    this.#copy = undefined
    if (socket.destroyed) return
    if (status < 0) {
      socket.destroy()
      return
    }
    if (symbols !== undefined && socket.writableLength === 0) Reflect.set(socket, symbols.queued, 0)
    // Otherwise the socket says so itself.
    if (!socket.writableNeedDrain) socket.emit('drain')
  }
}
