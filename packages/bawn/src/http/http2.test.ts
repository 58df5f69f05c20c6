import assert from 'node:assert/strict'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import type { HttpMechanism } from '../authn/http-mechanism.ts'
import { block, connectFrames, endHeaders, endStream, frame, headOf, types } from './http2-frames.fixture.ts'
import { startHttp2 } from './http2-kit.fixture.ts'
import { startUpstream } from './kit.test.ts'

// HTTP/2 at the whole door: what HTTP/1.1 refuses is refused, what would cost us more than the client is bounded.

const bad: readonly { name: string; lines: readonly string[]; code?: string; data?: string }[] = [
  { name: 'no :path', lines: [':method', 'GET', ':scheme', 'https', ':authority', 'a'] },
  { name: 'no :scheme', lines: [':method', 'GET', ':path', '/', ':authority', 'a'] },
  { name: 'no :method', lines: [':scheme', 'https', ':path', '/', ':authority', 'a'] },
  { name: 'no authority', lines: [':method', 'GET', ':scheme', 'https', ':path', '/'] },
  { name: 'an empty authority', lines: [':method', 'GET', ':scheme', 'https', ':path', '/', ':authority', ''] },
  {
    name: 'an authority with a user',
    lines: [':method', 'GET', ':scheme', 'https', ':path', '/', ':authority', 'b@a'],
  },
  { name: 'another scheme', lines: [':method', 'GET', ':scheme', 'http', ':path', '/', ':authority', 'a'] },
  {
    name: ':path twice',
    lines: [':method', 'GET', ':scheme', 'https', ':path', '/', ':path', '/b', ':authority', 'a'],
  },
  {
    name: 'an unknown pseudo-header',
    lines: [':method', 'GET', ':scheme', 'https', ':path', '/', ':authority', 'a', ':x', 'y'],
  },
  {
    name: 'a pseudo-header of answers',
    lines: [':method', 'GET', ':scheme', 'https', ':path', '/', ':authority', 'a', ':status', '200'],
  },
  {
    name: 'a pseudo-header behind a header',
    lines: [':method', 'GET', ':scheme', 'https', ':authority', 'a', 'x', 'y', ':path', '/'],
  },
  ...[
    ['a path without a slash', 'foo'],
    ['an empty path', ''],
    ['absolute form', 'https://gate.example/'],
    ['asterisk form', '*'],
    ['a space in the path', '/a b'],
    ['a line break in the path', '/a\r\nX: y'],
    ['NUL in the path', '/\0'],
    ['a high byte in the path', '/\xff'],
  ].map(([name = '', path = '']) => ({
    name,
    lines: [':method', 'GET', ':scheme', 'https', ':path', path, ':authority', 'a'],
  })),
  ...[
    ['a method with a line break', 'GET / HTTP/1.1\r\nX: y'],
    ['an empty method', ''],
    ['a method with a space', 'GET /'],
  ].map(([name = '', method = '']) => ({
    name,
    lines: [':method', method, ':scheme', 'https', ':path', '/', ':authority', 'a'],
  })),
  { name: 'CONNECT', lines: [':method', 'CONNECT', ':authority', 'a:80'] },
  {
    name: 'extended CONNECT',
    lines: [':method', 'CONNECT', ':protocol', 'websocket', ':scheme', 'https', ':path', '/', ':authority', 'a'],
  },
  ...[
    ['another Host', 'host', 'b'],
    ['upper case', 'X-User', 'b'],
    ['connection', 'connection', 'close'],
    ['keep-alive', 'keep-alive', 'timeout=5'],
    ['proxy-connection', 'proxy-connection', 'close'],
    ['upgrade', 'upgrade', 'websocket'],
    ['transfer-encoding', 'transfer-encoding', 'chunked'],
    ['te other than trailers', 'te', 'chunked'],
    ['a length that is no number', 'content-length', '+3'],
    ['a length and no body', 'content-length', '3'],
  ].map(([name = '', header = '', value = '']) => ({
    name,
    lines: [':method', 'GET', ':scheme', 'https', ':path', '/', ':authority', 'a', header, value],
  })),
  ...[
    ['a body longer than its length', '2'],
    ['a body shorter than its length', '4'],
    ['an enormous length', '99999999999999999999999'],
    ['a list of lengths', '3, 3'],
  ].map(([name = '', length = '']) => ({
    name,
    lines: [':method', 'POST', ':scheme', 'https', ':path', '/', ':authority', 'a', 'content-length', length],
    data: 'abc',
  })),
  {
    name: 'two lengths',
    lines: [
      ...[':method', 'POST', ':scheme', 'https', ':path', '/', ':authority', 'a'],
      ...['content-length', '3', 'content-length', '3'],
    ],
    data: 'abc',
  },
]

/** nghttp2 passes over these lines; nobody behind it can be made to see them. */
const dropped: readonly (readonly [name: string, header: string, value: string])[] = [
  ['a space in a name', 'x user', 'b'],
  ['a colon in a name', 'x:y', 'b'],
  ['a line break in a name', 'x\r\ny', 'b'],
  ['an empty name', '', 'b'],
  ['a line break in a value', 'x', 'b\r\nx-user: root'],
  ['a bare LF in a value', 'x', 'b\nc'],
  ['a bare CR in a value', 'x', 'b\rc'],
  ['NUL in a value', 'x', 'b\0c'],
  ['blanks round a value', 'x', ' b'],
]

test('a malformed request gets 400 or a reset, no upstream sees one whole, and the connection serves on', async t => {
  let reached = 0
  const upstream = await startUpstream(t, (request, response) => {
    request.resume()
    request.on('end', () => {
      reached++
      response.end('ok')
    })
    request.on('error', () => response.destroy())
  })
  const kit = await startHttp2(t, { upstream })
  for (const row of bad) {
    await t.test(row.name, async () => {
      reached = 0
      const client = await connectFrames(kit.port)
      const ends = row.data === undefined ? endStream : 0
      client.send(frame(types.headers, endHeaders | ends, 1, block(...row.lines)))
      if (row.data !== undefined) client.send(frame(types.data, endStream, 1, Buffer.from(row.data)))
      const fate = await client.fate(1)
      const before = kit.metrics.filter(({ status }) => status === 400).length
      assert.ok(fate !== 'answered' || before > 0, 'an answer is a refusal')
      assert.equal(reached, 0)
      if (fate !== 'closed') {
        client.send(frame(types.headers, endHeaders | endStream, 3, headOf('GET', '/')))
        assert.equal(await client.fate(3), 'answered')
        assert.equal(reached, 1)
      }
      client.socket.destroy()
    })
  }
})

test('a header line that nobody could write is nobody’s', async t => {
  let seen: readonly string[] = []
  const upstream = await startUpstream(t, (request, response) => {
    seen = request.rawHeaders
    response.end('ok')
  })
  const kit = await startHttp2(t, { upstream })
  for (const [name, header, value] of dropped) {
    await t.test(name, async () => {
      const client = await connectFrames(kit.port)
      client.send(frame(types.headers, endHeaders | endStream, 1, headOf('GET', '/', header, value)))
      assert.equal(await client.fate(1), 'answered')
      const names = seen.filter((_, at) => at % 2 === 0).map(each => each.toLowerCase())
      assert.deepEqual(
        names.filter(each => !/^(host|x-forwarded-(for|proto|host)|x-request-id)$/.test(each)),
        name === 'blanks round a value' && names.includes('x') ? ['x'] : [],
      )
      client.socket.destroy()
    })
  }
})

test('a body that ends while it is still asked who sends it, is whole', async t => {
  const bodies: string[] = []
  const upstream = await startUpstream(t, async (request, response) => {
    bodies.push(await text(request))
    response.end('ok')
  })
  let decide: (() => void) | undefined
  const mechanism: HttpMechanism = {
    name: 'jwt',
    carries: { headers: [], query: [] },
    authenticate: () =>
      new Promise(resolve => {
        decide = () => resolve({ kind: 'absent' })
      }),
    challenge: () => undefined,
  }
  const kit = await startHttp2(t, { upstream, mechanisms: [mechanism] })
  for (const body of ['', 'abc']) {
    const client = await connectFrames(kit.port)
    const last = frame(types.data, endStream, 1, Buffer.from(body))
    client.send(frame(types.headers, endHeaders, 1, headOf('POST', '/')), last)
    // Acknowledged when all that came before it has been read.
    client.send(frame(types.ping, 0, 0, Buffer.alloc(8)))
    assert.ok(await client.until(() => client.has(types.ping) !== undefined))
    decide?.()
    assert.equal(await client.fate(1), 'answered')
    client.socket.destroy()
  }
  assert.deepEqual(bodies, ['', 'abc'])
  assert.deepEqual(
    kit.metrics.map(({ status }) => status),
    [200, 200],
  )
})

test('the time for a request ends with it, also where nobody reads the body that it does not have', async t => {
  let answer: (() => void) | undefined
  const upstream = await startUpstream(t, (request, response) => {
    if (request.url === '/whole') answer = () => response.end('ok')
    request.on('error', () => {})
  })
  const kit = await startHttp2(t, { upstream, listener: { request_timeout: '200ms' } })
  const client = await connectFrames(kit.port)
  client.send(frame(types.headers, endHeaders, 1, headOf('POST', '/whole', 'content-length', '0')))
  client.send(frame(types.data, endStream, 1))
  // Began later, and its time is over.
  client.send(frame(types.headers, endHeaders, 3, headOf('POST', '/')))
  assert.equal(await client.fate(3), 'answered')
  assert.equal(client.has(types.headers, 1), undefined)
  answer?.()
  assert.equal(await client.fate(1), 'answered')
  assert.deepEqual(
    kit.metrics.map(({ status }) => status),
    [408, 200],
  )
  client.socket.destroy()
})
