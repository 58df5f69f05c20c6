import type { Pending } from './pending.ts'

/**
 * Syncs that a COPY may have come to read over before it failed, or not: as many ReadyForQuery may come besides those that are awaited. They
 * come before whatever answers what was sent behind them.
 */
export class StraySyncs {
  #count = 0
  /** The query at the head was carried out, or has failed. */
  #isAnswered = false

  get areDue(): boolean {
    return this.#count > 0
  }

  /** Something has failed. @param count Syncs of which nobody can know */
  expect(count: number): void {
    this.#count = count
    this.#isAnswered = true
  }

  /** Something else than ReadyForQuery was answered. */
  end(): void {
    this.#count = 0
    this.#isAnswered = true
  }

  /** ReadyForQuery came that was awaited. */
  next(): void {
    this.#isAnswered = false
  }

  /** ReadyForQuery of one of them came. */
  take(): void {
    this.#count -= 1
  }

  /** Whether ReadyForQuery is of one of them. @param head what was to be answered next */
  isOf(head: Pending | undefined): boolean {
    if (this.#count === 0) return false
    return head === undefined || (head.kind !== 'sync' && (head.kind !== 'query' || !this.#isAnswered))
  }
}
