import type { Identity } from '../authn/identity.ts'
import { claimAt } from '../authn/jwt-claims.ts'

/** A claim as text: a string, or a number or boolean as JSON writes it. @returns undefined for everything else, and when it is missing */
export function claimText(claims: Identity['claims'], path: string): string | undefined {
  return asText(claimAt(claims, path))
}

/** The same of a list: each of its members. @returns undefined when one of them is no text */
export function claimTexts(claims: Identity['claims'], path: string): readonly string[] | undefined {
  const value = claimAt(claims, path)
  const texts = (Array.isArray(value) ? value : [value]).map(asText)
  return texts.every(text => text !== undefined) ? texts : undefined
}

/** An integer beyond 2^53 is not the one that the token has: it would be somebody else's number. */
function asText(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (typeof value === 'boolean') return String(value)
  if (typeof value !== 'number' || (Number.isInteger(value) && !Number.isSafeInteger(value))) return undefined
  return JSON.stringify(value)
}
