import assert from 'node:assert/strict'
import { randomBytes, randomInt } from 'node:crypto'
import { test } from 'node:test'
import { maxProxyHeaderBytes, type ProxyHeader, parseProxyHeader } from './proxy-header.ts'

const signature = '\r\n\r\n\0\r\nQUIT\n'
const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1')

/** Version 2. @param rest addresses and TLVs */
function binary(versionAndCommand: number, family: number, rest: Buffer, length = rest.length): Buffer {
  const head = Buffer.alloc(4)
  head[0] = versionAndCommand
  head[1] = family
  head.writeUInt16BE(length, 2)
  return Buffer.concat([latin1(signature), head, rest])
}

const four = Buffer.from([192, 0, 2, 60, 10, 0, 0, 1, 0x12, 0x67, 0x01, 0xbb])
const six = Buffer.concat([
  Buffer.from('20010db8000000000000000000000007', 'hex'),
  Buffer.alloc(16),
  Buffer.from([1, 2, 3, 4]),
])
const mapped = Buffer.concat([Buffer.from('00000000000000000000ffffc000023c', 'hex'), Buffer.alloc(20)])
const tlv = Buffer.from([0x04, 0, 3, 1, 2, 3, 0x20, 0, 1, 9])

const good: readonly (readonly [name: string, bytes: Buffer, source: string | undefined])[] = [
  ['TCP4', latin1('PROXY TCP4 192.0.2.60 10.0.0.1 56324 443\r\n'), '192.0.2.60'],
  ['TCP6', latin1('PROXY TCP6 2001:DB8:0:0:0:0:0:7 ::1 0 65535\r\n'), '2001:db8::7'],
  ['an IPv4 address inside IPv6', latin1('PROXY TCP6 ::ffff:192.0.2.60 ::1 1 2\r\n'), '192.0.2.60'],
  ['UNKNOWN', latin1('PROXY UNKNOWN\r\n'), undefined],
  ['UNKNOWN with addresses, which do not count', latin1('PROXY UNKNOWN 192.0.2.60 ::1 1 2\r\n'), undefined],
  [
    'the longest line',
    latin1(`PROXY UNKNOWN ${'ffff:'.repeat(7)}ffff ${'ffff:'.repeat(7)}ffff 65535 65535\r\n`),
    undefined,
  ],
  ['version 2, IPv4', binary(0x21, 0x11, four), '192.0.2.60'],
  ['version 2, IPv6', binary(0x21, 0x21, six), '2001:db8::7'],
  ['version 2, IPv4 inside IPv6', binary(0x21, 0x21, mapped), '192.0.2.60'],
  ['version 2 with TLVs', binary(0x21, 0x11, Buffer.concat([four, tlv])), '192.0.2.60'],
  ['version 2, unspecified', binary(0x21, 0x00, Buffer.alloc(0)), undefined],
  ['LOCAL', binary(0x20, 0x00, Buffer.alloc(0)), undefined],
  ['LOCAL with addresses, which do not count', binary(0x20, 0x11, four), undefined],
  ['version 2 as long as may be', binary(0x21, 0x11, Buffer.concat([four, Buffer.alloc(4_084)])), '192.0.2.60'],
]

const bad: readonly (readonly [name: string, bytes: Buffer])[] = [
  ['HTTP', latin1('GET / HTTP/1.1\r\n')],
  ['TLS', latin1('\x16\x03\x01\x02\x00')],
  ['an empty line', latin1('\r\nPROXY TCP4 192.0.2.60 10.0.0.1 1 2\r\n')],
  ['small letters', latin1('proxy TCP4 192.0.2.60 10.0.0.1 1 2\r\n')],
  ['another family', latin1('PROXY UDP4 192.0.2.60 10.0.0.1 1 2\r\n')],
  ['a word that begins with UNKNOWN', latin1('PROXY UNKNOWNS\r\n')],
  ['no addresses', latin1('PROXY TCP4\r\n')],
  ['no ports', latin1('PROXY TCP4 192.0.2.60 10.0.0.1\r\n')],
  ['one port', latin1('PROXY TCP4 192.0.2.60 10.0.0.1 1\r\n')],
  ['more behind the ports', latin1('PROXY TCP4 192.0.2.60 10.0.0.1 1 2 3\r\n')],
  ['two blanks', latin1('PROXY  TCP4 192.0.2.60 10.0.0.1 1 2\r\n')],
  ['IPv6 as TCP4', latin1('PROXY TCP4 ::1 ::1 1 2\r\n')],
  ['IPv4 as TCP6', latin1('PROXY TCP6 192.0.2.60 10.0.0.1 1 2\r\n')],
  ['a zone', latin1('PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n')],
  ['a name', latin1('PROXY TCP4 localhost 10.0.0.1 1 2\r\n')],
  ['an octal address', latin1('PROXY TCP4 0300.0.2.60 10.0.0.1 1 2\r\n')],
  ['a port over 65535', latin1('PROXY TCP4 192.0.2.60 10.0.0.1 65536 2\r\n')],
  ['a port with a zero before it', latin1('PROXY TCP4 192.0.2.60 10.0.0.1 01 2\r\n')],
  ['a port with a sign', latin1('PROXY TCP4 192.0.2.60 10.0.0.1 +1 2\r\n')],
  ['a bare LF', latin1(`PROXY TCP4 192.0.2.60 10.0.0.1 1 2\n${'a'.repeat(100)}`)],
  ['a line without an end', latin1(`PROXY UNKNOWN ${'a'.repeat(200)}`)],
  ['version 1 in binary', binary(0x11, 0x11, four)],
  ['version 3', binary(0x31, 0x11, four)],
  ['an unknown command', binary(0x22, 0x11, four)],
  ['UDP over IPv4', binary(0x21, 0x12, four)],
  ['a UNIX socket', binary(0x21, 0x31, Buffer.alloc(216))],
  ['an unknown family', binary(0x21, 0x41, four)],
  ['too short for its addresses', binary(0x21, 0x21, four)],
  ['longer than may be', binary(0x21, 0x11, four, 4_097)],
  ['a length of 65535', binary(0x20, 0x00, four, 65_535)],
]

test('a header is read whole, however its bytes arrive, and nothing behind it', () => {
  for (const [name, bytes, source] of good) {
    const expected: ProxyHeader = { kind: 'header', length: bytes.length, source }
    for (let cut = 0; cut < bytes.length; cut++) {
      assert.deepEqual(parseProxyHeader(bytes.subarray(0, cut)), { kind: 'incomplete' }, `${name}, ${cut}`)
    }
    assert.deepEqual(parseProxyHeader(bytes), expected, name)
    assert.deepEqual(parseProxyHeader(Buffer.concat([bytes, bytes])), expected, `${name}, more behind it`)
    assert.ok(bytes.length <= maxProxyHeaderBytes)
  }
})

test('what is no header is refused, as soon as that can be seen', () => {
  for (const [name, bytes] of bad) {
    assert.equal(parseProxyHeader(bytes).kind, 'malformed', name)
    let first = 0
    while (parseProxyHeader(bytes.subarray(0, first)).kind === 'incomplete') first++
    for (let cut = first; cut <= bytes.length; cut++) {
      assert.equal(parseProxyHeader(bytes.subarray(0, cut)).kind, 'malformed', `${name}: it stays refused at ${cut}`)
    }
  }
})

test('nothing that comes makes it throw, or wait for more than it may', () => {
  const seeds = [...good, ...bad].map(([, bytes]) => bytes)
  for (let round = 0; round < 20_000; round++) {
    const bytes = Buffer.from(seeds[randomInt(seeds.length)] ?? '')
    for (let change = randomInt(4); change > 0; change--) bytes[randomInt(bytes.length)] = randomInt(256)
    const header = parseProxyHeader(round % 2 === 0 ? bytes : bytes.subarray(0, randomInt(bytes.length + 1)))
    if (header.kind === 'header') assert.ok(header.length <= bytes.length)
    const full = Buffer.concat([bytes, randomBytes(maxProxyHeaderBytes)])
    assert.notEqual(parseProxyHeader(full).kind, 'incomplete', bytes.toString('hex'))
  }
})
