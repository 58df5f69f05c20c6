import assert from 'node:assert/strict'
import { randomBytes, randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { after, before, test } from 'node:test'
import { type OpenId, startOpenId } from '@bawn/demo/openid'
import { CompactSign, type CryptoKey, exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose'
import { base, Client, navigation, type Site, startSite, upToCallback } from './site.fixture.ts'

// Who would log in as somebody else, or have somebody else log in as them. First against a certified provider; then with a provider that
// says whatever an attacker would like it to say.

const people = [
  { id: 'alice', roles: ['staff'], secret: 'wonderland' },
  { id: 'mallory', roles: ['staff'], secret: 'malice' },
]
let provider: OpenId
let gate: Site
const cleanups: (() => Promise<void> | void)[] = []
const owner = { after: (work: () => Promise<void> | void) => void cleanups.push(work) }
let ahead = 0

before(async () => {
  const browser = {
    id: 'bawn',
    secret: 'between us',
    redirectUri: `${base}/login/callback`,
    loggedOutUri: `${base}/logout/done`,
  }
  provider = await startOpenId({ audience: 'shop', people, browser })
  gate = await startSite(owner, { issuer: provider.issuer, jwks: provider.jwksUrl, clock: () => Date.now() + ahead })
})
after(async () => {
  for (const work of cleanups) await work()
  await provider.close()
})

/** Nobody has become anybody by it. */
async function nobody(client: Client, url: string, code: string, what: string, headers = navigation): Promise<void> {
  const answer = await client.get(url, headers)
  assert.match(answer.body, new RegExp(code.replace('.', '\\.')), `${what}: ${answer.body}`)
  assert([400, 403].includes(answer.status), `${what}: ${answer.status}`)
  assert.equal(answer.headers.location, undefined, what)
  assert(!client.cookies().some(({ name }) => name === '__Host-bawn'), what)
}

const withParameter = (url: string, name: string, value: string | undefined): string => {
  const changed = new URL(url)
  if (value === undefined) changed.searchParams.delete(name)
  else changed.searchParams.set(name, value)
  return changed.href
}

const expired = 'authn.login_expired'
const failed = 'authn.login_failed'
const attacks: readonly (readonly [
  what: string,
  code: string,
  attack: (alice: {
    readonly client: Client
    readonly callback: string
  }) => readonly [Client, string] | Promise<readonly [Client, string]>,
])[] = [
  [
    'login CSRF: the callback of an attacker, in the browser of somebody else',
    expired,
    ({ callback }) => [new Client(gate), callback],
  ],
  ['no state', expired, ({ client, callback }) => [client, withParameter(callback, 'state', undefined)]],
  ['a state that is none', expired, ({ client, callback }) => [client, withParameter(callback, 'state', '<b>x</b>')]],
  [
    'a state that was guessed',
    expired,
    ({ client, callback }) => [client, withParameter(callback, 'state', 'A'.repeat(43))],
  ],
  ['two states', expired, ({ client, callback }) => [client, `${callback}&state=${'A'.repeat(43)}`]],
  [
    'the state twice',
    expired,
    ({ client, callback }) => [client, `${callback}&state=${new URL(callback).searchParams.get('state')}`],
  ],
  ['no code', failed, ({ client, callback }) => [client, withParameter(callback, 'code', undefined)]],
  ['two codes', failed, ({ client, callback }) => [client, `${callback}&code=other`]],
  ['a code that was guessed', failed, ({ client, callback }) => [client, withParameter(callback, 'code', 'guessed')]],
  [
    'no iss, of a provider that sends it (RFC 9207)',
    failed,
    ({ client, callback }) => [client, withParameter(callback, 'iss', undefined)],
  ],
  [
    'mix-up: the iss of another provider',
    failed,
    ({ client, callback }) => [client, withParameter(callback, 'iss', 'https://evil.example')],
  ],
  [
    'an answer of the implicit flow',
    failed,
    ({ client, callback }) => [client, `${callback}&id_token=eyJhbGciOiJub25lIn0.e30.`],
  ],
  ['an answer as a JWT', failed, ({ client, callback }) => [client, `${callback}&response=eyJhbGciOiJub25lIn0.e30.`]],
  [
    'an error with HTML in it',
    failed,
    ({ client, callback }) => [
      client,
      `${withParameter(callback, 'code', undefined)}&error=${encodeURIComponent('<script>alert(1)</script>')}&error_description=${encodeURIComponent('<img src=x onerror=alert(1)>')}`,
    ],
  ],
  [
    'a code of mallory, injected into the login of alice (PKCE)',
    failed,
    async ({ client, callback }) => {
      const stolen = await upToCallback(new Client(gate), `${base}/orders`, 'mallory', 'malice')
      return [client, withParameter(callback, 'code', new URL(stolen).searchParams.get('code') ?? '')]
    },
  ],
  [
    'the cookie of one login with the state of another',
    expired,
    async ({ client, callback }) => {
      const other = await client.get(`${base}/login`)
      const state = new URL(other.headers.location ?? '').searchParams.get('state') ?? ''
      const [first, second] = client.cookies()
      client.setCookie(`${second?.name}=${first?.value}`)
      return [client, withParameter(callback, 'state', state)]
    },
  ],
  [
    'a cookie with one bit changed',
    expired,
    ({ client, callback }) => {
      const { name, value } = client.cookie('__Host-bawn-login-') ?? { name: '', value: '' }
      const bytes = Buffer.from(value, 'base64url')
      bytes[40] = (bytes[40] ?? 0) ^ 1
      client.setCookie(`${name}=${bytes.toString('base64url')}`)
      return [client, callback]
    },
  ],
  [
    'a cookie of another kind: the session',
    expired,
    ({ client, callback }) => {
      client.setCookie(`${client.cookie('__Host-bawn-login-')?.name}=bawn_token_${'A'.repeat(43)}`)
      return [client, callback]
    },
  ],
  [
    'a cookie that is longer than any',
    expired,
    ({ client, callback }) => {
      client.setCookie(`${client.cookie('__Host-bawn-login-')?.name}=${'A'.repeat(9000)}`)
      return [client, callback]
    },
  ],
]
for (const [what, code, attack] of attacks) {
  test(`nobody logs in by: ${what}`, async () => {
    const client = new Client(gate)
    const callback = await upToCallback(client, `${base}/orders`, 'alice', 'wonderland')
    const [who, url] = await attack({ client, callback })
    await nobody(who, url, code, what)
  })
}

test('the same cookie twice is no cookie, and an answer is good once', async () => {
  const client = new Client(gate)
  const callback = await upToCallback(client, `${base}/orders`, 'alice', 'wonderland')
  const { name, value } = client.cookie('__Host-bawn-login-') ?? { name: '', value: '' }
  await nobody(new Client(gate), callback, expired, 'twice', {
    ...navigation,
    cookie: `${name}=${value}; ${name}=${value}`,
  })
  assert.equal((await client.get(callback)).status, 302)
  const again = await client.get(callback)
  assert.deepEqual([again.status, /authn\.login_expired/.test(again.body)], [400, true], 'its cookie is gone')
  // Whoever kept the cookie finds that the provider takes a code once.
  const replay = await new Client(gate).get(callback, { ...navigation, cookie: `${name}=${value}` })
  assert.deepEqual([replay.status, /authn\.login_failed/.test(replay.body)], [403, true])
})

test('whatever a callback or its cookie is made of, nobody is logged in, and nothing breaks', async () => {
  const client = new Client(gate)
  const callback = await upToCallback(client, `${base}/orders`, 'alice', 'wonderland')
  const { name = '', value = '' } = client.cookie('__Host-bawn-login-') ?? {}
  const { search } = new URL(callback)
  const noise = (): string => encodeURIComponent(randomBytes(randomInt(0, 40)).toString('latin1'))
  const before = gate.logged.length
  for (let round = 0; round < 200; round++) {
    const cut = search.slice(0, randomInt(0, search.indexOf('&state=') + 50))
    const query = round % 2 === 0 ? cut : `?code=${noise()}&state=${noise()}&${noise()}=${noise()}`
    const cookie = round % 3 === 0 ? `${name}=${value.slice(0, randomInt(0, value.length))}` : `${name}=${value}`
    const answer = await new Client(gate).get(`${base}/login/callback${query}`, { ...navigation, cookie })
    assert.equal(answer.status, 400, query)
  }
  assert.deepEqual(gate.logged.slice(before), [])
})

test('a login that took too long is over', async () => {
  const client = new Client(gate)
  const callback = await upToCallback(client, `${base}/orders`, 'alice', 'wonderland')
  try {
    ahead = 15 * 60_000
    await nobody(client, callback, expired, 'late')
  } finally {
    ahead = 0
  }
})

test('a gateway whose secret is wrong logs nobody in, and the log says why', async t => {
  const secrets = { 'client.secret': 'something else' }
  const wrong = await startSite(t, { issuer: provider.issuer, jwks: provider.jwksUrl, secrets })
  const client = new Client(wrong)
  await nobody(client, await upToCallback(client, `${base}/orders`, 'alice', 'wonderland'), failed, 'a wrong secret')
  assert.match(wrong.logged.join(), /"detail":"the token endpoint: /)
  assert.doesNotMatch(wrong.logged.join(), /something else/)
})

test('nothing of what a callback says is in the page, the log or the trail', async () => {
  const client = new Client(gate)
  const callback = await upToCallback(client, `${base}/orders`, 'alice', 'wonderland')
  const evil = '<script>alert(1)</script>'
  const url = `${withParameter(callback, 'code', undefined)}&error=access_denied&error_description=${encodeURIComponent(evil)}&error_uri=${encodeURIComponent('javascript:alert(1)')}`
  const answer = await client.get(url)
  assert.deepEqual([answer.status, /authn\.login_refused/.test(answer.body)], [403, true])
  const policy = String(answer.headers['content-security-policy'])
  assert.match(policy, /^default-src 'none'; base-uri 'none'; frame-ancestors 'none'$/)
  assert.match(answer.headers['content-type'] ?? '', /^text\/html; charset=utf-8$/)
  for (const text of [answer.body, gate.logged.join(), JSON.stringify(gate.trail())]) {
    assert.doesNotMatch(text, /alert/)
    assert(!text.includes(new URL(callback).searchParams.get('code') ?? 'x'))
  }
  assert.doesNotMatch(answer.body, /<script|onerror|javascript:/)
  const problem = await new Client(gate).get(`${base}/login/callback?state=x`, { accept: 'application/json' })
  assert.equal(JSON.parse(problem.body).code, expired)
})

test('an open redirect is not to be had', async () => {
  const bad = [
    '//evil.example',
    '/\\evil.example',
    '\\/evil.example',
    '/\t/evil.example',
    'https:evil.example',
    'https://evil.example/',
    'https://gate.example@evil.example/',
    'evil.example',
    'javascript:alert(1)',
    '/orders\r\nSet-Cookie: a=b',
    '/orders\nx',
    '/ä',
    '',
    ' /orders',
    `/${'a'.repeat(768)}`,
  ]
  const client = new Client(gate)
  for (const text of bad) {
    const answer = await client.get(`${base}/login?return_to=${encodeURIComponent(text)}`)
    assert.deepEqual([answer.status, /authn\.bad_return_to/.test(answer.body)], [400, true], text)
    assert.equal(answer.headers['set-cookie'], undefined, text)
  }
  const twice = await client.get(`${base}/login?return_to=/orders&return_to=//evil.example`)
  assert.equal(twice.status, 400)
  for (const [path, landing] of [
    ['/%2F%2Fevil.example', `${base}/%2F%2Fevil.example`],
    ['/.//evil.example', `${base}//evil.example`],
    ['/orders?next=//evil.example#x', `${base}/orders?next=//evil.example#x`],
  ] as const) {
    const browser = new Client(gate)
    const callback = await upToCallback(
      browser,
      `${base}/login?return_to=${encodeURIComponent(path)}`,
      'alice',
      'wonderland',
    )
    const { location } = (await browser.get(callback)).headers
    assert.equal(location, landing)
    assert.equal(new URL(String(location), 'https://evil.example').origin, base)
  }
})

test('guessing costs the guesser, and begins nothing endless', async t => {
  const calm = await startSite(t, { issuer: provider.issuer, jwks: provider.jwksUrl })
  const client = new Client(calm)
  // Without TLS, so that it is much faster than what is given back meanwhile: 50 at once, and one more each second.
  const visit = (path: string, cookie = ''): Promise<Response> =>
    fetch(`http://127.0.0.1:${calm.plainPort}${path}`, { redirect: 'manual', headers: { cookie } })
  const guess = async (): Promise<Response> => {
    const { headers } = await visit('/login')
    const state = new URL(headers.get('location') ?? '').searchParams.get('state')
    const query = `code=guessed&state=${state}&iss=${encodeURIComponent(provider.issuer)}`
    return visit(`/login/callback?${query}`, headers.get('set-cookie')?.split(';', 1)[0])
  }
  const guesses = await Promise.all(Array.from({ length: 90 }, guess))
  const refused = guesses.filter(({ status }) => status === 429)
  assert(refused.length > 0, 'nobody guesses codes for ever')
  for (const { headers } of refused) assert.match(headers.get('retry-after') ?? '', /^[1-9][0-9]*$/)
  const begin = async (): Promise<number> => (await visit('/login')).status
  const statuses = new Set<number>()
  for (let round = 0; round < 100 && !statuses.has(429); round++) {
    for (const status of await Promise.all(Array.from({ length: 50 }, begin))) statuses.add(status)
  }
  assert.deepEqual([...statuses].sort(), [302, 429])
  // Who guesses states asks nobody, and is not slowed down for it.
  assert.equal((await client.get(`${base}/login/callback?code=a&state=${'A'.repeat(43)}`)).status, 400)
})

/** A provider whose token endpoint says what the test wants. */
async function startHostile() {
  const good = await generateKeyPair('ES256', { extractable: true })
  const other = await generateKeyPair('ES256', { extractable: true })
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  assert(address !== null && typeof address === 'object')
  const issuer = `http://127.0.0.1:${address.port}`
  const behaviour = {
    idToken: async (nonce: string): Promise<string | undefined> => nonce,
    status: 200,
    metadata: {} as Record<string, unknown>,
    userinfo: '{}',
    nonce: '',
    down: false,
    posts: 0,
  }
  const jwk = { ...(await exportJWK(good.publicKey)), kid: 'k', alg: 'ES256', use: 'sig' }
  server.on('request', async (request, response): Promise<unknown> => {
    if (behaviour.down) return request.socket.destroy()
    response.setHeader('content-type', 'application/json')
    const path = request.url?.split('?', 1)[0]
    if (path === '/.well-known/openid-configuration') {
      return response.end(
        JSON.stringify({
          issuer,
          authorization_endpoint: `${issuer}/auth`,
          token_endpoint: `${issuer}/token`,
          userinfo_endpoint: `${issuer}/userinfo`,
          id_token_signing_alg_values_supported: ['ES256', 'none', 'HS256'],
          ...behaviour.metadata,
        }),
      )
    }
    if (path === '/jwks') return response.end(JSON.stringify({ keys: [jwk] }))
    if (path === '/userinfo') return response.end(behaviour.userinfo)
    behaviour.posts++
    response.statusCode = behaviour.status
    if (behaviour.status === 302) response.setHeader('location', `${issuer}/elsewhere`)
    const idToken = await behaviour.idToken(behaviour.nonce)
    return response.end(JSON.stringify({ access_token: 'a', token_type: 'Bearer', expires_in: 60, id_token: idToken }))
  })
  const close = async (): Promise<void> => {
    server.closeAllConnections()
    server.close()
  }
  return { issuer, jwks: `${issuer}/jwks`, behaviour, good: good.privateKey, other: other.privateKey, close }
}

const claims = (issuer: string, nonce: string, more: Record<string, unknown> = {}) => {
  const now = Math.floor(Date.now() / 1000)
  return { iss: issuer, aud: 'bawn', sub: 'alice', roles: ['staff'], iat: now, exp: now + 60, nonce, ...more }
}
const signed = (payload: Record<string, unknown>, key: CryptoKey, header: Record<string, unknown> = {}) =>
  new SignJWT(payload).setProtectedHeader({ alg: 'ES256', kid: 'k', ...header }).sign(key)

test('an ID token counts only if it is the provider’s, for us, for this login, and of now', async t => {
  const hostile = await startHostile()
  t.after(hostile.close)
  const { issuer, behaviour, good, other } = hostile
  const trusting = await startSite(t, { issuer, jwks: hostile.jwks })
  const begin = async (): Promise<readonly [Client, string]> => {
    const client = new Client(trusting)
    const { location } = (await client.get(`${base}/orders`)).headers
    const { state, nonce } = Object.fromEntries(new URL(location ?? '').searchParams)
    behaviour.nonce = nonce ?? ''
    return [client, `${base}/login/callback?code=c&state=${state}`]
  }
  const now = Math.floor(Date.now() / 1000)
  const rows: readonly (readonly [
    what: string,
    make: (nonce: string) => Promise<string | undefined>,
    isGood?: boolean,
  ])[] = [
    ['as it has to be', nonce => signed(claims(issuer, nonce), good), true],
    [
      'with two audiences and azp',
      nonce => signed(claims(issuer, nonce, { aud: ['bawn', 'b'], azp: 'bawn' }), good),
      true,
    ],
    ['none at all', async () => undefined],
    ['no JWT', async () => 'x'],
    ['signed by nobody: alg none', async nonce => new UnsecuredJWT(claims(issuer, nonce)).encode()],
    ['signed with another key', nonce => signed(claims(issuer, nonce), other)],
    [
      'signed with the client’s secret',
      nonce => new SignJWT(claims(issuer, nonce)).setProtectedHeader({ alg: 'HS256' }).sign(Buffer.from('between us')),
    ],
    ['another nonce', () => signed(claims(issuer, 'another'), good)],
    ['no nonce', () => signed(claims(issuer, '', { nonce: undefined }), good)],
    ['another issuer (mix-up)', nonce => signed(claims('https://evil.example', nonce), good)],
    ['for another client', nonce => signed(claims(issuer, nonce, { aud: 'other' }), good)],
    ['for the API', nonce => signed(claims(issuer, nonce, { aud: 'shop' }), good)],
    ['for two, of no one', nonce => signed(claims(issuer, nonce, { aud: ['bawn', 'b'] }), good)],
    ['for us, given to another', nonce => signed(claims(issuer, nonce, { azp: 'other' }), good)],
    ['expired', nonce => signed(claims(issuer, nonce, { iat: now - 120, exp: now - 60 }), good)],
    ['without an end', nonce => signed(claims(issuer, nonce, { exp: undefined }), good)],
    ['of the future', nonce => signed(claims(issuer, nonce, { nbf: now + 600 }), good)],
    ['an access token', nonce => signed(claims(issuer, nonce), good, { typ: 'at+jwt' })],
    ['a logout token', nonce => signed(claims(issuer, nonce), good, { typ: 'logout+jwt' })],
    ['of somebody without a name', nonce => signed(claims(issuer, nonce, { sub: '' }), good)],
    ['of somebody with a line end in the name', nonce => signed(claims(issuer, nonce, { sub: 'a\nb' }), good)],
  ]
  for (const [what, make, isGood = false] of rows) {
    behaviour.idToken = make
    const [client, callback] = await begin()
    if (!isGood) {
      await nobody(client, callback, failed, what)
      continue
    }
    const answer = await client.get(callback)
    assert.equal(answer.headers.location, `${base}/orders`, `${what}: ${answer.body}`)
    assert.equal((await client.get(`${base}/orders`)).status, 200, what)
  }
  behaviour.idToken = nonce => signed(claims(issuer, nonce), good)
  for (const status of [302, 400, 401]) {
    behaviour.status = status
    const [client, callback] = await begin()
    const answer = await client.get(callback)
    assert([403, 503].includes(answer.status), `${status}: ${answer.status}`)
    assert.equal(answer.headers.location, undefined)
  }
  assert.doesNotMatch(trusting.logged.join(), /between us|eyJ/)
})

test('what userinfo says is about the same person, and changes nothing of what the ID token proves', async t => {
  const hostile = await startHostile()
  t.after(hostile.close)
  const { issuer, behaviour, good } = hostile
  const trusting = await startSite(t, { issuer, jwks: hostile.jwks, oidc: ', userinfo: true' })
  behaviour.idToken = nonce => signed(claims(issuer, nonce, { roles: undefined }), good)
  const rows: readonly (readonly [what: string, answer: string, status: number])[] = [
    ['roles', '{"sub":"alice","roles":["staff"]}', 302],
    ['of somebody else', '{"sub":"bob","roles":["staff"]}', 403],
    ['of nobody', '{"roles":["staff"]}', 403],
    ['sub twice', '{"sub":"bob","sub":"alice","roles":["staff"]}', 403],
    ['no JSON', '<html>', 403],
    ['a list', '[]', 403],
  ]
  for (const [what, userinfo, status] of rows) {
    behaviour.userinfo = userinfo
    const client = new Client(trusting)
    const { location } = (await client.get(`${base}/orders`)).headers
    const { state, nonce } = Object.fromEntries(new URL(location ?? '').searchParams)
    behaviour.nonce = nonce ?? ''
    assert.equal((await client.get(`${base}/login/callback?code=c&state=${state}`)).status, status, what)
    if (status === 302) assert.equal((await client.get(`${base}/orders`)).status, 200)
  }
})

/** A plug-in that looks at claims, and one that gives what it was given. */
const exactPlugin = `
const account = 9007199254740993n
const options = { '~standard': { version: 1, vendor: 'exact', validate: value => ({ value }) } }
const check = {
  kind: 'exact', options,
  create: () => ({
    check: (claims, identity) =>
      claims.account === account && claims.list[0] === account && identity.claims.account === account
        ? 'accept' : { reject: 'another number' },
  }),
}
const passes = {
  kind: 'passes', doors: ['http'], options, carries: () => ({ headers: ['x-pass'] }),
  create: (_options, { issuers }) => ({
    http: {
      async authenticate(credentials) {
        const [token] = credentials.header('x-pass')
        if (token === undefined) return { kind: 'absent' }
        const judged = await issuers.authenticate(token)
        if (judged.kind !== 'identified') return judged
        const { id, roles, claims } = judged.identity
        return { kind: 'identified', identity: { id, roles, claims: { ...claims } } }
      },
    },
  }),
}
export default { name: 'exact', api: 1, mechanisms: [passes], tokenChecks: [check] }
`

test('integers beyond 2^53 stay what they are: of userinfo, for plug-ins and from them', async t => {
  const hostile = await startHostile()
  t.after(hostile.close)
  const { issuer, behaviour, good } = hostile
  const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown }
  const exactly = (payload: object): Promise<string> =>
    new CompactSign(Buffer.from(JSON.stringify(payload))).setProtectedHeader({ alg: 'ES256', kid: 'k' }).sign(good)
  const trusting = await startSite(t, {
    ...{ issuer, jwks: hostile.jwks, oidc: ', userinfo: true', secrets: { 'exact.js': exactPlugin } },
    tokens: '{ kind: memory, cookie: {}, renew: true, headers: false, claims: [account, list] }',
    ...{ mechanisms: 'passes: {}', use: 'oidc, token, passes, jwt', issuerOptions: ', checks: [{ check: exact }]' },
    more: `plugins: { exact: { module: ./exact.js } }
acl: [{ name: exact, effect: deny, path: /orders, when: "!(identity.claims.account == 9007199254740993 && 9007199254740993 in identity.claims.list)" }]`,
  })
  for (const [text, status] of [
    ['9007199254740993', 200],
    ['9007199254740992', 403],
  ] as const) {
    // The ID token says another number under the same name, and its check is of a token alone.
    const own = { account: rawJSON('9007199254740993'), list: [rawJSON('9007199254740993')] }
    behaviour.idToken = nonce => exactly(claims(issuer, nonce, own))
    behaviour.userinfo = `{"sub":"alice","account":${text},"list":[${text}]}`
    const client = new Client(trusting)
    const { location } = (await client.get(`${base}/orders`)).headers
    const { state, nonce } = Object.fromEntries(new URL(location ?? '').searchParams)
    behaviour.nonce = nonce ?? ''
    assert.equal(
      (await client.get(`${base}/login/callback?code=c&state=${state}`)).status,
      302,
      trusting.logged.join('\n'),
    )
    assert.equal((await client.get(`${base}/orders`)).status, status, text)
    const numbers = { aud: 'shop', account: rawJSON(text), list: [rawJSON(text)] }
    const token = await exactly(claims(issuer, '', numbers))
    const asked = new Client(trusting)
    const wanted = status === 200 ? 200 : 401
    assert.equal((await asked.get(`${base}/orders`, { authorization: `Bearer ${token}` })).status, wanted)
    assert.equal((await asked.get(`${base}/orders`, { 'x-pass': token })).status, wanted)
  }
})

test('a provider that is away, or is not the one, lets nobody through: 503, and the login goes on when it is back', async t => {
  const hostile = await startHostile()
  t.after(hostile.close)
  const { issuer, behaviour, good } = hostile
  behaviour.down = true
  let later = 0
  const trusting = await startSite(t, { issuer, jwks: hostile.jwks, clock: () => Date.now() + later })
  const client = new Client(trusting)
  const away = await client.get(`${base}/orders`)
  assert.deepEqual([away.status, away.headers['retry-after']], [503, '5'])
  assert.match(away.body, /authn\.issuer_unreachable/)
  const program = await client.get(`${base}/orders`, { accept: 'application/json' })
  assert.equal(program.status, 401, 'a program is told what it needs')
  behaviour.down = false
  for (const metadata of [
    { issuer: 'https://evil.example' },
    { issuer: `${issuer}/` },
    { authorization_endpoint: 'javascript:alert(1)' },
    { token_endpoint: undefined },
    { authorization_endpoint: `${issuer}/auth#x` },
  ]) {
    behaviour.metadata = metadata
    later += 3_000
    assert.equal((await client.get(`${base}/orders`)).status, 503, JSON.stringify(metadata))
  }
  behaviour.metadata = {}
  assert.equal((await client.get(`${base}/orders`)).status, 503, 'not asked again at once')
  later += 3_000
  const { location } = (await client.get(`${base}/orders`)).headers
  const { state, nonce } = Object.fromEntries(new URL(location ?? '').searchParams)
  behaviour.nonce = nonce ?? ''
  behaviour.idToken = async value =>
    signed({ ...claims(issuer, value), exp: Math.floor((Date.now() + later) / 1000) + 60 }, good)
  const callback = `${base}/login/callback?code=c&state=${state}`
  behaviour.status = 500
  assert.equal((await client.get(callback)).status, 503)
  assert.notEqual(client.cookie('__Host-bawn-login-'), undefined, 'the login is not over')
  behaviour.status = 200
  assert.equal((await client.get(callback)).status, 302)
  assert.equal((await client.get(`${base}/orders`)).status, 200)
  behaviour.down = true
  const own = { ...navigation, 'sec-fetch-site': 'same-origin' }
  later += 7_200_000
  const renewed = await client.send('POST', `${base}/logout`, own, '')
  assert.deepEqual(
    [renewed.status, renewed.headers.location],
    [303, `${base}/logout/done`],
    'logging out works all the same',
  )
})

test('a logout token counts only if it is one, the provider’s, for us, and of now', async t => {
  const hostile = await startHostile()
  t.after(hostile.close)
  const { issuer, good, other } = hostile
  const trusting = await startSite(t, { issuer, jwks: hostile.jwks, oidc: ', backchannel_logout: true' })
  const client = new Client(trusting)
  const now = Math.floor(Date.now() / 1000)
  const events = { 'http://schemas.openid.net/event/backchannel-logout': {} }
  const token = (more: Record<string, unknown> = {}, key = good, header = {}): Promise<string> =>
    signed({ iss: issuer, aud: 'bawn', sub: 'alice', iat: now, exp: now + 60, jti: 'j', events, ...more }, key, header)
  const post = (body: string) => client.send('POST', `${base}/logout/backchannel`, {}, body)
  const form = (text: string): string => new URLSearchParams({ logout_token: text }).toString()
  const rows: readonly (readonly [what: string, body: string, status: number])[] = [
    ['as it has to be', form(await token({}, good, { typ: 'logout+jwt' })), 200],
    ['typ JWT', form(await token({}, good, { typ: 'JWT' })), 200],
    ['without exp, as older providers send it', form(await token({ exp: undefined })), 200],
    ['an access token', form(await token({}, good, { typ: 'at+jwt' })), 400],
    ['signed with another key', form(await token({}, other)), 400],
    ['another issuer', form(await token({ iss: 'https://evil.example' })), 400],
    ['for another client', form(await token({ aud: 'other' })), 400],
    ['an ID token', form(await token({ nonce: 'n' })), 400],
    ['another event', form(await token({ events: { other: {} } })), 400],
    ['no event', form(await token({ events: undefined })), 400],
    ['old', form(await token({ iat: now - 600, exp: now + 60 })), 400],
    ['expired', form(await token({ exp: now - 1 })), 400],
    ['of the future', form(await token({ iat: now + 600, exp: now + 660 })), 400],
    ['no jti', form(await token({ jti: undefined })), 400],
    ['a session instead of a person', form(await token({ sub: undefined, sid: 's' })), 400],
    ['alg none', form(new UnsecuredJWT({ iss: issuer, aud: 'bawn', sub: 'alice', events }).encode()), 400],
    ['two', `${form(await token())}&${form(await token())}`, 400],
    ['none', '', 400],
    ['too long', form('x'.repeat(30_000)), 413],
  ]
  for (const [what, body, status] of rows) assert.equal((await post(body)).status, status, what)
  const json = await client.send(
    'POST',
    `${base}/logout/backchannel`,
    { 'content-type': 'application/json' },
    form(await token()),
  )
  assert.equal(json.status, 400)
})
