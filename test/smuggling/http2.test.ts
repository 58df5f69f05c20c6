import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createAuthority } from '@bawn/demo/certificates'
import {
  connectFrames,
  endHeaders,
  endStream,
  type FrameClient,
  frame,
  headOf,
  types,
} from '../../packages/bawn/src/http/http2-frames.fixture.ts'
import { startGateway } from './gateway.ts'
import { payloads } from './http2-payloads.ts'
import { install } from './install.ts'
import { type Seen, servers } from './servers.ts'

// The door speaks HTTP/2 to clients and HTTP/1.1 to servers: what was translated must be read behind it as it was decided on. Behind each payload
// somebody else asks, on a connection of their own, for something that goes to where the payload has been.

const issued = createAuthority('the tests').issue('gate.example', 'server', ['gate.example', '127.0.0.1'])
const more = {
  listener: 'tls: { certificate: web.pem, key: web.key }',
  files: { 'web.pem': issued.certificate, 'web.key': issued.key },
}
const deadlineMs = 10_000
let count = 0

/** What the server has said, as the client got it. */
function bodyOf(client: FrameClient, stream: number): string {
  const pieces = client.frames.filter(each => each.type === types.data && each.stream === stream)
  return Buffer.concat(pieces.map(each => each.payload)).toString('latin1')
}

async function askNext(port: number, target: string): Promise<string> {
  const client = await connectFrames(port)
  client.send(frame(types.headers, endHeaders | endStream, 1, headOf('GET', target)))
  const isOver = (): boolean =>
    client.frames.some(({ stream, type, flags }) => stream === 1 && (type === types.reset || (flags & endStream) !== 0))
  await client.until(isOver)
  client.socket.destroy()
  return bodyOf(client, 1)
}

for (const [name, start] of Object.entries(servers(await install()))) {
  test(`HTTP/2 in front of ${name}`, async t => {
    const server = await start()
    t.after(() => server.stop())
    const gateway = await startGateway(t, server.port, more)
    const port = gateway.ports.llhttp
    const faults: string[] = []
    for (const { name: what, frames, may, must } of payloads) {
      const before = server.seen.length
      const client = await connectFrames(port)
      client.send(...frames)
      // What never ends is given up after a while by whoever has sent it.
      const isOver = (): boolean =>
        client.frames.some(
          ({ type, flags, stream }) => stream > 0 && (type === types.reset || (flags & endStream) !== 0),
        )
      await Promise.race([client.until(isOver).catch(() => {}), new Promise(resolve => setTimeout(resolve, 1_500))])
      client.socket.destroy()

      const target = `/next?${++count}`
      const body = await askNext(port, target)
      const isOwn = body.startsWith('{') && JSON.parse(body).target === target
      if (!isOwn) faults.push(`${what}: the next client got ${JSON.stringify(body.slice(0, 200))}`)
      for (
        const end = Date.now() + deadlineMs;
        isOwn && !server.seen.slice(before).some(seen => seen.target === target);
      ) {
        assert.ok(Date.now() < end, `${what}: the next request was seen`)
        await new Promise(resolve => setTimeout(resolve, 2))
      }
      const lines = server.seen.slice(before).filter((seen: Seen) => seen.whole && seen.target !== target)
      const saw = lines.map(
        seen =>
          `${seen.method} ${seen.target} ${server.leavesBodies && seen.method === 'GET' ? (may?.split(' ').slice(2).join(' ') ?? '') : seen.body}`,
      )
      const isRight = saw.length === 0 ? must !== true : saw.length === 1 && saw[0] === may
      if (!isRight) faults.push(`${what}: seen ${JSON.stringify(saw)}, not ${JSON.stringify(may ?? 'nothing')}`)
    }
    assert.deepEqual(faults, [])
    const trail = gateway.trail()
    const ids = new Set<string>()
    for (const seen of server.seen) {
      const line = JSON.stringify(seen)
      assert.ok(seen.id !== undefined && !ids.has(seen.id), `a request that Bawn has not sent: ${line}`)
      ids.add(seen.id)
      const decided = trail.get(seen.id)
      assert.deepEqual([decided?.method, decided?.resource], [seen.method, '/*'], line)
      assert.match(decided?.decision ?? 'none', /^(?:permit|error)$/, line)
      assert.ok(!/admin/.test(`${seen.target}${seen.path}`), `a guarded path was reached: ${line}`)
    }
    assert.ok(ids.size > payloads.length)
  })
}
