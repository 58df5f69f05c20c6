import { isAccountName } from '../../accounts/store.ts'
import { copyExact } from '../exact-claims.ts'
import { createIdentity, type Outcome, type RejectionReason } from '../identity.ts'
import type { IssuerOptions } from '../issuer-option.ts'
import { isJsonObject, type Json, type JsonObject } from '../json.ts'
import type { JwtMechanism } from '../jwt.ts'
import { checkClaims, readAudience, readDate } from '../jwt-claims.ts'

/** Whose tokens, and for whom they have to be. */
export interface TokenParties {
  readonly jwt: Pick<JwtMechanism, 'claimsOf'>
  /** The issuer's name in the configuration. */
  readonly name: string
  readonly issuer: IssuerOptions
  readonly clientId: string
  /** ms since 1970 */
  readonly clock: () => number
}

const idTokenTyps: readonly string[] = ['jwt']
/** Recommended by OpenID Connect Back-Channel Logout section 2.4; many providers still say JWT. */
const logoutTokenTyps: readonly string[] = ['logout+jwt', 'jwt']
const logoutEvent = 'http://schemas.openid.net/event/backchannel-logout'

/** What the ID token alone says, whatever userinfo has under these names. */
const ofTheToken = new Set(['iss', 'sub', 'aud', 'azp', 'exp', 'iat', 'nbf', 'nonce', 'auth_time', 'acr', 'amr', 'sid'])

/**
 * The identity that an ID token proves, made by the options of its issuer as from a bearer token (OpenID Connect Core section 3.1.3.7).
 *
 * @param nonce of the flow
 * @param userinfo claims of the userinfo endpoint; what they have goes before the ID token's
 * @returns identified or rejected
 * @throws {AuthnError} (rejects with) `authn.issuer_unreachable`
 */
export async function judgeIdToken(
  token: string,
  nonce: string,
  userinfo: JsonObject | undefined,
  { jwt, name, issuer, clientId, clock }: TokenParties,
): Promise<Exclude<Outcome, { readonly kind: 'absent' }>> {
  const signed = await jwt.claimsOf(token, name, idTokenTyps)
  if (signed.kind === 'rejected') return signed
  const { claims } = signed
  if (claims['nonce'] !== nonce) return rejected('untrusted')
  const { azp } = claims
  // Section 3.1.3.7, 4 and 5.
  if (azp !== undefined && azp !== clientId) return rejected('wrong-audience')
  if (azp === undefined && (readAudience(claims['aud'])?.length ?? 0) > 1) return rejected('wrong-audience')
  // Section 5.3.2: without this, a userinfo answer could be somebody else's.
  if (userinfo !== undefined && userinfo['sub'] !== claims['sub']) return rejected('name-mismatch')
  const reading = checkClaims(merged(claims, userinfo), name, { ...issuer, audience: [clientId] }, clock())
  if (reading.kind === 'rejected') return reading
  return { kind: 'identified', identity: createIdentity({ ...reading.identity, mechanism: 'oidc' }) }
}

function merged(claims: JsonObject, userinfo: JsonObject | undefined): JsonObject {
  if (userinfo === undefined) return claims
  const all: Record<string, Json> = Object.create(null)
  for (const [from, has] of [
    [claims, (name: string) => !(name in userinfo) || ofTheToken.has(name)],
    [userinfo, (name: string) => !ofTheToken.has(name)],
  ] as const) {
    for (const [name, value] of Object.entries(from)) {
      if (!has(name)) continue
      all[name] = value
      copyExact(from, all, name)
    }
  }
  return Object.freeze(all)
}

export type LogoutReading =
  | { readonly kind: 'accepted'; readonly subject: string }
  | { readonly kind: 'rejected'; readonly reason: RejectionReason }

/** How old a logout token may be, and how far ahead its clock. */
export const logoutAgeMs = 120_000

/**
 * Whose sessions an issuer ends (OpenID Connect Back-Channel Logout section 2.6). A token with `sid` alone names nobody that we know. One
 * that comes twice ends nothing more: it is believed for two minutes only, so its `jti` is not remembered.
 *
 * @throws {AuthnError} (rejects with) `authn.issuer_unreachable`
 */
export async function judgeLogoutToken(
  token: string,
  { jwt, name, issuer, clientId, clock }: TokenParties,
): Promise<LogoutReading> {
  const signed = await jwt.claimsOf(token, name, logoutTokenTyps)
  if (signed.kind === 'rejected') return signed
  const { iss, aud, iat, exp, jti, events, sub } = signed.claims
  if (iss !== issuer.issuer) return rejected('untrusted')
  if (readAudience(aud)?.includes(clientId) !== true) return rejected('wrong-audience')
  // What has a nonce is an ID token.
  if ('nonce' in signed.claims || !isJsonObject(events) || !isJsonObject(events[logoutEvent])) {
    return rejected('untrusted')
  }
  const issuedAt = readDate(iat)
  const expiresAt = exp === undefined ? Number.POSITIVE_INFINITY : readDate(exp)
  if (issuedAt === undefined || expiresAt === undefined || typeof jti !== 'string' || jti === '') {
    return rejected('malformed')
  }
  const age = clock() - issuedAt
  if (age > logoutAgeMs + issuer.leeway || clock() >= expiresAt + issuer.leeway) return rejected('expired')
  if (age < -logoutAgeMs - issuer.leeway) return rejected('not-yet-valid')
  if (typeof sub !== 'string' || !isAccountName(sub)) return rejected('unknown-user')
  return { kind: 'accepted', subject: sub }
}

function rejected(reason: RejectionReason): { readonly kind: 'rejected'; readonly reason: RejectionReason } {
  return { kind: 'rejected', reason }
}
