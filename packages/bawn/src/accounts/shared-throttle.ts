import type { SharedTries } from '../limits/shared-tries.ts'
import type { GuessTries, LocalThrottle, LoginAttempt, LoginThrottle } from './throttle.ts'

/**
 * Counts tries with all other nodes, and here as well: whatever becomes of the others, nobody is let through who would not be by this process
 * alone, but for whom another has seen log in from there. That a guess failed lately is known here only.
 *
 * @param here counts alone while the others cannot be asked
 */
export function createSharedThrottle(here: LocalThrottle, shared: SharedTries): LoginThrottle {
  const attempt = async (
    { tries: own, trust, trustMs }: GuessTries,
    judge: (isTrusted: boolean) => LoginAttempt,
    isKnown: (guess: string) => boolean,
  ): Promise<LoginAttempt> => {
    const tries = own.map(({ table, key, limit }) => ({ key: `${table} ${key}`, limit }))
    const taken = await shared.take(tries, trust)
    if (taken === undefined) return judge(false)
    if (taken.retryAfterMs > 0) return { kind: 'throttled', retryAfterMs: taken.retryAfterMs }
    const counted = taken.isTrusted ? tries.slice(0, 1) : tries
    let open = true
    const giveBack = (trusted?: string): void => {
      if (open) shared.giveBack(counted, trusted === undefined ? undefined : { key: trusted, ms: trustMs })
      open = false
    }
    const local = judge(taken.isTrusted)
    if (local.kind === 'throttled') {
      giveBack()
      return local
    }
    return {
      kind: 'permitted',
      succeeded() {
        local.succeeded()
        giveBack(trust)
      },
      undecided() {
        local.undecided()
        giveBack()
      },
      failed(guess, reason) {
        if (isKnown(guess)) giveBack()
        local.failed(guess, reason)
      },
    }
  }
  return {
    attempt: (user, address) =>
      attempt(
        here.triesOf(user, address),
        isTrusted => here.attempt(user, address, isTrusted),
        guess => here.failureOf(user, address, guess) !== undefined,
      ),
    attemptNameless: (kind, address) =>
      attempt(
        here.namelessTriesOf(kind, address),
        () => here.attemptNameless(kind, address),
        () => false,
      ),
    failureOf: here.failureOf,
  }
}
