import assert from 'node:assert/strict'
import { test } from 'node:test'
import { networkOf, siteOf } from './network.ts'

test('an IPv6 customer is a /64, and IPv4 is IPv4 however it is written', () => {
  for (const [address, network] of [
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:1:2::6', '2001:db8:1:2::/64'],
    ['2001:db8::', '2001:db8:0:0::/64'],
    ['2001:0db8:0001:0002::1', '2001:db8:1:2::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['1:2:3:4:5:6:192.0.2.1', '1:2:3:4::/64'],
    ['::', '0:0:0:0::/64'],
    ['64:ff9b::192.0.2.1', '192.0.2.1'],
    ['64:ff9b::c000:201', '192.0.2.1'],
    ['64:ff9b:1::c000:201', '64:ff9b:1:0::/64'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:C000:0201', '192.0.2.1'],
    ['0:0:0:0:0:ffff:255.255.255.255', '255.255.255.255'],
    ['::192.0.2.1', '0:0:0:0::/64'],
    ['192.0.2.1', '192.0.2.1'],
    ['', ''],
  ] as const) {
    assert.equal(networkOf(address), network, address)
  }
})

test('a site is a /48, and IPv4 has none', () => {
  for (const [address, site] of [
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1::/48'],
    ['2001:0DB8:0001::6%eth0', '2001:db8:1::/48'],
    ['2001:db8::', '2001:db8:0::/48'],
    ['::ffff:192.0.2.1', undefined],
    ['192.0.2.1', undefined],
    ['', undefined],
  ] as const) {
    assert.equal(siteOf(address), site, address)
  }
})
