import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createBearerMechanism } from '../authn/bearer.ts'
import { createIdentity } from '../authn/identity.ts'
import { parseJson } from '../authn/json.ts'
import { codeOf, get, post, send, startDoor, startUpstream } from './kit.test.ts'
import { parsePath } from './path.ts'
import { HttpError } from './problem.ts'
import { hostPatternProblem, routeHost } from './route-hosts.ts'
import { parsePattern, type RoutePattern } from './route-pattern.ts'
import { compileUpstreamPath } from './upstream-path.ts'

const somebody = (claims: Record<string, unknown>, source = 'test') =>
  createIdentity({
    id: 'alice',
    roles: ['staff'],
    claims: parseJson(Buffer.from(JSON.stringify(claims))) as Record<string, unknown>,
    clientId: undefined,
    mechanism: 'jwt',
    source,
    expiresAt: undefined,
  })

/** Tokens are the claims themselves here, in base64url; `of-other` is of another issuer. */
const claimsBearer = createBearerMechanism(
  {
    authenticate: async token => {
      if (token === 'of-other') return { kind: 'identified', identity: somebody({}, 'other') }
      return { kind: 'identified', identity: somebody(JSON.parse(Buffer.from(token, 'base64url').toString())) }
    },
  },
  { realm: 'bawn', base64: false },
)
const bearer = (claims: Record<string, unknown>): string =>
  `Authorization: Bearer ${Buffer.from(JSON.stringify(claims)).toString('base64url')}`

test('routes by host: the longest name that has a route for the path', async t => {
  const upstream = await startUpstream(t, (request, response) => response.end(request.url))
  const route = (path: string, to: string, hosts?: readonly string[]) => ({
    path,
    upstream_path: to,
    ...(hosts && { hosts }),
  })
  const kit = await startDoor(t, {
    upstream,
    routes: [
      route('/a', '/every'),
      route('/c', '/every-c'),
      route('/a', '/shop', ['shop.example']),
      route('/a', '/under', ['*.example']),
      route('/b', '/under-b', ['*.example']),
      route('/a', '/deep', ['*.eu.example']),
      { path: '/p', hosts: ['shop.example'], methods: ['POST'] },
      { path: '/p', methods: ['GET'] },
    ],
  })
  const rows: readonly (readonly [string, string, string])[] = [
    ['shop.example', '/a', '/shop'],
    ['SHOP.Example:8080', '/a', '/shop'],
    ['shop.example.', '/a', '/shop'],
    ['shop.example', '/b', '/under-b'],
    ['shop.example', '/c', '/every-c'],
    ['x.example', '/a', '/under'],
    ['x.y.example', '/a', '/under'],
    ['x.eu.example', '/a', '/deep'],
    ['eu.example', '/a', '/under'],
    ['example', '/a', '/every'],
    ['127.0.0.1', '/a', '/every'],
    ['[::1]:80', '/a', '/every'],
  ]
  for (const [host, path, expected] of rows) {
    const response = await getAt(kit.port, host, path)
    assert.deepEqual([response.status, response.body], [200, expected], `${host}${path}`)
  }
  // In another case it is no route, and is not left to that of every host.
  assert.equal((await getAt(kit.port, 'shop.example', '/A')).status, 404)
  assert.equal((await getAt(kit.port, 'shop.example', '/p')).status, 405)
  assert.equal((await getAt(kit.port, 'other.example', '/p')).status, 200)
})

test('host names that routes may have', () => {
  for (const good of ['a', 'shop.example', '*.example', 'a-b.c', '127.0.0.1'])
    assert.equal(hostPatternProblem(good), undefined)
  for (const bad of ['', '*', 'Shop.example', 'a:80', 'a.', '.a', '*.*.a', 'a*.b', 'a/b', 'a b', '-a', 'ö.example']) {
    assert.notEqual(hostPatternProblem(bad), undefined, bad)
  }
  assert.equal(routeHost('A.B:80'), 'a.b')
  assert.equal(routeHost('[::1]:80'), '[::1]')
})

test('the upstream’s path is made of parts that read in one way only', () => {
  const compiled = (route: string, to: string) => compileUpstreamPath(to, parsePattern(route) as RoutePattern)
  const target = (route: string, to: string, path: string, claims: Record<string, unknown> = {}): string => {
    const reading = compiled(route, to)
    assert.ok(typeof reading !== 'string', String(reading))
    const parsed = parsePath(path)
    assert.ok(parsed)
    try {
      return reading.path(parsed, somebody(claims))
    } catch (error) {
      assert.ok(error instanceof HttpError && error.code === 'http.unusable_claim')
      return 'refused'
    }
  }
  const rows: readonly (readonly [string, string, string, Record<string, unknown>, string])[] = [
    ['/a/{x}', '/v2/{x}', '/a/7', {}, '/v2/7'],
    ['/a/{x}', '/v2/{x}', '/a/b%20c%2C', {}, '/v2/b%20c%2C'],
    ['/a/{x}/{y}', '/{y}/{x}', '/a/1/2', {}, '/2/1'],
    ['/files/*', '/v2/*', '/files/a/b/', {}, '/v2/a/b/'],
    ['/files/*', '/v2/*', '/files', {}, '/v2'],
    ['/*', '/*', '/', {}, '/'],
    ['/a', '/', '/a', {}, '/'],
    ['/a', '/ü', '/a', {}, '/%C3%BC'],
    ['/me', '/users/{identity.id}', '/me', {}, '/users/alice'],
    ['/me', '/t/{identity.claims.tenant}', '/me', { tenant: 'a b' }, '/t/a%20b'],
    ['/me', '/t/{identity.claims.realm.tenant}', '/me', { realm: { tenant: 7 } }, '/t/7'],
    ['/me', '/t/{identity.claims.https://x.example/t}', '/me', { 'https://x.example/t': 'q' }, '/t/q'],
    ['/me', '/t/{identity.claims.tenant}', '/me', {}, 'refused'],
    ['/me', '/t/{identity.claims.tenant}', '/me', { tenant: ['a'] }, 'refused'],
    ['/me', '/t/{identity.claims.tenant}', '/me', { tenant: null }, 'refused'],
    ['/me', '/t/{identity.claims.tenant}', '/me', { tenant: 2 ** 60 }, 'refused'],
    ...['', '.', '..', '../x', 'a/b', 'a\\b', 'a;b', '%2e', '%2F', 'a\r\nX: y', 'a\u0000', '\u0085'].map(
      tenant => ['/me', '/t/{identity.claims.tenant}', '/me', { tenant }, 'refused'] as const,
    ),
    ['/me', '/t/{identity.claims.tenant}', '/me', { tenant: 'a?b#c&d' }, '/t/a%3Fb%23c%26d'],
    ['/me', '/t/{identity.claims.__proto__}', '/me', {}, 'refused'],
    ['/me', '/t/{identity.claims.constructor}', '/me', {}, 'refused'],
  ]
  for (const [route, to, path, claims, expected] of rows) {
    assert.equal(target(route, to, path, claims), expected, `${to} ${JSON.stringify(claims)}`)
  }
  for (const [route, to] of [
    ['/a', '/x/*'],
    ['/a/{x}', '/{y}'],
    ['/a', '/x//y'],
    ['/a', '/../y'],
    ['/a', '/x%20y'],
    ['/a', '/x{y}'],
    ['/a', '/*/x'],
    ['/a', '/x;y'],
  ] as const) {
    assert.equal(typeof compiled(route, to), 'string', `${route} to ${to}`)
  }
})

test('what a backend receives is what the route says', async t => {
  const seen: { url: string | undefined; headers: NodeJS.Dict<string | string[]> }[] = []
  const upstream = await startUpstream(t, (request, response) => {
    seen.push({ url: request.url, headers: request.headers })
    response.end()
  })
  const kit = await startDoor(t, {
    upstream: `${upstream}/base`,
    mechanisms: [claimsBearer],
    routes: [
      {
        path: '/orders/{id}',
        allow: ['authenticated'],
        upstream_path: '/tenants/{identity.claims.tenant}/orders/{id}',
        query: ['page', 'q'],
        request_headers: ['Accept'],
        identity_headers: {
          claims: { 'X-Tenant': 'tenant', 'X-Groups': 'realm.groups', 'X-Mail': 'email', 'X-Odd': 'object' },
        },
      },
    ],
  })
  const claims = { tenant: 't1', realm: { groups: ['a,b', 'c', 3, true] }, object: { a: 1 } }
  const answer = await get(kit.port, '/orders/7?page=2&admin=1&q=x%20y&%70age=3&Page=4', [
    bearer(claims),
    'Accept: text/plain',
    'X-Mail: mallory@x.example',
    'X-Odd: mine',
    'X-Other: 1',
  ])
  assert.equal(answer.status, 200)
  const [request] = seen
  assert.equal(request?.url, '/base/tenants/t1/orders/7?page=2&q=x%20y&%70age=3')
  assert.equal(request?.headers['x-tenant'], 't1')
  assert.equal(request?.headers['x-groups'], 'a%2Cb,c,3,true')
  for (const name of ['x-mail', 'x-odd', 'x-other', 'authorization'])
    assert.equal(request?.headers[name], undefined, name)

  const refused = await get(kit.port, '/orders/7', [bearer({ tenant: '../admin' })])
  assert.deepEqual([refused.status, codeOf(refused)], [403, 'http.unusable_claim'])
  assert.equal(seen.length, 1)
})

test('a route takes tokens of its issuers only', async t => {
  const upstream = await startUpstream(t, (_, response) => response.end('here'))
  const kit = await startDoor(t, {
    upstream,
    mechanisms: [claimsBearer],
    routes: [
      { path: '/ours', allow: ['authenticated'], issuers: ['test'] },
      { path: '/all', allow: ['authenticated'] },
      { path: '/open', allow: ['anyone'], issuers: ['test'] },
    ],
  })
  const other = ['Authorization: Bearer of-other']
  assert.equal((await get(kit.port, '/ours', [bearer({})])).status, 200)
  assert.equal((await get(kit.port, '/all', other)).status, 200)
  const refused = await get(kit.port, '/ours', other)
  assert.deepEqual([refused.status, codeOf(refused)], [401, 'authn.failed'])
  assert.equal((await get(kit.port, '/open', other)).status, 401)
  assert.equal((await get(kit.port, '/open')).status, 200)
})

test('a route has limits of its own', async t => {
  const upstream = await startUpstream(t, (request, response) => {
    if (request.url !== '/slow') response.end('ok')
  })
  const kit = await startDoor(t, {
    upstream,
    routes: [
      { path: '/small', methods: ['POST'], max_body_bytes: 3 },
      { path: '/slow', response_timeout: '50ms' },
    ],
  })
  assert.equal((await post(kit.port, '/small', 'abc')).status, 200)
  const large = await post(kit.port, '/small', 'abcd')
  assert.deepEqual([large.status, codeOf(large)], [413, 'http.body_too_large'])
  const slow = await get(kit.port, '/slow')
  assert.deepEqual([slow.status, codeOf(slow)], [504, 'http.upstream_timeout'])
})

test('a route that anyone may ask for cannot be about who is asking', async t => {
  const upstream = await startUpstream(t, (_, response) => response.end())
  await assert.rejects(
    startDoor(t, { upstream, routes: [{ path: '/a', allow: ['anyone'], upstream_path: '/{identity.id}' }] }),
    { code: 'http.bad_route' },
  )
})

function getAt(port: number, host: string, path: string) {
  return send(port, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
}

test('a host that is longer than every name is nobody’s', async t => {
  const upstream = await startUpstream(t, (_, response) => response.end('here'))
  const { port } = await startDoor(t, { upstream, routes: [{ path: '/a', hosts: ['*.shop.example'] }] })
  const ask = async (host: string) => (await send(port, `GET /a HTTP/1.1\r\nHost: ${host}\r\n\r\n`)).status
  const under = (length: number): string => `${'a.'.repeat(127)}shop.example`.slice(-length)
  assert.equal(await ask(`${under(252)}.:65535`), 200)
  for (const host of [`${under(254)}.:65535`, `a${'.'.repeat(12_000)}shop.example`]) assert.equal(await ask(host), 400)
})
