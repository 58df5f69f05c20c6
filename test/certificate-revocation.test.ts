import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { Agent, request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Postgres, startPostgres } from '@bawn/demo/postgres'
import pg from 'pg'
import {
  type AnswerOptions,
  type Issued,
  readRequest,
  TestAuthority,
} from '../packages/bawn/src/authn/revocation/authority.fixture.ts'
import { generateAuditKey, generateKeys } from '../packages/bawn/src/keys/generate.ts'
import { type RunningServer, startServer } from '../packages/bawn/src/server.ts'

// Whoever lost a certificate loses both doors, by a list at one and by a responder at the other; and the gateway turns away from a
// database whose own certificate was revoked.

const folder = mkdtempSync(join(tmpdir(), 'bawn-certificates-'))
const path = (name: string): string => join(folder, name)
const clients = new TestAuthority('clients')
const servers = new TestAuthority('servers')
const door = servers.issue('door', { usage: 'server', hosts: ['localhost', '127.0.0.1'] })
const database = servers.issue('postgres', { usage: 'server', hosts: ['127.0.0.1'] })
const lost = clients.issue('lost')
const kept = clients.issue('kept')
const service = clients.issue('billing-service')
const serialOf = ({ certificate }: Issued): Buffer => Buffer.from(certificate.serialNumber, 'hex')
const named: readonly (readonly [string, Issued])[] = [
  ['lost', lost],
  ['kept', kept],
]

/** What the responder says of `lost`. */
let said: NonNullable<AnswerOptions['status']> = 'good'
const responder = createServer(async (question, response) => {
  const chunks: Buffer[] = []
  for await (const chunk of question) chunks.push(chunk)
  const { serial, nonce } = readRequest(Buffer.concat(chunks))
  const of = [lost, service].find(one => serialOf(one).toString('hex') === serial) ?? kept
  response.end(clients.answer(of, { nonce, status: of === lost ? said : 'good' }))
})
const upstream = createServer((asked, response) => response.end(String(asked.headers['x-user'] ?? 'nobody')))

let postgres: Postgres
let server: RunningServer
const lines: string[] = []

function putList(authority: TestAuthority, name: string, number: number, revoked: readonly Buffer[]): void {
  writeFileSync(path('new.crl'), authority.list({ number, revoked }))
  renameSync(path('new.crl'), path(name))
}

before(async () => {
  for (const one of [responder, upstream]) {
    one.listen(0, '127.0.0.1')
    await once(one, 'listening')
  }
  postgres = await startPostgres({ tls: { certificate: database.pem, key: database.key } })
  const masterKey = randomBytes(32)
  writeFileSync(path('master'), masterKey.toString('base64'), { mode: 0o600 })
  writeFileSync(path('password'), postgres.password, { mode: 0o600 })
  generateAuditKey({ path: path('keys'), masterKey })
  generateKeys({ path: path('keys'), masterKey, clientId: 'clients' })
  writeFileSync(path('door.crt'), door.pem)
  writeFileSync(path('door.key'), door.key, { mode: 0o600 })
  writeFileSync(path('clients.crt'), clients.issued.pem)
  writeFileSync(path('servers.crt'), servers.issued.pem)
  putList(clients, 'clients.crl', 1, [])
  putList(servers, 'servers.crl', 1, [])
  const portOf = (one: typeof responder): number => (one.address() as AddressInfo).port
  const tls = 'certificate: door.crt, key: door.key, client_ca: clients.crt, client_certificate: optional'
  writeFileSync(
    path('bawn.yaml'),
    `listeners:
  web: { door: http, address: 127.0.0.1:0, tls: { ${tls}, revocation: { crl: { file: clients.crl } } } }
  away: { door: http, engine: node-http, address: 127.0.0.1:0, tls: { ${tls}, revocation: { ocsp: { url: "http://127.0.0.1:1/" } } } }
  sql:
    door: postgres
    address: 127.0.0.1:0
    tls: { ${tls}, revocation: { ocsp: { url: "http://127.0.0.1:${portOf(responder)}/", cache_time: 300ms } } }
databases:
  postgres:
    host: 127.0.0.1
    port: ${postgres.port}
    tls: { ca: servers.crt, revocation: { crl: { file: servers.crl } } }
    login: { user: postgres, password: file:password }
    allow: [authenticated]
upstreams: { api: { url: "http://127.0.0.1:${portOf(upstream)}" } }
services: { lost: { common_name: lost }, kept: { common_name: kept }, billing: { common_name: billing-service } }
mechanisms: { trust: { user: guest } }
host_rules: [{ use: [certificate, trust] }]
accounts: { staff: { kind: sqlite, path: accounts.db } }
routes:
  - { path: /who, methods: [GET], upstream: api, allow: [authenticated], identity_headers: { id: X-User } }
  - { path: /public, methods: [GET], upstream: api, allow: [anyone] }
keys: { store: { kind: directory, path: keys }, master: file:master, client_id: clients }
audit: { file: audit.jsonl }
`,
  )
  server = await startServer({ configPath: path('bawn.yaml'), log: line => lines.push(line), clock: Date.now })
})
after(async () => {
  await server?.close(0)
  await postgres?.stop()
  for (const one of [responder, upstream]) {
    one.close()
    one.closeAllConnections()
  }
  rmSync(folder, { recursive: true })
})

const port = (listener: string): number => Number(server.addresses[listener]?.split(':')[1])

/** One request; the body, or the status and the code of the problem. */
async function ask(target: string, who: Issued | undefined, agent?: Agent, listener = 'web'): Promise<string> {
  const credential = who === undefined ? {} : { cert: who.pem, key: who.key }
  const options = { host: '127.0.0.1', port: port(listener), path: target, ca: servers.issued.pem, ...credential }
  const asked = request({ ...options, ...(agent === undefined ? { agent: false } : { agent }) })
  asked.end()
  const [response] = await once(asked, 'response')
  let body = ''
  for await (const chunk of response) body += chunk
  return response.statusCode === 200 ? body : `${response.statusCode} ${JSON.parse(body).code}`
}

const login = (name: string, who: Issued): pg.Client =>
  new pg.Client({
    host: '127.0.0.1',
    port: port('sql'),
    database: 'postgres',
    user: name,
    password: '',
    ssl: { ca: servers.issued.pem, cert: who.pem, key: who.key },
  })

async function answer(name: string, who: Issued): Promise<string> {
  const client = login(name, who)
  client.on('error', () => {})
  try {
    await client.connect()
    return (await client.query('select 1 as one')).rows[0].one === 1 ? 'good' : 'bad'
  } catch (error) {
    return error instanceof pg.DatabaseError ? `${error.code} ${error.message}` : String(error)
  } finally {
    await client.end().catch(() => {})
  }
}

/** Files are looked at once a second; a busy machine may take longer. */
async function until(wanted: string, look: () => Promise<string>): Promise<void> {
  const begunAt = performance.now()
  let found = ''
  while (found !== wanted) {
    assert(performance.now() - begunAt < 10_000, `${wanted} is awaited, and it is ${found}`)
    found = await look()
  }
}

const trail = (): Record<string, unknown>[] =>
  readFileSync(path('audit.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))

test('both get in by both doors while nothing is said against them', async () => {
  for (const [name, who] of named) {
    assert.equal(await ask('/who', who), name)
    assert.equal(await answer(name, who), 'good')
  }
  assert.equal(await ask('/public', undefined), 'nobody')
})

test('at the PostgreSQL door, whoever shows a certificate is called as the service is, or as its CN, and nothing else', async () => {
  assert.equal(await answer('billing', service), 'good')
  assert.match(JSON.stringify(trail().findLast(({ kind }) => kind === 'login')?.['identity']), /"id":"billing-service"/)
  assert.equal(await answer('billing-service', service), 'good')
  for (const name of ['kept', 'postgres', 'Billing', '']) {
    assert.match(await answer(name, service), /^28000 /, name)
  }
  assert.match(await answer('billing', kept), /^28000 /)
})

test('at the HTTP door, a list that has changed refuses the next request, also on a connection that is open', async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  assert.equal(await ask('/who', lost, agent), 'lost')
  putList(clients, 'clients.crl', 2, [serialOf(lost)])
  await until('401 authn.failed', () => ask('/who', lost, agent))
  agent.destroy()
  // By no other way either: where trust is enough for who brings nothing, and where anyone may come.
  assert.equal(await ask('/public', lost), '401 authn.failed')
  assert.equal(await ask('/public', undefined), 'nobody')
  assert.equal(await ask('/who', kept), 'kept')
  const line = trail().findLast(({ code }) => code === 'revoked')
  assert.equal(line?.['rule'], 'host_rules[0], certificate')
})

test('a list that is outdated when it comes is said to be, and what was read before goes on until its own end', async () => {
  writeFileSync(path('new.crl'), clients.list({ number: 3, nextUpdate: new Date(Date.now() - 1_000) }))
  renameSync(path('new.crl'), path('clients.crl'))
  const outdated = /listener web: revocation list .*clients\.crl: it is outdated/
  const changedAt = performance.now()
  while (!outdated.test(lines.join('\n'))) {
    assert(performance.now() - changedAt < 10_000, lines.join('\n'))
    assert.equal(await ask('/who', kept), 'kept')
    assert.equal(await ask('/who', lost), '401 authn.failed')
  }
  putList(clients, 'clients.crl', 4, [serialOf(lost)])
})

test('at the PostgreSQL door, a session ends when the responder says revoked, and nobody gets in with it', async () => {
  const client = login('lost', lost)
  const ended = new Promise<unknown>(resolve => client.on('error', resolve))
  await client.connect()
  const other = login('kept', kept)
  await other.connect()
  const running = assert.rejects(client.query('select pg_sleep(120)'), { code: '57P01' })
  said = 'revoked'
  await Promise.all([running, ended])
  assert.equal((await other.query('select 1 as one')).rows[0].one, 1)
  await other.end()
  assert.equal(await answer('lost', lost), '28000 certificate authentication failed for user "lost"')
  assert.equal(trail().findLast(({ kind }) => kind === 'login')?.['code'], 'revoked')
  said = 'unknown'
  await turn('certificate-unknown')
})

/** Until the trail says why `lost` does not get in: what was said before is believed for its time. */
async function turn(code: string): Promise<void> {
  await until(code, async () => {
    await answer('lost', lost)
    return String(trail().findLast(({ kind }) => kind === 'login')?.['code'])
  })
}

test('a database whose own certificate was revoked is told nothing', async () => {
  putList(servers, 'servers.crl', 2, [serialOf(database)])
  await until('08001 the certificate of PostgreSQL was revoked', () => answer('kept', kept))
  putList(servers, 'servers.crl', 3, [])
  await until('good', () => answer('kept', kept))
})

test('at the HTTP door, a responder that is away is 503 for who shows a certificate', async () => {
  for (const target of ['/who', '/public']) {
    assert.equal(await ask(target, kept, undefined, 'away'), '503 authn.revocation_undecided')
  }
  assert.equal(await ask('/public', undefined, undefined, 'away'), 'nobody')
  assert.equal(trail().findLast(({ code }) => code === 'authn.revocation_undecided')?.['decision'], 'error')
  assert.match(lines.join('\n'), /listener away: responder http:\/\/127\.0\.0\.1:1\/: /)
})

test('a responder that is away is 57P03, with the reason in the log, and no way in', async () => {
  // Nothing is known of this one yet.
  const fresh = clients.issue('lost')
  responder.closeAllConnections()
  responder.close()
  assert.equal(await answer('lost', fresh), '57P03 the identity cannot be verified at this time')
  assert.match(lines.at(-1) ?? '', /authn\.revocation_undecided.*responder http:\/\/127\.0\.0\.1:[0-9]+\/: /)
  assert.equal(trail().findLast(({ kind }) => kind === 'login')?.['decision'], 'error')
})
