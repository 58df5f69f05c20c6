import assert from 'node:assert/strict'
import { randomBytes, randomInt } from 'node:crypto'
import { BlockList, isIP } from 'node:net'
import { after, before, test } from 'node:test'
import { isInRange, parseAddress, parseAddressCondition } from './address.ts'
import { type DnsServer, startDnsServer } from './dns-server.fixture.ts'
import { type Arrival, createHostRules, type HostRuleMatch, openHostNames } from './host-rules.ts'
import { hostRuleOptions } from './option.ts'

const rules = (...options: object[]) => createHostRules(options.map(rule => hostRuleOptions.parse(rule)))
const arrival: Arrival = {
  door: 'postgres',
  user: 'alice',
  address: '10.1.2.3',
  tls: true,
  database: 'shop',
  route: undefined,
}

/** At once: no promise, where no rule asks DNS. */
function matchAtOnce(of: ReturnType<typeof rules>, who: Arrival): HostRuleMatch {
  const found = of.match(who)
  assert.ok(!(found instanceof Promise))
  return found
}

const isMatch = (rule: string, address: string) => {
  const reading = parseAddressCondition(rule)
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
  { rule: 'localhost', says: /write local/ },
  { rule: 'LocalHost', says: /write local/ },
  { rule: '_local_', says: /write local/ },
  { rule: '*.b.example', says: /write \.b\.example/ },
  { rule: '.', says: /not an address/ },
  { rule: '..example', says: /not an address/ },
  { rule: 'a..example', says: /not an address/ },
  { rule: '-a.example', says: /not an address/ },
  { rule: 'a-.example', says: /not an address/ },
  { rule: 'a.example.1', says: /not an address/ },
  { rule: 'a b', says: /not an address/ },
  { rule: 'http://a.example', says: /not an address/ },
  { rule: 'a.example:80', says: /not an address/ },
  { rule: `${'a'.repeat(64)}.example`, says: /not an address/ },
  { rule: `${'a.'.repeat(127)}example`, says: /not an address/ },
  { rule: 'fe80::1%eth0', says: /not an address/ },
  { rule: 'LOCAL', says: /write local/ },
]
for (const row of problems) {
  test(`not an address: ${row.rule}`, () => {
    const reading = parseAddressCondition(row.rule)
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
    parseAddressCondition(text)
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
    const found = matchAtOnce(rules(...everything), { ...arrival, ...row.arrival })
    assert.equal(found.kind === 'matched' ? found.rule : found.kind, row.rule)
    assert.equal(found.kind === 'matched' ? found.use.join() : '', row.use)
  })
}

test('no rules, nobody', () => {
  assert.deepEqual(matchAtOnce(rules(), arrival), { kind: 'none' })
})

test('explain says what decided, what failed first, and what came too late', async () => {
  const found = await rules(...everything, { use: ['jwt'] }).explain(arrival)
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
  const plain = await rules(...everything).explain({ ...arrival, tls: false, database: undefined, user: undefined })
  assert.deepEqual(plain.map(reading => reading.because).slice(1), [
    'the connection has no TLS, the rule requires it',
    'the address is 10.1.2.3, the rule is for local',
    'the address is 10.1.2.3, the rule is for 192.0.2.0/24 or 2001:db8::/32',
    'the connection has no TLS, the rule requires it',
  ])
  const nobody = await rules({ database: 'a', use: [] }, { user: 'b', use: [] }).explain({
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
  const bad = [{ address: ['10.1.0.0/8'], use: [] }, { use: [] }, { address: ['::1', '1.2.3'], use: [] }]
  assert.throws(() => createHostRules(bad), {
    code: 'authn.bad_address',
    message: /host_rules\[0\]\.address: .*10\.0\.0\.0\/8.*; host_rules\[2\]\.address: "1\.2\.3"/,
  })
})

test('names are read without regard to case and to a dot at the end', () => {
  for (const [text, expect] of [
    ['DB.Example', { kind: 'name', name: 'db.example' }],
    ['db.example.', { kind: 'name', name: 'db.example' }],
    ['api', { kind: 'name', name: 'api' }],
    ['my_db.example', { kind: 'name', name: 'my_db.example' }],
    ['xn--bcher-kva.example', { kind: 'name', name: 'xn--bcher-kva.example' }],
    ['.B.Example', { kind: 'suffix', suffix: '.b.example' }],
  ] as const) {
    assert.deepEqual(parseAddressCondition(text), expect)
  }
})

test('tls is written in several ways, and YAML’s truth values are two of them', () => {
  const tls = (value: unknown): unknown => hostRuleOptions.parse({ tls: value, use: [] }).tls
  assert.deepEqual(['required', 'on', true].map(tls), ['required', 'required', 'required'])
  assert.deepEqual(['off', false].map(tls), ['off', 'off'])
  assert.deepEqual(['optional', undefined].map(tls), [undefined, undefined])
  assert.equal(hostRuleOptions.safeParse({ tls: 'yes', use: [] }).success, false)
})

// Rules in the order of the list, and who comes. What DNS says: the names below, in both directions or in one.
let dns: DnsServer
before(async () => {
  dns = await startDnsServer()
  for (const [name, address] of [
    ['db.example', '10.0.0.7'],
    ['a.corp.example', '10.0.0.8'],
    ['b.a.corp.example', '10.0.0.9'],
    ['here.example', '127.0.0.1'],
  ] as const) {
    dns.records.set(`${name} A`, [address])
    dns.records.set(`${address.split('.').reverse().join('.')}.in-addr.arpa PTR`, [name])
  }
  // Whoever has this address says that it is somebody of ours; the owner of the name does not.
  dns.records.set('66.0.0.10.in-addr.arpa PTR', ['a.corp.example'])
  dns.records.set('67.0.0.10.in-addr.arpa PTR', 'servfail')
  dns.records.set('broken.example A', 'servfail')
})
after(() => dns?.close())

const http = { door: 'http', user: undefined, database: undefined, route: '/orders/{id}' } as const
const table: readonly {
  readonly rules: readonly object[]
  readonly from?: string
  readonly who?: Partial<Arrival>
  /** Number of the rule, `none`, or `undecided` with the number. */
  readonly expect: string
}[] = [
  { rules: [{ address: 'db.example' }], from: '10.0.0.7', expect: '0' },
  { rules: [{ address: 'db.example' }], from: '::ffff:10.0.0.7', expect: '0' },
  { rules: [{ address: 'db.example' }], from: '10.0.0.8', expect: 'none' },
  { rules: [{ address: 'DB.EXAMPLE.' }], from: '10.0.0.7', expect: '0' },
  { rules: [{ address: ['10.9.9.9', 'db.example'] }], from: '10.0.0.7', expect: '0' },
  { rules: [{ address: ['db.example', '10.9.9.9'] }], from: '10.9.9.9', expect: '0' },
  { rules: [{ address: 'nobody.example' }, {}], from: '10.0.0.7', expect: '1' },
  { rules: [{ address: 'broken.example' }, {}], from: '10.0.0.7', expect: '1' },
  { rules: [{ address: 'here.example' }], from: '127.0.0.1', expect: '0' },
  { rules: [{ address: '.corp.example' }], from: '10.0.0.8', expect: '0' },
  { rules: [{ address: '.corp.example' }], from: '::ffff:10.0.0.8', expect: '0' },
  { rules: [{ address: '.corp.example' }], from: '10.0.0.9', expect: '0' },
  { rules: [{ address: '.a.corp.example' }], from: '10.0.0.9', expect: '0' },
  { rules: [{ address: '.a.corp.example' }], from: '10.0.0.8', expect: 'none' },
  { rules: [{ address: '.orp.example' }], from: '10.0.0.8', expect: 'none' },
  { rules: [{ address: '.CORP.example' }], from: '10.0.0.8', expect: '0' },
  { rules: [{ address: '.corp.example' }], from: '10.0.0.7', expect: 'none' },
  { rules: [{ address: '.corp.example' }, {}], from: '10.0.0.66', expect: '1' },
  { rules: [{ address: '.corp.example' }, {}], from: '10.0.0.99', expect: '1' },
  { rules: [{ address: '.corp.example' }, {}], from: '10.0.0.67', expect: 'undecided 0' },
  { rules: [{ address: ['.corp.example', '10.0.0.67'] }, {}], from: '10.0.0.67', expect: '0' },
  { rules: [{}, { address: '.corp.example' }], from: '10.0.0.67', expect: '0' },
  { rules: [{ tls: 'off', address: '.corp.example' }, {}], from: '10.0.0.67', expect: '1' },
  { rules: [{ user: 'bob', address: '.corp.example' }, {}], from: '10.0.0.67', expect: '1' },
  { rules: [{ door: 'http', address: '.corp.example' }, {}], from: '10.0.0.67', expect: '1' },
  { rules: [{ address: '.example' }, { address: '.corp.example' }], from: '10.0.0.8', expect: '0' },
  { rules: [{ address: '.other.example' }, { address: '.corp.example' }], from: '10.0.0.8', expect: '1' },
  { rules: [{ address: '.corp.example' }], from: '', expect: 'none' },
  { rules: [{ address: '.corp.example' }], from: 'a.corp.example', expect: 'none' },
  { rules: [{ address: 'local' }], from: '::ffff:127.0.0.1', expect: '0' },
  { rules: [{ address: 'local' }], from: '127.255.0.1', expect: '0' },
  { rules: [{ address: 'local' }], from: '::1', expect: '0' },
  { rules: [{ address: 'local' }], from: '::2', expect: 'none' },
  { rules: [{ route: '/orders/{id}' }], who: http, expect: '0' },
  { rules: [{ route: '/orders' }], who: http, expect: 'none' },
  { rules: [{ route: '/orders/{number}' }], who: http, expect: 'none' },
  { rules: [{ route: '/orders/*' }], who: http, expect: '0' },
  { rules: [{ route: '/*' }], who: http, expect: '0' },
  { rules: [{ route: '/order*' }], who: http, expect: 'none' },
  { rules: [{ route: '/orders/*' }], who: { ...http, route: '/orders' }, expect: 'none' },
  { rules: [{ route: '/orders/*' }], who: { ...http, route: '/orders/*' }, expect: '0' },
  { rules: [{ route: '/orders/*' }], who: { ...http, route: '/ordersets' }, expect: 'none' },
  { rules: [{ route: ['/people', '/orders/{id}'] }], who: http, expect: '0' },
  { rules: [{ route: '/orders/{id}' }, {}], expect: '1' },
  { rules: [{ route: '/*' }], expect: 'none' },
  { rules: [{ route: '/orders/*', address: '10.0.0.0/8' }], from: '10.1.1.1', who: http, expect: '0' },
  { rules: [{ route: '/orders/*', address: '10.0.0.0/8' }], from: '11.1.1.1', who: http, expect: 'none' },
  { rules: [{ route: '/people', address: '.corp.example' }, {}], from: '10.0.0.67', who: http, expect: '1' },
  { rules: [{ tls: true }], who: { tls: true }, expect: '0' },
  { rules: [{ tls: true }], who: { tls: false }, expect: 'none' },
  { rules: [{ tls: 'on' }], who: { tls: false }, expect: 'none' },
  { rules: [{ tls: false }], who: { tls: true }, expect: 'none' },
  { rules: [{ tls: 'off' }], who: { tls: false }, expect: '0' },
  { rules: [{ tls: 'optional' }], who: { tls: false }, expect: '0' },
  { rules: [{ tls: 'optional' }], who: { tls: true }, expect: '0' },
]
for (const [index, row] of table.entries()) {
  const who = `${row.from ?? ''} ${JSON.stringify(row.who ?? {})}`
  test(`rules ${index}: ${JSON.stringify(row.rules)} for ${who}`, async () => {
    const parsed = row.rules.map((rule, at) => hostRuleOptions.parse({ name: String(at), use: ['jwt'], ...rule }))
    const hostNames = openHostNames(parsed, { resolver: dns.resolver, clock: Date.now, log: () => {} })
    await hostNames?.refresh()
    const of = createHostRules(parsed, hostNames)
    const here: Arrival = { ...arrival, ...row.who, address: row.from ?? arrival.address }
    const found = await of.match(here)
    const said = found.kind === 'none' ? 'none' : found.kind === 'matched' ? found.rule : `undecided ${found.rule}`
    assert.equal(said, row.expect)
    // `explain` comes to the same, by the same rules.
    const first = (await of.explain(here)).find(({ kind }) => kind === 'decides' || kind === 'undecided')
    const explained = first === undefined ? 'none' : first.kind === 'decides' ? first.rule : `undecided ${first.rule}`
    assert.equal(explained, row.expect)
    hostNames?.close()
  })
}

test('explain says what DNS knows', async () => {
  const parsed = ['db.example', ['nobody.example', '.corp.example'], '.corp.example', '.other.example'].map(address =>
    hostRuleOptions.parse({ address, use: [] }),
  )
  const hostNames = openHostNames(parsed, { resolver: dns.resolver, clock: Date.now, log: () => {} })
  await hostNames?.refresh()
  const because = async (address: string): Promise<unknown> =>
    (await createHostRules(parsed, hostNames).explain({ ...arrival, address })).map(
      reading => reading.because ?? reading.kind,
    )
  assert.deepEqual(await because('10.0.0.8'), [
    'the address is 10.0.0.8, the rule is for db.example (db.example is 10.0.0.7)',
    'decides',
    'holds',
    'the address is 10.0.0.8, whose own name is a.corp.example; the rule is for .other.example',
  ])
  assert.deepEqual(await because('10.0.0.66'), [
    'the address is 10.0.0.66, the rule is for db.example (db.example is 10.0.0.7)',
    'the address is 10.0.0.66, whose own name no DNS server confirms; the rule is for nobody.example or .corp.example',
    'the address is 10.0.0.66, whose own name no DNS server confirms; the rule is for .corp.example',
    'the address is 10.0.0.66, whose own name no DNS server confirms; the rule is for .other.example',
  ])
  assert.deepEqual(
    ((await because('10.0.0.67')) as string[])[1],
    'DNS does not say what the name of 10.0.0.67 is (ESERVFAIL)',
  )
  hostNames?.close()
})

test('no rule asks for names: DNS is not asked', () => {
  const parsed = [hostRuleOptions.parse({ address: ['10.0.0.0/8', 'local'], use: [] })]
  assert.equal(openHostNames(parsed, { clock: Date.now, log: () => {} }), undefined)
})

test('names hold for nobody where nobody asks DNS', () => {
  assert.deepEqual(matchAtOnce(rules({ address: ['db.example', '.corp.example'], use: [] }), arrival), { kind: 'none' })
})
