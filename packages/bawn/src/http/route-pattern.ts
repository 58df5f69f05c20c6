/** One segment of a pattern. */
export type PatternSegment =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'parameter'; readonly name: string }

/** `/orders/{customer}` or, with `rest`, `/files/*`. */
export interface RoutePattern {
  readonly text: string
  readonly segments: readonly PatternSegment[]
  /** Ends in `/*`: whatever follows, nothing included. */
  readonly rest: boolean
}

/**
 * Parses a route's path as the configuration writes it: decoded, so a space is a space.
 *
 * @returns the pattern, or what is wrong with it in words
 */
export function parsePattern(text: string): RoutePattern | string {
  if (!text.startsWith('/')) return 'must begin with /'
  if (text === '/') return { text, segments: [], rest: false }
  const parts = text.slice(1).split('/')
  const rest = parts.at(-1) === '*'
  if (rest) parts.pop()
  const segments: PatternSegment[] = []
  const names = new Set<string>()
  for (const part of parts) {
    if (part === '') return 'has an empty segment (a trailing slash is not needed: it matches with and without)'
    const parameter = /^\{([A-Za-z_][A-Za-z0-9_]*)\}$/.exec(part)?.[1]
    if (parameter !== undefined) {
      if (names.has(parameter)) return `names {${parameter}} twice`
      names.add(parameter)
      segments.push({ kind: 'parameter', name: parameter })
      continue
    }
    if (part === '.' || part === '..') return 'has a dot segment'
    if (/[{}*]/.test(part)) return `has "${part}": {name} must be a whole segment and * the last one`
    if (/[%;?#\\\p{Cc}]/u.test(part))
      return `has "${part}": no percent-encoding (write it decoded), no ; ? # or backslash`
    segments.push({ kind: 'literal', text: part })
  }
  return { text, segments, rest }
}

/**
 * A segment as servers see it that tell least apart: in no case (Express by default, IIS), without dots and spaces at its end (whatever
 * asks a Windows file system). Two cases, because some letters have a capital and are no small letter of it: \u017f, which Go and
 * regular expressions take for s.
 */
export function foldSegment(text: string): string {
  let end = text.length
  while (end > 0 && (text[end - 1] === '.' || text[end - 1] === ' ')) end--
  return text.slice(0, end).toUpperCase().toLowerCase()
}

/** Folded: a server that does not tell /People from /people gives the same fields by both. @param path decoded segments of a request */
export function patternMatches(pattern: RoutePattern, path: readonly string[]): boolean {
  if (pattern.rest ? path.length < pattern.segments.length : path.length !== pattern.segments.length) return false
  return pattern.segments.every(
    (segment, at) => segment.kind === 'parameter' || foldSegment(segment.text) === foldSegment(path[at] ?? ''),
  )
}

/** Whether some path matches both, folded as in `patternMatches`. */
export function patternsOverlap(a: RoutePattern, b: RoutePattern): boolean {
  const shared = Math.min(a.segments.length, b.segments.length)
  for (let at = 0; at < shared; at++) {
    const left = a.segments[at]
    const right = b.segments[at]
    if (left?.kind === 'literal' && right?.kind === 'literal' && foldSegment(left.text) !== foldSegment(right.text)) {
      return false
    }
  }
  if (a.segments.length === b.segments.length) return true
  return a.segments.length < b.segments.length ? a.rest : b.rest
}

/** Whether every path that matches `b` matches `a`. */
export function patternCovers(a: RoutePattern, b: RoutePattern): boolean {
  if (b.rest && !a.rest) return false
  if (a.rest ? b.segments.length < a.segments.length : b.segments.length !== a.segments.length) return false
  return a.segments.every((segment, at) => {
    const other = b.segments[at]
    return segment.kind === 'parameter' || (other?.kind === 'literal' && other.text === segment.text)
  })
}
