import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { codeOf, parse, raw, startDoor, startUpstream } from './kit.test.ts'

// What a client may do wrong on the wire, with raw sockets against the whole door, by each engine. llhttp refuses much of it; that it
// does so is held here, because the door relies on it.

const engines = ['llhttp', 'node-http'] as const

const get = 'GET / HTTP/1.1\r\n'
const post = 'POST / HTTP/1.1\r\nHost: a\r\n'
const chunked = `${post}Transfer-Encoding: chunked\r\n\r\n`

const malformed: readonly { name: string; text: string; code?: string }[] = [
  { name: 'CL.TE', text: `${post}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG` },
  { name: 'TE.CL', text: `${post}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n` },
  {
    name: 'TE.TE: chunked and another',
    text: `${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n`,
  },
  {
    name: 'TE.TE: chunked twice',
    text: `${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  },
  { name: 'chunked, chunked', text: `${post}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n` },
  { name: 'chunked, identity', text: `${post}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n` },
  { name: 'gzip, chunked', text: `${post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n` },
  { name: 'xchunked', text: `${post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n` },
  { name: 'identity', text: `${post}Transfer-Encoding: identity\r\n\r\n` },
  {
    name: 'a space before the colon of Transfer-Encoding',
    text: `${post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`,
  },
  { name: 'a folded Transfer-Encoding', text: `${post}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n` },
  { name: 'chunked in HTTP/1.0', text: 'POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n' },
  { name: 'two different lengths', text: `${post}Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef` },
  { name: 'one length twice', text: `${post}Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde` },
  { name: 'a list of lengths', text: `${post}Content-Length: 5, 5\r\n\r\nabcde` },
  { name: 'a signed length', text: `${post}Content-Length: +5\r\n\r\nabcde` },
  { name: 'a negative length', text: `${post}Content-Length: -5\r\n\r\nabcde` },
  { name: 'a hexadecimal length', text: `${post}Content-Length: 0x5\r\n\r\nabcde` },
  { name: 'an empty length', text: `${post}Content-Length: \r\n\r\nabcde` },
  { name: 'an enormous length', text: `${post}Content-Length: 99999999999999999999999\r\n\r\nabcde` },
  { name: 'a chunk size with 0x', text: `${chunked}0x3\r\nabc\r\n0\r\n\r\n` },
  { name: 'a negative chunk size', text: `${chunked}-3\r\nabc\r\n0\r\n\r\n` },
  { name: 'a chunk size and a space', text: `${chunked}3 \r\nabc\r\n0\r\n\r\n` },
  { name: 'an enormous chunk size', text: `${chunked}ffffffffffffffffffff\r\nabc\r\n0\r\n\r\n` },
  { name: 'a chunk longer than its size', text: `${chunked}2\r\nabc\r\n0\r\n\r\n` },
  { name: 'a bare LF after a chunk size', text: `${chunked}3\nabc\r\n0\r\n\r\n` },
  { name: 'a bare LF in a chunk extension', text: `${chunked}3;a\nabc\r\n0\r\n\r\n` },
  { name: 'a folded line', text: `${get}Host: a\r\nX: b\r\n c\r\n\r\n` },
  { name: 'a space before the first header', text: `${get} Host: a\r\n\r\n` },
  { name: 'bare LF', text: 'GET / HTTP/1.1\nHost: a\n\n' },
  { name: 'a bare LF between headers', text: `${get}Host: a\nX: b\r\n\r\n` },
  { name: 'a bare CR in a header', text: `${get}Host: a\r\nX: b\rY: c\r\n\r\n` },
  { name: 'NUL in a value', text: `${get}Host: a\r\nX: b\0c\r\n\r\n` },
  { name: 'NUL in a name', text: `${get}Host: a\r\nX\0: b\r\n\r\n` },
  { name: 'NUL in the path', text: 'GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n' },
  { name: 'a high byte in the path', text: 'GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n' },
  { name: 'a header without a name', text: `${get}Host: a\r\n: b\r\n\r\n` },
  { name: 'no Host', text: `${get}\r\n` },
  { name: 'no Host in HTTP/1.0', text: 'GET / HTTP/1.0\r\n\r\n' },
  { name: 'an empty Host', text: `${get}Host:\r\n\r\n` },
  { name: 'two Hosts', text: `${get}Host: a\r\nHost: b\r\n\r\n` },
  { name: 'one Host twice', text: `${get}Host: a\r\nHost: a\r\n\r\n` },
  { name: 'a Host with a path', text: `${get}Host: a/b\r\n\r\n` },
  { name: 'a Host with a user', text: `${get}Host: b@a\r\n\r\n` },
  { name: 'absolute form with another host', text: 'GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n' },
  { name: 'absolute form with a user', text: 'GET http://b@a/ HTTP/1.1\r\nHost: a\r\n\r\n' },
  { name: 'CONNECT', text: 'CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n' },
  { name: 'asterisk form', text: 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n' },
  { name: 'a path without a slash', text: 'GET foo HTTP/1.1\r\nHost: a\r\n\r\n' },
  { name: 'a space in the path', text: 'GET /a b HTTP/1.1\r\nHost: a\r\n\r\n' },
  { name: 'a method in small letters', text: 'get / HTTP/1.1\r\nHost: a\r\n\r\n' },
  { name: 'an unknown method', text: 'FOO / HTTP/1.1\r\nHost: a\r\n\r\n' },
  { name: 'HTTP/0.9', text: 'GET /\r\n\r\n' },
  { name: 'HTTP/1.2', text: 'GET / HTTP/1.2\r\nHost: a\r\n\r\n' },
  { name: 'HTTP/2.0 in the request line', text: 'GET / HTTP/2.0\r\nHost: a\r\n\r\n' },
  { name: 'the preface of HTTP/2', text: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' },
  { name: 'TLS on a plain port', text: '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' },
  { name: 'another protocol', text: 'SSH-2.0-OpenSSH_9.2p1\r\n' },
  {
    name: 'another expectation',
    text: `${post}Expect: tea\r\nContent-Length: 3\r\n\r\nabc`,
    code: 'http.expectation_failed',
  },
  {
    name: 'a head over the limit',
    text: `${get}Host: a\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`,
    code: 'http.header_too_large',
  },
  { name: 'a flood of headers', text: `${get}Host: a\r\n${'a:\r\n'.repeat(3000)}\r\n`, code: 'http.header_too_large' },
]

for (const engine of engines) {
  test(`${engine}: malformed requests get a problem document and a closed connection, and no upstream ever sees one whole`, async t => {
    let reached = 0
    const upstream = await startUpstream(t, (request, response) => {
      // Of a body that turns out malformed on its way, the upstream sees the beginning; never the end.
      request.resume()
      request.on('end', () => reached++)
      request.on('error', () => response.destroy())
    })
    const kit = await startDoor(t, { upstream, listener: { engine } })
    for (const row of malformed) {
      await t.test(row.name, async () => {
        const before = kit.events.length
        // The second request is what a smuggler hides. It must not be answered.
        const text = await raw(kit.port, `${row.text}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n`)
        const answer = parse(text)
        assert.equal(codeOf(answer), row.code ?? 'http.bad_request')
        assert.match(answer.headers.get('connection') ?? '', /close/)
        assert.equal(text.match(/HTTP\/1\.1 \d/g)?.length, 1, 'one answer')
        assert.equal(kit.events.length, before + 1, 'one line in the trail')
        assert.equal(kit.events.at(-1)?.decision, 'error')
      })
    }
    assert.equal(reached, 0)
  })
}

for (const engine of engines) {
  test(`${engine}: what is only odd is served correctly`, async t => {
    const seen: string[] = []
    const upstream = await startUpstream(t, (request, response) => {
      let body = ''
      request.setEncoding('latin1')
      request.on('data', text => {
        body += text
      })
      request.on('end', () => {
        seen.push(`${request.method} ${request.url} ${body}`)
        response.end('ok')
      })
    })
    const kit = await startDoor(t, { upstream, listener: { engine } })
    const rows: readonly { name: string; text: string; reached: string[] }[] = [
      { name: 'empty lines before', text: `\r\n\r\n${get}Host: a\r\nConnection: close\r\n\r\n`, reached: ['GET / '] },
      {
        name: 'a chunk extension and a trailer',
        text: `${post}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nX-User: root\r\n\r\n`,
        reached: ['POST / abc'],
      },
      {
        name: 'a body of GET',
        text: `${get}Host: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc`,
        reached: ['GET / abc'],
      },
      {
        name: 'absolute form with the same host',
        text: 'GET http://A/x?y HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
        reached: ['GET /x?y '],
      },
      { name: 'HTTP/1.0', text: 'GET / HTTP/1.0\r\nHost: a\r\n\r\n', reached: ['GET / '] },
      {
        name: 'an upgrade is not followed, and nothing behind it is taken',
        text: `${post}Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nHost: a\r\n\r\n`,
        reached: ['POST / abc'],
      },
      {
        name: 'pipelined requests, in order',
        text: `${get}Host: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
        reached: ['GET / ', 'GET /2 '],
      },
    ]
    for (const row of rows) {
      await t.test(row.name, async () => {
        seen.length = 0
        const text = await raw(kit.port, row.text)
        assert.deepEqual([...seen].sort(), [...row.reached].sort())
        assert.equal(text.match(/HTTP\/1\.1 200/g)?.length, row.reached.length)
      })
    }
  })
}

for (const engine of engines) {
  test(`${engine}: 100-continue is said when the body is wanted, and not before`, async t => {
    const upstream = await startUpstream(t, (request, response) => request.pipe(response))
    const kit = await startDoor(t, {
      upstream,
      listener: { engine },
      routes: [{ path: '/', methods: ['POST'], allow: ['staff'] }],
    })
    const expecting = (token: string): string =>
      `${post}Authorization: Bearer ${token}\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n`

    const socket = connect(kit.port, '127.0.0.1')
    socket.write(expecting('alice'))
    const [first] = await once(socket, 'data')
    assert.equal(String(first), 'HTTP/1.1 100 Continue\r\n\r\n')
    socket.write('abc')
    let rest = ''
    socket.on('data', bytes => {
      rest += String(bytes)
    })
    await once(socket, 'close')
    assert.equal(parse(rest).body, 'abc')

    const refused = await raw(kit.port, expecting('expired'))
    assert.match(refused, /^HTTP\/1\.1 401 /)
  })
}

for (const engine of engines) {
  test(`${engine}: slow and silent clients are dropped`, async t => {
    let reached = 0
    const upstream = await startUpstream(t, (request, response) => {
      reached++
      request.resume()
      request.on('end', () => response.end())
    })
    const kit = await startDoor(t, {
      upstream,
      listener: { engine, header_timeout: '80ms', request_timeout: '160ms', keep_alive_timeout: '50ms' },
    })
    assert.equal(codeOf(parse(await raw(kit.port, 'GET / HTTP/1.1\r\nHost: a\r\nX-Slow: '))), 'http.request_timeout')
    assert.equal(reached, 0)
    await raw(kit.port, '')
    const slowBody = await raw(kit.port, `${post}Content-Length: 10\r\n\r\nabc`)
    assert.equal(codeOf(parse(slowBody)), 'http.request_timeout')
    // The client is told the id under which the trail has it.
    const [, told] = /^x-request-id: (.*)\r$/im.exec(slowBody) ?? []
    assert.deepEqual(
      kit.events.filter(event => event.action === 'POST').map(({ code, requestId }) => [code, requestId]),
      [['http.request_timeout', told]],
    )
    const idle = await raw(kit.port, `${get}Host: a\r\n\r\n`)
    assert.equal(parse(idle).status, 200)
  })
}

for (const engine of engines) {
  test(`${engine}: more connections than the limit are not taken`, async t => {
    const upstream = await startUpstream(t, (_request, response) => response.end('ok'))
    const kit = await startDoor(t, { upstream, listener: { engine, max_connections: 1 } })
    const first = connect(kit.port, '127.0.0.1')
    first.write(`${get}Host: a\r\n\r\n`)
    await once(first, 'data')
    assert.equal(await raw(kit.port, `${get}Host: a\r\n\r\n`), '')
    first.destroy()
  })
}

test('node-http: a malformed request behind a good one is not taken for a part of its answer', async t => {
  const upstream = await startUpstream(t, (_request, response) => {
    response.write('begun')
    // Never ended: the client's next bytes come in the middle of this answer.
  })
  const kit = await startDoor(t, { upstream, listener: { engine: 'node-http' } })
  const socket = connect(kit.port, '127.0.0.1')
  let text = ''
  socket.on('data', bytes => {
    text += String(bytes)
    if (text.includes('begun')) socket.write('nonsense\r\n\r\n')
  })
  socket.write(`${get}Host: a\r\n\r\n`)
  await once(socket, 'close')
  assert.equal(text.match(/HTTP\/1\.1/g)?.length, 1)
  assert.ok(!text.includes('0\r\n\r\n'), 'the answer is visibly cut')
})

test('llhttp: what comes behind a request is looked at when its answer is complete', async t => {
  const answers: (() => void)[] = []
  const upstream = await startUpstream(t, (_request, response) => {
    response.write('begun')
    answers.push(() => response.end())
  })
  const kit = await startDoor(t, { upstream, listener: { engine: 'llhttp' } })
  const socket = connect(kit.port, '127.0.0.1')
  let text = ''
  socket.on('data', bytes => {
    text += String(bytes)
    if (text.endsWith('begun\r\n')) socket.write('nonsense\r\n\r\n', () => answers.shift()?.())
  })
  socket.write(`${get}Host: a\r\n\r\n`)
  await once(socket, 'close')
  assert.deepEqual(
    [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(match => match[1]),
    ['200', '400'],
  )
  assert.match(text, /begun\r\n0\r\n\r\nHTTP\/1\.1 400/)
})
