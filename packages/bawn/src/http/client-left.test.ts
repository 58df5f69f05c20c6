import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { createBearerMechanism, type TokenJudge } from '../authn/bearer.ts'
import { get, bearer as judge, type KitOptions, startDoor, startUpstream } from './kit.test.ts'

// Clients that leave before anybody knows who they are.

const until = async (holds: () => boolean): Promise<void> => {
  const end = performance.now() + 10_000
  while (!holds()) {
    assert.ok(performance.now() < end, 'in time')
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

/** A door at which each token has to be waited for, until `decide` is called. */
async function startUndecided(t: TestContext, more: Partial<KitOptions> = {}) {
  const seen: string[] = []
  const upstream = await startUpstream(t, (request, response) => {
    seen.push(`${request.method} ${request.url}`)
    request.resume()
    // More than comes in one piece: whoever does not take it holds the connection.
    response.end('x'.repeat(2_000_000))
  })
  const waiting: (() => void)[] = []
  const slow: TokenJudge = {
    authenticate: token =>
      new Promise((resolve, reject) => {
        waiting.push(() => {
          Promise.resolve(judge.authenticate(token)).then(resolve, reject)
        })
      }),
  }
  const kit = await startDoor(t, {
    upstream,
    upstreamOptions: { max_connections: 1, connect_timeout: '500ms' },
    mechanisms: [createBearerMechanism(slow, { realm: 'bawn', base64: false })],
    ...more,
  })
  return { kit, seen, waiting }
}

for (const engine of ['llhttp', 'node-http']) {
  test(`whoever leaves while it is asked who they are has asked for nothing (${engine})`, async t => {
    const routes = [{ path: '/*', methods: ['GET', 'POST'], allow: ['staff'], websocket: engine === 'llhttp' }]
    const { kit, seen, waiting } = await startUndecided(t, { routes, listener: { engine } })
    const handshake =
      'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n'
    for (const [method, more] of [
      ['GET', ''],
      ['POST', 'Content-Length: 0\r\n'],
      ['GET', handshake],
    ]) {
      const count = kit.events.length
      const socket = connect(kit.port, '127.0.0.1')
      await once(socket, 'connect')
      socket.write(`${method} /left HTTP/1.1\r\nHost: gate.example\r\nAuthorization: Bearer alice\r\n${more}\r\n`)
      await until(() => waiting.length > 0)
      socket.resetAndDestroy()
      await until(() => kit.events.length > count)
      waiting.shift()?.()
      await new Promise(resolve => setTimeout(resolve, 50))
    }
    assert.deepEqual(seen, [])
    assert.deepEqual([...kit.door.tunnels()], [])
    // The one connection to the upstream is there for others.
    const later = get(kit.port, '/later', ['Authorization: Bearer alice'])
    await until(() => waiting.length > 0)
    waiting.shift()?.()
    assert.equal((await later).status, 200)
  })
}
