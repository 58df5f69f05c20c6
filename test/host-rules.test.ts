import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, request } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type DnsServer, startDnsServer } from '../packages/bawn/src/authn/dns-server.fixture.ts'
import { generateAuditKey, generateKeys } from '../packages/bawn/src/keys/generate.ts'
import { buildStartupMessage } from '../packages/bawn/src/postgres/wire/startup.ts'
import { type RunningServer, startServer } from '../packages/bawn/src/server.ts'

// One list for both doors, of a running gateway: by route, by name, by the end of a name. Clients come from addresses of this machine, and
// a DNS server of the tests says what they are called.

const folder = mkdtempSync(join(tmpdir(), 'bawn-host-rules-'))
const path = (name: string): string => join(folder, name)
const upstream = createServer((asked, response) => response.end(String(asked.headers['x-user'] ?? 'nobody')))
const lines: string[] = []
let dns: DnsServer
let server: RunningServer

const names: readonly (readonly [name: string, address: string])[] = [
  ['batch.example', '127.0.0.10'],
  ['a.corp.example', '127.0.0.11'],
]

before(async () => {
  dns = await startDnsServer()
  for (const [name, address] of names) {
    dns.records.set(`${name} A`, [address])
    dns.records.set(`${address.split('.').reverse().join('.')}.in-addr.arpa PTR`, [name])
  }
  // Says that it is one of ours, and is not.
  dns.records.set('66.0.0.127.in-addr.arpa PTR', ['a.corp.example'])
  dns.records.set('67.0.0.127.in-addr.arpa PTR', 'servfail')
  upstream.listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  const masterKey = randomBytes(32)
  writeFileSync(path('master'), masterKey.toString('base64'), { mode: 0o600 })
  generateAuditKey({ path: path('keys'), masterKey })
  generateKeys({ path: path('keys'), masterKey, clientId: 'shop-fields' })
  writeFileSync(
    path('bawn.yaml'),
    `listeners:
  web: { door: http, address: 127.0.0.1:0 }
  sql: { door: postgres, address: 127.0.0.1:0 }
databases: { shop: { host: 127.0.0.1, port: 1, tls: "off", login: { user: u, password: file:master }, allow: [authenticated] } }
upstreams: { api: { url: "http://127.0.0.1:${(upstream.address() as AddressInfo).port}" } }
accounts: { staff: { kind: sqlite, path: accounts.db } }
mechanisms: { identity: { user: tester }, trust: { user: guest } }
host_rules:
  - { name: health, door: http, route: /health, use: [trust] }
  - { name: batch, address: batch.example, use: [identity, scram] }
  - { name: corp, address: .corp.example, use: [identity, scram] }
  - { name: admin, door: http, route: [/admin/*], use: [] }
  - { name: rest, door: http, address: 127.0.0.66, use: [trust] }
routes:
  - { path: /health, methods: [GET], upstream: api, allow: [authenticated], identity_headers: { id: X-User } }
  - { path: /who, methods: [GET], upstream: api, allow: [authenticated], identity_headers: { id: X-User } }
  - { path: "/admin/{page}", methods: [GET], upstream: api, allow: [authenticated], identity_headers: { id: X-User } }
keys: { store: { kind: directory, path: keys }, master: file:master, client_id: shop-fields }
audit: { file: audit.jsonl }
`,
  )
  server = await startServer({
    configPath: path('bawn.yaml'),
    log: line => lines.push(line),
    clock: Date.now,
    resolver: dns.resolver,
  })
})
after(async () => {
  await server?.close(0)
  dns?.close()
  upstream.close()
  upstream.closeAllConnections()
  rmSync(folder, { recursive: true })
})

const portOf = (listener: string): number => Number(server.addresses[listener]?.split(':')[1])

async function ask(target: string, from: string): Promise<string> {
  const asked = request({ host: '127.0.0.1', port: portOf('web'), path: target, localAddress: from, agent: false })
  asked.end()
  const [response] = await once(asked, 'response')
  let body = ''
  for await (const chunk of response) body += chunk
  return response.statusCode === 200 ? body : JSON.parse(body).code
}

/** What the door says first: SASL, or the SQLSTATE of an error. */
async function login(from: string): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port: portOf('sql'), localAddress: from })
  socket.write(
    buildStartupMessage([
      ['user', 'alice'],
      ['database', 'shop'],
    ]),
  )
  const [said] = await once(socket, 'data')
  socket.destroy()
  const text = Buffer.from(said).toString('latin1')
  return text.startsWith('R') ? 'SASL' : (/\0C([0-9A-Z]{5})\0/.exec(text)?.[1] ?? text)
}

const rows: readonly (readonly [from: string, target: string, http: string, postgres: string])[] = [
  ['127.0.0.10', '/who', 'tester', 'SASL'],
  ['127.0.0.11', '/who', 'tester', 'SASL'],
  ['127.0.0.12', '/who', 'http.refused_here', '28000'],
  ['127.0.0.66', '/who', 'guest', '28000'],
  ['127.0.0.67', '/who', 'authn.host_undecided', '57P03'],
  // The route is looked at before anybody is asked for a name.
  ['127.0.0.67', '/health', 'guest', '57P03'],
  ['127.0.0.12', '/health', 'guest', '28000'],
  ['127.0.0.11', '/admin/x', 'tester', 'SASL'],
  ['127.0.0.66', '/admin/x', 'http.refused_here', '28000'],
]
for (const [from, target, http, postgres] of rows) {
  test(`${target} and a login from ${from}`, async () => {
    assert.equal(await ask(target, from), http)
    assert.equal(await login(from), postgres)
  })
}

test('the log says what DNS did not', () => {
  assert.match(lines.join('\n'), /DNS does not say what the name of 127\.0\.0\.67 is \(ESERVFAIL\)/)
})
