import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { deriveArgon2idVerifier } from '../accounts/argon2id.ts'
import { openSqliteAccounts } from '../accounts/sqlite.ts'
import { createIdentity } from '../authn/identity.ts'
import { generateAuditKey, generateKeys } from '../keys/generate.ts'
import { type RunningServer, startServer } from '../server.ts'
import { type Answer, codeOf, get, send, startUpstream } from './kit.test.ts'
import { mayBeTold } from './token-resource.ts'

// Whole gateways with real configurations: one node, or two with one store.

const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/** A token of the issuer `corp`. */
function jwt(sub: string, roles: readonly string[] = ['staff'], seconds = 3600): string {
  const now = Math.floor(Date.now() / 1000)
  const claims = { iss: 'https://id.example', aud: 'shop', sub, roles, exp: now + seconds }
  const input = `${part({ alg: 'EdDSA', kid: 'k', typ: 'JWT' })}.${part(claims)}`
  return `${input}.${sign(null, Buffer.from(input), privateKey).toString('base64url')}`
}

const bearer = (token: string): string => `Authorization: Bearer ${token}`
const basic = (user: string, password: string): string =>
  `Authorization: Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`

interface Node {
  readonly port: number
  readonly server: RunningServer
  readonly trail: () => readonly Record<string, unknown>[]
}

/** What caches between us and the client obey rather than Cache-Control. */
const sharedCaches = [
  'Expires',
  'Surrogate-Control',
  'CDN-Cache-Control',
  'Vercel-CDN-Cache-Control',
  'X-Accel-Expires',
]

interface Site {
  readonly folder: string
  start(): Promise<Node>
  rewrite(tokens: string): void
}

async function site(t: TestContext, tokens: string): Promise<Site> {
  const folder = mkdtempSync(join(tmpdir(), 'bawn-tokens-'))
  const servers: RunningServer[] = []
  const logged: string[] = []
  t.after(async () => {
    await Promise.all(servers.map(server => server.close(0)))
    rmSync(folder, { recursive: true, force: true })
    assert.deepEqual(logged, [])
  })
  const upstream = await startUpstream(t, (request, response) => {
    response.setHeader('Auth-Token', 'of the upstream')
    response.setHeader('Cache-Control', 'public, max-age=600')
    for (const name of sharedCaches) response.setHeader(name, 'max-age=600')
    const { cookie, 'x-user': user } = request.headers
    response.end(JSON.stringify({ user, cookie, headers: Object.keys(request.headers) }))
  })
  const masterKey = randomBytes(32)
  writeFileSync(join(folder, 'master'), masterKey.toString('base64'), { mode: 0o600 })
  writeFileSync(join(folder, 'token.key'), randomBytes(32).toString('base64'), { mode: 0o600 })
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'k', use: 'sig', alg: 'EdDSA' }
  writeFileSync(join(folder, 'jwks.json'), JSON.stringify({ keys: [jwk] }))
  generateAuditKey({ path: join(folder, 'keys'), masterKey })
  generateKeys({ path: join(folder, 'keys'), masterKey, clientId: 'shop-fields' })
  let nodes = 0
  let section = tokens
  const configOf = (audit: string): string => `
listeners: { web: { door: http, address: "127.0.0.1:0" } }
upstreams: { main: { url: "${upstream}" } }
issuers: { corp: { issuer: "https://id.example", audience: [shop], jwks: jwks.json } }
accounts: { corp2: { kind: sqlite, path: accounts.db } }
${section}
host_rules: [{ door: http, use: [token, jwt, basic] }]
policies: { staff: { roles: [staff] } }
routes:
  - { path: /who, methods: [GET, POST], upstream: main, allow: [staff], identity_headers: { id: X-User } }
  - { path: /open, methods: [GET], upstream: main, allow: [anyone], request_headers: [accept, cookie] }
keys: { store: { kind: directory, path: keys }, master: file:master, client_id: shop-fields }
audit: { file: ${audit} }
`
  const written: string[] = []
  return {
    folder,
    rewrite: next => {
      section = next
      for (const [index, path] of written.entries()) writeFileSync(path, configOf(`audit${index + 1}.jsonl`))
    },
    async start() {
      nodes++
      const audit = `audit${nodes}.jsonl`
      const configPath = join(folder, `bawn${nodes}.yaml`)
      written.push(configPath)
      writeFileSync(configPath, configOf(audit))
      const server = await startServer({ configPath, log: line => logged.push(line), clock: Date.now })
      servers.push(server)
      const trail = () =>
        readFileSync(join(folder, audit), 'utf8')
          .trimEnd()
          .split('\n')
          .map(line => JSON.parse(line))
      return { port: Number(server.addresses['web']?.split(':').at(-1)), server, trail }
    },
  }
}

const ask = (port: number, line: string, ...headers: readonly string[]): Promise<Answer> =>
  send(port, `${line} HTTP/1.1\r\nHost: gate.example\r\n${headers.map(header => `${header}\r\n`).join('')}\r\n`)

const memory = 'tokens: { kind: memory }'

test('a login by another mechanism brings a token, which is good as Bearer and as the password of Basic', async t => {
  const { port, trail } = await (await site(t, memory)).start()
  const first = await get(port, '/who', [bearer(jwt('alice'))])
  assert.equal(first.status, 200)
  const token = first.headers.get('auth-token') ?? ''
  assert.match(token, /^bawn_token_[A-Za-z0-9_-]{43}$/)
  assert.equal(first.headers.get('auth-token-location'), '/tokens/alice')
  const left = Date.parse(first.headers.get('auth-token-valid-until') ?? '') - Date.now()
  assert(left > 890_000 && left <= 900_000, String(left))
  assert.equal(first.headers.get('cache-control'), 'private, no-store', 'no cache keeps somebody’s token')
  for (const name of sharedCaches) assert.equal(first.headers.get(name.toLowerCase()), undefined, name)
  for (const line of [bearer(token), basic('alice', token)]) {
    const again = await get(port, '/who', [line])
    assert.equal(again.status, 200, again.body)
    assert.equal(JSON.parse(again.body).user, 'alice')
    assert(!JSON.parse(again.body).headers.includes('authorization'))
    assert(!again.headers.get('auth-token')?.startsWith('bawn_'), 'no token for a token')
  }
  for (const line of [
    basic('bob', token),
    bearer(`${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}`),
    bearer(`bawn_token_${'A'.repeat(43)}`),
  ]) {
    const refused = await get(port, '/who', [line])
    assert.equal(codeOf(refused), 'authn.failed')
    assert.match(refused.headers.get('www-authenticate') ?? '', /^Bearer .*invalid_token/)
  }
  assert.equal(codeOf(await get(port, '/who')), 'authn.required')
  const text = JSON.stringify(trail())
  assert(!text.includes(token) && !text.includes(token.slice(5)))
  assert.equal(trail().filter(line => line['action'] === 'token issue').length, 1)
})

test('the resource is its owner’s: other names are all answered alike, and DELETE works for the next request', async t => {
  const { port, trail } = await (await site(t, memory)).start()
  const alice = bearer(jwt('alice'))
  const { headers } = await get(port, '/who', [alice])
  const token = headers.get('auth-token') ?? ''
  const own = await get(port, '/tokens/alice', [alice])
  assert.equal(own.headers.get('cache-control'), 'no-store')
  const document = JSON.parse(own.body)
  assert.deepEqual([document.auth_token, Object.keys(document).length], [token, 2])
  assert.deepEqual(JSON.parse((await get(port, '/tokens/alice', [basic('alice', token)])).body), document)
  await get(port, '/who', [bearer(jwt('bob'))])
  const others: unknown[] = []
  for (const name of ['bob', 'nobody', 'Alice', 'alice%20']) {
    for (const method of ['GET', 'DELETE']) {
      const answer = await ask(port, `${method} /tokens/${name}`, alice)
      others.push([answer.status, codeOf(answer), [...answer.headers.keys()].sort()])
    }
  }
  for (const other of others) assert.deepEqual(other, others[0])
  assert.deepEqual((others[0] as unknown[]).slice(0, 2), [403, 'policy.denied'])
  assert.equal(codeOf(await get(port, '/tokens/alice')), 'authn.required')
  assert.equal(codeOf(await ask(port, 'PUT /tokens/alice', alice)), 'http.method_not_allowed')
  assert.equal((await ask(port, 'DELETE /tokens/alice', basic('alice', token))).status, 204)
  for (const line of [bearer(token), basic('alice', token)])
    assert.equal(codeOf(await get(port, '/who', [line])), 'authn.failed')
  const next = await get(port, '/who', [alice])
  assert.notEqual(next.headers.get('auth-token'), token)
  assert.equal(trail().filter(line => line['action'] === 'token revoke').length, 1)
})

test('POST /token answers as OAuth does', async t => {
  const { port } = await (await site(t, 'tokens: { kind: memory, headers: false, ttl: 10m }')).start()
  const alice = bearer(jwt('alice', ['staff', 'billing']))
  assert.equal((await get(port, '/who', [alice])).headers.get('auth-token-location'), undefined)
  const answer = await ask(port, 'POST /token', alice)
  const document = JSON.parse(answer.body)
  assert.deepEqual([answer.status, document.token_type, document.username], [200, 'Bearer', 'alice'])
  assert.deepEqual(document.roles, ['billing', 'staff'])
  assert(document.expires_in > 590 && document.expires_in <= 600)
  assert.deepEqual([answer.headers.get('cache-control'), answer.headers.get('pragma')], ['no-store', 'no-cache'])
  assert.equal((await get(port, '/who', [bearer(document.access_token)])).status, 200)
  const form = (body: string, type = 'application/x-www-form-urlencoded') =>
    send(
      port,
      `POST /token HTTP/1.1\r\nHost: gate.example\r\n${alice}\r\nContent-Type: ${type}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    )
  assert.equal(JSON.parse((await form('grant_type=client_credentials')).body).access_token, document.access_token)
  for (const [body, error] of [
    ['grant_type=password&username=alice&password=x', 'unsupported_grant_type'],
    ['scope=x', 'invalid_request'],
    ['grant_type=client_credentials&grant_type=x', 'invalid_request'],
  ] as const) {
    const refused = await form(body)
    assert.deepEqual([refused.status, JSON.parse(refused.body)], [400, { error }])
  }
  assert.equal(codeOf(await form('x'.repeat(9000))), 'http.body_too_large')
  // Over HTTP/2 a body that turns out to be none looks like this.
  const chunked = `POST /token HTTP/1.1\r\nHost: gate.example\r\n${alice}\r\nTransfer-Encoding: chunked\r\n\r\n`
  const empty = await send(port, `${chunked}0\r\n\r\n`)
  assert.equal(JSON.parse(empty.body).access_token, document.access_token)
  // A token that asks for a token gets itself: it cannot prolong its own life.
  const again = JSON.parse((await ask(port, 'POST /token', bearer(document.access_token))).body)
  assert.equal(again.access_token, document.access_token)
  assert(again.expires_in <= document.expires_in)
  assert.equal((await ask(port, 'DELETE /token', alice)).status, 204)
  assert.equal(codeOf(await get(port, '/who', [bearer(document.access_token)])), 'authn.failed')
})

test('cookie mode: safe attributes, nothing for scripts, nothing for other origins, nothing for upstreams', async t => {
  const { port } = await (await site(t, 'tokens: { kind: memory, cookie: {} }')).start()
  const alice = bearer(jwt('alice'))
  const login = await ask(port, 'POST /token/cookie', alice)
  assert.deepEqual(JSON.parse(login.body), { authenticated: true, username: 'alice', roles: ['staff'] })
  const set = login.headers.get('set-cookie') ?? ''
  assert.match(
    set,
    /^__Host-bawn=bawn_token_[A-Za-z0-9_-]{43}; Path=\/; Max-Age=(900|899); Secure; HttpOnly; SameSite=Strict$/,
  )
  const cookie = `Cookie: theme=dark; ${set.split(';')[0]}`
  const seen = await get(port, '/who', [cookie])
  assert.deepEqual([seen.status, JSON.parse(seen.body).user], [200, 'alice'])
  assert.equal((await ask(port, 'POST /who', cookie, 'Content-Length: 0')).status, 200)
  assert.equal((await ask(port, 'POST /who', cookie, 'Content-Length: 0', 'Sec-Fetch-Site: same-origin')).status, 200)
  assert.equal((await ask(port, 'POST /who', cookie, 'Content-Length: 0', 'Origin: http://gate.example')).status, 200)
  for (const foreign of [
    'Sec-Fetch-Site: cross-site',
    'Sec-Fetch-Site: same-site',
    'Origin: https://evil.example',
    'Origin: null',
    'Origin: http://gate.example:81',
  ]) {
    assert.equal(
      codeOf(await ask(port, 'POST /who', cookie, 'Content-Length: 0', foreign)),
      'authn.foreign_page',
      foreign,
    )
  }
  for (const line of ['GET /token', 'POST /token', 'GET /tokens/alice']) {
    assert.equal(codeOf(await ask(port, line, cookie)), 'policy.denied', line)
  }
  assert.equal(JSON.parse((await get(port, '/open', [cookie])).body).cookie, 'theme=dark')
  // Whatever is wrong with a cookie, it refuses nothing.
  for (const bad of ['__Host-bawn=bawn_', `__Host-bawn=bawn_token_${'A'.repeat(43)}`]) {
    assert.equal((await get(port, '/open', [`Cookie: ${bad}`])).status, 200)
    assert.equal((await get(port, '/who', [`Cookie: ${bad}`, alice])).status, 200)
    assert.equal(codeOf(await get(port, '/who', [`Cookie: ${bad}`])), 'authn.required')
  }
  const logout = await ask(port, 'DELETE /token/cookie', cookie)
  assert.equal(logout.status, 204)
  assert.match(logout.headers.get('set-cookie') ?? '', /^__Host-bawn=; Path=\/; Max-Age=0; Secure/)
  assert.equal(codeOf(await get(port, '/who', [cookie])), 'authn.required')
})

for (const [kind, tokens] of [
  ['sqlite', 'tokens: { kind: sqlite, path: data/tokens.db }'],
  ['signed', 'tokens: { kind: signed, key: file:token.key, revocations: { kind: sqlite, path: data/tokens.db } }'],
] as const) {
  test(`${kind}: a token of one node is good at the other, and revoked at both at once`, async t => {
    const place = await site(t, tokens)
    const [one, other] = [await place.start(), await place.start()]
    const token = (await get(one.port, '/who', [bearer(jwt('alice'))])).headers.get('auth-token') ?? ''
    for (const { port } of [one, other]) {
      assert.equal((await get(port, '/who', [bearer(token)])).status, 200)
      assert.equal((await get(port, '/who', [basic('alice', token)])).status, 200)
      assert.equal(codeOf(await get(port, '/who', [basic('bob', token)])), 'authn.failed')
    }
    assert.equal((await ask(other.port, 'DELETE /tokens/alice', bearer(token))).status, 204)
    for (const { port } of [one, other]) assert.equal(codeOf(await get(port, '/who', [bearer(token)])), 'authn.failed')
  })
}

test('memory: a reload keeps the tokens', async t => {
  const place = await site(t, memory)
  const { port, server } = await place.start()
  const token = (await get(port, '/who', [bearer(jwt('alice'))])).headers.get('auth-token') ?? ''
  place.rewrite('tokens: { kind: memory, ttl: 20m }')
  const reloaded = await server.reload()
  assert.deepEqual(reloaded.kind === 'reloaded' && reloaded.changes, ['tokens changed'])
  assert.equal((await get(port, '/who', [bearer(token)])).status, 200)
})

const kinds = {
  memory: 'tokens: { kind: memory, renew: true }',
  sqlite: 'tokens: { kind: sqlite, path: data/tokens.db, renew: true }',
  signed: 'tokens: { kind: signed, key: file:token.key, revocations: { kind: sqlite, path: data/revocations.db } }',
} as const

for (const [kind, tokens] of Object.entries(kinds)) {
  test(`${kind}: an account that is locked, removed or gets another password takes its tokens along, at every node`, async t => {
    const place = await site(t, tokens)
    // A memory is one process's own.
    const nodes = kind === 'memory' ? [await place.start()] : [await place.start(), await place.start()]
    const accounts = openSqliteAccounts({ name: 'corp2', path: join(place.folder, 'accounts.db') })
    t.after(() => accounts.close())
    const verifiers = (text: string) => deriveArgon2idVerifier(text, { memoryKib: 64, passes: 1, parallelism: 1 })
    await accounts.add({
      name: 'carol',
      roles: ['staff'],
      scram: undefined,
      password: await verifiers('pencil'),
      locked: false,
    })
    const login = async (text: string): Promise<string> => {
      const answer = await get(nodes[0]?.port ?? 0, '/who', [basic('carol', text)])
      assert.equal(answer.status, 200, answer.body)
      return answer.headers.get('auth-token') ?? ''
    }
    const status = async (token: string): Promise<readonly number[]> =>
      Promise.all(nodes.map(async ({ port }) => (await get(port, '/who', [bearer(token)])).status))
    const all = (code: number) => nodes.map(() => code)

    const first = await login('pencil')
    assert.deepEqual(await status(first), all(200))
    assert.equal(await login('pencil'), first)
    await accounts.setVerifier('carol', { scram: undefined, password: await verifiers('crayon') })
    assert.deepEqual(await status(first), all(401))
    const trail = nodes[0]?.trail() ?? []
    assert.deepEqual([trail.at(-1)?.['code'], trail.at(-1)?.['decision']], ['superseded', 'deny'])
    const second = await login('crayon')
    assert.notEqual(second, first)
    assert.deepEqual(await status(second), all(200))

    await accounts.setLocked('carol', true)
    assert.deepEqual(await status(second), all(401))
    await accounts.setLocked('carol', false)
    assert.deepEqual(await status(second), all(401), 'who was let in again logs in again')
    const third = await login('crayon')
    await accounts.setRoles('carol', [])
    assert.deepEqual(await status(third), all(403), 'roles are those of now')
    await accounts.setRoles('carol', ['staff'])
    assert.deepEqual(await status(third), all(200))

    await accounts.remove('carol')
    assert.deepEqual(await status(third), all(401))
    await accounts.add({
      name: 'carol',
      roles: ['staff'],
      scram: undefined,
      password: await verifiers('crayon'),
      locked: false,
    })
    assert.deepEqual(await status(third), all(401), 'another Carol')
  })
}

test('a line that others can read carries no token of who proves a password by digest', () => {
  const proof = { id: 'dora', roles: [], claims: {}, clientId: undefined, source: undefined, expiresAt: undefined }
  const rows: readonly (readonly [
    mechanism: 'digest' | 'jwt',
    secure: boolean,
    remoteAddress: string,
    told: boolean,
  ])[] = [
    ['digest', false, '192.0.2.1', false],
    ['digest', false, '::ffff:192.0.2.1', false],
    ['digest', false, '127.0.0.1', true],
    ['digest', true, '192.0.2.1', true],
    // Whose own credential is as readable.
    ['jwt', false, '192.0.2.1', true],
  ]
  for (const [mechanism, secure, remoteAddress, told] of rows) {
    assert.equal(mayBeTold(createIdentity({ ...proof, mechanism }), { secure, remoteAddress }), told, remoteAddress)
  }
})

test('the access control list holds here as far as it does not ask who it is', async t => {
  const rules = [
    `{ name: who, effect: deny, when: "!('admin' in identity.roles)" }`,
    '{ name: lists, effect: deny, path: "/tokens/{id}", addresses: [local] }',
  ]
  const { port } = await (await site(t, `${memory}\nacl: [${rules}]`)).start()
  const alice = bearer(jwt('alice'))
  assert.equal((await get(port, '/who', [alice])).status, 403)
  assert.equal((await ask(port, 'GET /token', alice)).status, 200)
  for (const line of ['GET /tokens/alice', 'DELETE /tokens/alice', 'POST /tokens/alice'])
    assert.equal(codeOf(await ask(port, line, alice)), 'policy.denied', line)
})
