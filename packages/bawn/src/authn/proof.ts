import { BlockList } from 'node:net'

/** For identities that come without a token. */
export const noClaims: Readonly<Record<string, unknown>> = Object.freeze(Object.create(null))

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

/** Does this peer's traffic stay on this machine? @param address as text; what is none is not */
export function isLoopbackAddress(address: string): boolean {
  const plain = address.startsWith('::ffff:') ? address.slice(7) : address
  return loopback.check(plain, plain.includes(':') ? 'ipv6' : 'ipv4')
}
