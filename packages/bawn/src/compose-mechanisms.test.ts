import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLoginThrottle } from './accounts/throttle.ts'
import { credentials } from './authn/http-credentials.fixture.ts'
import { builtinKinds } from './builtin.ts'
import { composeHttpMechanisms, configuredCarriers } from './compose-mechanisms.ts'
import { parseConfig } from './config/load.ts'
import { carriersOf } from './http/credentials.ts'
import { kindSurroundings } from './kinds.ts'
import { createMemoryTokenStore } from './tokens/memory.ts'
import { createRandomTokens } from './tokens/random.ts'

const environment = { HA1: '0'.repeat(64), SHORT: '0'.repeat(63), SECRET: 'x' }

function config(mechanisms: string, more = '') {
  const text = `listeners: { web: { door: http, address: "127.0.0.1:0" } }
mechanisms: ${mechanisms}
${more}
keys: { store: { kind: directory, path: keys }, master: env:MASTER, client_id: tests }
audit: { file: audit.jsonl }
`
  const loaded = parseConfig('/etc/bawn.yaml', Buffer.from(text))
  assert(loaded.kind === 'ok', JSON.stringify(loaded.kind === 'invalid' && loaded.problems))
  return loaded.config
}

const tokenOptions = {
  name: 'memory',
  ttlMs: 1000,
  renew: false,
  lifetimeMs: 1000,
  limits: { perSubject: 1, inAll: 1 },
}

const compose = (of: ReturnType<typeof config>, store = createMemoryTokenStore()) =>
  composeHttpMechanisms(of, {
    kinds: builtinKinds,
    surroundings: kindSurroundings(environment, { clock: () => 0, log: () => {} }),
    certificate: { authenticate: () => ({ kind: 'absent' }) },
    jwt: { authenticate: () => ({ kind: 'absent' }) },
    password: { check: async () => ({ kind: 'wrong', reason: 'unknown-user' }), close: async () => {} },
    throttle: createLoginThrottle({ now: () => 0 }),
    tokens: of.tokens && createRandomTokens(tokenOptions, store, () => 0),
    stores: [],
    onRenewed: () => {},
  })

const everything = `
  jwt: { header: X-Token, cookie: session }
  digest: { users: { dora: { ha1_sha256: env:HA1 } } }
  api-key: { header: X-Team-Key, query: key, keys: [{ name: a, hash: "sha256:${'0'.repeat(64)}" }] }
  introspection: { url: "https://id.example/", client_id: a, client_secret: env:SECRET }
  trust: { user: guest }
  identity: { user: tester }`

test('every mechanism of a configuration is there, and where they look is known without secrets', async () => {
  const whole = config(everything, 'tokens: { kind: memory, cookie: {} }')
  const mechanisms = await compose(whole)
  const names = ['certificate', 'jwt', 'basic', 'digest', 'api-key', 'introspection', 'trust', 'identity', 'token']
  for (const name of names)
    assert(
      mechanisms.some(mechanism => mechanism.name === name),
      name,
    )
  assert.deepEqual(configuredCarriers(whole, builtinKinds), carriersOf(mechanisms))
  const least = config('{}')
  assert.deepEqual(configuredCarriers(least, builtinKinds), carriersOf(await compose(least)))
})

test('a value of digest that cannot be one stops the start, and is not in the message', async () => {
  const short = config('{ digest: { users: { dora: { ha1_sha256: env:SHORT } } } }')
  await assert.rejects(
    () => compose(short),
    (error: Error) => {
      assert('code' in error && error.code === 'authn.bad_digest_user')
      assert.match(error.message, /env:SHORT.*dora/)
      assert.doesNotMatch(error.message, /000/)
      return true
    },
  )
})

test('what a reload takes out of the configuration takes its tokens along', async () => {
  const key = (name: string, roles: string) =>
    `api-key: { keys: [{ name: ${name}, hash: "sha256:${'0'.repeat(64)}", roles: [${roles}] }] }`
  const user = (name: string, roles: string) =>
    `digest: { users: { ${name}: { ha1_sha256: env:HA1, roles: [${roles}] } } }`
  const asked = 'introspection: { url: "https://id.example/", client_id: a, client_secret: env:SECRET }'
  const issuer = (name: string) => `issuers: { ${name}: { issuer: i, audience: [a], jwks: j.json } }`
  const service = (name: string, roles: string, more = '') =>
    `services: { ${name}: { common_name: ${name}, roles: [${roles}]${more} } }`
  const client = `, client_id: "${'1'.repeat(128)}"`
  const rows: readonly (readonly [source: string | undefined, mechanisms: string, more: string, isGood: boolean])[] = [
    ['api-key', key('x', 'staff'), '', true],
    ['api-key', key('x', 'staff, more'), '', true],
    ['api-key', key('x', 'more'), '', false],
    ['api-key', key('y', 'staff'), '', false],
    ['api-key', '', '', false],
    ['digest', user('x', 'staff'), '', true],
    ['digest', user('x', ''), '', false],
    ['digest', user('y', 'staff'), '', false],
    ['digest', '', '', false],
    ['introspection', asked, '', true],
    ['introspection', '', '', false],
    ['certificate', '', service('x', 'staff'), true],
    ['certificate', '', service('x', ''), false],
    ['certificate', '', service('x', 'staff', client), false],
    ['certificate', '', service('y', 'staff'), false],
    ['corp', '', issuer('corp'), true],
    ['corp', '', issuer('other'), false],
    [undefined, '', '', true],
    // A store that was renamed.
    ['staff', '', '', false],
    ['constructor', '', '', false],
  ]
  for (const [source, mechanisms, more, isGood] of rows) {
    const store = createMemoryTokenStore()
    const before = createRandomTokens(tokenOptions, store, () => 0)
    const { token } = await before.issue({
      id: 'x',
      roles: ['staff'],
      source,
      clientId: undefined,
      notAfter: undefined,
    })
    const after = await compose(config(`{ ${mechanisms} }`, `tokens: { kind: memory }\n${more}`), store)
    const outcome = await after
      .find(({ name }) => name === 'token')
      ?.authenticate(credentials({ headers: { authorization: `Bearer ${token}` } }))
    assert.equal(outcome?.kind, isGood ? 'identified' : 'rejected', `${source} ${mechanisms} ${more}`)
  }
})
