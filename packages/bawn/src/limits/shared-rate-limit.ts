import type { RedisConnection } from '../redis-connection.ts'
import type { BucketLimit } from './bucket.ts'
import { countedBy, type RateLimiter, type RateTaken } from './rate-limit.ts'

// The same buckets as bucket.ts, one number each: when it would be full again. Redis has the clock, so those of nodes may differ.

/** KEYS buckets. ARGV burst and interval (ms) of each. @returns limited, remaining, reset and wait in ms */
const takeScript = `
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local behind, wait = {}, 0
for i = 1, #KEYS do
  local burst, interval = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  behind[i] = math.max(0, tonumber(redis.call('GET', KEYS[i]) or now) - now)
  -- A clock that was put back makes nobody wait longer than an empty bucket does.
  behind[i] = math.min(behind[i], burst * interval)
  wait = math.max(wait, math.ceil(behind[i] - (burst - 1) * interval - 0.001))
end
local remaining, reset = math.huge, 0
for i = 1, #KEYS do
  local burst, interval = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  if wait <= 0 then
    behind[i] = behind[i] + interval
    redis.call('SET', KEYS[i], string.format('%.3f', now + behind[i]), 'PX', math.ceil(behind[i]))
  end
  remaining = math.min(remaining, math.max(0, math.floor(burst - behind[i] / interval + 0.001)))
  reset = math.max(reset, behind[i])
end
return { wait > 0 and 1 or 0, remaining, math.ceil(reset), wait }`

/** After an answer that did not come: until Redis is asked again. */
const pauseMs = 1_000

/**
 * Counts in Redis (7 or newer) or Valkey, for all nodes with the same prefix together, in one atomic step for each request.
 *
 * @param options.here counts while Redis does not answer; `undefined`: then nobody is let through
 * @param options.tell hears when Redis begins to be away, and when it is back
 * @param options.now monotonic, in ms
 */
export function createSharedRateLimiter(
  connection: RedisConnection,
  {
    here,
    tell,
    now,
  }: {
    readonly here: RateLimiter | undefined
    readonly tell: (isAway: boolean) => void
    readonly now: () => number
  },
): RateLimiter {
  let awayUntil: number | undefined
  const take = async (
    counted: readonly { readonly key: string; readonly limit: BucketLimit }[],
  ): Promise<RateTaken> => {
    const keys = counted.map(({ key }) => connection.key(`rate:${key}`))
    const numbers = counted.flatMap(({ limit }) => [limit.burst, limit.intervalMs])
    const answer: unknown = await connection.run(client => client.eval(takeScript, keys.length, ...keys, ...numbers))
    const [limited, remaining, resetMs, wait] = Array.isArray(answer) ? answer.map(Number) : []
    if (limited === undefined || remaining === undefined || resetMs === undefined || wait === undefined) {
      throw new TypeError('Redis has counted something else')
    }
    return { kind: limited === 0 ? 'permitted' : 'limited', remaining, resetMs, retryAfterMs: Math.max(0, wait) }
  }
  return {
    limit(scope, name, options) {
      const limit = countedBy(scope, options)
      const local = here?.limit(scope, name, options)
      return {
        name,
        burst: limit.burst,
        windowMs: limit.burst * limit.intervalMs,
        async take(address, caller) {
          if (awayUntil !== undefined && now() < awayUntil && local !== undefined) return local.take(address, caller)
          try {
            const taken = await take(limit.of(address, caller))
            if (awayUntil !== undefined) tell(false)
            awayUntil = undefined
            return taken
          } catch (cause) {
            if (awayUntil === undefined) tell(true)
            awayUntil = now() + pauseMs
            if (local === undefined) throw cause
            return local.take(address, caller)
          }
        },
      }
    },
  }
}
