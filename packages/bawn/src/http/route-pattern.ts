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

/** In any case: a server that does not tell /People from /people gives the same fields by both. @param path decoded segments of a request */
export function patternMatches(pattern: RoutePattern, path: readonly string[]): boolean {
  if (pattern.rest ? path.length < pattern.segments.length : path.length !== pattern.segments.length) return false
  return pattern.segments.every(
    (segment, at) => segment.kind === 'parameter' || segment.text.toLowerCase() === path[at]?.toLowerCase(),
  )
}

/** Whether some path matches both. */
export function patternsOverlap(a: RoutePattern, b: RoutePattern): boolean {
  const shared = Math.min(a.segments.length, b.segments.length)
  for (let at = 0; at < shared; at++) {
    const left = a.segments[at]
    const right = b.segments[at]
    if (left?.kind === 'literal' && right?.kind === 'literal' && left.text !== right.text) return false
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
