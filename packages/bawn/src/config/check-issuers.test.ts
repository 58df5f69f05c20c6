import assert from 'node:assert/strict'
import { test } from 'node:test'
import { plainKinds } from '../kinds.ts'
import { rehearse } from '../rehearse.ts'
import { parseConfig } from './load.ts'
import { probeFiles } from './probe.ts'

const parse = (issuer: string) =>
  parseConfig(
    '/etc/bawn/bawn.yaml',
    Buffer.from(`listeners: { web: { door: http, address: "127.0.0.1:0" } }
issuers: { corp: { issuer: i, audience: [shop], ${issuer} } }
host_rules: [{ door: http, use: [jwt] }]
keys: { store: { kind: directory, path: keys }, master: env:MASTER, client_id: shop_fields }
audit: { file: audit.jsonl }
`),
  )

const wrong: readonly (readonly [issuer: string, path: string, says: RegExp])[] = [
  ['scope: a', 'issuers.corp', /needs jwks, discovery, signing or secret/],
  ['jwks: a.json, secret: env:S', 'issuers.corp', /needs jwks, discovery, signing or secret/],
  ['jwks: a.json, discovery: true', 'issuers.corp', /needs jwks, discovery, signing or secret/],
  ['discovery: true', 'issuers.corp.issuer', /has to be an https URL/],
  ['discovery: true, ca: ca.pem', 'issuers.corp.ca', /https URL/],
  // Misspelt: one mistake, and one problem.
  ['secrt: env:S', 'issuers.corp.secrt', /unknown key "secrt"/],
  ['secret: hunter2', 'issuers.corp.secret', /never the secret itself/],
  ['secret: env:S, algorithms: [HS256, RS256]', 'issuers.corp.algorithms.1', /RS256 is not for secret/],
  ['jwks: a.json, algorithms: [HS256]', 'issuers.corp.algorithms.0', /HS256 is not for jwks/],
  ['jwks: a.json, former_secrets: [env:S]', 'issuers.corp.former_secrets', /is for secret/],
  ['secret: env:S, key_id: x5t', 'issuers.corp.key_id', /secrets have no name/],
  ['jwks: a.json, ca: ca.pem', 'issuers.corp.ca', /https URL/],
  ['jwks: "https://id.example/", pins: [abc]', 'issuers.corp.pins.0', /base64url of a SHA-256/],
  ['jwks: "http://id.example/"', 'issuers.corp.jwks', /plain HTTP/],
  ['jwks: { kes: [] }', 'issuers.corp.jwks.kes', /unknown key/],
  ['jwks: a.json, decryption: { keys: [] }', 'issuers.corp.decryption.keys', /at least one/],
  [
    'jwks: a.json, decryption: { keys: [env:K], algorithms: [RSA1_5] }',
    'issuers.corp.decryption.algorithms.0',
    /not one of/,
  ],
  [
    'jwks: a.json, decryption: { keys: [env:K], encryption: [none] }',
    'issuers.corp.decryption.encryption.0',
    /not one of/,
  ],
]
for (const [issuer, path, says] of wrong) {
  test(`${issuer}: stops the start`, () => {
    const loaded = parse(issuer)
    assert.ok(loaded.kind === 'invalid')
    assert.deepEqual(
      loaded.problems.map(problem => problem.path),
      [path],
    )
    assert.match(loaded.problems[0]?.message ?? '', says)
    assert.ok(!JSON.stringify(loaded.problems).includes('hunter2'))
  })
}

test('tokens without an end are warned of', () => {
  const loaded = parse('jwks: a.json, insecure_without_exp: true')
  assert.ok(loaded.kind === 'ok')
  assert.deepEqual(
    loaded.warnings.map(({ path }) => path),
    ['issuers.corp.insecure_without_exp'],
  )
  assert.match(loaded.warnings[0]?.message ?? '', /^UNSAFE/)
})

test('files and secrets of an issuer are found beside the configuration, and looked for', () => {
  const loaded = parse(
    'secret: file:a, former_secrets: [file:b, env:C], decryption: { keys: [file:d, env:E], algorithms: [A256KW] }',
  )
  assert.ok(loaded.kind === 'ok')
  const { secret, former_secrets, decryption } = loaded.config.issuers['corp'] ?? {}
  assert.deepEqual(
    [secret, former_secrets, decryption?.keys],
    ['file:/etc/bawn/a', ['file:/etc/bawn/b', 'env:C'], ['file:/etc/bawn/d', 'env:E']],
  )
  const found = probeFiles(loaded.config, loaded.source, { MASTER: 'x' }).map(({ path }) => path)
  const places = ['secret', 'former_secrets.0', 'former_secrets.1', 'decryption.keys.0', 'decryption.keys.1']
  assert.deepEqual(
    found,
    places.map(place => `issuers.corp.${place}`),
  )
  const keys = parse('jwks: "https://id.example/", ca: ca.pem')
  assert.ok(keys.kind === 'ok')
  assert.equal(keys.config.issuers['corp']?.ca, '/etc/bawn/ca.pem')
  assert.deepEqual(
    probeFiles(keys.config, keys.source, { MASTER: 'x' }).map(({ path }) => path),
    ['issuers.corp.ca'],
  )
})

test('what only building finds shows before a start: weak secrets, keys that are none', async () => {
  const secrets: Readonly<Record<string, string>> = { 'env:SHORT': 'AAAA', 'env:KEY': 'AAAA' }
  const rows = [
    ['secret: env:SHORT', 'authn.weak_secret'],
    ['jwks: a.json, decryption: { keys: [env:KEY] }', 'authn.bad_decryption_key'],
    ['jwks: { keys: [{ kty: oct, k: AAAA }] }', 'authn.bad_issuer'],
  ] as const
  for (const [issuer, code] of rows) {
    const loaded = parse(issuer)
    assert.ok(loaded.kind === 'ok', JSON.stringify(loaded))
    const found = await rehearse(loaded.config, plainKinds, reference => secrets[reference] ?? assert.fail(reference))
    assert.deepEqual(
      found.map(error => error.code),
      [code],
    )
    // Without secrets, only what needs none is built.
    assert.equal((await rehearse(loaded.config, plainKinds)).length, code === 'authn.bad_issuer' ? 1 : 0)
  }
})
