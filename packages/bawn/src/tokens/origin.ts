import { isOptional, isPlainObject } from './record.ts'

/**
 * What a token of ours was issued for, as far as that can be revoked (`tokens/revoked`): the token of an issuer, or an API key. Tokens that
 * were issued by earlier versions say nothing of it.
 */
export type TokenOrigin = TokenOfIssuer | ApiKeyOrigin

/** One key of perhaps several that have a name. @see `apiKeyHash` */
export interface ApiKeyOrigin {
  readonly kind: 'api-key'
  /** `sha256:` and lower-case hex. */
  readonly hash: string
}

export interface TokenOfIssuer {
  readonly kind: 'token'
  /** `iss`; `undefined`: that of the source. */
  readonly issuer: string | undefined
  readonly jti: string | undefined
  readonly sub: string | undefined
  /** `iat` in ms since 1970; without it the origin counts as issued before whatever was revoked. */
  readonly issuedAt: number | undefined
}

/** @returns `undefined` when the value is none; undefined members may be missing */
export function parseOrigin(value: unknown): TokenOrigin | undefined {
  if (!isPlainObject(value)) return undefined
  const { kind, hash, issuer, jti, sub, issuedAt } = value
  if (kind === 'api-key') return typeof hash === 'string' ? { kind, hash } : undefined
  if (kind !== 'token') return undefined
  if (!isOptional(issuer, 'string') || !isOptional(jti, 'string') || !isOptional(sub, 'string')) return undefined
  return isOptional(issuedAt, 'number') ? { kind, issuer, jti, sub, issuedAt } : undefined
}

/** As a member of a subject that is read from outside. @returns `undefined` when it is there and none */
export function originMember(value: unknown): { readonly origin?: TokenOrigin } | undefined {
  if (value === undefined) return {}
  const origin = parseOrigin(value)
  return origin && { origin }
}
