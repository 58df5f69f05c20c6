import { createRequire } from 'node:module'
import { latin1 } from '../latin1.ts'

// Binding to llhttp, the HTTP parser of Node itself, as WebAssembly: undici carries the build that the Node project makes (decision
// 0021). One instance for the thread; a parser is a few hundred bytes in its memory. Nothing here decides what a request means:
// llhttp settles framing in its strict mode, and whoever calls reads what it found.

/** The callbacks' answers and `errno` that are used here (llhttp.h). */
const paused = 21
const pausedByUpgrade = 22

/** What is fed at once: a larger piece goes in slices. */
export const inputBytes = 65_536

interface Llhttp {
  readonly memory: { readonly buffer: ArrayBuffer }
  readonly _initialize: () => void
  readonly malloc: (bytes: number) => number
  readonly llhttp_alloc: (type: number) => number
  readonly llhttp_free: (parser: number) => void
  readonly llhttp_execute: (parser: number, at: number, bytes: number) => number
  readonly llhttp_resume: (parser: number) => void
  readonly llhttp_get_error_pos: (parser: number) => number
  readonly llhttp_get_method: (parser: number) => number
  readonly llhttp_method_name: (method: number) => number
  readonly llhttp_get_http_major: (parser: number) => number
  readonly llhttp_get_http_minor: (parser: number) => number
}

/** A request's head. Latin-1. */
export interface ParsedHead {
  readonly method: string
  readonly target: string
  readonly httpVersion: string
  /** Flat: name, value, name, value. */
  readonly rawHeaders: readonly string[]
  /** Asks for another protocol: what comes behind this request is none of ours. */
  readonly upgrade: boolean
  /** RFC 9112 section 9.3. */
  readonly keepAlive: boolean
}

/** What one call of `execute` came to; the object is used again by the next call. */
export interface Execution {
  /** Bytes that are dealt with. Fewer than were given where a request ended before them, or at an error. */
  readonly consumed: number
  /** The head became complete in this call. */
  readonly head: ParsedHead | undefined
  /** Pieces of the body, transfer coding removed: offsets into what was given, flat (start, end). */
  readonly body: readonly number[]
  /** The request is complete; what follows belongs to the next one. */
  readonly complete: boolean
  readonly error: 'malformed' | 'head-too-large' | undefined
}

/** Node has it; the types of Node do not. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (
    module: object,
    imports: { readonly env: Readonly<Record<string, (parser: number, a: number, b: number, c: number) => number>> },
  ) => { readonly exports: Llhttp }
}

const url = 1
const field = 2
const value = 3
type Kind = typeof url | typeof field | typeof value

const noPieces: number[] = []
/** Of the running call, of whichever parser, flat: kind, start, end. */
const spansOfCall: number[] = []

let current: RequestParser | undefined

function load(): { llhttp: Llhttp; input: number } {
  const bytes: Uint8Array = createRequire(import.meta.url)('undici/lib/llhttp/llhttp_simd-wasm.js')
  const span = (kind: Kind) => (_parser: number, at: number, length: number) => current?.span(kind, at, length) ?? 1
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
    env: {
      wasm_on_message_begin: () => 0,
      wasm_on_status: () => 0,
      wasm_on_url: span(url),
      wasm_on_header_field: span(field),
      wasm_on_header_value: span(value),
      wasm_on_headers_complete: (_parser: number, _status: number, upgrade: number, keepAlive: number) =>
        current?.headersComplete(upgrade !== 0, keepAlive !== 0) ?? 1,
      wasm_on_body: (_parser: number, at: number, length: number) => current?.piece(at, length) ?? 1,
      wasm_on_message_complete: () => current?.messageComplete() ?? 1,
    },
  })
  const llhttp = instance.exports
  llhttp._initialize()
  return { llhttp, input: llhttp.malloc(inputBytes) }
}

let loaded: { llhttp: Llhttp; input: number } | undefined
let memory = new Uint8Array(0)
const methods: string[] = []

function methodName(llhttp: Llhttp, method: number): string {
  const known = methods[method]
  if (known !== undefined) return known
  const view = new Uint8Array(llhttp.memory.buffer)
  const start = llhttp.llhttp_method_name(method)
  const name = Buffer.from(view.subarray(start, view.indexOf(0, start))).toString('latin1')
  methods[method] = name
  return name
}

function versionOf(major: number, minor: number): string {
  return major === 1 && minor === 1 ? '1.1' : `${major}.${minor}`
}

/** Reads the requests of one connection, one after the other. `free` must be called, once. */
export class RequestParser {
  readonly #llhttp: Llhttp
  readonly #input: number
  readonly #maxHeadBytes: number
  #parser: number
  /** Of the head that is being read. */
  #headBytes = 0
  #headDone = false
  #target = ''
  #rawHeaders: string[] = []
  #last: number | undefined
  readonly #spans = spansOfCall
  /** Entries of `#spans` that are of the running call: making an array shorter costs more than the whole rest of a short call. */
  #spanCount = 0
  #body: number[] = noPieces
  #head: ParsedHead | undefined
  #complete = false
  #tooLarge = false

  /** @param maxHeadBytes of a request line with its headers, and of trailers */
  constructor(maxHeadBytes: number) {
    loaded ??= load()
    this.#llhttp = loaded.llhttp
    this.#input = loaded.input
    this.#maxHeadBytes = maxHeadBytes
    // 1: requests only.
    this.#parser = this.#llhttp.llhttp_alloc(1)
  }

  free(): void {
    if (this.#parser === 0) return
    this.#llhttp.llhttp_free(this.#parser)
    this.#parser = 0
  }

  /** A request has begun and its head is not complete. */
  get isInHead(): boolean {
    return !this.#headDone && this.#headBytes > 0
  }

  /** @param bytes at most `inputBytes` of them are looked at */
  execute(bytes: Buffer): Execution {
    const llhttp = this.#llhttp
    if (memory.buffer !== llhttp.memory.buffer) memory = new Uint8Array(llhttp.memory.buffer)
    const length = Math.min(bytes.length, inputBytes)
    memory.set(length === bytes.length ? bytes : bytes.subarray(0, length), this.#input)
    this.#spanCount = 0
    if (this.#body.length > 0) this.#body = noPieces
    this.#head = undefined
    this.#complete = false
    current = this
    const code = llhttp.llhttp_execute(this.#parser, this.#input, length)
    current = undefined
    let consumed = length
    if (code === paused || code === pausedByUpgrade) {
      consumed = llhttp.llhttp_get_error_pos(this.#parser) - this.#input
      if (code === paused) llhttp.llhttp_resume(this.#parser)
    }
    this.#read(bytes, consumed)
    const bad = code !== 0 && code !== paused && code !== pausedByUpgrade
    const error = this.#tooLarge ? 'head-too-large' : bad ? 'malformed' : undefined
    const head = this.#head
    // A connection that waits for its next request does not keep the last one.
    this.#head = undefined
    return { consumed, head, body: this.#body, complete: this.#complete, error }
  }

  /** Makes strings of the spans: one of the whole stretch, and slices of it, which V8 does not copy. */
  #read(bytes: Buffer, consumed: number): void {
    const spans = this.#spans
    const count = this.#spanCount
    if (count > 0) {
      const first = spans[1] ?? 0
      const text = latin1(bytes, first, spans[count - 1])
      const rawHeaders = this.#rawHeaders
      let last = this.#last
      for (let at = 0; at < count; at += 3) {
        const kind = spans[at]
        const piece = text.slice((spans[at + 1] ?? 0) - first, (spans[at + 2] ?? 0) - first)
        if (kind === url) this.#target = last === url ? this.#target + piece : piece
        else if (kind === last) rawHeaders[rawHeaders.length - 1] += piece
        else rawHeaders.push(piece)
        last = kind
      }
      this.#last = last
    }
    const head = this.#head
    if (head !== undefined) {
      const { method, httpVersion, upgrade, keepAlive } = head
      const rawHeaders = this.#rawHeaders
      for (let at = 1; at < rawHeaders.length; at += 2) rawHeaders[at] = withoutTrailingSpace(rawHeaders[at] ?? '')
      this.#head = { method, target: this.#target, httpVersion, rawHeaders, upgrade, keepAlive }
      this.#target = ''
      this.#rawHeaders = []
      this.#last = undefined
    } else if (!this.#headDone) this.#headBytes += consumed
    // The empty line at the end has no span, and is not counted where the head comes in one piece.
    if (this.#headBytes > this.#maxHeadBytes + 4) this.#tooLarge = true
    if (this.#complete) {
      this.#headDone = false
      this.#headBytes = 0
    }
  }

  span(kind: Kind, at: number, length: number): number {
    const start = at - this.#input
    // Where a head ends in this piece, its last span says how long it was. The same limit holds for trailers, which are dropped.
    if (this.#headDone) {
      this.#headBytes += length
      return this.#headBytes > this.#maxHeadBytes ? this.#overflow() : 0
    }
    if (this.#headBytes + start + length > this.#maxHeadBytes) return this.#overflow()
    const spans = this.#spans
    const count = this.#spanCount
    spans[count] = kind
    spans[count + 1] = start
    spans[count + 2] = start + length
    this.#spanCount = count + 3
    return 0
  }

  #overflow(): number {
    this.#tooLarge = true
    return 1
  }

  headersComplete(upgrade: boolean, keepAlive: boolean): number {
    const llhttp = this.#llhttp
    const version = versionOf(llhttp.llhttp_get_http_major(this.#parser), llhttp.llhttp_get_http_minor(this.#parser))
    const method = methodName(llhttp, llhttp.llhttp_get_method(this.#parser))
    this.#head = { method, target: '', httpVersion: version, rawHeaders: [], upgrade, keepAlive }
    this.#headDone = true
    this.#headBytes = 0
    return 0
  }

  piece(at: number, length: number): number {
    const start = at - this.#input
    if (this.#body.length === 0) this.#body = [start, start + length]
    else this.#body.push(start, start + length)
    return 0
  }

  messageComplete(): number {
    this.#complete = true
    return paused
  }
}

/** RFC 9112 section 5.1: white space around a value is not a part of it; llhttp takes only that before it away. */
function withoutTrailingSpace(value: string): string {
  let end = value.length
  while (end > 0 && isSpace(value.charCodeAt(end - 1))) end--
  return end === value.length ? value : value.slice(0, end)
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09
}
