import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, get, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { openSqliteAccounts, type SqliteAccountStore } from '../packages/bawn/src/accounts/sqlite.ts'
import { deriveVerifiers } from '../packages/bawn/src/accounts/verifier.ts'
import { generateAuditKey, generateKeys } from '../packages/bawn/src/keys/generate.ts'
import { type RunningServer, startServer } from '../packages/bawn/src/server.ts'
import { workersLine } from './world.ts'

// An answer that never ends (events, a long download) ends with the account that asked for it, by either engine; a WebSocket connection too.

const engines = ['llhttp', 'node-http'] as const
const folder = mkdtempSync(join(tmpdir(), 'bawn-streams-'))
const path = (name: string): string => join(folder, name)

let store: SqliteAccountStore
let server: RunningServer
const left: string[] = []
const upstream = createServer((request, response) => {
  response.write('begun\n')
  response.on('close', () => left.push(String(request.headers['x-user'])))
})

const chat = new WebSocketServer({ server: upstream })
chat.on('connection', socket => socket.on('message', data => socket.send(data)))

before(async () => {
  upstream.listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  const at = upstream.address()
  assert(at !== null && typeof at === 'object')
  const masterKey = randomBytes(32)
  writeFileSync(path('master'), masterKey.toString('base64'), { mode: 0o600 })
  generateAuditKey({ path: path('keys'), masterKey })
  generateKeys({ path: path('keys'), masterKey, clientId: 'shop-fields' })
  store = openSqliteAccounts({ name: 'staff', path: path('accounts.db') })
  writeFileSync(
    path('bawn.yaml'),
    `${workersLine}listeners:
${engines.map(engine => `  ${engine}: { door: http, address: "127.0.0.1:0", engine: ${engine} }`).join('\n')}
upstreams: { main: { url: "http://127.0.0.1:${at.port}" } }
accounts: { staff: { kind: sqlite, path: accounts.db } }
mechanisms: { basic: {} }
host_rules: [{ use: [basic] }]
routes:
  - { path: /chat, methods: [GET], upstream: main, allow: [authenticated], websocket: true, identity_headers: { id: X-User } }
  - { path: /events, methods: [GET], upstream: main, allow: [authenticated], identity_headers: { id: X-User } }
keys: { store: { kind: directory, path: keys }, master: file:master, client_id: shop-fields }
audit: { file: audit.jsonl }
`,
  )
  server = await startServer({ configPath: path('bawn.yaml'), log: () => {}, clock: Date.now })
})
after(async () => {
  await server?.close(0)
  await store?.close()
  upstream.close()
  upstream.closeAllConnections()
  rmSync(folder, { recursive: true, force: true })
})

const password = 'correct horse'

/** Resolves when the first piece is there. */
async function listen(engine: string, user: string): Promise<IncomingMessage> {
  const request = get(`http://${server.addresses[engine]}/events`, { auth: `${user}:${password}`, agent: false })
  const [answer] = (await once(request, 'response')) as [IncomingMessage]
  assert.equal(answer.statusCode, 200)
  assert.equal(String((await once(answer, 'data'))[0]), 'begun\n')
  return answer
}

const ways = [
  {
    name: 'another password',
    end: async (user: string) => store.setVerifier(user, await deriveVerifiers('another one')),
  },
  { name: 'a lock', end: (user: string) => store.setLocked(user, true) },
  { name: 'a removal', end: (user: string) => store.remove(user) },
]

for (const engine of engines) {
  for (const { name, end } of ways) {
    test(`${engine}: ${name} ends the answer that is under way, and nobody else’s`, { timeout: 10_000 }, async () => {
      const user = `${engine} ${name}`.replaceAll(' ', '-')
      for (const each of [user, `${user}-other`]) {
        await store.add({ name: each, roles: [], ...(await deriveVerifiers(password)), locked: false })
      }
      const [answer, other] = await Promise.all([listen(engine, user), listen(engine, `${user}-other`)])
      const cut = once(answer, 'error')
      await end(user)
      // Truncated, and not taken for complete.
      assert.equal((await cut)[0].code, 'ECONNRESET')
      assert.equal(other.destroyed, false)
      while (!left.includes(user)) await new Promise(resolve => setImmediate(resolve))
      assert(!left.includes(`${user}-other`))
      other.destroy()
    })
  }
}

async function openChat(user: string): Promise<WebSocket> {
  const socket = new WebSocket(`ws://${server.addresses['llhttp']}/chat`, { auth: `${user}:${password}` })
  await once(socket, 'open')
  socket.send('hello')
  assert.equal(String((await once(socket, 'message'))[0]), 'hello')
  return socket
}

for (const { name, end } of ways) {
  test(`${name} closes a WebSocket connection within a second, and nobody else’s`, { timeout: 10_000 }, async () => {
    const user = `chat ${name}`.replaceAll(' ', '-')
    for (const each of [user, `${user}-other`]) {
      await store.add({ name: each, roles: [], ...(await deriveVerifiers(password)), locked: false })
    }
    const [socket, other] = [await openChat(user), await openChat(`${user}-other`)]
    const closed = once(socket, 'close')
    await end(user)
    assert.equal((await closed)[0], 1008)
    assert.equal(other.readyState, WebSocket.OPEN)
    other.terminate()
  })
}
