import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { generateAuditKey, generateKeys } from '../../packages/bawn/src/keys/generate.ts'
import { type RunningServer, startServer } from '../../packages/bawn/src/server.ts'

// curl logs in once, and uses the token from then on. npm cannot install curl, so it is in this suite: npm run test:clients

let folder: string
let server: RunningServer
let base: string
const upstream = createServer((_request, response) => response.end('{}'))

const apiKey = randomBytes(32).toString('base64url')

before(async () => {
  const { status } = spawnSync('curl', ['--version'], { stdio: 'ignore' })
  assert.equal(status, 0, 'curl is not installed; on Debian: apt-get install curl')
  upstream.listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  const address = upstream.address()
  assert(address !== null && typeof address === 'object')
  folder = mkdtempSync(join(tmpdir(), 'bawn-curl-'))
  const masterKey = randomBytes(32)
  writeFileSync(join(folder, 'master'), masterKey.toString('base64'), { mode: 0o600 })
  generateAuditKey({ path: join(folder, 'keys'), masterKey })
  generateKeys({ path: join(folder, 'keys'), masterKey, clientId: 'shop-fields' })
  const { hash } = await import('node:crypto')
  writeFileSync(
    join(folder, 'bawn.yaml'),
    `listeners: { web: { door: http, address: "127.0.0.1:0" } }
upstreams: { main: { url: "http://127.0.0.1:${address.port}" } }
mechanisms: { api-key: { keys: [{ name: alice, hash: "sha256:${hash('sha256', apiKey, 'hex')}", roles: [staff] }] } }
tokens: { kind: sqlite, path: tokens.db, cookie: {} }
host_rules: [{ door: http, use: [token, api-key] }]
policies: { staff: { roles: [staff] } }
routes: [{ path: /customers, methods: [GET], upstream: main, allow: [staff] }]
keys: { store: { kind: directory, path: keys }, master: file:master, client_id: shop-fields }
audit: { file: audit.jsonl }
`,
  )
  server = await startServer({ configPath: join(folder, 'bawn.yaml'), log: () => {}, clock: Date.now })
  base = `http://${server.addresses['web']}`
})
after(async () => {
  await server?.close(0)
  upstream.close()
  rmSync(folder, { recursive: true, force: true })
})

/** Status, and what came. */
async function curl(...args: readonly string[]): Promise<readonly [status: string, output: string]> {
  const { stdout } = await promisify(execFile)('curl', ['-sS', '-w', '\n%{http_code}', ...args])
  const end = stdout.lastIndexOf('\n')
  return [stdout.slice(end + 1), stdout.slice(0, end)]
}

const key = ['-H', `X-Api-Key: ${apiKey}`] as const

test('curl: the token of the first answer, as Bearer and as the password of Basic, until it is deleted', async () => {
  const [first, head] = await curl('-i', ...key, `${base}/customers`)
  assert.equal(first, '200')
  const token = /^Auth-Token: (\S+)\r$/m.exec(head)?.[1] ?? ''
  const location = /^Auth-Token-Location: (\S+)\r$/m.exec(head)?.[1] ?? ''
  assert.match(token, /^bawn_token_/)
  for (const login of [
    ['--oauth2-bearer', token],
    ['-u', `alice:${token}`],
    ['--basic', '-u', `alice:${token}`],
  ]) {
    assert.equal((await curl(...login, `${base}/customers`))[0], '200', login[0])
  }
  assert.equal((await curl('-u', `bob:${token}`, `${base}/customers`))[0], '401')
  assert.equal((await curl('-u', `alice:${token}`, `${base}/tokens/bob`))[0], '403')
  const [, document] = await curl('-u', `alice:${token}`, base + location)
  assert.equal(JSON.parse(document).auth_token, token)
  assert.equal((await curl('-X', 'DELETE', '-u', `alice:${token}`, base + location))[0], '204')
  assert.equal((await curl('--oauth2-bearer', token, `${base}/customers`))[0], '401')
  assert(!readFileSync(join(folder, 'audit.jsonl'), 'utf8').includes(token.slice(5)))
})

test('curl: POST /token, as OAuth clients ask for one', async () => {
  const [status, document] = await curl(...key, '-d', 'grant_type=client_credentials', `${base}/token`)
  const { access_token: token, token_type: type } = JSON.parse(document)
  assert.deepEqual([status, type], ['200', 'Bearer'])
  assert.equal((await curl('--oauth2-bearer', token, `${base}/customers`))[0], '200')
  assert.equal((await curl('-X', 'POST', `${base}/token`))[0], '401')
})

test('curl: a jar keeps the cookie and logs in with it; logging out ends it', async () => {
  const jar = join(folder, 'jar')
  assert.equal((await curl('-c', jar, '-X', 'POST', ...key, `${base}/token/cookie`))[0], '200')
  const value = /__Host-bawn\t(\S+)$/m.exec(readFileSync(jar, 'utf8'))?.[1] ?? ''
  // By hand: whether curl sends a Secure cookie to 127.0.0.1 without TLS depends on its version.
  const cookie = ['-b', `__Host-bawn=${value}`] as const
  assert.equal((await curl(...cookie, `${base}/customers`))[0], '200')
  assert.equal((await curl(...cookie, `${base}/token`))[0], '403')
  assert.equal((await curl(...cookie, '-X', 'DELETE', '-H', 'Origin: https://evil.example', `${base}/token`))[0], '403')
  assert.equal((await curl(...cookie, '-X', 'DELETE', `${base}/token/cookie`))[0], '204')
  assert.equal((await curl(...cookie, `${base}/customers`))[0], '401')
})
