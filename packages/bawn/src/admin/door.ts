import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import { metricsContentType } from '../audit/metrics.ts'
import { type ErrorCode, errors, GatewayError } from '../error.ts'
import { parseHostPort } from '../option.ts'
import type { RevokedTarget } from '../tokens/revoked/entry.ts'
import { AdminError } from './error.ts'
import { createHostCheck } from './host.ts'
import type { ReloadResult } from './reload.ts'
import { claimOfPath, type RevocationChoice, type RevocationRow, revocationOf } from './revocations.ts'
import { choiceOf, type KilledSession, operatorOf, type SessionChoice, type SessionRow } from './sessions.ts'
import { createAdminToken, createTokenCheck, writeAdminToken } from './token.ts'

/** One thing that must hold before traffic may come. `detail` is for operators and holds no secret. */
export interface ReadyCheck {
  readonly name: string
  readonly ok: boolean
  readonly detail?: string | undefined
}

/** What the door asks the gateway. */
export interface AdminSource {
  /** Members of the `/healthz` document besides `status`: version, uptime. */
  health(): Readonly<Record<string, string | number>>
  /** Databases reachable, issuers have keys, audit writable, not draining. */
  ready(): readonly ReadyCheck[] | Promise<readonly ReadyCheck[]>
  /** Prometheus text format 0.0.4. */
  metrics(): string | Promise<string>
  /** Hash of the last audit line, hex. */
  head(): string
  reload(): Promise<ReloadResult>
  /** Open sessions at the PostgreSQL door, the oldest first. */
  sessions(): readonly SessionRow[] | Promise<readonly SessionRow[]>
  /** Ends every session that fits. It is in the trail before the first one ends. */
  killSessions(choice: SessionChoice, by: Operator): readonly KilledSession[] | Promise<readonly KilledSession[]>
  /** @throws {AdminError} `admin.no_revocations` */
  revocations(): Revocations
}

/** What was taken back before its end. */
export interface Revocations {
  /** In force when it resolves, and within a second at every node. Rejects with `admin.revocation`, `tokens.unavailable`, `tokens.full`. */
  revoke(choice: RevocationChoice, by: Operator): Promise<RevocationRow>
  /** @returns whether it was revoked */
  restore(choice: RevocationChoice, by: Operator): Promise<boolean>
  list(): Promise<readonly RevocationRow[]>
  find(target: RevokedTarget): Promise<RevocationRow | undefined>
}

/** Who says so: whoever has the token, by the name that is stated. */
export interface Operator {
  readonly name: string | undefined
  readonly address: string | undefined
}

export interface AdminDoor {
  /** `host:port` that it really listens on. */
  readonly address: string
  /** Stops listening and ends connections; resolves when none is left. */
  close(): Promise<void>
}

/** Nothing here is a page, and nothing may be kept, framed or sniffed. */
const securityHeaders = {
  'Cache-Control': 'no-store',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'; sandbox",
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
} as const

interface Answer {
  readonly status: number
  readonly type: string
  readonly body: string
  readonly headers?: Readonly<Record<string, string>>
}

const json = (status: number, document: unknown): Answer => ({
  status,
  type: 'application/json',
  body: `${JSON.stringify(document)}\n`,
})

/** RFC 9457. The hint is for operators: who reaches this door is one. */
function problemOf(code: ErrorCode, requestId: string, headers: Answer['headers'] = {}): Answer {
  const { status, hint } = errors[code]
  const document = {
    type: `urn:bawn:error:${code}`,
    title: STATUS_CODES[status] ?? 'Error',
    status,
    code,
    detail: hint,
    request_id: requestId,
  }
  return { status, type: 'application/problem+json', body: `${JSON.stringify(document)}\n`, headers }
}

function reloadAnswer(result: ReloadResult): Answer {
  return json(result.kind === 'reloaded' ? 200 : 422, result)
}

interface Route {
  readonly method: 'GET' | 'POST'
  answer(request: IncomingMessage): Answer | Promise<Answer>
}

/** The routes of a path; none: there is no such path. */
type Routes = (path: string) => readonly Route[]

function createRoutes(source: AdminSource, isToken: (text: string) => boolean): Routes {
  let last: Promise<unknown> = Promise.resolve()
  /** One after the other: two reloads at once would build two next states. */
  const reload = (): Promise<ReloadResult> => {
    const next = last.then(() => source.reload())
    last = next.catch(() => undefined)
    return next
  }
  const get = (answer: Route['answer']): Route => ({ method: 'GET', answer })
  const withToken = ({ method, answer }: Route): Route => ({
    method,
    answer: request => {
      const [, presented] = /^Bearer +([A-Za-z0-9._~+/=-]{1,256})$/i.exec(request.headers.authorization ?? '') ?? []
      if (presented === undefined || !isToken(presented)) {
        throw new AdminError('admin.unauthorized', 'a request without the admin token')
      }
      return answer(request)
    },
  })
  const post = (answer: Route['answer']): Route => withToken({ method: 'POST', answer })
  const by = ({ headers, socket }: IncomingMessage): Operator => ({
    name: operatorOf(headers),
    address: socket.remoteAddress,
  })
  /** As KrakenD's revoke server has it, without the claims that have to be listed there. */
  const ofClaim = (target: RevokedTarget): readonly Route[] => [
    withToken(
      get(async () => {
        const revocation = await source.revocations().find(target)
        return json(200, { revoked: revocation !== undefined, revocation: revocation ?? null })
      }),
    ),
    post(async request => {
      const choice = { target, notBefore: undefined, keepMs: undefined }
      return json(200, { revoked: true, revocation: await source.revocations().revoke(choice, by(request)) })
    }),
  ]
  const routes = new Map<string, Route>([
    ['/healthz', get(() => json(200, { status: 'ok', ...source.health() }))],
    [
      '/readyz',
      get(async () => {
        const checks = await source.ready()
        const isReady = checks.every(check => check.ok)
        return json(isReady ? 200 : 503, { ready: isReady, checks })
      }),
    ],
    [
      '/metrics',
      get(async () => ({
        status: 200,
        type: metricsContentType,
        body: await source.metrics(),
      })),
    ],
    ['/audit/head', get(() => json(200, { head: source.head() }))],
    ['/reload', withToken({ method: 'POST', answer: async () => reloadAnswer(await reload()) })],
    ['/sessions', withToken(get(async () => json(200, { sessions: await source.sessions() })))],
    [
      '/sessions/kill',
      withToken({
        method: 'POST',
        answer: async request => {
          const choice = choiceOf(request.url ?? '')
          return json(200, { killed: await source.killSessions(choice, by(request)) })
        },
      }),
    ],
    ['/revocations', withToken(get(async () => json(200, { revocations: await source.revocations().list() })))],
    [
      '/revocations/revoke',
      post(async request => {
        const revocation = await source.revocations().revoke(revocationOf(request.url ?? ''), by(request))
        return json(200, { revocation })
      }),
    ],
    [
      '/revocations/restore',
      post(async request => {
        const restored = await source.revocations().restore(revocationOf(request.url ?? ''), by(request))
        return json(200, { restored })
      }),
    ],
  ])
  return path => {
    const route = routes.get(path)
    if (route !== undefined) return [route]
    if (!path.startsWith('/tokens/')) return []
    const target = claimOfPath(path)
    return target === undefined ? [] : ofClaim(target)
  }
}

function hasBody(request: IncomingMessage): boolean {
  return request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) !== 0
}

/**
 * Opens the door for operators. A new token is written to `tokenFile` before the first request can come.
 *
 * @param options.address `host:port`; port 0 takes a free one
 * @param options.onError hears of faults that no operator's request caused; the answer to it was `gateway.bug`
 * @throws {AdminError} `admin.token_file`, `admin.listen`
 */
export async function createAdminDoor(
  options: {
    readonly address: string
    readonly tokenFile: string
    readonly onError?: (error: unknown, requestId: string) => void
  },
  source: AdminSource,
): Promise<AdminDoor> {
  const { host, port } = parseHostPort(options.address)
  const token = createAdminToken()
  const routes = createRoutes(source, createTokenCheck(token))
  const isOurHost = createHostCheck(host)

  const answerTo = async (request: IncomingMessage, requestId: string): Promise<Answer> => {
    // Several Host lines are joined by Node; one with a comma is none of ours.
    if (!isOurHost(request.headers.host)) return problemOf('admin.host', requestId)
    if (hasBody(request)) return problemOf('admin.body', requestId)
    try {
      const found = routes((request.url ?? '').split('?')[0] ?? '')
      if (found.length === 0) return problemOf('admin.not_found', requestId)
      const route = found.find(({ method }) => method === request.method)
      if (route === undefined) {
        return problemOf('admin.method', requestId, { Allow: found.map(({ method }) => method).join(', ') })
      }
      return await route.answer(request)
    } catch (error) {
      if (error instanceof AdminError && error.code === 'admin.unauthorized') {
        return problemOf(error.code, requestId, { 'WWW-Authenticate': 'Bearer realm="bawn admin"' })
      }
      options.onError?.(error, requestId)
      return problemOf(error instanceof GatewayError ? error.code : 'gateway.bug', requestId)
    }
  }
  const send = (response: ServerResponse, answer: Answer, requestId: string, close: boolean): void => {
    response.writeHead(answer.status, {
      ...securityHeaders,
      'Content-Type': answer.type,
      'Content-Length': Buffer.byteLength(answer.body),
      'X-Request-Id': requestId,
      ...(close ? { Connection: 'close' } : {}),
      ...answer.headers,
    })
    response.end(answer.body)
  }

  const server = createServer(
    {
      maxHeaderSize: 8192,
      headersTimeout: 5_000,
      requestTimeout: 10_000,
      keepAliveTimeout: 5_000,
      connectionsCheckingInterval: 1_000,
      requireHostHeader: true,
      insecureHTTPParser: false,
    },
    (request, response) => {
      const requestId = randomUUID()
      void answerTo(request, requestId).then(answer => send(response, answer, requestId, hasBody(request)))
    },
  )
  server.maxConnections = 64
  server.maxHeadersCount = 64

  await new Promise<void>((resolve, reject) => {
    server.once('error', cause =>
      reject(new AdminError('admin.listen', `cannot listen on ${options.address}`, { cause })),
    )
    server.listen({ host, port }, () => {
      try {
        // Not before the port is ours: the file may be that of a gateway that runs. In this turn: no request was read yet.
        writeAdminToken(options.tokenFile, token)
        resolve()
      } catch (error) {
        server.close()
        server.closeAllConnections()
        reject(error)
      }
    })
  })
  const bound = server.address()
  const isV6 = host.includes(':')
  return {
    address: `${isV6 ? `[${host}]` : host}:${typeof bound === 'object' && bound ? bound.port : port}`,
    close: () =>
      new Promise<void>((resolve, reject) => {
        server.close(error => (error ? reject(error) : resolve()))
        server.closeAllConnections()
      }),
  }
}
