/** The parts of an Authorization header (RFC 9110 section 11.4) whose scheme is followed by parameters. Names are in lower case. */
export type AuthParams = ReadonlyMap<string, string>

const maxParams = 32
// Sticky: each matches at `lastIndex` or not at all, and none of them in two ways.
const name = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y
const equals = /[ \t]*=[ \t]*/y
const token = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y
// biome-ignore lint/suspicious/noControlCharactersInRegex: RFC 9110 section 5.6.4 leaves them out
const quoted = /"((?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t\x20-\x7e\x80-\xff])*)"/y
const comma = /[ \t]*(?:,[ \t]*)+/y
const blank = /[ \t]*/y

/**
 * Parses `name=value, name="value"`.
 *
 * @param text what follows the scheme and its space
 * @returns undefined for anything else: a name twice, a value missing, more than 32 parameters, control characters
 */
export function parseAuthParams(text: string): AuthParams | undefined {
  const params = new Map<string, string>()
  let at = 0
  const take = (form: RegExp): string | undefined => {
    form.lastIndex = at
    const found = form.exec(text)
    if (found === null) return undefined
    at = form.lastIndex
    return found[1] ?? found[0]
  }
  take(blank)
  while (at < text.length) {
    const key = take(name)?.toLowerCase()
    if (key === undefined || take(equals) === undefined) return undefined
    const isQuoted = text[at] === '"'
    const value = take(isQuoted ? quoted : token)
    if (value === undefined || params.has(key) || params.size === maxParams) return undefined
    params.set(key, isQuoted ? value.replace(/\\(.)/gs, '$1') : value)
    if (take(comma) === undefined) {
      take(blank)
      if (at < text.length) return undefined
    }
  }
  return params
}

/** A quoted-string (RFC 9110 section 5.6.4). @param text visible ASCII and spaces */
export function quotedString(text: string): string {
  return `"${text.replace(/["\\]/g, character => `\\${character}`)}"`
}

/** What stands after the scheme; `undefined` when the header is of another one. @param scheme in lower case */
export function afterScheme(header: string, scheme: string): string | undefined {
  const length = scheme.length
  if (header.length < length || header.slice(0, length).toLowerCase() !== scheme) return undefined
  if (header.length === length) return ''
  return header[length] === ' ' ? header.slice(length).trimStart() : undefined
}
