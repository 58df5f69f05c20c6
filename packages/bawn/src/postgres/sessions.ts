import { randomBytes, randomInt, timingSafeEqual } from 'node:crypto'
import type { GatewayError } from '../error.ts'
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

/** What BackendKeyData tells a client: our own numbers, never the server's. */
export interface CancelKey {
  readonly processId: number
  readonly key: Buffer
}

interface Entry {
  readonly key: Buffer
  readonly session: OpenSession
}

/** Sessions of one door, by the process id we gave them. */
export class Sessions {
  readonly #byProcessId = new Map<number, Entry>()
  #whenEmpty: (() => void) | undefined
  /** Set while the door stops: nobody may begin any more. */
  draining: GatewayError | undefined

  get count(): number {
    return this.#byProcessId.size
  }

  /** @param keyBytes 4 in protocol 3.0, 32 from 3.2 on */
  newKey(keyBytes: 4 | 32): CancelKey {
    let processId = randomInt(1, 2 ** 31 - 1)
    while (this.#byProcessId.has(processId)) processId = randomInt(1, 2 ** 31 - 1)
    return { processId, key: randomBytes(keyBytes) }
  }

  add({ processId, key }: CancelKey, session: OpenSession): void {
    this.#byProcessId.set(processId, { key, session })
  }

  remove({ processId }: CancelKey): void {
    this.#byProcessId.delete(processId)
    if (this.#byProcessId.size === 0) this.#whenEmpty?.()
  }

  /** A CancelRequest. Resolves when whoever sent it may go on: what runs later is not meant. */
  async cancel(processId: number, key: Uint8Array): Promise<void> {
    const entry = this.#byProcessId.get(processId)
    if (entry !== undefined && entry.key.length === key.length && timingSafeEqual(entry.key, key))
      await entry.session.cancel()
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
