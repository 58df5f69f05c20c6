import type { Socket } from 'node:net'
import { RelayOutput } from '../../socket-fast-path.ts'
import type { BodySink, BodySource } from '../engine.ts'
import { HttpError } from '../problem.ts'
import { type AnswerEvents, type AnswerHead, AnswerParser } from './answer-parser.ts'
import type { Exchange } from './exchange.ts'
import { isLastOnConnection, type UpstreamOrigin, writeRaw, writeRequest } from './request-writer.ts'

export interface ConnectionTimes {
  readonly connectMs: number
  readonly responseMs: number
  readonly idleMs: number
  /** How long a connection is kept without use, unless the upstream says less. */
  readonly keepMs: number
}

export interface ConnectionOwner {
  readonly origin: UpstreamOrigin
  /** Ready for another exchange. @param status of the last answer */
  free(connection: Connection, status: number): void
  /** Of no use any more. At most once. */
  gone(connection: Connection): void
  /** The exchange did not reach the upstream and may be sent again, on a new connection. */
  again(exchange: Exchange): void
  /** It has become something else, and is the pool's no longer; `gone` follows at its end. */
  upgraded(connection: Connection): void
  now(): number
}

/**
 * One connection to an upstream, one exchange at a time; no pipelining, so that an answer can only be the answer to what was
 * asked last. All waiting is bounded by `deadline`, which the pool's sweep looks at.
 */
export class Connection {
  /** In the clock of the owner; `Infinity` while it is the client whom we wait for. */
  deadline: number
  readonly #socket: Socket
  readonly #times: ConnectionTimes
  readonly #owner: ConnectionOwner
  /** Once it is connected. */
  #output: RelayOutput | undefined
  readonly #parser = new AnswerParser()
  #exchange: Exchange | undefined
  #head: AnswerHead | undefined
  #sink: BodySink | undefined
  #stash: Buffer[] = []
  #paused = false
  #complete = false
  #requestDone = false
  #stopRequest: (() => void) | undefined
  #uses = 0
  #dead = false
  #retired = false
  #borrowed = false
  /** After 101: how long it lasts is for whoever asked for it. */
  #upgraded = false

  /**
   * @param open connects; what comes in is given to `received`, which copies what it keeps: the bytes are overwritten afterwards. A socket
   *   that emits `data` instead is fine too
   */
  constructor(
    open: (received: (bytes: Buffer) => void) => Socket,
    connectEvent: 'connect' | 'secureConnect',
    times: ConnectionTimes,
    owner: ConnectionOwner,
    first: Exchange,
  ) {
    const socket = open(bytes => this.#received(bytes, true))
    this.#socket = socket
    this.#times = times
    this.#owner = owner
    this.deadline = owner.now() + times.connectMs
    this.#exchange = first
    socket.on('data', bytes => this.#received(bytes, false))
    socket.on('end', () => this.#ended())
    socket.on('error', cause => this.#broken(cause))
    socket.on('close', () => this.#broken(undefined))
    socket.once(connectEvent, () => this.#connected())
  }

  get usable(): boolean {
    return !this.#dead && !this.#socket.destroyed && this.#socket.readable && this.#socket.writable
  }

  /** Sends what it was opened for. */
  #connected(): void {
    const first = this.#exchange
    if (first !== undefined && !this.#dead) this.run(first)
  }

  run(exchange: Exchange): void {
    const responseMs = exchange.request.responseMs ?? this.#times.responseMs
    this.#exchange = exchange
    this.#head = undefined
    this.#sink = undefined
    this.#complete = false
    this.#paused = false
    this.#uses++
    this.#parser.begin(exchange.request.method, exchange.request.body.kind === 'upgrade')
    this.#retired ||= isLastOnConnection(this.#owner.origin, exchange.request)
    this.#requestDone = exchange.request.body.kind !== 'stream'
    this.deadline = this.#owner.now() + responseMs
    this.#output ??= new RelayOutput(this.#socket)
    this.#stopRequest = writeRequest(this.#socket, this.#output, this.#owner.origin, exchange.outgoing, {
      // While the client sends slowly, the front's own limits hold; while the upstream takes slowly, ours.
      waiting: on => {
        if (this.#head === undefined)
          this.deadline = on === 'client' ? Infinity : this.#owner.now() + this.#times.idleMs
      },
      sent: () => {
        this.#requestDone = true
        this.#stopRequest = undefined
        if (this.#head === undefined) this.deadline = this.#owner.now() + responseMs
      },
      // The client's side broke; the door hears of it from the front.
      failed: () => this.destroy(),
    })
  }

  /** By the sweep, when the deadline has passed. */
  expire(): void {
    if (this.#exchange === undefined) {
      this.destroy()
      return
    }
    const what = this.#uses === 0 ? 'no connection' : this.#head === undefined ? 'no answer' : 'no more of the answer'
    this.#fail(new HttpError('http.upstream_timeout', `${what} in time`))
  }

  /** Nobody wants this exchange any more. */
  abandon(exchange: Exchange): void {
    if (this.#exchange === exchange) this.destroy()
  }

  retire(): void {
    this.#retired = true
    if (this.#exchange === undefined) this.destroy()
  }

  destroy(): void {
    if (this.#dead) return
    this.#dead = true
    this.deadline = Infinity
    this.#stopRequest?.()
    this.#stopRequest = undefined
    this.#exchange = undefined
    this.#stash = []
    this.#socket.destroy()
    this.#owner.gone(this)
  }

  readonly #events: AnswerEvents = {
    head: head => {
      this.#head = head
    },
    body: slice => {
      const sink = this.#sink
      const bytes = this.#borrowed && sink?.borrows !== true ? Buffer.from(slice) : slice
      if (sink === undefined) this.#stash.push(bytes)
      else if (!sink.chunk(bytes)) this.#pause()
    },
    complete: () => {
      this.#complete = true
    },
  }

  /** @param borrowed the bytes are ours until this returns */
  #received(bytes: Buffer, borrowed: boolean): void {
    this.#borrowed = borrowed
    const exchange = this.#exchange
    // Bytes that nobody asked for: an answer to them would be somebody else's.
    if (exchange === undefined || this.#dead) {
      this.destroy()
      return
    }
    exchange.touched = true
    if (this.#head !== undefined && !this.#paused) this.#awaitMore()
    const hadHead = this.#head !== undefined
    try {
      this.#parser.push(bytes, this.#events)
    } catch (error) {
      this.#fail(asBadAnswer(error))
      return
    }
    this.#deliver(exchange, hadHead)
  }

  #deliver(exchange: Exchange, hadHead: boolean): void {
    if (this.#dead || this.#exchange !== exchange) return
    const head = this.#head
    if (head === undefined) return
    if (hadHead) {
      if (this.#complete && this.#stash.length === 0) this.#finish(exchange)
      return
    }
    if (this.#complete) {
      const whole = this.#stash.length === 1 ? this.#stash[0] : Buffer.concat(this.#stash)
      this.#stash = []
      this.#release(head)
      exchange.settled = true
      exchange.receiver.answer({ head, whole, body: nothing })
      return
    }
    // Until somebody takes the body, no more of it is read.
    this.#pause()
    const body = this.#source(exchange)
    if (head.status !== 101) {
      exchange.receiver.answer({ head, whole: undefined, body })
      return
    }
    this.#upgraded = true
    this.#owner.upgraded(this)
    const send = (source: BodySource): void => {
      if (this.#exchange === exchange) this.#stopRequest = writeRaw(this.#socket, source, () => this.destroy())
    }
    exchange.receiver.answer({ head, whole: undefined, body, send })
  }

  #source(exchange: Exchange): BodySource {
    return {
      start: sink => {
        if (this.#exchange !== exchange)
          return sink.fail(new HttpError('http.bad_answer', 'the upstream closed the connection'))
        this.#sink = sink
        let more = true
        for (const bytes of this.#stash) more = sink.chunk(bytes) && more
        this.#stash = []
        if (more) this.#resume(exchange)
      },
      resume: () => this.#resume(exchange),
      cancel: () => this.abandon(exchange),
    }
  }

  #pause(): void {
    this.#paused = true
    this.deadline = Infinity
    this.#socket.pause()
  }

  #resume(exchange: Exchange): void {
    if (this.#exchange !== exchange || !this.#paused) return
    this.#paused = false
    if (this.#complete) {
      this.#finish(exchange)
      return
    }
    this.#awaitMore()
    this.#socket.resume()
  }

  #awaitMore(): void {
    this.deadline = this.#upgraded ? Infinity : this.#owner.now() + this.#times.idleMs
  }

  #finish(exchange: Exchange): void {
    const sink = this.#sink
    if (sink === undefined || this.#head === undefined) return
    exchange.settled = true
    this.#release(this.#head)
    sink.end()
  }

  #release(head: AnswerHead): void {
    const reusable =
      this.#requestDone &&
      head.keepAlive &&
      head.framing.kind !== 'until-close' &&
      !this.#parser.surplus &&
      !this.#retired
    if (!reusable || !this.usable) {
      this.destroy()
      return
    }
    this.#exchange = undefined
    this.#sink = undefined
    // One second less than the upstream says, so that it is we who close.
    const keepMs = head.keepAliveMs === undefined ? this.#times.keepMs : Math.min(head.keepAliveMs - 1000, 60_000)
    if (keepMs <= 0) {
      this.destroy()
      return
    }
    this.deadline = this.#owner.now() + keepMs
    if (this.#paused) {
      this.#paused = false
      this.#socket.resume()
    }
    this.#owner.free(this, head.status)
  }

  #ended(): void {
    const exchange = this.#exchange
    if (exchange === undefined || this.#dead) {
      this.destroy()
      return
    }
    const hadHead = this.#head !== undefined
    if (!exchange.touched) {
      this.#broken(undefined)
      return
    }
    try {
      this.#parser.end(this.#events)
    } catch (error) {
      this.#fail(asBadAnswer(error))
      return
    }
    this.#deliver(exchange, hadHead)
  }

  #broken(cause: Error | undefined): void {
    if (this.#dead) return
    const exchange = this.#exchange
    if (exchange === undefined) {
      this.destroy()
      return
    }
    if (this.#uses === 0) {
      this.#fail(new HttpError('http.upstream_unreachable', 'no connection to the upstream', { cause }))
      return
    }
    if (this.#uses > 1 && exchange.repeatable) {
      exchange.retried = true
      // First of those that wait for the place that becomes free.
      this.#owner.again(exchange)
      this.destroy()
      return
    }
    this.#fail(new HttpError('http.bad_answer', 'the upstream closed the connection', { cause }))
  }

  #fail(error: HttpError): void {
    const exchange = this.#exchange
    const sink = this.#sink
    const answered = this.#head !== undefined && (this.#paused || sink !== undefined)
    this.destroy()
    if (exchange === undefined || exchange.settled) return
    exchange.settled = true
    if (sink !== undefined) sink.fail(error)
    else if (!answered) exchange.receiver.fail(error, this.#uses === 0)
  }
}

const nothing: BodySource = { start: sink => sink.end(), resume: () => {}, cancel: () => {} }

function asBadAnswer(error: unknown): HttpError {
  return error instanceof HttpError
    ? error
    : new HttpError('http.bad_answer', 'the answer could not be read', { cause: error })
}
