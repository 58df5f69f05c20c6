import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { type OpenId, type OpenIdOptions, startOpenId } from '@bawn/demo/openid'
import { base, Client, navigation, type Site, type SiteOptions, startSite, upToCallback } from './site.fixture.ts'

// People with a browser, against a certified provider.

const people = [
  { id: 'alice', roles: ['staff'], secret: 'wonderland' },
  { id: 'bob', roles: ['visitor'], secret: 'builder' },
]
const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const browser = {
  id: 'bawn',
  secret: 'between us',
  redirectUri: `${base}/login/callback`,
  loggedOutUri: `${base}/logout/done`,
}

let provider: OpenId
/** Where the provider reaches the gateway's back channel. */
let backchannel: string | undefined
before(async () => {
  provider = await openId({ browser: { ...browser, backchannelUri: `${base}/logout/backchannel` } })
})
after(() => provider.close())

function openId(options: Pick<OpenIdOptions, 'browser'>): Promise<OpenId> {
  const reach: typeof fetch = (input, init) => {
    assert.equal(String(input), `${base}/logout/backchannel`)
    const { method, body, headers } = init ?? {}
    const form = new Headers(headers)
    return fetch(backchannel ?? 'http://127.0.0.1:9', { method, body, headers: form } as RequestInit)
  }
  return startOpenId({ audience: 'shop', people, fetch: reach, ...options })
}

const site = (t: TestContext, more: Partial<SiteOptions> = {}, of: OpenId = provider): Promise<Site> =>
  startSite(t, { issuer: of.issuer, jwks: of.jwksUrl, ...more })

const seen = (body: string): Record<string, unknown> => JSON.parse(/<p id="seen">(.*)<\/p>/.exec(body)?.[1] ?? '{}')

test('a person asks for a page, logs in at the provider, sees the page, logs out, and is logged out', async t => {
  const gate = await site(t)
  const client = new Client(gate)
  const form = await client.follow(`${base}/orders?open=1`)
  assert.match(form.url, new RegExp(`^${provider.issuer}/interaction/`))
  const page = await client.type(form, 'alice', 'wonderland')
  assert.equal(page.status, 200, page.body)
  assert.equal(page.url, `${base}/orders?open=1`)
  const { user, roles, cookie, url } = seen(page.body)
  assert.deepEqual({ user, roles, url }, { user: 'alice', roles: 'staff', url: '/orders?open=1' })
  assert.equal(cookie, undefined, 'no cookie of ours reaches an upstream')
  assert.equal(client.cookie('__Host-bawn-login-'), undefined, 'the login is over')
  const session = client.cookie('__Host-bawn')
  assert.match(
    session?.line ?? '',
    /^__Host-bawn=bawn_token_[\w-]{43}; Path=\/; Max-Age=28800; Secure; HttpOnly; SameSite=Lax$/,
  )
  assert.equal((await client.get(`${base}/board`)).status, 403, 'who is logged in is not sent to log in again')

  const button = await client.get(`${base}/logout`)
  assert.match(button.body, /<form method="post" action="\/logout"><button>Log out<\/button>/)
  assert.equal((await client.get(`${base}/orders`)).status, 200, 'a GET logs nobody out')
  const own = { ...navigation, 'sec-fetch-site': 'same-origin', origin: base }
  const out = await client.send('POST', `${base}/logout`, own, '')
  assert.equal(out.status, 303)
  const end = new URL(out.headers.location ?? '')
  assert.equal(end.origin + end.pathname, `${provider.issuer}/session/end`)
  assert.equal(end.searchParams.get('post_logout_redirect_uri'), `${base}/logout/done`)
  assert.match(end.searchParams.get('id_token_hint') ?? '', /^eyJ/)
  assert.deepEqual(
    client.cookies().map(({ name }) => name),
    [],
    'nothing is left in the browser',
  )
  const question = await client.get(end.href)
  const xsrf = /name="xsrf" value="([^"]+)"/.exec(question.body)?.[1] ?? ''
  const action = /action="([^"]+)"/.exec(question.body)?.[1] ?? ''
  const sure = new URLSearchParams({ xsrf, logout: 'yes' }).toString()
  const sent = await client.send('POST', action, navigation, sure)
  const done = await client.follow(sent.headers.location ?? '')
  assert.equal(done.url, `${base}/logout/done`)
  assert.match(done.body, /You are logged out/)

  client.setCookie(session?.line ?? '')
  const again = await client.get(`${base}/orders`)
  assert.equal(again.status, 302, 'the token in the cookie has ended')
  assert.match((await client.follow(`${base}/orders`)).body, /Log in at the provider/)

  const trail = gate.trail()
  const logins = trail.filter(({ kind }) => kind === 'login')
  assert.deepEqual(
    logins.map(({ action, identity, rule }) => [
      action,
      (identity as { id: string; mechanism: string }).id,
      (identity as { mechanism: string }).mechanism,
      rule,
    ]),
    [
      ['login', 'alice', 'oidc', 'oidc: corp'],
      ['logout', 'alice', 'token', 'oidc: corp'],
    ],
  )
  const requests = trail.filter(({ kind }) => kind === 'request')
  assert.deepEqual(
    requests.slice(0, 3).map(({ resource, decision, code, rule }) => [resource, decision, code, rule]),
    [
      ['/orders', 'deny', 'authn.required', 'host_rules[0]'],
      ['/login/callback', 'permit', undefined, 'oidc: corp'],
      ['/orders', 'permit', undefined, 'staff'],
    ],
  )
  const text = JSON.stringify(trail) + gate.logged.join('\n')
  for (const secret of [session?.line.slice(12, 50), 'between us', end.searchParams.get('id_token_hint')]) {
    assert(secret !== undefined && secret !== null && !text.includes(secret))
  }
})

test('only a person who waits for a page is sent away; everybody else gets 401, with the challenges of the others', async t => {
  const gate = await site(t)
  const html = { accept: 'text/html' }
  const rows: readonly (readonly [
    what: string,
    method: string,
    path: string,
    headers: Record<string, string>,
    status: number,
  ])[] = [
    ['a navigation', 'GET', '/orders', navigation, 302],
    ['HEAD of one', 'HEAD', '/orders', navigation, 302],
    ['a browser that knows no Fetch Metadata', 'GET', '/orders', html, 302],
    ['a program', 'GET', '/orders', {}, 401],
    ['curl', 'GET', '/orders', { accept: '*/*' }, 401],
    ['one that does not want pages', 'GET', '/orders', { accept: 'application/json, text/html;q=0' }, 401],
    ['fetch of a page', 'GET', '/orders', { ...navigation, 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' }, 401],
    ['a frame', 'GET', '/orders', { ...navigation, 'sec-fetch-dest': 'iframe' }, 401],
    ['a browser that looks ahead', 'GET', '/orders', { ...navigation, 'sec-purpose': 'prefetch;prerender' }, 401],
    ['a script of old', 'GET', '/orders', { ...html, 'x-requested-with': 'XMLHttpRequest' }, 401],
    ['one that asks for no challenge', 'GET', '/orders', { ...navigation, 'no-auth-challenge': '1' }, 401],
    ['the same, by the query', 'GET', '/orders?noauthchallenge', navigation, 401],
    ['a form', 'POST', '/orders', navigation, 401],
    ['a bad token', 'GET', '/orders', { ...navigation, authorization: 'Bearer x.y.z' }, 401],
    ['an open route', 'GET', '/open', navigation, 200],
    ['a path that is none', 'GET', '/nowhere', navigation, 404],
  ]
  for (const [what, method, path, headers, status] of rows) {
    const client = new Client(gate)
    const answer = await client.send(method, base + path, headers)
    assert.equal(answer.status, status, what)
    const challenges = [answer.headers['www-authenticate']].flat().join()
    if (status === 302) {
      assert.match(answer.headers.location ?? '', new RegExp(`^${provider.issuer}/auth\\?`), what)
      assert.equal(answer.headers['cache-control'], 'no-store', what)
      assert.equal(client.cookies().length, 1, what)
    } else {
      assert.equal(client.cookies().length, 0, what)
      if (status === 401 && !what.includes('challenge') && !what.includes('the same'))
        assert.match(challenges, /^Bearer/, what)
    }
  }
})

test('what the provider is told: code, PKCE, state, nonce, and the redirect URI of the configuration, whatever Host says', async t => {
  const gate = await site(t)
  const client = new Client(gate)
  const urls = [
    await client.get(`${base}/orders`),
    await client.get(`${base}/orders`, { ...navigation, host: 'evil.example' }),
  ]
  const [one, other] = urls.map(({ headers }) => new URL(headers.location ?? '').searchParams)
  for (const parameters of [one, other]) {
    const { state, nonce, code_challenge: challenge, ...fixed } = Object.fromEntries(parameters ?? [])
    assert.deepEqual(fixed, {
      client_id: 'bawn',
      redirect_uri: `${base}/login/callback`,
      response_type: 'code',
      response_mode: 'query',
      scope: 'openid profile',
      code_challenge_method: 'S256',
    })
    for (const random of [state, nonce, challenge]) assert.match(random ?? '', /^[\w-]{43}$/)
  }
  for (const name of ['state', 'nonce', 'code_challenge']) assert.notEqual(one?.get(name), other?.get(name))
  assert.match(
    client.cookies()[0]?.line ?? '',
    /^__Host-bawn-login-[\w-]{12}=[\w-]+; Path=\/; Max-Age=900; Secure; HttpOnly; SameSite=Lax$/,
  )
})

test('tabs log in beside each other, and no more than five are remembered', async t => {
  const gate = await site(t)
  const client = new Client(gate)
  const first = await client.get(`${base}/orders?tab=1`)
  const second = await client.get(`${base}/orders?tab=2`)
  const callback = async (started: string | undefined): Promise<string> => {
    const visit = await client.follow(started ?? '', location => !location.startsWith(`${base}/login/callback`))
    if (visit.status !== 200) return visit.headers.location ?? ''
    const typed = await client.type(visit, 'alice', 'wonderland', 'yes', location => !location.startsWith(base))
    return typed.headers.location ?? ''
  }
  const two = await callback(second.headers.location)
  const one = await callback(first.headers.location)
  assert.equal((await client.get(one)).headers.location, `${base}/orders?tab=1`)
  assert.equal((await client.get(two)).headers.location, `${base}/orders?tab=2`)
  for (let count = 0; count < 12; count++) await client.get(`${base}/login`)
  assert.equal(client.cookies().filter(({ name }) => name.startsWith('__Host-bawn-login-')).length, 5)
  const theme = client.cookies().map(({ name, value }) => `${name}=${value}`)
  const open = await client.get(`${base}/open`, {
    cookie: ['theme=dark', ...theme, '__Secure-bawn-logout=x'].join('; '),
  })
  assert.equal(seen(open.body)['cookie'], 'theme=dark', 'none of them reaches an upstream')
  const others = Array.from({ length: 40 }, (_, at) => `__Host-bawn-login-${at}=x`).join('; ')
  const crowded = await client.send('GET', `${base}/login`, { ...navigation, cookie: others })
  assert.equal(crowded.headers['set-cookie']?.filter(line => line.includes('Max-Age=0')).length, 36)
})

test('a session is for oidc alone too, and another issuer’s or store’s token in the cookie is not one', async t => {
  const gate = await site(t, {
    use: 'oidc, api-key',
    mechanisms: `api-key: { keys: [{ name: alice, hash: "sha256:${'0'.repeat(64)}", roles: [staff] }] }`,
  })
  const client = new Client(gate)
  await client.get(await upToCallback(client, `${base}/orders`, 'alice', 'wonderland'))
  assert.equal((await client.get(`${base}/orders`)).status, 200)
  const token = client.cookie('__Host-bawn')?.value ?? ''
  const bearer = await new Client(gate).send('GET', `${base}/orders`, { authorization: `Bearer ${token}` })
  assert.equal(bearer.status, 401, 'a session is not a bearer token where the rule has no token')
})

test('policy sees the same of somebody by bearer token and by browser', async t => {
  const gate = await site(t, { issuerOptions: ', id_claim: preferred_username, fixed_roles: [people]' })
  const program = new Client(gate)
  const token = { authorization: `Bearer ${await provider.token('alice')}` }
  const { body } = await program.send('GET', `${base}/orders`, token)
  const client = new Client(gate)
  const page = await client.follow(await upToCallback(client, `${base}/orders`, 'alice', 'wonderland'))
  for (const key of ['user', 'roles']) assert.equal(seen(page.body)[key], seen(body)[key])
  assert.equal(seen(page.body)['roles'], 'people,staff')
})

test('roles of the userinfo endpoint, and a client that signs who it is', async t => {
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'gate', use: 'sig', alg: 'RS256' }
  const { secret: _, ...client } = browser
  const other = await openId({ browser: { ...client, secret: undefined, jwk, claimsIn: 'userinfo' } })
  t.after(() => other.close())
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const oidc = ', client_key: file:client.pem, client_key_id: gate'
  const without = new Client(await site(t, { oidc, secrets: { 'client.pem': pem } }, other))
  const denied = await without.follow(await upToCallback(without, `${base}/orders`, 'alice', 'wonderland'))
  assert.equal(denied.status, 403, 'the ID token alone has no roles')
  const asked = new Client(await site(t, { oidc: `${oidc}, userinfo: true`, secrets: { 'client.pem': pem } }, other))
  const page = await asked.follow(await upToCallback(asked, `${base}/orders`, 'alice', 'wonderland'))
  assert.equal(seen(page.body)['roles'], 'staff', page.body)
})

test('a session ends after its time, however often it is used and renewed', async t => {
  let ahead = 0
  const gate = await site(t, {
    oidc: ', session: 1h',
    tokens: '{ kind: memory, cookie: {}, renew: true, ttl: 20m }',
    issuerOptions: ', leeway: 10m, refresh: 20d, stale: 20d',
    clock: () => Date.now() + ahead,
  })
  const client = new Client(gate)
  await client.get(await upToCallback(client, `${base}/orders`, 'alice', 'wonderland'))
  for (const minutes of [0, 15, 30, 45, 59]) {
    ahead = minutes * 60_000
    assert.equal((await client.get(`${base}/orders`)).status, 200, `after ${minutes} minutes`)
  }
  ahead = 61 * 60_000
  assert.equal((await client.get(`${base}/orders`)).status, 302)
})

test('each login has a session of its own: what the browser brought before is never made good', async t => {
  const gate = await site(t)
  const client = new Client(gate)
  const planted = `bawn_token_${'A'.repeat(43)}`
  client.setCookie(`__Host-bawn=${planted}; Path=/`)
  await client.get(await upToCallback(client, `${base}/orders`, 'alice', 'wonderland'))
  const mine = client.cookie('__Host-bawn')?.value
  assert.notEqual(mine, planted)
  const other = new Client(gate)
  await other.get(await upToCallback(other, `${base}/orders`, 'alice', 'wonderland'))
  assert.notEqual(other.cookie('__Host-bawn')?.value, mine)
})

test('what changes something is refused from a page of another origin, with the session and without', async t => {
  const gate = await site(t)
  const client = new Client(gate)
  await client.get(await upToCallback(client, `${base}/orders`, 'alice', 'wonderland'))
  const rows: readonly (readonly [what: string, headers: Record<string, string>, status: number])[] = [
    ['our own page', { 'sec-fetch-site': 'same-origin', origin: base }, 200],
    ['a page of a neighbouring host', { 'sec-fetch-site': 'same-site', origin: 'https://evil.example' }, 403],
    ['a page of another site', { 'sec-fetch-site': 'cross-site', origin: 'https://evil.test' }, 403],
    ['an older browser, our own page', { origin: base }, 200],
    ['an older browser, another page', { origin: 'https://evil.test' }, 403],
    ['a page that hides where it is', { origin: 'null' }, 403],
    ['a program with the cookie', {}, 200],
    ['two values', { 'sec-fetch-site': 'same-origin, cross-site' }, 403],
  ]
  for (const [what, headers, status] of rows) {
    const answer = await client.send('POST', `${base}/orders`, headers, 'a=b')
    assert.equal(answer.status, status, what)
    if (status === 403) assert.equal(JSON.parse(answer.body).code, 'authn.foreign_page', what)
    const open = await client.send('POST', `${base}/open`, headers, 'a=b')
    assert.deepEqual([open.status, seen(open.body)['user']], [200, status === 403 ? undefined : 'alice'], what)
    const out = await new Client(gate).send(
      'POST',
      `${base}/logout`,
      { ...navigation, 'sec-fetch-site': 'none', ...headers },
      '',
    )
    if (what.startsWith('a page')) assert.equal(out.status, what.includes('hides') ? 303 : 403, what)
  }
  assert.equal((await client.get(`${base}/orders`)).status, 200, 'nobody was logged out')
})

test('whoever does not want to, or may not, is told so', async t => {
  const gate = await site(t)
  const client = new Client(gate)
  const wrong = await client.type(await client.follow(`${base}/orders`), 'alice', 'guess')
  assert.equal(wrong.status, 401)
  const refused = await client.type(wrong, 'alice', 'wonderland', 'no')
  assert.equal(refused.status, 403)
  assert.match(refused.body, /authn\.login_refused/)
  assert.match(refused.body, /<a href="\/login">/)
  assert.equal(client.cookies().length, 0)
  const { code } = gate.trail().at(-1) ?? {}
  assert.equal(code, 'access_denied')
})

test('the provider ends sessions by the back channel', async t => {
  const gate = await site(t, { oidc: ', backchannel_logout: true' })
  backchannel = `http://127.0.0.1:${gate.plainPort}/logout/backchannel`
  const client = new Client(gate)
  await client.get(await upToCallback(client, `${base}/orders`, 'alice', 'wonderland'))
  assert.equal((await client.get(`${base}/orders`)).status, 200)
  // At the provider itself, as if from another application.
  const question = await client.get(`${provider.issuer}/session/end`)
  const xsrf = /name="xsrf" value="([^"]+)"/.exec(question.body)?.[1] ?? ''
  const action = /action="([^"]+)"/.exec(question.body)?.[1] ?? ''
  await client.send('POST', action, navigation, new URLSearchParams({ xsrf, logout: 'yes' }).toString())
  assert.equal((await client.get(`${base}/orders`)).status, 302)
  const line = gate.trail().find(({ resource }) => resource === '/logout/backchannel')
  assert.deepEqual([line?.['decision'], line?.['claimed_name'] ?? line?.['claimedName']], ['permit', 'alice'])
})

test('a login begun at one node ends at another, and logging out there ends it at both', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'bawn-nodes-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const secrets = { 'oidc.key': randomBytes(32).toString('base64') }
  const tokens = `{ kind: sqlite, path: "${join(folder, 'tokens.db')}", cookie: {}, renew: true }`
  const [one, two] = [await site(t, { secrets, tokens }), await site(t, { secrets, tokens })]
  const client = new Client(one)
  const callback = await upToCallback(client, `${base}/orders`, 'alice', 'wonderland')
  client.moveTo(two)
  assert.equal((await client.get(callback)).status, 302)
  for (const node of [two, one]) {
    client.moveTo(node)
    assert.equal((await client.get(`${base}/orders`)).status, 200)
  }
  const kept = client.cookie('__Host-bawn')
  client.moveTo(two)
  await client.send('POST', `${base}/logout`, { ...navigation, 'sec-fetch-site': 'same-origin' }, '')
  client.setCookie(kept?.line ?? '')
  for (const node of [two, one]) {
    client.moveTo(node)
    assert.equal((await client.get(`${base}/orders`)).status, 302)
  }
})

test('a host rule without oidc knows neither the session nor the pages', async t => {
  const gate = await site(t, { use: 'jwt' })
  const client = new Client(gate)
  for (const path of ['/login', '/login/callback?code=a&state=b', '/logout', '/logout/done']) {
    assert.equal((await client.get(base + path)).status, 403, path)
  }
  assert.equal((await client.get(`${base}/orders`)).status, 401)
})

test('the access control list holds for the pages of logging in', async t => {
  const rules = '{ name: pages, effect: deny, path: /login, addresses: [local] }'
  const gate = await site(t, { more: `acl: [${rules}]` })
  const client = new Client(gate)
  assert.equal((await client.get(`${base}/login`)).status, 403)
  assert.equal((await client.get(`${base}/logout`)).status, 200)
})
