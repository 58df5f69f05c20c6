import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { type AddressInfo, connect, createServer as createRawServer, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import type { AccessLog } from '../audit/access-log.ts'
import type { AuditEvent, AuditTrail } from '../audit/event.ts'
import { createBearerMechanism, type TokenJudge } from '../authn/bearer.ts'
import type { HttpMechanism } from '../authn/http-mechanism.ts'
import { createIdentity, type Identity } from '../authn/identity.ts'
import { GatewayError } from '../error.ts'
import type { Catalogue, Field, FieldView, JsonPlace } from '../fields/field.ts'
import { createRateLimiter, type RateLimit } from '../limits/rate-limit.ts'
import { SessionSlots } from '../limits/session-slots.ts'
import type { OutboundCredentials } from '../outbound/credentials.ts'
import { createGate } from '../policy/gate.ts'
import type { PolicyOptions } from '../policy/option.ts'
import type { Gate } from '../policy/policy.ts'
import type { JwtSigner } from '../tokens/jwt-signer.ts'
import { createAcl } from './acl.ts'
import { createHttpDoor, type HttpDoor } from './door.ts'
import type { FrontTls } from './engine.ts'
import { createMechanismTable } from './mechanisms.ts'
import {
  type AclRuleOptions,
  type HttpListenerOptions,
  httpListenerOptions,
  type RouteOptions,
  routeOptions,
  upstreamOptions,
} from './option.ts'
import { compileRoutes } from './routes.ts'
import type { HostRuleMatcher, HttpState } from './state.ts'
import { withCredentials } from './upstream/credentials.ts'
import { createUpstream, type UpstreamDeps } from './upstream/pool.ts'

// What the tests of this folder start: a door with everything around it in memory, upstreams, and raw clients.

const identity = (id: string, roles: readonly string[]): Identity =>
  createIdentity({
    id,
    roles,
    claims: Object.create(null),
    clientId: undefined,
    mechanism: 'jwt',
    source: 'test',
    expiresAt: undefined,
  })

/** The tokens of the tests: `alice`, `bob`, `expired`, `outage`. */
export const bearer: TokenJudge = {
  authenticate: async token => {
    switch (token) {
      case 'alice':
        return { kind: 'identified', identity: identity('alice', ['support', 'staff']) }
      case 'bob':
        return { kind: 'identified', identity: identity('b,ö\r\nb', ['billing']) }
      case 'expired':
        return { kind: 'rejected', reason: 'expired' }
      case 'outage':
        throw new Error('the issuer cannot be reached')
      default:
        return { kind: 'rejected', reason: 'untrusted' }
    }
  },
}

export function gate(allow: readonly string[]): Gate {
  return {
    open: allow.includes('anyone'),
    decide: who => {
      const rule = allow.find(
        name => name === 'anyone' || (who !== undefined && (name === 'authenticated' || who.roles.includes(name))),
      )
      return rule === undefined ? { kind: 'deny', rule: 'no policy permits' } : { kind: 'permit', rule }
    },
  }
}

export function field(name: string, places: readonly JsonPlace[], type: 'text' | 'bytes' = 'text'): Field {
  return { name, columns: [], json: places, type, encrypt: 'acrablock', searchable: false }
}

/** "Sealed" is `S:` and the value: billing sees it, support its first letter, nobody else anything. */
export function catalogue(fields: readonly Field[]): Catalogue {
  return {
    fields,
    find: name => fields.find(candidate => candidate.name === name),
    view: (of, who) => view(of, who),
  }
}

function view(of: Field, who: Identity): FieldView {
  const kind = who.roles.includes('billing') ? 'plain' : who.roles.includes('support') ? 'masked' : 'withheld'
  const rule = `${of.name}.reveal`
  const mask = (text: string): string => `${text.slice(0, 1)}***`
  return {
    field: of,
    disclosure: kind === 'masked' ? { kind, rule, mask } : { kind, rule },
    reveal: (stored, carries) => {
      const text = Buffer.from(stored).toString()
      if (carries === 'sealed' && !text.startsWith('S:')) throw new GatewayError('fields.unreadable', 'not sealed')
      if (kind === 'withheld') return undefined
      const plaintext = carries === 'sealed' ? text.slice(2) : text
      return Buffer.from(kind === 'plain' ? plaintext : mask(plaintext))
    },
    protect: plaintext => Buffer.from(`S:${Buffer.from(plaintext).toString()}`),
    searchHash: () => {
      throw new Error('not searchable')
    },
  }
}

export const sealed = (text: string): string => Buffer.from(`S:${text}`).toString('base64')

export interface KitOptions {
  readonly upstream: string
  /** Besides `main`: name and URL. */
  readonly otherUpstreams?: Readonly<Record<string, string>>
  readonly upstreamOptions?: Readonly<Record<string, unknown>>
  readonly upstreamDeps?: UpstreamDeps
  /** Of the gateway towards the upstream. */
  readonly credentials?: OutboundCredentials
  readonly routes?: readonly Record<string, unknown>[]
  readonly fields?: readonly Field[]
  /** Decided by the real gate, in place of roles that are called as policies. */
  readonly policies?: Readonly<Record<string, PolicyOptions>>
  readonly acl?: readonly AclRuleOptions[]
  readonly listener?: Readonly<Record<string, unknown>>
  readonly writeTimeoutMs?: number
  readonly hostRules?: HostRuleMatcher
  /** In place of one that knows the tokens above. */
  readonly mechanisms?: readonly HttpMechanism[]
  /** Of the host rule that holds for everybody. */
  readonly use?: readonly string[]
  readonly tls?: FrontTls
  readonly signers?: ReadonlyMap<string, JwtSigner>
  readonly keySets?: ReadonlyMap<string, Buffer>
  readonly commit?: () => void
  /** Monotonic, in ms: of rate limits. */
  readonly now?: () => number
  readonly accessLog?: AccessLog
  /** Of the listener. */
  readonly rateLimit?: RateLimit
}

export interface Kit {
  readonly port: number
  readonly door: HttpDoor
  readonly events: AuditEvent[]
  readonly logged: { readonly message: string; readonly code: unknown }[]
  readonly metrics: { readonly route: string; readonly method: string; readonly status: number }[]
  /** Events that were emitted and not yet committed. */
  readonly uncommitted: () => number
  readonly state: HttpState
}

export const everything: Record<string, unknown> = {
  path: '/*',
  methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'],
  upstream: 'main',
  allow: ['anyone'],
}

export function buildState(options: KitOptions, around: Pick<HttpState, 'trail' | 'metrics'>): HttpState {
  const bare = createUpstream(
    'main',
    upstreamOptions.parse({ url: options.upstream, ...options.upstreamOptions }),
    options.upstreamDeps,
  )
  const upstream = options.credentials === undefined ? bare : withCredentials(bare, options.credentials)
  const fields = catalogue(options.fields ?? [])
  const mechanisms = createMechanismTable(
    options.mechanisms ?? [createBearerMechanism(bearer, { realm: 'bawn', base64: false })],
  )
  const use = options.use ?? ['jwt']
  const { policies } = options
  const routes: RouteOptions[] = (options.routes ?? [everything]).map(route =>
    routeOptions.parse({
      methods: ['GET'],
      upstream: 'backends' in route ? undefined : 'main',
      allow: ['anyone'],
      ...route,
    }),
  )
  const upstreams = new Map([['main', upstream]])
  for (const [name, url] of Object.entries(options.otherUpstreams ?? {})) {
    upstreams.set(name, createUpstream(name, upstreamOptions.parse({ url }), options.upstreamDeps))
  }
  const acl = options.acl && createAcl(options.acl, Date.now)
  return {
    acl,
    routes: compileRoutes(routes, {
      upstreams,
      gate: policies === undefined ? gate : (allow, use) => createGate(allow, policies, undefined, { use }),
      acl,
      catalogue: fields,
      carriers: mechanisms.carriers,
      issuers: new Set(['test', 'other']),
      signers: options.signers ?? new Map(),
      clock: Date.now,
      limiter: createRateLimiter({ now: options.now ?? (() => performance.now()) }),
    }),
    upstreams: [...upstreams.values()],
    hostRules: options.hostRules ?? { match: () => ({ kind: 'matched', rule: 'host_rules.0', use }) },
    mechanisms,
    keySets: options.keySets ?? new Map(),
    now: Date.now,
    catalogue: fields,
    ...around,
  }
}

export async function startDoor(t: TestContext, options: KitOptions): Promise<Kit> {
  const events: AuditEvent[] = []
  const logged: { message: string; code: unknown }[] = []
  const metrics: { route: string; method: string; status: number }[] = []
  let committed = 0
  const trail: AuditTrail = {
    emit: event => {
      events.push(event)
    },
    commit: () => {
      options.commit?.()
      committed = events.length
    },
    head: '',
    close: async () => {},
  }
  const state = buildState(options, {
    trail,
    metrics: { request: (route, method, status) => metrics.push({ route, method, status }) },
  })
  const { tls: _tls, ...listener }: HttpListenerOptions = httpListenerOptions.parse({
    door: 'http',
    address: '127.0.0.1:0',
    ...options.listener,
  })
  let count = 0
  const door = createHttpDoor(
    {
      name: 'web',
      listener,
      tls: options.tls,
      rateLimit: options.rateLimit,
      ...(options.writeTimeoutMs === undefined ? {} : { writeTimeoutMs: options.writeTimeoutMs }),
    },
    state,
    {
      requestId: () => `req-${++count}`,
      slots: new SessionSlots(),
      accessLog: options.accessLog,
      log: { error: (message, detail) => logged.push({ message, code: detail['code'] }) },
    },
  )
  const { port } = await door.listen('127.0.0.1', 0)
  t.after(() => door.close())
  return { port, door, events, logged, metrics, uncommitted: () => events.length - committed, state }
}

/** A real server on node:http. @returns its URL */
export async function startUpstream(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** A server that says what the test says. @param speak called for each connection */
export async function startRawUpstream(
  t: TestContext,
  speak: (socket: Socket, count: number) => void,
): Promise<string> {
  let count = 0
  const sockets = new Set<Socket>()
  const server = createRawServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    speak(socket, ++count)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

export interface Answer {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

/** Sends bytes as they are and returns everything that comes back until the other side closes. */
export async function raw(
  port: number,
  text: string | readonly string[],
  options: { end?: boolean } = {},
): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  const pieces: Buffer[] = []
  socket.on('data', bytes => pieces.push(bytes))
  socket.on('error', () => {})
  for (const piece of typeof text === 'string' ? [text] : text) socket.write(Buffer.from(piece, 'latin1'))
  if (options.end === true) socket.end()
  // A reset is an end as well here, and `once` would make an error of it.
  await new Promise(resolve => socket.once('close', resolve))
  return Buffer.concat(pieces).toString('latin1')
}

/** One request on a connection of its own. */
export async function send(port: number, request: string): Promise<Answer> {
  return parse(await raw(port, request.replace('\r\n', '\r\nConnection: close\r\n')))
}

export function get(port: number, target: string, headers: readonly string[] = []): Promise<Answer> {
  return send(
    port,
    `GET ${target} HTTP/1.1\r\nHost: gate.example\r\n${headers.map(line => `${line}\r\n`).join('')}\r\n`,
  )
}

export function post(port: number, target: string, body: string, headers: readonly string[] = []): Promise<Answer> {
  const lines = [`Content-Length: ${Buffer.byteLength(body)}`, ...headers].map(line => `${line}\r\n`).join('')
  return send(
    port,
    `POST ${target} HTTP/1.1\r\nHost: gate.example\r\n${lines}\r\n${Buffer.from(body).toString('latin1')}`,
  )
}

export function parse(text: string): Answer {
  const end = text.indexOf('\r\n\r\n')
  assert.notEqual(end, -1, `no answer: ${JSON.stringify(text)}`)
  const [first = '', ...lines] = text.slice(0, end).split('\r\n')
  const headers = new Map<string, string>()
  for (const line of lines) {
    const colon = line.indexOf(':')
    const name = line.slice(0, colon).toLowerCase()
    const value = line.slice(colon + 1).trim()
    headers.set(name, headers.has(name) ? `${headers.get(name)} | ${value}` : value)
  }
  let body = text.slice(end + 4)
  if (headers.get('transfer-encoding') === 'chunked') body = unchunk(body)
  return { status: Number(first.split(' ')[1]), headers, body: Buffer.from(body, 'latin1').toString() }
}

function unchunk(text: string): string {
  let rest = text
  let body = ''
  for (;;) {
    const line = rest.indexOf('\r\n')
    const size = Number.parseInt(rest.slice(0, line), 16)
    assert.ok(Number.isInteger(size) && rest.length >= line + 2 + size, 'a truncated chunked body')
    if (size === 0) return body
    body += rest.slice(line + 2, line + 2 + size)
    rest = rest.slice(line + 4 + size)
  }
}

/** An answer of the gateway's own: the problem document's code. */
export function codeOf(answer: Answer): string {
  assert.equal(answer.headers.get('content-type'), 'application/problem+json', answer.body)
  const document = JSON.parse(answer.body)
  assert.equal(document.status, answer.status)
  assert.equal(document.type, `urn:bawn:error:${document.code}`)
  assert.equal(document.request_id, answer.headers.get('x-request-id'))
  return document.code
}
