import assert from 'node:assert/strict'
import { randomBytes, randomInt } from 'node:crypto'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { connect } from 'node:tls'
import { createAuthority } from '@bawn/demo/certificates'
import type { HttpMechanism } from '../authn/http-mechanism.ts'
import {
  block,
  connectFrames,
  endHeaders,
  endStream,
  type FrameClient,
  frame,
  headOf,
  types,
} from './http2-frames.fixture.ts'
import { ask, authority, session, startHttp2, tls } from './http2-kit.fixture.ts'
import { startDoor, startRawUpstream, startUpstream } from './kit.test.ts'

// What a client of HTTP/2 may take of us, and what becomes of the rest of it.

const until = async (holds: () => boolean): Promise<void> => {
  const end = performance.now() + 10_000
  while (!holds()) {
    assert.ok(performance.now() < end, 'in time')
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

const reset = (stream: number, code: number): Buffer => frame(types.reset, 0, stream, number(code))
const get = (stream: number): Buffer => frame(types.headers, endHeaders | endStream, stream, headOf('GET', '/'))

/** An upstream that counts, and answers when it is told to. */
async function startPatient(t: TestContext) {
  const state = { reached: 0, whole: 0, gone: 0, answer: false }
  const upstream = await startUpstream(t, (request, response) => {
    state.reached++
    request.resume()
    request.on('error', () => {})
    request.on('end', () => {
      state.whole++
      if (state.answer) response.end('ok')
    })
    response.once('close', () => {
      if (!response.writableFinished) state.gone++
    })
  })
  return { state, upstream }
}

test('a request that is reset in the middle never looks whole to an upstream, and is given up there', async t => {
  const { state, upstream } = await startPatient(t)
  const kit = await startHttp2(t, { upstream })
  // NO_ERROR as well: by its code it looks like the end of an ordinary stream.
  for (const code of [0, 8]) {
    const client = await connectFrames(kit.port)
    const before = { ...state }
    client.send(frame(types.headers, endHeaders, 1, headOf('POST', '/')), frame(types.data, 0, 1, Buffer.from('abc')))
    await until(() => state.reached === before.reached + 1)
    client.send(reset(1, code))
    await until(() => state.gone === before.gone + 1)
    client.send(get(3))
    await until(() => state.whole === before.whole + 1)
    client.socket.destroy()
    await until(() => state.gone === before.gone + 2)
  }
  assert.deepEqual(
    kit.events.map(({ code }) => code),
    Array.from({ length: 4 }, () => 'http.client_left'),
  )
})

const attacks: readonly { readonly name: string; readonly attack: (client: FrameClient) => void }[] = [
  {
    name: 'rapid reset (CVE-2023-44487)',
    attack: client => {
      for (let stream = 1; stream < 2_000; stream += 2) client.send(get(stream), reset(stream, 8))
    },
  },
  {
    name: 'resets that we are made to send (CVE-2025-8671)',
    attack: client => {
      // A window that overflows is an error of the stream: we reset it, and the request is under way.
      const much = number(0x7fffffff)
      for (let stream = 1; stream < 2_000; stream += 2) client.send(get(stream), frame(types.window, 0, stream, much))
    },
  },
  {
    name: 'PING',
    attack: client => {
      for (let count = 0; count < 5_000; count++) client.send(frame(types.ping, 0, 0, Buffer.alloc(8)))
    },
  },
  {
    name: 'SETTINGS',
    attack: client => {
      for (let count = 0; count < 5_000; count++) client.send(frame(types.settings, 0, 0))
    },
  },
  {
    name: 'CONTINUATION without an end (CVE-2024-27983)',
    attack: client => {
      client.send(frame(types.headers, endStream, 1, headOf('GET', '/')))
      const line = block('x', 'y'.repeat(1_000))
      for (let count = 0; count < 5_000; count++) client.send(frame(types.continuation, 0, 1, line))
    },
  },
  {
    name: 'malformed requests',
    attack: client => {
      const head = block(':method', 'GET', ':scheme', 'https', ':path', '/', ':authority', 'a', 'connection', 'close')
      for (let stream = 1; stream < 4_000; stream += 2)
        client.send(frame(types.headers, endHeaders | endStream, stream, head))
    },
  },
  { name: 'a frame over the size', attack: client => client.send(frame(types.data, 0, 1, Buffer.alloc(20_000))) },
  { name: 'DATA of no stream', attack: client => client.send(frame(types.data, 0, 1, Buffer.from('a'))) },
  { name: 'a pushed promise', attack: client => client.send(frame(types.push, endHeaders, 1, Buffer.alloc(4))) },
  { name: 'an even stream', attack: client => client.send(get(2)) },
  {
    name: 'HPACK that is none',
    attack: client => client.send(frame(types.headers, endHeaders | endStream, 1, Buffer.alloc(9, 0xff))),
  },
  {
    name: 'HTTP/1.1 where h2 was agreed',
    attack: client => client.send(Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n')),
  },
]

test('who floods loses the connection, and others are served meanwhile', async t => {
  const { state, upstream } = await startPatient(t)
  const kit = await startHttp2(t, { upstream })
  for (const { name, attack } of attacks) {
    await t.test(name, async () => {
      state.answer = false
      const client = await connectFrames(kit.port, name.startsWith('HTTP/1.1'))
      const before = state.reached
      attack(client)
      assert.ok(await client.until(() => client.closed), 'closed')
      assert.ok(state.reached - before <= 400, `${state.reached - before} requests reached the upstream`)
      state.answer = true
      const other = session(t, kit.port)
      assert.equal((await ask(other, { ':path': '/' }))?.body, 'ok')
      other.close()
    })
  }
})

test('no more than 100 requests at a time, and no more header than the limit', async t => {
  const { state, upstream } = await startPatient(t)
  const kit = await startHttp2(t, { upstream })
  const client = await connectFrames(kit.port)
  const settings = await client.until(() => client.has(types.settings, 0) !== undefined)
  assert.ok(settings)
  for (let stream = 1; stream <= 201; stream += 2) client.send(get(stream))
  assert.equal(await client.fate(201), 'reset')
  assert.equal(client.has(types.reset, 201)?.payload.readUInt32BE(), 7, 'REFUSED_STREAM: it may be sent again')
  await until(() => state.reached === 100)
  client.socket.destroy()

  // A bomb: one line in the table of HPACK, named over and over in a byte each.
  const bomb = await connectFrames(kit.port)
  const line = Buffer.concat([Buffer.from([0x40]), block('x', 'y'.repeat(3_000)).subarray(1)])
  bomb.send(
    frame(
      types.headers,
      endHeaders | endStream,
      1,
      Buffer.concat([headOf('GET', '/'), line, Buffer.alloc(5_000, 0xbe)]),
    ),
  )
  assert.equal(await bomb.fate(1), 'reset')
  bomb.socket.destroy()
})

test('slow and silent clients are dropped', async t => {
  const upstream = await startUpstream(t, (request, response) => {
    request.resume()
    request.on('error', () => {})
    if (request.url === '/large') response.end(Buffer.alloc(4_000_000))
    else request.on('end', () => response.end('ok'))
  })
  const times = { header_timeout: '1s', request_timeout: '1s', keep_alive_timeout: '50ms' }
  const kit = await startHttp2(t, { upstream, listener: times, writeTimeoutMs: 100 })
  const silent = await connectFrames(kit.port, true)
  assert.ok(await silent.until(() => silent.closed), 'who says nothing')
  const half = await connectFrames(kit.port)
  half.send(frame(types.headers, endStream, 1, headOf('GET', '/')))
  assert.ok(await half.until(() => half.closed), 'who begins a head')
  const idle = await connectFrames(kit.port)
  idle.send(get(1))
  assert.equal(await idle.fate(1), 'answered')
  assert.ok(await idle.until(() => idle.closed), 'who is idle')
  assert.notEqual(idle.has(types.goaway), undefined)

  const client = session(t, kit.port)
  const slow = client.request({ ':method': 'POST', ':authority': 'a' }, { endStream: false })
  slow.on('error', () => {})
  slow.write('abc')
  const [answer] = await once(slow, 'response')
  assert.equal(answer[':status'], 408)
  assert.equal(answer['x-request-id'], kit.events.find(({ code }) => code === 'http.request_timeout')?.requestId)
  slow.close()

  // The window is never opened: what was taken from the upstream is bounded, and the request does not last.
  const deaf = await connectFrames(kit.port)
  deaf.send(frame(types.headers, endHeaders | endStream, 1, headOf('GET', '/large')))
  assert.equal(await deaf.fate(1), 'answered')
  assert.ok(await deaf.until(() => deaf.has(types.reset, 1) !== undefined || deaf.closed))
  assert.equal(kit.events.filter(({ code }) => code === 'http.request_timeout').length, 1)
})

test('a body is taken as fast as its upstream, an answer as fast as its client', async t => {
  let taken = 0
  const upstream = await startRawUpstream(t, socket => {
    socket.on('data', bytes => {
      taken += bytes.length
      socket.pause()
    })
  })
  const kit = await startHttp2(t, { upstream, listener: { max_body_bytes: 1_000_000_000 } })
  const client = session(t, kit.port)
  const upload = client.request({ ':method': 'POST', ':authority': 'a' }, { endStream: false })
  upload.on('error', () => {})
  let written = 0
  const more = (): void => {
    while (!upload.destroyed && upload.write(Buffer.alloc(65_536))) written += 65_536
    if (!upload.destroyed) upload.once('drain', more)
  }
  more()
  await until(() => taken > 0)
  const bounded = async (size: () => number): Promise<number> => {
    for (let before = -1; before !== size(); await new Promise(resolve => setTimeout(resolve, 300))) before = size()
    return size()
  }
  assert.ok((await bounded(() => written)) < 20_000_000, `${written} bytes`)
  upload.close()

  let serving: Socket | undefined
  const endless = await startRawUpstream(t, socket => {
    serving = socket
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 64000000\r\n\r\n')
      for (let count = 0; count < 64; count++) socket.write(Buffer.alloc(1_000_000))
    })
  })
  const other = await startHttp2(t, { upstream: endless })
  const download = session(t, other.port).request({ ':authority': 'a' })
  await once(download, 'response')
  // Nobody reads it: the window stays shut.
  const left = await bounded(() => serving?.writableLength ?? 0)
  assert.ok(left > 40_000_000, `${left} bytes wait at the upstream`)
  let size = 0
  download.on('data', bytes => {
    size += bytes.length
  })
  await once(download, 'close')
  assert.equal(size, 64_000_000)
})

test('an answer that is cut looks cut', async t => {
  const upstream = await startRawUpstream(t, socket => {
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n', () =>
        setImmediate(() => socket.destroy()),
      )
    })
  })
  const kit = await startHttp2(t, { upstream })
  const client = await connectFrames(kit.port)
  client.send(get(1))
  await client.until(() => client.has(types.reset, 1) !== undefined)
  assert.deepEqual(
    client.frames.filter(({ stream, flags }) => stream === 1 && (flags & endStream) !== 0),
    [],
  )
  assert.equal(client.has(types.reset, 1)?.payload.readUInt32BE(), 2, 'INTERNAL_ERROR')
  client.socket.destroy()
})

test('draining sends GOAWAY, answers what is under way and takes nothing new', async t => {
  const answers: (() => void)[] = []
  const upstream = await startUpstream(t, (_request, response) => {
    answers.push(() => response.end('late'))
  })
  const kit = await startHttp2(t, { upstream })
  const idle = await connectFrames(kit.port)
  await idle.until(() => idle.has(types.settings) !== undefined)
  const client = session(t, kit.port)
  const answer = ask(client, { ':path': '/' })
  await until(() => answers.length === 1)
  const drained = kit.door.drain(10_000)
  await once(client, 'goaway')
  assert.ok(await idle.until(() => idle.closed))
  assert.notEqual(idle.has(types.goaway), undefined)
  answers.shift()?.()
  assert.equal((await answer)?.body, 'late')
  await drained
})

test('ALPN decides which HTTP it is, and a listener may offer HTTP/1.1 alone', async t => {
  const upstream = await startUpstream(t, (_request, response) => response.end('ok'))
  const kit = await startHttp2(t, { upstream })
  const only = await startDoor(t, { upstream, tls, listener: { http2: false } })
  const node = await startDoor(t, { upstream, tls, listener: { engine: 'node-http' } })
  const agreed = async (port: number, ALPNProtocols?: string[]): Promise<string | false> => {
    const socket = connect({
      port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      ...(ALPNProtocols && { ALPNProtocols }),
    })
    await once(socket, 'secureConnect')
    socket.destroy()
    return socket.alpnProtocol ?? false
  }
  assert.equal(await agreed(kit.port, ['http/1.1', 'h2']), 'h2')
  assert.equal(await agreed(kit.port, ['http/1.1']), 'http/1.1')
  assert.equal(await agreed(kit.port), false)
  for (const { port } of [only, node]) assert.equal(await agreed(port, ['h2', 'http/1.1']), 'http/1.1')
})

test('a client’s certificate is the same over HTTP/2, and a bad one has no connection', async t => {
  const upstream = await startUpstream(t, (_request, response) => response.end('ok'))
  const seen: string[] = []
  const mechanism: HttpMechanism = {
    name: 'jwt',
    carries: { headers: [], query: [] },
    authenticate: ({ certificate }) => {
      seen.push(certificate?.subject ?? 'none')
      return { kind: 'absent' }
    },
    challenge: () => undefined,
  }
  const kit = await startHttp2(t, {
    upstream,
    tls: { ...tls, clientCa: authority.certificate, clientCertificate: 'optional' },
    mechanisms: [mechanism],
  })
  const answers: (string | undefined)[] = []
  for (const issuer of [undefined, authority, createAuthority('somebody else')]) {
    const shown = issuer?.issue('billing', 'client')
    const client = session(t, kit.port, shown && { cert: shown.certificate, key: shown.key })
    answers.push((await ask(client, { ':path': '/' }))?.body)
  }
  assert.deepEqual(answers, ['ok', 'ok', undefined])
  assert.deepEqual(seen, ['none', 'CN=billing'])
})

test('random frames end in an answer, a reset or a closed connection, and others are served', async t => {
  const { state, upstream } = await startPatient(t)
  state.answer = true
  const kit = await startHttp2(t, { upstream })
  const parts = [
    () =>
      frame(types.headers, randomInt(64), randomInt(1, 8), headOf(['GET', 'POST', 'HEAD'][randomInt(3)] ?? '', '/')),
    () => frame(types.data, randomInt(16), randomInt(8), randomBytes(randomInt(50))),
    () => frame(types.continuation, randomInt(8), randomInt(8), block('x', 'y')),
    () => reset(randomInt(8), randomInt(20)),
    () => frame(types.window, 0, randomInt(8), number(randomInt(0x7fffffff))),
    () => frame(types.settings, randomInt(2), 0, randomBytes(6 * randomInt(3))),
    () => frame(types.ping, randomInt(2), 0, Buffer.alloc(8)),
    () => frame(types.priority, 0, randomInt(8), randomBytes(5)),
    () => frame(types.goaway, 0, 0, Buffer.alloc(8)),
    () => frame(randomInt(256), randomInt(256), randomInt(8), randomBytes(randomInt(20))),
  ]
  for (let round = 0; round < 150; round++) {
    const client = await connectFrames(kit.port)
    // Most begin as a request would, so that more than the first frame counts.
    if (round % 4 !== 0) client.send(frame(types.headers, endHeaders, 1, headOf('POST', '/')))
    for (let count = randomInt(1, 12); count > 0; count--)
      client.send(parts[randomInt(parts.length)]?.() ?? Buffer.alloc(0))
    client.socket.end()
    assert.ok(await client.until(() => client.closed))
  }
  assert.equal((await ask(session(t, kit.port), { ':path': '/' }))?.body, 'ok')
  assert.deepEqual(
    kit.logged.filter(({ code }) => code === 'gateway.bug'),
    [],
  )
})
