import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { createAuthority } from '@bawn/demo/certificates'
import { openSqliteAccounts } from '../../packages/bawn/src/accounts/sqlite.ts'
import { deriveVerifiers } from '../../packages/bawn/src/accounts/verifier.ts'
import { apiKeyHash, generateApiKey } from '../../packages/bawn/src/authn/api-key.ts'
import { generateAuditKey, generateKeys } from '../../packages/bawn/src/keys/generate.ts'
import { type RunningServer, startServer } from '../../packages/bawn/src/server.ts'

// curl at a running door with TLS, with every mechanism that it can do. Which ones a request may use goes by where it comes from: each row
// has a loopback address of its own and a host rule for it. `BAWN_CLIENTS=write` writes the table of docs/clients.md.

const guide = join(import.meta.dirname, '../../docs/clients.md')
const folder = mkdtempSync(join(tmpdir(), 'bawn-curl-'))
const path = (name: string): string => join(folder, name)
const closing: (() => void)[] = []
const password = 'correct horse: battery'
const apiKey = generateApiKey()
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const audience = 'shop'

function token(sub: string): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const now = Math.floor(Date.now() / 1000)
  const claims = { iss: 'https://id.example', aud: audience, sub, roles: ['staff'], exp: now + 600 }
  const signed = `${part({ alg: 'ES256', kid: 'k1', typ: 'JWT' })}.${part(claims)}`
  return `${signed}.${sign('sha256', Buffer.from(signed), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
}

/** What a client does with the door. */
interface Row {
  readonly mechanism: string
  /** As in the table; `…` stands for the secret. */
  readonly shown: string
  /** Of the host rule. */
  readonly use: readonly string[]
  readonly args: readonly string[]
  /** The same with a secret that is wrong. */
  readonly wrong: readonly string[]
  readonly target?: string
  /** Who the upstream is told that it is. */
  readonly who: string
}

const rows: readonly Row[] = [
  {
    mechanism: 'basic',
    shown: '--basic --user alice:…',
    use: ['basic'],
    args: ['--basic', '--user', `alice:${password}`],
    wrong: ['--basic', '--user', 'alice:x'],
    who: 'alice',
  },
  {
    mechanism: 'basic',
    shown: '--anyauth --user alice:…',
    use: ['jwt', 'basic'],
    args: ['--anyauth', '--user', `alice:${password}`],
    wrong: ['--anyauth', '--user', 'alice:x'],
    who: 'alice',
  },
  {
    mechanism: 'digest (SHA-256)',
    shown: '--digest --user "dora:…"',
    use: ['digest'],
    args: ['--digest', '--user', `dora:${password}`],
    wrong: ['--digest', '--user', 'dora:x'],
    who: 'dora',
  },
  {
    mechanism: 'digest (SHA-256)',
    shown: '--anyauth --user "dora:…"',
    use: ['basic', 'digest'],
    args: ['--anyauth', '--user', `dora:${password}`],
    wrong: ['--anyauth', '--user', 'dora:x'],
    who: 'dora',
  },
  {
    mechanism: 'certificate',
    shown: '--cert client.pem --key client.key',
    use: ['certificate'],
    args: ['--cert', path('client.pem'), '--key', path('client.key')],
    wrong: [],
    who: 'billing-service',
  },
  {
    mechanism: 'jwt',
    shown: '--oauth2-bearer …',
    use: ['jwt'],
    args: ['--oauth2-bearer', token('carol')],
    wrong: ['--oauth2-bearer', `${token('carol').slice(0, -4)}AAAA`],
    who: 'carol',
  },
  {
    mechanism: 'introspection',
    shown: '--oauth2-bearer …',
    use: ['jwt', 'introspection'],
    args: ['--oauth2-bearer', 'opaque-good'],
    wrong: ['--oauth2-bearer', 'opaque-bad'],
    who: 'ines',
  },
  {
    mechanism: 'api-key (header)',
    shown: '--header "X-Api-Key: …"',
    use: ['api-key'],
    args: ['--header', `X-Api-Key: ${apiKey}`],
    wrong: ['--header', 'X-Api-Key: x'],
    who: 'robot',
  },
  {
    mechanism: 'api-key (Basic)',
    shown: '--user …:',
    use: ['api-key', 'basic'],
    args: ['--user', `${apiKey}:`],
    wrong: ['--user', 'x:'],
    who: 'robot',
  },
  {
    mechanism: 'api-key (query)',
    shown: '--get --data-urlencode key=…',
    use: ['api-key'],
    args: ['--get', '--data-urlencode', `key=${apiKey}`],
    wrong: ['--get', '--data-urlencode', 'key=x'],
    who: 'robot',
  },
  { mechanism: 'trust', shown: '(nothing)', use: ['trust'], args: [], wrong: ['--user', 'a:b'], who: 'guest' },
  { mechanism: 'identity', shown: '(anything)', use: ['identity'], args: [], wrong: [], who: 'tester' },
]
const addressOf = (row: Row): string => `127.0.1.${rows.indexOf(row) + 1}`

let server: RunningServer
/** What reached the upstream, newest last. */
const reached: { readonly url: string; readonly headers: NodeJS.Dict<string | string[]> }[] = []

async function listen(listener: RequestListener): Promise<number> {
  const listening = createServer(listener)
  await new Promise<void>(resolve => listening.listen(0, '127.0.0.1', resolve))
  closing.push(() => {
    listening.close()
    listening.closeAllConnections()
  })
  return (listening.address() as AddressInfo).port
}

before(async () => {
  const { status } = spawnSync('curl', ['--version'], { stdio: 'ignore' })
  assert.equal(status, 0, 'curl is not installed; on Debian: apt-get install curl')
  const upstream = await listen((request, response) => {
    reached.push({ url: request.url ?? '', headers: request.headers })
    response.end(String(request.headers['x-user']))
  })
  const introspection = await listen((request, response) => {
    let body = ''
    request.on('data', bytes => {
      body += String(bytes)
    })
    request.on('end', () => {
      const active = new URLSearchParams(body).get('token') === 'opaque-good'
      response.end(JSON.stringify(active ? { active, sub: 'ines', scope: 'staff' } : { active }))
    })
  })
  const authority = createAuthority('the tests')
  const secret = (name: string, text: string): void => writeFileSync(path(name), text, { mode: 0o600 })
  for (const [name, issued] of [
    ['server', authority.issue('localhost', 'server', ['localhost', '127.0.0.1'])],
    ['client', authority.issue('billing-service', 'client')],
  ] as const) {
    secret(`${name}.pem`, issued.certificate)
    secret(`${name}.key`, issued.key)
  }
  secret('ca.pem', authority.certificate)
  secret('jwks.json', JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'k1', alg: 'ES256' }] }))
  secret('dora.ha1', createHash('sha256').update(`dora:bawn:${password}`).digest('hex'))
  secret('introspection.secret', 'a secret')
  const masterKey = randomBytes(32)
  secret('master', masterKey.toString('base64'))
  generateAuditKey({ path: path('keys'), masterKey })
  generateKeys({ path: path('keys'), masterKey, clientId: 'shop-fields' })
  const store = openSqliteAccounts({ name: 'staff', path: path('accounts.db') })
  await store.add({ name: 'alice', roles: ['staff'], locked: false, ...(await deriveVerifiers(password)) })
  await store.close()
  const rules = rows.map(row => `  - { door: http, address: ${addressOf(row)}, use: [${row.use.join(', ')}] }`)
  writeFileSync(
    path('bawn.yaml'),
    `listeners:
  web:
    door: http
    address: 127.0.0.1:0
    tls: { certificate: server.pem, key: server.key, client_ca: ca.pem, client_certificate: optional }
upstreams: { shop: { url: "http://127.0.0.1:${upstream}" } }
accounts: { staff: { kind: sqlite, path: accounts.db } }
issuers: { corp: { issuer: "https://id.example", audience: [${audience}], jwks: jwks.json } }
services: { billing: { common_name: billing-service, roles: [staff] } }
mechanisms:
  digest: { users: { dora: { ha1_sha256: file:dora.ha1, roles: [staff] } } }
  api-key: { query: key, basic: true, keys: [{ name: robot, hash: "${apiKeyHash(apiKey)}", roles: [staff] }] }
  introspection: { url: "http://127.0.0.1:${introspection}/", insecure_http: true, client_id: bawn, client_secret: file:introspection.secret }
  trust: { user: guest, roles: [staff] }
  identity: { user: tester, roles: [staff] }
host_rules:
${rules.join('\n')}
policies: { staff: { roles: [staff] } }
routes:
  - { path: /orders, methods: [GET], upstream: shop, allow: [staff], identity_headers: { id: X-User } }
keys: { store: { kind: directory, path: keys }, master: file:master, client_id: shop-fields }
audit: { file: audit.jsonl }
`,
  )
  server = await startServer({ configPath: path('bawn.yaml'), log: line => console.log(line), clock: Date.now })
})

after(async () => {
  await server?.close(0)
  for (const close of closing) close()
  rmSync(folder, { recursive: true })
})

/** @returns the last status and, in order of arrival, every head */
async function curl(row: Row, args: readonly string[], target = '/orders') {
  const port = server.addresses['web']?.split(':').at(-1)
  const { stdout } = await promisify(execFile)('curl', [
    ...['--silent', '--show-error', '--include', '--max-time', '20', '--noproxy', '*', '--cacert', path('ca.pem')],
    ...['--interface', addressOf(row), ...args, `https://127.0.0.1:${port}${target}`],
  ])
  const heads = stdout.split(/^(?=HTTP\/[12.]+ )/m)
  const last = heads.at(-1) ?? ''
  const [head = '', body = ''] = last.split('\r\n\r\n', 2)
  const challenges = [...head.matchAll(/^www-authenticate: (.*)$/gim)].map(([, value = '']) => value)
  return { status: Number(/^HTTP\/[12.]+ (\d+)/.exec(last)?.[1]), body, challenges, answers: heads.length }
}

for (const row of rows) {
  test(`curl ${row.shown}, with ${row.use.join(', ')}: ${row.mechanism}`, async () => {
    const answer = await curl(row, row.args)
    assert.deepEqual([answer.status, answer.body], [200, row.who])
    const { url, headers } = reached.at(-1) ?? { url: '', headers: {} }
    assert.equal(url, '/orders', 'no credential in the query')
    assert.deepEqual([headers['authorization'], headers['x-api-key']], [undefined, undefined])
    if (row.mechanism === 'identity') return
    const before = reached.length
    const refused = await curl(row, row.wrong)
    assert.equal(refused.status, 401)
    assert.equal(reached.length, before, 'nothing reaches the upstream')
    assert.doesNotMatch(refused.body, /alice|dora|wrong-password|unknown-user|expired/)
  })
}

test('an unknown name and a wrong password are one answer', async () => {
  const basic = rows.find(row => row.mechanism === 'basic')
  assert(basic)
  const form = (text: string): string => text.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'ID')
  const [wrong, unknown] = [await curl(basic, ['--user', 'alice:x']), await curl(basic, ['--user', 'nobody:x'])]
  assert.deepEqual(
    [wrong.status, wrong.challenges, form(wrong.body)],
    [unknown.status, unknown.challenges, form(unknown.body)],
  )
})

test('each mechanism of the rule asks in a line of its own; with no popup nobody asks', async () => {
  const both = rows.find(row => row.use.length === 2 && row.use.includes('digest'))
  assert(both)
  const asked = await curl(both, [])
  assert.deepEqual(
    asked.challenges.map(line => line.split(' ')[0]),
    ['Basic', 'Digest'],
  )
  for (const [args, target] of [
    [[], '/orders?noauthchallenge'],
    [['--header', 'No-Auth-Challenge: 1'], '/orders'],
  ] as const) {
    const quiet = await curl(both, args, target)
    assert.deepEqual([quiet.status, quiet.challenges], [401, []])
  }
  const trusted = rows.find(row => row.mechanism === 'trust')
  assert(trusted)
  await curl(trusted, ['--header', 'No-Auth-Challenge: 1'], '/orders?a=1&noauthchallenge')
  assert.deepEqual([reached.at(-1)?.url, reached.at(-1)?.headers['no-auth-challenge']], ['/orders?a=1', undefined])
})

test('digest: a second request on the same connection needs no second question', async () => {
  const digest = rows.find(row => row.use.length === 1 && row.use.includes('digest'))
  assert(digest)
  const before = reached.length
  const port = server.addresses['web']?.split(':').at(-1)
  const url = `https://127.0.0.1:${port}/orders`
  const answer = await curl(digest, [...digest.args, url], '/orders')
  assert.deepEqual([answer.status, reached.length - before, answer.answers <= 4], [200, 2, true])
})

test('docs/clients.md has what was tried here', () => {
  const lines = rows.map(row => `| ${row.mechanism} | \`${row.shown}\` | \`[${row.use.join(', ')}]\` |`)
  const table = ['| mechanism | curl | host rule: use |', '|---|---|---|', ...lines].join('\n')
  const text = readFileSync(guide, 'utf8')
  const whole = text.replace(/(<!-- curl -->\n)[\s\S]*?(\n<!-- end of curl -->)/, `$1${table}$2`)
  if (process.env['BAWN_CLIENTS'] === 'write') writeFileSync(guide, whole)
  else assert.equal(text, whole, 'run: BAWN_CLIENTS=write npm run test:clients')
})
