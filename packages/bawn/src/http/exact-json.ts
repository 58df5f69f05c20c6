import { randomBytes } from 'node:crypto'

// Node 24 has both; the library of TypeScript does not know them yet.
interface RawJson {
  rawJSON(text: string): unknown
  isRawJSON(value: unknown): boolean
}
const json = JSON as unknown as RawJson

/** Begins the text in whose place a number stands while a document is parsed. Nobody outside learns it, so no document has it. */
const mark = randomBytes(16).toString('hex')
const numberToken = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y

/**
 * Numbers that a double does not hold stay as they are written: an account's number must not become its neighbour's.
 * A reviver of `JSON.parse` could tell them as well, but takes seconds for megabytes.
 *
 * @throws {SyntaxError} also for bytes that are not UTF-8
 * @throws {RangeError} nested deeper than `maxDepth`
 */
export function parseExact(document: Uint8Array, maxDepth = 64): unknown {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(document)
  } catch {
    throw new SyntaxError('it is not UTF-8')
  }
  const marked = markNumbers(text, maxDepth)
  return marked === undefined ? JSON.parse(text) : restore(JSON.parse(marked))
}

/** As JSON writes it, and bigints (`authn/exact-claims.ts`) as the integers they are. */
export function stringifyExact(document: object): string {
  return JSON.stringify(document, (_name, value: unknown) =>
    typeof value === 'bigint' ? json.rawJSON(String(value)) : value,
  )
}

/** A number that was kept as it is written looks like an object, and is none. */
export function isJsonObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !json.isRawJSON(value)
}

/** A string, or a number or boolean as JSON writes it. @returns undefined for everything else */
export function scalarText(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  return typeof value === 'number' || typeof value === 'boolean' || json.isRawJSON(value)
    ? JSON.stringify(value)
    : undefined
}

/**
 * Makes texts of the numbers that a double does not hold, and limits the depth before anything goes down into it.
 *
 * @returns undefined when there is no such number
 */
function markNumbers(text: string, maxDepth: number): string | undefined {
  const pieces: string[] = []
  let copied = 0
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === 0x22) {
      // To the end of the string; where it has none, the parser says so.
      for (at++; at < text.length && text.charCodeAt(at) !== 0x22; at++) if (text.charCodeAt(at) === 0x5c) at++
    } else if (code === 0x7b || code === 0x5b) {
      if (++depth > maxDepth) throw new RangeError(`it is nested deeper than ${maxDepth}`)
    } else if (code === 0x7d || code === 0x5d) depth--
    else if (code === 0x2d || (code >= 0x30 && code <= 0x39)) {
      numberToken.lastIndex = at
      const [token] = numberToken.exec(text) ?? []
      if (token === undefined) continue
      if (String(Number(token)) !== token) {
        pieces.push(text.slice(copied, at), `"${mark}${token}"`)
        copied = at + token.length
      }
      at += token.length - 1
    }
  }
  return pieces.length === 0 ? undefined : pieces.join('') + text.slice(copied)
}

function restore(value: unknown): unknown {
  if (typeof value === 'string') return value.startsWith(mark) ? json.rawJSON(value.slice(mark.length)) : value
  if (Array.isArray(value)) {
    for (let at = 0; at < value.length; at++) value[at] = restore(value[at])
    return value
  }
  if (typeof value !== 'object' || value === null) return value
  const members = value as Record<string, unknown>
  for (const name of Object.keys(members)) {
    if (name.startsWith(mark)) throw new SyntaxError('a number where a name should be')
    const inner = members[name]
    const restored = restore(inner)
    // Nothing but a text changes its identity. `__proto__` is defined, for a document's own stands where an assignment would not go.
    if (restored !== inner) Object.defineProperty(members, name, { value: restored, enumerable: true })
  }
  return members
}
