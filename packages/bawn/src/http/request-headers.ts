import type { Identity } from '../authn/identity.ts'
import { claimTexts } from './claim-text.ts'
import { type Carriers, noChallengeHeader } from './credentials.ts'
import type { HeaderClass } from './header-class.ts'
import type { Hint } from './hints.ts'
import type { IdentityToken } from './identity-token.ts'
import { withoutParameters } from './query.ts'
import type { RequestHead } from './request-head.ts'

/** What a route says of headers, compiled. Names are lower case. */
export interface HeaderPolicy {
  /** Allow list; `undefined`: everything but credentials. Hop-by-hop, forwarding, identity and override headers pass neither way. */
  readonly allowed: ReadonlySet<string> | undefined
  /** Every identity header of every route: what one upstream believes, no client may send to any. */
  readonly reserved: ReadonlySet<string>
  /** What the gateway writes itself towards this upstream, to say who it is. */
  readonly replaced: ReadonlySet<string>
  /** Where the gateway's own mechanisms look: a credential that is for us is nobody else's. */
  readonly carriers: Carriers
  /** The credential is the upstream's own: nobody here has judged it. */
  readonly isDelegated: boolean
  /** Names as configured. */
  readonly identity: {
    readonly id: string | undefined
    readonly roles: string | undefined
    /** Header and claim. */
    readonly claims: readonly (readonly [string, string])[]
    readonly signed: { readonly header: string; readonly token: IdentityToken } | undefined
  }
  /** The upstream is told what the policies say of rows and fields: in this header, or without one in the signed token. */
  readonly hints?: { readonly header: string | undefined } | undefined
}

export interface Forwarding {
  readonly method: string
  readonly peer: string
  readonly secure: boolean
  readonly requestId: string
  /** Fields stand in this request's or its answer's body: the upstream must answer whole and uncompressed. */
  readonly opensBodies: boolean
  readonly hint?: Hint | undefined
}

/**
 * The header lines that go to the upstream, each ended by CRLF; request line, Host, framing headers and the empty line are the upstream
 * client's. Latin-1.
 */
export function upstreamHead(
  head: RequestHead,
  policy: HeaderPolicy,
  forwarding: Forwarding,
  identity: Identity | undefined,
): string {
  const { rawHeaders, classes, connectionNames } = head
  let text = ''
  for (let at = 0; at < classes.length; at++) {
    const header = classes[at]
    if (header === undefined || !passes(header, policy, forwarding)) continue
    if (connectionNames.length > 0 && connectionNames.includes(header.name)) continue
    const value = rawHeaders[2 * at + 1] ?? ''
    const kept = withoutOurs(header.name, value, policy.carriers)
    if (kept !== undefined) text += `${rawHeaders[2 * at]}: ${kept}\r\n`
  }
  if (forwarding.opensBodies) text += 'Accept-Encoding: identity\r\n'
  text += `X-Forwarded-For: ${forwarding.peer}\r\nX-Forwarded-Proto: ${forwarding.secure ? 'https' : 'http'}\r\n`
  text += `X-Forwarded-Host: ${head.host}\r\nX-Request-Id: ${forwarding.requestId}\r\n`
  text += hintLine(policy, forwarding.hint, identity)
  if (identity !== undefined) {
    if (policy.identity.id !== undefined) text += `${policy.identity.id}: ${headerValue(identity.id)}\r\n`
    if (policy.identity.roles !== undefined) {
      text += `${policy.identity.roles}: ${identity.roles.map(headerValue).join(',')}\r\n`
    }
    const { signed } = policy.identity
    if (signed !== undefined) text += `${signed.header}: ${signed.token(identity, forwarding.hint)}\r\n`
    for (const [header, claim] of policy.identity.claims) {
      const values = claimTexts(identity.claims, claim)
      if (values !== undefined) text += `${header}: ${values.map(headerValue).join(',')}\r\n`
    }
  }
  return text
}

/** A request never goes on without its hint: whoever does not get one would show everything. */
function hintLine({ hints, identity }: HeaderPolicy, hint: Hint | undefined, who: Identity | undefined): string {
  if (hints === undefined) return ''
  const inToken = hints.header === undefined && identity.signed !== undefined && who !== undefined
  if (hint === undefined || (hints.header === undefined && !inToken)) throw new TypeError('a request without its hint')
  return hints.header === undefined ? '' : `${hints.header}: ${hint.text}\r\n`
}

/** @returns undefined when nothing is left */
function withoutOurs(name: string, value: string, carriers: Carriers): string | undefined {
  const { query } = carriers
  if (name === 'cookie') return withoutCookies(value, carriers)
  // A browser tells the address of the page before, and its query may have brought a key.
  const mark = name === 'referer' ? value.indexOf('?') : -1
  return mark === -1 ? value : `${value.slice(0, mark)}${withoutParameters(value.slice(mark), query)}`
}

/** @returns undefined when nothing is left */
function withoutCookies(line: string, { cookies, cookiePrefixes }: Carriers): string | undefined {
  if (cookies.size === 0 && cookiePrefixes.length === 0) return line
  const isOurs = (name: string): boolean => cookies.has(name) || cookiePrefixes.some(prefix => name.startsWith(prefix))
  const kept = line.split(';').filter(pair => !isOurs((pair.split('=', 1)[0] ?? '').trim()))
  return kept.length === 0 ? undefined : kept.join(';').trim()
}

function passes({ name, kind }: HeaderClass, policy: HeaderPolicy, { opensBodies, method }: Forwarding): boolean {
  if (policy.carriers.headers.has(name) && !policy.isDelegated) return false
  if (name === noChallengeHeader || policy.replaced.has(name)) return false
  switch (kind) {
    case 'hop':
    case 'framing':
    case 'host':
    case 'forwarding':
    case 'identity':
    case 'override':
    case 'odd':
      return false
    case 'credential':
      return policy.allowed?.has(name) === true && !policy.reserved.has(name)
    case 'content':
      return true
    case 'validator':
      if (opensBodies && !keepsPrecondition(name, method)) return false
      break
  }
  if (policy.reserved.has(name)) return false
  if (opensBodies && name === 'accept-encoding') return false
  return policy.allowed === undefined || policy.allowed.has(name)
}

/**
 * On a route with fields the answer's bytes are ours, so a range or a "not modified" would speak of other bytes. A precondition of a
 * write stays: without it, the write would happen where the client said that it must not.
 */
function keepsPrecondition(name: string, method: string): boolean {
  const unsafe = method !== 'GET' && method !== 'HEAD'
  return unsafe && name.startsWith('if-') && name !== 'if-range'
}

/**
 * A header value that no reader can take for two: visible ASCII stays; spaces, commas (which separate roles), `%`, quotes, control
 * characters and everything else are percent-encoded as UTF-8 (RFC 3986 section 2.1).
 */
export function headerValue(text: string): string {
  if (/^[A-Za-z0-9._~@:/+|=-]*$/.test(text)) return text
  return encodeURIComponent(text.toWellFormed())
    .replace(/%(?:40|3A|2F|2B|7C|3D)/g, encoded => decodeURIComponent(encoded))
    .replace(/[!'()*]/g, character => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
}
