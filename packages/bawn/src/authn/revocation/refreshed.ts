/** Something of others that is good for a while. */
export interface Dated<T> {
  readonly value: T
  /** ms since 1970. */
  readonly until: number
}

/**
 * Keeps the last good answer of a source, and asks anew after a while. What is asked for several times at once is asked once. While the
 * source is away, the last answer goes on as long as it says itself, and nobody waits for the source in vain twice.
 */
export interface Refreshed<T> {
  /** `until` is when it has to be asked for again. Rejects with what loading failed with when there is nothing to go on. */
  get(): Promise<Dated<T>>
  /** The source has changed: the next `get` loads. */
  invalidate(): void
}

/** After an attempt that failed, before the next. */
export const retryMs = 2_000

/**
 * @param load `until` of what it resolves with: beyond that, the value says nothing. Given the last value
 * @param options.cacheMs how long a value is taken as it is
 * @param options.onFailure once for each time that the source goes away
 */
export function createRefreshed<T>(
  load: (before: T | undefined) => Promise<Dated<T>>,
  options: {
    readonly cacheMs: number
    readonly clock: () => number
    readonly onFailure: (cause: unknown) => void
  },
): Refreshed<T> {
  const { cacheMs, clock, onFailure } = options
  let current: (Dated<T> & { readonly loadedAt: number; readonly version: number }) | undefined
  let failure: { readonly cause: unknown; readonly at: number; readonly version: number } | undefined
  let changes = 0
  let inFlight: Promise<void> | undefined

  // A clock that was set back must not keep a value alive: a negative age counts as a long one.
  const isWithin = (since: number, ms: number): boolean => clock() >= since && clock() - since < ms

  const attempt = async (): Promise<void> => {
    const [loadedAt, version] = [clock(), changes]
    try {
      current = { ...(await load(current?.value)), loadedAt, version }
      failure = undefined
    } catch (cause) {
      if (failure === undefined) onFailure(cause)
      failure = { cause, at: clock(), version }
    }
  }
  /** What is known, for so long; or the failure. */
  const last = (freshMs: number): Dated<T> => {
    const now = clock()
    if (current === undefined || current.until <= now) {
      throw failure?.cause ?? new Error('the source says nothing that is in force')
    }
    return { value: current.value, until: Math.min(current.until, now + freshMs) }
  }

  return {
    async get() {
      const isFresh = current !== undefined && current.version === changes && isWithin(current.loadedAt, cacheMs)
      if (isFresh && current !== undefined && current.until > clock()) {
        return { value: current.value, until: Math.min(current.until, current.loadedAt + cacheMs) }
      }
      if (failure !== undefined && failure.version === changes && isWithin(failure.at, retryMs)) return last(retryMs)
      inFlight ??= Promise.resolve()
        .then(attempt)
        .finally(() => {
          inFlight = undefined
        })
      const trying = inFlight
      // It is away, and there is something to go on: it is tried beside, so that nobody waits out the time limit again.
      if (failure !== undefined && current !== undefined && current.until > clock()) return last(retryMs)
      await trying
      return last(failure === undefined ? cacheMs : retryMs)
    },
    invalidate() {
      changes += 1
    },
  }
}
