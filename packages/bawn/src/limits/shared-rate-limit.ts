import type { BucketLimit } from './bucket.ts'
import { countedBy, type RateLimiter, type RateTaken } from './rate-limit.ts'
import type { SharedCounts } from './shared-counts.ts'

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

/**
 * Counts for all nodes with the same prefix together, in one step for each request.
 *
 * @param options.here counts while Redis does not answer; `undefined`: then nobody is let through
 * @param options.digest of what is counted by, for keys; SHA-256 when it is not given
 */
export function createSharedRateLimiter(
  counts: SharedCounts,
  {
    here,
    digest,
  }: { readonly here: RateLimiter | undefined; readonly digest?: ((text: string) => string) | undefined },
): RateLimiter {
  const take = async (
    counted: readonly { readonly key: string; readonly limit: BucketLimit }[],
  ): Promise<RateTaken> => {
    const keys = counted.map(({ key }) => `rate:${key}`)
    const numbers = counted.flatMap(({ limit }) => [limit.burst, limit.intervalMs])
    const [limited, remaining = 0, resetMs = 0, wait = 0] = await counts.run(takeScript, keys, numbers)
    return { kind: limited === 0 ? 'permitted' : 'limited', remaining, resetMs, retryAfterMs: Math.max(0, wait) }
  }
  return {
    limit(scope, name, options) {
      const limit = countedBy(scope, options, digest)
      const local = here?.limit(scope, name, options)
      return {
        name,
        burst: limit.burst,
        windowMs: limit.burst * limit.intervalMs,
        async take(address, caller) {
          if (local !== undefined && counts.isAway()) return local.take(address, caller)
          try {
            return await take(limit.of(address, caller))
          } catch (cause) {
            if (local === undefined) throw cause
            return local.take(address, caller)
          }
        },
      }
    },
  }
}
