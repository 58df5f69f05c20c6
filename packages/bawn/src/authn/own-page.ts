import type { HttpCredentials } from './http-mechanism.ts'

const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS'])

/**
 * Whether a request that changes something was made by a page that may use our cookies. SameSite keeps other sites out, but not other
 * hosts of the same site, and not a browser that does not know it. Every browser of today says by `Sec-Fetch-Site` (Fetch Metadata) whose
 * page it was, older ones by `Origin` (RFC 6454 section 7). A program that sends neither is no browser, and has sent the cookie by intent.
 *
 * @param sites values of `Sec-Fetch-Site` whose pages may
 * @param known what browsers call this gateway, where the configuration says it: behind a balancer, Host and TLS may tell otherwise
 */
export function isFromOwnPage(
  credentials: HttpCredentials,
  sites: readonly ('same-origin' | 'same-site')[],
  known?: string,
): boolean {
  if (safeMethods.has(credentials.method)) return true
  const [site, ...more] = credentials.header('sec-fetch-site')
  if (more.length > 0) return false
  if (site !== undefined) return site === 'none' || sites.some(own => own === site)
  const [origin, ...others] = credentials.header('origin')
  if (origin === undefined) return true
  const [host = ''] = credentials.header('host')
  const own = `${credentials.tls ? 'https' : 'http'}://${host}`.toLowerCase()
  return others.length === 0 && [own, known].includes(origin.toLowerCase())
}
