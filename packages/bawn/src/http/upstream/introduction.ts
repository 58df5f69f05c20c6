import { OutboundError } from '../../outbound/error.ts'
import type { ConnectionHandshake } from '../../outbound/handshake.ts'
import { Exchange } from './exchange.ts'
import type { AnswerReceiver, UpstreamAnswer } from './upstream.ts'

/** Of the body of a 401 that has the challenge; it is read, so that the connection can go on. */
const maxChallengeBody = 65_536
/** Methods that a server may carry out without the credential: what they ask for is then the answer. */
const harmless: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/** What an introduction does with its connection. */
export interface IntroducedConnection {
  /** The handshake is over but for its last message: that goes with the request. */
  carry(exchange: Exchange): void
  destroy(): void
}

/**
 * The first exchange on a new connection whose server wants to know who connects: the first message of a handshake and the server's
 * challenge. It has no body, and where carrying out the request would do something it is a GET: a server that does not ask must not act on
 * a request without its body.
 */
export class Introduction {
  /** What the connection is opened for. */
  readonly exchange: Exchange
  /** The request that it is all for. */
  readonly real: Exchange
  readonly #upstream: string
  readonly #connection: () => IntroducedConnection
  #proof: string | undefined
  #isFree = false
  #isGone = false
  #isUnasked = false

  constructor(
    real: Exchange,
    handshake: ConnectionHandshake,
    upstream: string,
    connection: () => IntroducedConnection,
  ) {
    const { request } = real
    const attempt = handshake.begin()
    const isHarmless = harmless.has(request.method)
    this.real = real
    this.#upstream = upstream
    this.#connection = connection
    const receiver: AnswerReceiver = {
      answer: answer => {
        if (answer.head.status === 401) this.#challenged(answer, challenges => attempt.reply(challenges))
        else if (isHarmless && request.body.kind === 'none') this.#unasked(answer)
        else this.#refuse(`answers ${answer.head.status} where it should ask who connects`)
      },
      // Nothing of the request itself was sent.
      fail: error => this.#fail(error),
    }
    this.exchange = new Exchange(
      {
        ...request,
        method: isHarmless ? request.method : 'GET',
        head: `${request.head}Authorization: ${attempt.first}\r\n`,
        body: { kind: 'none' },
      },
      receiver,
    )
  }

  /** The connection could take another exchange. */
  freed(): void {
    this.#isFree = true
    // One that nobody asked about is nobody's: the next request shall be introduced.
    if (this.#isUnasked) this.#connection().destroy()
    else this.#proceed()
  }

  /** The connection is closed. */
  gone(): void {
    this.#isGone = true
    this.#proceed()
  }

  #challenged(answer: UpstreamAnswer, reply: (challenges: readonly string[]) => string): void {
    const { headers } = answer.head
    const challenges = headers.filter((_, at) => at % 2 === 1 && headers[at - 1]?.toLowerCase() === 'www-authenticate')
    try {
      this.#proof = reply(challenges)
    } catch (cause) {
      this.#fail(cause)
      return
    }
    if (answer.whole !== undefined) {
      this.#proceed()
      return
    }
    let size = 0
    answer.body.start({
      chunk: bytes => {
        size += bytes.length
        if (size > maxChallengeBody) this.#refuse('sends a challenge with an endless body')
        return true
      },
      end: () => {},
      fail: cause => this.#fail(cause),
    })
  }

  /** Once the challenge is answered and the connection is free, in whichever order that comes. */
  #proceed(): void {
    if (this.#proof === undefined || this.real.settled) return
    if (this.#isGone) this.#refuse('closes the connection that a handshake has begun on')
    else if (this.#isFree) {
      this.real.extra = `Authorization: ${this.#proof}\r\n`
      this.#connection().carry(this.real)
    }
  }

  #unasked(answer: UpstreamAnswer): void {
    if (this.real.settled) return
    this.#isUnasked = true
    this.real.settled = answer.whole !== undefined
    this.real.receiver.answer(answer)
  }

  #refuse(what: string): void {
    this.#fail(new OutboundError('outbound.refused', `${this.#upstream} ${what}`))
  }

  #fail(error: unknown): void {
    if (!this.real.settled) {
      this.real.settled = true
      this.real.receiver.fail(error, true)
    }
    if (!this.#isGone) this.#connection().destroy()
  }
}
