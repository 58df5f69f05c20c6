import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'
import { createFindClient } from './client-address.ts'
import { get, startDoor, startUpstream } from './kit.test.ts'

const proxies = ['10.0.0.0/8', '192.0.2.1', '2001:db8:1::/48']

const rows: readonly {
  name: string
  header?: 'x-forwarded-for' | 'forwarded'
  peer?: string
  headers: readonly string[]
  secure?: boolean
  expect: { address: string; secure: boolean } | undefined
}[] = [
  {
    name: 'a peer that is not listed is the client, whatever it says',
    peer: '203.0.113.9',
    headers: ['X-Forwarded-For', '127.0.0.1', 'X-Forwarded-Proto', 'https'],
    expect: { address: '203.0.113.9', secure: false },
  },
  {
    name: 'a listed peer that says nothing is the client',
    headers: [],
    expect: { address: '10.0.0.1', secure: false },
  },
  {
    name: 'a listed peer is believed',
    headers: ['X-Forwarded-For', '203.0.113.9'],
    expect: { address: '203.0.113.9', secure: false },
  },
  {
    name: 'what the client wrote to the left is not',
    headers: ['X-Forwarded-For', '127.0.0.1, 203.0.113.9'],
    expect: { address: '203.0.113.9', secure: false },
  },
  {
    name: 'through several proxies',
    headers: ['X-Forwarded-For', '127.0.0.1, 203.0.113.9, 10.9.9.9, 192.0.2.1'],
    expect: { address: '203.0.113.9', secure: false },
  },
  {
    name: 'in several lines',
    headers: ['X-Forwarded-For', '127.0.0.1', 'x-forwarded-for', '203.0.113.9,10.9.9.9'],
    expect: { address: '203.0.113.9', secure: false },
  },
  {
    name: 'proxies all the way: the leftmost',
    headers: ['X-Forwarded-For', '10.3.3.3, 10.9.9.9'],
    expect: { address: '10.3.3.3', secure: false },
  },
  {
    name: 'with a port',
    headers: ['X-Forwarded-For', '203.0.113.9:4711'],
    expect: { address: '203.0.113.9', secure: false },
  },
  { name: 'IPv6', headers: ['X-Forwarded-For', '2001:db8:2::7'], expect: { address: '2001:db8:2::7', secure: false } },
  {
    name: 'IPv6 in brackets with a port',
    headers: ['X-Forwarded-For', '[2001:db8:2::7]:4711, 2001:db8:1::1'],
    expect: { address: '2001:db8:2::7', secure: false },
  },
  {
    name: 'IPv4 inside IPv6 is IPv4',
    headers: ['X-Forwarded-For', '::ffff:203.0.113.9'],
    expect: { address: '203.0.113.9', secure: false },
  },
  {
    name: 'TLS to the proxy',
    headers: ['X-Forwarded-For', '203.0.113.9', 'X-Forwarded-Proto', 'https'],
    expect: { address: '203.0.113.9', secure: true },
  },
  {
    name: 'no TLS to the proxy, TLS from it',
    headers: ['X-Forwarded-For', '203.0.113.9', 'X-Forwarded-Proto', 'http'],
    secure: true,
    expect: { address: '203.0.113.9', secure: false },
  },
  {
    name: 'a protocol for each hop',
    headers: ['X-Forwarded-For', '1.1.1.1, 203.0.113.9, 10.9.9.9', 'X-Forwarded-Proto', 'https, http, https'],
    expect: { address: '203.0.113.9', secure: false },
  },
  {
    name: 'two protocols for three hops',
    headers: ['X-Forwarded-For', '1.1.1.1, 203.0.113.9, 10.9.9.9', 'X-Forwarded-Proto', 'https, http'],
    expect: undefined,
  },
  {
    name: 'an unknown protocol',
    headers: ['X-Forwarded-For', '203.0.113.9', 'X-Forwarded-Proto', 'gopher'],
    expect: undefined,
  },
  { name: 'a name', headers: ['X-Forwarded-For', 'client.example'], expect: undefined },
  { name: 'unknown', headers: ['X-Forwarded-For', 'unknown'], expect: undefined },
  { name: 'an empty entry', headers: ['X-Forwarded-For', '203.0.113.9,,10.9.9.9'], expect: undefined },
  { name: 'an empty header', headers: ['X-Forwarded-For', ''], expect: undefined },
  { name: 'a zone', headers: ['X-Forwarded-For', 'fe80::1%eth0'], expect: undefined },
  { name: 'octal digits', headers: ['X-Forwarded-For', '010.0.0.1'], expect: undefined },
  { name: 'too many hops', headers: ['X-Forwarded-For', Array(40).fill('10.9.9.9').join(',')], expect: undefined },
  {
    name: 'Forwarded is not looked at',
    headers: ['Forwarded', 'for=203.0.113.9'],
    expect: { address: '10.0.0.1', secure: false },
  },
  {
    name: 'X-Real-IP is not looked at',
    headers: ['X-Real-IP', '203.0.113.9'],
    expect: { address: '10.0.0.1', secure: false },
  },
  {
    name: 'Forwarded',
    header: 'forwarded',
    headers: ['Forwarded', 'for=203.0.113.9;proto=https;by=10.0.0.1'],
    expect: { address: '203.0.113.9', secure: true },
  },
  {
    name: 'Forwarded: several, quoted',
    header: 'forwarded',
    headers: ['Forwarded', 'for=127.0.0.1, For="[2001:db8:2::7]:4711" ; proto=http, for=10.9.9.9;proto=https'],
    expect: { address: '2001:db8:2::7', secure: false },
  },
  { name: 'Forwarded: hidden', header: 'forwarded', headers: ['Forwarded', 'for=_hidden'], expect: undefined },
  { name: 'Forwarded: without for', header: 'forwarded', headers: ['Forwarded', 'proto=https'], expect: undefined },
  {
    name: 'Forwarded: one name twice',
    header: 'forwarded',
    headers: ['Forwarded', 'for=203.0.113.9;for=127.0.0.1'],
    expect: undefined,
  },
  {
    name: 'Forwarded: an open quote',
    header: 'forwarded',
    headers: ['Forwarded', 'for="203.0.113.9'],
    expect: undefined,
  },
  {
    name: 'Forwarded: a comma in quotes',
    header: 'forwarded',
    headers: ['Forwarded', 'for="203.0.113.9,127.0.0.1"'],
    expect: undefined,
  },
  {
    name: 'Forwarded: X-Forwarded-For is not looked at',
    header: 'forwarded',
    headers: ['X-Forwarded-For', '203.0.113.9'],
    expect: { address: '10.0.0.1', secure: false },
  },
]

for (const row of rows) {
  test(`who asks: ${row.name}`, () => {
    const find = createFindClient({ addresses: proxies, header: row.header ?? 'x-forwarded-for' })
    const request = { rawHeaders: row.headers, remoteAddress: row.peer ?? '10.0.0.1', secure: row.secure ?? false }
    assert.deepEqual(find(request), row.expect)
  })
}

test('whatever a header says, a client is somebody with an address, or nobody', () => {
  const morsels = [
    '10.0.0.1',
    '203.0.113.9',
    'for=',
    '"',
    ',',
    ';',
    '[',
    ']',
    ':',
    '%',
    '\\',
    ' ',
    'proto=',
    'https',
    '::1',
    '\xff',
  ]
  for (const header of ['x-forwarded-for', 'forwarded'] as const) {
    const find = createFindClient({ addresses: proxies, header })
    for (let round = 0; round < 5_000; round++) {
      let text = ''
      for (let count = randomInt(1, 12); count > 0; count--) text += morsels[randomInt(morsels.length)] ?? ''
      const client = find({ rawHeaders: [header, text], remoteAddress: '10.0.0.1', secure: false })
      if (client !== undefined) assert.match(client.address, /^[0-9A-Fa-f:.]+$/)
    }
  }
})

test('rules, the trail and upstreams learn the client’s address, from listed peers only', async t => {
  const seen: unknown[] = []
  const upstream = await startUpstream(t, (request, response) => {
    seen.push([request.headers['x-forwarded-for'], request.headers['x-forwarded-proto']])
    response.end('ok')
  })
  const headers = ['X-Forwarded-For: 127.0.0.9, 203.0.113.9', 'X-Forwarded-Proto: https']
  const asked: unknown[] = []
  const hostRules = {
    match: (arrival: { address: string; tls: boolean }) => {
      asked.push([arrival.address, arrival.tls])
      return { kind: 'matched', rule: 'all', use: [] } as const
    },
  }
  const open = await startDoor(t, { upstream, hostRules, listener: { trusted_proxies: { addresses: ['127.0.0.1'] } } })
  await get(open.port, '/', headers)
  assert.deepEqual(seen, [['203.0.113.9', 'https']])
  assert.deepEqual(asked, [['203.0.113.9', true]])
  assert.equal(open.events.at(-1)?.address, '203.0.113.9')

  const unreadable = await get(open.port, '/', ['X-Forwarded-For: somebody'])
  assert.equal(unreadable.status, 400)
  assert.equal(open.events.at(-1)?.code, 'http.bad_forwarding')

  // A refusal that nobody can record is an error as any other, and not the end of the gateway.
  Object.assign(open.state.trail, {
    emit: () => {
      throw new Error('the disk is full')
    },
  })
  assert.equal((await get(open.port, '/', ['X-Forwarded-For: somebody'])).status, 500)

  const closed = await startDoor(t, { upstream, listener: { trusted_proxies: { addresses: ['192.0.2.1'] } } })
  await get(closed.port, '/', headers)
  assert.deepEqual(seen[1], ['127.0.0.1', 'http'])
})
