import type { JwtSigner } from '../tokens/jwt-signer.ts'
import { type ClaimLimits, signClaims } from '../tokens/signed-claims.ts'
import { HttpError } from './problem.ts'

/** What of a login's answer is signed, compiled. */
export interface AnswerSigning extends ClaimLimits {
  readonly signer: JwtSigner
  /** At the top of the answer. */
  readonly members: readonly string[]
}

// Node 24 has both; the library of TypeScript does not know them yet.
interface RawJson {
  rawJSON(text: string): unknown
  parse(text: string, revive: (key: string, value: unknown, context: { readonly source?: string }) => unknown): unknown
}

/** Numbers that a double does not hold stay as they are written: an account's number must not become its neighbour's. */
function parseExact(text: string): unknown {
  const json = JSON as unknown as RawJson
  const isExact = (value: number, source: string): boolean => Number.isSafeInteger(value) || String(value) === source
  return json.parse(text, (_, value, { source }) =>
    typeof value === 'number' && source !== undefined && !isExact(value, source) ? json.rawJSON(source) : value,
  )
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * The answer with its members signed: each becomes a token, as a string. A member that is missing is left out; at least one must be there.
 *
 * @throws {HttpError} `http.unreadable_answer`: it is no object in JSON, or what was to be signed are no claims
 */
export function signAnswer(document: Buffer, { signer, members, ...limits }: AnswerSigning, now: number): Buffer {
  let value: unknown
  try {
    value = parseExact(new TextDecoder('utf-8', { fatal: true }).decode(document))
  } catch {
    throw unreadable('it is no JSON in UTF-8')
  }
  if (!isObject(value)) throw unreadable('it is no object')
  const found = members.filter(member => Object.hasOwn(value, member))
  if (found.length === 0) throw unreadable(`it has none of ${members.join(', ')}`)
  const signed: Record<string, unknown> = Object.assign(Object.create(null), value)
  for (const member of found) {
    const claims = value[member]
    const token = isObject(claims) ? signClaims(claims, signer, limits, now) : undefined
    if (token === undefined) throw unreadable(`${member} is no object of claims, with dates that are to come`)
    signed[member] = token
  }
  return Buffer.from(JSON.stringify(signed))
}

function unreadable(what: string): HttpError {
  return new HttpError('http.unreadable_answer', `an answer that should be signed: ${what}`)
}
