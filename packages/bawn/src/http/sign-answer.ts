import type { JwtSigner } from '../tokens/jwt-signer.ts'
import { type ClaimLimits, signClaims } from '../tokens/signed-claims.ts'
import { isJsonObject, parseExact } from './exact-json.ts'
import { HttpError } from './problem.ts'

/** What of a login's answer is signed, compiled. */
export interface AnswerSigning extends ClaimLimits {
  readonly signer: JwtSigner
  /** At the top of the answer. */
  readonly members: readonly string[]
}

/**
 * The answer with its members signed: each becomes a token, as a string. A member that is missing is left out; at least one must be there.
 *
 * @throws {HttpError} `http.unreadable_answer`: it is no object in JSON, or what was to be signed are no claims
 */
export function signAnswer(document: Buffer, { signer, members, ...limits }: AnswerSigning, now: number): Buffer {
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
    const claims = value[member]
    const token = isJsonObject(claims) ? signClaims(claims, signer, limits, now) : undefined
    if (token === undefined) throw unreadable(`${member} is no object of claims, with dates that are to come`)
    signed[member] = token
  }
  return Buffer.from(JSON.stringify(signed))
}

function unreadable(what: string): HttpError {
  return new HttpError('http.unreadable_answer', `an answer that should be signed: ${what}`)
}
