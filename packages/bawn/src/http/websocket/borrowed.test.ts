import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { policyOptions } from '../../policy/option.ts'
import { codeOf, type KitOptions, parse, raw, startDoor, startRawUpstream } from '../kit.test.ts'

const handshake =
  'Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n'

/** An upstream that refuses every handshake, and what it was sent. */
async function start(t: TestContext, more: Partial<KitOptions>) {
  const seen: string[] = []
  const upstream = await startRawUpstream(t, socket =>
    socket.on('data', bytes => {
      seen.push(String(bytes))
      socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')
    }),
  )
  const kit = await startDoor(t, { upstream, ...more })
  const ask = async (path: string, headers: string) =>
    parse(await raw(kit.port, `GET ${path} HTTP/1.1\r\nHost: gate.example\r\n${handshake}${headers}\r\n`))
  return { kit, seen, ask }
}

test('a handshake that cannot be sent takes no place', async t => {
  const route = { path: '/*', allow: ['staff'], websocket: true, upstream_path: '/{identity.claims.tenant}' }
  const { kit, ask } = await start(t, { routes: [route], listener: { max_websockets: 1 } })
  for (let times = 0; times < 3; times++) {
    assert.equal(codeOf(await ask('/a', 'Authorization: Bearer alice\r\n')), 'http.unusable_claim')
  }
  assert.deepEqual([...kit.door.tunnels()], [])
})

test('a page of another origin borrows no cookie of the upstream either', async t => {
  const { seen, ask } = await start(t, {
    routes: [{ path: '/*', websocket: true, request_headers: ['Cookie'], websocket_origins: ['https://app.example'] }],
  })
  const cookie = 'Cookie: session=1\r\n'
  assert.equal(codeOf(await ask('/a', `${cookie}Origin: https://evil.example\r\n`)), 'authn.foreign_page')
  assert.deepEqual(seen, [])
  for (const headers of [
    cookie,
    `${cookie}Origin: https://app.example\r\n`,
    `${cookie}Origin: http://gate.example\r\n`,
  ]) {
    assert.equal((await ask('/a', headers)).status, 404)
  }
})

test('nor the address of the person before the browser', async t => {
  const { seen, ask } = await start(t, {
    policies: { lan: policyOptions.parse({ cel: "request.address == '127.0.0.1'", anonymous: true }) },
    routes: [
      { path: '/lan', allow: ['lan'], websocket: true },
      { path: '/open', websocket: true },
    ],
  })
  const foreign = 'Origin: https://evil.example\r\n'
  assert.equal(codeOf(await ask('/lan', foreign)), 'authn.foreign_page')
  assert.deepEqual(seen, [])
  assert.equal((await ask('/lan', '')).status, 404)
  assert.equal((await ask('/open', foreign)).status, 404)
})
