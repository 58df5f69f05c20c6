import assert from 'node:assert/strict'
import { createHmac, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { md4 } from '../../outbound/md4.ts'
import { openHandshake } from '../../outbound/open.ts'
import { outboundCredentialsOptions } from '../../outbound/option.ts'
import { codeOf, get, post, send, startDoor } from '../kit.test.ts'

const handshake = (user = 'CORP\\gateway', password = 'Pässword') => {
  const options = outboundCredentialsOptions.parse({ kind: 'ntlm', user, password: 'env:PASSWORD' })
  assert.ok(options.kind === 'ntlm')
  return openHandshake(options, { clock: Date.now, secret: () => password })
}

type State = { readonly kind: 'challenged'; readonly challenge: Buffer } | { readonly kind: 'known' }

interface Behaviour {
  /** A 401 with a body of so many bytes. */
  readonly bodyBytes?: number
  readonly timestamp?: boolean
  readonly domain?: string
  /** Before the answer to a request that is permitted. @returns true to forget the connection instead */
  readonly forgets?: (count: number) => boolean
  readonly challenge?: (response: ServerResponse, challenge: Buffer) => boolean
}

const hmac = (key: Buffer, ...data: readonly Buffer[]): Buffer => {
  const made = createHmac('md5', key)
  for (const piece of data) made.update(piece)
  return made.digest()
}
const utf16 = (text: string): Buffer => Buffer.from(text, 'utf16le')

/** A server that knows CORP\gateway alone, and each connection by itself; what it thinks of a response it computes anew (MS-NLMP 3.3.2). */
async function startAcceptor(t: TestContext, behaviour: Behaviour = {}) {
  const states = new WeakMap<Socket, State>()
  const seen: string[] = []
  const served: { readonly url: string; readonly body: string; readonly socket: Socket }[] = []
  const { domain = 'CORP' } = behaviour

  const refuse = (response: ServerResponse, header: string): void => {
    const headers = { 'www-authenticate': ['Negotiate', header] }
    response.writeHead(401, headers).end('x'.repeat(behaviour.bodyBytes ?? 0))
  }
  const isRight = (message: Buffer, challenge: Buffer): boolean => {
    const field = (at: number): Buffer =>
      message.subarray(message.readUInt32LE(at + 4), message.readUInt32LE(at + 4) + message.readUInt16LE(at))
    assert.equal(message.subarray(0, 12).toString('latin1'), 'NTLMSSP\0\x03\0\0\0')
    assert.equal(field(28).toString('utf16le'), domain)
    assert.equal(field(36).toString('utf16le'), 'gateway')
    const key = hmac(md4(utf16('Pässword')), utf16(`GATEWAY${domain}`))
    const nt = field(20)
    const sent = nt.subarray(16)
    assert.equal(sent.subarray(0, 8).toString('hex'), '0101000000000000')
    if (behaviour.timestamp === true) assert.deepEqual(field(12), Buffer.alloc(24))
    return hmac(key, challenge, sent).equals(nt.subarray(0, 16))
  }
  const server = createServer(async (request: IncomingMessage, response) => {
    const pieces: Buffer[] = []
    for await (const piece of request) pieces.push(piece)
    const body = Buffer.concat(pieces).toString()
    const { socket, headers } = request
    const message = Buffer.from(/^NTLM (.+)$/.exec(headers.authorization ?? '')?.[1] ?? '', 'base64')
    const type = message.length === 0 ? 'none' : String(message.readUInt32LE(8))
    seen.push(`${request.method} ${type} ${body.length}`)
    const state = states.get(socket)
    if (type === '1') {
      const challenge = randomBytes(8)
      states.set(socket, { kind: 'challenged', challenge })
      if (behaviour.challenge?.(response, challenge) === true) return
      refuse(response, `NTLM ${challengeMessage(challenge, behaviour.timestamp === true).toString('base64')}`)
      return
    }
    if (type === '3' && state?.kind === 'challenged' && isRight(message, state.challenge)) {
      states.set(socket, { kind: 'known' })
    }
    const isKnown = states.get(socket)?.kind === 'known'
    if (!isKnown || (type === 'none' && behaviour.forgets?.(served.length) === true)) {
      states.delete(socket)
      refuse(response, 'NTLM')
      return
    }
    served.push({ url: `${request.method} ${request.url}`, body, socket })
    response.end(`ok ${body.length}`)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen, served }
}

function challengeMessage(challenge: Buffer, hasTime: boolean): Buffer {
  const pair = (id: number, value: Buffer): Buffer => {
    const head = Buffer.alloc(4)
    head.writeUInt16LE(id, 0)
    head.writeUInt16LE(value.length, 2)
    return Buffer.concat([head, value])
  }
  const time = hasTime ? [pair(7, Buffer.from('0080d5de44cdd801', 'hex'))] : []
  const info = Buffer.concat([pair(2, utf16('CORP')), pair(1, utf16('SERVER')), ...time, Buffer.alloc(4)])
  const head = Buffer.alloc(56)
  head.write('NTLMSSP\0', 'latin1')
  head.writeUInt32LE(2, 8)
  head.writeUInt32LE(0xa2898205, 20)
  challenge.copy(head, 24)
  head.writeUInt16LE(info.length, 40)
  head.writeUInt16LE(info.length, 42)
  head.writeUInt32LE(56, 44)
  return Buffer.concat([head, info])
}

test('a connection is introduced once, without a body, and carries requests from then on', async t => {
  const server = await startAcceptor(t, { timestamp: true })
  const kit = await startDoor(t, {
    upstream: server.url,
    upstreamOptions: { max_connections: 1 },
    upstreamDeps: { handshake: handshake() },
  })
  assert.equal((await post(kit.port, '/a', 'x'.repeat(50_000), ['Authorization: Bearer alice'])).body, 'ok 50000')
  assert.equal((await get(kit.port, '/b')).body, 'ok 0')
  const chunked = 'POST /c HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n'
  assert.equal((await send(kit.port, chunked)).body, 'ok 3')
  assert.deepEqual(server.seen, ['GET 1 0', 'POST 3 50000', 'GET none 0', 'POST none 3'])
  assert.equal(new Set(server.served.map(({ socket }) => socket)).size, 1)
})

test('each connection is introduced by itself, and a body of the challenge is read over', async t => {
  const server = await startAcceptor(t, { bodyBytes: 50_000 })
  const kit = await startDoor(t, {
    upstream: server.url,
    upstreamOptions: { max_connections: 3 },
    upstreamDeps: { handshake: handshake() },
  })
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, at) =>
      at % 2 === 0 ? get(kit.port, `/${at}`) : post(kit.port, `/${at}`, 'y'.repeat(at)),
    ),
  )
  assert.deepEqual(
    answers.map(({ body }) => body),
    Array.from({ length: 20 }, (_, at) => `ok ${at % 2 === 0 ? 0 : at}`),
  )
  const sockets = new Set(server.served.map(({ socket }) => socket)).size
  assert.ok(sockets <= 3)
  const introductions = server.seen.filter(line => line.startsWith('GET 1'))
  assert.equal(introductions.length, sockets)
  assert.equal(server.seen.length, 20 + sockets)
})

test('a user without a domain, and one with a name that is all of it', async t => {
  const server = await startAcceptor(t, { domain: '' })
  for (const user of ['gateway', '\\gateway']) {
    const kit = await startDoor(t, { upstream: server.url, upstreamDeps: { handshake: handshake(user) } })
    assert.equal((await get(kit.port, '/')).body, 'ok 0', user)
  }
})

test('what the server has forgotten is introduced again; a body that is gone fails, and the next one does not', async t => {
  let forgets = false
  const server = await startAcceptor(t, {
    forgets: () => {
      const was = forgets
      forgets = false
      return was
    },
  })
  const kit = await startDoor(t, { upstream: server.url, upstreamDeps: { handshake: handshake() } })
  assert.equal((await get(kit.port, '/a')).body, 'ok 0')
  forgets = true
  assert.equal((await get(kit.port, '/b')).body, 'ok 0')
  assert.deepEqual(server.seen, ['GET 1 0', 'GET 3 0', 'GET none 0', 'GET 1 0', 'GET 3 0'])
  forgets = true
  assert.equal(codeOf(await post(kit.port, '/c', 'abc')), 'outbound.refused')
  assert.equal((await post(kit.port, '/d', 'abc')).body, 'ok 3')
  assert.deepEqual(
    server.served.map(({ url }) => url),
    ['GET /a', 'GET /b', 'POST /d'],
  )
})

test('a wrong password is the gateway’s failure, and is tried once', async t => {
  const server = await startAcceptor(t)
  const kit = await startDoor(t, {
    upstream: server.url,
    upstreamDeps: { handshake: handshake('CORP\\gateway', 'wrong') },
  })
  const answer = await get(kit.port, '/')
  assert.deepEqual([answer.status, codeOf(answer)], [502, 'outbound.refused'])
  assert.equal(answer.headers.get('www-authenticate'), undefined)
  assert.deepEqual(server.seen, ['GET 1 0', 'GET 3 0'])
})

const strange: readonly {
  readonly name: string
  readonly answer: (response: ServerResponse) => void
  readonly code?: string
}[] = [
  { name: 'no challenge', answer: response => response.writeHead(401).end() },
  { name: 'another scheme', answer: response => response.writeHead(401, { 'www-authenticate': 'Basic' }).end() },
  {
    name: 'a challenge that is none',
    answer: response => response.writeHead(401, { 'www-authenticate': 'NTLM AAAA' }).end(),
  },
  {
    name: 'a challenge, and the end of the connection',
    answer: response =>
      response
        .writeHead(401, {
          'www-authenticate': `NTLM ${challengeMessage(Buffer.alloc(8), false).toString('base64')}`,
          connection: 'close',
        })
        .end('bye'),
  },
  {
    name: 'a challenge with an endless body',
    answer: response => {
      const header = `NTLM ${challengeMessage(Buffer.alloc(8), false).toString('base64')}`
      response.writeHead(401, { 'www-authenticate': header }).write(Buffer.alloc(200_000))
    },
  },
  { name: 'nobody asks', answer: response => response.end('welcome') },
  { name: 'a cut connection', answer: response => response.destroy(), code: 'http.bad_answer' },
]
for (const { name, answer, code = 'outbound.refused' } of strange) {
  test(`a body goes to nobody who did not ask who connects: ${name}`, async t => {
    const server = await startAcceptor(t, {
      challenge: response => {
        answer(response)
        return true
      },
    })
    const kit = await startDoor(t, { upstream: server.url, upstreamDeps: { handshake: handshake() } })
    assert.equal(codeOf(await post(kit.port, '/', 'abc')), code)
    assert.deepEqual(server.seen, ['GET 1 0'])
  })
}

test('where nobody asks, what a GET is answered is the answer', async t => {
  const server = await startAcceptor(t, {
    challenge: response => {
      response.end('welcome')
      return true
    },
  })
  const kit = await startDoor(t, { upstream: server.url, upstreamDeps: { handshake: handshake() } })
  assert.equal((await get(kit.port, '/')).body, 'welcome')
  assert.equal((await get(kit.port, '/')).body, 'welcome')
  assert.deepEqual(server.seen, ['GET 1 0', 'GET 1 0'])
})
