import { withExactIntegers } from '../authn/exact-claims.ts'
import type { Identity } from '../authn/identity.ts'
import { TokenError } from '../tokens/error.ts'
import { stringifyExact } from './exact-json.ts'

/** Signed tokens carry them with each request, and stores keep them. */
const maxLength = 4_096

/**
 * The claims of these names that somebody has, as JSON, exactly as they came: integers of any size. One of which it is not known any more
 * how it was written is left out.
 *
 * @returns `undefined` when there are none
 * @throws {TokenError} `tokens.claims_too_long`: cut, they would say something else
 */
export function carriedClaims({ claims }: Identity, names: readonly string[]): string | undefined {
  if (names.length === 0) return undefined
  const exact = withExactIntegers(claims) as Identity['claims']
  const carried: Record<string, unknown> = Object.create(null)
  for (const name of names) if (Object.hasOwn(exact, name)) carried[name] = exact[name]
  if (Object.keys(carried).length === 0) return undefined
  const text = stringifyExact(carried)
  if (text.length <= maxLength) return text
  throw new TokenError('tokens.claims_too_long', `the claims that go along are more than ${maxLength} characters`)
}
