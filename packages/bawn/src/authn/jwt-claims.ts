import { isAccountName, isRoleName } from '../accounts/store.ts'
import { createIdentity, type Identity, type RejectionReason } from './identity.ts'
import type { IssuerOptions } from './issuer-option.ts'
import type { Json, JsonObject } from './json.ts'

export type ClaimsReading =
  | {
      readonly kind: 'accepted'
      readonly identity: Identity
      /** ms since 1970, leeway included: from when and until before when the token is good; ±Infinity without a limit. */
      readonly notBefore: number
      readonly expiresAt: number
    }
  | { readonly kind: 'rejected'; readonly reason: RejectionReason }

/** A token may say that it was made this much ahead of our clock, leeway apart: `iat` is for the record, not a condition. */
const issuedAheadMs = 60_000

/** Seconds; a Date holds no more. */
const maxNumericDate = 8_640_000_000_000

/**
 * Judges the claims of a token whose signature is good (RFC 7519 section 4.1). `exp` is required unless the issuer's options say
 * otherwise: a token that never ends cannot be taken back.
 *
 * @param source the issuer's name in the configuration
 * @param now ms since 1970
 */
export function checkClaims(claims: JsonObject, source: string, options: IssuerOptions, now: number): ClaimsReading {
  if (claims['iss'] !== options.issuer) return rejected('untrusted')
  const audience = readAudience(claims['aud'])
  if (audience === undefined) return rejected('malformed')
  const isNamed = (ours: string): boolean => audience.includes(ours)
  if (!(options.audience_match === 'all' ? options.audience.every(isNamed) : options.audience.some(isNamed)))
    return rejected('wrong-audience')

  const isEndless = claims['exp'] === undefined && options.insecure_without_exp
  const exp = isEndless ? Infinity : readDate(claims['exp'])
  const nbf = claims['nbf'] === undefined ? -Infinity : readDate(claims['nbf'])
  const iat = claims['iat'] === undefined ? -Infinity : readDate(claims['iat'])
  if (exp === undefined || nbf === undefined || iat === undefined || iat > exp) return rejected('malformed')
  const expiresAt = exp + options.leeway
  const notBefore = Math.max(nbf - options.leeway, iat - options.leeway - issuedAheadMs)
  if (now >= expiresAt) return rejected('expired')
  if (now < notBefore) return rejected('not-yet-valid')

  const id = claimAt(claims, options.id_claim)
  if (typeof id !== 'string' || !isAccountName(id)) return rejected('malformed')
  const identity = createIdentity({
    id,
    roles: [...readRoles(claimAt(claims, options.roles_claim)), ...options.fixed_roles],
    claims,
    clientId: undefined,
    mechanism: 'jwt',
    source,
    expiresAt: isEndless ? undefined : expiresAt,
  })
  return { kind: 'accepted', identity, notBefore, expiresAt }
}

/** `undefined` for what is no audience; a token without one is for nobody. */
export function readAudience(aud: Json | undefined): readonly string[] | undefined {
  if (aud === undefined) return []
  if (typeof aud === 'string') return [aud]
  return isList(aud) && aud.every(item => typeof item === 'string') ? aud : undefined
}

/** NumericDate (RFC 7519 section 2) as ms; fractions are allowed. */
export function readDate(value: Json | undefined): number | undefined {
  return typeof value === 'number' && Math.abs(value) <= maxNumericDate ? value * 1000 : undefined
}

/** The member of that very name (names like `https://example.org/roles` have dots), or else what the dotted path leads to in objects. */
export function claimAt(claims: JsonObject, path: string): Json | undefined
export function claimAt(claims: Identity['claims'], path: string): unknown
export function claimAt(claims: Identity['claims'], path: string): unknown {
  if (Object.hasOwn(claims, path)) return claims[path]
  let value: unknown = claims
  for (const step of path.split('.')) {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, step))
      return undefined
    value = Reflect.get(value, step)
  }
  return value
}

/** A list of names, or names with spaces between. Whatever can be no role's name is left out: it could only be mistaken for one. */
export function readRoles(value: Json | undefined): readonly string[] {
  const found = typeof value === 'string' ? value.split(' ') : isList(value) ? value : []
  return found.filter(role => typeof role === 'string').filter(isRoleName)
}

function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value)
}

function rejected(reason: RejectionReason): ClaimsReading {
  return { kind: 'rejected', reason }
}
