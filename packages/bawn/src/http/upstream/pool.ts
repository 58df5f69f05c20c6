import { readFileSync } from 'node:fs'
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { OutboundError } from '../../outbound/error.ts'
import type { ConnectionHandshake } from '../../outbound/handshake.ts'
import type { RequestSignature } from '../../outbound/signature.ts'
import { readIntoSlab, slab } from '../../socket-fast-path.ts'
import { type UpstreamOptions, urlsOf } from '../option.ts'
import { HttpError } from '../problem.ts'
import { createBalanced } from './balanced.ts'
import { Connection, type ConnectionOwner, type ConnectionTimes } from './connection.ts'
import { Exchange } from './exchange.ts'
import { Introduction } from './introduction.ts'
import type { UpstreamOrigin } from './request-writer.ts'
import { withCollectedBodies, withSignature } from './signed.ts'
import type { AnswerReceiver, Upstream, UpstreamAnswer, UpstreamRequest } from './upstream.ts'

export interface UpstreamDeps {
  /** Monotonic, in ms. */
  readonly now?: () => number
  /** Reads the `ca` file. */
  readonly readFile?: (path: string) => string | Buffer
  /** Hears of servers that are left alone, and of their return. */
  readonly log?: (message: string) => void
  /** How many requests may wait for a connection; default: 4 for each connection. */
  readonly maxWaiting?: number
  /** How long an unused connection is kept when the upstream does not say; default 4 s, under what servers commonly do. */
  readonly keepMs?: number
  /** Of the gateway: each request carries one. */
  readonly signature?: RequestSignature | undefined
  /** Of the gateway: each connection begins with it. */
  readonly handshake?: ConnectionHandshake | undefined
}

/** PEM. */
interface UpstreamTls {
  readonly ca?: string | Buffer
  readonly cert?: string | Buffer
  readonly key?: string | Buffer
}

interface Waiting {
  readonly exchange: Exchange
  readonly deadline: number
}

/**
 * Connects a backend.
 *
 * @throws {HttpError} `http.bad_upstream` when the URL or a PEM file cannot be used
 */
export function createUpstream(name: string, options: UpstreamOptions, deps: UpstreamDeps = {}): Upstream {
  const urls = urlsOf(options)
  const { signature } = deps
  const servers = urls.map(url => createServer(urls.length === 1 ? name : url, parseUrl(name, url), options, deps))
  const [only] = servers
  const isOne = servers.length === 1 && options.health === undefined && (options.retries ?? 0) === 0
  const upstream =
    only !== undefined && isOne
      ? only
      : createBalanced(name, servers, options, {
          now: deps.now ?? (() => performance.now()),
          log: deps.log ?? (() => {}),
        })
  const isSecure = urls.every(url => /^https:/i.test(url))
  return signature === undefined ? upstream : withCollectedBodies(upstream, isSecure, signature)
}

function createServer(name: string, url: URL, options: UpstreamOptions, deps: UpstreamDeps): Upstream {
  if (deps.signature === undefined) return createPool(name, url, options, deps)
  // What is signed has the prefix in it, and the signature may spell it anew.
  const bare = createPool(name, new URL('/', url), options, deps)
  return withSignature(bare, { host: url.host, prefix: prefixOf(url) }, deps.signature)
}

/** What stands before every path. */
function prefixOf(url: URL): string {
  return url.pathname.replace(/\/$/, '')
}

function createPool(name: string, url: URL, options: UpstreamOptions, deps: UpstreamDeps): Upstream {
  const { client_certificate: shown } = options
  const read = (what: string, path: string): string | Buffer =>
    readPem(name, what, path, deps.readFile ?? (each => readFileSync(each)))
  if (shown !== undefined && url.protocol !== 'https:') {
    throw new HttpError('http.bad_upstream', `upstream ${name}: client_certificate needs an https URL`)
  }
  const tls = {
    ...(options.ca === undefined ? {} : { ca: read('ca', options.ca) }),
    ...(shown === undefined ? {} : { cert: read('certificate', shown.certificate), key: read('key', shown.key) }),
  }
  return new Pool(name, url, options, tls, deps)
}

class Pool implements Upstream, ConnectionOwner {
  readonly name: string
  readonly origin: UpstreamOrigin
  readonly ownHeaders: readonly string[]
  readonly now: () => number
  readonly #open: (received: (bytes: Buffer) => void) => Socket
  readonly #connectEvent: 'connect' | 'secureConnect'
  readonly #times: ConnectionTimes
  readonly #max: number
  readonly #maxWaiting: number
  readonly #handshake: ConnectionHandshake | undefined
  readonly #introductions = new Map<Connection, Introduction>()
  readonly #all = new Set<Connection>()
  /** No longer HTTP: they do not count. */
  readonly #upgraded = new Set<Connection>()
  /** Last used is used first: the others run out. */
  readonly #idle: Connection[] = []
  #waiting: Waiting[] = []
  #sweep: NodeJS.Timeout | undefined
  readonly #sweepMs: number
  #retired = false

  constructor(name: string, url: URL, options: UpstreamOptions, tls: UpstreamTls, deps: UpstreamDeps) {
    this.name = name
    this.origin = { host: url.host, prefix: prefixOf(url), readsBodies: options.reuse_after_body }
    this.now = deps.now ?? (() => performance.now())
    this.ownHeaders = deps.handshake?.headers ?? []
    this.#handshake = deps.handshake
    this.#max = options.max_connections
    this.#maxWaiting = deps.maxWaiting ?? options.max_connections * 4
    this.#times = {
      connectMs: options.connect_timeout,
      responseMs: options.response_timeout,
      idleMs: options.idle_timeout,
      keepMs: deps.keepMs ?? 4_000,
    }
    this.#sweepMs = Math.max(5, Math.min(100, ...Object.values(this.#times).map(ms => ms / 8)))
    const secure = url.protocol === 'https:'
    const host = url.hostname.replace(/^\[|\]$/g, '')
    const port = url.port === '' ? (secure ? 443 : 80) : Number(url.port)
    this.#connectEvent = secure ? 'secureConnect' : 'connect'
    this.#open = secure
      ? () =>
          connectTls({
            host,
            port,
            // Chain and name are verified (RFC 9110 section 4.3.4); SNI carries no address (RFC 6066 section 3).
            rejectUnauthorized: true,
            minVersion: 'TLSv1.2',
            ALPNProtocols: ['http/1.1'],
            ...(isIP(host) === 0 ? { servername: host } : {}),
            ...tls,
          })
      : received =>
          connectTcp({
            host,
            port,
            noDelay: true,
            onread: {
              // Each read is over before the next one begins, whoever's it is.
              buffer: slab,
              callback: size => {
                received(readIntoSlab(size))
                return true
              },
            },
          })
  }

  send(request: UpstreamRequest, receiver: AnswerReceiver): () => void {
    const exchange = new Exchange(
      request,
      this.#handshake === undefined ? receiver : this.#watch(receiver, () => exchange),
    )
    for (let kept = this.#idle.pop(); kept !== undefined; kept = this.#idle.pop()) {
      if (kept.usable) {
        kept.run(exchange)
        return () => this.#abandon(exchange)
      }
      kept.destroy()
    }
    this.#place(exchange)
    return () => this.#abandon(exchange)
  }

  /** On a new connection, or on whichever becomes free. */
  #place(exchange: Exchange): void {
    if (this.#all.size < this.#max) this.#connect(exchange)
    else if (this.#waiting.length < this.#maxWaiting) {
      this.#waiting.push({ exchange, deadline: this.now() + this.#times.connectMs })
    } else {
      exchange.settled = true
      exchange.receiver.fail(
        new HttpError('http.upstream_busy', `${this.name}: all ${this.#max} connections busy, and the queue is full`),
        true,
      )
    }
  }

  /**
   * A 401 on a connection that was introduced before: the server has forgotten it. The request was not carried out, and goes once more, on a
   * new one, where all of it is still here.
   */
  #watch(receiver: AnswerReceiver, of: () => Exchange): AnswerReceiver {
    const answered = (answer: UpstreamAnswer): void => {
      if (answer.head.status !== 401) {
        receiver.answer(answer)
        return
      }
      const exchange = of()
      const mayGoAgain = exchange.extra === '' && !exchange.retried && exchange.request.body.kind !== 'stream'
      if (answer.whole === undefined) answer.body.cancel()
      if (mayGoAgain) {
        exchange.settled = false
        exchange.touched = false
        exchange.retried = true
        this.#place(exchange)
      } else {
        exchange.settled = true
        receiver.fail(new OutboundError('outbound.refused', `${this.name} does not accept the gateway’s credential`))
      }
    }
    return { answer: answered, fail: (error, nothingSent) => receiver.fail(error, nothingSent) }
  }

  retire(): void {
    this.#retired = true
    for (const connection of [...this.#all]) connection.retire()
  }

  free(connection: Connection, status: number): void {
    const introduction = this.#introductions.get(connection)
    if (introduction !== undefined) {
      introduction.freed()
      return
    }
    if (this.#handshake !== undefined && status === 401) {
      connection.destroy()
      return
    }
    const next = this.#nextWaiting()
    if (next !== undefined) connection.run(next)
    else this.#idle.push(connection)
  }

  upgraded(connection: Connection): void {
    this.#upgraded.add(connection)
    this.#left(connection)
  }

  gone(connection: Connection): void {
    if (!this.#upgraded.delete(connection)) this.#left(connection)
  }

  #left(connection: Connection): void {
    this.#all.delete(connection)
    const at = this.#idle.indexOf(connection)
    if (at !== -1) this.#idle.splice(at, 1)
    const introduction = this.#introductions.get(connection)
    if (introduction !== undefined) {
      this.#introductions.delete(connection)
      introduction.gone()
    }
    const next = this.#nextWaiting()
    if (next !== undefined) this.#connect(next)
    else if (this.#all.size === 0) this.#stopSweep()
  }

  again(exchange: Exchange): void {
    exchange.extra = ''
    // Another kept connection may be as dead as the first: a new one is not.
    this.#waiting.unshift({ exchange, deadline: this.now() + this.#times.connectMs })
  }

  #nextWaiting(): Exchange | undefined {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      if (!next.exchange.settled) return next.exchange
    }
    return undefined
  }

  #connect(exchange: Exchange): void {
    const introduction = this.#handshake && this.#introduce(exchange, this.#handshake, () => connection)
    const first = introduction?.exchange ?? exchange
    const connection = new Connection(this.#open, this.#connectEvent, this.#times, this, first)
    this.#all.add(connection)
    if (introduction !== undefined) this.#introductions.set(connection, introduction)
    if (this.#retired) connection.retire()
    this.#sweep ??= setInterval(() => this.#expire(), this.#sweepMs).unref()
  }

  #introduce(exchange: Exchange, handshake: ConnectionHandshake, of: () => Connection): Introduction {
    return new Introduction(exchange, handshake, this.name, () => ({
      carry: real => {
        this.#introductions.delete(of())
        of().run(real)
      },
      destroy: () => of().destroy(),
    }))
  }

  #abandon(exchange: Exchange): void {
    if (exchange.settled) return
    exchange.settled = true
    for (const [connection, { real }] of this.#introductions) if (real === exchange) connection.destroy()
    for (const connection of [...this.#all, ...this.#upgraded]) connection.abandon(exchange)
  }

  #expire(): void {
    const now = this.now()
    for (const connection of [...this.#all]) if (now >= connection.deadline) connection.expire()
    for (const waiting of this.#waiting) {
      if (now < waiting.deadline) break
      if (waiting.exchange.settled) continue
      waiting.exchange.settled = true
      waiting.exchange.receiver.fail(
        new HttpError('http.upstream_busy', `${this.name}: no connection became free in time`),
        true,
      )
    }
    this.#waiting = this.#waiting.filter(waiting => !waiting.exchange.settled)
    if (this.#all.size === 0) this.#stopSweep()
  }

  #stopSweep(): void {
    clearInterval(this.#sweep)
    this.#sweep = undefined
  }
}

function parseUrl(name: string, text: string): URL {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') {
    throw new HttpError(
      'http.bad_upstream',
      `upstream ${name}: the URL is not http(s)://host:port, without a user and a password`,
    )
  }
  return url
}

function readPem(
  name: string,
  what: string,
  path: string,
  readFile: (path: string) => string | Buffer,
): string | Buffer {
  try {
    return readFile(path)
  } catch (cause) {
    throw new HttpError('http.bad_upstream', `upstream ${name}: cannot read ${what} ${path}`, { cause })
  }
}
