import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { after, before, test } from 'node:test'
import WebSocket, { WebSocketServer } from 'ws'
import { type Gateway, startWorkersWorld, until, type WorkersWorld } from './workers-kit.ts'

// WebSocket connections with two workers: there are as many as the configuration says, and not as many for each worker.

const limits = { listener: 8, identity: 5, route: 3 }

let world: WorkersWorld
let gateway: Gateway
const upstream = createServer()
const server = new WebSocketServer({ server: upstream })
server.on('connection', socket => {
  socket.on('error', () => {})
  socket.on('message', data => socket.send(String(data)))
})
before(async () => {
  upstream.listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  const at = upstream.address()
  assert(at !== null && typeof at === 'object')
  world = await startWorkersWorld()
  world.configure()
  const file = world.path('bawn.yaml')
  const text = readFileSync(file, 'utf8')
    .replace(
      'web: { door: http, address: "127.0.0.1:0" }',
      `web: { door: http, address: "127.0.0.1:0", max_websockets: ${limits.listener}, max_websockets_per_identity: ${limits.identity} }`,
    )
    .replace('upstreams: {', `upstreams: { chat: { url: "http://127.0.0.1:${at.port}" },`)
    .replace(
      'routes:\n',
      `routes:
  - { path: /chat, methods: [GET], upstream: chat, allow: [anyone], websocket: true }
  - { path: /mine, methods: [GET], upstream: chat, allow: [staff], websocket: true }
  - { path: /few, methods: [GET], upstream: chat, allow: [anyone], websocket: true, websocket_max: ${limits.route} }
`,
    )
  writeFileSync(file, text)
  gateway = await world.start()
})
after(async () => {
  await world?.stop()
  for (const socket of server.clients) socket.terminate()
  server.close()
  upstream.close()
})

const basic = { authorization: `Basic ${Buffer.from('alice:correct horse').toString('base64')}` }

/** A connection, by one of its own to the gateway; or the status of the answer that was not 101. */
function open(path: string, headers: Record<string, string> = {}): Promise<WebSocket | number> {
  const { promise, resolve, reject } = Promise.withResolvers<WebSocket | number>()
  const socket = new WebSocket(`ws://${gateway.addresses.get('web')}${path}`, { headers })
  socket.on('open', () => resolve(socket))
  socket.on('unexpected-response', (request, response) => {
    resolve(response.statusCode ?? 0)
    request.destroy()
  })
  socket.on('error', reject)
  return promise
}

const opened = (found: readonly (WebSocket | number)[]): readonly WebSocket[] =>
  found.filter(one => typeof one !== 'number')

async function close(sockets: readonly WebSocket[]): Promise<void> {
  await Promise.all(
    sockets.map(socket => {
      const closed = once(socket, 'close')
      socket.close()
      return closed
    }),
  )
}

for (const [what, path, headers, wanted] of [
  ['of the listener', '/chat', {}, limits.listener],
  ['of one identity', '/mine', basic, limits.identity],
  ['of a route', '/few', {}, limits.route],
] as const) {
  test(`the most ${what} is counted over all workers, and a place that is left is another's`, async () => {
    for (let round = 0; round < 2; round++) {
      let sockets: readonly WebSocket[] = []
      // Of the round before: the gateway hears of a close a moment later.
      await until(async () => {
        const one = await open(path, headers)
        if (typeof one === 'number') return false
        await close([one])
        return true
      }, 'a place')
      await until(async () => {
        sockets = opened(await Promise.all(Array.from({ length: 24 }, () => open(path, headers))))
        assert.ok(sockets.length <= wanted)
        if (sockets.length === wanted) return true
        await close(sockets)
        return false
      }, 'all places')
      assert.equal(await open(path, headers), 503)
      const [first] = sockets
      assert(first !== undefined)
      const heard = once(first, 'message')
      first.send('hello')
      assert.equal(String((await heard)[0]), 'hello')
      await close([first])
      let next: WebSocket | number = 0
      await until(async () => {
        next = await open(path, headers)
        return typeof next !== 'number'
      }, 'the place that was left')
      assert.equal(await open(path, headers), 503)
      await close([...sockets.slice(1), ...opened([next])])
    }
  })
}

test('a worker that ends gives back the places of its connections', async () => {
  let sockets: readonly WebSocket[] = []
  await until(async () => {
    sockets = opened(await Promise.all(Array.from({ length: 24 }, () => open('/chat'))))
    if (sockets.length === limits.listener) return true
    await close(sockets)
    return false
  }, 'all places')
  let ended = 0
  for (const socket of sockets) socket.on('close', () => ended++).on('error', () => {})
  const from = gateway.log().length
  await gateway.ask('/', { 'x-order': 'throw' }).catch(() => {})
  await gateway.logged(/serves again/, from)
  const left = sockets.filter(({ readyState }) => readyState === WebSocket.OPEN)
  assert.equal(left.length + ended, limits.listener)
  let again: readonly WebSocket[] = []
  await until(async () => {
    const found = opened(await Promise.all(Array.from({ length: 24 }, () => open('/chat'))))
    assert.ok(left.length + found.length <= limits.listener)
    if (left.length + found.length === limits.listener) {
      again = found
      return true
    }
    await close(found)
    return false
  }, 'all places again')
  await close([...left, ...again])
})
