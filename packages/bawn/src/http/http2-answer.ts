import { constants, type ServerHttp2Stream } from 'node:http2'
import type { AnswerWatcher, BodySource, FrontAnswer } from './engine.ts'
import { sliceBytes } from './front-answer.ts'
import { type HttpCode, HttpError, type Problem } from './problem.ts'
import type { ConnectionContext } from './raw-connection.ts'

const { NGHTTP2_NO_ERROR } = constants

const whole = { endStream: true } as const
const open = { endStream: false } as const

/** One answer on a stream of HTTP/2. */
export class Http2Answer implements FrontAnswer {
  readonly #stream: ServerHttp2Stream
  readonly #headOnly: boolean
  readonly #context: ConnectionContext
  requestId: string | undefined
  #watcher: AnswerWatcher | undefined
  #gone = false
  #ended = false
  #waiting = false
  /** All of its request has come. */
  isRequestWhole: boolean
  /** When the client must have taken what was written, in ms of the clock. */
  writeDeadline = Number.POSITIVE_INFINITY

  constructor(stream: ServerHttp2Stream, method: string, isRequestWhole: boolean, context: ConnectionContext) {
    this.#stream = stream
    this.#headOnly = method === 'HEAD'
    this.isRequestWhole = isRequestWhole
    this.#context = context
  }

  /** A part of it is on its way. */
  get begun(): boolean {
    return this.#stream.headersSent
  }

  /** The door has given everything. */
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
    const watcher = this.#watcher
    this.#watcher = undefined
    if (!this.#ended) watcher?.closed(code)
  }

  send(status: number, headers: readonly string[], body: Buffer | undefined): void {
    if (this.#isOver() || this.#isUntold()) return
    const isEmpty = body === undefined || body.length === 0 || this.#headOnly
    this.#respond(status, headers, isEmpty)
    if (isEmpty) this.#finish()
    else if (body.length <= sliceBytes) {
      this.#stream.end(body)
      this.#finish()
    } else this.#sendSlices(body)
  }

  head(status: number, headers: readonly string[]): void {
    if (!this.#isOver() && !this.#isUntold()) this.#respond(status, headers, false)
  }

  write(bytes: Buffer): boolean {
    if (this.#isOver() || bytes.length === 0 || this.#headOnly) return true
    if (this.#stream.write(bytes)) return true
    this.#await()
    return false
  }

  end(): void {
    if (this.#isOver()) return
    this.#stream.end()
    this.#finish()
  }

  /** On HTTP/2 nothing stands behind a request: the next one is framed by itself. */
  refuse(problem: Problem): void {
    this.send(problem.status, problem.headers, problem.body)
  }

  abort(): void {
    // What it is told instead is on its way.
    if (this.#gone && this.#ended) return
    this.#ended = true
    this.reset()
  }

  /**
   * Nothing more goes either way on this stream. By an error, for `close` of node:http2 ends the body first, whatever its code: the client
   * would take what it has for the whole.
   */
  reset(): void {
    this.#stream.destroy(new HttpError('http.client_left', 'this stream is given up'))
  }

  /** Instead of everything that the door may still say. */
  last({ status, headers, body }: Problem): void {
    this.#gone = true
    if (this.#stream.destroyed) return
    this.#respond(status, headers, false)
    this.#stream.end(body)
    this.#finish()
  }

  /**
   * The trail cannot be told: the client gets another answer, and no more. Asked for each answer, for what node:http2 was given leaves before
   * our own end of this turn, in which the lines of others could be written with it.
   */
  #isUntold(): boolean {
    const instead = this.#context.handlers.commit()
    if (instead === undefined) return false
    this.lost()
    this.last(instead)
    return true
  }

  #isOver(): boolean {
    return this.#gone || this.#ended || this.#stream.destroyed
  }

  #respond(status: number, headers: readonly string[], endStream: boolean): void {
    try {
      // Names are put in lower case there.
      this.#stream.respond([':status', String(status), ...headers], endStream ? whole : open)
    } catch {
      // Reset at this moment, or a header that HTTP/2 does not have: no answer is better than a stream that waits for one.
      this.reset()
    }
  }

  #await(): void {
    this.writeDeadline = this.#context.now() + this.#context.limits.writeTimeoutMs
    if (this.#waiting) return
    this.#waiting = true
    this.#stream.once('drain', () => {
      this.#waiting = false
      if (this.#gone) return
      if (!this.#ended) this.writeDeadline = Number.POSITIVE_INFINITY
      this.#watcher?.drained()
    })
  }

  #sendSlices(body: Buffer): void {
    let at = 0
    const door = this.#watcher
    const next = (): void => {
      while (at < body.length && !this.#gone) {
        const piece = body.subarray(at, at + sliceBytes)
        at += piece.length
        if (!this.write(piece) && at < body.length) return
      }
      this.end()
    }
    this.#watcher = {
      drained: () => {
        if (!this.#ended) next()
      },
      closed: code => door?.closed(code),
    }
    next()
  }

  #finish(): void {
    this.#ended = true
    this.writeDeadline = this.#context.now() + this.#context.limits.writeTimeoutMs
    if (this.isRequestWhole) return
    // RFC 9113 section 8.1: the rest of a request that is answered need not come.
    this.#stream.once('finish', () => {
      if (this.#stream.readableEnded) return
      this.#stream.close(NGHTTP2_NO_ERROR)
      // What nobody reads any more would keep the stream for ever.
      this.#stream.destroy()
    })
  }
}

/** The body of a request on its stream. @param invite tells a client that waits for it to send */
export function http2Body(stream: ServerHttp2Stream, invite: (() => void) | undefined): BodySource {
  let stop: (() => void) | undefined
  return {
    start: sink => {
      let over = false
      const finish = (): void => {
        over = true
        stream.off('data', data)
        stream.off('end', end)
        stream.off('close', left)
      }
      const data = (bytes: Buffer): void => {
        if (!sink.chunk(bytes) && !over) stream.pause()
      }
      const left = (): void => {
        finish()
        sink.fail(new HttpError('http.client_left', 'the client reset its request in the middle'))
      }
      const end = (): void => {
        // Node ends the body of a stream that was reset as well; what is cut must not look whole to an upstream.
        if (stream.closed || stream.aborted || stream.destroyed) {
          left()
          return
        }
        finish()
        sink.end()
      }
      stop = finish
      if (stream.closed || stream.destroyed) {
        left()
        return
      }
      invite?.()
      stream.on('data', data)
      stream.once('close', left)
      // Of a body without bytes Node says the end as soon as it is there, and only once: whoever asks first who sends it would wait for ever.
      // Later all the same, for whoever starts it may still be putting together what takes it.
      if (stream.readableEnded) queueMicrotask(() => over || end())
      else stream.once('end', end)
    },
    resume: () => {
      stream.resume()
    },
    cancel: () => {
      stop?.()
      if (!stream.destroyed) stream.pause()
    },
  }
}
