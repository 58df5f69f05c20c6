import type { RateLimit, RateTaken } from '../limits/rate-limit.ts'
import type { Turn } from './turn.ts'

/**
 * Takes one of a rate limit. Every answer to the request then says what is left of it, by the RateLimit and RateLimit-Policy fields
 * (draft-ietf-httpapi-ratelimit-headers-10); what is over the limit is answered here, 429 with Retry-After.
 *
 * @param caller who is counted, in place of the address
 * @returns whether the request may go on; at once, where the limit is counted here
 */
export function withinRate(
  turn: Turn,
  limit: RateLimit | undefined,
  caller?: string | undefined,
): boolean | Promise<boolean> {
  if (limit === undefined) return true
  const taken = limit.take(turn.request.remoteAddress, caller)
  return taken instanceof Promise ? taken.then(late => settle(turn, limit, late)) : settle(turn, limit, taken)
}

function settle(turn: Turn, { name, burst, windowMs }: RateLimit, taken: RateTaken): boolean {
  const seconds = (ms: number): number => Math.max(1, Math.ceil(ms / 1000))
  turn.headers.push(
    ...['RateLimit-Policy', `"${name}";q=${burst};w=${seconds(windowMs)}`],
    ...['RateLimit', `"${name}";r=${taken.remaining};t=${Math.ceil(taken.resetMs / 1000)}`],
  )
  if (taken.kind === 'permitted') return true
  turn.refuse({
    code: 'http.rate_limited',
    rule: `rate limit of the ${name}`,
    decision: 'deny',
    headers: ['Retry-After', String(seconds(taken.retryAfterMs))],
  })
  return false
}
