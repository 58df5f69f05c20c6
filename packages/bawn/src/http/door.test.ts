import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { createServer } from 'node:http'
import { connect } from 'node:net'
import { test } from 'node:test'
import {
  buildState,
  codeOf,
  everything,
  get,
  type KitOptions,
  parse,
  post,
  raw,
  startDoor,
  startRawUpstream,
  startUpstream,
} from './kit.test.ts'

/** Answers with what it got. */
const echo: Parameters<typeof createServer>[1] = (request, response) => {
  const pieces: Buffer[] = []
  request.on('data', bytes => pieces.push(bytes))
  request.on('end', () => {
    response.setHeader('X-Powered-By', 'echo')
    response.end(
      JSON.stringify({
        method: request.method,
        url: request.url,
        headers: request.headers,
        body: Buffer.concat(pieces).toString(),
      }),
    )
  })
}

test('a request goes to the upstream and the answer comes back, with one line in the trail', async t => {
  const upstream = await startUpstream(t, echo)
  const kit = await startDoor(t, {
    upstream: `${upstream}/api/`,
    routes: [{ path: '/staff/{id}', allow: ['staff'], identity_headers: { id: 'X-User', roles: 'X-Roles' } }],
  })
  const answer = await get(kit.port, '/staff/%37?a=%2e;b', [
    'Authorization: Bearer alice',
    'X-User: root',
    'X-Roles: admin',
    'Accept: x/y',
  ])
  assert.equal(answer.status, 200)
  assert.equal(answer.headers.get('x-powered-by'), 'echo')
  assert.equal(answer.headers.get('x-request-id'), 'req-1')
  const seen = JSON.parse(answer.body)
  assert.equal(seen.url, '/api/staff/7?a=%2e;b')
  assert.deepEqual(seen.headers, {
    host: upstream.replace('http://', ''),
    accept: 'x/y',
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-proto': 'http',
    'x-forwarded-host': 'gate.example',
    'x-request-id': 'req-1',
    'x-user': 'alice',
    'x-roles': 'staff,support',
  })
  assert.equal(kit.events.length, 1)
  const { identity, ...event } = kit.events[0] ?? {}
  assert.equal(identity?.id, 'alice')
  assert.deepEqual(event, {
    kind: 'request',
    requestId: 'req-1',
    door: 'http',
    address: '127.0.0.1',
    action: 'GET',
    resource: '/staff/{id}',
    decision: 'permit',
    rule: 'staff',
  })
  assert.deepEqual(kit.metrics, [{ route: '/staff/{id}', method: 'GET', status: 200 }])
})

test('bodies stream both ways, whole', async t => {
  const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')
  const body = Buffer.alloc(3 * 1024 * 1024, 'bawn ')
  const upstream = await startUpstream(t, (request, response) => request.pipe(response))
  const kit = await startDoor(t, { upstream })
  for (const chunked of [false, true]) {
    const socket = connect(kit.port, '127.0.0.1')
    const framing = chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`
    socket.write(`POST /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${framing}\r\n\r\n`)
    if (chunked) socket.write(`${body.length.toString(16)}\r\n`)
    socket.write(body)
    if (chunked) socket.write('\r\n0\r\n\r\n')
    const pieces: Buffer[] = []
    socket.on('data', bytes => pieces.push(bytes))
    await once(socket, 'close')
    const answer = parse(Buffer.concat(pieces).toString('latin1'))
    assert.equal(digest(Buffer.from(answer.body)), digest(body))
  }
})

test('a body over the limit is refused before it is read, and while it streams', async t => {
  let whole = 0
  const upstream = await startUpstream(t, (request, response) => {
    request.resume()
    request.on('end', () => {
      whole++
      response.end()
    })
    request.on('error', () => {})
  })
  const kit = await startDoor(t, { upstream, listener: { max_body_bytes: 100 } })
  assert.equal((await post(kit.port, '/', 'x'.repeat(100))).status, 200)
  assert.equal(codeOf(await post(kit.port, '/', 'x'.repeat(101))), 'http.body_too_large')
  assert.equal(codeOf(await post(kit.port, '/', 'x'.repeat(300_000))), 'http.body_too_large')
  const chunked = `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n${'x'.repeat(101)}\r\n`
  assert.equal(codeOf(parse(await raw(kit.port, chunked))), 'http.body_too_large')
  assert.equal(whole, 1)
  assert.deepEqual(
    kit.events.map(event => event.code),
    [undefined, 'http.body_too_large', 'http.body_too_large', 'http.body_too_large'],
  )
})

test('a body that goes over the limit after the answer began cuts the answer', async t => {
  const upstream = await startRawUpstream(t, socket => {
    socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbeginning'))
  })
  const { port } = await startDoor(t, { upstream, listener: { max_body_bytes: 1000 } })
  const piece = `320\r\n${'x'.repeat(800)}\r\n`
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  let got = ''
  socket.on('data', bytes => {
    got += bytes.toString('latin1')
    socket.write(piece)
  })
  socket.write(`POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${piece}`)
  await new Promise(resolve => socket.once('close', resolve))
  assert.match(got, /^HTTP\/1\.1 200 OK[\s\S]*beginning$/)
})

test('what an upstream does wrong has a status and a code, and the log has the details', async t => {
  const rows: readonly {
    name: string
    say: string
    close?: boolean
    options?: Partial<KitOptions>
    code: string
    status: number
  }[] = [
    { name: 'nonsense', say: 'hello\r\n\r\n', code: 'http.bad_answer', status: 502 },
    {
      name: 'two lengths',
      say: 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx',
      code: 'http.bad_answer',
      status: 502,
    },
    {
      name: 'a header with a bare LF',
      say: 'HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: b\r\n\r\n',
      code: 'http.bad_answer',
      status: 502,
    },
    { name: 'closed at once', say: '', close: true, code: 'http.bad_answer', status: 502 },
    {
      name: 'silent',
      say: '',
      options: { upstreamOptions: { response_timeout: '30ms' } },
      code: 'http.upstream_timeout',
      status: 504,
    },
    {
      name: 'an endless head',
      say: `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(70_000)}`,
      code: 'http.bad_answer',
      status: 502,
    },
  ]
  for (const row of rows) {
    await t.test(row.name, async t => {
      const upstream = await startRawUpstream(t, socket => {
        socket.on('data', () => {
          socket.write(row.say)
          if (row.close === true) socket.end()
        })
      })
      const kit = await startDoor(t, { upstream, ...row.options })
      const answer = await get(kit.port, '/')
      assert.equal(answer.status, row.status)
      assert.equal(codeOf(answer), row.code)
      assert.deepEqual(
        kit.logged.map(line => line.code),
        [row.code],
      )
      assert.deepEqual(
        kit.events.map(event => [event.decision, event.code]),
        [['error', row.code]],
      )
    })
  }
  const kit = await startDoor(t, { upstream: 'http://127.0.0.1:1' })
  assert.equal(codeOf(await get(kit.port, '/')), 'http.upstream_unreachable')
})

test('an upstream that lies about its length, or breaks off, shows as a truncated answer', async t => {
  for (const say of [
    'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n',
  ]) {
    const upstream = await startRawUpstream(t, socket => {
      socket.on('data', () => socket.end(say))
    })
    const kit = await startDoor(t, { upstream })
    const text = await raw(kit.port, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    assert.ok(!text.endsWith('0\r\n\r\n'))
    if (/Content-Length: 10/.test(text)) assert.ok(text.slice(text.indexOf('\r\n\r\n') + 4).length < 10)
    assert.equal(kit.events.length, 1)
  }
})

test('a client that leaves ends the request at the upstream', async t => {
  const arrived = Promise.withResolvers<void>()
  const left = Promise.withResolvers<void>()
  for (const early of [true, false]) {
    const upstream = await startUpstream(t, (request, response) => {
      request.resume()
      if (!early) response.write('begun')
      arrived.resolve()
      response.on('close', () => left.resolve())
    })
    const kit = await startDoor(t, { upstream })
    const socket = connect(kit.port, '127.0.0.1')
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    if (early) await arrived.promise
    else await once(socket, 'data')
    socket.destroy()
    await left.promise
    assert.deepEqual(
      kit.events.map(event => event.code),
      early ? ['http.client_left'] : [undefined],
    )
  }
})

test('a client that does not read makes the upstream wait, holds no memory, and is dropped', async t => {
  const total = 64 * 1024 * 1024
  let written = 0
  const closed = Promise.withResolvers<void>()
  const upstream = await startUpstream(t, (_request, response) => {
    response.writeHead(200, { 'Content-Length': total })
    const piece = Buffer.alloc(65_536)
    const more = (): void => {
      while (written < total) {
        written += piece.length
        if (!response.write(piece)) {
          response.once('drain', more)
          return
        }
      }
    }
    response.on('close', () => closed.resolve())
    more()
  })
  const kit = await startDoor(t, { upstream, writeTimeoutMs: 60 })
  const socket = connect(kit.port, '127.0.0.1')
  socket.pause()
  socket.on('error', () => {})
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await closed.promise
  assert.ok(written < total / 2, `${written} bytes were taken from the upstream for a client that read nothing`)
  socket.destroy()
})

test('an informational answer, a 204 and a 304 pass', async t => {
  const rows = [
    ['HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok', 200, 'ok'],
    ['HTTP/1.1 204 No Content\r\n\r\n', 204, ''],
    ['HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n', 304, ''],
  ] as const
  for (const [say, status, body] of rows) {
    const upstream = await startRawUpstream(t, socket => {
      socket.on('data', () => socket.write(say))
    })
    const kit = await startDoor(t, { upstream })
    const answer = await get(kit.port, '/')
    assert.deepEqual([answer.status, answer.body], [status, body])
  }
})

test('a reload takes effect for the next request; the one under way ends on what it began with', async t => {
  const held = Promise.withResolvers<() => void>()
  const old = await startUpstream(t, (request, response) => {
    if (request.url === '/held') held.resolve(() => response.end('old'))
    else response.end('old')
  })
  const fresh = await startUpstream(t, (_request, response) => response.end('new'))
  const kit = await startDoor(t, { upstream: old })
  const underWay = get(kit.port, '/held')
  const release = await held.promise
  kit.door.swap(
    buildState({ upstream: fresh, routes: [everything] }, { trail: kit.state.trail, metrics: kit.state.metrics }),
  )
  assert.equal((await get(kit.port, '/')).body, 'new')
  release()
  assert.equal((await underWay).body, 'old')
})

test('draining finishes what is under way and takes nothing new', async t => {
  const held = Promise.withResolvers<() => void>()
  const upstream = await startUpstream(t, (_request, response) => held.resolve(() => response.end('done')))
  const kit = await startDoor(t, { upstream })
  const idle = raw(kit.port, '')
  const answer = raw(kit.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  const release = await held.promise
  const drained = kit.door.drain(60_000)
  await idle
  release()
  assert.equal(parse(await answer).body, 'done')
  await drained
  const refused = connect(kit.port, '127.0.0.1')
  const [error] = await once(refused, 'error')
  assert.equal(error.code, 'ECONNREFUSED')
})

test('a drain that takes too long is cut', async t => {
  const held = Promise.withResolvers<void>()
  const upstream = await startUpstream(t, () => held.resolve())
  const kit = await startDoor(t, { upstream })
  const answer = raw(kit.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await held.promise
  await kit.door.drain(20)
  assert.equal(await answer, '')
})

test('an audit trail that cannot be written lets nothing out', async t => {
  const upstream = await startUpstream(t, (_request, response) => response.end('secret'))
  const kit = await startDoor(t, { upstream })
  kit.events.push = () => {
    throw new Error('disk full')
  }
  const answer = await get(kit.port, '/')
  assert.equal(codeOf(answer), 'gateway.bug')
  assert.ok(!answer.body.includes('secret'))
})
