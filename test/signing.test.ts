import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import { generateAuditKey, generateKeys } from '../packages/bawn/src/keys/generate.ts'
import { startServer } from '../packages/bawn/src/server.ts'

// A backend that knows passwords and nothing of tokens, behind the gateway: what it says of a user is signed, the gateway believes what it
// signed, other backends learn who asks by a token that they can check, and keys are exchanged without a restart.

const folder = mkdtempSync(join(tmpdir(), 'bawn-signing-'))
after(() => rmSync(folder, { recursive: true }))

function newKey(file: string): void {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  writeFileSync(join(folder, file), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
}

test('a login behind the gateway', async t => {
  const seen: string[] = []
  const backend = createServer((request, response) => {
    let body = ''
    request.on('data', bytes => {
      body += bytes
    })
    request.on('end', () => {
      response.setHeader('Content-Type', 'application/json')
      if (request.url !== '/login') {
        seen.push(String(request.headers['x-who']))
        response.end('{"mine":true}')
      } else if (JSON.parse(body).password === 'right') {
        response.end('{"access_token":{"sub":"jane","roles":["reader"],"aud":"shop"},"token_type":"bearer"}')
      } else {
        response.statusCode = 401
        response.end('{"error":"wrong"}')
      }
    })
  }).listen(0, '127.0.0.1')
  await once(backend, 'listening')
  t.after(() => {
    backend.close()
    backend.closeAllConnections()
  })
  const masterKey = randomBytes(32)
  writeFileSync(join(folder, 'master'), masterKey.toString('base64'), { mode: 0o600 })
  generateAuditKey({ path: join(folder, 'keys'), masterKey })
  generateKeys({ path: join(folder, 'keys'), masterKey, clientId: 'shop-fields' })
  newKey('one.pem')
  newKey('two.pem')
  const configPath = join(folder, 'bawn.yaml')
  const configure = (key: string, other: string): void =>
    writeFileSync(
      configPath,
      `listeners: { web: { door: http, address: 127.0.0.1:0 }, desk: { door: admin, address: 127.0.0.1:0 } }
upstreams: { shop: { url: "http://127.0.0.1:${(backend.address() as AddressInfo).port}" } }
signing:
  ours: { key: "file:${key}", other_keys: ["file:${other}"], issuer: "https://gate.example", jwks: /.well-known/jwks.json }
issuers: { own: { issuer: "https://gate.example", audience: [shop], signing: ours } }
policies: { readers: { roles: [reader] } }
routes:
  - { path: /login, methods: [POST], upstream: shop, allow: [anyone], rate_limit: { rate: 5/h }, sign: { signing: ours, members: [access_token] } }
  - { path: /orders, methods: [GET], upstream: shop, allow: [readers], identity_headers: { signed: { header: X-Who, signing: ours } } }
host_rules: [{ door: http, use: [jwt] }]
keys: { store: { kind: directory, path: keys }, master: file:master, client_id: shop-fields }
audit: { file: audit.jsonl }
`,
    )
  configure('one.pem', 'two.pem')
  const server = await startServer({ configPath, log: () => {}, clock: Date.now })
  t.after(() => server.close(0))
  const base = `http://${server.addresses['web']}`
  const login = (password: string) => fetch(`${base}/login`, { method: 'POST', body: JSON.stringify({ password }) })
  const orders = (token: string) => fetch(`${base}/orders`, { headers: { authorization: `Bearer ${token}` } })
  const tokenFor = async (): Promise<string> =>
    ((await (await login('right')).json()) as { access_token: string }).access_token

  assert.equal((await login('wrong')).status, 401)
  const first = await tokenFor()
  assert.equal((await orders(first)).status, 200)
  assert.equal((await fetch(`${base}/orders`)).status, 401)
  const keySet = createRemoteJWKSet(new URL(`${base}/.well-known/jwks.json`))
  const { payload } = await jwtVerify(seen[0] ?? '', keySet, { issuer: 'https://gate.example', audience: 'shop' })
  assert.deepEqual([payload.sub, payload['roles']], ['jane', ['reader']])

  // The next key signs; the one before is still published, and still believed.
  configure('two.pem', 'one.pem')
  assert.equal((await server.reload()).kind, 'reloaded')
  const second = await tokenFor()
  assert.notEqual(JSON.parse(atob(first.split('.')[0] ?? '')).kid, JSON.parse(atob(second.split('.')[0] ?? '')).kid)
  for (const token of [first, second]) assert.equal((await orders(token)).status, 200)
  // Whoever asks too often asks no password more.
  while ((await login('guess')).status === 401);
  const limited = await login('right')
  assert.equal(limited.status, 429)
  assert.ok(Number(limited.headers.get('retry-after')) > 0)
})
