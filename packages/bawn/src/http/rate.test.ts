import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createBearerMechanism } from '../authn/bearer.ts'
import type { HttpMechanism } from '../authn/http-mechanism.ts'
import { createIdentity } from '../authn/identity.ts'
import { rateLimitOptions } from '../limits/option.ts'
import { createRateLimiter, type RateLimit } from '../limits/rate-limit.ts'
import { codeOf, everything, get, raw, startDoor, startUpstream } from './kit.test.ts'
import { HttpError } from './problem.ts'

const listenerLimit = (rate: string, now: () => number, burst?: number): RateLimit =>
  createRateLimiter({ now }).limit('listener web', 'listener', rateLimitOptions.parse({ rate, burst }))

/** Counts how often it was asked who somebody is. */
function counting(): { asked: number; readonly mechanism: HttpMechanism } {
  const counter = {
    asked: 0,
    mechanism: {
      name: 'jwt',
      carries: { headers: ['authorization'], query: [] },
      authenticate: ({ authorization }) => {
        if (authorization.length === 0) return { kind: 'absent' }
        counter.asked += 1
        return { kind: 'rejected', reason: 'untrusted' }
      },
      challenge: () => 'Bearer realm="bawn"',
    } satisfies HttpMechanism,
  }
  return counter
}

// Both engines take requests in, and neither may let one past the limits.
const engines = ['llhttp', 'node-http'] as const

for (const engine of engines)
  test(`${engine}: requests over the rate of the listener are answered 429 before anybody is asked who they are`, async t => {
    let at = 0
    const upstream = await startUpstream(t, (_request, response) => response.end('fine'))
    const counter = counting()
    const { port, events } = await startDoor(t, {
      upstream,
      mechanisms: [counter.mechanism],
      listener: { engine },
      rateLimit: listenerLimit('2/s', () => at, 3),
    })
    const ask = (target = '/a') => get(port, target, ['Authorization: Bearer x'])
    const first = await ask()
    assert.equal(first.status, 401)
    assert.deepEqual(
      [first.headers.get('ratelimit-policy'), first.headers.get('ratelimit')],
      ['"listener";q=3;w=2', '"listener";r=2;t=1'],
    )
    assert.deepEqual([(await ask()).status, (await get(port, '/a')).status], [401, 200])
    for (const target of ['/a', '/nowhere/x', '/a//b']) {
      const limited = await ask(target)
      assert.equal(codeOf(limited), 'http.rate_limited')
      assert.equal(limited.status, 429)
      assert.deepEqual(
        ['retry-after', 'ratelimit', 'www-authenticate'].map(name => limited.headers.get(name)),
        ['1', '"listener";r=0;t=2', undefined],
      )
    }
    assert.equal(counter.asked, 2)
    const last = events.at(-1)
    assert.deepEqual(
      [last?.decision, last?.rule, last?.code],
      ['deny', 'rate limit of the listener', 'http.rate_limited'],
    )
    at = 500
    assert.deepEqual([(await get(port, '/a')).status, (await get(port, '/a')).status], [200, 429])
  })

for (const engine of engines)
  test(`${engine}: a route has a rate of its own, besides that of the listener; answers say both`, async t => {
    const upstream = await startUpstream(t, (_request, response) => {
      response.setHeader('RateLimit', '"upstream";r=9;t=1')
      response.end('fine')
    })
    const { port } = await startDoor(t, {
      upstream,
      now: () => 0,
      listener: { engine },
      rateLimit: listenerLimit('100/m', () => 0),
      routes: [
        { path: '/slow', rate_limit: { rate: '60/h', burst: 2 } },
        { path: '/fast', methods: ['GET'] },
      ],
    })
    const answer = await get(port, '/slow')
    assert.equal(answer.status, 200)
    assert.equal(answer.headers.get('ratelimit-policy'), '"listener";q=100;w=60 | "route";q=2;w=120')
    assert.equal(
      answer.headers.get('ratelimit'),
      '"upstream";r=9;t=1 | "listener";r=99;t=1 | "route";r=1;t=60',
      'what the upstream says of its own limits stays',
    )
    assert.equal((await get(port, '/slow')).status, 200)
    const limited = await get(port, '/slow')
    assert.deepEqual([limited.status, limited.headers.get('retry-after')], [429, '60'])
    assert.equal((await get(port, '/fast')).status, 200)
  })

for (const engine of engines) {
  test(`${engine}: what a caller says of its own address changes nothing`, async t => {
    const upstream = await startUpstream(t, (_request, response) => response.end('fine'))
    const { port } = await startDoor(t, { upstream, listener: { engine }, rateLimit: listenerLimit('3/h', () => 0) })
    const ask = async (...headers: readonly string[]) => (await get(port, '/a', headers)).status
    for (const status of [200, 200, 200, 429, 429]) {
      const other = `192.0.2.${Math.floor(Math.random() * 255)}`
      const lies = [
        `X-Forwarded-For: ${other}`,
        `Forwarded: for=${other}`,
        `X-Real-IP: ${other}`,
        `Client-IP: ${other}`,
      ]
      assert.equal(await ask(...lies), status)
    }
  })

  test(`${engine}: behind a trusted proxy each client is counted, by what the proxy says of it alone`, async t => {
    const upstream = await startUpstream(t, (_request, response) => response.end('fine'))
    const trusted_proxies = { addresses: ['127.0.0.1'] }
    const listener = { engine, trusted_proxies }
    const { port } = await startDoor(t, { upstream, listener, rateLimit: listenerLimit('2/h', () => 0) })
    const ask = async (chain: string) => {
      const { status, headers } = await get(port, '/a', [`X-Forwarded-For: ${chain}`])
      assert.equal(headers.get('retry-after') !== undefined, status === 429)
      return status
    }
    assert.deepEqual(
      [await ask('192.0.2.1'), await ask('203.0.113.9, 192.0.2.1'), await ask('203.0.113.10, 192.0.2.1')],
      [200, 200, 429],
      'what stands to the left was said by the client',
    )
    assert.deepEqual([await ask('192.0.2.2'), await ask('::ffff:192.0.2.2'), await ask('192.0.2.2')], [200, 200, 429])
    const rotated = await Promise.all(Array.from({ length: 3 }, (_, n) => ask(`2001:db8:1:2::${n + 1}`)))
    assert.deepEqual(rotated.toSorted(), [200, 200, 429])
  })

  test(`${engine}: pipelined requests, heads that are refused later and bodies that nobody reads are requests`, async t => {
    const upstream = await startUpstream(t, (request, response) =>
      request.resume().on('end', () => response.end('fine')),
    )
    const counter = counting()
    const { port, events } = await startDoor(t, {
      upstream,
      routes: [{ ...everything, allow: ['authenticated'] }],
      mechanisms: [counter.mechanism],
      listener: { engine },
      rateLimit: listenerLimit('2/h', () => 0),
    })
    const one = 'GET /a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\n\r\n'
    const big =
      'POST /a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\nContent-Length: 1000000000\r\nExpect: 100-continue\r\n\r\n'
    const text = await raw(port, one.repeat(4) + big)
    assert.deepEqual(
      [...text.matchAll(/^HTTP\/1\.1 ([0-9]{3})/gm)].map(([, status]) => status),
      ['401', '401', '429', '429', '429'],
    )
    assert.equal(text.match(/^Retry-After: 1800\r$/gm)?.length, 3)
    assert.equal(counter.asked, 2)
    assert.equal(events.length, 5, 'each is a line in the trail')
  })
}

test('without a rate nothing is counted and nothing is said', async t => {
  const upstream = await startUpstream(t, (_request, response) => response.end('fine'))
  const { port } = await startDoor(t, { upstream })
  const { headers } = await get(port, '/a')
  assert.deepEqual([headers.get('ratelimit'), headers.get('ratelimit-policy')], [undefined, undefined])
})

test('a limit that answers later is waited for; one that cannot answer lets nobody through', async t => {
  const upstream = await startUpstream(t, (_request, response) => response.end('fine'))
  const later = (answer: () => Promise<ReturnType<RateLimit['take']>>): RateLimit => ({
    name: 'listener',
    burst: 1,
    windowMs: 1_000,
    take: () => answer().then(taken => taken),
  })
  const permitted = { kind: 'permitted', remaining: 4, resetMs: 0, retryAfterMs: 0 } as const
  const good = await startDoor(t, { upstream, routes: [everything], rateLimit: later(async () => permitted) })
  const answer = await get(good.port, '/a')
  assert.deepEqual([answer.status, answer.headers.get('ratelimit')], [200, '"listener";r=4;t=0'])
  const away = await startDoor(t, {
    upstream,
    rateLimit: later(() => Promise.reject(new Error('the counter is away'))),
  })
  assert.equal((await get(away.port, '/a')).status, 500)
  assert.equal(away.logged.length, 1)
})

/** Tokens are claims in base64url here; one with `other` is of another issuer. */
const claimsMechanism = createBearerMechanism(
  {
    authenticate: async token => {
      const claims: Record<string, unknown> = JSON.parse(Buffer.from(token, 'base64url').toString())
      const source = 'other' in claims ? 'other' : 'test'
      const identity = { id: 'alice', roles: [], claims, source, clientId: undefined, expiresAt: undefined }
      return { kind: 'identified', identity: createIdentity({ ...identity, mechanism: 'jwt' }) }
    },
  },
  { realm: 'bawn', base64: false },
)
const claims = (of: Record<string, unknown>): string =>
  `Authorization: Bearer ${Buffer.from(JSON.stringify(of)).toString('base64url')}`

/** What is asked in this order, of a route where each caller may ask twice; `yes` where it was let through. */
const perRows: readonly {
  readonly per: object
  readonly path: string
  readonly asked: readonly (readonly [string, readonly string[], 'yes' | 'no', string])[]
}[] = [
  {
    per: { header: 'X-Tenant' },
    path: '/a',
    asked: [
      ['/a', ['X-Tenant: one'], 'yes', ''],
      ['/a', ['x-tenant: one'], 'yes', 'a name of a header has no case'],
      ['/a', ['X-Tenant: one'], 'no', 'a third'],
      ['/a', ['X-Tenant: two'], 'yes', 'another tenant'],
      ['/a', [], 'yes', 'without one'],
      ['/a', ['X-Tenant: '], 'yes', 'an empty one is none'],
      ['/a', [], 'no', 'all without one are one caller'],
      ['/a', ['X-Tenant: two', 'X-Tenant: three'], 'no', 'two are none'],
      ['/a', ['X-Tenant: three', 'Connection: close, x-tenant'], 'no', 'one that goes no further is none'],
      ['/a', ['X-Tenant: two'], 'yes', 'nothing was taken from it meanwhile'],
      ['/a', ['X-Tenant: two'], 'no', ''],
    ],
  },
  {
    per: { parameter: 'customer' },
    path: '/shops/{shop}/{customer}',
    asked: [
      ['/shops/1/anna', [], 'yes', ''],
      ['/shops/2/anna', [], 'yes', 'another parameter has no say'],
      ['/shops/1/ANN%61', [], 'no', 'however it is written'],
      ['/shops/1/anna.', [], 'no', 'servers differ about it'],
      ['/shops/1/berta', [], 'yes', ''],
    ],
  },
  {
    per: { claim: 'org.tenant' },
    path: '/a',
    asked: [
      ['/a', [claims({ org: { tenant: 'one' } })], 'yes', ''],
      ['/a', [claims({ org: { tenant: 'one' }, jti: '2' })], 'yes', ''],
      ['/a', [claims({ org: { tenant: 'one' }, jti: '3' })], 'no', 'whichever token'],
      ['/a', [claims({ org: { tenant: 'one' }, other: true })], 'yes', 'what another issuer calls so'],
      ['/a', [claims({ org: { tenant: 1 } })], 'yes', ''],
      ['/a', [claims({})], 'yes', 'without it'],
      ['/a', [claims({ org: { tenant: ['one'] } })], 'yes', 'no text'],
      ['/a', [], 'no', 'nobody'],
      ['/a', [claims({ org: { tenant: '' } })], 'no', 'empty'],
    ],
  },
]

for (const engine of engines)
  for (const { per, path, asked } of perRows)
    test(`${engine}: per ${JSON.stringify(per)}`, async t => {
      let arrived = 0
      const upstream = await startUpstream(t, (_request, response) => {
        arrived += 1
        response.end('fine')
      })
      const { port, events, logged } = await startDoor(t, {
        upstream,
        now: () => 0,
        listener: { engine },
        mechanisms: [claimsMechanism],
        routes: [{ path, rate_limit: { per, rate: '2/m' } }],
      })
      for (const [at, [target, headers, passes, why]] of asked.entries()) {
        const answer = await get(port, target, headers)
        assert.equal(answer.status, passes === 'yes' ? 200 : 429, `${at}: ${why}`)
        assert.equal(answer.headers.get('ratelimit-policy'), '"route";q=2;w=60')
        assert.equal(answer.headers.get('retry-after'), passes === 'yes' ? undefined : '30')
      }
      assert.equal(arrived, asked.filter(([, , passes]) => passes === 'yes').length)
      assert.doesNotMatch(JSON.stringify([events.map(({ rule, code }) => [rule, code]), logged]), /\b(one|two|anna)\b/)
    })

test('a rate that nothing could be counted by stops the start', async t => {
  const upstream = await startUpstream(t, (_request, response) => response.end())
  for (const [per, expected] of [
    [{ parameter: 'id' }, /\{id\} is no parameter of the path/],
    [{ header: 'Authorization' }, /Authorization is not what a caller is told apart by/],
    [{ header: 'X-Forwarded-For' }, /X-Forwarded-For is not/],
    [{ header: 'X-Person' }, /X-Person is not/],
    [{ header: 'Host' }, /Host is not/],
  ] as const) {
    const routes = [{ path: '/a', identity_headers: { id: 'X-Person' }, rate_limit: { per, rate: '2/m' } }]
    await assert.rejects(
      startDoor(t, { upstream, routes }),
      error => error instanceof HttpError && error.code === 'http.bad_route' && expected.test(error.message),
    )
  }
})
