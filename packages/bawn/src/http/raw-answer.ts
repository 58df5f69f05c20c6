import { STATUS_CODES } from 'node:http'
import { latin1 } from '../latin1.ts'
import type { AnswerWatcher, BodySource, FrontAnswer } from './engine.ts'
import { sliceBytes } from './front-answer.ts'
import type { HttpCode, Problem } from './problem.ts'

/** Up to here a copy into one piece with the head is cheaper than a second write. */
const joinedBytes = 16_384
/** Up to here one text of both, copied once where it is written, is cheaper still: Latin-1 has a character for each byte. */
const textBytes = 4_096

/** What an answer needs of its connection. */
export interface AnswerWire {
  /** @param bytes copied, where they are borrowed and cannot leave at once @returns false when the client is slower than we are: `drained` is called later */
  write(bytes: Buffer | string): boolean
  /** A whole answer behind which others may follow: leaves at the end of this turn of the event loop, or before what is written next. */
  hold(text: string): void
  /** Several writes that leave together. */
  together(writes: () => void): void
  /** Whether the connection has to be closed after this answer; asked once, when its head is written. */
  closesAfter(): boolean
  /** The answer is complete. @param close nothing can follow it */
  done(close: boolean): void
  /** What comes in from now on is no HTTP; `undefined` when something came in already. */
  upgrade(): BodySource | undefined
  refuse(problem: Problem): void
  destroy(): void
}

/** One answer of a raw connection. */
export class RawAnswer implements FrontAnswer {
  readonly borrows = true
  readonly #wire: AnswerWire
  /** HEAD: an answer without a body, whatever its headers say. */
  readonly #headOnly: boolean
  requestId: string | undefined
  #watcher: AnswerWatcher | undefined
  #head: string | undefined
  #framing: 'length' | 'chunked' | 'none' = 'none'
  #begun = false
  #gone = false
  #ended = false
  #close = false
  /** The rest of a large body that is sent in slices. */
  #slices: (() => void) | undefined

  constructor(wire: AnswerWire, method: string) {
    this.#wire = wire
    this.#headOnly = method === 'HEAD'
  }

  /** A part of it is on its way. */
  get begun(): boolean {
    return this.#begun
  }

  get ended(): boolean {
    return this.#ended
  }

  watch(watcher: AnswerWatcher): void {
    this.#watcher = watcher
    if (this.#gone) watcher.closed(undefined)
  }

  /** The client is gone, or was refused: whatever the door still sends goes nowhere. */
  lost(code?: HttpCode): void {
    if (this.#gone) return
    this.#gone = true
    if (!this.#ended) this.#watcher?.closed(code)
  }

  /** What was written has left. */
  drained(): void {
    if (this.#gone || this.#ended) return
    if (this.#slices !== undefined) this.#slices()
    else this.#watcher?.drained()
  }

  send(status: number, headers: readonly string[], body: Buffer | undefined): void {
    if (this.#gone || this.#ended) return
    const head = this.#start(status, headers, body?.length ?? 0)
    this.#begun = true
    if (body === undefined || body.length === 0 || this.#headOnly) {
      this.#leave(head)
    } else if (body.length <= textBytes) {
      this.#leave(head + latin1(body))
    } else if (body.length <= joinedBytes) {
      const whole = Buffer.allocUnsafe(head.length + body.length)
      whole.write(head, 0, 'latin1')
      body.copy(whole, head.length)
      this.#wire.write(whole)
      this.#finish()
    } else {
      this.#head = head
      this.#sendSlices(body)
    }
  }

  head(status: number, headers: readonly string[]): void {
    if (this.#gone || this.#ended) return
    this.#head = this.#start(status, headers, undefined)
    // A body that is there already leaves together with the head; one that comes later does not hold it up.
    process.nextTick(() => this.#flushHead())
  }

  write(bytes: Buffer): boolean {
    if (this.#gone || this.#ended || bytes.length === 0 || this.#framing === 'none') return true
    const { prefix, suffix } =
      this.#framing === 'chunked' ? { prefix: `${bytes.length.toString(16)}\r\n`, suffix: '\r\n' } : plain
    const before = (this.#head ?? '') + prefix
    this.#head = undefined
    this.#begun = true
    let taken = true
    if (bytes.length <= joinedBytes) {
      const whole = Buffer.allocUnsafe(before.length + bytes.length + suffix.length)
      whole.write(before, 0, 'latin1')
      bytes.copy(whole, before.length)
      whole.write(suffix, before.length + bytes.length, 'latin1')
      taken = this.#wire.write(before.length + suffix.length === 0 ? bytes : whole)
    } else {
      this.#wire.together(() => {
        if (before !== '') this.#wire.write(before)
        taken = this.#wire.write(bytes)
        if (suffix !== '') taken = this.#wire.write(suffix) && taken
      })
    }
    return taken
  }

  end(): void {
    if (this.#gone || this.#ended) return
    const last = (this.#head ?? '') + (this.#framing === 'chunked' ? '0\r\n\r\n' : '')
    this.#head = undefined
    this.#begun = true
    if (last !== '') this.#wire.write(last)
    this.#finish()
  }

  upgrade(headers: readonly string[]): BodySource | undefined {
    if (this.#gone || this.#ended) return undefined
    const source = this.#wire.upgrade()
    if (source === undefined) return undefined
    let head = `HTTP/1.1 101 ${STATUS_CODES[101]}\r\n`
    for (let at = 0; at < headers.length; at += 2) head += `${headers[at]}: ${headers[at + 1]}\r\n`
    this.#framing = 'length'
    this.#close = true
    this.#begun = true
    this.#wire.write(`${head}${dateLine()}\r\n`)
    return source
  }

  refuse(problem: Problem): void {
    if (this.#gone || this.#ended) return
    this.#ended = true
    this.#wire.refuse(problem)
  }

  abort(): void {
    this.#ended = true
    this.#wire.destroy()
  }

  /** @param length of the body where it is known */
  #start(status: number, headers: readonly string[], length: number | undefined): string {
    let head = statusLine(status)
    let framed = false
    let dated = false
    for (let at = 0; at < headers.length; at += 2) {
      const name = headers[at] ?? ''
      if (name.length === 14 && name.toLowerCase() === 'content-length') framed = true
      else if (name.length === 4 && name.toLowerCase() === 'date') dated = true
      head += `${name}: ${headers[at + 1]}\r\n`
    }
    const empty = this.#headOnly || status === 204 || status === 304
    if (framed) this.#framing = empty ? 'none' : 'length'
    else if (empty) this.#framing = 'none'
    else if (length !== undefined) {
      this.#framing = 'length'
      head += `Content-Length: ${length}\r\n`
    } else {
      this.#framing = 'chunked'
      head += 'Transfer-Encoding: chunked\r\n'
    }
    if (!dated) head += dateLine()
    this.#close = this.#wire.closesAfter()
    return this.#close ? `${head}Connection: close\r\n\r\n` : `${head}\r\n`
  }

  #flushHead(): void {
    if (this.#head === undefined || this.#gone || this.#ended) return
    const head = this.#head
    this.#head = undefined
    this.#begun = true
    this.#wire.write(head)
  }

  #sendSlices(body: Buffer): void {
    let at = 0
    this.#slices = () => {
      while (at < body.length && !this.#gone) {
        const piece = body.subarray(at, at + sliceBytes)
        at += piece.length
        if (!this.write(piece) && at < body.length) return
      }
      this.#slices = undefined
      if (!this.#gone) this.end()
    }
    this.#slices()
  }

  #leave(whole: string): void {
    if (this.#close) this.#wire.write(whole)
    else this.#wire.hold(whole)
    this.#finish()
  }

  #finish(): void {
    this.#ended = true
    this.#wire.done(this.#close)
  }
}

const statusLines: string[] = []

function statusLine(status: number): string {
  const known = statusLines[status]
  if (known !== undefined) return known
  const line = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n`
  if (status < 1_000) statusLines[status] = line
  return line
}

const plain = { prefix: '', suffix: '' }

let datedAt = 0
let dateText = ''

/** RFC 9110 section 6.6.1: once a second is often enough. */
function dateLine(): string {
  const now = Date.now()
  if (now - datedAt >= 1_000 || now < datedAt) {
    datedAt = now - (now % 1_000)
    dateText = `Date: ${new Date(datedAt).toUTCString()}\r\n`
  }
  return dateText
}
