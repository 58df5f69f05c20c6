import assert from 'node:assert/strict'
import { randomBytes, randomInt } from 'node:crypto'
import { BlockList, isIP } from 'node:net'
import { test } from 'node:test'
import { isInRange, parseAddress, parseAddressRange } from './address.ts'
import { type Arrival, createHostRules } from './host-rules.ts'
import { hostRuleOptions } from './option.ts'

const rules = (...options: object[]) => createHostRules(options.map(rule => hostRuleOptions.parse(rule)))
const arrival: Arrival = { door: 'postgres', user: 'alice', address: '10.1.2.3', tls: true, database: 'shop' }

const isMatch = (rule: string, address: string) => {
  const reading = parseAddressRange(rule)
  assert.ok(reading.kind === 'ranges', rule)
  const parsed = parseAddress(address)
  return parsed !== undefined && reading.ranges.some(range => isInRange(parsed, range))
}

const addresses: readonly {
  readonly rule: string
  readonly inside: readonly string[]
  readonly outside: readonly string[]
}[] = [
  {
    rule: '10.0.0.7',
    inside: ['10.0.0.7', '::ffff:10.0.0.7', '::ffff:a00:7'],
    outside: ['10.0.0.8', '::10.0.0.7', '10.0.0.70'],
  },
  {
    rule: '10.0.0.0/8',
    inside: ['10.0.0.0', '10.255.255.255', '::ffff:10.9.9.9'],
    outside: ['11.0.0.0', '9.255.255.255', 'a00::'],
  },
  { rule: '192.168.4.0/22', inside: ['192.168.7.255'], outside: ['192.168.8.0', '192.168.3.255'] },
  { rule: '0.0.0.0/0', inside: ['1.2.3.4', '::ffff:1.2.3.4'], outside: ['::1', '2001:db8::1'] },
  { rule: '::/0', inside: ['::1', '2001:db8::1'], outside: ['1.2.3.4', '::ffff:1.2.3.4'] },
  { rule: '2001:db8::/32', inside: ['2001:db8::1', '2001:DB8:ffff::'], outside: ['2001:db9::', '32.1.13.184'] },
  { rule: 'fe80::/10', inside: ['fe80::1', 'fe80::1%eth0', 'febf::'], outside: ['fec0::'] },
  { rule: '::ffff:10.0.0.0/104', inside: ['10.1.1.1'], outside: ['11.0.0.0'] },
  { rule: '::ffff:10.0.0.7', inside: ['10.0.0.7'], outside: ['10.0.0.8'] },
  // What a comparison of 64 bits lets in (a known hazard elsewhere), stays out.
  {
    rule: 'local',
    inside: ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1'],
    outside: ['2001:db8::1', '0.0.0.1', '128.0.0.1', '::2', '1::1'],
  },
  { rule: '::1', inside: ['::1', '0:0:0:0:0:0:0:1'], outside: ['0.0.0.1', '127.0.0.1'] },
]
for (const row of addresses) {
  test(`address ${row.rule}`, () => {
    for (const address of row.inside) assert.equal(isMatch(row.rule, address), true, address)
    for (const address of row.outside) assert.equal(isMatch(row.rule, address), false, address)
    for (const address of ['', 'localhost', '10.0.0', '010.0.0.7', '10.0.0.7 ', '::g', '%', '/run/socket'])
      assert.equal(isMatch(row.rule, address), false, address)
  })
}

const problems: readonly { readonly rule: string; readonly says: RegExp }[] = [
  { rule: '10.1.0.0/8', says: /perhaps 10\.0\.0\.0\/8 is meant/ },
  { rule: '2001:db8:1::5/32', says: /perhaps 2001:db8::\/32 is meant/ },
  { rule: '::1/0', says: /perhaps ::\/0 is meant/ },
  { rule: '1:0:2::/24', says: /perhaps 1::\/24 is meant/ },
  { rule: '10.0.0.0/33', says: /0 to 32/ },
  { rule: '::/129', says: /0 to 128/ },
  { rule: '10.0.0.0/08', says: /0 to 32/ },
  { rule: '10.0.0.0/', says: /0 to 32/ },
  { rule: '10.0.0.0/255.0.0.0', says: /0 to 32/ },
  { rule: '10.0.0.0/8/8', says: /not an address/ },
  { rule: '10.0.0', says: /not an address/ },
  { rule: '010.0.0.1', says: /not an address/ },
  { rule: 'db.example', says: /no host names/ },
  { rule: '.example', says: /no host names/ },
  { rule: 'fe80::1%eth0', says: /not an address/ },
  { rule: 'LOCAL', says: /not an address/ },
]
for (const row of problems) {
  test(`not an address: ${row.rule}`, () => {
    const reading = parseAddressRange(row.rule)
    assert.match(reading.kind === 'problem' ? reading.message : '', row.says)
  })
}

test('ranges hold what net.BlockList holds', () => {
  const format = (bytes: Buffer) =>
    bytes.length === 4 ? bytes.join('.') : (bytes.toString('hex').match(/.{4}/g) ?? []).join(':')
  for (let round = 0; round < 1_000; round++) {
    const size = randomInt(2) === 0 ? 4 : 16
    const prefix = randomInt(size * 8 + 1)
    const network = randomBytes(size).map(
      (byte, index) => byte & (0xff00 >> Math.min(8, Math.max(0, prefix - index * 8))) & 0xff,
    )
    const address = Buffer.from(network)
    for (let flips = randomInt(3); flips > 0; flips--) {
      const bit = randomInt(size * 8)
      address[bit >> 3] = (address[bit >> 3] ?? 0) ^ (0x80 >> (bit & 7))
    }
    const family = size === 4 ? 'ipv4' : 'ipv6'
    const list = new BlockList()
    list.addSubnet(format(Buffer.from(network)), prefix, family)
    const rule = `${format(Buffer.from(network))}/${prefix}`
    assert.equal(isMatch(rule, format(address)), list.check(format(address), family), `${rule} ${format(address)}`)
  }
})

test('random text is an address exactly where node:net says so, and never throws', () => {
  const alphabet = '0123456789abcdef::..%/f'
  for (let round = 0; round < 5_000; round++) {
    const text = Array.from({ length: randomInt(20) }, () => alphabet[randomInt(alphabet.length)]).join('')
    parseAddressRange(text)
    if (!text.includes('%')) assert.equal(parseAddress(text) !== undefined, isIP(text) !== 0, text)
  }
})

const everything = [
  { door: 'http', use: ['jwt'] },
  { name: 'machines', tls: 'required', user: ['app', 'billing'], use: ['certificate'] },
  { tls: 'off', address: 'local', use: ['scram'] },
  { name: 'barred', address: ['192.0.2.0/24', '2001:db8::/32'], use: [] },
  { tls: 'required', database: 'shop', use: ['scram', 'jwt'] },
]
const matches: readonly {
  readonly name: string
  readonly arrival: Partial<Arrival>
  readonly rule: string
  readonly use: string
}[] = [
  { name: 'the last that fits', arrival: {}, rule: 'host_rules[4]', use: 'scram,jwt' },
  { name: 'a user of the list', arrival: { user: 'app' }, rule: 'machines', use: 'certificate' },
  { name: 'a user by exact name', arrival: { user: 'APP' }, rule: 'host_rules[4]', use: 'scram,jwt' },
  { name: 'without TLS from here', arrival: { tls: false, address: '::1' }, rule: 'host_rules[2]', use: 'scram' },
  { name: 'without TLS from elsewhere', arrival: { tls: false }, rule: 'none', use: '' },
  {
    name: 'an empty list refuses before a later rule permits',
    arrival: { address: '192.0.2.9' },
    rule: 'barred',
    use: '',
  },
  { name: 'another database', arrival: { database: 'hr' }, rule: 'none', use: '' },
  { name: 'no database', arrival: { database: undefined }, rule: 'none', use: '' },
  { name: 'HTTP', arrival: { door: 'http', user: undefined, database: undefined }, rule: 'host_rules[0]', use: 'jwt' },
]
for (const row of matches) {
  test(`match: ${row.name}`, () => {
    const found = rules(...everything).match({ ...arrival, ...row.arrival })
    assert.equal(found.kind === 'matched' ? found.rule : found.kind, row.rule)
    assert.equal(found.kind === 'matched' ? found.use.join() : '', row.use)
  })
}

test('no rules, nobody', () => {
  assert.deepEqual(rules().match(arrival), { kind: 'none' })
})

test('explain says what decided, what failed first, and what came too late', () => {
  const found = rules(...everything, { use: ['jwt'] }).explain(arrival)
  assert.deepEqual(
    found.map(reading => [reading.rule, reading.kind, reading.because]),
    [
      ['host_rules[0]', 'fails', 'the door is postgres, the rule is for http'],
      ['machines', 'fails', 'the user is "alice", the rule is for app or billing'],
      ['host_rules[2]', 'fails', 'the connection has TLS, the rule is for those without'],
      ['barred', 'fails', 'the address is 10.1.2.3, the rule is for 192.0.2.0/24 or 2001:db8::/32'],
      ['host_rules[4]', 'decides', undefined],
      ['host_rules[5]', 'holds', undefined],
    ],
  )
  const plain = rules(...everything).explain({ ...arrival, tls: false, database: undefined, user: undefined })
  assert.deepEqual(plain.map(reading => reading.because).slice(1), [
    'the connection has no TLS, the rule requires it',
    'the address is 10.1.2.3, the rule is for local',
    'the address is 10.1.2.3, the rule is for 192.0.2.0/24 or 2001:db8::/32',
    'the connection has no TLS, the rule requires it',
  ])
  const nobody = rules({ database: 'a', use: [] }, { user: 'b', use: [] }).explain({
    ...arrival,
    database: undefined,
    user: undefined,
  })
  assert.deepEqual(
    nobody.map(reading => reading.because),
    ['no database is named, the rule is for a', 'no user is stated, the rule is for b'],
  )
})

test('every bad address stops the start and is named with its rule', () => {
  assert.throws(() => rules({ address: '10.1.0.0/8', use: [] }, { use: [] }, { address: ['::1', 'x'], use: [] }), {
    code: 'authn.bad_address',
    message: /host_rules\[0\]\.address: .*10\.0\.0\.0\/8.*; host_rules\[2\]\.address: "x"/,
  })
})
