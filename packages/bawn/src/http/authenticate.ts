import type { Identity, Outcome, RejectionReason } from '../authn/identity.ts'
import { type ErrorCode, GatewayError } from '../error.ts'
import type { BearerMechanism } from './state.ts'

/** What the door does with a caller's credential. */
export type Authentication =
  | { readonly kind: 'identified'; readonly identity: Identity }
  /** No credential. */
  | { readonly kind: 'absent' }
  | {
      readonly kind: 'refused'
      readonly code: ErrorCode
      /** For the audit trail only: callers get one text for every reason. */
      readonly reason: RejectionReason | undefined
      readonly challenge: string | undefined
      readonly cause: unknown
    }

/** RFC 6750 section 3: no error code when the request has no credential at all. */
export const bearerChallenge = 'Bearer realm="bawn"'
const invalidToken = `${bearerChallenge}, error="invalid_token", error_description="The token is not accepted"`
const invalidRequest = `${bearerChallenge}, error="invalid_request"`
export const insufficientScope = `${bearerChallenge}, error="insufficient_scope"`

/** RFC 6750 section 2.1. The scheme in any case, as every scheme (RFC 9110 section 11.1). */
const bearer = /^bearer +([A-Za-z0-9._~+/-]+=*)$/i

/**
 * Identifies a caller by `Authorization: Bearer`; a token in the query or in a body is not looked for (RFC 6750 section 2.3 says why).
 *
 * @param values of all Authorization headers
 * @param mechanism `undefined` when tokens may not be used here
 * @returns a promise only where the mechanism has to wait: a token that it knows takes no turn of the event loop
 */
export function authenticate(
  values: readonly string[],
  mechanism: BearerMechanism | undefined,
): Authentication | Promise<Authentication> {
  const value = values[0]
  if (value === undefined) return { kind: 'absent' }
  if (values.length > 1) return refused('http.bad_authorization', 'malformed', invalidRequest)
  // A credential that cannot be judged here is not passed over in silence: its owner believes to be identified.
  if (mechanism === undefined) return refused('http.refused_here', undefined, undefined)
  const token = bearer.exec(value)?.[1]
  if (token === undefined) return refused('authn.failed', 'malformed', invalidToken)
  try {
    const outcome = mechanism.authenticate(token)
    return outcome instanceof Promise ? outcome.then(judged, undecided) : judged(outcome)
  } catch (cause) {
    return undecided(cause)
  }
}

function judged(outcome: Outcome): Authentication {
  switch (outcome.kind) {
    case 'identified':
      return outcome
    case 'absent':
      return refused('authn.failed', 'untrusted', invalidToken)
    case 'rejected':
      return refused('authn.failed', outcome.reason, invalidToken)
  }
}

function undecided(cause: unknown): Authentication {
  // The mechanism says more where it can: that the issuer is away.
  const code = cause instanceof GatewayError && cause.spec.status === 503 ? cause.code : 'http.cannot_authenticate'
  return { kind: 'refused', code, reason: undefined, challenge: undefined, cause }
}

function refused(code: ErrorCode, reason: RejectionReason | undefined, challenge: string | undefined): Authentication {
  return { kind: 'refused', code, reason, challenge, cause: undefined }
}
