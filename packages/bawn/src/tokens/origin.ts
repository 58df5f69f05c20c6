import { isOptional, isPlainObject } from './record.ts'

/**
 * What a token of ours was issued for, as far as that can be revoked (`tokens/revoked`): the token of an issuer. Tokens that were issued by
 * earlier versions say nothing of it.
 */
export interface TokenOrigin {
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
  const { issuer, jti, sub, issuedAt } = value
  if (!isOptional(issuer, 'string') || !isOptional(jti, 'string') || !isOptional(sub, 'string')) return undefined
  return isOptional(issuedAt, 'number') ? { issuer, jti, sub, issuedAt } : undefined
}

/** As a member of a subject that is read from outside. @returns `undefined` when it is there and none */
export function originMember(value: unknown): { readonly origin?: TokenOrigin } | undefined {
  if (value === undefined) return {}
  const origin = parseOrigin(value)
  return origin && { origin }
}
