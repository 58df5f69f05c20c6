import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseConfig } from './load.ts'

function problems(
  signing: string,
  rest: { route?: string; issuers?: string; tokens?: string } = {},
): readonly string[] {
  const loaded = parseConfig(
    '/etc/bawn/bawn.yaml',
    Buffer.from(`listeners: { web: { door: http, address: "127.0.0.1:0" } }
upstreams: { main: { url: "http://127.0.0.1:3000" } }
signing: { ours: { ${signing} } }
routes: [{ path: /login, methods: [POST], upstream: main, allow: [anyone], ${rest.route ?? ''} }]
issuers: { ${rest.issuers ?? 'corp: { issuer: corp, audience: [a], jwks: a.json }'} }
${rest.tokens ?? ''}
host_rules: [{ door: http, use: [${rest.tokens ? 'token, ' : ''}jwt] }]
keys: { store: { kind: directory, path: keys }, master: env:MASTER, client_id: shop_fields }
audit: { file: audit.jsonl }
`),
  )
  return loaded.kind === 'ok' ? [] : loaded.problems.map(({ path, message }) => `${path}: ${message}`)
}

const own = 'own: { issuer: gate, audience: [a], signing: ours }'
const rows: readonly (readonly [string, readonly string[], RegExp | undefined])[] = [
  ['a key', problems('key: env:K'), undefined],
  [
    'everything',
    problems('key: env:K, jwks: /.well-known/jwks.json, other_keys: [file:next.pem]', { issuers: own }),
    undefined,
  ],
  ['a key in clear', problems('key: hunter2'), /signing\.ours\.key: .*never the secret itself/],
  ['a misspelt key', problems('key: env:K, jwsk: /a'), /unknown key "jwsk"/],
  ['a secret that is published', problems('algorithm: HS256, key: env:K, jwks: /a'), /never published/],
  [
    'a secret as an issuer’s key',
    problems('algorithm: HS256, key: env:K', { issuers: own }),
    /issuers\.own\.signing: HS256 has no public key/,
  ],
  [
    'what is not there',
    problems('key: env:K', { route: 'sign: { signing: our, members: [t] }' }),
    /routes\.0\.sign\.signing: no entry of signing is called "our"/,
  ],
  [
    'what is not there, for who asks',
    problems('key: env:K', { route: 'identity_headers: { signed: { header: X-Who, signing: our } }' }),
    /identity_headers\.signed\.signing: no entry/,
  ],
  [
    'an issuer with two',
    problems('key: env:K', { issuers: 'own: { issuer: gate, audience: [a], signing: ours, jwks: a.json }' }),
    /and not two of them/,
  ],
  [
    'a path that a route has',
    problems('key: env:K, jwks: /login'),
    /routes\.0\.path: \/login is answered by the gateway/,
  ],
  [
    'a path of tokens',
    problems('key: env:K, jwks: /token', { tokens: 'tokens: { kind: memory }' }),
    /signing\.ours\.jwks: \/token is a path of tokens/,
  ],
  ['a path that is none', problems('key: env:K, jwks: "/a/{b}"'), /plain segments/],
]
for (const [name, found, wanted] of rows) {
  test(name, () => {
    if (wanted === undefined) assert.deepEqual(found, [])
    else assert.match(found.join('\n'), wanted)
  })
}
