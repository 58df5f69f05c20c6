import type { Identity } from '../authn/identity.ts'
import { claimAt } from '../authn/jwt-claims.ts'

type Claims = Identity['claims']

const none: readonly string[] = Object.freeze([])
const kept = new WeakMap<Claims, readonly string[]>()

/** Texts with spaces between (RFC 8693 section 4.2), or a list of texts. Anything else is nothing. */
export function wordsOf(value: unknown): readonly string[] {
  if (typeof value === 'string') return value.split(' ').filter(word => word !== '')
  return Array.isArray(value) && value.every(item => typeof item === 'string') ? value : none
}

/** What a token permits: `scope` (RFC 8693, RFC 9068), or where there is none `scp`, as some providers call it. */
export function scopesOf(claims: Claims): readonly string[] {
  const known = kept.get(claims)
  if (known !== undefined) return known
  const scopes = wordsOf(Object.hasOwn(claims, 'scope') ? claims['scope'] : claimAt(claims, 'scp'))
  kept.set(claims, scopes)
  return scopes
}
