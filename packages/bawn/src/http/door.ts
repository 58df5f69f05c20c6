import type { RequestAccess } from '../audit/access-line.ts'
import type { AccessLog } from '../audit/access-log.ts'
import { AuthnError } from '../authn/error.ts'
import type { Identity } from '../authn/identity.ts'
import type { RevocationCheck } from '../authn/revocation/revocation-check.ts'
import { GatewayError } from '../error.ts'
import type { RateLimit } from '../limits/rate-limit.ts'
import type { Slots } from '../limits/session-slots.ts'
import { type AdmittedToTokens, type AnyAdmitted, admit } from './admit.ts'
import { aggregate } from './aggregate.ts'
import { createFindClient } from './client-address.ts'
import { RequestCredentials } from './credentials.ts'
import type { Front, FrontAnswer, FrontLimits, FrontRequest, FrontTls } from './engine.ts'
import { type Forwarded, forward } from './forward.ts'
import { LoggedAnswer } from './logged-answer.ts'
import { serveLogin } from './login/serve.ts'
import { createNodeFront } from './node-front.ts'
import type { HttpListenerOptions } from './option.ts'
import { type Problem, problem } from './problem.ts'
import { createRawFront } from './raw-front.ts'
import { respond } from './respond.ts'
import type { HttpLog, HttpState } from './state.ts'
import { answerTokenRequest, tokenHeaders } from './token-resource.ts'
import { Turn, type TurnDeps } from './turn.ts'
import { createTunnels, type Tunnels } from './websocket/tunnel.ts'
import { respondIfPermitted } from './withhold.ts'

export interface HttpDoorTls extends FrontTls {
  /** Whether clients' certificates were revoked, whatever engine reads the requests; `undefined`: nobody is asked. */
  readonly revocation?: RevocationCheck | undefined
}

export interface HttpDoorOptions {
  /** Of the listener, in the configuration. */
  readonly name: string
  /** As in the configuration; its TLS files are read by whoever composes. */
  readonly listener: Omit<HttpListenerOptions, 'tls' | 'door'>
  readonly tls: HttpDoorTls | undefined
  readonly rateLimit?: RateLimit | undefined
  /** How long a client may leave a written piece unread; default 30 s. */
  readonly writeTimeoutMs?: number
}

export interface HttpDoorDeps {
  /** Monotonic, in ms; default `performance.now`. */
  readonly clock?: () => number
  /** A new one for each request; goes into a header, so letters, digits and '-'. */
  readonly requestId: () => string
  readonly log: HttpLog
  /** Where WebSocket connections have their places. */
  readonly slots: Pick<Slots, 'ask'>
  /** `undefined`: none is written. */
  readonly accessLog?: AccessLog | undefined
}

export interface HttpDoor {
  /** Binds the configured address. @param reusePort other threads listen there too. @returns where, with the port that the system chose for 0 */
  listen(host: string, port: number, reusePort?: boolean): Promise<{ readonly host: string; readonly port: number }>
  /** For every request that begins from now on; those under way end on the state that they began with. */
  swap(next: HttpState): void
  /** Who is being sent an answer that takes as long as its upstream. */
  streams(): Iterable<Identity>
  /** Cuts every such answer of exactly this identity: the client sees that it is not whole. */
  endStreams(identity: Identity): void
  /** Who has an open WebSocket connection; those with a certificate that is revoked now are closed first. */
  tunnels(): Iterable<Identity>
  /** Closes those of exactly this identity. */
  endTunnels(identity: Identity): void
  /** For connections from now on. */
  renewTls(tls: HttpDoorTls): void
  /** Takes no new connections and waits for the requests under way; what is left after the time is cut. */
  drain(timeoutMs: number): Promise<void>
  /** Cuts everything now. */
  close(): void
}

export function createHttpDoor(options: HttpDoorOptions, state: HttpState, deps: HttpDoorDeps): HttpDoor {
  const { listener } = options
  const { accessLog } = deps
  const clock = deps.clock ?? (() => performance.now())
  let revocation = options.tls?.revocation
  const streams = new Set<Turn>()
  const tunnels = createTunnels({
    ...{ slots: deps.slots, room: `WebSocket connections of ${options.name}` },
    ...{ max: listener.max_websockets, maxOfOne: listener.max_websockets_per_identity },
  })
  const turnDeps: TurnDeps = {
    clock,
    log: deps.log,
    streams,
    rateLimit: options.rateLimit,
    get revocation() {
      return revocation
    },
  }
  const findClient = listener.trusted_proxies && createFindClient(listener.trusted_proxies)
  let current = state

  const begin = (request: FrontRequest, answer: FrontAnswer): Turn => {
    const requestId = deps.requestId()
    answer.requestId = requestId
    if (accessLog === undefined) return new Turn(requestId, current, request, answer, turnDeps)
    const logged = LoggedAnswer.of(answer, accessLog, clock)
    const turn = new Turn(requestId, current, request, logged, turnDeps)
    logged.turn = turn
    return turn
  }

  const limits: FrontLimits = {
    maxHeaderBytes: listener.max_header_bytes,
    headerTimeoutMs: listener.header_timeout,
    requestTimeoutMs: listener.request_timeout,
    keepAliveTimeoutMs: listener.keep_alive_timeout,
    maxConnections: listener.max_connections,
    http2: listener.http2,
    proxyProtocol: listener.proxy_protocol,
    writeTimeoutMs: options.writeTimeoutMs ?? 30_000,
  }
  const createFront = listener.engine === 'node-http' ? createNodeFront : createRawFront
  const front: Front = createFront(limits, options.tls, {
    request: (request, answer) => {
      if (findClient === undefined) {
        serve(begin(request, answer), tunnels, listener.max_body_bytes)
        return
      }
      const client = findClient(request)
      const { address: remoteAddress, secure } = client ?? { address: request.remoteAddress, secure: request.secure }
      const turn = begin({ ...request, remoteAddress, secure }, answer)
      if (client !== undefined) {
        serve(turn, tunnels, listener.max_body_bytes)
        return
      }
      try {
        turn.refuse({ code: 'http.bad_forwarding', rule: 'trusted_proxies', decision: 'error' })
      } catch (error) {
        turn.fail(error)
      }
    },
    commit: () => {
      try {
        current.trail.commit()
        return undefined
      } catch (error) {
        const requestId = deps.requestId()
        const code = error instanceof GatewayError ? error.code : 'gateway.bug'
        deps.log.error('the audit trail cannot be written', { requestId, resource: 'none', code, error })
        return problem(code, requestId)
      }
    },
    refuse: (code, remoteAddress, known) => {
      const requestId = known ?? deps.requestId()
      const document = problem(code, requestId)
      try {
        if (remoteAddress !== undefined) {
          current.trail.emit({
            kind: 'request',
            requestId,
            door: 'http',
            identity: undefined,
            address: remoteAddress,
            action: 'unreadable',
            resource: 'none',
            decision: 'error',
            rule: 'well-formed request',
            code,
          })
        }
        current.trail.commit()
      } catch (error) {
        deps.log.error('the audit trail cannot be written', { requestId, resource: 'none', code, error })
      }
      if (remoteAddress === undefined) return document
      current.metrics.request('none', 'unreadable', document.status, 0)
      accessLog?.request(unreadable(requestId, remoteAddress, document))
      return document
    },
  })

  return {
    listen: (host, port, reusePort) => front.listen(host, port, reusePort),
    swap: next => {
      const before = current
      current = next
      for (const upstream of before.upstreams) if (!next.upstreams.includes(upstream)) upstream.retire()
    },
    streams: () => [...streams].flatMap(({ identity }) => identity ?? []),
    endStreams: gone => {
      for (const turn of streams) {
        if (turn.identity !== gone) continue
        streams.delete(turn)
        turn.log('an answer was cut', new AuthnError('authn.failed', `${gone.id} could not log in as the same today`))
        turn.cut()
      }
    },
    tunnels: () => {
      const check = revocation
      if (check !== undefined) tunnels.endRevoked(certificate => check.isKnownRevoked(certificate))
      return tunnels.identities()
    },
    endTunnels: gone => tunnels.end(gone),
    renewTls: tls => {
      revocation = tls.revocation
      front.renewTls(tls)
    },
    drain: async timeoutMs => {
      const timer = setTimeout(() => front.close(), timeoutMs)
      tunnels.drain()
      await front.drain()
      clearTimeout(timer)
      revocation?.close()
      for (const upstream of current.upstreams) upstream.retire()
    },
    close: () => {
      front.close()
      revocation?.close()
      for (const upstream of current.upstreams) upstream.retire()
    },
  }
}

/** In one go where nothing has to be waited for: each promise on the way would cost every request a turn of the microtask queue. */
function serve(turn: Turn, tunnels: Tunnels, maxBodyBytes: number): void {
  const goOn = (admitted: AnyAdmitted | undefined): void => {
    // Who has left while it was decided gets nothing done: nobody would give up what is then under way.
    if (admitted === undefined || turn.isOver) return
    if (admitted.kind === 'tokens') {
      serveTokens(turn, admitted).catch(error => turn.fail(error))
      return
    }
    if (admitted.kind === 'login') {
      serveLogin(turn, admitted).catch(error => turn.fail(error))
      return
    }
    if (tunnels.serve(turn, admitted)) return
    const { maxJsonBytes, aggregation } = admitted.route
    const answer = (forwarded: Forwarded): void | Promise<void> => {
      if (admitted.route.responseGate === undefined) return respond(turn, forwarded, maxJsonBytes)
      return respondIfPermitted(turn, admitted, admitted.route.responseGate, forwarded)
    }
    const pass = (): void => {
      if (aggregation === undefined) forward(turn, admitted, maxBodyBytes, answer)
      else aggregate(turn, admitted, aggregation, maxBodyBytes).catch(error => turn.fail(error))
    }
    const { tokens } = turn.state
    if (tokens === undefined) pass()
    else {
      tokenHeaders(turn, tokens, turn.identity)
        .then(headers => {
          turn.tokenHeaders = headers
          pass()
        })
        .catch(error => turn.fail(error))
    }
  }
  try {
    const admitted = admit(turn)
    if (admitted instanceof Promise) admitted.then(goOn).catch(error => turn.fail(error))
    else goOn(admitted)
  } catch (error) {
    turn.fail(error)
  }
}

async function serveTokens(turn: Turn, { head, path, target }: AdmittedToTokens): Promise<void> {
  const { state, request, identity } = turn
  if (state.tokens === undefined || identity === undefined) throw new TypeError('a token request of nobody')
  const credentials = new RequestCredentials(request, head, path.query, state.now())
  await answerTokenRequest(turn, state.tokens, target, identity, credentials, head)
}

/** The line of what was no request: nothing is known of it but who sent it. */
function unreadable(requestId: string, address: string, { status, body }: Problem): RequestAccess {
  return {
    ...{ requestId, address, status, bytes: body.length, identity: undefined, host: undefined },
    ...{ method: '-', target: '-', route: 'none', httpVersion: '-', referer: undefined, userAgent: undefined },
    ...{ durationMs: 0, isComplete: true, carriers: new Set() },
  }
}
