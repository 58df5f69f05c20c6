import { latin1 } from '../../latin1.ts'
import { headerClass } from '../header-class.ts'
import { HttpError } from '../problem.ts'
import { scanHead, scanned } from './head-scan.ts'

/** How the end of an answer's body is found (RFC 9112 section 6.3). */
export type Framing =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly length: number }
  | { readonly kind: 'chunked' }
  | { readonly kind: 'until-close' }

export interface AnswerHead {
  readonly status: number
  /** Flat, as they came: name, value. Latin-1; no control character but tab. */
  readonly headers: readonly string[]
  readonly framing: Framing
  /** Content-Length as it says, also where there is no body (HEAD). */
  readonly length: number | undefined
  /** The upstream will take another request on this connection. */
  readonly keepAlive: boolean
  /** From `Keep-Alive: timeout=N`: how long it says that it waits. */
  readonly keepAliveMs: number | undefined
}

export interface AnswerEvents {
  head(head: AnswerHead): void
  /** A slice of the bytes that were pushed: not a copy. */
  body(bytes: Buffer): void
  complete(): void
}

export interface AnswerLimits {
  readonly maxHeadBytes: number
  readonly maxHeaders: number
}

export const defaultAnswerLimits: AnswerLimits = { maxHeadBytes: 65_536, maxHeaders: 256 }

type State =
  | 'idle'
  | 'head'
  | 'length'
  | 'until-close'
  | 'chunk-size'
  | 'chunk-data'
  | 'chunk-end'
  | 'trailer'
  | 'surplus'

const CR = 0x0d
const LF = 0x0a
const maxChunkLine = 512
const maxTrailerBytes = 16_384
const maxInterim = 16

/**
 * HTTP/1.1 answers, strictly, from bytes in pieces of any size. What a lenient parser would repair is refused, because the next reader
 * may repair it otherwise: bare CR and LF, folded lines, both framings, a length twice or no number, codings but `chunked`, chunk sizes
 * that are no hexadecimal, characters that no header may have. Interim answers (1xx) are skipped, trailers dropped.
 *
 * @throws {HttpError} `http.bad_answer`; the parser is of no use afterwards
 */
export class AnswerParser {
  readonly #limits: AnswerLimits
  #state: State = 'idle'
  #method = 'GET'
  #mayUpgrade = false
  /** An unfinished line or head, from earlier pieces. */
  #kept: Buffer | undefined
  #left = 0
  #trailerBytes = 0
  #interim = 0

  constructor(limits: AnswerLimits = defaultAnswerLimits) {
    this.#limits = limits
  }

  /** Bytes came after the end of an answer: whoever sent them does not agree with us on where it ends. */
  get surplus(): boolean {
    return this.#state === 'surplus'
  }

  /**
   * Before each answer.
   *
   * @param method of the request: an answer to HEAD has no body whatever it says
   * @param mayUpgrade 101 was asked for: what comes behind it is its body, until the end
   */
  begin(method: string, mayUpgrade = false): void {
    this.#method = method
    this.#mayUpgrade = mayUpgrade
    this.#state = 'head'
    this.#interim = 0
  }

  push(bytes: Buffer, events: AnswerEvents): void {
    let at = 0
    while (at < bytes.length) {
      switch (this.#state) {
        case 'idle':
        case 'surplus':
          this.#state = 'surplus'
          return
        case 'head':
          at = this.#head(bytes, at, events)
          break
        case 'length':
        case 'chunk-data': {
          const end = Math.min(bytes.length, at + this.#left)
          this.#left -= end - at
          events.body(bytes.subarray(at, end))
          at = end
          if (this.#left > 0) break
          if (this.#state === 'length') this.#complete(events)
          else this.#state = 'chunk-end'
          break
        }
        case 'until-close':
          events.body(bytes.subarray(at))
          return
        case 'chunk-size':
        case 'chunk-end':
        case 'trailer':
          at = this.#line(bytes, at, events)
          break
      }
    }
  }

  /** The upstream closed its side. */
  end(events: AnswerEvents): void {
    if (this.#state === 'until-close') this.#complete(events)
    else if (this.#state !== 'idle' && this.#state !== 'surplus')
      throw bad(`closed by the upstream in the ${this.#state === 'head' ? 'head' : 'body'} of the answer`)
  }

  #complete(events: AnswerEvents): void {
    this.#state = 'idle'
    events.complete()
  }

  #head(bytes: Buffer, at: number, events: AnswerEvents): number {
    // The kept bytes were searched before; three of them may be the beginning of the end.
    const kept = this.#kept
    const whole = kept === undefined ? bytes : Buffer.concat([kept, bytes.subarray(at)])
    const start = kept === undefined ? at : 0
    const before = kept?.length ?? 0
    const limit = this.#limits.maxHeadBytes
    // Hardly any head comes in two pieces; one that does is searched in what is new of it, so that a dribble costs no more than its length.
    let end = kept === undefined ? scanHead(whole, start, limit) : undefined
    if (end === undefined) {
      end = headEnd(whole, start, start + Math.max(0, before - 3), limit)
      if (end !== undefined) scanHead(whole, start, limit)
    }
    if (end === undefined) {
      if (whole.length - start >= limit) throw bad(`a head of more than ${limit} bytes`)
      // Copied: the piece it is a slice of must not be held.
      this.#kept = kept === undefined ? Buffer.from(whole.subarray(start)) : whole
      return bytes.length
    }
    this.#kept = undefined
    const head = parseAnswerHead(latin1(whole, start, end), this.#method, this.#limits, this.#mayUpgrade)
    const next = at + end - start + 4 - before
    if (head === undefined) {
      if (++this.#interim > maxInterim) throw bad(`more than ${maxInterim} interim answers`)
      return next
    }
    events.head(head)
    switch (head.framing.kind) {
      case 'none':
        this.#complete(events)
        break
      case 'length':
        this.#left = head.framing.length
        this.#state = 'length'
        if (this.#left === 0) this.#complete(events)
        break
      case 'chunked':
        this.#state = 'chunk-size'
        this.#trailerBytes = 0
        break
      case 'until-close':
        this.#state = 'until-close'
        break
    }
    return next
  }

  #line(bytes: Buffer, at: number, events: AnswerEvents): number {
    const newline = bytes.indexOf(LF, at)
    const kept = this.#kept
    const end = newline === -1 ? bytes.length : newline + 1
    const length = (kept?.length ?? 0) + end - at
    if (length > (this.#state === 'chunk-end' ? 2 : maxChunkLine))
      throw bad('a chunk of the body is not ended or too long a line')
    const piece = bytes.subarray(at, end)
    const line = kept === undefined ? piece : Buffer.concat([kept, piece])
    if (newline === -1) {
      this.#kept = Buffer.from(line)
      return end
    }
    this.#kept = undefined
    if (line.length < 2 || line[line.length - 2] !== CR) throw bad('a bare LF in the chunks of the body')
    this.#chunkLine(line.toString('latin1', 0, line.length - 2), events)
    return end
  }

  #chunkLine(text: string, events: AnswerEvents): void {
    switch (this.#state) {
      case 'chunk-size': {
        // An extension may be anything but control characters; it means nothing to us and ends here.
        const size = /^([0-9A-Fa-f]{1,12})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?$/.exec(text)?.[1]
        if (size === undefined) throw bad('a chunk size that is no hexadecimal number')
        this.#left = Number.parseInt(size, 16)
        this.#state = this.#left === 0 ? 'trailer' : 'chunk-data'
        return
      }
      case 'chunk-end':
        if (text !== '') throw bad('a chunk that is longer than its size')
        this.#state = 'chunk-size'
        return
      default:
        if (text === '') {
          this.#complete(events)
          return
        }
        this.#trailerBytes += text.length
        if (this.#trailerBytes > maxTrailerBytes) throw bad(`trailers of more than ${maxTrailerBytes} bytes`)
        checkHeaderLine(text)
    }
  }
}

function bad(what: string): HttpError {
  return new HttpError('http.bad_answer', `the upstream sent ${what}`)
}

/**
 * Looks for the end of a head that begins at `start`; there is none of it before `from`.
 *
 * @returns where CR LF CR LF begins
 * @throws when a line feed stands alone, as soon as it is there
 */
function headEnd(bytes: Buffer, start: number, from: number, limit: number): number | undefined {
  const end = bytes.indexOf('\r\n\r\n', from, 'latin1')
  // Whether a line feed stands alone in what comes before, `parseAnswerHead` will find out.
  if (end !== -1 && end - start + 4 <= limit) return end
  for (let newline = bytes.indexOf(LF, from); newline !== -1; newline = bytes.indexOf(LF, newline + 1)) {
    if (newline - start + 1 > limit) return undefined
    if (newline === start || bytes[newline - 1] !== CR) throw bad('a bare LF in the head')
  }
  return undefined
}

const statusLine = /^HTTP\/1\.([01]) ([1-9][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?$/
/** What nearly every answer begins with. */
const usualStatus = 'HTTP/1.1 200 '
const fieldName = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/
const fieldValue = /^[\t\x20-\x7e\x80-\xff]*$/

/**
 * @param text of the head that `scanHead` has gone through last
 * @returns undefined for an interim answer
 */
function parseAnswerHead(
  text: string,
  method: string,
  limits: AnswerLimits,
  mayUpgrade: boolean,
): AnswerHead | undefined {
  const { marks, count, isBad } = scanned
  // A line has no other character than those of the status line, or else the head is bad.
  const isUsual = text.startsWith(usualStatus)
  const first = isUsual ? undefined : statusLine.exec(text.slice(0, marks[1]))
  if (first === null) throw bad('no status line of HTTP/1.1')
  if (isBad) throw bad('control characters, or a bare CR or LF, in the head')
  const status = first === undefined ? 200 : Number(first[2])
  const isOld = first?.[1] === '0'
  const headers: string[] = []
  let length: string | undefined
  let coding: string | undefined
  let connection = ''
  let keepAliveMs: number | undefined
  for (let line = 2; line < count; line += 2) {
    const start = (marks[line - 1] ?? 0) + 2
    const [colon, end] = [marks[line] ?? -1, marks[line + 1] ?? 0]
    const name = text.slice(start, colon === -1 ? start : colon)
    const { name: lowerName, kind } = headerClass(name)
    // A folded line begins with a space and so has no name.
    if (kind === 'odd' && !fieldName.test(name)) throw bad(noName)
    const value = trimBlanks(text, colon + 1, end)
    if (headers.push(name, value) > 2 * limits.maxHeaders) throw bad(`more than ${limits.maxHeaders} headers`)
    switch (name.length) {
      case 10:
        if (lowerName === 'connection') connection += `,${value.toLowerCase()}`
        else if (lowerName === 'keep-alive') {
          const seconds = /(?:^|[,\s])timeout=([0-9]{1,6})/i.exec(value)?.[1]
          if (seconds !== undefined) keepAliveMs = Number(seconds) * 1000
        }
        break
      case 14:
        if (lowerName !== 'content-length') break
        if (length !== undefined) throw bad('Content-Length twice')
        if (!/^[0-9]{1,15}$/.test(value)) throw bad('a Content-Length that is no number')
        length = value
        break
      case 17:
        if (lowerName !== 'transfer-encoding') break
        if (coding !== undefined) throw bad('Transfer-Encoding twice')
        coding = value.toLowerCase()
        break
    }
  }
  if (status === 101) {
    if (!mayUpgrade || isOld) throw bad('101, which nobody asked for')
    return {
      status,
      headers,
      framing: { kind: 'until-close' },
      length: undefined,
      keepAlive: false,
      keepAliveMs: undefined,
    }
  }
  if (status < 200) return undefined
  if (coding !== undefined) {
    if (length !== undefined) throw bad('both Content-Length and Transfer-Encoding')
    if (coding !== 'chunked' || isOld) throw bad('a Transfer-Encoding other than chunked')
  }
  return {
    status,
    headers,
    framing: framingOf(status, method, length, coding),
    length: length === undefined ? undefined : Number(length),
    keepAlive: connection === '' ? !isOld : keepsAlive(connection, !isOld),
    keepAliveMs,
  }
}

/** RFC 9112 section 9.3. @param isPersistent where nothing is said */
function keepsAlive(connection: string, isPersistent: boolean): boolean {
  if (connection === ',keep-alive') return true
  const options = connection.split(',').map(option => option.trim())
  return !options.includes('close') && (isPersistent || options.includes('keep-alive'))
}

function framingOf(status: number, method: string, length: string | undefined, coding: string | undefined): Framing {
  if (method === 'HEAD' || status === 204 || status === 304) return { kind: 'none' }
  if (coding !== undefined) return { kind: 'chunked' }
  if (length !== undefined) return { kind: 'length', length: Number(length) }
  return { kind: 'until-close' }
}

const noName = 'a header without a name, or with one that no header may have'

/** A trailer is dropped, and must be one. */
function checkHeaderLine(line: string): void {
  const colon = line.indexOf(':')
  if (!fieldName.test(line.slice(0, Math.max(0, colon)))) throw bad(noName)
  if (!fieldValue.test(line)) throw bad('a header value with control characters')
}

/** By hand: a regular expression that looks for blanks at the end tries anew at each blank inside, which for a head full of them is minutes. */
function trimBlanks(text: string, from: number, to: number): string {
  let start = from
  let end = to
  while (start < end && isBlank(text.charCodeAt(start))) start++
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09
}
