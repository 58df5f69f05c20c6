import type { Socket } from 'node:net'
import type { GatewayError } from '../error.ts'
import { RelayOutput, readWithoutBuffer } from '../socket-fast-path.ts'
import { Answers } from './answers.ts'
import { endSocket } from './byte-input.ts'
import type { Conversation } from './conversation.ts'
import { fatalResponse, PostgresError, toGatewayError } from './failure.ts'
import { parameterStatuses } from './pool/connection.ts'
import { flushMessage, Requests } from './requests.ts'
import { ServerSide, type ServerSource } from './server-side.ts'
import { type Due, SessionClock, type TimeLimits } from './session-clock.ts'
import { endings } from './session-endings.ts'
import type { OpenSession } from './sessions.ts'
import type { Activity, SessionNow, SessionSummary } from './state.ts'
import { UpstreamRefusal } from './upstream-login.ts'
import { rebuildErrorResponse } from './wire/error-response.ts'
import { status } from './wire/message.ts'

/** What a session stands between. */
export interface SessionParts {
  readonly summary: SessionSummary
  readonly talk: Conversation
  readonly client: Socket
  /** What the client sent after its last login message. */
  readonly received: Buffer
  readonly server: ServerSource
  /** What came from the server behind its greeting. */
  readonly rest: Buffer
  readonly limits: TimeLimits
  /** A client that takes nothing for so long is dropped. */
  readonly writeTimeoutMs: number
  /** Asks the server by another connection. */
  readonly isServerAlive: () => Promise<boolean>
  /** Called once, when it has let go of both connections. */
  readonly onEnd: () => void
}

/** How long answers that were asked for may take. */
const answerMs = 1_000

/**
 * Relays between one client and one connection to PostgreSQL. Reads pause while the other side does not take what was written, and
 * while a statement waits for its plan. Each received chunk leads to at most one write on each side.
 */
export class Session implements OpenSession {
  readonly summary: SessionSummary
  readonly #parts: SessionParts
  readonly #talk: Conversation
  readonly #client: Socket
  readonly #server: ServerSide
  readonly #toClient: RelayOutput
  readonly #requests: Requests
  readonly #answers: Answers
  readonly #clock: SessionClock
  #bytesIn = 0
  #bytesOut = 0
  #cancelling = false
  /** Nothing is read from the client. */
  #isHeld: boolean | undefined
  /** What runs, and the server was asked for its answers. */
  #asked: number | undefined
  #ended = false
  /** The client has the beginning of a message of the server, and not its end. */
  #isClientMidFrame = false
  #draining: GatewayError | undefined
  /** The client said Terminate, and PostgreSQL has yet to answer what came before. */
  #leaving = false
  /** And has gone: what began to answer then. */
  #unread: number | undefined
  /** It goes on answering: PostgreSQL ends such a statement as well. */
  #isForNobody = false

  constructor(parts: SessionParts) {
    this.summary = parts.summary
    this.#parts = parts
    this.#talk = parts.talk
    this.#client = parts.client
    this.#toClient = new RelayOutput(parts.client)
    this.#server = new ServerSide(parts.server, {
      data: chunk => this.#fromServer(chunk),
      drain: () => this.#flow(),
      gone: () => this.#serverGone(),
    })
    this.#clock = new SessionClock(parts.limits, due => this.#due(due))
    this.#answers = new Answers(parts.talk)
    const wake = (): void => this.#turn()
    this.#requests = new Requests(parts.talk, wake, () => this.#attach(wake))
  }

  /** Begins to relay. */
  start(): void {
    const client = this.#client
    const server = this.#server
    const receive = (chunk: Buffer): void => this.#fromClient(chunk)
    client.on('data', receive)
    readWithoutBuffer(client, receive, true)
    client.on('drain', () => {
      client.setTimeout(0)
      server.resume()
    })
    client.on('timeout', () => this.#clientStalls())
    client.on('end', () => {
      // Who has said Terminate may still read.
      if (!this.#leaving) this.#clientGone()
    })
    client.on('close', () => this.#clientGone())
    client.on('error', () => this.#clientGone())
    const nothing = (): void => {}
    if (!this.#parts.server.perTransaction) server.attach(nothing, nothing)
    if (server.isLost) this.#serverGone()
    else if (client.destroyed) this.#clientGone()
    if (this.#ended) return
    if (this.#parts.rest.length > 0) this.#fromServer(this.#parts.rest)
    if (this.#parts.received.length > 0) this.#fromClient(this.#parts.received)
    this.#flow()
  }

  cancel(): Promise<void> {
    return this.#parts.server.cancel()
  }

  /** Whether there is a connection to work on; otherwise `wake` is called when there is. */
  #attach(wake: () => void): boolean {
    if (this.#server.isAttached) return true
    const attached = (): void => {
      if (this.#ended) {
        this.#server.release('nothing')
        return
      }
      this.#begin()
      wake()
    }
    const failed = (cause: unknown): void => {
      if (this.#ended) return
      if (cause instanceof UpstreamRefusal) {
        this.#finish()
        endSocket(this.#client, rebuildErrorResponse(cause.fields))
      } else this.#fault(cause)
    }
    if (!this.#server.attach(attached, failed)) return false
    this.#begin()
    return true
  }

  /** Works on a connection from here on: tells the client what is set differently there than it knows. */
  #begin(): void {
    const { parameters, statements, upstream } = this.#parts.server
    const talk = this.#talk
    talk.prepared = statements
    talk.settings.begin(this.#parts.server)
    if (parameters === undefined || upstream === undefined) return
    talk.toClient.append(parameterStatuses(talk.parameters.learn(parameters, upstream.parameters)))
  }

  /** Others may have the connection, where a session has one for each transaction only. */
  #release(): void {
    const talk = this.#talk
    if (!this.#parts.server.perTransaction || !talk.isSettled || talk.isPinned || this.#cancelling) return
    if (!this.#server.isAttached || this.#answers.reader.isMidFrame || this.#requests.isMidMessage) return
    const { leftover } = talk
    talk.leftover = 'nothing'
    talk.settings.startsAnew = false
    talk.prepared = undefined
    this.#server.release(leftover)
  }

  end(error: GatewayError): void {
    if (this.#ended) return
    // In the middle of a message of the server an error of ours would be read as its data.
    const canSpeak = !this.#isClientMidFrame
    if (this.#talk.pending.length > 0) void this.cancel()
    this.#finish()
    if (canSpeak) endSocket(this.#client, fatalResponse(error))
    else this.#client.destroy()
  }

  drain(error: GatewayError): void {
    this.#draining = error
    if (this.#activity() === 'idle') this.end(error)
  }

  now(): SessionNow {
    const { activity, elapsed } = this.#clock
    const since = this.#talk.state.now() - Math.round(elapsed)
    return { activity, since, bytesIn: this.#bytesIn, bytesOut: this.#bytesOut }
  }

  #activity(): Activity {
    const { pending, transaction } = this.#talk
    if (pending.length > 0 || this.#requests.isWaiting) return 'active'
    if (transaction === status.idle) return 'idle'
    return transaction === status.failed ? 'idle in failed transaction' : 'idle in transaction'
  }

  #noteMoment(): void {
    const { pending, transaction } = this.#talk
    const inTransaction = transaction !== status.idle
    this.#clock.note(this.#activity(), inTransaction, pending.headNumber)
  }

  #due(due: Due): void {
    if (this.#ended) return
    if (due === 'statement') this.#cancelForTime()
    else if (due === 'silence') void this.#probe()
    else if (due === 'lifetime') this.drain(endings[due]())
    else this.end(endings[due]())
  }

  /** A network that was cut says nothing: an answer that was on its way would be awaited for ever. */
  async #probe(): Promise<void> {
    this.#clock.heard = false
    if ((await this.#parts.isServerAlive()) || this.#ended || this.#clock.heard) return
    this.#serverGone()
  }

  /** Nothing more is sent until the server has heard of it: the next statement is not the one that took too long. */
  #cancelForTime(): void {
    const { pending } = this.#talk
    const running = pending.headNumber
    if (pending.outstandingReady === 0 && this.#asked !== running && !this.#requests.reader.isMidFrame) {
      // Answers may be waiting there to be asked for: without Sync or Flush the server keeps them.
      this.#asked = running
      this.#server.write(flushMessage)
      this.#clock.defer(answerMs)
      return
    }
    // What runs may be further on than what is answered: the server tells of the first ones of a group when it ends.
    this.#talk.timedOut = pending.readyCame
    this.#cancelling = true
    void this.cancel().then(() => {
      this.#cancelling = false
      this.#turn()
    })
  }

  #fromClient(chunk: Buffer): void {
    // Nothing counts behind Terminate.
    if (this.#ended || this.#requests.terminated) return
    this.#bytesIn += chunk.length
    this.#turn(undefined, chunk)
  }

  #fromServer(chunk: Buffer): void {
    this.#clock.heard = true
    this.#turn(chunk)
  }

  /** One turn: work on what the server has sent, or the client; the trail; then at most one write to each side. */
  #turn(fromServer?: Buffer, fromClient?: Buffer): void {
    if (this.#ended) return
    try {
      const isOpen = !this.#cancelling && !this.#parts.server.perTransaction
      if (fromClient !== undefined) this.#requests.receive(fromClient, isOpen)
      if (fromServer !== undefined) this.#answers.receive(fromServer)
      if (this.#talk.settings.startsAnew) this.#release()
      if (!this.#cancelling && (fromServer === undefined || this.#requests.isWaiting)) this.#requests.run()
      this.#flush()
      this.#release()
      this.#noteMoment()
    } catch (thrown) {
      this.#fault(thrown)
      return
    }
    if (this.#answers.endedByServer) {
      this.#finish()
      endSocket(this.#client)
    } else if (this.#requests.terminated) this.#leave()
    else if (this.#draining !== undefined && this.#activity() === 'idle') this.end(this.#draining)
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
    if (toServer !== undefined) this.#server.write(toServer)
    this.#isClientMidFrame = this.#answers.reader.isMidFrame
    const toClient = talk.toClient.take()
    if (toClient === undefined) return
    if (this.#client.destroyed) {
      const head = talk.pending.headNumber
      this.#isForNobody = head !== undefined && head === this.#unread
      this.#unread = head
      return
    }
    this.#bytesOut += toClient.length
    if (this.#toClient.write(toClient)) return
    this.#server.pause()
    // Counts from the last byte that it took.
    this.#client.setTimeout(this.#parts.writeTimeoutMs)
  }

  /** PostgreSQL answers what came before Terminate, and then closes; so do we. */
  #leave(): void {
    if (this.#isForNobody) void this.cancel()
    const { pending, strays } = this.#talk
    if ((pending.length === 0 && !strays.areDue) || this.#isForNobody) {
      this.#finish()
      endSocket(this.#client)
      return
    }
    if (!this.#leaving) this.#server.terminate()
    this.#leaving = true
    this.#flow()
  }

  /** Reads from the client only what can be worked on and passed on. */
  #flow(): void {
    const isHeld = this.#requests.isWaiting || this.#server.isFull || this.#cancelling
    if (isHeld === this.#isHeld) return
    this.#isHeld = isHeld
    if (isHeld) this.#client.pause()
    else this.#client.resume()
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
    this.#client.destroy()
    if (this.#leaving) {
      // What it has left to PostgreSQL goes on, within the limits of a session, and has an end in the trail.
      this.#server.resume()
      return
    }
    // What it started would go on for nobody.
    if (this.#talk.pending.length > 0) void this.cancel()
    this.#finish()
  }

  #clientStalls(): void {
    if (this.#ended || !this.#toClient.isBehind) return
    const message = 'the client takes nothing of what was sent to it'
    const cause = new PostgresError('postgres.client_stalled', message)
    this.#talk.state.log({ level: 'info', message, requestId: this.summary.id, cause })
    this.#clientGone()
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
    this.#clock.stop()
    this.#closeTrail()
    const { isSettled, leftover, isPinned } = this.#talk
    const isMidMessage = this.#answers.reader.isMidFrame || this.#requests.isMidMessage
    const isKnown = isSettled && !this.#leaving && !this.#answers.endedByServer && !isMidMessage
    const left = isPinned && leftover === 'nothing' ? 'state' : leftover
    this.#server.release(isKnown ? left : 'unfit', this.#leaving)
    this.#parts.onEnd()
  }
}
