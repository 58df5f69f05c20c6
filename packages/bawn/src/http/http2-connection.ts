import { constants, performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import { lingerMs } from './front-answer.ts'
import { certificateOf } from './front-peer.ts'
import { Http2Answer, http2Body } from './http2-answer.ts'
import { parseHttp2Head } from './http2-head.ts'
import type { ConnectionContext, FrontConnection } from './raw-connection.ts'

const { NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_FLAG_END_STREAM } = constants

/** Requests of one connection that may be under way at once. */
export const maxStreams = 100
/** More header lines are the door's to refuse up to here; of a request with still more, nothing is kept. */
const maxHeaderPairs = 256
/** What a client may do that costs us and brings it nothing: given up requests, PING and SETTINGS; at once, and per second. */
const nuisanceBurst = 200
const nuisancesPerSecond = 33

interface Open {
  readonly connection: Http2Connection
  readonly answer: Http2Answer
  /** When the whole request has to be there, in ms of the clock. */
  deadline: number
}

/**
 * What is known of the request on a stream, until its end. Listeners that are closures over it would keep it with the stream, and under load
 * streams that are over live until the next collection of the whole heap: copying all that was a fifth of what a request costs.
 */
const underWay = Symbol('request under way')
type Stream = ServerHttp2Stream & { [underWay]?: Open | undefined }

/** `close` follows. */
function ignored(): void {}

/** At once, also while what came in is not being read. */
function aborted(this: Stream): void {
  this[underWay]?.answer.lost()
  this.destroy()
}

/** The whole request is there, also where nobody reads a body without bytes. Node says so of a stream that was reset, too. */
function received(this: Stream): void {
  const open = this[underWay]
  if (open === undefined || this.closed || this.aborted || this.destroyed) return
  open.deadline = Number.POSITIVE_INFINITY
  open.answer.isRequestWhole = true
}

function closed(this: Stream): void {
  const open = this[underWay]
  this[underWay] = undefined
  if (open !== undefined) open.connection.over(this, open.answer)
}

/**
 * One client's connection that speaks HTTP/2 (RFC 9113), on node:http2: nghttp2 reads frames and HPACK. What it sees to by itself, with
 * limits of its own: CONTINUATION floods, unread acknowledgements, pseudo-headers, Content-Length against the bytes that come.
 */
export class Http2Connection implements FrontConnection {
  readonly #session: ServerHttp2Session
  readonly #socket: Socket
  readonly #context: ConnectionContext
  readonly #address: string
  readonly #open = new Map<ServerHttp2Stream, Open>()
  /** Without a request until then: it is closed. */
  #deadline: number
  #closing = false
  #credit = nuisanceBurst
  #credited: number

  /** @param address of the client */
  constructor(socket: Socket, address: string, context: ConnectionContext) {
    this.#socket = socket
    this.#context = context
    this.#address = address
    this.#credited = context.now()
    const { limits } = context
    this.#deadline = this.#credited + Math.min(limits.headerTimeoutMs, limits.requestTimeoutMs)
    // On HTTP/2 nobody goes on listening after half a close.
    socket.allowHalfOpen = false
    this.#session = performServerHandshake(socket, {
      maxHeaderListPairs: maxHeaderPairs,
      maxSessionInvalidFrames: 100,
      maxSessionRejectedStreams: maxStreams,
      streamResetBurst: nuisanceBurst,
      streamResetRate: nuisancesPerSecond,
      // An upstream may say a thing twice; HTTP/1.1 would pass that on too.
      strictSingleValueFields: false,
      settings: {
        maxConcurrentStreams: maxStreams,
        enablePush: false,
        enableConnectProtocol: false,
        // Above the listener's limit, so that a head over it gets an answer and a line in the trail, and not just a reset.
        maxHeaderListSize: 2 * limits.maxHeaderBytes,
      },
    })
    this.#session.on('stream', (stream, _headers, flags, raw) => this.#begin(stream, flags, raw))
    this.#session.on('ping', () => this.#nuisance())
    this.#session.on('remoteSettings', () => this.#nuisance())
    // `close` follows, and says all that is to be said.
    this.#session.on('error', () => {})
    this.#session.once('close', () => this.#closed())
    socket.on('error', () => {})
  }

  destroy(): void {
    this.#session.destroy()
    this.#socket.destroy()
  }

  /** GOAWAY: requests under way are answered, new ones have to go elsewhere. */
  drain(): void {
    this.#closing = true
    this.#session.close()
  }

  sweep(now: number): void {
    for (const [stream, open] of this.#open) {
      if (now >= open.answer.writeDeadline && !stream.closed) {
        open.answer.lost()
        open.answer.reset()
      } else if (now >= open.deadline) this.#tooSlow(open)
    }
    if (this.#open.size > 0 || now < this.#deadline) return
    if (this.#closing) this.destroy()
    else {
      this.#deadline = now + lingerMs
      this.drain()
    }
  }

  /** @param answer that of the stream, which is closed */
  over(stream: ServerHttp2Stream, answer: Http2Answer): void {
    this.#open.delete(stream)
    if (!answer.ended) this.#nuisance()
    answer.lost()
    const { now, limits } = this.#context
    if (this.#open.size === 0) this.#deadline = now() + limits.keepAliveTimeoutMs
  }

  #begin(stream: Stream, flags: number, raw: readonly string[]): void {
    stream.on('error', ignored)
    if (stream.destroyed) {
      this.#nuisance()
      return
    }
    const { limits, handlers, now, asksForCertificates } = this.#context
    const endsHere = (flags & NGHTTP2_FLAG_END_STREAM) !== 0
    const head = parseHttp2Head(raw, endsHere, limits.maxHeaderBytes)
    const method = head.kind === 'head' ? head.method : 'GET'
    const answer = new Http2Answer(stream, method, endsHere, this.#context)
    const open: Open = {
      connection: this,
      answer,
      deadline: endsHere ? Number.POSITIVE_INFINITY : now() + limits.requestTimeoutMs,
    }
    this.#open.set(stream, open)
    this.#deadline = Number.POSITIVE_INFINITY
    stream[underWay] = open
    stream.on('aborted', aborted)
    stream.on('close', closed)
    if (!endsHere) stream.once('end', received)
    if (head.kind === 'refused') {
      answer.refuse(handlers.refuse(head.code, this.#address))
      return
    }
    const expects = !endsHere && head.rawHeaders.some((text, at) => at % 2 === 0 && text === 'expect')
    handlers.request(
      {
        method: head.method,
        target: head.target,
        httpVersion: '2',
        rawHeaders: head.rawHeaders,
        secure: true,
        remoteAddress: this.#address,
        ...(asksForCertificates ? { clientCertificate: () => certificateOf(this.#socket) } : {}),
        body: http2Body(
          stream,
          expects ? () => answer.begun || stream.additionalHeaders({ ':status': 100 }) : undefined,
        ),
      },
      answer,
    )
  }

  #tooSlow(open: Open): void {
    const { handlers } = this.#context
    const { answer } = open
    open.deadline = Number.POSITIVE_INFINITY
    // What is left of a request that is answered already is nobody's matter.
    if (answer.ended) return
    const begun = answer.begun
    answer.lost('http.request_timeout')
    const problem = handlers.refuse('http.request_timeout', undefined, answer.requestId)
    if (begun) answer.reset()
    else answer.last(problem)
  }

  #nuisance(): void {
    const now = this.#context.now()
    const gained = ((now - this.#credited) / 1_000) * nuisancesPerSecond
    this.#credit = Math.min(nuisanceBurst, this.#credit + gained) - 1
    this.#credited = now
    if (this.#credit >= 0 || this.#session.destroyed) return
    this.#session.destroy(undefined, NGHTTP2_ENHANCE_YOUR_CALM)
  }

  #closed(): void {
    for (const { answer } of this.#open.values()) answer.lost()
    this.#open.clear()
    this.#context.closed(this)
  }
}
