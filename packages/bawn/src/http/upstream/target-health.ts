export interface OutlierLimits {
  /** Failures in a row after which a target is left alone. */
  readonly failures: number
  /** ms the first time; as long again for each time in a row. */
  readonly timeMs: number
  readonly maxTimeMs: number
}

/** Where something changed, for the log. */
export type HealthChange = 'ejected' | 'returned' | 'down' | 'up'

/** What is known of one server: by the requests that it had, and by the questions of a health check. */
export class TargetHealth {
  /** Requests that are under way at it. */
  inFlight = 0
  readonly #limits: OutlierLimits
  readonly #changed: (change: HealthChange) => void
  #failures = 0
  #ejections = 0
  /** In the clock of whoever asks; 0: not ejected. */
  #ejectedUntil = 0
  #isUp = true

  constructor(limits: OutlierLimits, changed: (change: HealthChange) => void) {
    this.#limits = limits
    this.#changed = changed
  }

  /** Whether it should get requests. @param now monotonic, in ms */
  isGood(now: number): boolean {
    return this.#isUp && now >= this.#ejectedUntil
  }

  succeeded(): void {
    this.#failures = 0
    if (this.#ejectedUntil === 0) return
    // It was left alone, was asked again, and answered.
    this.#ejectedUntil = 0
    this.#ejections = 0
    this.#changed('returned')
  }

  /** @param now monotonic, in ms */
  failed(now: number): void {
    this.#failures++
    if (this.#failures < this.#limits.failures || now < this.#ejectedUntil) return
    // After its time one failure more is enough.
    this.#failures = this.#limits.failures - 1
    this.#ejections++
    this.#ejectedUntil = now + Math.min(this.#limits.timeMs * this.#ejections, this.#limits.maxTimeMs)
    this.#changed('ejected')
  }

  /** What a health check found, after as many answers of one kind as it wants. */
  found(isUp: boolean): void {
    if (isUp === this.#isUp) return
    this.#isUp = isUp
    this.#changed(isUp ? 'up' : 'down')
  }
}
