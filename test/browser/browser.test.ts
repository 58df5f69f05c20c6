import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import { after, before, test } from 'node:test'
import { type Site, startSite } from '../../packages/bawn/src/http/login/site.fixture.ts'
import { createAuthority } from '../../packages/demo/src/certificates.ts'
import { type OpenId, startOpenId } from '../../packages/demo/src/openid.ts'
import { type Chromium, launchChromium, type Page, type Visit } from './chromium.ts'

// A person at a real browser: Chromium, a certified provider, a gateway behind TLS. npm cannot install Chromium, so it is in this suite:
// npm run test:browser. `BAWN_CLIENTS=write` writes its table of docs/clients.md.

const base = 'https://gate.example'
/** Same site as the gateway, another origin; and another site. */
const neighbour = 'https://forum.gate.example'
const stranger = 'https://evil.test'

let provider: OpenId
let gate: Site
let others: Server
let browser: Chromium
const cleanups: (() => Promise<void> | void)[] = []

before(async () => {
  provider = await startOpenId({
    audience: 'shop',
    people: [{ id: 'alice', roles: ['staff'], secret: 'wonderland' }],
    browser: {
      id: 'bawn',
      secret: 'between us',
      redirectUri: `${base}/login/callback`,
      loggedOutUri: `${base}/logout/done`,
    },
  })
  gate = await startSite(
    { after: work => void cleanups.push(work as () => Promise<void>) },
    {
      issuer: provider.issuer,
      jwks: provider.jwksUrl,
      use: 'oidc, api-key',
      mechanisms: `api-key: { basic: true, keys: [{ name: alice, hash: "sha256:${'0'.repeat(64)}", roles: [staff] }] }`,
    },
  )
  const { certificate, key } = createAuthority('others').issue('others', 'server', ['forum.gate.example', 'evil.test'])
  others = createServer({ cert: certificate, key }, (_request, response) => {
    response.setHeader('content-type', 'text/html')
    response.end(`<!doctype html><title>another page</title>
<form method="post" action="${base}/orders"><button id="post">win</button></form>
<form method="post" action="${base}/logout"><button id="out">win</button></form>
<a href="${base}/orders">orders</a>`)
  })
  others.listen(0, '127.0.0.1')
  await once(others, 'listening')
  const address = others.address()
  assert(address !== null && typeof address === 'object')
  browser = await launchChromium({
    'gate.example:443': `127.0.0.1:${gate.port}`,
    'forum.gate.example:443': `127.0.0.1:${address.port}`,
    'evil.test:443': `127.0.0.1:${address.port}`,
  })
})
after(async () => {
  await browser?.close()
  others?.close()
  others?.closeAllConnections()
  for (const work of cleanups) await work()
  await provider?.close()
})

/** A browser that has never been here; what went wrong in its pages is in `problems`. */
async function visitor(): Promise<{ context: Visit; page: Page; problems: string[] }> {
  const context = await browser.newContext({ ignoreHTTPSErrors: true })
  context.setDefaultTimeout(60_000)
  const page = await context.newPage()
  const problems: string[] = []
  page.on('pageerror', error => problems.push(error.message))
  page.on('console', message => {
    if (/Content Security Policy|cookie/i.test(message.text())) problems.push(message.text())
  })
  return { context, page, problems }
}

async function logIn(page: Page): Promise<void> {
  await page.waitForURL(`${provider.issuer}/interaction/*`)
  await page.fill('input[name=user]', 'alice')
  await page.fill('input[name=secret]', 'wonderland')
  await page.click('button[value=yes]')
}

const seen = async (page: Page): Promise<Record<string, unknown>> => JSON.parse(await page.innerText('#seen'))

test('a person opens a page, is sent to log in, comes back, sees it, logs out, and is logged out', async () => {
  const { context, page, problems } = await visitor()
  await page.goto(`${base}/orders?open=1`)
  await logIn(page)
  await page.waitForURL(`${base}/orders?open=1`)
  assert.deepEqual(await seen(page), { user: 'alice', roles: 'staff', url: '/orders?open=1', method: 'GET' })
  assert.equal(await page.evaluate(`performance.getEntriesByType('navigation')[0].nextHopProtocol`), 'h2')
  const kept = await context.cookies(base)
  const attributes = kept.map(({ name, httpOnly, secure, sameSite, domain, path }) =>
    [name, httpOnly, secure, sameSite, domain, path].join(' '),
  )
  assert.deepEqual(attributes, ['__Host-bawn true true Lax gate.example /'])
  assert.equal(await page.evaluate('document.cookie'), '', 'no script sees it')
  await page.reload()
  assert.equal((await seen(page))['user'], 'alice')

  await page.goto(`${base}/logout`)
  await page.click('text=Log out >> nth=-1')
  await page.waitForURL(`${provider.issuer}/session/end*`)
  await page.click('button[value=yes]')
  await page.waitForURL(`${base}/logout/done`)
  assert.match(await page.innerText('body'), /You are logged out/)
  assert.deepEqual(await context.cookies(base), [])
  await page.goto(`${base}/orders`)
  await page.waitForURL(`${provider.issuer}/interaction/*`)
  assert.deepEqual(problems, [])
  await context.close()
})

test('five tabs at once, one login, each comes back to its own page', async () => {
  const { context, page } = await visitor()
  const pages = [page, ...(await Promise.all(Array.from({ length: 4 }, () => context.newPage())))]
  await Promise.all(pages.map((tab, at) => tab.goto(`${base}/orders?tab=${at}`)))
  for (const [at, tab] of pages.entries()) {
    // The first one logs in; for the others the provider asks again, for each of them began before.
    await logIn(tab)
    await tab.waitForURL(`${base}/orders?tab=${at}`)
    assert.equal((await seen(tab))['url'], `/orders?tab=${at}`)
  }
  await context.close()
})

test('a link on another site leads to the page, with the session; what changes something does not work from there', async () => {
  const { context, page } = await visitor()
  await page.goto(`${base}/orders`)
  await logIn(page)
  await page.waitForURL(`${base}/orders`)
  await page.goto(stranger)
  await page.click('text=orders')
  await page.waitForURL(`${base}/orders`)
  assert.equal((await seen(page))['user'], 'alice')

  const before = gate.trail().length
  for (const [from, status, code] of [
    // The browser keeps the cookie to itself: SameSite.
    [stranger, 401, 'authn.required'],
    // It sends it here, and says whose page it was.
    [neighbour, 403, 'authn.foreign_page'],
  ] as const) {
    // Each in a tab of its own: a browser shows an answer that asks for Basic as an error of its own making.
    const post = await context.newPage()
    await post.goto(from)
    const [answer] = await Promise.all([post.waitForResponse(`${base}/orders`), post.click('#post')])
    assert.equal(answer.status(), status, from)
    assert.equal(gate.trail().at(-1)?.['code'], code, from)
    const out = await context.newPage()
    await out.goto(from)
    const [logout] = await Promise.all([out.waitForResponse(`${base}/logout`), out.click('#out')])
    assert.equal(logout.status(), 403, from)
    const read = await context.newPage()
    await read.goto(from)
    const script = `fetch('${base}/orders', { credentials: 'include' }).then(answer => answer.status, () => 'unreadable')`
    assert.equal(await read.evaluate(script), 'unreadable', from)
  }
  const posts = gate
    .trail()
    .slice(before)
    .filter(({ action }) => action === 'POST')
  assert.deepEqual([...new Set(posts.map(({ decision }) => decision))], ['deny'])
  await page.goto(`${base}/orders`)
  assert.equal((await seen(page))['user'], 'alice', 'and nobody was logged out')
  const own = await page.evaluate("fetch('/orders', { method: 'POST' }).then(answer => answer.status)")
  assert.equal(own, 200, 'a page of our own may')
  await context.close()
})

/** What a page asks for without a session, and what comes of it. */
const requests = [
  { shown: 'asks for something', url: '/orders', headers: {}, questions: ['basic /orders'] },
  {
    shown: 'the same, with the header `No-Auth-Challenge`',
    url: '/orders',
    headers: { 'No-Auth-Challenge': 'true' },
    questions: [],
  },
  {
    shown: 'the same, with the query parameter `noauthchallenge`',
    url: '/orders?noauthchallenge',
    headers: {},
    questions: [],
  },
] as const

/** What a page gets that opens a WebSocket and says something: the answer, or how it ended. */
const talk = `new Promise(resolve => {
  const socket = new WebSocket('${base.replace('https', 'wss')}/chat')
  socket.onopen = () => socket.send('hello')
  socket.onmessage = event => resolve(event.data)
  socket.onclose = event => resolve('closed ' + event.code)
})`

test('a page opens a WebSocket with its session; a page of another origin does not, though the browser sends the cookie', async () => {
  const { context, page } = await visitor()
  await page.goto(`${base}/orders`)
  await logIn(page)
  await page.waitForURL(`${base}/orders`)
  assert.equal(await page.evaluate(talk), 'alice said hello')
  const before = gate.trail().length
  for (const [from, code] of [
    [neighbour, 'authn.foreign_page'],
    [stranger, 'authn.required'],
  ] as const) {
    await page.goto(from)
    assert.equal(await page.evaluate(talk), 'closed 1006', from)
    const line = gate.trail().findLast(({ resource }) => resource === '/chat')
    assert.equal(line?.['code'], code, from)
  }
  assert.ok(gate.trail().length > before)
  await context.close()
})

test('a script’s request pops up a question where the answer asks for Basic, and none where it says no-auth-challenge', async () => {
  const { context, page } = await visitor()
  const devtools = await context.newCDPSession(page)
  const questions: string[] = []
  await devtools.send('Fetch.enable', { handleAuthRequests: true })
  devtools.on('Fetch.requestPaused', ({ requestId }) => void devtools.send('Fetch.continueRequest', { requestId }))
  // What a person would see as a popup.
  devtools.on('Fetch.authRequired', ({ requestId, request, authChallenge }) => {
    questions.push(`${authChallenge.scheme} ${new URL(request.url).pathname}`)
    void devtools.send('Fetch.continueWithAuth', { requestId, authChallengeResponse: { response: 'CancelAuth' } })
  })
  await page.goto(`${base}/open`)
  for (const { shown, url, headers, questions: wanted } of requests) {
    const script = `fetch('${url}', { headers: ${JSON.stringify(headers)} }).then(answer => answer.status)`
    assert.equal(await page.evaluate(script), 401, shown)
    assert.deepEqual(questions.splice(0), wanted, shown)
  }
  // A person is sent to log in instead.
  await page.goto(`${base}/orders`)
  await page.waitForURL(`${provider.issuer}/interaction/*`)
  assert.deepEqual(questions, [])
  await context.close()
})

test('docs/clients.md has what was tried here', () => {
  const lines = requests.map(
    ({ shown, questions }) => `| a script of a page: ${shown} | 401 | ${questions.length > 0 ? 'yes' : 'no'} |`,
  )
  const person = '| a person opens a page, where `oidc` may be used | to the login of the provider | no |'
  const table = ['| request | answer | popup |', '|---|---|---|', ...lines, person].join('\n')
  const guide = new URL('../../docs/clients.md', import.meta.url)
  const text = readFileSync(guide, 'utf8')
  const whole = text.replace(/(<!-- browser -->\n)[\s\S]*?(\n<!-- end of browser -->)/, `$1${table}$2`)
  if (process.env['BAWN_CLIENTS'] === 'write') writeFileSync(guide, whole)
  else assert.equal(text, whole, 'run: BAWN_CLIENTS=write npm run test:browser')
})
