import { bearerToken } from '../oauth.ts'
import type { OutboundCredentials, ProofHeader } from './credentials.ts'
import { OutboundError } from './error.ts'

export interface FetchedToken {
  readonly token: string
  /** Seconds from when it was asked for; `undefined`: nobody says. */
  readonly lifetime: number | undefined
}

interface HeldToken {
  readonly proof: ProofHeader
  /** ms since 1970: from then on another is fetched beside the requests. */
  readonly renewAt: number
  /** ms since 1970 */
  readonly until: number
}

/** A token whose end is not told is asked for anew after this: RFC 6749 section 5.1 leaves it open. */
const untoldLifetimeSeconds = 300
/** A token that ends sooner than this after now is not used for a request that takes its time. */
const marginMs = 5_000
/** After a failure nobody is asked for so long. */
const pauseMs = 1_000

/**
 * A bearer token that somebody gives the gateway: kept, renewed before it ends while the old one goes on serving, fetched once however many
 * requests wait for it, and fetched anew when the upstream refuses it.
 *
 * @param from who gives it, for messages
 * @param fetch bounded in time and size by whoever makes it; what it rejects with, or a token that can be none, is
 *   `outbound.token_unavailable`
 * @param clock ms since 1970
 */
export function createHeldToken({
  header,
  from,
  fetch,
  clock,
}: {
  readonly header: string
  readonly from: string
  readonly fetch: () => Promise<FetchedToken>
  readonly clock: () => number
}): OutboundCredentials {
  let held: HeldToken | undefined
  let underWay: Promise<HeldToken> | undefined
  let failedAt = Number.NEGATIVE_INFINITY
  let failure: unknown
  const unavailable = (cause: unknown): OutboundError =>
    new OutboundError('outbound.token_unavailable', `${from} gives no token`, { cause })

  const fetchOnce = (): Promise<HeldToken> => {
    const askedAt = clock()
    underWay ??= fetch()
      .then(fetched => {
        held = keep(header, fetched, askedAt)
        return held
      })
      .catch((cause: unknown) => {
        failedAt = clock()
        failure = cause
        throw unavailable(cause)
      })
      .finally(() => {
        underWay = undefined
      })
    return underWay
  }
  const mayAsk = (): boolean => clock() - failedAt >= pauseMs

  return {
    headers: [header.toLowerCase()],
    proof() {
      const now = clock()
      if (held !== undefined && now < held.until) {
        // The token that is there serves until it ends: what goes wrong here shows when it has.
        if (now >= held.renewAt && mayAsk()) void fetchOnce().catch(() => {})
        return held.proof
      }
      if (underWay === undefined && !mayAsk()) throw unavailable(failure)
      return fetchOnce().then(({ proof }) => proof)
    },
    refused(proof) {
      // Somebody else may have been refused before, and have fetched another.
      if (held?.proof === proof) held = undefined
      return true
    },
    close: () => {
      held = undefined
    },
  }
}

function keep(header: string, { token, lifetime }: FetchedToken, askedAt: number): HeldToken {
  if (!bearerToken.test(token)) throw new Error('the answer has no access_token')
  const lifetimeMs = (lifetime ?? untoldLifetimeSeconds) * 1000
  const until = askedAt + Math.max(1_000, lifetimeMs - Math.min(marginMs, lifetimeMs / 5))
  return {
    proof: Object.freeze({ name: header, value: `Bearer ${token}` }),
    renewAt: askedAt + Math.min(lifetimeMs * 0.8, until - askedAt),
    until,
  }
}
