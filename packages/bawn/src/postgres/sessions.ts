import { randomInt, timingSafeEqual } from 'node:crypto'
import type { GatewayError } from '../error.ts'
import { networkOf } from '../limits/network.ts'
import { takeRandom } from '../random.ts'
import { ForwardedCancels } from './forwarded-cancels.ts'
import type { SessionSummary } from './state.ts'

/** What the registry needs of an open session. */
export interface OpenSession {
  readonly summary: SessionSummary
  /** Cancels the statement that runs, at the server. Resolves when the server has heard of it; never rejects. */
  cancel(): Promise<void>
  /** Ends it: at once, with the error as its last message. */
  end(error: GatewayError): void
  /** Ends it as soon as no statement and no transaction is open. */
  drain(error: GatewayError): void
}

/** What BackendKeyData tells a client: a key of our own, never the server's. */
export interface CancelKey {
  readonly processId: number
  readonly key: Buffer
}

interface Entry {
  readonly key: Buffer
  readonly session: OpenSession
}

/** The same listener in other threads of the gateway. A cancel request comes by a connection of its own, and so to any of them. */
export interface OtherThreads {
  /** For whichever has a session of this process id and key. Resolves when whoever sent it may go on; never rejects. */
  cancel(processId: number, key: Uint8Array): Promise<void>
}

const alone: OtherThreads = { cancel: async () => {} }

/** Sessions of one door, by the process id we gave them. */
export class Sessions {
  readonly #byProcessId = new Map<number, Entry>()
  readonly #threads: OtherThreads
  readonly #ended: (summary: SessionSummary) => void
  #whenEmpty: (() => void) | undefined
  readonly #forwarded = new ForwardedCancels()
  /** Set while the door stops: nobody may begin any more. */
  draining: GatewayError | undefined

  /** @param ended a session is over */
  constructor(threads: OtherThreads = alone, ended: (summary: SessionSummary) => void = () => {}) {
    this.#threads = threads
    this.#ended = ended
  }

  get count(): number {
    return this.#byProcessId.size
  }

  /**
   * @param keyBytes 4 in protocol 3.0, 32 from 3.2 on
   * @param serverProcessId the process id is the same, for notifications and `pg_stat_activity` speak of it; where it is not known, or a
   *   session at another server has it, it is our own
   */
  newKey(keyBytes: 4 | 32, serverProcessId = 0): CancelKey {
    let processId = serverProcessId > 0 ? serverProcessId : randomInt(1, 2 ** 31)
    while (this.#byProcessId.has(processId)) processId = randomInt(1, 2 ** 31)
    return { processId, key: takeRandom(keyBytes) }
  }

  add({ processId, key }: CancelKey, session: OpenSession): void {
    this.#byProcessId.set(processId, { key, session })
  }

  remove({ processId }: CancelKey): void {
    const entry = this.#byProcessId.get(processId)
    this.#byProcessId.delete(processId)
    if (entry !== undefined) this.#ended(entry.session.summary)
    if (this.#byProcessId.size === 0) this.#whenEmpty?.()
  }

  /** A CancelRequest. Resolves when whoever sent it may go on: what runs later is not meant. @param address of whoever sent it */
  async cancel(processId: number, key: Uint8Array, address: string): Promise<void> {
    if (await this.cancelOwn(processId, key)) return
    // Sessions at two servers may have one process id: it is the key that tells.
    await this.#forwarded.run(networkOf(address), () => this.#threads.cancel(processId, key))
  }

  /** One for a session of this thread, wherever it came in. @returns whether it was */
  async cancelOwn(processId: number, key: Uint8Array): Promise<boolean> {
    const entry = this.#byProcessId.get(processId)
    if (entry === undefined || entry.key.length !== key.length || !timingSafeEqual(entry.key, key)) return false
    await entry.session.cancel()
    return true
  }

  list(): readonly SessionSummary[] {
    return [...this.#byProcessId.values()].map(entry => entry.session.summary)
  }

  /** Ends every session that `which` names. @returns those that there were */
  endWhere(which: (summary: SessionSummary) => boolean, error: GatewayError): readonly SessionSummary[] {
    const ended: SessionSummary[] = []
    for (const { session } of [...this.#byProcessId.values()]) {
      if (!which(session.summary)) continue
      session.end(error)
      ended.push(session.summary)
    }
    return ended
  }

  /** Ends those that `which` names: idle ones now, others when they are done, or after `timeoutMs`. */
  drainWhere(which: (summary: SessionSummary) => boolean, error: GatewayError, timeoutMs: number): void {
    const chosen = [...this.#byProcessId.values()].map(({ session }) => session).filter(({ summary }) => which(summary))
    if (chosen.length === 0) return
    for (const session of chosen) session.drain(error)
    // Whoever has ended by then does nothing.
    const timer = setTimeout(() => {
      for (const session of chosen) session.end(error)
    }, timeoutMs)
    timer.unref()
  }

  /** Ends idle sessions now, busy ones when they are done, whoever is left after `timeoutMs` then. */
  async drain(error: GatewayError, timeoutMs: number): Promise<void> {
    this.draining = error
    if (this.#byProcessId.size === 0) return
    const empty = new Promise<void>(resolve => {
      this.#whenEmpty = resolve
    })
    const timer = setTimeout(() => {
      for (const { session } of [...this.#byProcessId.values()]) session.end(error)
    }, timeoutMs)
    for (const { session } of [...this.#byProcessId.values()]) session.drain(error)
    if (this.#byProcessId.size > 0) await empty
    clearTimeout(timer)
  }
}
