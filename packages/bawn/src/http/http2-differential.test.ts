import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request as requestHttp1 } from 'node:https'
import { test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { ask, session, startHttp2 } from './http2-kit.fixture.ts'
import { field, sealed, startUpstream } from './kit.test.ts'

// What a client is told, what an upstream sees and what the trail has do not depend on which HTTP the client speaks.

interface Row {
  readonly name: string
  readonly method?: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string | string[]>>
  readonly body?: string
}

const bearer = (who: string) => ({ authorization: `Bearer ${who}` })
const json = { 'content-type': 'application/json' }

const rows: readonly Row[] = [
  { name: 'nobody at a public route', path: '/open/a?b=c&d' },
  { name: 'HEAD', method: 'HEAD', path: '/open/a' },
  { name: 'no route', path: '/elsewhere' },
  { name: 'another method', method: 'DELETE', path: '/staff' },
  { name: 'nobody where somebody has to be', path: '/staff' },
  { name: 'somebody who may', path: '/staff', headers: bearer('alice') },
  { name: 'somebody who may not', path: '/staff', headers: bearer('bob') },
  { name: 'an expired token', path: '/staff', headers: bearer('expired') },
  { name: 'an unknown token', path: '/open/a', headers: bearer('nobody') },
  { name: 'an issuer that is away', path: '/staff', headers: bearer('outage') },
  { name: 'another scheme of authorization', path: '/staff', headers: { authorization: 'Basic YTpi' } },
  { name: 'two authorizations', path: '/staff', headers: { authorization: ['Bearer alice', 'Bearer bob'] } },
  { name: 'a dot segment', path: '/open/../staff' },
  { name: 'an encoded slash', path: '/open/%2e%2e/staff' },
  { name: 'a NUL in the path', path: '/open/%00' },
  { name: 'a backslash', path: '/open/a\\b' },
  { name: 'another case of a route', path: '/STAFF' },
  { name: 'a fragment', path: '/open/a#b' },
  {
    name: 'identity headers',
    path: '/open/a',
    headers: { 'x-user': 'root', 'x-forwarded-for': '1.2.3.4', x_user: 'root' },
  },
  {
    name: 'a method override',
    method: 'POST',
    path: '/open/a',
    headers: { 'x-http-method-override': 'DELETE' },
    body: 'a',
  },
  { name: 'cookies', path: '/cookies', headers: { cookie: 'a=b; c=d' } },
  { name: 'headers twice', path: '/open/a', headers: { 'x-a': ['1', '2'], accept: 'a, b' } },
  { name: 'a body', method: 'POST', path: '/open/a', headers: json, body: '{"a":1}' },
  { name: 'an empty body', method: 'POST', path: '/open/a', body: '' },
  { name: 'a body of unknown length', method: 'POST', path: '/open/a', headers: { 'x-stream': 'yes' }, body: 'abc' },
  { name: 'a body over the limit', method: 'POST', path: '/open/a', body: 'a'.repeat(5_000) },
  {
    name: 'a body over the limit, of unknown length',
    method: 'POST',
    path: '/open/a',
    headers: { 'x-stream': 'yes' },
    body: 'a'.repeat(5_000),
  },
  { name: 'two types', method: 'POST', path: '/open/a', headers: { 'content-type': ['a/b', 'c/d'] }, body: 'a' },
  { name: 'an unknown expectation', method: 'POST', path: '/open/a', headers: { expect: 'tea' }, body: 'a' },
  { name: 'fields for one', path: '/people/7', headers: bearer('alice') },
  { name: 'fields for another', path: '/people/7', headers: bearer('bob') },
  { name: 'fields for nobody', path: '/people/7' },
  {
    name: 'fields on their way in',
    method: 'POST',
    path: '/people/7',
    headers: { ...json, ...bearer('bob') },
    body: '{"email":"b@x"}',
  },
  {
    name: 'fields that cannot be read',
    method: 'POST',
    path: '/people/7',
    headers: bearer('bob'),
    body: '{"email":"b@x"}',
  },
  { name: '204', path: '/open/204' },
  { name: '304', path: '/open/304' },
  { name: 'a redirect', path: '/open/302' },
  { name: 'an error of the upstream', path: '/open/500' },
  { name: 'a large answer', path: '/open/large' },
  { name: 'an answer in pieces', path: '/open/pieces' },
  { name: 'an upstream that closes', path: '/open/closes' },
  { name: 'odd headers of an answer', path: '/open/odd' },
  { name: 'a head over the limit', path: '/open/a', headers: { 'x-large': 'a'.repeat(17_000) } },
  { name: 'too many headers', path: '/open/a', headers: { 'x-a': Array.from({ length: 210 }, () => '1') } },
]

/** What differs by the protocol, or by the clock. */
const own = new Set(['connection', 'keep-alive', 'transfer-encoding', 'date', 'x-request-id'])

function comparable(headers: Readonly<Record<string, unknown>>): [string, string][] {
  return Object.entries(headers)
    .filter(([name]) => !own.has(name) && !name.startsWith(':'))
    .map(([name, value]): [string, string] => [name, String(value)])
    .sort(([a], [b]) => a.localeCompare(b))
}

interface Told {
  readonly status: number | undefined
  readonly headers: [string, string][]
  readonly body: string
}

/** A problem document has our id for the request in it, which may have a digit more. */
function told(status: number | undefined, headers: Readonly<Record<string, unknown>>, body: string): Told {
  const isProblem = headers['content-type'] === 'application/problem+json'
  return {
    status,
    headers: comparable(headers).filter(([name]) => !isProblem || name !== 'content-length'),
    body: body.replace(/"request_id":"[^"]*"/, '"request_id":""'),
  }
}

/** A body is sent with its length, unless the row wants it otherwise. */
function lengthOf(headers: Row['headers'] = {}, body: string | undefined): Record<string, string> {
  return body === undefined || headers['x-stream'] !== undefined
    ? {}
    : { 'content-length': String(Buffer.byteLength(body)) }
}

async function askHttp1(port: number, { method = 'GET', path, headers = {}, body }: Row): Promise<Told> {
  const request = requestHttp1({
    port,
    host: '127.0.0.1',
    method,
    path,
    rejectUnauthorized: false,
    agent: false,
    headers: { host: 'gate.example', ...headers, ...lengthOf(headers, body) },
  })
  // The refusal of a body may come before its end, and with it a reset.
  request.on('error', () => {})
  if (headers['x-stream'] !== undefined) request.write(body)
  request.end(headers['x-stream'] === undefined ? body : undefined)
  const [response] = await once(request, 'response')
  let text = ''
  response.setEncoding('utf8').on('data', (piece: string) => {
    text += piece
  })
  await once(response, 'end')
  return told(response.statusCode, response.headers, text)
}

test('HTTP/1.1 and HTTP/2 get the same answers', async t => {
  let seen: unknown[] = []
  const upstream = await startUpstream(t, (request, response) => {
    let text = ''
    request.setEncoding('latin1').on('data', piece => {
      text += piece
    })
    request.on('error', () => response.destroy())
    request.on('end', () => {
      const { host: _host, 'x-request-id': _id, connection: _connection, ...headers } = request.headers
      const what = [request.method, request.url, comparable(headers), headers['transfer-encoding'], text]
      // A kept connection that closes makes the gateway ask again on a new one.
      if (!isDeepStrictEqual(what, seen.at(-1))) seen.push(what)
      const last = request.url?.split('/').at(-1) ?? ''
      if (last === '7') {
        response.setHeader('content-type', 'application/json')
        response.end(JSON.stringify({ email: sealed('bob@example') }))
      } else if (/^[0-9]{3}$/.test(last)) response.writeHead(Number(last), { location: '/x', etag: '"a"' }).end()
      else if (last === 'large') response.end('a'.repeat(300_000))
      else if (last === 'pieces') {
        response.write('a')
        setImmediate(() => response.end('b'))
      } else if (last === 'closes') request.socket.destroy()
      else if (last === 'odd') {
        response.writeHead(200, [
          ...['Set-Cookie', 'a=b', 'Set-Cookie', 'c=d', 'Connection', 'X-Hop', 'X-Hop', 'a', 'Upgrade', 'h2c'],
          ...['X-Latin', '\xe9', 'Server', 'x', 'Vary', 'a', 'Vary', 'b', 'ETag', '"a"', 'Alt-Svc', 'h3=":443"'],
        ])
        response.end('odd')
      } else response.end('ok')
    })
  })
  const place = { route: '/people/*', path: ['email'], carries: 'sealed' } as const
  const kit = await startHttp2(t, {
    upstream,
    listener: { max_body_bytes: 4_096 },
    routes: [
      { path: '/open/*', methods: ['GET', 'HEAD', 'POST'] },
      { path: '/staff', allow: ['staff'], identity_headers: { id: 'X-Who', roles: 'X-Roles' } },
      { path: '/cookies', request_headers: ['cookie'] },
      { path: '/people/*', methods: ['GET', 'POST'] },
    ],
    fields: [field('email', [place])],
  })
  const client = session(t, kit.port)
  for (const row of rows) {
    await t.test(row.name, async () => {
      seen = []
      const trail = () => kit.events.map(({ requestId: _id, ...event }) => event)
      kit.events.length = 0
      const first = await askHttp1(kit.port, row)
      const [seenFirst, trailFirst] = [seen, trail()]
      seen = []
      kit.events.length = 0
      const { method = 'GET', path, headers = {}, body } = row
      const lines = { ':method': method, ':path': path, ...headers, ...lengthOf(headers, body) }
      const answer = await ask(client, lines, body)
      assert(answer !== undefined, 'an answer')
      const second = told(answer.status, answer.headers, answer.body)
      assert.deepEqual(second, first)
      assert.deepEqual(seen, seenFirst)
      assert.deepEqual(trail(), trailFirst)
    })
  }
})
