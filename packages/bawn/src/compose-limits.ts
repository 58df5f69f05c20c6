import { createSharedThrottle } from './accounts/shared-throttle.ts'
import { createLoginThrottle, type LoginThrottle } from './accounts/throttle.ts'
import type { Metrics } from './audit/metrics.ts'
import type { Config } from './config/load.ts'
import { resolveSecret } from './config/secret.ts'
import { GatewayError } from './error.ts'
import { guessDigest, parseGuessKey } from './limits/guess-key.ts'
import { noGuessKey, watchGuessKeys } from './limits/guess-key-watch.ts'
import type { NumbersFor } from './limits/numbers.ts'
import { createRateLimiter, type RateLimiter } from './limits/rate-limit.ts'
import { createSharedCounts } from './limits/shared-counts.ts'
import { processNow } from './limits/shared-numbers.ts'
import { createSharedRateLimiter } from './limits/shared-rate-limit.ts'
import { createSharedTries } from './limits/shared-tries.ts'
import type { LogEntry } from './postgres/state.ts'
import { connectRedis, redisTarget } from './redis-connection.ts'

/** What counts how often callers come and guess, in this process or in Redis. Outlives reloads, as its counts have to. */
export interface OpenLimits {
  readonly limiter: RateLimiter
  readonly throttle: LoginThrottle
  close(): Promise<void>
}

/**
 * @param around.numbers what workers count in, together
 * @throws {GatewayError} `config.secret`, `gateway.bad_guess_key`
 */
export async function composeLimits(
  { rate_limits: options }: Config,
  around: {
    readonly environment: NodeJS.ProcessEnv
    readonly log: (entry: LogEntry) => void
    readonly metrics: Metrics
    readonly numbers?: NumbersFor
  },
): Promise<OpenLimits> {
  const { environment, log, metrics } = around
  const counting =
    around.numbers === undefined ? { now: () => performance.now() } : { now: processNow, numbers: around.numbers }
  const here = { limiter: createRateLimiter(counting), throttle: createLoginThrottle(counting) }
  if (options === undefined) return { ...here, close: async () => {} }
  const secret = (reference: string): string => resolveSecret(reference, environment).value
  const key = options.guess_key === undefined ? undefined : parseGuessKey(secret(options.guess_key))
  const digest = key && guessDigest(key)
  const connection = await connectRedis(redisTarget(options, secret), {
    unavailable: (message, cause) => new GatewayError('gateway.rate_unknown', message, { cause }),
    answerMs: options.timeout,
  })
  metrics.sharedLimitsAway.set(0)
  const keys = watchGuessKeys(connection, digest?.('check of the key') ?? noGuessKey, isApart => {
    const message = 'nodes with another rate_limits.guess_key, or without one, count in the same Redis'
    const cause = new GatewayError('gateway.guess_keys_differ', `${message}: they and this one count guesses apart`)
    if (isApart) log({ level: 'warn', message, requestId: '-', cause })
    else log({ level: 'info', message: 'all nodes in Redis have the same guess_key again', requestId: '-' })
  })
  const isCountedHere = options.when_away === 'count_here'
  const counts = createSharedCounts(connection, {
    now: counting.now,
    tell(isAway) {
      metrics.sharedLimitsAway.set(isAway ? 1 : 0)
      const what = digest === undefined ? 'rate_limit' : 'rate_limit and guesses'
      const meanwhile = isCountedHere
        ? `each process counts for itself: ${what}`
        : `nobody is let through under rate_limit${digest === undefined ? '' : ', and each process counts guesses for itself'}`
      log({
        level: isAway ? 'error' : 'warn',
        message: isAway ? `Redis does not answer: ${meanwhile}` : `Redis counts for ${what} again`,
        requestId: '-',
      })
    },
  })
  return {
    limiter: createSharedRateLimiter(counts, { here: isCountedHere ? here.limiter : undefined, digest }),
    throttle:
      digest === undefined ? here.throttle : createSharedThrottle(here.throttle, createSharedTries(counts, digest)),
    async close() {
      await keys.close()
      await connection.close()
    },
  }
}
