import type { Config } from './config/load.ts'
import { resolveSecret } from './config/secret.ts'
import { GatewayError } from './error.ts'
import { createRateLimiter, type RateLimiter } from './limits/rate-limit.ts'
import { createSharedRateLimiter } from './limits/shared-rate-limit.ts'
import type { LogEntry } from './postgres/state.ts'
import { connectRedis, redisTarget } from './redis-connection.ts'

/** What counts for `rate_limit`, in this process or in Redis. Outlives reloads, as its counts have to. */
export interface OpenLimiter extends RateLimiter {
  close(): Promise<void>
}

/** @param here counts in this process. @throws {SecretError} `config.secret` */
export async function composeLimiter(
  { rate_limits: options }: Config,
  environment: NodeJS.ProcessEnv,
  log: (entry: LogEntry) => void,
  here = createRateLimiter({ now: () => performance.now() }),
): Promise<OpenLimiter> {
  const now = (): number => performance.now()
  if (options === undefined) return { ...here, close: async () => {} }
  const connection = await connectRedis(
    redisTarget(options, reference => resolveSecret(reference, environment).value),
    {
      unavailable: (message, cause) => new GatewayError('gateway.rate_unknown', message, { cause }),
      answerMs: options.timeout,
    },
  )
  const counts = options.when_away === 'count_here' ? here : undefined
  const shared = createSharedRateLimiter(connection, {
    here: counts,
    now,
    tell(isAway) {
      const meanwhile = counts === undefined ? 'nobody is let through' : 'each process counts for itself'
      log({
        level: isAway ? 'error' : 'warn',
        message: isAway ? `Redis does not answer: ${meanwhile} under rate_limit` : 'Redis counts for rate_limit again',
        requestId: '-',
      })
    },
  })
  return { ...shared, close: () => connection.close() }
}
