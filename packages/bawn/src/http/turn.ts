import type { AuditEvent, FieldUse } from '../audit/event.ts'
import type { Identity } from '../authn/identity.ts'
import type { RevocationCheck } from '../authn/revocation/revocation-check.ts'
import { type ErrorCode, errors, GatewayError } from '../error.ts'
import type { RateLimit } from '../limits/rate-limit.ts'
import type { AnswerWatcher, FrontAnswer, FrontRequest } from './engine.ts'
import { withPage } from './error-page.ts'
import type { Hint } from './hints.ts'
import { type HttpCode, isForTheLog, type Problem, problem } from './problem.ts'
import type { Route } from './routes.ts'
import type { HttpLog, HttpState } from './state.ts'

export interface TurnDeps {
  /** Of the listener, for every request. */
  readonly rateLimit: RateLimit | undefined
  /** Monotonic, in ms. */
  readonly clock: () => number
  readonly log: HttpLog
  /** Requests with an identity whose answer is under way and may take long. */
  readonly streams: Set<Turn>
  /** Where the listener wants its clients' certificates looked up: nobody gets in with one that is not good. */
  readonly revocation: RevocationCheck | undefined
}

export interface Refusal {
  readonly code: ErrorCode
  /** Who decided, for the trail. */
  readonly rule: string
  readonly decision: 'deny' | 'error'
  /** The answer, where it is not the code's problem document. */
  readonly document?: Problem
  /** More headers of the problem document, flat. */
  readonly headers?: readonly string[]
  /** Nothing more is taken from this connection. */
  readonly malformed?: boolean
  /** What the trail learns beyond the code. */
  readonly reason?: string | undefined
}

function withMore(
  usual: AuditEvent,
  more: {
    readonly claimedName: string | undefined
    readonly fields: readonly FieldUse[]
    readonly hint: Hint | undefined
    readonly code: string | undefined
  },
): AuditEvent {
  const { claimedName, fields, hint, code } = more
  return {
    ...usual,
    ...(claimedName === undefined ? {} : { claimedName }),
    ...(fields.length === 0 ? {} : { fields }),
    ...(hint === undefined ? {} : { hints: hint.told }),
    ...(code === undefined ? {} : { code }),
  }
}

/** One request from its head to the end of its answer: what is known of it, its one line in the trail, and its one answer. */
export class Turn implements AnswerWatcher {
  readonly requestId: string
  readonly state: HttpState
  readonly request: FrontRequest
  readonly answer: FrontAnswer
  /** Of the listener; `undefined`: certificates are not looked up. */
  readonly revocation: RevocationCheck | undefined
  identity: Identity | undefined
  /** What the upstream is told of the decision. */
  hint: Hint | undefined
  /** The name that a refused credential stated. */
  claimedName: string | undefined
  /** What every answer to this request carries, flat: what is left of a rate, and our part of the proof of who asks. */
  readonly headers: string[] = []
  /** What the answer of an upstream carries besides its own headers, flat: the caller's token. */
  tokenHeaders: readonly string[] = []
  /** Of the listener. */
  readonly rateLimit: RateLimit | undefined
  /** What answers it, once that is known. */
  route: Route | undefined
  resource = 'none'
  rule = 'none'
  /** Gives up what is under way at the upstream. */
  giveUp: (() => void) | undefined
  readonly #deps: TurnDeps
  readonly #begun: number
  #recorded = false
  #answered = false

  constructor(requestId: string, state: HttpState, request: FrontRequest, answer: FrontAnswer, deps: TurnDeps) {
    this.requestId = requestId
    this.state = state
    this.request = request
    this.answer = answer
    this.revocation = deps.revocation
    this.rateLimit = deps.rateLimit
    this.#deps = deps
    this.#begun = deps.clock()
    answer.watch(this)
  }

  drained(): void {}

  /** The client left: nothing that is still to come is of use to anybody. */
  closed(code: HttpCode | undefined): void {
    this.giveUp?.()
    this.#answered = true
    const why = code ?? 'http.client_left'
    try {
      this.record('error', errors[why].status, why)
    } catch (cause) {
      // Nothing leaves any more, so nothing leaves unwritten.
      this.log('the audit trail cannot be written', cause)
    }
  }

  /** The trail's line and the metrics; once, whatever is called later. */
  record(decision: 'permit' | 'deny' | 'error', status: number, code?: string, fields: readonly FieldUse[] = []): void {
    if (this.#recorded) return
    this.#recorded = true
    const { request, state } = this
    const usual: AuditEvent = {
      kind: 'request',
      requestId: this.requestId,
      door: 'http',
      identity: this.identity,
      address: request.remoteAddress,
      action: request.method,
      resource: this.resource,
      decision,
      rule: this.rule,
    }
    const { claimedName, hint } = this
    const isUsual = claimedName === undefined && fields.length === 0 && hint === undefined && code === undefined
    state.trail.emit(isUsual ? usual : withMore(usual, { claimedName, fields, hint, code }))
    state.metrics.request(this.resource, request.method, status, this.#deps.clock() - this.#begun)
  }

  /** It is answered, or nobody waits for an answer: nothing more is to be done for it. */
  get isOver(): boolean {
    return this.#answered
  }

  /** Whether the answer can still be given; whoever asks gives it. */
  claimAnswer(): boolean {
    if (this.#answered) return false
    this.#answered = true
    return true
  }

  refuse(refusal: Refusal): void {
    this.rule = refusal.rule
    const document =
      refusal.document ??
      withPage(
        problem(refusal.code, this.requestId, [...this.headers, ...(refusal.headers ?? [])]),
        this.route?.errorPages,
      )
    this.record(refusal.decision, document.status, refusal.reason ?? refusal.code)
    if (refusal.malformed !== true) this.#send(document)
    else if (this.claimAnswer()) this.answer.refuse(document)
  }

  /** The one place where an error becomes an answer. `blame` decides who learns what. */
  fail(error: unknown): void {
    const code = error instanceof GatewayError ? error.code : 'gateway.bug'
    if (isForTheLog(error)) this.log('a request failed', error)
    this.giveUp?.()
    const document = withPage(problem(code, this.requestId, this.headers), this.route?.errorPages)
    try {
      this.record('error', document.status, code)
    } catch (cause) {
      this.log('the audit trail cannot be written', cause)
    }
    this.#send(document)
  }

  /** An answer has begun that takes as long as its upstream: it ends with its identity. @returns to be called when it is over */
  streaming(): () => void {
    const { streams } = this.#deps
    if (this.identity !== undefined) streams.add(this)
    return () => streams.delete(this)
  }

  /** Ends an answer that has begun: the client sees that it is cut. */
  cut(): void {
    this.giveUp?.()
    this.answer.abort()
  }

  /** The answer broke off after its head was sent: the client sees that it is cut. */
  brokeOff(error: unknown): void {
    this.log('an answer broke off', error)
  }

  log(message: string, error: unknown): void {
    const code = error instanceof GatewayError ? error.code : 'gateway.bug'
    this.#deps.log.error(message, { requestId: this.requestId, resource: this.resource, code, error })
  }

  #send(document: ReturnType<typeof problem>): void {
    if (!this.claimAnswer()) return
    this.answer.send(document.status, document.headers, this.request.method === 'HEAD' ? undefined : document.body)
  }
}
