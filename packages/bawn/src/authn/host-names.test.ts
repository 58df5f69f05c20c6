import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { formatAddress, parseAddress } from './address.ts'
import { type Record as DnsRecord, type DnsServer, startDnsServer } from './dns-server.fixture.ts'
import { createHostNames, type HostNames } from './host-names.ts'

// Against a DNS server on UDP.

let dns: DnsServer
before(async () => {
  dns = await startDnsServer()
})
after(() => dns?.close())

let now = 1_000_000
let logged: string[] = []
const opened: HostNames[] = []
beforeEach(() => {
  dns.records.clear()
  dns.asked.length = 0
  dns.ttl = 60
  logged = []
})
afterEach(() => {
  for (const names of opened.splice(0)) names.close()
})

function open(names: readonly string[], suffixes: readonly string[] = []): HostNames {
  const made = createHostNames(
    { names, suffixes },
    { resolver: isSilent() ? dns.impatient : dns.resolver, clock: () => now, log: message => logged.push(message) },
  )
  opened.push(made)
  return made
}

const isSilent = (): boolean => [...dns.records.values()].includes('silence')
const put = (records: Readonly<Record<string, DnsRecord>>): void => {
  for (const [key, record] of Object.entries(records)) dns.records.set(key, record)
}
const known = (names: HostNames, name = 'db.example'): string =>
  names.addressesOf(name).map(formatAddress).sort().join(' ')
async function own(names: HostNames, address: string): Promise<string> {
  const found = await names.namesOf(parseAddress(address) ?? assert.fail(address))
  return found.kind === 'known' ? found.names.join(' ') || 'none' : found.why
}

const rows: readonly {
  readonly name: string
  readonly records: Readonly<Record<string, DnsRecord>>
  readonly expect: string
}[] = [
  { name: 'one address', records: { 'db.example A': ['10.0.0.7'] }, expect: '10.0.0.7' },
  { name: 'several', records: { 'db.example A': ['10.0.0.7', '10.0.0.8'] }, expect: '10.0.0.7 10.0.0.8' },
  {
    name: 'of both families',
    records: { 'db.example A': ['10.0.0.7'], 'db.example AAAA': ['2001:db8::7'] },
    expect: '10.0.0.7 2001:db8::7',
  },
  { name: 'IPv6 only', records: { 'db.example AAAA': ['2001:db8::7'] }, expect: '2001:db8::7' },
  { name: 'an IPv4 address inside IPv6', records: { 'db.example AAAA': ['::ffff:10.0.0.7'] }, expect: '10.0.0.7' },
  { name: 'a name without addresses', records: { 'db.example PTR': ['x'] }, expect: '' },
  { name: 'no such name', records: {}, expect: '' },
  { name: 'a server that fails', records: { 'db.example A': 'servfail', 'db.example AAAA': 'servfail' }, expect: '' },
  { name: 'a server that is silent', records: { 'db.example A': 'silence', 'db.example AAAA': 'silence' }, expect: '' },
  {
    name: 'one family fails',
    records: { 'db.example A': ['10.0.0.7'], 'db.example AAAA': 'servfail' },
    expect: '10.0.0.7',
  },
]
for (const row of rows) {
  test(`a name: ${row.name}`, async () => {
    put(row.records)
    const names = open(['db.example'])
    assert.equal(known(names), '')
    await names.refresh()
    assert.equal(known(names), row.expect)
    assert.deepEqual(
      logged,
      row.expect === '' ? ['db.example in host_rules has no address that DNS knows: rules for it hold for nobody'] : [],
    )
  })
}

test('an address is believed as long as DNS says, at least 5 seconds and at most 5 minutes', async () => {
  for (const [ttl, freshMs] of [
    [60, 60_000],
    [0, 5_000],
    [86_400, 300_000],
  ] as const) {
    dns.ttl = ttl
    put({ 'db.example A': ['10.0.0.7'], 'db.example AAAA': ['2001:db8::7'] })
    const names = open(['db.example'])
    await names.refresh()
    put({ 'db.example A': ['10.0.0.8'] })
    dns.asked.length = 0
    now += freshMs - 1
    await names.refresh()
    assert.equal(known(names), '10.0.0.7 2001:db8::7')
    assert.deepEqual(dns.asked, [])
    now += 1
    await names.refresh()
    assert.equal(known(names), '10.0.0.8 2001:db8::7')
  }
})

test('while DNS does not answer, the last addresses hold for an hour; a name that is gone is gone', async () => {
  put({ 'db.example A': ['10.0.0.7'], 'db.example AAAA': ['2001:db8::7'] })
  const names = open(['db.example'])
  await names.refresh()
  put({ 'db.example A': 'servfail', 'db.example AAAA': 'servfail' })
  now += 60_000
  await names.refresh()
  assert.equal(known(names), '10.0.0.7 2001:db8::7')
  now += 3_530_000
  await names.refresh()
  assert.equal(known(names), '10.0.0.7 2001:db8::7')
  now += 15_000
  await names.refresh()
  assert.equal(known(names), '')
  assert.equal(logged.length, 1)
  put({ 'db.example A': ['10.0.0.9'] })
  dns.records.delete('db.example AAAA')
  now += 5_000
  await names.refresh()
  assert.equal(known(names), '10.0.0.9')
  dns.records.clear()
  now += 60_000
  await names.refresh()
  assert.equal(known(names), '')
  assert.equal(logged.length, 2)
})

test('a question that is under way is not asked twice', async () => {
  put({ 'db.example A': ['10.0.0.7'] })
  const names = open(['db.example'])
  await Promise.all([names.refresh(), names.refresh(), names.refresh()])
  assert.deepEqual([...dns.asked].sort(), ['db.example A', 'db.example AAAA'])
})

const reverse = '7.0.0.10.in-addr.arpa PTR'
const ownRows: readonly {
  readonly name: string
  readonly records: Readonly<Record<string, DnsRecord>>
  readonly address?: string
  readonly expect: string
}[] = [
  {
    name: 'confirmed',
    records: { [reverse]: ['a.corp.example'], 'a.corp.example A': ['10.0.0.7'] },
    expect: 'a.corp.example',
  },
  {
    name: 'in capitals',
    records: { [reverse]: ['A.Corp.EXAMPLE'], 'a.corp.example A': ['10.0.0.7'] },
    expect: 'a.corp.example',
  },
  {
    name: 'confirmed among others',
    records: { [reverse]: ['a.corp.example'], 'a.corp.example A': ['10.0.0.6', '10.0.0.7'] },
    expect: 'a.corp.example',
  },
  {
    name: 'stated and not confirmed',
    records: { [reverse]: ['a.corp.example'], 'a.corp.example A': ['10.0.0.8'] },
    expect: 'none',
  },
  { name: 'stated and unknown', records: { [reverse]: ['a.corp.example'] }, expect: 'none' },
  {
    name: 'of the other family',
    records: { [reverse]: ['a.corp.example'], 'a.corp.example AAAA': ['2001:db8::7'] },
    expect: 'none',
  },
  { name: 'no name', records: {}, expect: 'none' },
  {
    name: 'a name that no rule asks for',
    records: { [reverse]: ['a.elsewhere.example'], 'a.elsewhere.example A': ['10.0.0.7'] },
    expect: 'none',
  },
  {
    name: 'a name that ends in letters like it',
    records: { [reverse]: ['evilcorp.example'], 'evilcorp.example A': ['10.0.0.7'] },
    expect: 'none',
  },
  { name: 'the end itself', records: { [reverse]: ['corp.example'], 'corp.example A': ['10.0.0.7'] }, expect: 'none' },
  {
    name: 'two names, one confirmed',
    records: { [reverse]: ['a.corp.example', 'b.corp.example'], 'b.corp.example A': ['10.0.0.7'] },
    expect: 'b.corp.example',
  },
  {
    name: 'more names than are looked at',
    records: { [reverse]: ['1', '2', '3', '4', '5'].map(n => `n${n}.corp.example`), 'n5.corp.example A': ['10.0.0.7'] },
    expect: 'none',
  },
  {
    name: 'IPv6',
    records: {
      '7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR': ['a.corp.example'],
      'a.corp.example AAAA': ['2001:db8::7'],
    },
    address: '2001:db8::7',
    expect: 'a.corp.example',
  },
  {
    name: 'a server that fails',
    records: { [reverse]: 'servfail' },
    expect: 'DNS does not say what the name of 10.0.0.7 is (ESERVFAIL)',
  },
  {
    name: 'a server that is silent',
    records: { [reverse]: 'silence' },
    expect: 'DNS does not say what the name of 10.0.0.7 is (ETIMEOUT)',
  },
  {
    name: 'a server that fails to confirm',
    records: { [reverse]: ['a.corp.example'], 'a.corp.example A': 'servfail' },
    expect: 'DNS does not say what the name of 10.0.0.7 is (ESERVFAIL)',
  },
]
for (const row of ownRows) {
  test(`an address: ${row.name}`, async () => {
    put(row.records)
    assert.equal(await own(open([], ['.corp.example']), row.address ?? '10.0.0.7'), row.expect)
  })
}

test('names of an address are asked for once, by everybody together, and again after a minute', async () => {
  put({ [reverse]: ['a.corp.example'], 'a.corp.example A': ['10.0.0.7'] })
  const names = open([], ['.corp.example'])
  const all = await Promise.all([own(names, '10.0.0.7'), own(names, '10.0.0.7'), own(names, '::ffff:10.0.0.7')])
  assert.deepEqual(all, ['a.corp.example', 'a.corp.example', 'a.corp.example'])
  assert.equal(dns.asked.length, 2)
  const at = parseAddress('10.0.0.7') ?? assert.fail()
  assert.ok(!(names.namesOf(at) instanceof Promise), 'at once')
  put({ [reverse]: 'servfail' })
  now += 60_000
  assert.match(await own(names, '10.0.0.7'), /ESERVFAIL/)
  put({ [reverse]: ['a.corp.example'] })
  // What could not be told is asked again soon.
  now += 5_000
  assert.equal(await own(names, '10.0.0.7'), 'a.corp.example')
})

test('a resolver that never answers is given up, and no more than so many are asked about at once', async () => {
  const never = () => new Promise<never>(() => {})
  const names = createHostNames(
    { names: [], suffixes: ['.corp.example'] },
    {
      resolver: { resolve4: never, resolve6: never, resolvePtr: never },
      clock: () => now,
      log: () => {},
      ownNameTimeoutMs: 50,
    },
  )
  const first = names.namesOf(Uint8Array.of(10, 0, 0, 0))
  for (let at = 1; at < 256; at++) void names.namesOf(Uint8Array.of(10, 0, 0, at))
  assert.deepEqual(await names.namesOf(Uint8Array.of(10, 0, 1, 0)), {
    kind: 'undecided',
    why: 'DNS is asked about 256 other addresses already',
  })
  // Its own timer keeps nothing alive.
  const alive = setTimeout(() => {}, 60_000)
  const found = await first
  clearTimeout(alive)
  assert.deepEqual(found, { kind: 'undecided', why: 'DNS does not say in time what the name of 10.0.0.0 is' })
})
