import { type AddressRange, isInRange, parseAddress, parseAddressRange } from '../authn/address.ts'
import { AuthnError } from '../authn/error.ts'
import type { FrontRequest } from './engine.ts'
import type { TrustedProxiesOptions } from './option.ts'

/** Who is at the other end, as far as somebody whom we believe says so. */
export interface Client {
  /** As text; of the peer itself where it is not a trusted proxy. */
  readonly address: string
  /** Over TLS, be it to the proxy. */
  readonly secure: boolean
}

/**
 * Finds out who is behind trusted proxies.
 *
 * @returns `undefined` when a trusted proxy says what cannot be understood: then it is not known who asks
 */
export type FindClient = (request: Pick<FrontRequest, 'rawHeaders' | 'remoteAddress' | 'secure'>) => Client | undefined

/** Entries of one chain that are looked at; a longer one is nobody's. */
const maxEntries = 32

/**
 * Forwarding headers are believed from listed peers only, and of those only what they added themselves: the chain is read from its
 * right end, as long as each address is a listed proxy's; the first that is not is the client's (RFC 7239 section 8.1). What stands
 * to the left of it was said by the client.
 *
 * @throws {AuthnError} `authn.bad_address`
 */
export function createFindClient(options: TrustedProxiesOptions): FindClient {
  const ranges = options.addresses.flatMap(text => {
    const reading = parseAddressRange(text)
    if (reading.kind === 'ranges') return reading.ranges
    throw new AuthnError('authn.bad_address', `trusted_proxies.addresses: ${reading.message}`)
  })
  const chainOf = options.header === 'forwarded' ? forwardedChain : forwardedForChain
  return request => {
    const peer = { address: request.remoteAddress, secure: request.secure }
    if (!isListed(peer.address, ranges)) return peer
    const chain = chainOf(request.rawHeaders)
    if (chain === undefined || chain.length > maxEntries) return undefined
    let client: Client = peer
    for (const hop of chain.toReversed()) {
      client = { address: hop.address, secure: hop.secure ?? client.secure }
      if (!isListed(hop.address, ranges)) break
    }
    return client
  }
}

function isListed(text: string, ranges: readonly AddressRange[]): boolean {
  const address = parseAddress(text)
  return address !== undefined && ranges.some(range => isInRange(address, range))
}

interface Hop {
  readonly address: string
  /** Whether the hop before came in over TLS; `undefined`: not said. */
  readonly secure: boolean | undefined
}

/** Every line of a header, as one list (RFC 9110 section 5.3). `undefined`: it is not there. */
function listed(rawHeaders: readonly string[], name: string): readonly string[] | undefined {
  let values: string[] | undefined
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (rawHeaders[at]?.toLowerCase() !== name) continue
    values ??= []
    for (const value of (rawHeaders[at + 1] ?? '').split(',')) values.push(value.trim())
  }
  return values
}

/** X-Forwarded-For with X-Forwarded-Proto: one protocol for all hops, or one for each. */
function forwardedForChain(rawHeaders: readonly string[]): readonly Hop[] | undefined {
  const nodes = listed(rawHeaders, 'x-forwarded-for') ?? []
  const protocols = listed(rawHeaders, 'x-forwarded-proto') ?? []
  const isOneForEach = protocols.length === nodes.length
  if (protocols.length > 1 && !isOneForEach) return undefined
  const hops: Hop[] = []
  for (const [at, node] of nodes.entries()) {
    const address = nodeAddress(node)
    const protocol = protocolOf(isOneForEach ? protocols[at] : protocols[0])
    if (address === undefined || protocol === 'unknown') return undefined
    hops.push({ address, secure: protocol })
  }
  return hops
}

const quoted = /^"((?:[^"\\]|\\[\t -~])*)"$/
const token = /^[!#$%&'*+.^_`|~0-9A-Za-z:-]+$/

/** `for=192.0.2.60;proto=https, for="[2001:db8::1]:4711"` (RFC 7239 section 4). A comma within quotes is refused with the rest. */
function forwardedChain(rawHeaders: readonly string[]): readonly Hop[] | undefined {
  const hops: Hop[] = []
  for (const element of listed(rawHeaders, 'forwarded') ?? []) {
    const pairs = new Map<string, string>()
    for (const pair of element.split(';')) {
      const equals = pair.indexOf('=')
      const name = pair.slice(0, Math.max(0, equals)).trim().toLowerCase()
      const raw = pair.slice(equals + 1).trim()
      const value = quoted.exec(raw)?.[1]?.replace(/\\(.)/g, '$1') ?? (token.test(raw) ? raw : undefined)
      if (name === '' || value === undefined || pairs.has(name)) return undefined
      pairs.set(name, value)
    }
    const address = nodeAddress(pairs.get('for') ?? '')
    const protocol = protocolOf(pairs.get('proto'))
    if (address === undefined || protocol === 'unknown') return undefined
    hops.push({ address, secure: protocol })
  }
  return hops
}

function protocolOf(text: string | undefined): boolean | undefined | 'unknown' {
  switch (text?.toLowerCase()) {
    case undefined:
      return undefined
    case 'https':
    case 'wss':
      return true
    case 'http':
    case 'ws':
      return false
    default:
      return 'unknown'
  }
}

/** `192.0.2.60`, `192.0.2.60:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`. What hides the address is no address. */
function nodeAddress(node: string): string | undefined {
  const bracketed = /^\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?$/.exec(node)?.[1]
  const withPort = /^([0-9.]+):[0-9]{1,5}$/.exec(node)?.[1]
  const address = bracketed ?? withPort ?? node
  if (address.includes('%') || parseAddress(address) === undefined) return undefined
  return /^::ffff:[0-9.]+$/i.test(address) ? address.slice(7) : address
}
