import { hash } from 'node:crypto'
import { type BucketLimit, createBuckets } from './bucket.ts'
import { networkOf, siteLimit, siteOf } from './network.ts'
import { createNumbers, type NumbersFor, numbersPurposes } from './numbers.ts'
import type { RateLimitOptions } from './option.ts'

/** One of a limit was asked for. */
export interface RateTaken {
  /** `limited`: nothing was taken. */
  readonly kind: 'permitted' | 'limited'
  /** How many are left at once. */
  readonly remaining: number
  /** Until all of them are there again. */
  readonly resetMs: number
  /** Until one is there; 0 when it was permitted. */
  readonly retryAfterMs: number
}

/** A limit of the configuration, for one door or one route. */
export interface RateLimit {
  /** For clients, in RateLimit header fields. */
  readonly name: string
  /** How many at once. */
  readonly burst: number
  /** In which as many come again. */
  readonly windowMs: number
  /**
   * Takes one.
   *
   * @param address of the caller, as text: it is counted with its network
   * @param caller who is counted instead, by whatever the limit goes by: any text
   * @throws (or rejects) when it cannot be known: the caller is refused
   */
  take(address: string, caller?: string): RateTaken | Promise<RateTaken>
}

/**
 * Counts for every limit of the gateway. Outlives reloads. The one here keeps the counts of one process; the one that several nodes share
 * (`shared-rate-limit.ts`) answers later.
 */
export interface RateLimiter {
  /**
   * @param scope what is limited, the same after a reload: `listener web`. A scope whose numbers change begins anew
   * @param name for clients
   */
  limit(scope: string, name: string, options: RateLimitOptions): RateLimit
}

/** The buckets from which a limit takes for an address, all or none. @param digest of what callers are counted by */
export function countedBy(
  scope: string,
  { per, rate, burst = rate.count }: RateLimitOptions,
  digest = (text: string): string => hash('sha256', text, 'base64url'),
) {
  const limit = { burst, intervalMs: rate.unitMs / rate.count }
  const prefix = `${scope} ${limit.burst} ${limit.intervalMs} `
  const by = typeof per === 'string' ? 'client' : Object.entries(per).flat().join(' ').toLowerCase()
  return {
    ...limit,
    of(address: string, caller?: string): readonly { readonly key: string; readonly limit: BucketLimit }[] {
      // A name may be long, and hold anything.
      if (caller !== undefined) return [{ key: `${prefix}${by} ${digest(caller)}`, limit }]
      const own = { key: prefix + networkOf(address), limit }
      const site = siteOf(address)
      return site === undefined ? [own] : [own, { key: prefix + site, limit: siteLimit(limit) }]
    },
  }
}

/** Whether callers say themselves by what they are counted: each request may say something else. */
const isChosen = (per: RateLimitOptions['per']): boolean =>
  typeof per === 'object' && ('header' in per || 'parameter' in per)

/**
 * @param options.now monotonic, in ms: `performance.now`
 * @param options.maxBuckets networks that are counted, of all limits together; the one that came longest ago makes room
 * @param options.numbers where they are counted: in this thread, when it is not given
 */
export function createRateLimiter({
  now,
  maxBuckets = numbersPurposes.rates,
  numbers = (_purpose, max) => createNumbers(max),
}: {
  readonly now: () => number
  readonly maxBuckets?: number
  readonly numbers?: NumbersFor
}): RateLimiter {
  // Apart, so that whoever invents values empties no bucket of an address or a client.
  const [rates, chosen] = [numbers('rates', maxBuckets), numbers('chosen rates', numbersPurposes['chosen rates'])]
  return {
    limit(scope, name, options) {
      const { burst, intervalMs, of } = countedBy(scope, options)
      const counts = isChosen(options.per) ? chosen : rates
      const buckets = createBuckets(counts)
      return {
        name,
        burst,
        windowMs: burst * intervalMs,
        take(address, caller) {
          const at = now()
          const counted = of(address, caller)
          return counts.alone(() => {
            const retryAfterMs = Math.max(...counted.map(({ key, limit }) => buckets.wait(key, limit, at)))
            if (retryAfterMs === 0) for (const { key, limit } of counted) buckets.take(key, limit, at)
            const left = counted.map(({ key, limit }) => buckets.left(key, limit, at))
            return {
              kind: retryAfterMs > 0 ? 'limited' : 'permitted',
              remaining: Math.min(...left.map(({ remaining }) => remaining)),
              resetMs: Math.max(...left.map(({ fullMs }) => fullMs)),
              retryAfterMs,
            }
          })
        },
      }
    },
  }
}
