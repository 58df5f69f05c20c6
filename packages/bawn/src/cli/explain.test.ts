import assert from 'node:assert/strict'
import { generateKeyPairSync, sign } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { after, test } from 'node:test'
import type { HostNames, OwnNames } from '../authn/host-names.ts'
import { parseConfig } from '../config/load.ts'
import { explainRequest } from '../explain.ts'
import { plainKinds } from '../kinds.ts'
import { run } from './main.ts'

const cwd = mkdtempSync(join(tmpdir(), 'bawn-explain-'))
after(() => rmSync(cwd, { recursive: true }))
const now = Date.UTC(2026, 0, 2)
const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
writeFileSync(
  join(cwd, 'jwks.json'),
  JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'k', alg: 'ES256' }] }),
)
writeFileSync(
  join(cwd, 'bawn.yaml'),
  `listeners:
  web: { door: http, address: 127.0.0.1:0 }
  sql: { door: postgres, address: 127.0.0.1:0 }
databases: { shop: { host: localhost, tls: off, login: { user: b, password: env:P }, allow: [authenticated] } }
upstreams: { orders: { url: http://127.0.0.1:3000 } }
accounts: { staff: { kind: sqlite, path: data/accounts.db } }
issuers: { corp: { issuer: https://id.example, audience: [shop], jwks: jwks.json } }
host_rules:
  - { name: sql, door: postgres, use: [scram, jwt] }
  - { name: web, door: http, use: [jwt] }
routes: [{ path: /orders, methods: [GET], upstream: orders, allow: [authenticated] }]
keys: { store: { kind: directory, path: keys }, master: env:M, client_id: shop_fields }
audit: { file: audit.jsonl }
`,
)

function token(claims: Record<string, unknown>): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const seconds = Math.floor(now / 1000)
  const standard = { iss: 'https://id.example', aud: 'shop', sub: 'alice', iat: seconds, exp: seconds + 60 }
  const signed = `${part({ alg: 'ES256', kid: 'k' })}.${part({ ...standard, ...claims })}`
  const signature = sign('sha256', Buffer.from(signed), { key: privateKey, dsaEncoding: 'ieee-p1363' })
  return `${signed}.${signature.toString('base64url')}`
}

async function bawn(...args: string[]) {
  let output = ''
  const take = (text: string): void => {
    output += text
  }
  const terminal = { stdin: Readable.from([]), out: take, err: take, env: {}, cwd, now: () => now }
  return { status: await run(args, terminal), output }
}

test('a token is judged as the doors judge it, from a file or as it stands', async () => {
  const alice = token({ roles: ['support'] })
  writeFileSync(join(cwd, 'alice.token'), `${alice}\n`)
  for (const given of [alice, 'alice.token', `file:${join(cwd, 'alice.token')}`]) {
    const { status, output } = await bawn('explain', 'request', 'GET', '/orders', '--token', given)
    assert.equal(status, 0, output)
    assert.match(output, /^identity {4}alice \(roles support\), by jwt from corp$/m)
    assert.match(output, /^permitted: authenticated$/m)
  }
})

const refused = [
  ['expired', token({ exp: 1 })],
  ['wrong-audience', token({ aud: 'other' })],
  ['untrusted', `${token({})}AA`],
] as const
for (const [reason, given] of refused) {
  test(`a token that is ${reason} is refused with the reason, and not repeated`, async () => {
    const { status, output } = await bawn('explain', 'request', 'GET', '/orders', '--token', given)
    assert.equal(status, 1)
    assert.match(output, /the token is not accepted: [a-z-]+/)
    assert.match(output, /^refused: web$/m)
    assert.ok(!output.includes(given))
  })
}

test('at the PostgreSQL door the token must be of the user', async () => {
  const own = await bawn('explain', 'login', '--user', 'alice', '--token', token({}))
  assert.equal(own.status, 0, own.output)
  assert.match(own.output, /jwt: a token of corp, where the client says -c bawn\.login=jwt/)
  const other = await bawn('explain', 'login', '--user', 'bob', '--token', token({}))
  assert.equal(other.status, 1)
  assert.match(other.output, /the token is of alice, and the user is bob/)
  const far = await bawn(
    'explain',
    'login',
    '--user',
    'alice',
    '--token',
    token({}),
    '--no-tls',
    '--address',
    '10.0.0.1',
  )
  assert.match(far.output, /a token as the password needs TLS/)
})

test('a token of the gateway’s own is not looked up: what can be said without it is said', async () => {
  const text = readFileSync(join(cwd, 'bawn.yaml'), 'utf8')
    .replace('use: [scram, jwt]', 'use: [scram, token]')
    .replace('host_rules:', 'tokens: { kind: memory }\nhost_rules:')
  writeFileSync(join(cwd, 'tokens.yaml'), text)
  const ask = (...more: string[]) =>
    bawn('explain', 'login', '--user', 'nightly', '--mechanism', 'token', '--config', 'tokens.yaml', ...more)
  const here = await ask()
  assert.match(
    here.output,
    /token: a token that the gateway has issued to nightly, as the password, where the client says -c bawn\.login=token/,
  )
  assert.match(here.output, /depends on the token: give --role to suppose one/)
  const far = await ask('--no-tls', '--address', '10.0.0.1')
  assert.match(far.output, /token: a token as the password needs TLS/)
  assert.equal((await ask('--role', 'support')).status, 0)
})

test('rules by route and by name say why they hold and why not', async () => {
  const question = {
    method: 'GET',
    path: '/orders',
    host: 'localhost',
    address: '10.0.0.7',
    tls: false,
    asking: { kind: 'nobody' },
  } as const
  const text = readFileSync(join(cwd, 'bawn.yaml'), 'utf8').replace(
    /host_rules:\n( .*\n)+/,
    `host_rules:
  - { name: others, door: http, route: "/orders/*", use: [jwt] }
  - { name: batch, address: batch.example, use: [jwt] }
  - { name: corp, address: .corp.example, use: [jwt] }
  - { name: here, door: http, route: /orders, use: [jwt] }
`,
  )
  const loaded = parseConfig(
    join(cwd, 'bawn.yaml'),
    Buffer.from(
      text.replace(
        'path: /orders,',
        'path: /orders/new, methods: [GET], upstream: orders, allow: [authenticated] }, { path: /orders,',
      ),
    ),
  )
  assert.ok(loaded.kind === 'ok', JSON.stringify(loaded))
  const explain = async (own: OwnNames): Promise<readonly string[]> => {
    const hostNames: HostNames = {
      addressesOf: () => [Uint8Array.of(10, 0, 0, 8)],
      namesOf: async () => own,
      refresh: async () => {},
      close: () => {},
    }
    const surroundings = {
      authenticate: assert.fail,
      findAccount: async () => undefined,
      hostNames,
      kinds: plainKinds,
    }
    const { steps } = await explainRequest(loaded.config, question, surroundings)
    return steps.filter(({ about }) => about === 'host rule').map(step => step.text)
  }
  const first = [
    'others: no, the route is /orders, the rule is for /orders/*',
    'batch: no, the address is 10.0.0.7, the rule is for batch.example (batch.example is 10.0.0.8)',
  ]
  assert.deepEqual(await explain({ kind: 'known', names: ['a.corp.example'] }), [
    ...first,
    'corp: holds, and decides; use jwt',
    'here: would hold, and comes too late',
  ])
  assert.deepEqual(await explain({ kind: 'known', names: [] }), [
    ...first,
    'corp: no, the address is 10.0.0.7, whose own name no DNS server confirms; the rule is for .corp.example',
    'here: holds, and decides; use jwt',
  ])
  assert.deepEqual(await explain({ kind: 'undecided', why: 'DNS is silent' }), [
    ...first,
    'corp: cannot be told, DNS is silent',
    'here: would hold, and comes too late',
  ])
})

test('explaining makes nothing', () => {
  assert.equal(existsSync(join(cwd, 'data')), false)
})

test('a page for people says where their browser is sent', async () => {
  writeFileSync(
    join(cwd, 'people.yaml'),
    `listeners: { web: { door: http, address: 127.0.0.1:0 } }
upstreams: { orders: { url: http://127.0.0.1:3000 } }
issuers: { corp: { issuer: https://id.example, audience: [shop], jwks: jwks.json } }
tokens: { kind: memory, renew: true, cookie: {} }
mechanisms: { oidc: { issuer: corp, client_id: bawn, redirect: https://gate.example, key: env:K } }
host_rules: [{ door: http, use: [oidc, jwt] }]
routes: [{ path: /orders, methods: [GET, POST], upstream: orders, allow: [authenticated] }]
keys: { store: { kind: directory, path: keys }, master: env:M, client_id: shop_fields }
audit: { file: audit.jsonl }
`,
  )
  const page = await bawn('explain', 'request', 'GET', '/orders', '--config', 'people.yaml')
  assert.match(page.output, /^mechanism +oidc: a person’s browser is sent to corp to log in; everybody else gets 401$/m)
  const form = await bawn('explain', 'request', 'POST', '/orders', '--config', 'people.yaml')
  assert.doesNotMatch(form.output, /browser/)
})
