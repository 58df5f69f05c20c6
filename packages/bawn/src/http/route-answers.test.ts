import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Answer, codeOf, get, send, startDoor, startUpstream } from './kit.test.ts'
import { corsOptions, errorPageOptions } from './option.ts'

const alice = 'Authorization: Bearer alice'

function preflight(port: number, path: string, origin: string, method: string, headers?: string): Promise<Answer> {
  const asked = headers === undefined ? '' : `Access-Control-Request-Headers: ${headers}\r\n`
  return send(
    port,
    `OPTIONS ${path} HTTP/1.1\r\nHost: gate.example\r\nOrigin: ${origin}\r\nAccess-Control-Request-Method: ${method}\r\n${asked}\r\n`,
  )
}

test('pages of other origins read what a route lets them read', async t => {
  const upstream = await startUpstream(t, (_, response) => {
    response.setHeader('Access-Control-Allow-Origin', '*')
    response.setHeader('Access-Control-Allow-Credentials', 'true')
    response.setHeader('Vary', 'Accept')
    response.end('here')
  })
  const cors = {
    origins: ['https://app.example', 'https://*.shop.example'],
    headers: ['Authorization', 'X-Mine'],
    expose: ['X-Total'],
    max_age: '5m',
  }
  const kit = await startDoor(t, {
    upstream,
    routes: [
      { path: '/a', methods: ['GET', 'PUT'], allow: ['staff'], cors },
      { path: '/a', methods: ['DELETE'], allow: ['staff'] },
      { path: '/all', cors: { origins: ['*'] } },
      { path: '/cookies', cors: { origins: ['https://app.example'], credentials: true } },
      { path: '/theirs', methods: ['GET', 'OPTIONS'] },
    ],
  })

  const allowed = await preflight(kit.port, '/a', 'https://app.example', 'PUT', 'x-mine, authorization')
  assert.equal(allowed.status, 204)
  assert.equal(allowed.headers.get('access-control-allow-origin'), 'https://app.example')
  assert.equal(allowed.headers.get('access-control-allow-methods'), 'GET, PUT')
  assert.equal(allowed.headers.get('access-control-allow-headers'), 'Authorization, X-Mine')
  assert.equal(allowed.headers.get('access-control-max-age'), '300')
  assert.equal(allowed.headers.get('access-control-allow-credentials'), undefined)
  assert.match(allowed.headers.get('vary') ?? '', /Origin/)
  assert.equal(
    (await preflight(kit.port, '/a', 'https://x.y.shop.example', 'GET')).headers.get('access-control-allow-origin'),
    'https://x.y.shop.example',
  )

  const refused: readonly (readonly [string, string, string | undefined])[] = [
    ['https://app.example.evil.example', 'GET', undefined],
    ['https://evilshop.example', 'GET', undefined],
    ['https://.shop.example', 'GET', undefined],
    ['https://shop.example', 'GET', undefined],
    ['http://app.example', 'GET', undefined],
    ['https://app.example:8443', 'GET', undefined],
    ['null', 'GET', undefined],
    ['https://app.example', 'GET', 'x-other'],
  ]
  for (const [origin, method, headers] of refused) {
    const answer = await preflight(kit.port, '/a', origin, method, headers)
    assert.equal(answer.status, 204)
    assert.equal(answer.headers.get('access-control-allow-origin'), undefined, `${origin} ${headers}`)
  }
  // A method whose route says nothing of it, and a path that has none.
  for (const path of ['/a', '/none'])
    assert.ok((await preflight(kit.port, path, 'https://app.example', 'DELETE')).status >= 404)

  const read = await get(kit.port, '/a', [alice, 'Origin: https://app.example'])
  assert.equal(read.headers.get('access-control-allow-origin'), 'https://app.example')
  assert.equal(read.headers.get('access-control-expose-headers'), 'X-Total')
  assert.equal(read.headers.get('access-control-allow-credentials'), undefined, 'the upstream has no say')
  assert.equal(read.headers.get('vary'), 'Accept | Origin')
  // A page has to be able to read why it was refused.
  const unknown = await get(kit.port, '/a', ['Origin: https://app.example'])
  assert.deepEqual([unknown.status, unknown.headers.get('access-control-allow-origin')], [401, 'https://app.example'])
  const other = await get(kit.port, '/a', [alice, 'Origin: https://evil.example'])
  assert.deepEqual([other.status, other.headers.get('access-control-allow-origin')], [200, undefined])

  const all = await get(kit.port, '/all', ['Origin: https://any.example'])
  assert.deepEqual([all.headers.get('access-control-allow-origin'), all.headers.get('vary')], ['*', 'Accept'])
  const cookies = await get(kit.port, '/cookies', ['Origin: https://app.example'])
  assert.equal(cookies.headers.get('access-control-allow-credentials'), 'true')
  const theirs = await preflight(kit.port, '/theirs', 'https://any.example', 'GET')
  assert.deepEqual([theirs.status, theirs.headers.get('access-control-allow-origin')], [200, '*'])
  assert.ok(kit.events.some(({ rule, decision }) => rule === 'cors' && decision === 'permit'))
})

test('origins that no route may have', () => {
  for (const origin of [
    'app.example',
    'https://App.example',
    'https://a/',
    'https://*',
    'https://a.*',
    '**',
    'null',
    'ftp://a',
  ]) {
    assert.equal(corsOptions.safeParse({ origins: [origin] }).success, false, origin)
  }
  assert.equal(corsOptions.safeParse({ origins: ['*'], credentials: true }).success, false)
})

test('what is behind an identity is no shared cache’s', async t => {
  const upstream = await startUpstream(t, (request, response) => {
    response.statusCode = request.url === '/gone' ? 404 : 200
    response.setHeader('Cache-Control', 'public, max-age=60')
    response.end('here')
  })
  const kit = await startDoor(t, {
    upstream,
    routes: [
      { path: '/guarded', allow: ['staff'] },
      { path: '/open' },
      { path: '/kept', allow: ['staff'], cache_max_age: '90s' },
      { path: '/gone', allow: ['staff'], cache_max_age: '90s' },
      { path: '/open-kept', cache_max_age: '90s', methods: ['GET', 'POST'] },
      { path: '/theirs', cache_max_age: '90s', request_headers: ['Cookie'] },
      { path: '/delegated', cache_max_age: '90s', request_headers: ['Authorization'] },
    ],
  })
  const caching = async (path: string, ...headers: string[]) =>
    (await get(kit.port, path, headers)).headers.get('cache-control')
  assert.equal(await caching('/guarded', alice), 'private, max-age=60')
  assert.equal(await caching('/open'), 'public, max-age=60')
  // It may have been made for her.
  assert.equal(await caching('/open', alice), 'private, max-age=60')
  assert.equal(await caching('/kept', alice), 'private, max-age=90')
  assert.equal(await caching('/gone', alice), 'private, max-age=60')
  assert.equal(await caching('/open-kept'), 'public, max-age=90')
  // Whose it is, the upstream has been told by whoever asks.
  assert.equal(await caching('/theirs', 'Cookie: session=1'), 'private, max-age=90')
  assert.equal(await caching('/delegated', alice), 'private, max-age=90')
  assert.equal(await caching('/guarded'), 'no-store')
})

test('a route answers errors in its own words', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'bawn-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'denied.html')
  writeFileSync(file, '<p>No.</p>')
  const upstream = await startUpstream(t, (_, response) => {
    response.statusCode = 403
    response.end('the upstream’s own')
  })
  const errors = {
    401: { body: '{"error":"log in"}', content_type: 'application/json' },
    403: { file, content_type: 'text/html; charset=utf-8', status: 404 },
    502: { body: 'away', content_type: 'text/plain' },
  }
  const kit = await startDoor(t, {
    upstream,
    routes: [
      { path: '/a', allow: ['staff'], errors },
      { path: '/b', allow: ['nobody'], errors },
      { path: '/c', allow: ['staff'] },
    ],
  })
  const unknown = await get(kit.port, '/a')
  assert.deepEqual([unknown.status, unknown.body], [401, '{"error":"log in"}'])
  assert.equal(unknown.headers.get('content-type'), 'application/json')
  assert.match(unknown.headers.get('www-authenticate') ?? '', /^Bearer/)
  assert.equal(unknown.headers.get('cache-control'), 'no-store')
  assert.match(unknown.headers.get('x-request-id') ?? '', /^req-/)
  const denied = await get(kit.port, '/b', [alice])
  assert.deepEqual([denied.status, denied.body], [404, '<p>No.</p>'])
  assert.equal(denied.headers.get('x-content-type-options'), 'nosniff')
  assert.equal(codeOf(await get(kit.port, '/c')), 'authn.required')
  const passed = await get(kit.port, '/a', [alice])
  assert.deepEqual([passed.status, passed.body], [403, 'the upstream’s own'])
  const head = await send(kit.port, 'HEAD /a HTTP/1.1\r\nHost: gate.example\r\n\r\n')
  assert.deepEqual([head.status, head.body], [405, ''])
})

test('pages of errors that no route may have', async t => {
  for (const bad of [
    {},
    { body: 'a', file: 'b' },
    { body: 'a', status: 200 },
    { body: 'a', content_type: 'x\r\nA: b' },
  ]) {
    assert.equal(errorPageOptions.safeParse(bad).success, false, JSON.stringify(bad))
  }
  const upstream = 'http://127.0.0.1:9'
  await assert.rejects(startDoor(t, { upstream, routes: [{ path: '/a', errors: { 401: { file: '/none/such' } } }] }), {
    code: 'http.bad_route',
  })
})
