import assert from 'node:assert/strict'
import { createHash, randomInt } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { test } from 'node:test'
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises'
import { startDoor, startUpstream } from './kit.test.ts'

// All connections are read into one buffer, and what is read is lent, not copied: whoever kept it a moment too long would send bytes of
// somebody else. Slow and fast clients before slow and fast servers, with sizes around those at which it is done in another way.

const around = [0, 1, 4_096, 16_384, 65_536, 262_144] as const
const size = (): number => Math.max(0, (around[randomInt(around.length)] ?? 0) + randomInt(-40, 40))

/** Connections at once. */
const rounds = Number(process.env['BAWN_LENT_CLIENTS'] ?? 40)

/** Bytes that no other request or answer has, at no place. */
function bytesOf(id: number, length: number): Buffer {
  const words = new Uint32Array(Math.ceil(length / 4))
  for (let at = 0; at < words.length; at++) words[at] = (id << 17) | at
  return Buffer.from(words.buffer, 0, length)
}

const sumOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const pieces: Buffer[] = []
  for await (const piece of request) {
    pieces.push(piece)
    if (randomInt(8) === 0) await wait(randomInt(4))
  }
  const [, id = 0, length = 0] = (request.url?.split('/') ?? []).map(Number)
  const body = bytesOf(id, length)
  const sum = sumOf(Buffer.concat(pieces))
  const isChunked = randomInt(2) === 0
  response.writeHead(200, { 'X-Sum': sum, ...(isChunked ? {} : { 'Content-Length': length }) })
  if (randomInt(3) === 0) {
    response.end(body)
    return
  }
  for (let at = 0; at < length; ) {
    const end = at + 1 + randomInt(randomInt(2) === 0 ? 3_000 : 100_000)
    response.write(body.subarray(at, end))
    at = end
    if (randomInt(3) === 0) await turn()
    else if (randomInt(10) === 0) await wait(randomInt(4))
  }
  response.end()
}

interface Asked {
  readonly id: number
  readonly length: number
  readonly sum: string
}

/** Asks several on one connection without waiting, and takes the answers as fast as it likes. @returns what was wrong with them */
async function client(port: number, nextId: () => number): Promise<readonly string[]> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  const isSlow = randomInt(3) === 0
  const received: Buffer[] = []
  socket.on('data', bytes => {
    received.push(bytes)
    if (!isSlow || randomInt(2) === 0) return
    socket.pause()
    setTimeout(() => socket.resume(), randomInt(6))
  })
  const closed = once(socket, 'close')
  await once(socket, 'connect')
  const all: Asked[] = []
  const count = randomInt(1, 7)
  for (let left = count; left > 0; left--) {
    const [id, length] = [nextId(), size()]
    const body = bytesOf(id | 0x4000, size())
    all.push({ id, length, sum: sumOf(body) })
    const last = left === 1 ? 'Connection: close\r\n' : ''
    const isChunked = randomInt(3) === 0
    const framing = isChunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`
    const pieces = isChunked
      ? [...(body.length > 0 ? [`${body.length.toString(16)}\r\n`, body, '\r\n'] : []), '0\r\n\r\n']
      : [body]
    const head = `POST /${id}/${length} HTTP/1.1\r\nHost: a\r\n${last}${framing}\r\n\r\n`
    const whole = Buffer.concat([head, ...pieces].map(piece => Buffer.from(piece)))
    for (let at = 0; at < whole.length; ) {
      const end = randomInt(3) === 0 ? whole.length : at + 1 + randomInt(40_000)
      socket.write(whole.subarray(at, end))
      at = end
      if (randomInt(3) === 0) await turn()
    }
    if (randomInt(3) === 0) await wait(randomInt(10))
  }
  await closed
  let rest: Buffer = Buffer.concat(received)
  return all.flatMap(({ id, length, sum }) => {
    const read = readAnswer(rest)
    if (read === undefined) return [`${id}: no answer`]
    rest = read.rest
    if (!read.head.startsWith('HTTP/1.1 200 ')) return [`${id}: ${read.head.slice(0, 12)}`]
    if (!read.head.toLowerCase().includes(`x-sum: ${sum}`)) return [`${id}: another request arrived`]
    return read.body.equals(bytesOf(id, length)) ? [] : [`${id}: another answer`]
  })
}

function readAnswer(
  bytes: Buffer,
): { readonly head: string; readonly body: Buffer; readonly rest: Buffer } | undefined {
  const end = bytes.indexOf('\r\n\r\n')
  if (end === -1) return undefined
  const head = bytes.toString('latin1', 0, end)
  const length = /\r\ncontent-length: (\d+)/i.exec(head)?.[1]
  let at = end + 4
  if (length !== undefined) {
    const next = at + Number(length)
    return { head, body: bytes.subarray(at, next), rest: bytes.subarray(next) }
  }
  const pieces: Buffer[] = []
  for (;;) {
    const line = bytes.indexOf('\r\n', at)
    if (line === -1) return undefined
    const next = line + 2 + Number.parseInt(bytes.toString('latin1', at, line), 16)
    pieces.push(bytes.subarray(line + 2, next))
    at = next + 2
    if (next === line + 2) return { head, body: Buffer.concat(pieces), rest: bytes.subarray(at) }
  }
}

for (const engine of ['llhttp', 'node-http'] as const) {
  for (const servers of [1, 2]) {
    test(`${engine}, ${servers} server: every request and every answer arrives as it was sent`, async t => {
      let lines = 0
      const urls = await Promise.all(Array.from({ length: servers }, () => startUpstream(t, answer)))
      const kit = await startDoor(t, {
        upstream: urls[0] ?? '',
        ...(servers === 1 ? {} : { upstreamOptions: { url: undefined, urls, retries: 1 } }),
        // Its answers stand before those of the connection.
        ...(servers === 1 ? {} : { accessLog: { request: () => lines++, session: () => {} } }),
        listener: { engine },
      })
      let id = 0
      const clients = Array.from({ length: rounds }, () => client(kit.port, () => ++id % 0x4000))
      assert.deepEqual((await Promise.all(clients)).flat(), [])
      assert.equal(lines, servers === 1 ? 0 : id)
    })
  }
}
