import { randomUUID } from 'node:crypto'
import type { JwtSigner } from './jwt-signer.ts'

export interface ClaimLimits {
  /** How long what is signed is good when it does not say so itself, and the longest that it may say, in ms. */
  readonly ttlMs: number
  readonly typ: string
  readonly format: 'compact' | 'json'
}

/** NumericDate (RFC 7519 section 2). */
function isDate(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0
}

/**
 * Signs the claims that a login has made. `iat`, `exp`, `jti` and `iss` are added where they are missing, and `exp` is at most the longest
 * time from now: what has no end cannot be taken back.
 *
 * @param claims as parsed; numbers may be raw JSON
 * @param now ms since 1970
 * @returns `undefined` when `exp`, `nbf` or `iat` is no date, or the token would be past its end already
 */
export function signClaims(
  claims: Readonly<Record<string, unknown>>,
  signer: JwtSigner,
  limits: ClaimLimits,
  now: number,
): string | undefined {
  const seconds = Math.floor(now / 1000)
  const latest = Math.floor((now + limits.ttlMs) / 1000)
  const { exp = latest, iat = seconds, nbf, jti = randomUUID(), iss = signer.issuer } = claims
  if (!isDate(exp) || !isDate(iat) || (nbf !== undefined && !isDate(nbf)) || exp <= seconds) return undefined
  const whole = { ...claims, ...(iss === undefined ? {} : { iss }), iat, exp: Math.min(exp, latest), jti }
  const payload = JSON.stringify(whole)
  return limits.format === 'json' ? signer.signJson(payload, limits.typ) : signer.sign(payload, limits.typ)
}
