import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createIdentity } from '../authn/identity.ts'
import { createAccessFormat, type RequestAccess, type SessionAccess } from './access-line.ts'

const proof = { clientId: undefined, source: 'corp', expiresAt: undefined, roles: [], claims: {} } as const
const identity = createIdentity({ id: 'ann lee', mechanism: 'jwt', ...proof })
const request: RequestAccess = {
  requestId: 'r-1',
  address: '192.0.2.7',
  identity,
  method: 'GET',
  target: '/orders/7?page=1&token=abc',
  route: '/orders/{id}',
  httpVersion: '1.1',
  host: 'shop.example',
  referer: undefined,
  userAgent: 'curl/8',
  status: 200,
  bytes: 12,
  durationMs: 1.23456,
  isComplete: true,
  carriers: new Set(['Mine']),
}
const session: SessionAccess = {
  ...{ requestId: 's-1', address: '::1', identity, database: 'shop', applicationName: 'psql', code: undefined },
  ...{ durationMs: 61_000.4, bytesIn: 10, bytesOut: 20 },
}
const now = Date.UTC(2026, 10, 22, 9, 5, 7, 42)

test('a line in each format', () => {
  const json = createAccessFormat('json', [])
  assert.deepEqual(JSON.parse(json.request(request, now)), {
    ...{ time: '2026-11-22T09:05:07.042Z', door: 'http', request_id: 'r-1', address: '192.0.2.7' },
    ...{ identity: 'ann lee', mechanism: 'jwt', method: 'GET', host: 'shop.example', status: 200, bytes: 12 },
    ...{ target: '/orders/7?page=1&token=***', route: '/orders/{id}', protocol: 'HTTP/1.1', duration_ms: 1.235 },
    user_agent: 'curl/8',
  })
  const cut = JSON.parse(json.request({ ...request, identity: undefined, isComplete: false, status: 499 }, now))
  assert.deepEqual([cut.identity, cut.complete, cut.status], [undefined, false, 499])
  assert.deepEqual(JSON.parse(json.session(session, now)), {
    ...{ time: '2026-11-22T09:05:07.042Z', door: 'postgres', request_id: 's-1', address: '::1' },
    ...{ identity: 'ann lee', mechanism: 'jwt', database: 'shop', application_name: 'psql' },
    ...{ bytes_in: 10, bytes_out: 20, duration_ms: 61_000 },
  })
  assert.equal(JSON.parse(json.session({ ...session, code: 'wrong-password' }, now)).code, 'wrong-password')
  const combined = createAccessFormat('combined', [])
  assert.equal(
    combined.request(request, now),
    '192.0.2.7 - ann\\x20lee [22/Nov/2026:09:05:07 +0000] "GET /orders/7?page=1&token=*** HTTP/1.1" 200 12 "-" "curl/8"\n',
  )
  assert.equal(
    combined.session({ ...session, identity: undefined, code: 'x' }, now),
    '::1 - - [22/Nov/2026:09:05:07 +0000] "CONNECT /shop PostgreSQL" 403 20 "-" "psql"\n',
  )
})

test('values that may be secret are not written, wherever they stand', () => {
  const rows: readonly (readonly [string, string])[] = [
    ['/a?code=1&page=2', '/a?code=***&page=2'],
    ['/a?Access_Token=1', '/a?Access_Token=***'],
    ['/a?%74oken=1', '/a?%74oken=***'],
    ['/a?to%6ben=1', '/a?to%6ben=***'],
    ['/a?%20token+=1', '/a?%20token+=***'],
    ['/a?x=1;token=2', '/a?x=1;token=***'],
    ['/a?x?token=2', '/a?x?token=***'],
    ['/a#access_token=2&y=1', '/a#access_token=***&y=1'],
    ['/a?mine=1&Mine=2', '/a?mine=1&Mine=***'],
    ['/a?account=1', '/a?account=***'],
    ['/a?ACCOUNT=1', '/a?ACCOUNT=***'],
    ['/a?token=a=b==', '/a?token=***'],
    ['/a?token', '/a?token'],
    ['/a?token=', '/a?token=***'],
    ['/a?%zz=1&token=2', '/a?%zz=1&token=***'],
    ['/a?next=/cb?token=1&x=2', '/a?next=/cb?token=***&x=2'],
    ['/a?next=%2Fcb%3Ftoken%3D1%26y%3D2&x=2', '/a?next=***&x=2'],
    ['/a?next=https%253A%252F%252Fh%252F%253Fx%3D1%2526code%253D7', '/a?next=***'],
    ['/a?next=%2Fcb%3Fpage%3D1', '/a?next=%2Fcb%3Fpage%3D1'],
    ['/a?token=/cb?x=1', '/a?token=***'],
    ['/a?token[]=1&password%5B0%5D=2&user[pin]=3', '/a?token[]=***&password%5B0%5D=***&user[pin]=***'],
    ['http://user:wo?rd@shop.example/a', 'http://***@shop.example/a'],
    ['http://user:word@shop.example/a', 'http://***@shop.example/a'],
    ['/users/@me?q=1', '/users/@me?q=1'],
  ]
  for (const [target, expected] of rows) {
    const format = createAccessFormat('json', ['Account'])
    const line = JSON.parse(format.request({ ...request, target, referer: target }, now))
    assert.equal(line.target, expected)
    assert.equal(line.referer, expected)
  }
})

test('whatever a caller writes is one line, in ASCII, and no control character', () => {
  const random = (seed: number): string => {
    let state = seed
    return Array.from({ length: 40 }, () => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
      return String.fromCharCode((state >> 8) & 0xff)
    }).join('')
  }
  const odd = [
    '\r\n192.0.2.1 - root',
    '"\\',
    '\u001b[2J',
    '\u009b31m',
    '\u2028',
    '\ud800',
    'é',
    '\u0000',
    'x'.repeat(9_000),
  ]
  const texts = [...odd, ...Array.from({ length: 500 }, (_, seed) => random(seed + 1))]
  for (const text of texts) {
    const who = createIdentity({ id: text, mechanism: 'jwt', ...proof })
    const access = {
      ...request,
      identity: who,
      target: `/${text}`,
      referer: text,
      userAgent: text,
      host: text,
      method: text,
    }
    const told = { ...session, identity: who, database: text, applicationName: text }
    for (const format of [createAccessFormat('json', []), createAccessFormat('combined', [])]) {
      for (const line of [format.request(access, now), format.session(told, now)]) {
        assert.match(line, /^[ -~]+\n$/)
        assert.ok(line.length < 20_000)
      }
    }
    const json = createAccessFormat('json', [])
    const read = JSON.parse(json.request(access, now))
    assert.equal(read.user_agent, text.length > 512 ? `${text.slice(0, 512)}...` : text)
    assert.equal(JSON.parse(json.session(told, now)).database, read.user_agent)
    // Outside of its quotes a line of the other format has no quote, and always as many of them.
    const combined = createAccessFormat('combined', []).request(access, now)
    assert.equal(combined.split('"').length, 7, combined)
  }
})
