import type { X509Certificate } from 'node:crypto'
import type { ProxyProtocolOptions } from '../authn/option.ts'
import type { ServerNames } from '../server-names.ts'
import type { HttpCode, Problem } from './problem.ts'

// What the door knows of sockets. A front speaks HTTP to clients and implements the interfaces below: raw-front.ts on bare
// sockets, node-front.ts on node:http. Another takes their place without a change in the door.

/** Takes a body, piece by piece. Exactly one of `end` and `fail` is called, once, after the last `chunk`. */
export interface BodySink {
  /** What it is given is done with, or copied, when `chunk` returns: it may be lent bytes that the next read overwrites. */
  readonly borrows?: boolean
  /** The bytes belong to the sink from now on, but for one that borrows. @returns false to be left alone until it calls `resume()` on the source */
  chunk(bytes: Buffer): boolean
  end(): void
  fail(cause: Error): void
}

/** Gives a body, piece by piece, transfer coding removed and trailers dropped. Nothing flows before `start`, called once. */
export interface BodySource {
  start(sink: BodySink): void
  /** After a `chunk` that returned false. */
  resume(): void
  /** Nobody wants the rest. No call reaches the sink afterwards. */
  cancel(): void
}

/** A request as a front hands it over: message framing is already settled (RFC 9112 section 6), everything else is unchecked. */
export interface FrontRequest {
  readonly method: string
  /** The request target as it came, in any of the four forms of RFC 9112 section 3.2. */
  readonly target: string
  /** `1.1`, or `2`, whose requests a front hands over in the words of HTTP/1.1; anything else is the door's to refuse. */
  readonly httpVersion: string
  /** Flat, as they came: name, value, name, value. Latin-1. No CR, LF or NUL, no folded line. */
  readonly rawHeaders: readonly string[]
  readonly secure: boolean
  readonly remoteAddress: string
  /** The client's certificate, verified against `clientCa`; `undefined`, or not there, when it showed none. */
  readonly clientCertificate?: () => X509Certificate | undefined
  /** A source that ends at once when there is no body. A waiting `Expect: 100-continue` is answered when it is started. */
  readonly body: BodySource
}

/** What a front tells the door while an answer is under way. */
export interface AnswerWatcher {
  /** What was written has left; after a `write` that returned false. */
  drained(): void
  /**
   * The client is gone, or was refused, before the answer was complete. At most once, and never after it was complete.
   *
   * @param code why the front refused the rest of this request (its body was malformed or too slow); undefined: the client left
   */
  closed(code: HttpCode | undefined): void
}

/** Where an answer goes. Either `send`, or `head`, `write`… and `end`, or `refuse`; and `abort` at any time. */
export interface FrontAnswer {
  /** Bytes given to `write` may be borrowed (`BodySink`). */
  readonly borrows?: boolean
  /** The door's, for its request: what the client is told where a front refuses the rest, so that it finds the line in the trail. */
  requestId: string | undefined
  watch(watcher: AnswerWatcher): void
  /** A whole answer. A front slices a large body, so that a slow reader is noticed. @param body undefined: none (HEAD, 204, 304) */
  send(status: number, headers: readonly string[], body: Buffer | undefined): void
  /** Hop-by-hop headers are the front's own; `headers` has none of them. */
  head(status: number, headers: readonly string[]): void
  /** @returns false when the client is slower than we are: wait for `drained` */
  write(bytes: Buffer): boolean
  end(): void
  /**
   * 101: from now on the connection is not HTTP. What is written leaves as it is, and `end` closes. Not there where it cannot be done.
   *
   * @param headers hop-by-hop ones too
   * @returns what comes in from now on; `undefined` when something came in before this answer
   */
  upgrade?(headers: readonly string[]): BodySource | undefined
  /**
   * The request is malformed: a whole answer, and nothing that came behind it on this connection is looked at. Must be called before
   * `FrontHandlers.request` returns, so that it is not looked at before either.
   */
  refuse(problem: Problem): void
  /** Closes the connection so that the client sees a truncated answer and not a complete one. */
  abort(): void
}

export interface FrontHandlers {
  request(request: FrontRequest, answer: FrontAnswer): void
  /**
   * Has the lines written that the trail was told: a front calls it before anything of an answer leaves.
   *
   * @returns what the client is told in place of the answer, and nothing behind it, where they cannot be written
   */
  commit(): Problem | undefined
  /**
   * Something that is no request. The front sends what is returned, as it is, and closes.
   *
   * @param remoteAddress `undefined` when it was the rest of a request that the door knows, and hears of by `closed`
   * @param requestId of that request
   */
  refuse(code: HttpCode, remoteAddress: string | undefined, requestId?: string): Problem
}

export interface FrontLimits {
  readonly maxHeaderBytes: number
  readonly headerTimeoutMs: number
  readonly requestTimeoutMs: number
  readonly keepAliveTimeoutMs: number
  readonly maxConnections: number
  /** Whose connections begin with a PROXY header. */
  readonly proxyProtocol: ProxyProtocolOptions | undefined
  /** HTTP/2 is offered to clients over TLS, where the front can do it. */
  readonly http2: boolean
  /** How long a client may leave a written piece unread before it is dropped. */
  readonly writeTimeoutMs: number
}

export interface FrontTls {
  /** PEM. */
  readonly certificate: string | Buffer
  /** PEM. */
  readonly key: string | Buffer
  /** PEM: authorities whose client certificates are believed. */
  readonly clientCa?: string | Buffer | undefined
  readonly clientCertificate?: 'off' | 'optional' | 'required' | undefined
  /** `undefined`: everybody is shown the same certificate. */
  readonly serverNames?: ServerNames | undefined
}

export interface Front {
  /** @param reusePort other threads listen there too */
  listen(host: string, port: number, reusePort?: boolean): Promise<{ readonly host: string; readonly port: number }>
  /** For handshakes from now on. Only for a front that was made with TLS. */
  renewTls(tls: FrontTls): void
  /** Takes no new connections, closes idle ones, and each of the others after its answer. Resolves when none is left. */
  drain(): Promise<void>
  /** Closes everything now. */
  close(): void
}
