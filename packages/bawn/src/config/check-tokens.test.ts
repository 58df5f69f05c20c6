import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parseConfig } from './load.ts'

const example = readFileSync(new URL('example.yaml', import.meta.url), 'utf8')

/** The example with a section of tokens, and this `use` for the HTTP door. */
function problems(tokens: string, use = '[token, jwt]', store = 'staff'): readonly string[] {
  const text = example
    .replace('use: [jwt]', `use: ${use}`)
    .replace(/^ {2}staff:\n {4}kind: sqlite/m, `  ${store}:\n    kind: sqlite`)
  const loaded = parseConfig('/etc/bawn/bawn.yaml', new TextEncoder().encode(`${text}\n${tokens}\n`))
  const found = loaded.kind === 'ok' ? loaded.warnings : loaded.problems
  return found.map(({ path, message }) => `${path}: ${message}`)
}

const memory = 'tokens: { kind: memory }'
const rows: readonly (readonly [name: string, found: readonly string[], wanted: RegExp | undefined])[] = [
  ['memory', problems(memory), undefined],
  ['sqlite', problems('tokens: { kind: sqlite, path: data/tokens.db, renew: true, cookie: {} }'), undefined],
  ['redis on this machine', problems('tokens: { kind: redis, url: "redis://127.0.0.1:6379/1" }'), undefined],
  ['redis over TLS', problems('tokens: { kind: redis, url: "rediss://redis.internal" }'), undefined],
  ['redis in clear', problems('tokens: { kind: redis, url: "redis://redis.internal" }'), /tokens.url: UNSAFE/],
  ['a password in the URL', problems('tokens: { kind: redis, url: "redis://u:p@h" }'), /without a password/],
  ['signed', problems('tokens: { kind: signed, key: env:K, revocations: { kind: sqlite, path: r.db } }'), undefined],
  ['signed without revocations', problems('tokens: { kind: signed, key: env:K }'), /missing key "revocations"/],
  [
    'signed tokens are not renewed',
    problems('tokens: { kind: signed, renew: true, key: env:K, revocations: { kind: sqlite, path: r.db } }'),
    /unknown key "renew"/,
  ],
  ['a misspelt key', problems('tokens: { kind: memory, tll: 5m }'), /unknown key "tll"/],
  ['an unknown kind', problems('tokens: { kind: file }'), /"file" is not one of/],
  ['the mechanism without the section', problems(''), /token needs to be configured/],
  ['the section without the mechanism', problems(memory, '[jwt]'), /no host rule lets anybody use one/],
  ['jwt before token', problems(memory, '[jwt, token]'), /jwt is asked first/],
  ['one path for both', problems('tokens: { kind: memory, resource: /t, endpoint: /t }'), /the same path/],
  [
    'a route where the gateway answers',
    problems('tokens: { kind: memory, endpoint: /customers }'),
    /answered by the gateway/,
  ],
  ['a route below it', problems('tokens: { kind: memory, resource: /customers }'), /answered by the gateway/],
  [
    'a store with the name of an issuer',
    problems(memory, undefined, 'corp'),
    /a token of accounts.corp cannot be told from one of issuers.corp/,
  ],
  [
    'a store with the name of a mechanism',
    problems(memory, undefined, 'api-key'),
    /a token of accounts.api-key cannot be told from one of mechanism api-key/,
  ],
  ['a lifetime shorter than ttl', problems('tokens: { kind: memory, ttl: 1h, lifetime: 5m }'), /lifetime is shorter/],
]

for (const [name, found, wanted] of rows) {
  test(`tokens: ${name}`, () => {
    const own = found.filter(text => /token/.test(text) || /answered by/.test(text))
    if (wanted === undefined) assert.deepEqual(own, [])
    else
      assert(
        own.some(text => wanted.test(text)),
        found.join('\n'),
      )
  })
}

test('tokens: at door postgres alone they may stand behind any other mechanism', () => {
  const withToken = example.replace('use: [scram, jwt]', 'use: [scram, jwt, token]')
  assert.notEqual(withToken, example)
  const loaded = parseConfig('/etc/bawn/bawn.yaml', new TextEncoder().encode(`${withToken}\n${memory}\n`))
  assert(loaded.kind === 'ok', JSON.stringify(loaded))
  assert(!loaded.warnings.some(({ message }) => message.includes('token')))
  const open = withToken.replace('  desk:\n', '  open: { door: postgres, address: 0.0.0.0:9394 }\n  desk:\n')
  const clear = parseConfig('/etc/bawn/bawn.yaml', new TextEncoder().encode(`${open}\n${memory}\n`))
  assert(clear.kind === 'ok', JSON.stringify(clear))
  assert(
    clear.warnings.some(({ message }) => /open, which has no TLS, token works from this machine only/.test(message)),
  )
})

test('paths and references of tokens are made absolute', () => {
  const tokens =
    'tokens: { kind: signed, key: "file:t.pem", former_keys: ["file:o.pem"], revocations: { kind: redis, url: "rediss://r", ca: ca.pem, password: "file:p" } }'
  const loaded = parseConfig('/etc/bawn/bawn.yaml', new TextEncoder().encode(`${example}\n${tokens}\n`))
  assert(loaded.kind === 'ok' && loaded.config.tokens?.kind === 'signed')
  const { key, former_keys, revocations } = loaded.config.tokens
  assert.deepEqual([key, former_keys], ['file:/etc/bawn/t.pem', ['file:/etc/bawn/o.pem']])
  assert(revocations.kind === 'redis')
  assert.deepEqual([revocations.ca, revocations.password], ['/etc/bawn/ca.pem', 'file:/etc/bawn/p'])
})
