import { isIPv6 } from 'node:net'
import type { BucketLimit } from './bucket.ts'

/** Who is counted as one caller: the address, or the /64 that one IPv6 customer has. IPv4 written as IPv6 is IPv4. */
export function networkOf(address: string): string {
  const groups = groupsOf(address)
  return typeof groups === 'string' ? groups : `${groups.slice(0, 4).join(':')}::/64`
}

/** How many networks one site stands for: it may come as often as so many, however many it has. */
const networksOfSite = 16

/**
 * The /48 around an IPv6 network, which one customer may have whole: 65,536 networks. Whoever goes through them is counted here too.
 *
 * @returns undefined for IPv4
 */
export function siteOf(address: string): string | undefined {
  const groups = groupsOf(address)
  return typeof groups === 'string' ? undefined : `${groups.slice(0, 3).join(':')}::/48`
}

/** What a site may, where each of its networks has a limit. */
export function siteLimit({ burst, intervalMs }: BucketLimit): BucketLimit {
  return { burst: burst * networksOfSite, intervalMs: intervalMs / networksOfSite }
}

const ipv4Form = /^[0-9.]+$/

/** The eight groups of an IPv6 address, lower-case hex without leading zeros; the text of any other. */
function groupsOf(address: string): string | readonly string[] {
  if (ipv4Form.test(address)) return address
  const plain = address.toLowerCase().replace(/%.*$/, '')
  if (!isIPv6(plain)) return plain
  // The last 32 bits may be written as IPv4.
  const hex = plain.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_text, ...parts: readonly string[]) => {
    const [a = 0, b = 0, c = 0, d = 0] = parts.slice(0, 4).map(Number)
    return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
  })
  const [head = '', tail] = hex.split('::').map(part => part.split(':').filter(group => group !== ''))
  const [left, right] = [head === '' ? [] : head, tail ?? []]
  const groups = [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right].map(group =>
    group.replace(/^0+(?=.)/, ''),
  )
  // Mapped (RFC 4291 section 2.5.5.2), and what a NAT64 makes of it (RFC 6052): all of IPv4 would be one network.
  const prefix = groups.slice(0, 6).join(':')
  if (prefix !== '0:0:0:0:0:ffff' && prefix !== '64:ff9b:0:0:0:0') return groups
  const [high = 0, low = 0] = groups.slice(6).map(group => Number.parseInt(group, 16))
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`
}
