import { headerClass } from './header-class.ts'

const tokenNames = new Set(['auth-token', 'auth-token-valid-until', 'auth-token-location'])

// Shared caches go by the ones that are theirs before Cache-Control (RFC 9213; Surrogate-Control of Edge Architecture; nginx).
const cacheRules =
  /^(?:cache-control|expires|pragma|surrogate-control|x-accel-expires|(?:[a-z0-9-]+-)?cdn-cache-control)$/

/**
 * The headers of an upstream's answer as the client gets them. Hop-by-hop ones and those that Connection names go; `X-Request-Id` is
 * ours; Server and the like are left alone.
 *
 * @param raw flat: name, value
 * @param length Content-Length of what is sent on; `undefined` leaves it to the front (chunked, or until close)
 * @param replaced the body is ours now (a route with fields): what refers to the bytes of the upstream's body goes as well, and no
 *   cache may keep what was opened for one caller
 * @param token headers with the caller's token, flat: the upstream's own of these names go, and no cache may keep the answer either
 * @param own what every answer to this request carries, flat. What the upstream says of an authentication is then not of this one
 */
export function answerHeaders(
  raw: readonly string[],
  requestId: string,
  length: number | undefined,
  replaced: boolean,
  token: readonly string[] = [],
  own: readonly string[] = [],
): string[] {
  let named: string[] | undefined
  for (let at = 0; at < raw.length; at += 2) {
    if (headerClass(raw[at] ?? '').name === 'connection') {
      named ??= []
      for (const option of (raw[at + 1] ?? '').split(',')) named.push(option.trim().toLowerCase())
    }
  }
  const headers: string[] = []
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at] ?? ''
    const header = headerClass(name)
    if (header.kind === 'hop' || header.kind === 'framing' || header.name === 'x-request-id') continue
    if (named?.includes(header.name)) continue
    if (token.length > 0 && tokenNames.has(header.name)) continue
    if (header.name === 'authentication-info' && own.includes('Authentication-Info')) continue
    if ((replaced || token.length > 0) && cacheRules.test(header.name)) continue
    if (replaced && (header.kind === 'validator' || header.name === 'content-encoding')) continue
    headers.push(name, raw[at + 1] ?? '')
  }
  headers.push(...token, ...own)
  if (replaced || token.length > 0) headers.push('Cache-Control', 'private, no-store')
  if (length !== undefined) headers.push('Content-Length', String(length))
  headers.push('X-Request-Id', requestId)
  return headers
}
