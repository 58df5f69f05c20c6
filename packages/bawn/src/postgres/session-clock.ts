// The global of this name is looked up anew each time.
import { performance } from 'node:perf_hooks'
import type { Activity } from './state.ts'

/** How long what may last, in ms; `undefined`: any time. */
export interface TimeLimits {
  readonly idle: number | undefined
  readonly idleInTransaction: number | undefined
  readonly lifetime: number | undefined
  readonly statement: number | undefined
  readonly transaction: number | undefined
  /** While an answer is awaited: then it is time to ask whether the server is still there. */
  readonly silence: number | undefined
}

export type Due =
  | 'idle'
  | 'idle-in-transaction'
  | 'lifetime'
  | 'statement'
  /** A statement goes on although it was cancelled. */
  | 'uncancelled'
  | 'transaction'
  /** Nothing came from the server, once or twice this long, while an answer is awaited. */
  | 'silence'

/** The server has the same limit and ends a statement itself, where the session has not lifted it there: it comes first. */
const statementSlackMs = 500
const uncancelledMs = 10_000

/**
 * What a session does, since when, and how long it still may. Told at each turn of the relay: costs nothing where nothing changed. One timer
 * a session, which is moved only when something is due earlier than it.
 */
export class SessionClock {
  readonly #limits: TimeLimits
  readonly #onDue: (due: Due) => void
  readonly #ticks: () => number
  readonly #began: number
  /** The shortest limit that begins anew, in ms. */
  readonly #shortest: number
  #activity: Activity = 'idle'
  #activitySince: number
  #running: object | number | undefined
  #runningSince = 0
  #transactionSince: number | undefined
  #cancelled: { readonly running: object | number; readonly at: number } | undefined
  #lifetimeTold = false
  /** To be set when something came from the server: cheaper than a look at the clock. */
  heard = false
  #silentSince = 0
  #timer: NodeJS.Timeout | undefined
  #firesAt = Number.POSITIVE_INFINITY
  #nextDue: Due | undefined
  #nextAt = Number.POSITIVE_INFINITY

  /**
   * @param onDue called once for each limit that is reached
   * @param ticks ms of a clock that nobody sets
   */
  constructor(limits: TimeLimits, onDue: (due: Due) => void, ticks: () => number = () => performance.now()) {
    this.#limits = limits
    this.#onDue = onDue
    this.#ticks = ticks
    const { idle, idleInTransaction, statement, transaction, silence } = limits
    const all = [idle, idleInTransaction, statement, transaction, silence]
    this.#shortest = Math.min(...all.map(limit => limit ?? Number.POSITIVE_INFINITY))
    this.#began = ticks()
    this.#activitySince = this.#began
    this.#arm()
  }

  get activity(): Activity {
    return this.#activity
  }

  /** How long the activity has lasted, in ms. */
  get elapsed(): number {
    return this.#ticks() - this.#activitySince
  }

  /** @param running the request that the server works on: the same object, or its number, as long as it does */
  note(activity: Activity, inTransaction: boolean, running: object | number | undefined): void {
    const wasInTransaction = this.#transactionSince !== undefined
    if (activity === this.#activity && running === this.#running && inTransaction === wasInTransaction) return
    const now = this.#ticks()
    if (activity !== this.#activity) {
      this.#activity = activity
      this.#activitySince = now
      this.#silentSince = now
    }
    if (running !== this.#running) {
      this.#running = running
      this.#runningSince = now
    }
    if (inTransaction !== wasInTransaction) this.#transactionSince = inTransaction ? now : undefined
    // What begins now is due when the shortest limit is over, at the earliest; what had begun before has its place in the timer.
    if (this.#firesAt > now + this.#shortest) this.#arm()
  }

  /** The statement that runs was not to be cancelled yet: it has this much longer. */
  defer(ms: number): void {
    this.#cancelled = undefined
    this.#runningSince = this.#ticks() + ms - (this.#limits.statement ?? 0) - statementSlackMs
    this.#arm()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#firesAt = Number.NEGATIVE_INFINITY
  }

  /** What is due next, with its time in `#nextAt`: asked at each turn, so nothing is made for the answer. */
  #next(): Due | undefined {
    const { idle, idleInTransaction, lifetime, statement, transaction, silence } = this.#limits
    this.#nextDue = undefined
    this.#nextAt = Number.POSITIVE_INFINITY
    if (this.#activity === 'active') this.#consider('silence', this.#silentSince, silence)
    if (this.#activity === 'idle') this.#consider('idle', this.#activitySince, idle)
    else if (this.#activity !== 'active') this.#consider('idle-in-transaction', this.#activitySince, idleInTransaction)
    if (!this.#lifetimeTold) this.#consider('lifetime', this.#began, lifetime)
    this.#consider('transaction', this.#transactionSince, transaction)
    if (this.#running !== undefined && statement !== undefined) {
      if (this.#cancelled?.running === this.#running) this.#consider('uncancelled', this.#cancelled.at, uncancelledMs)
      else this.#consider('statement', this.#runningSince, statement + statementSlackMs)
    }
    return this.#nextDue
  }

  #consider(due: Due, since: number | undefined, limit: number | undefined): void {
    if (since === undefined || limit === undefined || since + limit >= this.#nextAt) return
    this.#nextDue = due
    this.#nextAt = since + limit
  }

  #arm(): void {
    if (this.#next() === undefined || this.#nextAt >= this.#firesAt) return
    clearTimeout(this.#timer)
    this.#firesAt = this.#nextAt
    this.#timer = setTimeout(() => this.#fire(), Math.max(0, this.#nextAt - this.#ticks()))
    this.#timer.unref()
  }

  #fire(): void {
    this.#firesAt = Number.POSITIVE_INFINITY
    const due = this.#next()
    const now = this.#ticks()
    if (due !== undefined && this.#nextAt <= now) {
      if (due === 'lifetime') this.#lifetimeTold = true
      if (due === 'statement' && this.#running !== undefined) {
        this.#cancelled = { running: this.#running, at: now }
      }
      if (due === 'silence') this.#silentSince = now
      if (due !== 'silence' || !this.heard) this.#onDue(due)
      if (due === 'silence') this.heard = false
    }
    this.#arm()
  }
}
