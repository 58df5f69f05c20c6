import assert from 'node:assert/strict'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type TestContext, test } from 'node:test'
import { codeOf, get, type Kit, type KitOptions, send, startDoor, startRawUpstream, startUpstream } from './kit.test.ts'

// Answers of several backends as a client meets them: real servers, through the door.

type Handler = (request: IncomingMessage, response: ServerResponse) => void

const alice = 'Authorization: Bearer alice'
const json = { 'Content-Type': 'application/json' }
const says =
  (body: string | Buffer, status = 200, headers: Record<string, string> = json): Handler =>
  (_, response) => {
    response.writeHead(status, headers).end(body)
  }

/** A door before the servers `main`, `b` and `c`, which do what `handlers` says at the moment. */
async function start(t: TestContext, routes: KitOptions['routes'], more: Partial<KitOptions> = {}) {
  const handlers: Record<string, Handler> = {}
  const seen: { name: string; url: string; headers: IncomingMessage['headers'] }[] = []
  const server = (name: string): Promise<string> =>
    startUpstream(t, (request, response) => {
      seen.push({ name, url: request.url ?? '', headers: request.headers })
      const handler = handlers[name] ?? says('{}')
      handler(request, response)
    })
  const otherUpstreams = { b: await server('b'), c: await server('c') }
  const kit = await startDoor(t, { upstream: await server('main'), otherUpstreams, routes: routes ?? [], ...more })
  return { kit, handlers, seen }
}

const three = [
  { upstream: 'main', upstream_path: '/user' },
  { upstream: 'b', group: 'orders' },
  { upstream: 'c', required: false },
]
const lines = ({ events }: Kit): string[] =>
  events.map(({ decision, code, rule }) => `${decision} ${rule} ${code ?? ''}`.trim())

test('three answers become one, each asked for as by a route of its own', async t => {
  const { kit, handlers, seen } = await start(t, [
    {
      path: '/page/{id}',
      allow: ['staff'],
      query: ['q'],
      request_headers: ['X-Mine'],
      identity_headers: { id: 'X-Who' },
      backends: [
        { upstream: 'main', upstream_path: '/users/{identity.id}/{id}', allow: ['id', 'name'] },
        { upstream: 'b', collection: true, mapping: { collection: 'orders' } },
        { upstream: 'c', target: 'data', group: 'more', deny: ['secret'] },
      ],
    },
  ])
  handlers['main'] = (_, response) =>
    response
      .writeHead(201, { ...json, 'Set-Cookie': 'a=b', 'Cache-Control': 'public' })
      .end('{"id":12345678901234567890,"name":"Ann","x":1}')
  handlers['b'] = says('[1,2]')
  handlers['c'] = says('{"data":{"a":1,"secret":2}}', 200, { 'content-type': 'application/hal+json; charset=utf-8' })
  const sent = [
    alice,
    'X-Mine: m',
    'X-Other: o',
    'X-Who: root',
    'Cookie: c=d',
    'If-None-Match: "x"',
    'Range: bytes=0-1',
  ]
  const answer = await get(kit.port, '/page/a%20b?q=1&z=2', sent)
  assert.equal(answer.status, 200)
  assert.equal(answer.body, '{"id":12345678901234567890,"name":"Ann","orders":[1,2],"more":{"a":1}}')
  assert.equal(answer.headers.get('content-type'), 'application/json')
  assert.equal(answer.headers.get('x-bawn-complete'), 'true')
  assert.equal(answer.headers.get('cache-control'), 'private, no-store')
  assert.equal(answer.headers.get('set-cookie'), undefined)
  assert.deepEqual(seen.map(({ name, url }) => `${name} ${url}`).sort(), [
    'b /page/a%20b?q=1',
    'c /page/a%20b?q=1',
    'main /users/alice/a%20b?q=1',
  ])
  for (const { headers } of seen) {
    assert.deepEqual(
      ['x-mine', 'x-who', 'x-other', 'cookie', 'authorization', 'if-none-match', 'range', 'accept-encoding'].map(
        name => headers[name],
      ),
      ['m', 'alice', undefined, undefined, undefined, undefined, undefined, 'identity'],
    )
    assert.equal(headers['x-request-id'], answer.headers.get('x-request-id'))
  }
  assert.deepEqual(lines(kit), ['permit staff'])
  assert.deepEqual(kit.metrics, [{ route: '/page/{id}', method: 'GET', status: 200 }])
  // Nobody, and nobody is asked.
  assert.equal((await get(kit.port, '/page/1')).status, 401)
  assert.equal(seen.length, 3)
})

test('the order of arrival has no say', async t => {
  const { kit, handlers } = await start(t, [
    { path: '/a', backends: ['main', 'b', 'c'].map(upstream => ({ upstream })) },
  ])
  const names = ['main', 'b', 'c']
  const orders = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
  ]
  for (const order of orders) {
    // Each answers when the one before it has been written, whatever the order of the requests.
    const turns = names.map(() => Promise.withResolvers<void>())
    turns[0]?.resolve()
    for (const [at, name] of names.entries()) {
      const place = order.indexOf(at)
      handlers[name] = (_, response) => {
        turns[place]?.promise.then(() =>
          response.writeHead(200, json).end(`{"who":"${name}","${name}":1}`, () => turns[place + 1]?.resolve()),
        )
      }
    }
    assert.equal((await get(kit.port, '/a')).body, '{"who":"c","main":1,"b":1,"c":1}', String(order))
  }
})

test('what a backend may do wrong, required and not', async t => {
  const { kit, handlers } = await start(t, [
    { path: '/a', backends: three, max_json_bytes: 3_000 },
    { path: '/all', backends: three.map(entry => ({ ...entry, required: false })), cache_max_age: '1m' },
  ])
  const cut: Handler = (_, response) => {
    response.writeHead(200, { ...json, 'Content-Length': '100' })
    response.write('{"a":', () => response.destroy())
  }
  const wrongs: readonly (readonly [string, Handler])[] = [
    ['status 500', says('{}', 500)],
    ['status 404', says('{"a":1}', 404)],
    ['a redirect', says('{}', 302, { ...json, Location: '/' })],
    ['a part', says('{}', 206)],
    ['no JSON', says('{"a":1')],
    ['nothing', says('')],
    ['a list', says('[]')],
    ['a text', says('"a"')],
    ['not UTF-8', says(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]))],
    ['another type', says('{}', 200, { 'Content-Type': 'text/html' })],
    ['compressed', says('{}', 200, { ...json, 'Content-Encoding': 'gzip' })],
    ['deep', says(`{"a":${'['.repeat(400)}${']'.repeat(400)}}`)],
    ['more than its share', says(JSON.stringify({ a: 'x'.repeat(1_000) }))],
    [
      'more than its share, in chunks',
      (_, response) => {
        response.writeHead(200, json)
        for (let at = 0; at < 40; at++) response.write(' '.repeat(100))
        response.end('{}')
      },
    ],
    ['cut', cut],
    ['gone', request => request.socket.destroy()],
  ]
  for (const [name, wrong] of wrongs) {
    handlers['main'] = says('{"a":1,"at":"main"}')
    handlers['b'] = says('{"b":1}')
    handlers['c'] = wrong
    const before = kit.events.length
    const left = await get(kit.port, '/a')
    assert.deepEqual([left.status, left.body], [200, '{"a":1,"at":"main","orders":{"b":1}}'], name)
    assert.equal(left.headers.get('x-bawn-complete'), 'false', name)
    assert.equal(left.headers.get('cache-control'), 'no-store', name)
    handlers['b'] = wrong
    handlers['c'] = says('{"c":1}')
    const failed = await get(kit.port, '/a')
    assert.deepEqual([failed.status, codeOf(failed)], [502, 'http.backend_failed'], name)
    assert.equal(failed.headers.get('cache-control'), 'no-store')
    assert.deepEqual(lines(kit).slice(before), ['permit anyone', 'error anyone http.backend_failed'], name)
  }
  assert.ok(
    kit.logged.some(({ message, code }) => message === 'a backend was left out' && code === 'http.backend_failed'),
  )

  handlers['main'] = says('{"a":1}')
  handlers['b'] = says('{"b":1}')
  const whole = await get(kit.port, '/all')
  assert.deepEqual([whole.status, whole.headers.get('cache-control')], [200, 'public, max-age=60'])
  handlers['b'] = cut
  const part = await get(kit.port, '/all', [alice])
  assert.deepEqual([part.body, part.headers.get('cache-control')], ['{"a":1,"c":1}', 'private, no-store'])
  for (const name of ['main', 'b', 'c']) handlers[name] = cut
  assert.equal(codeOf(await get(kit.port, '/all')), 'http.backend_failed')
  // Nothing is an answer, where it is meant.
  for (const name of ['main', 'b', 'c']) handlers[name] = says('', 204, {})
  const empty = await get(kit.port, '/all')
  assert.deepEqual([empty.status, empty.body, empty.headers.get('x-bawn-complete')], [200, '{}', 'true'])
})

test('who does not answer in time is left out, or ends it', async t => {
  const { kit, handlers } = await start(t, [
    { path: '/left', response_timeout: '100ms', backends: three },
    { path: '/ends', response_timeout: '100ms', backends: [{ upstream: 'main' }, { upstream: 'c' }] },
  ])
  handlers['main'] = says('{"a":1}')
  handlers['c'] = () => {}
  const left = await get(kit.port, '/left')
  assert.deepEqual([left.body, left.headers.get('x-bawn-complete')], ['{"a":1,"orders":{}}', 'false'])
  assert.equal(codeOf(await get(kit.port, '/ends')), 'http.backend_failed')
})

test('what is under way ends with a failure, and with the client', { timeout: 20_000 }, async t => {
  const { kit, handlers } = await start(t, [{ path: '/a', backends: [{ upstream: 'main' }, { upstream: 'b' }] }])
  const closed = (): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>()
    handlers['b'] = (_, response) => response.on('close', resolve)
    return promise
  }
  const first = closed()
  handlers['main'] = says('{}', 500)
  assert.equal((await get(kit.port, '/a')).status, 502)
  await first
  const second = closed()
  const asked = Promise.withResolvers<void>()
  handlers['main'] = () => asked.resolve()
  const leaving = new AbortController()
  const request = fetch(`http://127.0.0.1:${kit.port}/a`, { signal: leaving.signal })
  await asked.promise
  leaving.abort()
  await assert.rejects(request)
  await second
  assert.deepEqual(lines(kit), ['error anyone http.backend_failed', 'error anyone http.client_left'])
})

test('a request with a body, or with a claim that is missing, goes to nobody', async t => {
  const { kit, seen } = await start(t, [
    { path: '/a', backends: [{ upstream: 'main' }, { upstream: 'b' }] },
    {
      path: '/b',
      allow: ['staff'],
      backends: [{ upstream: 'main' }, { upstream: 'b', upstream_path: '/{identity.claims.tenant}', required: false }],
    },
  ])
  const rows = ['Content-Length: 2\r\n\r\n{}', 'Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n']
  for (const body of rows) {
    const refused = await send(kit.port, `GET /a HTTP/1.1\r\nHost: gate.example\r\n${body}`)
    assert.equal(codeOf(refused), 'http.body_too_large', body)
  }
  assert.equal(codeOf(await get(kit.port, '/b', [alice])), 'http.unusable_claim')
  assert.deepEqual(seen, [])
})

test('routes with backends that no gateway starts with', async t => {
  const backends = [{ upstream: 'main' }]
  const rows: readonly (readonly [RegExp, Record<string, unknown>])[] = [
    [/stand in place of upstream/, { backends, upstream: 'main' }],
    [/upstream_path of its own/, { backends, upstream_path: '/a' }],
    [/is not for HEAD/, { backends, methods: ['GET', 'HEAD'] }],
    [/is not for OPTIONS/, { backends, methods: ['OPTIONS'] }],
    [/a GET of the route writes nothing/, { backends: [{ upstream: 'main', method: 'POST' }] }],
    [
      /a GET of the route writes nothing/,
      { backends: [{ upstream: 'main', method: 'PUT' }], methods: ['POST', 'GET'] },
    ],
    [/write at the same time/, { backends: [...backends, ...backends], methods: ['POST'] }],
    [/is for backends/, { sequential: true }],
    [/with sequential: true/, { backends: [{ upstream: 'main', upstream_path: '/{answers.a.id}' }] }],
    [
      /no backend before it has the name a/,
      { sequential: true, backends: [{ upstream: 'main', name: 'a', upstream_path: '/{answers.a.id}' }] },
    ],
    [
      /no backend before it has the name b/,
      { sequential: true, backends: [...backends, { upstream: 'main', upstream_query: { x: '{answers.b.id}' } }] },
    ],
    [
      /has this name already/,
      {
        backends: [
          { upstream: 'main', name: 'a' },
          { upstream: 'main', name: 'a' },
        ],
      },
    ],
    [/upstream_query x: has "a{b}"/, { backends: [{ upstream: 'main', upstream_query: { x: 'a{b}' } }] }],
    [/upstream_query x: {y} is no parameter/, { backends: [{ upstream: 'main', upstream_query: { x: '{y}' } }] }],
    [/anyone may ask/, { backends: [{ upstream: 'main', upstream_query: { x: '{identity.id}' } }] }],
    [
      /x-b is not among the request_headers/i,
      { request_headers: ['X-A'], backends: [{ upstream: 'main', request_headers: ['X-B'] }] },
    ],
    [/cookie passes where the route says so/, { backends: [{ upstream: 'main', request_headers: ['Cookie'] }] }],
    [/x-real-ip is never taken/, { backends: [{ upstream: 'main', request_headers: ['X-Real-IP'] }] }],
    [/b is not in the query/, { query: ['a'], backends: [{ upstream: 'main', query: ['b'] }] }],
    [/together have 30 bytes/, { max_json_bytes: 20, backends: [{ upstream: 'main', max_json_bytes: 30 }] }],
    [/leads to one upstream/, { backends, websocket: true }],
    [
      /has this group already/,
      {
        backends: [
          { upstream: 'main', group: 'g' },
          { upstream: 'main', group: 'g' },
        ],
      },
    ],
    [/no upstream is named other/, { backends: [{ upstream: 'other' }] }],
    [/no parameter of the route/, { backends: [{ upstream: 'main', upstream_path: '/{x}' }] }],
    [/anyone may ask/, { backends: [{ upstream: 'main', upstream_path: '/{identity.id}' }] }],
    [/needs upstream, or backends/, { upstream: undefined }],
    [/Too small/, { backends: [] }],
  ]
  for (const [expected, route] of rows) {
    await assert.rejects(
      startDoor(t, { upstream: 'http://127.0.0.1:9', routes: [{ path: '/a', ...route }] }),
      (error: Error) => expected.test(error.message),
      String(expected),
    )
  }
})

test('a document that is cut or broken anywhere is an answer or 502, and never a part of it', {
  timeout: 60_000,
}, async t => {
  const document = '{"a":[1,2.50,{"b":"\\u00e9\\"}]"}],"__proto__":{"c":null},"d":"é","e":-1e-7}'
  let answer = Buffer.from(document)
  const b = await startRawUpstream(t, socket => {
    socket.on('data', () => {
      const head = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${answer.length}\r\n\r\n`
      socket.write(Buffer.concat([Buffer.from(head), answer]))
    })
  })
  const upstream = await startUpstream(t, says('{"z":1}'))
  const kit = await startDoor(t, {
    upstream,
    otherUpstreams: { b },
    routes: [{ path: '/a', backends: [{ upstream: 'main' }, { upstream: 'b', group: 'g' }] }],
  })
  const ask = async (): Promise<void> => {
    const got = await fetch(`http://127.0.0.1:${kit.port}/a`)
    const text = await got.text()
    const expected = read(answer)
    assert.deepEqual(
      [got.status, got.status === 200 && JSON.parse(text).g],
      expected === undefined ? [502, false] : [200, expected],
      answer.toString(),
    )
  }
  const whole = Buffer.from(document)
  for (let cut = 0; cut <= whole.length; cut++) {
    answer = whole.subarray(0, cut)
    await ask()
  }
  let seed = Number(process.env['BAWN_TEST_SEED'] ?? 11)
  for (let round = 0; round < 300; round++) {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff
    answer = Buffer.from(whole)
    answer[(seed >> 8) % whole.length] = (seed >> 16) & 0xff
    await ask()
  }
  answer = Buffer.from('{"a":'.repeat(100_000))
  await ask()
  answer = Buffer.from(`{"a":"${'x'.repeat(5_000_000)}"}`)
  assert.equal((await fetch(`http://127.0.0.1:${kit.port}/a`)).status, 502, 'more than half of max_json_bytes')
})

/** What the document is to a reader of ours in the test: an object, in UTF-8. */
function read(bytes: Buffer): unknown {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}
