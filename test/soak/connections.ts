import { Agent, request } from 'node:http'
import { type ClientHttp2Session, connect } from 'node:http2'
import { Agent as TlsAgent, request as tlsRequest } from 'node:https'
import { text } from 'node:stream/consumers'
import type { Headers } from './ask.ts'

// The ways to an HTTP door.

export const protocols = ['HTTP/1.1', 'HTTP/1.1, TLS', 'HTTP/2'] as const
export type Protocol = (typeof protocols)[number]

export interface Request {
  readonly path: string
  readonly headers: Headers
  readonly method: 'GET' | 'POST' | 'DELETE'
}

export interface Answer {
  readonly status: number
  readonly requestId: string
  readonly body: string
}

const patienceMs = 60_000
/** Before the gateway closes what nobody uses: a request that meets that has no answer, and nobody is at fault. */
const idleMs = 30_000
/** At each door: connections are shared out among workers, and each is to be asked. */
const sessions = 4
/** Of one session, so that the load finds its way to a gateway that was away, and to other workers. */
const requestsPerSession = 500

/** Keeps connections open. @param ca of the gateways, PEM */
export class Connections {
  readonly #ca: string
  readonly #plain: Agent
  readonly #tls: TlsAgent
  readonly #http2 = new Map<string, { readonly session: ClientHttp2Session; asked: number }>()
  #next = 0

  constructor(ca: string, most: number) {
    this.#ca = ca
    const options = { keepAlive: true, maxSockets: most, timeout: idleMs }
    this.#plain = new Agent(options)
    this.#tls = new TlsAgent({ ...options, ca })
  }

  close(): void {
    this.#plain.destroy()
    this.#tls.destroy()
    for (const { session } of this.#http2.values()) session.destroy()
  }

  /** @throws (rejects) where there is no whole answer; system errors have their code */
  ask(protocol: Protocol, port: number, question: Request): Promise<Answer> {
    return protocol === 'HTTP/2' ? this.#askHttp2(port, question) : this.#askHttp1(protocol, port, question)
  }

  #askHttp1(protocol: Exclude<Protocol, 'HTTP/2'>, port: number, question: Request): Promise<Answer> {
    const [send, agent] = protocol === 'HTTP/1.1' ? [request, this.#plain] : [tlsRequest, this.#tls]
    return new Promise((resolve, reject) => {
      const options = { ...question, host: '127.0.0.1', port, agent, timeout: patienceMs }
      const sent = send(options, answer => {
        const status = answer.statusCode ?? 0
        const requestId = String(answer.headers['x-request-id'])
        text(answer).then(body => resolve({ status, requestId, body }), reject)
      })
      sent.once('timeout', () => sent.destroy(new Error('no answer in a minute')))
      sent.once('error', reject)
      sent.end()
    })
  }

  #askHttp2(port: number, { path, headers, method }: Request): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const own = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value] as const)
      const stream = this.#session(port).request({ ':path': path, ':method': method, ...Object.fromEntries(own) })
      const pieces: Buffer[] = []
      let head: { readonly status: number; readonly requestId: string } | undefined
      let isWhole = false
      stream.once('response', answer => {
        head = { status: Number(answer[':status']), requestId: String(answer['x-request-id']) }
      })
      stream.on('data', bytes => pieces.push(bytes))
      stream.once('end', () => {
        isWhole = true
      })
      stream.setTimeout(patienceMs, () => stream.destroy(new Error('no answer in a minute')))
      stream.once('error', reject)
      stream.once('close', () => {
        if (head !== undefined && isWhole && stream.rstCode === 0) {
          resolve({ ...head, body: Buffer.concat(pieces).toString() })
        } else reject(new Error(`the stream ended early, code ${stream.rstCode}`))
      })
      stream.end()
    })
  }

  #session(port: number): ClientHttp2Session {
    const key = `${port} ${this.#next++ % sessions}`
    const open = this.#http2.get(key)
    if (open !== undefined && !open.session.closed && !open.session.destroyed && open.asked < requestsPerSession) {
      open.asked++
      return open.session
    }
    // What it was asked it still answers.
    open?.session.close()
    const session = connect(`https://127.0.0.1:${port}`, { ca: this.#ca })
    session.on('error', () => {})
    this.#http2.set(key, { session, asked: 1 })
    return session
  }
}
