import { headerClass } from './header-class.ts'
import type { HttpCode } from './problem.ts'

export type Http2Head =
  | {
      readonly kind: 'head'
      readonly method: string
      readonly target: string
      /** Flat. As HTTP/1.1 would have said it: with Host, one Cookie, and `Transfer-Encoding: chunked` before a body of unknown length. */
      readonly rawHeaders: readonly string[]
    }
  | { readonly kind: 'refused'; readonly code: HttpCode }

const refuse = (code: HttpCode): Http2Head => ({ kind: 'refused', code })

/** RFC 9113 section 8.2.2: they are of a connection of HTTP/1.1, and a server behind us would read framing in them. */
const ofConnections = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
])

/**
 * A request of HTTP/2 in the words of HTTP/1.1, checked for everything that would become another request on the way (RFC 9113 section
 * 8.2 and 8.3). nghttp2 has refused most of it before; this is so that an update of Node cannot let it through.
 *
 * @param raw flat, pseudo-headers included, in their order
 * @param endsHere no body follows
 * @param maxHeaderBytes counted as SETTINGS_MAX_HEADER_LIST_SIZE is: 32 for each besides its name and value
 */
export function parseHttp2Head(raw: readonly string[], endsHere: boolean, maxHeaderBytes: number): Http2Head {
  const pseudo = new Map<string, string>()
  const rawHeaders: string[] = []
  const cookies: string[] = []
  let host: string | undefined
  let hasLength = false
  let size = 0
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at] ?? ''
    const value = raw[at + 1] ?? ''
    size += name.length + value.length + 32
    if (size > maxHeaderBytes) return refuse('http.header_too_large')
    if (/[\0\r\n]/.test(value) || value !== value.trim()) return refuse('http.bad_request')
    if (name.startsWith(':')) {
      if (pseudo.has(name) || rawHeaders.length + cookies.length > 0 || host !== undefined)
        return refuse('http.bad_request')
      pseudo.set(name, value)
      continue
    }
    if (!/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name)) return refuse('http.bad_request')
    const { name: known } = headerClass(name)
    if (ofConnections.has(known) || (known === 'te' && value.toLowerCase() !== 'trailers')) {
      return refuse('http.bad_request')
    }
    if (known === 'cookie') cookies.push(value)
    else if (known === 'host') {
      if (host !== undefined) return refuse('http.bad_request')
      host = value
    } else {
      if (known === 'content-length') hasLength = true
      rawHeaders.push(name, value)
    }
  }
  const authority = pseudo.get(':authority') ?? host
  const method = pseudo.get(':method')
  const target = pseudo.get(':path')
  if (method === undefined || method === 'CONNECT' || pseudo.has(':protocol')) return refuse('http.bad_request')
  if (target === undefined || !target.startsWith('/') || /[^\x21-\x7e]/.test(target)) return refuse('http.bad_request')
  if (pseudo.get(':scheme') !== 'https' || authority === undefined) return refuse('http.bad_request')
  // A server behind us might go by the other of the two.
  if (host !== undefined && host.toLowerCase() !== authority.toLowerCase()) return refuse('http.bad_request')
  // RFC 9113 section 8.2.3: crumbs are one line again before anybody else reads them.
  if (cookies.length > 0) rawHeaders.push('cookie', cookies.join('; '))
  if (!endsHere && !hasLength) rawHeaders.push('transfer-encoding', 'chunked')
  return { kind: 'head', method, target, rawHeaders: ['host', authority, ...rawHeaders] }
}
