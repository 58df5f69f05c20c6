import { isAccountName } from '../accounts/store.ts'
import type { LoginAttempt, LoginThrottle } from '../accounts/throttle.ts'
import { readAnswerBody } from '../answer-body.ts'
import { clientBasic } from '../oauth.ts'
import { createTokenCache } from '../tokens/token-cache.ts'
import { bearerChallenge, readBearer } from './bearer.ts'
import { AuthnError } from './error.ts'
import type { HttpMechanism, HttpOutcome } from './http-mechanism.ts'
import { createIdentity, type Outcome, type RejectionReason } from './identity.ts'
import { isJsonObject, type JsonObject, parseJson } from './json.ts'
import { claimAt, readAudience, readDate, readRoles } from './jwt-claims.ts'
import type { IntrospectionOptions } from './option.ts'

export interface IntrospectionSurroundings {
  readonly fetch: typeof fetch
  /** ms since 1970 */
  readonly clock: () => number
  /** Of the endpoint; resolved from its reference. */
  readonly clientSecret: string
  readonly throttle: LoginThrottle
}

type PermittedAttempt = Extract<LoginAttempt, { readonly kind: 'permitted' }>

interface Answer {
  readonly outcome: Outcome
  /** ms since 1970 */
  readonly until: number
}

const maxAnswerBytes = 65_536
/** Questions under way at once; more are "cannot decide". */
const maxPending = 256
/** Of them, about tokens that were never active here: who invents tokens leaves room for those who have one. */
const maxUnknownPending = 128
/** A token that is not active now is asked about again soon: it may just have been made. */
const inactiveMs = 5_000

/**
 * Bearer tokens that their issuer is asked about (RFC 7662). Answers are kept for a short while by the token's digest; for one token there
 * is never more than one question under way.
 *
 * Whoever invents tokens would make us ask for each. So a question takes a try of the caller's network, which is given back when the token
 * is active. A token that was active before is asked about again without one, whatever others invent.
 */
export function createIntrospectionMechanism(
  options: IntrospectionOptions,
  surroundings: IntrospectionSurroundings,
): HttpMechanism {
  const { clock, throttle } = surroundings
  /** Also what is no longer fresh: it has been active. Apart from the others, so that nothing invented takes its place. */
  const active = createTokenCache<Answer>({ maxEntries: 10_000, maxWeight: 16 * 1_048_576 })
  const inactive = createTokenCache<Answer>({ maxEntries: 10_000, maxWeight: 16 * 1_048_576 })
  const pending = new Map<string, Promise<Outcome>>()
  let unknownPending = 0
  const authorization = clientBasic(options.client_id, surroundings.clientSecret)

  const ask = async (token: string, digest: string): Promise<Outcome> => {
    const askedAt = clock()
    let body: Uint8Array
    try {
      body = await post(options, surroundings.fetch, authorization, token)
    } catch (cause) {
      const detail = cause instanceof Error ? cause.message : 'unknown'
      throw new AuthnError('authn.introspection_unreachable', `the introspection endpoint cannot be asked: ${detail}`, {
        cause,
      })
    }
    const answer = parseJson(body)
    if (!isJsonObject(answer) || typeof answer['active'] !== 'boolean') {
      throw new AuthnError('authn.introspection_unreachable', 'the introspection endpoint answers with something else')
    }
    const outcome = judge(answer, options, clock())
    if (outcome.kind === 'identified') {
      const until = Math.min(askedAt + options.cache, outcome.identity.expiresAt ?? Infinity)
      inactive.delete(digest)
      active.set(digest, { outcome, until }, 512 + 4 * body.length)
    } else {
      active.delete(digest)
      inactive.set(digest, { outcome, until: askedAt + Math.min(options.cache, inactiveMs) }, 512)
    }
    return outcome
  }

  const askWithin = (token: string, digest: string, attempt: PermittedAttempt | undefined): Promise<Outcome> => {
    if (pending.size >= maxPending || (attempt !== undefined && unknownPending >= maxUnknownPending)) {
      attempt?.undecided()
      throw new AuthnError(
        'authn.introspection_unreachable',
        `${pending.size} questions wait for the introspection endpoint`,
      )
    }
    if (attempt !== undefined) unknownPending += 1
    const question = ask(token, digest)
      .then(
        outcome => {
          if (outcome.kind === 'identified') attempt?.succeeded()
          return outcome
        },
        cause => {
          attempt?.undecided()
          throw cause
        },
      )
      .finally(() => {
        pending.delete(digest)
        if (attempt !== undefined) unknownPending -= 1
      })
    pending.set(digest, question)
    return question
  }

  const challenges = {
    absent: bearerChallenge(options.realm, 'absent'),
    rejected: bearerChallenge(options.realm, 'rejected'),
  }
  return {
    name: 'introspection',
    carries: { headers: ['authorization'], query: [] },
    authenticate(credentials) {
      const token = readBearer(credentials)
      if (token === undefined) return { kind: 'absent' }
      if (token === 'malformed') return { kind: 'rejected', reason: 'malformed' }
      const digest = active.digestOf(token)
      const wasActive = active.get(digest)
      const known = wasActive ?? inactive.get(digest)
      if (known !== undefined && clock() < known.until) return known.outcome
      const underWay = pending.get(digest)
      if (underWay !== undefined) return underWay
      if (wasActive !== undefined) return askWithin(token, digest, undefined)
      const attempt = throttle.attemptNameless('introspection', credentials.address)
      const ask = (taken: LoginAttempt): HttpOutcome | Promise<HttpOutcome> =>
        taken.kind === 'throttled' ? taken : askWithin(token, digest, taken)
      if (!(attempt instanceof Promise)) return ask(attempt)
      return attempt.then(taken => {
        // Asked for meanwhile.
        const running = pending.get(digest)
        if (running === undefined || taken.kind === 'throttled') return ask(taken)
        taken.undecided()
        return running
      })
    },
    challenge: (_credentials, outcome) => challenges[outcome],
  }
}

async function post(
  options: IntrospectionOptions,
  fetchUrl: typeof fetch,
  authorization: string,
  token: string,
): Promise<Uint8Array> {
  const response = await fetchUrl(options.url, {
    method: 'POST',
    // Where a redirect leads, nobody wrote into the configuration; and it would get the token.
    redirect: 'error',
    headers: { authorization, accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({ token, token_type_hint: 'access_token' }).toString(),
    signal: AbortSignal.timeout(options.timeout),
  })
  return readAnswerBody(response, maxAnswerBytes)
}

/** What an answer proves (RFC 7662 section 2.2), under the checks that we would make of a token itself. */
function judge(answer: JsonObject, options: IntrospectionOptions, now: number): Outcome {
  const rejected = (reason: RejectionReason): Outcome => ({ kind: 'rejected', reason })
  if (answer['active'] !== true) return rejected('untrusted')
  const exp = answer['exp'] === undefined ? Number.POSITIVE_INFINITY : readDate(answer['exp'])
  const nbf = answer['nbf'] === undefined ? Number.NEGATIVE_INFINITY : readDate(answer['nbf'])
  if (exp === undefined || nbf === undefined) return rejected('malformed')
  if (now >= exp) return rejected('expired')
  if (now < nbf) return rejected('not-yet-valid')
  if (options.issuer !== undefined && answer['iss'] !== options.issuer) return rejected('untrusted')
  const audience = readAudience(answer['aud']) ?? []
  if (options.audience !== undefined && !options.audience.some(ours => audience.includes(ours))) {
    return rejected('wrong-audience')
  }
  const id = claimAt(answer, options.id_claim)
  if (typeof id !== 'string' || !isAccountName(id)) return rejected('unknown-user')
  const identity = createIdentity({
    id,
    roles: readRoles(claimAt(answer, options.roles_claim)),
    claims: answer,
    clientId: undefined,
    mechanism: 'introspection',
    source: 'introspection',
    expiresAt: Number.isFinite(exp) ? exp : undefined,
  })
  return { kind: 'identified', identity }
}
