import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes, randomInt } from 'node:crypto'
import { test } from 'node:test'
import { createLoginThrottle } from './accounts/throttle.ts'
import type { TokenJudge } from './authn/bearer.ts'
import { credentials } from './authn/http-credentials.fixture.ts'
import { createJwtMechanism } from './authn/jwt.ts'
import { createNoncePlace, openNonceMemory } from './authn/nonce-memory.ts'
import type { BrowserLogin } from './authn/oidc/browser-login.ts'
import { issuerOptions } from './authn/option.ts'
import { composeLogin } from './compose-login.ts'
import { composeMechanisms, configuredCarriers, type MechanismParts } from './compose-mechanisms.ts'
import { parseConfig } from './config/load.ts'
import { authenticate } from './http/authenticate.ts'
import { carriersOf, RequestCredentials } from './http/credentials.ts'
import { parseRequestHead } from './http/request-head.ts'
import { type Kinds, kindSurroundings, kindsWith, plainKinds } from './kinds.ts'
import { createMemoryTokenStore } from './tokens/memory.ts'
import { createRandomTokens } from './tokens/random.ts'
import type { TokenManager } from './tokens/token-manager.ts'

const environment = { HA1: '0'.repeat(64), SHORT: '0'.repeat(63), SECRET: 'x' }

function config(mechanisms: string, more = '', { plugged } = plainKinds) {
  const text = `listeners: { web: { door: http, address: "127.0.0.1:0" } }
mechanisms: ${mechanisms}
${more}
keys: { store: { kind: directory, path: keys }, master: env:MASTER, client_id: tests }
audit: { file: audit.jsonl }
`
  const loaded = parseConfig('/etc/bawn.yaml', Buffer.from(text), plugged)
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

const composeAll = (
  of: ReturnType<typeof config>,
  kinds: Kinds = plainKinds,
  store = createMemoryTokenStore(),
  jwt: TokenJudge = { authenticate: () => ({ kind: 'absent' }) },
  login?: BrowserLogin,
  tokens: TokenManager = createRandomTokens(tokenOptions, store, () => 0),
  onRenewed: MechanismParts['onRenewed'] = () => {},
) =>
  composeMechanisms(of, {
    kinds,
    surroundings: kindSurroundings(environment, { clock: () => 0, log: () => {} }),
    certificate: { authenticate: () => ({ kind: 'absent' }) },
    jwt,
    password: {
      check: async () => ({ kind: 'wrong', reason: 'unknown-user' }),
      recall: () => undefined,
      close: async () => {},
    },
    nonces: openNonceMemory(createNoncePlace(0), 1),
    throttle: createLoginThrottle({ now: () => 0 }),
    tokens: of.tokens && tokens,
    stores: [],
    onRenewed,
    takenBack: undefined,
    login,
  })

const compose = async (of: ReturnType<typeof config>, store = createMemoryTokenStore(), jwt?: TokenJudge) =>
  (await composeAll(of, plainKinds, store, jwt)).http

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
  assert.deepEqual(configuredCarriers(whole, plainKinds), carriersOf(mechanisms))
  const least = config('{}')
  assert.deepEqual(configuredCarriers(least, plainKinds), carriersOf(await compose(least)))
})

test('random credentials, wherever they stand, are answered and identify nobody', async () => {
  const publicKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' })
  const issuer = issuerOptions.parse({ issuer: 'i', audience: ['a'], jwks: { keys: [{ ...publicKey, kid: 'k' }] } })
  const jwt = createJwtMechanism({ corp: issuer }, { fetch: assert.fail, clock: () => 0, secret: assert.fail })
  await jwt.prime()
  const whole = config(everything, 'tokens: { kind: memory, cookie: {} }')
  // The others let everybody in, or ask somebody else: introspection.test.ts.
  const judging = ['token', 'certificate', 'jwt', 'basic', 'digest', 'api-key']
  const all = await compose(whole, createMemoryTokenStore(), jwt)
  const mechanisms = judging.map(name => all.find(mechanism => mechanism.name === name) ?? assert.fail(name))
  const carriers = configuredCarriers(whole, plainKinds)
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const seeds = [
    `Bearer ${part({ alg: 'ES256', kid: 'k' })}.${part({ iss: 'i', aud: 'a', sub: 's', exp: 9 })}.${'A'.repeat(86)}`,
    `Bearer ${part({ alg: 'ECDH-ES', enc: 'A256GCM', cty: 'JWT' })}..AAAA.AAAA.AAAA`,
    `Basic ${Buffer.from('alice:secret').toString('base64')}`,
    'Digest username="dora", realm="bawn", nonce="x", uri="/", qop=auth, nc=00000001, cnonce="y", algorithm=SHA-256, response="00"',
    `Bearer bawn_token_${'A'.repeat(43)}`,
    `__Host-bawn=bawn_token_${'A'.repeat(43)}; session=a.b.c; theme="dark"`,
    `bawn_key_${'A'.repeat(43)}`,
    '',
  ]
  const places = ['authorization', 'cookie', 'x-token', 'x-team-key', 'x-api-key']
  const changed = (text: string, how: number): string => {
    if (how === 0) return text
    if (how === 1) return randomBytes(randomInt(200)).toString('latin1')
    if (how === 2) return text.slice(0, randomInt(text.length + 1))
    const at = randomInt(text.length + 1)
    return `${text.slice(0, at)}${String.fromCharCode(randomInt(256))}${text.slice(at + (how % 2))}`
  }
  const kinds = new Set<string>()
  for (let round = 0; round < 3_000; round++) {
    // What is a line end or NUL does not come through the front.
    const value = changed(seeds[randomInt(seeds.length)] ?? '', randomInt(5)).replace(/[\0\r\n]/g, ' ')
    const place = places[randomInt(places.length)] ?? ''
    const query = `/?key=${encodeURIComponent(value)}`.slice(0, round % 3 === 0 ? 200 : 1)
    const rawHeaders = ['Host', 'a', place, value, ...(round % 7 === 0 ? ['Cookie', value] : [])]
    const head = parseRequestHead('GET', query, '1.1', rawHeaders)
    if (head.kind !== 'head') continue
    const body = { start: () => {}, resume: () => {}, cancel: () => {} }
    const request = {
      method: 'GET',
      target: query,
      httpVersion: '1.1',
      rawHeaders,
      secure: true,
      remoteAddress: '::1',
      body,
    }
    const brought = new RequestCredentials(request, head.head, query.slice(1), 0)
    const got = await authenticate(brought, mechanisms, carriers)
    assert.notEqual(got.kind, 'identified', JSON.stringify(value))
    if (got.kind === 'refused') assert.equal(got.cause, undefined, `${JSON.stringify(value)}: ${String(got.cause)}`)
    kinds.add(got.kind === 'refused' ? `${got.mechanism}` : got.kind)
  }
  for (const name of ['jwt', 'basic', 'digest', 'api-key', 'token', 'absent', 'undefined'])
    assert.ok(kinds.has(name), `nothing reached ${name}: ${[...kinds].join()}`)
})

test('where sessions of people are looked for is known without secrets too', async () => {
  const issuer = 'issuers: { corp: { issuer: "https://id.example", audience: [a], jwks: j.json } }'
  const oidc = '{ oidc: { issuer: corp, client_id: bawn, redirect: "https://gate.example", key: env:KEY } }'
  const whole = config(oidc, `tokens: { kind: memory, renew: true, cookie: { name: gate } }\n${issuer}`)
  const jwt = createJwtMechanism(whole.issuers, { fetch, clock: () => 0, secret: () => '' })
  const surroundings = kindSurroundings({ KEY: Buffer.alloc(32).toString('base64') }, { clock: () => 0, log: () => {} })
  const login = await composeLogin(whole, jwt, surroundings)
  const { http: mechanisms } = await composeAll(whole, plainKinds, undefined, undefined, login)
  const carriers = configuredCarriers(whole, plainKinds)
  assert.deepEqual(carriers, carriersOf(mechanisms))
  assert.deepEqual([...carriers.cookies], ['__Host-gate', '__Secure-gate-logout'])
  assert.deepEqual(carriers.cookiePrefixes, ['__Host-gate-login-'])
  const bad = kindSurroundings({ KEY: 'short' }, { clock: () => 0, log: () => {} })
  await assert.rejects(composeLogin(whole, jwt, bad), { code: 'authn.bad_login_key' })
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

/** A plug-in with a mechanism that judges bearer tokens of its own, and tells whom it has let in. */
const strange = kindsWith([
  {
    name: 'strange',
    plugin: {
      name: 'strange',
      api: 1,
      mechanisms: [
        {
          kind: 'opaque',
          doors: ['http', 'postgres'],
          options: { '~standard': { version: 1, vendor: 'x', validate: value => ({ value }) } },
          carries: () => ({ headers: ['x-opaque'] }),
          judgesOpaque: () => true,
          create: () => ({
            http: { authenticate: () => ({ kind: 'absent' }) },
            postgres: { authenticate: () => ({ kind: 'absent' }) },
          }),
        },
      ],
    },
    path: '/etc/strange.js',
    integrity: 'sha256-',
    timeoutMs: 1_000,
    folder: '/etc',
    warnings: [],
  },
])

test('bearer tokens that are no JWT are left to a plug-in that judges them; its header reaches nobody', async () => {
  const plugged = config('{ opaque: {} }', '', strange)
  const bearer = credentials({ headers: { authorization: 'Bearer something' } })
  const jwtOf = async (of: ReturnType<typeof config>, kinds: Kinds) =>
    (await composeAll(of, kinds)).http.find(({ name }) => name === 'jwt')?.authenticate(bearer)
  const refusing: TokenJudge = { authenticate: () => ({ kind: 'rejected', reason: 'untrusted' }) }
  assert.deepEqual(await jwtOf(plugged, strange), { kind: 'absent' })
  const [own] = (await compose(config('{}'), undefined, refusing)).filter(({ name }) => name === 'jwt')
  assert.deepEqual(await own?.authenticate(bearer), { kind: 'rejected', reason: 'untrusted' })
  assert(configuredCarriers(plugged, strange).headers.has('x-opaque'))
  const { http, postgres } = await composeAll(plugged, strange)
  assert(carriersOf(http).headers.has('x-opaque'))
  assert.deepEqual([...postgres.keys()], ['opaque'])
  // Named, and not configured: it is not there.
  assert.equal((await composeAll(config('{}', '', strange), strange)).postgres.size, 0)
})

test('tokens of whom a plug-in has let in are good while it is configured', async () => {
  const store = createMemoryTokenStore()
  const subject = { id: 'x', roles: ['staff'], source: 'opaque', clientId: undefined, notAfter: undefined }
  const { token } = await createRandomTokens(tokenOptions, store, () => 0).issue(subject)
  for (const [mechanisms, outcome] of [
    ['{ opaque: {} }', 'identified'],
    ['{}', 'rejected'],
  ] as const) {
    const { http } = await composeAll(config(mechanisms, 'tokens: { kind: memory }', strange), strange, store)
    const presented = credentials({ headers: { authorization: `Bearer ${token}` } })
    const found = await http.find(({ name }) => name === 'token')?.authenticate(presented)
    assert.equal(found?.kind, outcome, mechanisms)
  }
})

test('tokens at the PostgreSQL door: by name and form, a use like any other, and only where they can be asked about again', async () => {
  const whole = config('{}', 'tokens: { kind: memory }')
  const store = createMemoryTokenStore()
  let now = 0
  const looked: string[] = []
  const find = (digest: string, at: number) => {
    looked.push(digest)
    return store.find(digest, at)
  }
  const counting = { ...store, find }
  const options = { ...tokenOptions, renew: true, lifetimeMs: 5_000 }
  const manager = createRandomTokens(options, counting, () => now)
  const renewed: unknown[] = []
  const judgeOf = async (tokens: TokenManager) => {
    const told = ({ id }: { readonly id: string }, ...more: readonly string[]) => renewed.push([id, ...more])
    return (await composeAll(whole, plainKinds, store, undefined, undefined, tokens, told)).token
  }
  const judge = await judgeOf(manager)
  const { token } = await manager.issue({
    ...{ id: 'nightly', roles: ['batch'], source: undefined, clientId: undefined, notAfter: undefined },
  })
  const ask = (user: string, password: string) =>
    judge?.authenticate({ user, password, address: '192.0.2.1', tls: true, now })
  now = 500
  const outcome = await ask('nightly', token)
  assert(outcome?.kind === 'identified')
  const { id, roles, mechanism, expiresAt } = outcome.identity
  assert.deepEqual(
    { id, roles, mechanism, expiresAt },
    { id: 'nightly', roles: ['batch'], mechanism: 'token', expiresAt: 1_500 },
  )
  assert.equal(await manager.isGood?.(outcome.identity.token?.text ?? ''), true)
  assert.deepEqual(renewed, [['nightly', '192.0.2.1', 'postgres']])
  assert.equal((await ask('somebody', token))?.kind, 'rejected')
  const before = looked.length
  for (const password of ['', 'secret', `${token}x`, 'x'.repeat(60_000)]) {
    assert.deepEqual(await ask('nightly', password), { kind: 'absent' })
  }
  assert.equal(looked.length, before, 'what has not the form of a token costs no look at the store')
  const { isGood: _, ...silent } = manager
  assert.equal(await judgeOf(silent), undefined)
})
