import assert from 'node:assert/strict'
import { randomBytes, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { type RawData, type ServerOptions, WebSocket, WebSocketServer } from 'ws'
import type { RevocationCheck } from '../../authn/revocation/revocation-check.ts'
import { authority, tls } from '../http2-kit.fixture.ts'
import { codeOf, field, type Kit, type KitOptions, parse, raw, startDoor, startRawUpstream } from '../kit.test.ts'

// WebSocket through the whole door: the client and the server of the npm package ws, and bytes by hand where nobody would send them.

interface Server {
  readonly url: string
  readonly seen: IncomingMessage[]
  readonly sockets: WebSocket[]
}

/** Echoes; `/refused` is answered like any request. */
async function startEcho(t: TestContext, options: ServerOptions = {}): Promise<Server> {
  const seen: IncomingMessage[] = []
  const sockets: WebSocket[] = []
  const server = createServer((_request, response) => response.end('plain'))
  const echo = new WebSocketServer({ ...options, noServer: true })
  server.on('upgrade', (request, socket, head) => {
    seen.push(request)
    if (request.url === '/refused') {
      socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nX-Why: because\r\n\r\nno')
      return
    }
    echo.handleUpgrade(request, socket, head, client => {
      sockets.push(client)
      client.on('error', () => {})
      client.on('message', (data, isBinary) => client.send(data, { binary: isBinary }))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const client of sockets) client.terminate()
    server.close()
    server.closeAllConnections()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen, sockets }
}

const route = { path: '/*', allow: ['anyone'], websocket: true }
const bearer = (who: string) => ({ headers: { authorization: `Bearer ${who}` } })

async function start(t: TestContext, more: Partial<KitOptions> = {}, server?: ServerOptions) {
  const echo = await startEcho(t, server)
  const kit = await startDoor(t, { upstream: echo.url, routes: [route], ...more })
  return { echo, kit }
}

async function open(t: TestContext, kit: Kit, path: string, options: object = {}, protocols: string[] = []) {
  const scheme = 'rejectUnauthorized' in options ? 'wss' : 'ws'
  const socket = new WebSocket(`${scheme}://127.0.0.1:${kit.port}${path}`, protocols, options)
  t.after(() => socket.terminate())
  await once(socket, 'open')
  socket.on('error', () => {})
  return socket
}

async function echoed(socket: WebSocket, text: string): Promise<string> {
  socket.send(text)
  const [data] = (await once(socket, 'message')) as [RawData]
  return String(data)
}

/** @returns the status of an answer other than 101 */
async function refusal(kit: Kit, path: string, options: object = {}): Promise<number | undefined> {
  const socket = new WebSocket(`ws://127.0.0.1:${kit.port}${path}`, options)
  socket.on('error', () => {})
  const [, response] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage]
  response.resume()
  socket.terminate()
  return response.statusCode
}

const until = async (holds: () => boolean): Promise<void> => {
  const end = performance.now() + 10_000
  while (!holds()) {
    assert.ok(performance.now() < end, 'in time')
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

test('messages pass both ways, large ones and compressed ones, over TLS too', async t => {
  for (const secure of [false, true]) {
    const { echo, kit } = await start(t, secure ? { tls } : {}, { perMessageDeflate: true })
    const socket = await open(t, kit, '/chat?room=1', secure ? { rejectUnauthorized: false } : {}, ['soap', 'wamp'])
    assert.equal(socket.protocol, 'soap')
    assert.match(socket.extensions, /permessage-deflate/)
    assert.equal(await echoed(socket, 'hello'), 'hello')
    const large = randomBytes(300_000).toString('hex')
    assert.equal(await echoed(socket, large), large)
    socket.close(4_001, 'enough')
    const [code, reason] = await once(socket, 'close')
    assert.deepEqual([code, String(reason)], [4_001, 'enough'])
    assert.deepEqual(
      kit.events.map(({ action, resource, decision, code: why }) => [action, resource, decision, why]),
      [['GET', '/*', 'permit', undefined]],
    )
    assert.deepEqual(
      kit.metrics.map(({ status }) => status),
      [101],
    )
    assert.equal(echo.seen[0]?.url, '/chat?room=1')
    assert.equal([...kit.door.tunnels()].length, 0)
  }
})

test('whoever opens one is asked as for a request, and the upstream sees only what the route says', async t => {
  const routes = [
    { ...route, path: '/staff', allow: ['staff'], identity_headers: { id: 'X-Who' } },
    { ...route, path: '/some', request_headers: ['x-a'] },
    { ...route, path: '/plain', websocket: false },
  ]
  const { echo, kit } = await start(t, { routes })
  assert.equal(await refusal(kit, '/staff'), 401)
  assert.equal(await refusal(kit, '/staff', bearer('expired')), 401)
  assert.equal(await refusal(kit, '/staff', bearer('bob')), 403)
  assert.equal(await refusal(kit, '/elsewhere'), 404)
  assert.equal(echo.seen.length, 0)
  const socket = await open(t, kit, '/staff', bearer('alice'))
  assert.equal(await echoed(socket, 'a'), 'a')
  assert.equal(echo.seen[0]?.headers['x-who'], 'alice')
  assert.equal(echo.seen[0]?.headers.authorization, undefined)
  const sent = 'MDEyMzQ1Njc4OWFiY2RlZg=='
  const other = await open(t, kit, '/some', { headers: { 'x-a': '1', 'x-b': '2', 'x-user': 'root' } })
  const names = Object.keys(echo.seen[1]?.headers ?? {}).sort()
  assert.deepEqual(names, [
    ...[
      'connection',
      'host',
      'sec-websocket-extensions',
      'sec-websocket-key',
      'sec-websocket-version',
      'upgrade',
      'x-a',
    ],
    ...['x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-request-id'],
  ])
  assert.notEqual(echo.seen[1]?.headers['sec-websocket-key'], sent, 'the handshake is ours')
  other.close()
  // A route without it answers as ever.
  assert.equal(await refusal(kit, '/plain'), 200)
})

const handshake = [
  'GET / HTTP/1.1',
  'Host: gate.example',
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==',
]

test('half a handshake is refused, and nothing behind it is looked at', async t => {
  const { echo, kit } = await start(t, { routes: [{ ...route, methods: ['GET', 'POST'] }] })
  const change = (from: string, to: string): string[] =>
    handshake.flatMap(line => (line.startsWith(from) ? (to === '' ? [] : [to]) : [line]))
  const rows: readonly (readonly [name: string, lines: string[]])[] = [
    ['POST', change('GET', 'POST / HTTP/1.1')],
    ['HTTP/1.0', change('GET', 'GET / HTTP/1.0')],
    ['no version', change('Sec-WebSocket-Version', '')],
    ['version 8', change('Sec-WebSocket-Version', 'Sec-WebSocket-Version: 8')],
    ['two versions', [...handshake, 'Sec-WebSocket-Version: 13']],
    ['no key', change('Sec-WebSocket-Key', '')],
    ['two keys', [...handshake, 'Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==']],
    ['a short key', change('Sec-WebSocket-Key', 'Sec-WebSocket-Key: MDEyMzQ1Njc4OQ==')],
    ['a key that is no base64', change('Sec-WebSocket-Key', 'Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg!!')],
    ['another protocol as well', change('Upgrade', 'Upgrade: websocket, h2c')],
    ['a body', [...handshake, 'Content-Length: 3']],
    ['a chunked body', [...handshake, 'Transfer-Encoding: chunked']],
    ['a subprotocol that is no token', [...handshake, 'Sec-WebSocket-Protocol: a b']],
    ['one subprotocol twice', [...handshake, 'Sec-WebSocket-Protocol: a, a']],
  ]
  for (const [name, lines] of rows) {
    const body = name === 'a chunked body' ? '0\r\n\r\n' : ''
    const text = await raw(kit.port, `${lines.join('\r\n')}\r\n\r\n${body}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n`)
    assert.equal(codeOf(parse(text)), 'http.bad_upgrade', name)
    assert.equal(parse(text).headers.get('sec-websocket-version'), '13', name)
    assert.equal(text.match(/HTTP\/1\.1 \d/g)?.length, 1, name)
  }
  assert.equal(echo.seen.length, 0)
})

test('an answer other than 101 is an answer, and the connection is not taken for another protocol', async t => {
  const { kit } = await start(t)
  const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n'
  const text = await raw(kit.port, `${handshake.join('\r\n').replace('GET /', 'GET /refused')}\r\n\r\n${smuggled}`)
  const answer = parse(text)
  assert.deepEqual([answer.status, answer.body, answer.headers.get('x-why')], [403, 'no', 'because'])
  assert.equal(text.match(/HTTP\/1\.1 \d/g)?.length, 1, 'what stands behind it is nobody’s')
  assert.equal(kit.events.length, 1)
})

test('bytes before the 101 end the connection: they could be a request that somebody else reads', async t => {
  const { echo, kit } = await start(t)
  const text = await raw(kit.port, `${handshake.join('\r\n')}\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n`)
  assert.equal(text, '')
  await until(() => echo.sockets[0]?.readyState === WebSocket.CLOSED)
})

const accepted = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'

test('an upstream’s 101 has to be one for this handshake', async t => {
  const rows: readonly (readonly [name: string, answer: string])[] = [
    ['no key', `${accepted}\r\n`],
    ['another key', `${accepted}Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n`],
    ['HTTP/1.0', `${accepted.replace('1.1', '1.0')}\r\n`],
    ['another protocol', `${accepted.replace('websocket', 'h2c')}\r\n`],
    ['no Connection', `${accepted.replace('Connection', 'X')}\r\n`],
  ]
  for (const [name, answer] of rows) {
    const upstream = await startRawUpstream(t, socket => socket.once('data', () => socket.write(answer)))
    const kit = await startDoor(t, { upstream, routes: [route] })
    assert.equal(await refusal(kit, '/'), 502, name)
  }
  // Nobody asked for it.
  const upstream = await startRawUpstream(t, socket => socket.once('data', () => socket.write(`${accepted}\r\n`)))
  const kit = await startDoor(t, { upstream, routes: [route] })
  assert.equal(parse(await raw(kit.port, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')).status, 502)
})

test('a page of another origin opens none as the person before the browser', async t => {
  const routes = [
    { ...route, path: '/staff', allow: ['staff'], websocket_origins: ['https://app.example'] },
    { ...route, path: '/open' },
  ]
  const { kit } = await start(t, { routes })
  const from = (origin: string) => ({ headers: { authorization: 'Bearer alice', origin } })
  for (const origin of [
    'https://evil.example',
    'null',
    `https://127.0.0.1:${kit.port}`,
    'https://app.example.evil.example',
    '',
  ]) {
    assert.equal(await refusal(kit, '/staff', from(origin)), 403, origin)
  }
  assert.equal(kit.events.at(-1)?.code, 'authn.foreign_page')
  for (const origin of [`http://127.0.0.1:${kit.port}`, 'https://app.example', 'HTTPS://APP.EXAMPLE']) {
    assert.equal(await echoed(await open(t, kit, '/staff', from(origin)), 'a'), 'a', origin)
  }
  // Nobody is anybody there: nothing is borrowed.
  await open(t, kit, '/open', { headers: { origin: 'https://evil.example' } })
})

test('one that is idle, too old, too many or revoked is closed, and both sides hear of it', async t => {
  const routes = [
    { ...route, path: '/idle', websocket_idle_timeout: '150ms' },
    { ...route, path: '/old', websocket_lifetime: '300ms' },
    { ...route, path: '/staff', allow: ['staff'] },
    { ...route, path: '/open' },
  ]
  const { echo, kit } = await start(t, { routes, listener: { max_websockets: 2 } })
  const closed = async (socket: WebSocket): Promise<number> => (await once(socket, 'close'))[0] as number
  assert.equal(await closed(await open(t, kit, '/idle')), 1001)
  const old = await open(t, kit, '/old')
  const talking = setInterval(() => old.readyState === WebSocket.OPEN && old.send('a'), 20)
  assert.equal(await closed(old), 1001)
  clearInterval(talking)

  const alice = await open(t, kit, '/staff', bearer('alice'))
  const other = await open(t, kit, '/open')
  assert.equal(await refusal(kit, '/open'), 503)
  const [identity] = [...kit.door.tunnels()]
  assert.equal(identity?.id, 'alice')
  const over = closed(alice)
  if (identity !== undefined) kit.door.endTunnels(identity)
  assert.equal(await over, 1008)
  assert.equal(await echoed(other, 'a'), 'a', 'nobody else')
  await until(() => echo.sockets.filter(({ readyState }) => readyState === WebSocket.CLOSED).length === 3)

  const gone = closed(other)
  await kit.door.drain(10_000)
  assert.equal(await gone, 1001)
})

test('one identity and one route have their own limits', async t => {
  const routes = [
    { ...route, path: '/staff', allow: ['staff', 'billing'] },
    { ...route, path: '/open' },
    { ...route, path: '/few', allow: ['staff', 'billing'], websocket_max: 1 },
  ]
  const { kit } = await start(t, { routes, listener: { max_websockets_per_identity: 2 } })
  const first = await open(t, kit, '/staff', bearer('alice'))
  await open(t, kit, '/few', bearer('alice'))
  assert.equal(await refusal(kit, '/staff', bearer('alice')), 503)
  assert.equal(await refusal(kit, '/few', bearer('bob')), 503)
  await open(t, kit, '/staff', bearer('bob'))
  for (let times = 0; times < 3; times++) await open(t, kit, '/open')
  // A place that is given back is there again.
  first.close()
  await until(() => [...kit.door.tunnels()].filter(({ id }) => id === 'alice').length === 1)
  await open(t, kit, '/staff', bearer('alice'))
})

test('one whose client’s certificate is revoked is closed', async t => {
  const revoked = new Set<string>()
  const revocation: RevocationCheck = {
    check: () => ({ kind: 'good', by: 'the test' }),
    isKnownRevoked: ({ serialNumber }) => revoked.has(serialNumber),
    prime: async () => {},
    close: () => {},
  }
  const asking = { ...tls, clientCa: authority.certificate, clientCertificate: 'optional', revocation } as const
  const { kit } = await start(t, { tls: asking })
  const [one, two] = [authority.issue('one', 'client'), authority.issue('two', 'client')]
  const shown = (of: typeof one) => ({ rejectUnauthorized: false, cert: of.certificate, key: of.key })
  const [first, second] = [await open(t, kit, '/', shown(one)), await open(t, kit, '/', shown(two))]
  revoked.add(new X509Certificate(one.certificate).serialNumber)
  const closed = once(first, 'close')
  kit.door.tunnels()
  assert.equal((await closed)[0], 1008)
  assert.equal(await echoed(second, 'a'), 'a')
})

test('a stop in the middle of a handshake is an answer, with its line in the trail', async t => {
  const asked = Promise.withResolvers<void>()
  const upstream = await startRawUpstream(t, socket => socket.once('data', () => asked.resolve()))
  const kit = await startDoor(t, { upstream, routes: [route] })
  const status = refusal(kit, '/')
  await asked.promise
  await kit.door.drain(10_000)
  assert.equal(await status, 503)
  assert.deepEqual(
    kit.events.map(({ code }) => code),
    ['http.upstream_busy'],
  )
})

test('a Close of ours does not stand in the middle of a frame', async t => {
  const { echo, kit } = await start(t)
  const client = await open(t, kit, '/')
  await until(() => echo.sockets.length === 1)
  const below = (echo.sockets[0] as unknown as { _socket: NodeJS.WritableStream })._socket
  below.write(Buffer.from([0x82, 126, 1, 0, 1, 2, 3]))
  await new Promise(resolve => setTimeout(resolve, 50))
  const code = once(client, 'close')
  await kit.door.drain(10_000)
  assert.equal((await code)[0], 1006, 'cut, and not corrupted')
})

test('who is slow holds up who is fast, both ways, and no more than a little is kept', async t => {
  const { echo, kit } = await start(t, { writeTimeoutMs: 60_000 })
  const socket = connect(kit.port, '127.0.0.1')
  t.after(() => socket.destroy())
  socket.write(`${handshake.join('\r\n')}\r\n\r\n`)
  await once(socket, 'data')
  socket.pause()
  const [server] = echo.sockets
  assert(server !== undefined)
  const piece = Buffer.alloc(1_000_000)
  for (let count = 0; count < 64; count++) server.send(piece)
  let before = -1
  while (before !== server.bufferedAmount) {
    before = server.bufferedAmount
    await new Promise(resolve => setTimeout(resolve, 300))
  }
  assert.ok(before > 40_000_000, `${before} bytes wait at the upstream`)
  socket.resume()
  await until(() => server.bufferedAmount === 0)

  server.pause()
  const frame = Buffer.concat([Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0, 0x0f, 0x42, 0x40, 0, 0, 0, 0]), piece])
  for (let count = 0; count < 64; count++) socket.write(frame)
  before = -1
  while (before !== socket.writableLength) {
    before = socket.writableLength
    await new Promise(resolve => setTimeout(resolve, 300))
  }
  assert.ok(before > 40_000_000, `${before} bytes wait at the client`)
})

test('a client or an upstream that vanishes ends the other side', async t => {
  const { echo, kit } = await start(t)
  const first = await open(t, kit, '/')
  await until(() => echo.sockets.length === 1)
  first.terminate()
  await until(() => echo.sockets[0]?.readyState === WebSocket.CLOSED)
  const second = await open(t, kit, '/')
  await until(() => echo.sockets.length === 2)
  const closed = once(second, 'close')
  echo.sockets[1]?.terminate()
  await closed
  await until(() => [...kit.door.tunnels()].length === 0)
})

test('a route that cannot have it does not start, and an engine that cannot refuses', async t => {
  const place = { route: '/people/*', path: ['email'], carries: 'sealed' } as const
  const rows: readonly (readonly [Record<string, unknown>, RegExp])[] = [
    [{ ...route, fields: true }, /nobody opens the field email there/],
    [{ ...route, methods: ['POST'] }, /websocket begins with a GET/],
    [{ ...route, response_allow: ['staff'] }, /nothing of what is answered there can be withheld/],
  ]
  for (const [{ fields, ...options }, message] of rows) {
    const start = startDoor(t, {
      upstream: 'http://127.0.0.1:1',
      routes: [options],
      fields: fields ? [field('email', [place])] : [],
    })
    await assert.rejects(start, message)
  }
  const { kit } = await start(t, { listener: { engine: 'node-http' } })
  assert.equal(await refusal(kit, '/'), 400)
})
