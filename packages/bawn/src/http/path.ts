/** A request target that passed the border. */
export interface RequestPath {
  /** Decoded, without the slash in front; a trailing slash adds nothing. What routes are matched against. */
  readonly segments: readonly string[]
  /** What the upstream gets: `/a/b%20c`, normalised (RFC 3986 section 6.2.2), trailing slash kept. */
  readonly path: string
  /** With its `?`; empty when there is none. As it came. */
  readonly query: string
}

const plain = /^(?:\/[A-Za-z0-9_~!$&'()*+,=:@-][A-Za-z0-9._~!$&'()*+,=:@-]*)+\/?$/
const visible = /^[\x21-\x7e]*$/
const unreserved = /^[A-Za-z0-9._~-]$/
const literal = /^[A-Za-z0-9._~!$&'()*+,=:@-]$/
const maxSegments = 256

/**
 * Parses an origin-form target. Path confusion lives from two programs that read one path differently, so whatever servers
 * are known to read differently is refused instead of guessed: dot segments, empty segments, encoded slashes, backslashes,
 * control characters, double encoding, invalid UTF-8, and `;` (Java servers cut `/admin;x` to `/admin`). The rest is
 * normalised once; routes are matched against `segments`, and `path`, which says the same, is what the upstream gets.
 *
 * @returns undefined when it is refused
 */
export function parsePath(target: string): RequestPath | undefined {
  const mark = target.indexOf('?')
  const raw = mark === -1 ? target : target.slice(0, mark)
  const query = mark === -1 ? '' : target.slice(mark)
  if (query !== '' && (!visible.test(query) || query.includes('#'))) return undefined
  if (raw === '/') return { segments: [], path: '/', query }
  if (plain.test(raw)) {
    const segments = split(raw)
    return segments.length > maxSegments ? undefined : { segments, path: raw, query }
  }
  if (raw[0] !== '/' || !visible.test(raw)) return undefined

  const segments: string[] = []
  let path = ''
  for (const segment of split(raw)) {
    const decoded = decode(segment)
    if (decoded === undefined || segments.length === maxSegments) return undefined
    segments.push(decoded.text)
    path += `/${decoded.normal}`
  }
  return { segments, path: raw.endsWith('/') ? `${path}/` : path, query }
}

/** By hand: `split` of a text that was received a moment ago costs several times as much. */
function split(raw: string): string[] {
  const end = raw.endsWith('/') ? raw.length - 1 : raw.length
  const segments: string[] = []
  let start = 1
  for (let next = raw.indexOf('/', start); next !== -1 && next < end; next = raw.indexOf('/', start)) {
    segments.push(raw.slice(start, next))
    start = next + 1
  }
  segments.push(raw.slice(start, end))
  return segments
}

function decode(segment: string): { readonly text: string; readonly normal: string } | undefined {
  const bytes: number[] = []
  let normal = ''
  for (let at = 0; at < segment.length; at++) {
    const character = segment.charAt(at)
    if (character !== '%') {
      if (character === '\\' || character === ';' || character === '#') return undefined
      const code = character.charCodeAt(0)
      bytes.push(code)
      normal += literal.test(character) ? character : escapeByte(code)
      continue
    }
    const hex = segment.slice(at + 1, at + 3)
    if (!/^[0-9A-Fa-f]{2}$/.test(hex)) return undefined
    const code = Number.parseInt(hex, 16)
    const meant = String.fromCharCode(code)
    if (code < 0x20 || code === 0x7f || meant === '/' || meant === '\\' || meant === ';') return undefined
    bytes.push(code)
    // Only unreserved characters mean the same encoded and not encoded (RFC 3986 section 2.3); %2C may differ from a comma.
    normal += unreserved.test(meant) ? meant : escapeByte(code)
    at += 2
  }
  const text = utf8(bytes)
  if (text === undefined || text === '' || text === '.' || text === '..') return undefined
  // An escape that is left was encoded twice, whichever of its characters were: whoever decodes once more sees another path.
  if (/%[0-9A-Fa-f]{2}/.test(text)) return undefined
  // C1 controls in UTF-8.
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code >= 0x80 && code < 0xa0) return undefined
  }
  return { text, normal }
}

function escapeByte(code: number): string {
  return `%${code.toString(16).toUpperCase().padStart(2, '0')}`
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function utf8(bytes: readonly number[]): string | undefined {
  try {
    return decoder.decode(Uint8Array.from(bytes))
  } catch {
    return undefined
  }
}
