import { isIPv4, isIPv6 } from 'node:net'

/** A range of addresses, as a rule names it. */
export interface AddressRange {
  /** 4 or 16; a range of one family never holds an address of the other. */
  readonly bytes: Uint8Array
  /** How many bits of `bytes` count. */
  readonly prefix: number
}

export type AddressReading =
  | { readonly kind: 'ranges'; readonly ranges: readonly AddressRange[] }
  /** A host's name: whatever addresses it has. In lower case, without a dot at its end. */
  | { readonly kind: 'name'; readonly name: string }
  /** Addresses whose own name ends with it; `.b.example` in lower case, with its dot. */
  | { readonly kind: 'suffix'; readonly suffix: string }
  /** What is wrong and what would fit. */
  | { readonly kind: 'problem'; readonly message: string }

const loopback: readonly AddressRange[] = [
  { bytes: Uint8Array.of(127, 0, 0, 0), prefix: 8 },
  { bytes: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1), prefix: 128 },
]

/**
 * An address as a socket gives it: 4 or 16 bytes. An IPv4 address inside IPv6 (`::ffff:a.b.c.d`, what a socket for both families
 * says) is the IPv4 address; a zone (`fe80::1%eth0`) is left out.
 */
export function parseAddress(text: string): Uint8Array | undefined {
  if (isIPv4(text)) return Uint8Array.from(text.split('.'), Number)
  const zone = text.indexOf('%')
  const address = zone < 0 ? text : text.slice(0, zone)
  return isIPv6(address) ? unmap(parseIPv6(address)) : undefined
}

/** `::ffff:10.0.0.1` is 10.0.0.1 on a socket that takes both families; rules and logs speak of the latter. */
export function plainAddress(address: string | undefined): string {
  if (address === undefined) return ''
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address
}

/** An address condition that DNS has no part in: names are none. */
export function parseAddressRange(text: string): Extract<AddressReading, { readonly kind: 'ranges' | 'problem' }> {
  const reading = parseAddressCondition(text)
  if (reading.kind === 'ranges' || reading.kind === 'problem') return reading
  return problem(
    `${JSON.stringify(text)} is not an address: write 10.0.0.7, 10.0.0.0/8, 2001:db8::/32 or local (no host names)`,
  )
}

/**
 * `10.0.0.7`, `10.0.0.0/8`, `2001:db8::/32`, `local` (127.0.0.0/8 and ::1), a host name, or the end of one with its dot (`.b.example`, which
 * `a.b.example` ends with and `b.example` does not).
 */
export function parseAddressCondition(text: string): AddressReading {
  if (text === 'local') return { kind: 'ranges', ranges: loopback }
  const [address = '', prefixText, ...more] = text.split('/')
  if (more.length > 0 || !(isIPv4(address) || (isIPv6(address) && !address.includes('%')))) return readName(text)
  const bytes = isIPv4(address) ? Uint8Array.from(address.split('.'), Number) : parseIPv6(address)
  const bits = bytes.length * 8
  if (prefixText === undefined) {
    const unmapped = unmap(bytes)
    return { kind: 'ranges', ranges: [{ bytes: unmapped, prefix: unmapped.length * 8 }] }
  }
  const prefix = /^(0|[1-9][0-9]{0,2})$/.test(prefixText) ? Number(prefixText) : -1
  if (prefix < 0 || prefix > bits)
    return problem(`${JSON.stringify(text)}: after the slash comes a number from 0 to ${bits}`)
  const network = bytes.map((byte, index) => byte & maskAt(index, prefix))
  if (!network.every((byte, index) => byte === bytes[index])) {
    return problem(
      `${JSON.stringify(text)} has bits set beyond /${prefix}: perhaps ${formatAddress(network)}/${prefix} is meant?`,
    )
  }
  const unmapped = unmap(bytes)
  // ::ffff:10.0.0.0/104 is 10.0.0.0/8; a shorter prefix reaches beyond the mapped addresses and stays IPv6.
  return prefix >= 96 && unmapped.length === 4
    ? { kind: 'ranges', ranges: [{ bytes: unmapped, prefix: prefix - 96 }] }
    : { kind: 'ranges', ranges: [{ bytes, prefix }] }
}

// RFC 1123 section 2.1, and the underscore that many networks have; the last label is not a number, so that no mistyped address is a name.
const hostName =
  /^(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*(?![0-9]+$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/

function readName(text: string): AddressReading {
  const lower = text.toLowerCase()
  if (/^(_local_|local|localhost)$/.test(lower)) return problem(`${JSON.stringify(text)}: write local for this machine`)
  if (lower.startsWith('*.')) return problem(`${JSON.stringify(text)}: write ${lower.slice(1)} for what ends so`)
  if (lower.startsWith('.') && hostName.test(lower.slice(1))) return { kind: 'suffix', suffix: lower }
  const name = lower.endsWith('.') ? lower.slice(0, -1) : lower
  if (hostName.test(name)) return { kind: 'name', name }
  return problem(
    `${JSON.stringify(text)} is not an address: write 10.0.0.7, 10.0.0.0/8, 2001:db8::/32, local, a host name, or .example for what ends so`,
  )
}

export function isInRange(address: Uint8Array, range: AddressRange): boolean {
  if (address.length !== range.bytes.length) return false
  for (let index = 0; index * 8 < range.prefix; index++) {
    if ((((address[index] ?? 0) ^ (range.bytes[index] ?? 0)) & maskAt(index, range.prefix)) !== 0) return false
  }
  return true
}

/** The bits of byte `index` that the prefix covers. */
function maskAt(index: number, prefix: number): number {
  const bits = Math.min(8, Math.max(0, prefix - index * 8))
  return (0xff << (8 - bits)) & 0xff
}

/** Of text that `isIPv6` has accepted. */
function parseIPv6(text: string): Uint8Array {
  const [head = '', tail] = text.split('::')
  const front = groupsOf(head)
  const back = tail === undefined ? [] : groupsOf(tail)
  const zeros = new Array<number>(8 - front.length - back.length).fill(0)
  return Uint8Array.from([...front, ...zeros, ...back].flatMap(group => [group >> 8, group & 0xff]))
}

function groupsOf(text: string): readonly number[] {
  if (text === '') return []
  return text.split(':').flatMap(group => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)]
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number)
    return [(a << 8) | b, (c << 8) | d]
  })
}

/** RFC 4291 section 2.5.5.2 */
function unmap(bytes: Uint8Array): Uint8Array {
  const mapped =
    bytes.length === 16 && bytes.subarray(0, 10).every(byte => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff
  return mapped ? bytes.subarray(12) : bytes
}

/** As text; IPv6 in its short form. */
export function formatAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.')
  const groups = Array.from({ length: 8 }, (_, index) =>
    (((bytes[2 * index] ?? 0) << 8) | (bytes[2 * index + 1] ?? 0)).toString(16),
  )
  return groups.join(':').replace(/(^|:)0(:0)+(:|$)/, '::')
}

function problem(message: string): Extract<AddressReading, { readonly kind: 'problem' }> {
  return { kind: 'problem', message }
}

/** Does this peer's traffic stay on this machine? @param text an address as a socket gives it; what is none is not */
export function isLoopbackAddress(text: string): boolean {
  if (text === '127.0.0.1') return true
  const address = parseAddress(text)
  return address !== undefined && loopback.some(range => isInRange(address, range))
}
