import { isIPv4, isIPv6, SocketAddress } from 'node:net'

// The PROXY protocol, versions 1 and 2 (HAProxy, doc/proxy-protocol.txt): what a balancer says of a connection before its first byte.

export type ProxyHeader =
  | { readonly kind: 'incomplete' }
  | {
      readonly kind: 'header'
      /** Bytes of it; what follows is the connection's own. */
      readonly length: number
      /** The client's address as text; `undefined`: the proxy speaks for itself (LOCAL, UNKNOWN), as it does to see whether we are well. */
      readonly source: string | undefined
    }
  | { readonly kind: 'malformed'; readonly why: string }

/** Longer than every one that is allowed: a receiver that has as many bytes and no header waits for none. */
export const maxProxyHeaderBytes = 4_112

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const word = Buffer.from('PROXY ', 'latin1')
const maxLine = 107
/** Of version 2, behind its first 16 bytes: addresses and TLVs. What TLVs say is not looked at. */
const maxRest = maxProxyHeaderBytes - 16

const incomplete: ProxyHeader = { kind: 'incomplete' }
const malformed = (why: string): ProxyHeader => ({ kind: 'malformed', why })

/** @param bytes everything received so far */
export function parseProxyHeader(bytes: Buffer): ProxyHeader {
  if (begins(bytes, signature)) return bytes.length < 16 ? incomplete : parseBinary(bytes)
  if (begins(bytes, word)) return parseLine(bytes)
  return malformed('no PROXY header where one has to be')
}

/** As far as there are bytes. */
function begins(bytes: Buffer, expected: Buffer): boolean {
  const length = Math.min(bytes.length, expected.length)
  return bytes.subarray(0, length).equals(expected.subarray(0, length))
}

const numbers = /^(?:0|[1-9][0-9]{0,4})$/

function parseLine(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, maxLine).indexOf('\r\n')
  if (end === -1) return bytes.length < maxLine ? incomplete : malformed('a PROXY line of more than 107 bytes')
  const text = bytes.toString('latin1', 0, end)
  const length = end + 2
  if (/^PROXY UNKNOWN(?: |$)/.test(text)) return { kind: 'header', length, source: undefined }
  const [, family, source = '', target = '', ...ports] = text.split(' ')
  const isAddress = family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isPlainIPv6 : undefined
  if (isAddress === undefined) return malformed('a PROXY line of another family than TCP4 and TCP6')
  if (!isAddress(source) || !isAddress(target)) return malformed('a PROXY line without its two addresses')
  if (ports.length !== 2 || !ports.every(port => numbers.test(port) && Number(port) <= 65_535)) {
    return malformed('a PROXY line without its two ports')
  }
  return { kind: 'header', length, source: plain(source) }
}

const isPlainIPv6 = (text: string): boolean => isIPv6(text) && !text.includes('%')

function parseBinary(bytes: Buffer): ProxyHeader {
  const version = bytes[12] ?? 0
  const family = bytes[13] ?? 0
  const rest = bytes.readUInt16BE(14)
  const length = 16 + rest
  if (version >> 4 !== 2) return malformed('a PROXY header of an unknown version')
  const command = version & 0xf
  if (command > 1) return malformed('a PROXY header with an unknown command')
  if (rest > maxRest) return malformed(`a PROXY header with more than ${maxRest} bytes of addresses and TLVs`)
  const needed = command === 0 ? 0 : neededBytes.get(family)
  if (needed === undefined) return malformed('a PROXY header of another family than TCP over IPv4 and IPv6')
  if (rest < needed) return malformed('a PROXY header without its two addresses')
  if (bytes.length < length) return incomplete
  if (command === 0 || family === 0) return { kind: 'header', length, source: undefined }
  const size = family === 0x11 ? 4 : 16
  return { kind: 'header', length, source: addressOf(bytes.subarray(16, 16 + size)) }
}

/** By address family and transport. 0 is "unspecified", as UNKNOWN is in version 1. */
const neededBytes: ReadonlyMap<number, number> = new Map([
  [0x00, 0],
  [0x11, 12],
  [0x21, 36],
])

function addressOf(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.')
  const groups = Array.from({ length: 8 }, (_, at) => bytes.readUInt16BE(2 * at).toString(16))
  return plain(groups.join(':'))
}

/** One way of writing each address; an IPv4 address inside IPv6 is the IPv4 address. */
function plain(text: string): string {
  if (isIPv4(text)) return text
  const { address } = new SocketAddress({ address: text, family: 'ipv6' })
  return /^::ffff:[0-9.]+$/.test(address) ? address.slice(7) : address
}
