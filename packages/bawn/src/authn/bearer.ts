import { bearerToken } from '../oauth.ts'
import { afterScheme, quotedString } from './auth-params.ts'
import { decodeBase64Url } from './base64url.ts'
import type { HttpCredentials, HttpMechanism, HttpOutcome } from './http-mechanism.ts'
import type { Outcome } from './identity.ts'
import type { JwtHttpOptions } from './option.ts'
import { isFromOwnPage } from './own-page.ts'

/** Three or five parts: what a JWS or a JWE in compact form looks like. */
export const compactForm = /^[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*){2}(?:\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*)?$/

/** The token of `Authorization: Bearer`; `undefined`: another scheme, or no header; `malformed`: nothing that could be a token. */
export function readBearer({ authorization }: HttpCredentials): string | 'malformed' | undefined {
  const header = authorization[0]
  const token = header === undefined ? undefined : afterScheme(header, 'bearer')
  if (token === undefined) return undefined
  // No token is called so: the word has no dots.
  return bearerToken.test(token) && token !== 'malformed' ? token : 'malformed'
}

/** RFC 6750 section 3: no error code when the request has no credential at all, one text for every reason when it has one. */
export function bearerChallenge(realm: string, outcome: 'absent' | 'rejected'): string {
  const challenge = `Bearer realm=${quotedString(realm)}`
  return outcome === 'absent'
    ? challenge
    : `${challenge}, error="invalid_token", error_description="The token is not accepted"`
}

/** RFC 6750 section 3.1: the token is good and permits too little. @param scope what it would have to permit, where that is known */
export function insufficientScope(scope?: string): string {
  const challenge = 'Bearer realm="bawn", error="insufficient_scope"'
  return scope === undefined ? challenge : `${challenge}, scope=${quotedString(scope)}`
}

/** What this needs of `authn/jwt.ts`. A throw or a rejection means "cannot decide": 503. */
export interface TokenJudge {
  authenticate(token: string): Outcome | Promise<Outcome>
  /** What it said of this very text before, where that still holds. */
  recall?(token: string): Outcome | undefined
}

/**
 * A JWT in `Authorization: Bearer`, or in the cookie or header that the options name. A token in the query or in a body is not looked for
 * (RFC 6750 section 2.3 says why).
 *
 * @param leavesOpaque whether another mechanism judges bearer tokens that have not the form of a JWT
 */
export function createBearerMechanism(judge: TokenJudge, options: JwtHttpOptions, leavesOpaque = false): HttpMechanism {
  const header = options.header?.toLowerCase()
  const { cookie } = options
  const challenges = {
    absent: bearerChallenge(options.realm, 'absent'),
    rejected: bearerChallenge(options.realm, 'rejected'),
  }
  const otherPlace = (credentials: HttpCredentials): string | 'malformed' | 'foreign' | undefined => {
    if (header !== undefined) {
      const [value, second] = credentials.header(header)
      if (second !== undefined) return 'malformed'
      const bare = value === undefined ? undefined : (afterScheme(value, 'bearer') ?? value)
      if (bare !== undefined) return bearerToken.test(bare) ? bare : 'malformed'
    }
    const value = cookie === undefined ? undefined : credentials.cookie(cookie)
    // Browsers send it for pages of other sites too: what such a page changes is not its owner's doing.
    if (value !== undefined && !isFromOwnPage(credentials, ['same-origin', 'same-site'])) return 'foreign'
    return value === undefined || bearerToken.test(value) ? value : 'malformed'
  }
  /** What was verified has the form of a token: looking at its form again costs more than finding it. */
  const recalled = ({ authorization }: HttpCredentials): Outcome | undefined => {
    const text = authorization[0] === undefined ? undefined : afterScheme(authorization[0], 'bearer')
    return text === undefined || options.base64 ? undefined : judge.recall?.(text)
  }
  return {
    name: 'jwt',
    carries: {
      headers: header === undefined ? ['authorization'] : ['authorization', header],
      query: [],
      cookies: cookie === undefined ? [] : [cookie],
    },
    authenticate(credentials): HttpOutcome | Promise<HttpOutcome> {
      const known = recalled(credentials)
      if (known !== undefined) return found(known)
      // Authorization goes first: a browser sends its cookies by itself, and the header by intent.
      const token = credentials.authorization.length > 0 ? readBearer(credentials) : otherPlace(credentials)
      if (token === undefined) return absent
      if (token === 'malformed') return malformed
      if (token === 'foreign') return foreign
      const bare = options.base64 ? unwrap(token) : token
      if (leavesOpaque && !compactForm.test(bare)) return absent
      const outcome = judge.authenticate(bare)
      return outcome instanceof Promise ? outcome.then(found) : found(outcome)
    },
    challenge: (_credentials, outcome) => challenges[outcome],
  }
}

/** What is inside, where that has the form of a token; else what came: whoever judges it knows what it is worth. */
function unwrap(token: string): string {
  const digits = token
    .replace(/={0,2}$/, '')
    .replaceAll('+', '-')
    .replaceAll('/', '_')
  const bare = decodeBase64Url(digits)?.toString('latin1') ?? ''
  return compactForm.test(bare) ? bare : token
}

const absent: HttpOutcome = { kind: 'absent' }
const foreign: HttpOutcome = { kind: 'absent', foreignPage: true }
const malformed: HttpOutcome = { kind: 'rejected', reason: 'malformed' }

/** There was a token: whoever does not know it rejects it. */
function found(outcome: Outcome): HttpOutcome {
  return outcome.kind === 'absent' ? { kind: 'rejected', reason: 'untrusted' } : outcome
}
