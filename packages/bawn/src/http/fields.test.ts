import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  codeOf,
  field,
  get,
  type KitOptions,
  post,
  sealed,
  send,
  startDoor,
  startRawUpstream,
  startUpstream,
} from './kit.test.ts'

const fields = [
  field('email', [
    { route: '/people/*', path: ['items', '*', 'email'], carries: 'sealed' },
    { route: '/people/*', path: ['email'], carries: 'sealed' },
  ]),
  field('phone', [{ route: '/people/*', path: ['phone'], carries: 'plain' }]),
  field('photo', [{ route: '/people/*', path: ['photo'], carries: 'sealed' }], 'bytes'),
]
const routes: KitOptions['routes'] = [
  { path: '/people/*', methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH'] },
  { path: '/other' },
]
const alice = 'Authorization: Bearer alice'
const bob = 'Authorization: Bearer bob'

const people = JSON.stringify({
  n: 1,
  items: [{ id: 1, email: sealed('ann@x') }, { email: null }, { id: 3 }],
  email: `\\x${Buffer.from('S:eve@x').toString('hex')}`,
  phone: '555',
  photo: sealed('\u0001'),
})

test('each role sees what it may, and the trail says what, before the answer leaves', async t => {
  const upstream = await startUpstream(t, (_request, response) => {
    response.writeHead(200, {
      'Content-Type': 'application/json; charset=utf-8',
      ETag: '"1"',
      'Last-Modified': 'Thu, 01 Jan 1970 00:00:00 GMT',
      'Accept-Ranges': 'bytes',
      'Content-MD5': 'x',
      Digest: 'x',
      'Cache-Control': 'public, max-age=60',
      'X-Powered-By': 'shop',
    })
    response.end(people)
  })
  const kit = await startDoor(t, { upstream, routes, fields })

  const plain = await get(kit.port, '/people/', [bob])
  assert.equal(plain.status, 200)
  assert.equal(
    plain.body,
    '{"n":1,"items":[{"id":1,"email":"ann@x"},{"email":null},{"id":3}],"email":"eve@x","phone":"555","photo":"AQ=="}',
  )
  assert.deepEqual(kit.events.at(-1)?.fields, [
    { field: 'email', as: 'plain', count: 2 },
    { field: 'phone', as: 'plain', count: 1 },
    { field: 'photo', as: 'plain', count: 1 },
  ])
  assert.equal(kit.uncommitted(), 0)
  for (const name of ['etag', 'last-modified', 'accept-ranges', 'content-md5', 'digest'])
    assert.equal(plain.headers.get(name), undefined, name)
  assert.equal(plain.headers.get('cache-control'), 'private, no-store')
  assert.equal(plain.headers.get('content-length'), String(plain.body.length))
  assert.equal(plain.headers.get('x-powered-by'), 'shop')

  const masked = await get(kit.port, '/people/', [alice])
  assert.deepEqual(JSON.parse(masked.body).items, [{ id: 1, email: 'a***' }, { email: null }, { id: 3 }])
  assert.equal(kit.events.at(-1)?.fields?.[0]?.as, 'masked')

  const nothing = await get(kit.port, '/people/')
  assert.equal(
    nothing.body,
    '{"n":1,"items":[{"id":1,"email":null},{"email":null},{"id":3}],"email":null,"phone":null,"photo":null}',
  )
  assert.equal(kit.events.at(-1)?.fields?.[0]?.as, 'withheld')
  assert.equal(kit.events.at(-1)?.identity, undefined)
})

test('an answer that cannot be proved is never passed on', async t => {
  const json = 'Content-Type: application/json\r\n'
  const rows: readonly { name: string; headers?: string; body: string; status?: number; code: string }[] = [
    { name: 'no JSON', body: '{"email":"secret', code: 'http.unreadable_answer' },
    { name: 'a number where a protected string belongs', body: '{"email":5550123}', code: 'http.unreadable_answer' },
    { name: 'an object there', body: '{"email":{"secret":1}}', code: 'http.unreadable_answer' },
    { name: 'an array where an object belongs', body: '[{"email":"secret"}]', code: 'http.unreadable_answer' },
    { name: 'an object where an array belongs', body: '{"items":{"email":"secret"}}', code: 'http.unreadable_answer' },
    {
      name: 'a protected key twice',
      body: `{"email":"${sealed('a')}","email":"secret"}`,
      code: 'http.unreadable_answer',
    },
    {
      name: 'an escaped protected key twice',
      body: `{"email":null,"\\u0065mail":"secret"}`,
      code: 'http.unreadable_answer',
    },
    { name: 'another spelling', body: '{"EMAIL":"secret"}', code: 'http.unreadable_answer' },
    { name: 'too deep', body: `{"x":${'['.repeat(100_000)}`, code: 'http.unreadable_answer' },
    { name: 'two documents', body: '{}{"email":"secret"}', code: 'http.unreadable_answer' },
    { name: 'not UTF-8', body: '{"email":"\xff"}', code: 'http.unreadable_answer' },
    {
      name: 'another charset',
      headers: 'Content-Type: application/json; charset=utf-16\r\n',
      body: '{}',
      code: 'http.unreadable_answer',
    },
    {
      name: 'compressed',
      headers: `${json}Content-Encoding: gzip\r\n`,
      body: 'secret',
      code: 'http.unreadable_answer',
    },
    {
      name: 'a part',
      headers: `${json}Content-Range: bytes 0-1/9\r\n`,
      status: 206,
      body: '{}',
      code: 'http.unreadable_answer',
    },
    { name: 'HTML', headers: 'Content-Type: text/html\r\n', body: 'secret', code: 'http.unreadable_answer' },
    { name: 'no type', headers: '', body: 'secret', code: 'http.unreadable_answer' },
    { name: 'two types', headers: `${json}Content-Type: text/html\r\n`, body: '{}', code: 'http.unreadable_answer' },
    { name: 'a value that does not open', body: '{"email":"secret"}', code: 'fields.unreadable' },
    { name: 'over the limit', body: `{"x":"${'secret'.repeat(400)}"}`, code: 'http.answer_too_large' },
  ]
  for (const row of rows) {
    await t.test(row.name, async t => {
      for (const framing of [
        `Content-Length: ${row.body.length}\r\n\r\n${row.body}`,
        `Transfer-Encoding: chunked\r\n\r\n${row.body.length.toString(16)}\r\n${row.body}\r\n0\r\n\r\n`,
      ]) {
        const upstream = await startRawUpstream(t, socket => {
          socket.on('data', () =>
            socket.write(Buffer.from(`HTTP/1.1 ${row.status ?? 200} X\r\n${row.headers ?? json}${framing}`, 'latin1')),
          )
        })
        const limit = row.name === 'too deep' ? 1_000_000 : 2_000
        const kit = await startDoor(t, { upstream, fields, routes: [{ path: '/people/*', max_json_bytes: limit }] })
        const answer = await get(kit.port, '/people/1', [bob])
        assert.equal(codeOf(answer), row.code)
        assert.ok(answer.status >= 500)
        assert.ok(!answer.body.includes('secret'))
        assert.equal(kit.events.length, 1)
        assert.equal(kit.events[0]?.decision, 'error')
        assert.equal(kit.events[0]?.code, row.code)
        assert.equal(kit.logged.length, 1)
      }
    })
  }
})

test('an upstream’s error keeps its status; its words only where they can be opened', async t => {
  let status = 404
  let type = 'text/html'
  let body = 'no ann@x here'
  const upstream = await startUpstream(t, (_request, response) => {
    response.writeHead(status, { 'Content-Type': type, ETag: 'x', 'X-Kept': '1', Location: '/there' })
    response.end(body)
  })
  const kit = await startDoor(t, { upstream, routes, fields })
  const html = await get(kit.port, '/people/1', [bob])
  assert.equal(html.status, 404)
  assert.equal(codeOf(html), 'http.upstream_error')
  assert.equal(html.headers.get('x-kept'), '1')
  assert.equal(html.headers.get('etag'), undefined)
  assert.ok(!html.body.includes('ann'))

  type = 'application/problem+json'
  body = `{"title":"no such person","email":"${sealed('ann@x')}"}`
  const opened = await get(kit.port, '/people/1', [alice])
  assert.equal(opened.status, 404)
  assert.equal(opened.body, '{"title":"no such person","email":"a***"}')

  body = '["ann@x"]'
  assert.equal(codeOf(await get(kit.port, '/people/1', [alice])), 'http.upstream_error')

  status = 302
  type = 'text/html'
  body = 'see <a href=/there>ann@x</a>'
  const moved = await get(kit.port, '/people/1', [alice])
  assert.deepEqual([moved.status, moved.headers.get('location'), moved.body.includes('ann')], [302, '/there', false])
})

test('answers without a body pass', async t => {
  const upstream = await startUpstream(t, (request, response) => {
    if (request.method === 'HEAD')
      response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': 77, ETag: '"x"' })
    else response.writeHead(request.url === '/people/none' ? 204 : 200)
    response.end()
  })
  const kit = await startDoor(t, { upstream, routes, fields })
  assert.equal((await get(kit.port, '/people/none', [bob])).status, 204)
  const empty = await get(kit.port, '/people/1', [bob])
  assert.deepEqual([empty.status, empty.body], [200, ''])
  const head = await send(kit.port, 'HEAD /people/1 HTTP/1.1\r\nHost: a\r\n\r\n')
  assert.deepEqual(
    [head.status, head.headers.get('content-length'), head.headers.get('etag')],
    [200, undefined, undefined],
  )
})

test('ranges, conditions and compression are not asked of the upstream', async t => {
  let seen: NodeJS.Dict<string | string[]> = {}
  const upstream = await startUpstream(t, (request, response) => {
    seen = request.headers
    response.writeHead(200, { 'Content-Type': 'application/json' })
    response.end('{}')
  })
  const kit = await startDoor(t, { upstream, routes, fields })
  await get(kit.port, '/people/1', ['Range: bytes=0-10', 'If-None-Match: "x"', 'Accept-Encoding: gzip, br'])
  assert.equal(seen['accept-encoding'], 'identity')
  assert.equal(seen['range'] ?? seen['if-none-match'], undefined)
  const other = await startDoor(t, { upstream, routes, fields })
  await get(other.port, '/other', ['Range: bytes=0-10', 'Accept-Encoding: gzip'])
  assert.equal(seen['range'], 'bytes=0-10')
})

test('what a client writes is sealed before it goes on', async t => {
  let seen = ''
  const upstream = await startUpstream(t, (request, response) => {
    seen = ''
    request.on('data', text => {
      seen += String(text)
    })
    request.on('end', () => {
      response.writeHead(200, { 'Content-Type': 'application/json' })
      response.end('{"ok":true}')
    })
  })
  const kit = await startDoor(t, { upstream, routes, fields, listener: { max_body_bytes: 1_000 } })
  const json = 'Content-Type: application/json'
  const written = await post(
    kit.port,
    '/people/',
    '{"email":"ann@x","phone":"555","photo":"AQ==","items":[{"email":"é"}],"n":1e2}',
    [bob, json],
  )
  assert.equal(written.status, 200)
  const photo = Buffer.from('S:\u0001').toString('base64')
  assert.equal(
    seen,
    `{"email":"${sealed('ann@x')}","phone":"555","photo":"${photo}","items":[{"email":"${sealed('é')}"}],"n":1e2}`,
  )
  assert.deepEqual(kit.events.at(-1)?.fields, [
    { field: 'email', as: 'sealed', count: 2 },
    { field: 'photo', as: 'sealed', count: 1 },
  ])
  assert.equal(kit.uncommitted(), 0)

  const rows: readonly { name: string; body: string; headers?: string[]; code: string }[] = [
    {
      name: 'a form',
      body: 'email=ann',
      headers: ['Content-Type: application/x-www-form-urlencoded'],
      code: 'http.media_type',
    },
    { name: 'no type', body: '{"email":"ann"}', headers: [], code: 'http.media_type' },
    {
      name: 'a JSON patch',
      body: '[{"op":"replace","path":"/email","value":"ann"}]',
      headers: ['Content-Type: application/json-patch+json'],
      code: 'http.media_type',
    },
    { name: 'compressed', body: 'x', headers: [json, 'Content-Encoding: gzip'], code: 'http.media_type' },
    {
      name: 'another charset',
      body: '{}',
      headers: ['Content-Type: application/json; charset=utf-16'],
      code: 'http.media_type',
    },
    { name: 'a number', body: '{"email":1}', code: 'http.unreadable_body' },
    { name: 'twice', body: '{"email":"a","email":"b"}', code: 'http.unreadable_body' },
    { name: 'another spelling', body: '{"Email":"a"}', code: 'http.unreadable_body' },
    { name: 'no JSON', body: '{"email":"a"', code: 'http.unreadable_body' },
    { name: 'bytes that are no base64', body: '{"photo":"#"}', code: 'http.unreadable_body' },
    { name: 'too large', body: `{"email":"${'a'.repeat(2_000)}"}`, code: 'http.body_too_large' },
  ]
  for (const row of rows) {
    await t.test(row.name, async () => {
      seen = 'nothing'
      const answer = await post(kit.port, '/people/', row.body, [bob, ...(row.headers ?? [json])])
      assert.equal(codeOf(answer), row.code)
      assert.equal(seen, 'nothing')
      assert.ok(!answer.body.includes('ann'))
    })
  }
})

test('an answer whose line in the trail is not written does not leave', async t => {
  const upstream = await startUpstream(t, (_request, response) => {
    response.writeHead(200, { 'Content-Type': 'application/json' })
    response.end(people)
  })
  const kit = await startDoor(t, {
    upstream,
    routes,
    fields,
    commit: () => {
      throw new Error('disk full')
    },
  })
  const answer = await get(kit.port, '/people/1', [bob])
  assert.equal(codeOf(answer), 'gateway.bug')
  assert.ok(!answer.body.includes('ann'))
  assert.equal(kit.events.length, 1)
})
