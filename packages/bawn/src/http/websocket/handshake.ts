import { createHash } from 'node:crypto'
import { headerClass } from '../header-class.ts'
import type { RequestHead } from '../request-head.ts'
import type { AnswerHead } from '../upstream/answer-parser.ts'

// The opening handshake of RFC 6455, both sides of it: we are the server of the client's, and the client of the upstream's.

/** What a client offers. */
export interface Handshake {
  readonly key: string
  readonly protocols: readonly string[]
  /** Sec-WebSocket-Extensions as it came: the two ends agree on them, and we only pass bytes. */
  readonly extensions: readonly string[]
}

export type Offer =
  /** Another request, for all that it says in Upgrade. */
  { readonly kind: 'none' } | { readonly kind: 'malformed' } | { readonly kind: 'offer'; readonly handshake: Handshake }

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
/** 16 bytes in base64 (section 4.1). */
const nonce = /^[A-Za-z0-9+/]{21}[AQgw]==$/

/** RFC 6455 section 4.2.1. Whoever names the protocol has to mean it: half a handshake is refused. */
export function readOffer(method: string, httpVersion: string, head: RequestHead): Offer {
  const headers = head.rawHeaders
  const upgrade = listOf(headers, 'upgrade').map(each => each.toLowerCase())
  if (!upgrade.includes('websocket')) return { kind: 'none' }
  const keys = valuesOf(headers, 'sec-websocket-key')
  const versions = valuesOf(headers, 'sec-websocket-version')
  const protocols = listOf(headers, 'sec-websocket-protocol')
  const isWhole =
    method === 'GET' &&
    httpVersion === '1.1' &&
    !head.hasBody &&
    head.contentLength === undefined &&
    upgrade.length === 1 &&
    head.connectionNames.includes('upgrade') &&
    versions.length === 1 &&
    versions[0] === '13' &&
    keys.length === 1 &&
    nonce.test(keys[0] ?? '') &&
    protocols.every(each => token.test(each)) &&
    new Set(protocols).size === protocols.length
  if (!isWhole) return { kind: 'malformed' }
  const extensions = valuesOf(headers, 'sec-websocket-extensions')
  return { kind: 'offer', handshake: { key: keys[0] ?? '', protocols, extensions } }
}

/** Header lines of our handshake with the upstream, each ended by CRLF. @param key ours, not the client's */
export function handshakeLines(key: string, { protocols, extensions }: Handshake): string {
  let lines = `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n`
  if (protocols.length > 0) lines += `Sec-WebSocket-Protocol: ${protocols.join(', ')}\r\n`
  for (const value of extensions) lines += `Sec-WebSocket-Extensions: ${value}\r\n`
  return lines
}

/** What is wrong with an upstream's 101 (RFC 6455 section 4.1); `undefined`: nothing. */
export function wrongAcceptance({ headers }: AnswerHead, key: string, offered: Handshake): string | undefined {
  const upgrade = listOf(headers, 'upgrade')
  if (upgrade.length !== 1 || upgrade[0]?.toLowerCase() !== 'websocket') return 'an Upgrade to something else'
  if (!listOf(headers, 'connection').some(each => each.toLowerCase() === 'upgrade')) return 'no Connection: Upgrade'
  const accepts = valuesOf(headers, 'sec-websocket-accept')
  if (accepts.length !== 1 || accepts[0] !== acceptanceOf(key)) return 'a Sec-WebSocket-Accept for another handshake'
  const protocols = valuesOf(headers, 'sec-websocket-protocol')
  if (protocols.length > 1 || protocols.some(each => !offered.protocols.includes(each))) {
    return 'a subprotocol that nobody offered'
  }
  const names = new Set(
    listOf(
      offered.extensions.flatMap(value => ['e', value]),
      'e',
    ).map(extensionName),
  )
  const chosen = listOf(headers, 'sec-websocket-extensions').map(extensionName)
  return chosen.every(each => names.has(each)) ? undefined : 'an extension that nobody offered'
}

/** Headers of our 101 to the client, flat. @param chosen what the upstream has agreed to */
export function acceptanceHeaders({ key }: Handshake, chosen: AnswerHead): string[] {
  const headers = ['Upgrade', 'websocket', 'Connection', 'Upgrade', 'Sec-WebSocket-Accept', acceptanceOf(key)]
  for (const name of ['Sec-WebSocket-Protocol', 'Sec-WebSocket-Extensions']) {
    for (const value of valuesOf(chosen.headers, name.toLowerCase())) headers.push(name, value)
  }
  return headers
}

/** RFC 6455 section 1.3. */
function acceptanceOf(key: string): string {
  return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
}

const extensionName = (text: string): string => (text.split(';')[0] ?? '').trim().toLowerCase()

function valuesOf(headers: readonly string[], name: string): string[] {
  const values: string[] = []
  for (let at = 0; at < headers.length; at += 2) {
    if (headerClass(headers[at] ?? '').name === name) values.push(headers[at + 1] ?? '')
  }
  return values
}

function listOf(headers: readonly string[], name: string): string[] {
  return valuesOf(headers, name).flatMap(value => value.split(',').map(each => each.trim()))
}
