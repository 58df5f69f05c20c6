import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseConfig } from './load.ts'

interface Parts {
  readonly oidc?: string
  readonly issuer?: string
  readonly tokens?: string
  readonly use?: string
  readonly route?: string
  readonly mechanisms?: string
}

const good = 'issuer: corp, client_id: bawn, client_secret: env:S, redirect: "https://gate.example", key: env:K'
const tokens = 'tokens: { kind: memory, renew: true, cookie: {} }'

function problems({ oidc = good, issuer = '', use = 'oidc', route = '/orders', mechanisms, ...more }: Parts): string[] {
  const text = `listeners: { web: { door: http, address: "127.0.0.1:0" } }
upstreams: { main: { url: "http://127.0.0.1:3000" } }
issuers: { corp: { issuer: "https://id.example", audience: [shop], ${issuer === '' ? 'jwks: jwks.json' : issuer} } }
mechanisms: ${mechanisms ?? `{ oidc: { ${oidc} }, trust: { user: guest } }`}
${more.tokens ?? tokens}
host_rules: [{ door: http, use: [${use}] }]
routes: [{ path: ${route}, methods: [GET], upstream: main, allow: [authenticated] }]
keys: { store: { kind: directory, path: keys }, master: env:M, client_id: shop_fields }
audit: { file: audit.jsonl }
`
  const loaded = parseConfig('/etc/bawn/bawn.yaml', Buffer.from(text))
  const found = loaded.kind === 'ok' ? loaded.warnings : loaded.problems
  for (const problem of found) assert(problem.line > 0, 'each has its line')
  return found.map(({ path, message }) => `${path}: ${message}`)
}

const rows: readonly (readonly [name: string, parts: Parts, wanted: RegExp | undefined])[] = [
  ['as it has to be', {}, undefined],
  ['without a section', { mechanisms: '{}' }, /oidc needs to be configured/],
  ['without a rule', { use: 'jwt', oidc: good }, /no host rule lets anybody log in by it/],
  ['an issuer that is none', { oidc: good.replace('corp', 'crop') }, /oidc.issuer: no issuer is called "crop"/],
  [
    'an issuer that is no URL',
    { issuer: 'jwks: j.json }, other: { issuer: x, audience: [a], jwks: k.json', oidc: good.replace('corp', 'other') },
    /it is no https URL/,
  ],
  ['an issuer with a shared secret', { issuer: 'secret: env:X' }, /has a shared secret/],
  ['without tokens', { tokens: '' }, /keeps its sessions in tokens, and there are none/],
  ['without the cookie', { tokens: 'tokens: { kind: memory }' }, /keeps its sessions in the cookie of tokens/],
  [
    'a cookie for a part',
    { tokens: 'tokens: { kind: memory, renew: true, cookie: { path: /a } }' },
    /tokens.cookie.path: .*whole host/,
  ],
  [
    'sessions that end before their time',
    { tokens: 'tokens: { kind: memory, cookie: {} }' },
    /after tokens.ttl, and not after/,
  ],
  ['a lifetime that ends them', { oidc: `${good}, session: 13h` }, /after tokens.lifetime, and not after/],
  ['a session without end', { oidc: `${good}, session: 8d` }, /must be at most 7d/],
  ['a secret and a key', { oidc: `${good}, client_key: env:P` }, /client_secret or client_key, not both/],
  ['the name of no key', { oidc: `${good}, client_key_id: a` }, /there is no client_key/],
  ['a base with a path', { oidc: good.replace('gate.example', 'gate.example/a') }, /must be https:\/\/host/],
  ['a base with a user', { oidc: good.replace('gate.example', 'a@gate.example') }, /must be https:\/\/host/],
  ['a base in clear', { oidc: good.replace('https://gate', 'http://gate') }, /over plain HTTP/],
  [
    'the same, on purpose',
    { oidc: `${good.replace('https://gate', 'http://gate')}, insecure_http: true` },
    /UNSAFE: whoever is on the way/,
  ],
  ['a literal key', { oidc: good.replace('key: env:K', 'key: abc') }, /must be env:NAME or file:path/],
  ['a misspelt key', { oidc: `${good}, scope: [a]` }, /unknown key "scope"/],
  ['login and logout in one place', { oidc: `${good}, logout: /login` }, /\/login is used twice/],
  ['login where tokens are', { oidc: `${good}, login: /token` }, /is a path of tokens already/],
  ['logout below tokens', { oidc: `${good}, logout: /tokens/a` }, /is a path of tokens already/],
  ['a route where people log in', { route: '/login' }, /answered by the gateway itself/],
  ['a route where they are sent back', { route: '/login/callback' }, /answered by the gateway itself/],
  [
    'back channel of another claim',
    { oidc: `${good}, backchannel_logout: true`, issuer: 'jwks: j.json, id_claim: email' },
    /by email/,
  ],
  ['trust before oidc', { use: 'trust, oidc' }, /nobody would be known by a session/],
]
for (const [name, parts, wanted] of rows) {
  test(name, () => {
    const found = problems(parts).filter(text => !text.includes('trust lets in'))
    if (wanted === undefined) assert.deepEqual(found, [])
    else
      assert(
        found.some(text => wanted.test(text)),
        found.join('\n'),
      )
  })
}
