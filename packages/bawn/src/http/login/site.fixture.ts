import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { createAuthority } from '@bawn/demo/certificates'
import { WebSocketServer } from 'ws'
import { generateAuditKey, generateKeys } from '../../keys/generate.ts'
import { type RunningServer, startServer } from '../../server.ts'

// A whole gateway behind TLS, and a client that keeps cookies as browsers do, for the tests of this folder and of a real browser.

export const base = 'https://gate.example'
const authority = createAuthority('login tests')
const server = authority.issue('gate.example', 'server', ['gate.example'])

export interface SiteOptions {
  readonly issuer: string
  readonly jwks: string
  /** More of mechanisms.oidc: `, userinfo: true`. */
  readonly oidc?: string
  /** More of the issuer. */
  readonly issuerOptions?: string
  readonly tokens?: string
  /** Mechanisms of the host rule. */
  readonly use?: string
  /** More of mechanisms. */
  readonly mechanisms?: string
  readonly more?: string
  /** Of the client. */
  readonly secrets?: Readonly<Record<string, string>>
  readonly clock?: () => number
  /** In place of one that is made of the above. @param upstream its URL */
  readonly configuration?: (upstream: string) => string
}

export interface Site {
  readonly folder: string
  /** Of the TLS listener. */
  readonly port: number
  /** Of the one without. */
  readonly plainPort: number
  readonly server: RunningServer
  readonly trail: () => readonly Record<string, unknown>[]
  readonly logged: string[]
}

/** @param t the fixture goes with it */
export async function startSite(t: Pick<TestContext, 'after'>, options: SiteOptions): Promise<Site> {
  const folder = mkdtempSync(join(tmpdir(), 'bawn-login-'))
  const upstream = createServer((request, response) => {
    const { cookie, 'x-user': user, 'x-roles': roles } = request.headers
    response.setHeader('content-type', 'text/html; charset=utf-8')
    response.end(
      `<!doctype html><title>orders</title><p id="seen">${JSON.stringify({ user, roles, cookie, url: request.url, method: request.method })}</p>`,
    )
  })
  const chat = new WebSocketServer({ server: upstream, path: '/chat' })
  chat.on('connection', (socket, request) => {
    socket.on('error', () => {})
    socket.on('message', data => socket.send(`${request.headers['x-user']} said ${data}`))
  })
  upstream.listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  const address = upstream.address()
  assert(address !== null && typeof address === 'object')
  const masterKey = randomBytes(32)
  const secrets = {
    master: masterKey.toString('base64'),
    'oidc.key': randomBytes(32).toString('base64'),
    'client.secret': 'between us',
    ...options.secrets,
  }
  for (const [name, value] of Object.entries(secrets)) writeFileSync(join(folder, name), value, { mode: 0o600 })
  writeFileSync(join(folder, 'server.crt'), server.certificate)
  writeFileSync(join(folder, 'server.key'), server.key, { mode: 0o600 })
  generateAuditKey({ path: join(folder, 'keys'), masterKey })
  generateKeys({ path: join(folder, 'keys'), masterKey, clientId: 'shop-fields' })
  const client = options.oidc?.includes('client_key') ? '' : 'client_secret: file:client.secret,'
  writeFileSync(
    join(folder, 'bawn.yaml'),
    options.configuration?.(`http://127.0.0.1:${address.port}`) ??
      `listeners:
  web: { door: http, address: "127.0.0.1:0", tls: { certificate: server.crt, key: server.key } }
  plain: { door: http, address: "127.0.0.1:0" }
upstreams: { main: { url: "http://127.0.0.1:${address.port}" } }
issuers: { corp: { issuer: "${options.issuer}", audience: [shop], jwks: "${options.jwks}", insecure_http: true, algorithms: [ES256, EdDSA]${options.issuerOptions ?? ''} } }
tokens: ${options.tokens ?? '{ kind: memory, cookie: {}, renew: true }'}
mechanisms:
  oidc: { issuer: corp, client_id: bawn, ${client} redirect: "${base}", key: file:oidc.key, scopes: [profile]${options.oidc ?? ''} }
  ${options.mechanisms ?? ''}
host_rules: [{ door: http, use: [${options.use ?? 'oidc, token, jwt'}] }]
policies: { staff: { roles: [staff] }, boss: { roles: [boss] } }
routes:
  - { path: /orders, methods: [GET, HEAD, POST], upstream: main, allow: [staff], identity_headers: { id: X-User, roles: X-Roles } }
  - { path: /chat, methods: [GET], upstream: main, allow: [staff], websocket: true, identity_headers: { id: X-User } }
  - { path: /board, methods: [GET], upstream: main, allow: [boss] }
  - { path: /open, methods: [GET, POST], upstream: main, allow: [anyone], request_headers: [accept, cookie], identity_headers: { id: X-User } }
${options.more ?? ''}
keys: { store: { kind: directory, path: keys }, master: file:master, client_id: shop-fields }
audit: { file: audit.jsonl }
`,
  )
  const logged: string[] = []
  const running = await startServer({
    configPath: join(folder, 'bawn.yaml'),
    log: line => logged.push(line),
    clock: options.clock ?? Date.now,
  })
  t.after(async () => {
    await running.close(0)
    upstream.close()
    upstream.closeAllConnections()
    rmSync(folder, { recursive: true, force: true })
  })
  const portOf = (name: string): number => Number(running.addresses[name]?.split(':').at(-1))
  return {
    folder,
    port: portOf('web'),
    plainPort: portOf('plain'),
    server: running,
    logged,
    trail: () =>
      readFileSync(join(folder, 'audit.jsonl'), 'utf8')
        .trimEnd()
        .split('\n')
        .map(line => JSON.parse(line)),
  }
}

export interface Visit {
  readonly url: string
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

interface Cookie {
  readonly name: string
  readonly value: string
  readonly path: string
  readonly line: string
}

/** What a browser's address bar sends. */
export const navigation: Readonly<Record<string, string>> = {
  accept: 'text/html,application/xhtml+xml,*/*;q=0.8',
  'sec-fetch-mode': 'navigate',
  'sec-fetch-dest': 'document',
  'sec-fetch-site': 'none',
}

/** Keeps cookies by host and path, goes where it is sent. `https://gate.example` is the site, whatever its port. */
export class Client {
  #port: number
  readonly #jars = new Map<string, Map<string, Cookie>>()

  constructor(site: Pick<Site, 'port'>) {
    this.#port = site.port
  }

  /** Goes to this node from now on. */
  moveTo(site: Pick<Site, 'port'>): void {
    this.#port = site.port
  }

  /** Cookies of a host, oldest first. */
  cookies(host = 'gate.example'): readonly Cookie[] {
    return [...(this.#jars.get(host)?.values() ?? [])]
  }

  cookie(prefix: string, host?: string): Cookie | undefined {
    return this.cookies(host).find(({ name }) => name.startsWith(prefix))
  }

  setCookie(line: string, host = 'gate.example'): void {
    const jar = this.#jars.get(host) ?? new Map<string, Cookie>()
    this.#jars.set(host, jar)
    const [pair = '', ...attributes] = line.split(';').map(part => part.trim())
    const name = pair.slice(0, pair.indexOf('='))
    // RFC 6265 section 5.1.4: /a/ and /a hold for the same ones below.
    const path =
      attributes
        .find(text => /^path=/i.test(text))
        ?.slice(5)
        .replace(/(?<=.)\/$/, '') ?? '/'
    const isGone = attributes.some(text => /^max-age=0$/i.test(text) || /^expires=thu, 01 jan 1970/i.test(text))
    if (isGone) jar.delete(name)
    else jar.set(name, { name, value: pair.slice(name.length + 1), path, line })
  }

  /** One request, no redirect. */
  async send(
    method: string,
    url: string,
    headers: Readonly<Record<string, string>> = {},
    body?: string,
  ): Promise<Visit> {
    const { protocol, hostname, pathname, search, port } = new URL(url)
    const host = protocol === 'https:' ? hostname : `${hostname}:${port}`
    const sent = this.cookies(host).filter(
      ({ path }) => path === '/' || pathname === path || pathname.startsWith(`${path}/`),
    )
    const cookie = sent.map(({ name, value }) => `${name}=${value}`).join('; ')
    const all = {
      ...(cookie === '' ? {} : { cookie }),
      ...(body === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }),
      ...headers,
    }
    const visit =
      protocol === 'https:'
        ? await secure(this.#port, method, pathname + search, { host: hostname, ...all }, body)
        : await plain(method, url, all, body)
    for (const line of visit.headers['set-cookie'] ?? []) this.setCookie(line, host)
    return { url, ...visit }
  }

  get(url: string, headers: Readonly<Record<string, string>> = navigation): Promise<Visit> {
    return this.send('GET', url, headers)
  }

  /** As `get`, and on to where it is sent, while `goesOn`. */
  async follow(url: string, goesOn: (location: string) => boolean = () => true): Promise<Visit> {
    let visit = await this.get(url)
    for (let hops = 0; hops < 10; hops++) {
      const location = visit.headers.location
      if (location === undefined) return visit
      const next = new URL(location, visit.url).href
      if (!goesOn(next)) return visit
      visit = await this.get(next)
    }
    throw new Error('ten redirects')
  }

  /** Types into the provider's form, and goes where that leads. */
  async type(
    form: Visit,
    user: string,
    secret: string,
    answer = 'yes',
    goesOn?: (location: string) => boolean,
  ): Promise<Visit> {
    assert.match(form.body, /Log in at the provider/, form.body)
    const action = new URL(/action="([^"]+)"/.exec(form.body)?.[1] ?? '', form.url).href
    const typed = await this.send('POST', action, navigation, new URLSearchParams({ user, secret, answer }).toString())
    const next = typed.headers.location
    if (next === undefined) return typed
    return this.follow(new URL(next, action).href, goesOn)
  }
}

const isCallback = (location: string): boolean => location.startsWith(`${base}/login/callback`)

/** As far as the callback, which is not visited. @returns its address */
export async function upToCallback(client: Client, start: string, user: string, secret: string): Promise<string> {
  const visit = await client.type(await client.follow(start), user, secret, 'yes', location => !isCallback(location))
  assert(visit.headers.location !== undefined && isCallback(visit.headers.location), visit.body)
  return visit.headers.location
}

async function plain(method: string, url: string, headers: Readonly<Record<string, string>>, body: string | undefined) {
  const answer = await fetch(url, { method, headers, redirect: 'manual', ...(body === undefined ? {} : { body }) })
  const found: IncomingHttpHeaders = Object.fromEntries(answer.headers)
  found['set-cookie'] = answer.headers.getSetCookie()
  return { status: answer.status, headers: found, body: await answer.text() }
}

function secure(
  port: number,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: string | undefined,
): Promise<Omit<Visit, 'url'>> {
  return new Promise((resolve, reject) => {
    const options = {
      host: '127.0.0.1',
      port,
      method,
      path,
      headers,
      ca: authority.certificate,
      servername: 'gate.example',
      agent: false,
    }
    const request = httpsRequest(options, response => {
      const chunks: Buffer[] = []
      response.on('data', chunk => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks).toString(),
        }),
      )
    })
    request.on('error', reject)
    request.end(body)
  })
}
