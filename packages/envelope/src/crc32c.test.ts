import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32c } from './crc32c.ts'

for (const [name, bytes, sum] of [
  ['the check value of the polynomial', Buffer.from('123456789'), 0xe306_9283],
  ['32 zero bytes (RFC 3720 appendix B.4)', Buffer.alloc(32), 0x8a91_36aa],
  ['32 bytes ff (RFC 3720 appendix B.4)', Buffer.alloc(32, 0xff), 0x62a8_ab43],
  ['no bytes', Buffer.alloc(0), 0],
] as const) {
  test(`CRC-32C of ${name}`, () => assert.equal(crc32c(bytes), sum))
}

test('four bytes can count as zero', () => {
  const bytes = Buffer.from('0011223344556677', 'hex')
  assert.equal(crc32c(bytes, 2), crc32c(Buffer.from('0011000000006677', 'hex')))
})
