import type { Socket } from 'node:net'
import type { GatewayError } from '../error.ts'
import { Answers } from './answers.ts'
import { endSocket } from './byte-input.ts'
import type { Conversation } from './conversation.ts'
import { fatalResponse, PostgresError, toGatewayError } from './failure.ts'
import { Requests } from './requests.ts'
import type { OpenSession } from './sessions.ts'
import type { SessionSummary } from './state.ts'
import { isBorrowed, type Upstream } from './upstream.ts'
import { front, status } from './wire/message.ts'

/** What a session stands between. */
export interface SessionParts {
  readonly summary: SessionSummary
  readonly talk: Conversation
  readonly client: Socket
  /** What the client sent after its last login message. */
  readonly received: Buffer
  readonly upstream: Upstream
  /** Cancels what the upstream connection runs. Resolves when the server has heard of it; never rejects. */
  readonly cancel: () => Promise<void>
  /** Called once, when both connections are closed or closing. */
  readonly onEnd: () => void
}

const terminateMessage = Buffer.from([front.terminate, 0, 0, 0, 4])

/**
 * Relays between one client and one connection to PostgreSQL. Reads pause while the other side does not take what was written, and
 * while a statement waits for its plan. Each received chunk leads to at most one write on each side.
 */
export class Session implements OpenSession {
  readonly summary: SessionSummary
  readonly #parts: SessionParts
  readonly #talk: Conversation
  readonly #client: Socket
  readonly #server: Socket
  readonly #requests: Requests
  readonly #answers: Answers
  #ended = false
  #draining: GatewayError | undefined
  #serverFull = false
  /** The client said Terminate, and PostgreSQL has yet to answer what came before. */
  #leaving = false

  constructor(parts: SessionParts) {
    this.summary = parts.summary
    this.#parts = parts
    this.#talk = parts.talk
    this.#client = parts.client
    this.#server = parts.upstream.socket
    this.#answers = new Answers(parts.talk)
    this.#requests = new Requests(parts.talk, () => this.#turn(() => this.#requests.run()))
  }

  /** Begins to relay. */
  start(): void {
    const client = this.#client
    const server = this.#server
    client.on('data', chunk => this.#fromClient(chunk))
    client.on('drain', () => {
      server.resume()
    })
    client.on('end', () => this.#clientGone())
    client.on('close', () => this.#clientGone())
    client.on('error', () => this.#clientGone())
    server.on('data', chunk => this.#fromServer(chunk))
    server.on('drain', () => {
      this.#serverFull = false
      this.#flow()
    })
    server.on('close', () => this.#serverGone())
    server.on('error', () => this.#serverGone())
    if (server.destroyed) {
      this.#serverGone()
      return
    }
    if (client.destroyed) {
      this.#clientGone()
      return
    }
    if (this.#parts.upstream.rest.length > 0) this.#fromServer(this.#parts.upstream.rest)
    if (this.#parts.received.length > 0) this.#fromClient(this.#parts.received)
    server.resume()
    this.#flow()
  }

  cancel(): Promise<void> {
    return this.#parts.cancel()
  }

  end(error: GatewayError): void {
    if (this.#ended) return
    // In the middle of a message of the server an error of ours would be read as its data.
    const canSpeak = !this.#answers.reader.isMidFrame
    if (this.#talk.pending.length > 0) void this.#parts.cancel()
    this.#finish()
    if (canSpeak) endSocket(this.#client, fatalResponse(error))
    else this.#client.destroy()
  }

  drain(error: GatewayError): void {
    this.#draining = error
    if (this.#isIdle()) this.end(error)
  }

  #isIdle(): boolean {
    return this.#talk.pending.length === 0 && this.#talk.transaction === status.idle && !this.#requests.isWaiting
  }

  #fromClient(chunk: Buffer): void {
    // Nothing counts behind Terminate.
    if (this.#ended || this.#requests.terminated) return
    this.#requests.reader.push(chunk)
    this.#turn(() => this.#requests.run())
  }

  #fromServer(chunk: Buffer): void {
    this.#turn(() => {
      this.#answers.receive(chunk)
      if (this.#requests.isWaiting) this.#requests.run()
    })
  }

  /** One turn: work, the trail, then at most one write to each side. */
  #turn(work: () => void): void {
    if (this.#ended) return
    try {
      work()
      this.#flush()
    } catch (thrown) {
      this.#fault(thrown)
      return
    }
    if (this.#answers.endedByServer) {
      this.#finish()
      endSocket(this.#client)
    } else if (this.#requests.terminated) this.#leave()
    else if (this.#draining !== undefined && this.#isIdle()) this.end(this.#draining)
    else this.#flow()
  }

  #flush(): void {
    const talk = this.#talk
    if (talk.untold?.tellBegin() === true) talk.uncommitted = true
    talk.untold = undefined
    if (talk.uncommitted) {
      // Throws when the line cannot be written: then nothing leaves.
      talk.audit.audit.commit()
      talk.uncommitted = false
    }
    const toServer = talk.toServer.take()
    if (toServer !== undefined && !this.#server.write(toServer)) this.#serverFull = true
    const toClient = talk.toClient.take()
    if (toClient === undefined) return
    if (!this.#client.write(isBorrowed(toClient) ? Buffer.from(toClient) : toClient)) this.#server.pause()
  }

  /** PostgreSQL answers what came before Terminate, and then closes; so do we. */
  #leave(): void {
    if (this.#talk.pending.length === 0) {
      this.#finish()
      endSocket(this.#client)
      return
    }
    if (!this.#leaving) this.#server.write(terminateMessage)
    this.#leaving = true
    this.#flow()
  }

  /** Reads from the client only what can be worked on and passed on. */
  #flow(): void {
    if (this.#requests.isWaiting || this.#serverFull) this.#client.pause()
    else if (this.#client.isPaused() || this.#client.readableFlowing === null) this.#client.resume()
  }

  #fault(thrown: unknown): void {
    const error = toGatewayError(thrown)
    this.#talk.state.log({ level: 'warn', message: error.message, requestId: this.summary.id, cause: thrown })
    this.#talk.toClient.take()
    this.#talk.toServer.take()
    this.end(error)
  }

  #clientGone(): void {
    if (this.#ended) return
    // What it started would go on for nobody; but who said Terminate has left it to PostgreSQL.
    if (this.#talk.pending.length > 0 && !this.#leaving) void this.#parts.cancel()
    this.#finish()
    this.#client.destroy()
  }

  #serverGone(): void {
    if (this.#ended) return
    if (this.#leaving) {
      this.#finish()
      endSocket(this.#client)
      return
    }
    this.end(new PostgresError('postgres.upstream_lost', 'the connection to PostgreSQL was lost'))
  }

  /** What was running has an end in the trail too. A trail that cannot be written has ended the session: nothing more to do about it. */
  #closeTrail(): void {
    try {
      for (const { execution } of this.#talk.pending.list()) {
        if (execution !== undefined) this.#talk.tellEnd(execution, 'error', 'postgres.session_ended')
      }
    } catch (cause) {
      this.#talk.state.log({
        level: 'error',
        message: 'the trail cannot be written',
        requestId: this.summary.id,
        cause,
      })
    }
  }

  /** Lets go of the server and closes the trail's open lines. */
  #finish(): void {
    if (this.#ended) return
    this.#ended = true
    this.#closeTrail()
    if (!this.#server.destroyed) {
      endSocket(this.#server, this.#leaving ? undefined : terminateMessage)
    }
    this.#parts.onEnd()
  }
}
