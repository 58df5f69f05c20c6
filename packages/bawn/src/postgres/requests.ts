import type { GatewayError } from '../error.ts'
import { isBorrowed } from '../socket-fast-path.ts'
import type { Administered } from './accounts.ts'
import type { Conversation } from './conversation.ts'
import { PostgresError, toGatewayError } from './failure.ts'
import { functionCall } from './function-call.ts'
import type { IncomingCopy } from './incoming-copy.ts'
import { mayBeginGroup, PlainRequests } from './plain-requests.ts'
import { isPromise, type Planned, planStatement } from './planning.ts'
import { nobodysName } from './pool/server-statements.ts'
import { bind, close, describe, execute } from './portals.ts'
import { refuse } from './refuse.ts'
import { parse, query } from './texts.ts'
import type { Step, Turn } from './turn.ts'
import { type Disposition, FrameReader } from './wire/frame-reader.ts'
import { front } from './wire/message.ts'
import { buildCloseStatement } from './wire/row-description.ts'
import { WireError } from './wire/wire-error.ts'

const maxSmallBytes = 10_000
const maxMessageBytes = 0x3fff_ffff

/** Shorter ones are bounded by their number. */
const longParseBytes = 16 * 1024

const syncMessage = Buffer.from([front.sync, 0, 0, 0, 4])

/** Has the server send the answers that it has. */
export const flushMessage = Buffer.from([front.flush, 0, 0, 0, 4])

type PlanResult =
  | { readonly kind: 'made'; readonly planned: Planned }
  | { readonly kind: 'failed'; readonly thrown: unknown }

/** Client to server. Statements are planned before they are forwarded; everything else goes on as it came. */
export class Requests implements Turn {
  readonly reader: FrameReader
  /** The client said Terminate. */
  terminated = false
  readonly talk: Conversation
  readonly #plain: PlainRequests
  readonly #wake: () => void
  readonly #hasServer: () => boolean
  /** Asked again after each answer of the server; the frame goes on when it says true. */
  #until: (() => boolean) | undefined
  /** What a promise brought for the frame that waits. */
  #planned: PlanResult | undefined
  #planning = false
  #administered: Administered | undefined
  #presented = false
  /** The pieces of the streamed frame that is arriving are thrown away. */
  #dropping = false
  /** They are data of this COPY. */
  #incoming: IncomingCopy | undefined

  /**
   * @param wake called when a plan that was waited for has come
   * @param hasServer whether there is a connection to send to; where there is none, `wake` is called when there is
   */
  constructor(talk: Conversation, wake: () => void, hasServer: () => boolean = () => true) {
    this.talk = talk
    this.#wake = wake
    this.#hasServer = hasServer
    this.#plain = new PlainRequests(talk)
    this.reader = new FrameReader((type, length) => this.#decide(type, length))
  }

  /**
   * Takes received bytes. @param chunk may be borrowed: what is not forwarded in this turn is copied
   * @param isOpen there is a connection to send to, of this session alone, and nothing else holds up what the client sends
   */
  receive(chunk: Buffer, isOpen: boolean): void {
    const isFree = isOpen && mayBeginGroup(chunk) && !this.#presented && !this.isWaiting && this.reader.isBetweenFrames
    const taken = isFree ? this.#plain.take(chunk) : 0
    if (taken === chunk.length) return
    if (isBorrowed(chunk)) this.reader.push(Buffer.from(chunk.subarray(taken)))
    else this.reader.push(chunk, taken)
  }

  /** A part of a message was sent on, and its end is still to come. */
  get isMidMessage(): boolean {
    return this.reader.isMidFrame && !this.#dropping && this.#incoming === undefined
  }

  /** A frame waits: nothing more may be read from the client. */
  get isWaiting(): boolean {
    return this.#planning || this.#until !== undefined
  }

  /** Works through what was received, up to the first frame that has to wait. @throws {WireError | PostgresError} ends the session */
  run(): void {
    if (this.#planning) return
    if (this.#until !== undefined) {
      if (!this.#until()) return
      this.#until = undefined
    }
    while (!this.terminated && (this.#presented || this.reader.next())) {
      this.#presented = true
      if (this.reader.type !== front.terminate && !this.#hasServer()) {
        this.#until = this.#hasServer
        // That may take long: grants, rules and the schema are those of then.
        this.#planned = undefined
        return
      }
      if (this.#frame() === 'wait') return
      this.#presented = false
      // A plan that came and was not needed must not be taken for the next statement's.
      this.#planned = undefined
      this.#administered = undefined
    }
  }

  #decide(type: number, length: number): Disposition {
    switch (type) {
      case front.sync:
      case front.flush:
      case front.execute:
      case front.describe:
      case front.close:
      case front.terminate:
      case front.copyDone:
        if (length > maxSmallBytes) throw new WireError('invalid message length')
        return 'open'
      case front.query:
      case front.parse:
      case front.bind:
      case front.functionCall:
        if (length > maxMessageBytes) throw new WireError('invalid message length')
        return length <= this.talk.limits.maxFrameBytes ? 'open' : 'stream'
      case front.copyData:
      case front.copyFail:
        if (length > maxMessageBytes) throw new WireError('invalid message length')
        return 'stream'
      default:
        throw new WireError(`invalid frontend message type ${type}`)
    }
  }

  #frame(): Step {
    const { reader } = this
    const { type, piece } = reader
    if (piece === 'middle' || piece === 'end') {
      if (this.#incoming !== undefined) this.#incoming.data(reader.buffer.subarray(reader.start, reader.end))
      else if (!this.#dropping) this.forward()
      return 'next'
    }
    this.#dropping = false
    this.#incoming = undefined
    if (type === front.terminate) {
      this.terminated = true
      return 'next'
    }
    if (type === front.sync) return this.#isFull() ? 'wait' : this.#sync()
    if (this.talk.discarding) {
      const { strays, pending } = this.talk
      if (strays.areDue && pending.length === 0) return this.#askStrays()
      this.#dropping = true
      return 'next'
    }
    switch (type) {
      case front.flush:
        this.forward()
        return 'next'
      case front.copyData:
      case front.copyDone:
      case front.copyFail:
        return this.#copy(type)
      default:
        if (this.#mayHaveFailed()) return this.#askStrays()
        if (this.#isEndInDoubt()) return 'wait'
        break
    }
    if (this.#mustWait()) return 'wait'
    if (piece === 'begin') return this.#tooLarge(type)
    switch (type) {
      case front.query:
        return query(this)
      case front.parse:
        return parse(this)
      case front.bind:
        return bind(this)
      case front.execute:
        return execute(this)
      case front.describe:
        return describe(this)
      case front.close:
        return close(this)
      default:
        return functionCall(this)
    }
  }

  /** CopyData, CopyDone or CopyFail: converted where columns are protected, dropped where the server would discard it. */
  #copy(type: number): Step {
    const { talk, reader } = this
    if (this.#isCopyInDoubt()) return 'wait'
    const { incoming } = talk
    if (talk.copyIn !== 'skipping-sync') this.#dropping = true
    else if (incoming === undefined || type === front.copyFail) {
      this.forward()
      if (type !== front.copyData) talk.noteCopyEnd()
    } else if (type === front.copyDone) incoming.done()
    else {
      this.#incoming = incoming
      incoming.data(reader.buffer.subarray(reader.start + 5, reader.end))
    }
    return 'next'
  }

  /**
   * A message that has no place in COPY FROM STDIN: either that has failed by now, or the server ends the connection. Where it is to be known
   * which of the two, before the message is sent.
   */
  #mayHaveFailed(): boolean {
    const { copyIn, incoming, pending } = this.talk
    return copyIn === 'skipping-sync' && (incoming !== undefined || pending.hasPassed)
  }

  /** The data has ended, and Syncs were passed before: whether the server skips what comes is known when the COPY has been answered. */
  #isEndInDoubt(): boolean {
    const { talk } = this
    if (talk.copyIn !== 'ending' || !talk.pending.hasPassed) return false
    talk.toServer.append(flushMessage)
    return this.#waitUntil(() => talk.copyIn !== 'ending')
  }

  /** Limits and things that must have happened before the next statement is looked at. */
  #mustWait(): boolean {
    const talk = this.talk
    const { expiresAt } = talk.audit.identity
    if (expiresAt !== undefined && expiresAt <= talk.state.now()) {
      throw new PostgresError('postgres.session_ended', 'the proof of identity has expired')
    }
    if (this.#isFull() || this.#holdsTooMuch()) return true
    // Whether the change took place, and what the schema is then, is known when it has been answered.
    if (talk.schemaChangedAt !== undefined && talk.pending.outstandingReady > 0 && talk.copyIn !== 'skipping-sync')
      return this.#quiescent()
    // What comes behind RESET and DISCARD ALL finds what the session began with, on whichever connection.
    if (talk.settings.leadsBack && talk.pending.outstandingReady > 0 && talk.copyIn !== 'skipping-sync')
      return this.#quiescent()
    return false
  }

  /** As many messages as are allowed are unanswered: waits. Not in COPY, which ends only by what the client sends. */
  #isFull(): boolean {
    const talk = this.talk
    if (talk.pending.length < talk.limits.maxPending || talk.copyIn === 'skipping-sync') return false
    // The server keeps small answers until it is asked for them.
    talk.toServer.append(flushMessage)
    return this.#waitUntil(() => talk.pending.length < talk.limits.maxPending || talk.copyIn === 'skipping-sync')
  }

  /**
   * Data that the server has not asked for yet: waits until it has, or has answered everything. What came before the data is then known
   * to lie outside of COPY or within, where the server reads over Sync.
   */
  #isCopyInDoubt(): boolean {
    const talk = this.talk
    if (talk.copyIn === 'skipping-sync' || talk.pending.length === 0) return false
    talk.toServer.append(flushMessage)
    return this.#waitUntil(() => talk.pending.length === 0 || talk.copyIn === 'skipping-sync')
  }

  /** Statements that were replaced are kept until Parse is answered, in case the server skipped it. */
  #holdsTooMuch(): boolean {
    const { pending, limits, toServer } = this.talk
    const { type, piece, start, end } = this.reader
    if (type !== front.parse || piece !== 'whole' || end - start <= longParseBytes) return false
    const held = pending.list().reduce((sum, entry) => sum + (entry.statement?.text.length ?? 0), end - start)
    if (held <= limits.maxFrameBytes || pending.length === 0) return false
    toServer.append(flushMessage)
    return this.#waitUntil(() => pending.length === 0 || this.talk.copyIn === 'skipping-sync')
  }

  #waitUntil(condition: () => boolean): boolean {
    this.#until = condition
    return true
  }

  /** Waits until everything up to the last Sync is answered. Not in COPY, which ends only by what the client sends. */
  #quiescent(): boolean {
    const talk = this.talk
    return this.#waitUntil(() => talk.pending.outstandingReady === 0 || talk.copyIn === 'skipping-sync')
  }

  wait(): Step {
    this.#quiescent()
    return 'wait'
  }

  settle(): Step {
    const { pending } = this.talk
    if (pending.length === 0) throw new TypeError('nothing to wait for')
    this.talk.toServer.append(flushMessage)
    this.#waitUntil(() => pending.length === 0 || this.talk.copyIn === 'skipping-sync')
    return 'wait'
  }

  administer(work: Promise<Administered>): Step {
    this.#planning = true
    void work.then(done => {
      this.#administered = done
      this.#planning = false
      this.#wake()
    })
    return 'wait'
  }

  takeAdministered(): Administered | undefined {
    const done = this.#administered
    this.#administered = undefined
    return done
  }

  /** Plans at once, or leaves the frame waiting: `undefined`. */
  plan(text: Uint8Array): Planned | PostgresError | GatewayError | undefined {
    const ready = this.#planned
    this.#planned = undefined
    if (ready?.kind === 'made') return ready.planned
    if (ready?.kind === 'failed') return this.failed(ready.thrown)
    let planned: Planned | Promise<Planned>
    try {
      planned = planStatement(this.talk, text)
    } catch (thrown) {
      return this.failed(thrown)
    }
    if (!isPromise(planned)) return planned
    this.#planning = true
    planned.then(
      made => this.#planReady({ kind: 'made', planned: made }),
      (thrown: unknown) => this.#planReady({ kind: 'failed', thrown }),
    )
    return undefined
  }

  #planReady(result: PlanResult): void {
    this.#planned = result
    this.#planning = false
    this.#wake()
  }

  failed(thrown: unknown): GatewayError {
    const error = toGatewayError(thrown)
    this.talk.state.log({
      level: 'error',
      message: error.message,
      requestId: this.talk.audit.sessionId,
      cause: thrown,
    })
    return error
  }

  #sync(): Step {
    const talk = this.talk
    this.talk.discarding = false
    this.forward()
    // During COPY FROM STDIN the server reads over it; unless that has just failed.
    if (talk.copyIn !== 'skipping-sync' || !talk.pending.passSync(talk.batch)) talk.sendPlain('sync')
    return 'next'
  }

  /** Behind a COPY that has failed, or may have, there was a Sync: the server reads on now, unless the COPY had read over it. */
  #askStrays(): Step {
    const { talk } = this
    talk.send({ kind: 'sync', swallow: true, asksStrays: true })
    talk.send({ kind: 'close', swallow: true })
    talk.send({ kind: 'sync', swallow: true })
    talk.toServer.append(Buffer.concat([syncMessage, buildCloseStatement(nobodysName), syncMessage]))
    this.#waitUntil(() => talk.pending.length === 0)
    return 'wait'
  }

  /** A message that has to be opened and is longer than we keep: its bytes are read over. */
  #tooLarge(type: number): Step {
    this.#dropping = true
    const kind = type === front.query || type === front.functionCall ? 'query' : 'extended'
    return refuse(
      this.talk,
      kind,
      'postgres.too_large',
      `a statement is longer than ${this.talk.limits.maxFrameBytes} bytes`,
    )
  }

  forward(): void {
    const { buffer, start, end, borrowed } = this.reader
    this.talk.toServer.slice(buffer, start, end, borrowed)
  }
}
