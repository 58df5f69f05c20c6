import type { HttpMechanism, HttpOutcome } from '../authn/http-mechanism.ts'
import type { Identity } from '../authn/identity.ts'
import { type ErrorCode, GatewayError } from '../error.ts'
import { bringsCredential, type Carriers, type RequestCredentials, wantsNoChallenge } from './credentials.ts'

/** What the door does with a caller's credential. */
export type Authentication =
  | {
      readonly kind: 'identified'
      readonly identity: Identity
      /** What every answer to this request carries, flat. */
      readonly headers?: readonly string[]
    }
  /** No credential. @property foreignPage there was a cookie, and a page of another origin made the browser send it */
  | { readonly kind: 'absent'; readonly foreignPage: boolean }
  | RefusedAuthentication

export interface RefusedAuthentication {
  readonly kind: 'refused'
  readonly code: ErrorCode
  /** Who refused: a mechanism, for the audit trail. */
  readonly mechanism: string | undefined
  /** For the audit trail only: callers get one text for every reason. */
  readonly reason: string | undefined
  readonly claimedName: string | undefined
  /** Flat. */
  readonly headers: readonly string[]
  readonly cause: unknown
}

const absent: Authentication = { kind: 'absent', foreignPage: false }
const foreign: Authentication = { kind: 'absent', foreignPage: true }

/**
 * Asks the mechanisms in their order; the first that has an opinion decides, and its refusal is final.
 *
 * @param mechanisms of the host rule
 * @param carriers of the whole configuration
 * @returns at once when every mechanism that was asked answered at once
 */
export function authenticate(
  credentials: RequestCredentials,
  mechanisms: readonly HttpMechanism[],
  carriers: Carriers,
): Authentication | Promise<Authentication> {
  // RFC 9110 section 11.6.2: one. Which of two would be judged here and which at the upstream is nobody's to guess.
  if (credentials.authorization.length > 1) return refused('http.bad_authorization', undefined, 'malformed')
  return askFrom(0, credentials, mechanisms, carriers, false)
}

function askFrom(
  first: number,
  credentials: RequestCredentials,
  mechanisms: readonly HttpMechanism[],
  carriers: Carriers,
  sawForeign: boolean,
): Authentication | Promise<Authentication> {
  let isForeign = sawForeign
  for (let at = first; at < mechanisms.length; at++) {
    const mechanism = mechanisms[at]
    if (mechanism === undefined) break
    // Whoever brings a credential, wherever it stands, wants to be somebody: nobody is made the default user with a wrong one.
    if (mechanism.name === 'trust' && bringsCredential(credentials, carriers)) continue
    let outcome: HttpOutcome | Promise<HttpOutcome>
    try {
      outcome = mechanism.authenticate(credentials)
    } catch (cause) {
      return undecided(mechanism, cause)
    }
    if (outcome instanceof Promise) {
      return outcome.then(
        late =>
          settle(late, mechanism, credentials, mechanisms) ??
          askFrom(at + 1, credentials, mechanisms, carriers, isForeign || isFromForeignPage(late)),
        cause => undecided(mechanism, cause),
      )
    }
    const settled = settle(outcome, mechanism, credentials, mechanisms)
    if (settled !== undefined) return settled
    if (isFromForeignPage(outcome)) isForeign = true
  }
  if (!bringsCredential(credentials, carriers)) return isForeign ? foreign : absent
  // A credential that nobody here judges is not passed over in silence: its owner believes to be identified.
  if (mechanisms.length === 0) return refused('http.refused_here', undefined, undefined)
  return refused('authn.failed', undefined, 'untrusted', challengesOf(credentials, mechanisms, 'every'))
}

function isFromForeignPage(outcome: HttpOutcome): boolean {
  return outcome.kind === 'absent' && outcome.foreignPage === true
}

/** `undefined`: the next one is asked. */
function settle(
  outcome: HttpOutcome,
  mechanism: HttpMechanism,
  credentials: RequestCredentials,
  mechanisms: readonly HttpMechanism[],
): Authentication | undefined {
  switch (outcome.kind) {
    case 'identified':
      return outcome
    case 'absent':
      return undefined
    case 'rejected': {
      const headers = challengesOf(credentials, mechanisms, mechanism)
      return { ...refused('authn.failed', mechanism.name, outcome.reason, headers), claimedName: outcome.claimedName }
    }
    case 'throttled': {
      const seconds = Math.max(1, Math.ceil(outcome.retryAfterMs / 1000))
      const headers = ['Retry-After', String(seconds)]
      return { ...refused('authn.throttled', mechanism.name, 'throttled', headers), claimedName: outcome.claimedName }
    }
  }
}

/**
 * A WWW-Authenticate line for each challenge, in the order of the rule: never joined by commas, which clients read in different ways. None
 * where the request asks for none.
 *
 * @param rejectedBy whose credential was bad; `every`: one that none of them knows; `undefined`: there was none
 */
export function challengesOf(
  credentials: RequestCredentials,
  mechanisms: readonly HttpMechanism[],
  rejectedBy: HttpMechanism | 'every' | undefined,
): readonly string[] {
  if (wantsNoChallenge(credentials)) return []
  const lines: string[] = []
  for (const mechanism of mechanisms) {
    const isBad = rejectedBy === 'every' || rejectedBy === mechanism
    const challenge = mechanism.challenge(credentials, isBad ? 'rejected' : 'absent')
    const values = typeof challenge === 'string' ? [challenge] : (challenge ?? [])
    for (const value of values) {
      // api-key and basic may both ask for Basic: once is enough.
      if (!lines.includes(value)) lines.push('WWW-Authenticate', value)
    }
  }
  return lines
}

export function refused(
  code: ErrorCode,
  mechanism: string | undefined,
  reason: string | undefined,
  headers: readonly string[] = [],
): RefusedAuthentication {
  return { kind: 'refused', code, mechanism, reason, claimedName: undefined, headers, cause: undefined }
}

/** It cannot be decided: 503. @param mechanism that could not */
export function undecided({ name }: Pick<HttpMechanism, 'name'>, cause: unknown): RefusedAuthentication {
  // The mechanism says more where it can: that the issuer is away.
  const code = cause instanceof GatewayError && cause.spec.status === 503 ? cause.code : 'http.cannot_authenticate'
  return { ...refused(code, name, undefined), cause }
}
