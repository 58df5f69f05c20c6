import type { Identity } from '../authn/identity.ts'
import type { JwtSigner } from '../tokens/jwt-signer.ts'
import { type ClaimLimits, signClaims } from '../tokens/signed-claims.ts'
import { isJsonObject, parseExact } from './exact-json.ts'
import { HttpError } from './problem.ts'
import { carriedClaims } from './token-claims.ts'

/** What of a login's answer is signed, compiled. */
export interface AnswerSigning extends ClaimLimits {
  readonly signer: JwtSigner
  /** At the top of the answer. */
  readonly members: readonly string[]
  /** Of the caller's own token: these go along, and what the login says of them does not. */
  readonly claims: readonly string[]
}

/**
 * The answer with its members signed: each becomes a token, as a string. A member that is missing is left out; at least one must be there.
 *
 * @param caller who asked, where the route wants somebody to
 * @throws {TokenError} `tokens.claims_too_long`
 * @throws {HttpError} `http.unreadable_answer`: it is no object in JSON, or what was to be signed are no claims
 */
export function signAnswer(
  document: Buffer,
  { signer, members, claims: names, ...limits }: AnswerSigning,
  now: number,
  caller: Identity | undefined,
): Buffer {
  const text = caller && carriedClaims(caller, names)
  const carried = text === undefined ? {} : parseExact(Buffer.from(text))
  let value: unknown
  try {
    value = parseExact(document)
  } catch {
    throw unreadable('it is no JSON in UTF-8, or nested too deep')
  }
  if (!isJsonObject(value)) throw unreadable('it is no object')
  const found = members.filter(member => Object.hasOwn(value, member))
  if (found.length === 0) throw unreadable(`it has none of ${members.join(', ')}`)
  const signed: Record<string, unknown> = Object.assign(Object.create(null), value)
  for (const member of found) {
    const said = value[member]
    const claims = isJsonObject(said) ? { ...without(said, names), ...(isJsonObject(carried) ? carried : {}) } : said
    const token = isJsonObject(claims) ? signClaims(claims, signer, limits, now) : undefined
    if (token === undefined) throw unreadable(`${member} is no object of claims, with dates that are to come`)
    signed[member] = token
  }
  return Buffer.from(JSON.stringify(signed))
}

function without(claims: Record<string, unknown>, names: readonly string[]): Record<string, unknown> {
  if (names.length === 0) return claims
  return Object.fromEntries(Object.entries(claims).filter(([name]) => !names.includes(name)))
}

function unreadable(what: string): HttpError {
  return new HttpError('http.unreadable_answer', `an answer that should be signed: ${what}`)
}
