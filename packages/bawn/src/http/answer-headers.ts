import { headerClass } from './header-class.ts'

const tokenNames = new Set(['auth-token', 'auth-token-valid-until', 'auth-token-location'])

/** Directives by which a shared cache keeps what it otherwise would not (RFC 9111 sections 3.5, 5.2.2). */
const forSharedCaches = /^(?:public|private|proxy-revalidate|s-maxage)$/

/** What is known of an answer besides the upstream's own headers. */
export interface AnswerContext {
  readonly requestId: string
  /** Content-Length of what is sent on; `undefined` leaves it to the front (chunked, or until close). */
  readonly length: number | undefined
  /**
   * The body is ours now (a route with fields): what refers to the bytes of the upstream's body goes as well, and no cache may keep what
   * was opened for one caller.
   */
  readonly replaced: boolean
  /** Headers with the caller's token, flat: the upstream's own of these names go, and no cache may keep the answer either. */
  readonly token: readonly string[]
  /** What every answer to this request carries, flat. What the upstream says of an authentication is then not of this one. */
  readonly own: readonly string[]
  /** Whoever is behind the same shared cache may not get this answer. */
  readonly isPrivate: boolean
  /** What caches are told in place of what the upstream says, in seconds. */
  readonly maxAge: number | undefined
  /** What pages of other origins may is said in `own`: the upstream has no say in it. */
  readonly ownsCors: boolean
}

/**
 * The headers of an upstream's answer as the client gets them. Hop-by-hop ones and those that Connection names go; `X-Request-Id` is
 * ours; Server and the like are left alone.
 *
 * @param raw flat: name, value
 */
export function answerHeaders(raw: readonly string[], answer: AnswerContext): string[] {
  const { replaced, token, own, isPrivate, maxAge, ownsCors } = answer
  const named = namedByConnection(raw)
  const unstored = replaced || token.length > 0
  const headers: string[] = []
  let caching: string[] | undefined
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at] ?? ''
    const header = headerClass(name)
    if (header.kind === 'hop' || header.kind === 'framing' || header.name === 'x-request-id') continue
    if (named?.includes(header.name)) continue
    if (token.length > 0 && tokenNames.has(header.name)) continue
    if (header.name === 'authentication-info' && own.includes('Authentication-Info')) continue
    if ((unstored || isPrivate) && header.caching === 'shared') continue
    if ((unstored || maxAge !== undefined) && header.caching === 'own') continue
    if (isPrivate && header.name === 'cache-control') {
      caching ??= []
      caching.push(raw[at + 1] ?? '')
      continue
    }
    if (replaced && (header.kind === 'validator' || header.name === 'content-encoding')) continue
    if (ownsCors && header.name.startsWith('access-control-')) continue
    headers.push(name, raw[at + 1] ?? '')
  }
  headers.push(...token, ...own)
  if (unstored) headers.push('Cache-Control', 'private, no-store')
  else if (maxAge !== undefined) headers.push('Cache-Control', `${isPrivate ? 'private' : 'public'}, max-age=${maxAge}`)
  else if (isPrivate) headers.push('Cache-Control', caching === undefined ? 'private' : privately(caching))
  if (answer.length !== undefined) headers.push('Content-Length', String(answer.length))
  headers.push('X-Request-Id', answer.requestId)
  return headers
}

function namedByConnection(raw: readonly string[]): readonly string[] | undefined {
  let named: string[] | undefined
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at] ?? ''
    if (name.length !== 'connection'.length || headerClass(name).name !== 'connection') continue
    named ??= []
    for (const option of (raw[at + 1] ?? '').split(',')) named.push(option.trim().toLowerCase())
  }
  return named
}

/** The same for the caller's own cache, and nothing for others. */
function privately(values: readonly string[]): string {
  const directives = values
    .join(',')
    // A quoted list of field names may have commas; `private="X-A, X-B"` would let the rest be kept, and goes whole.
    .match(/[^\s,="]+(?:\s*=\s*(?:"[^"]*"|[^\s,"]*))?/g)
  const kept = (directives ?? []).filter(
    text => !forSharedCaches.test((text.split('=', 1)[0] ?? '').trim().toLowerCase()),
  )
  return ['private', ...kept].join(', ')
}
