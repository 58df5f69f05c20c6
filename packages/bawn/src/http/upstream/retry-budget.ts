/**
 * How many requests may be sent a second time: a fifth of all, and ten at once. Where a backend is overloaded, sending everything twice is what
 * keeps it so.
 */
export class RetryBudget {
  #tokens = 10

  /** Each request that is sent for the first time. */
  earn(): void {
    this.#tokens = Math.min(10, this.#tokens + 0.2)
  }

  /** @returns whether one may be sent again */
  spend(): boolean {
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }
}
