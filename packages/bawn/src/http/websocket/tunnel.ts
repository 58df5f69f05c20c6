import { randomBytes, type X509Certificate } from 'node:crypto'
import { AuthnError } from '../../authn/error.ts'
import type { Identity } from '../../authn/identity.ts'
import type { Place, PlaceAnswer, PlaceRefusal, Slots } from '../../limits/session-slots.ts'
import type { Admitted } from '../admit.ts'
import type { BodySource } from '../engine.ts'
import { upstreamTarget } from '../forward.ts'
import { HttpError } from '../problem.ts'
import { upstreamHead } from '../request-headers.ts'
import { respond } from '../respond.ts'
import type { WebSocketPolicy } from '../routes.ts'
import type { Turn } from '../turn.ts'
import type { UpstreamAnswer } from '../upstream/upstream.ts'
import { closeFrame, FrameWalk } from './frame-walk.ts'
import { acceptanceHeaders, type Handshake, handshakeLines, readOffer, wrongAcceptance } from './handshake.ts'

/** Status codes of Close (RFC 6455 section 7.4.1). */
const goingAway = 1001
const policyViolation = 1008

/** WebSocket connections of a listener. */
export interface Tunnels {
  /** @returns false when the request is no handshake: it is to be served as any other */
  serve(turn: Turn, admitted: Admitted): boolean
  identities(): Iterable<Identity>
  /** Closes those of exactly this identity. */
  end(identity: Identity): void
  /** Closes those that came with a client's certificate which is revoked now. */
  endRevoked(isRevoked: (certificate: X509Certificate) => boolean): void
  /** Closes all. */
  drain(): void
}

/** Where the places of a listener's connections are counted, for all workers. */
export interface TunnelPlaces {
  readonly slots: Pick<Slots, 'ask'>
  /** The room of the listener, which no other listener and no database has. */
  readonly room: string
  /** At a time. */
  readonly max: number
  readonly maxOfOne: number
}

export function createTunnels(places: TunnelPlaces): Tunnels {
  const open = new Set<Tunnel>()
  let isDraining = false

  /** @throws {HttpError} `http.websockets_full` */
  const begin = (turn: Turn, admitted: Admitted, handshake: Handshake, place: Place): void => {
    if (place.kind === 'refused')
      throw new HttpError('http.websockets_full', whatIsFull(place.reason, admitted, places))
    // Who has left, while it was asked whether there is a place.
    if (turn.isOver || isDraining) place.leave()
    if (turn.isOver) return
    if (isDraining) {
      throw new HttpError('http.upstream_busy', 'a handshake that was under way when the gateway was to stop')
    }
    const tunnel: Tunnel = new Tunnel(turn, admitted, handshake, () => {
      open.delete(tunnel)
      place.leave()
    })
    open.add(tunnel)
    tunnel.start()
  }
  return {
    serve: (turn, admitted) => {
      const { websocket } = admitted.route
      if (websocket === undefined) return false
      const offer = readOffer(turn.request.method, turn.request.httpVersion, admitted.head)
      if (offer.kind === 'none') return false
      if (offer.kind === 'malformed' || turn.answer.upgrade === undefined) {
        const headers = ['Sec-WebSocket-Version', '13']
        turn.refuse({ code: 'http.bad_upgrade', rule: 'handshake', decision: 'error', headers })
        return true
      }
      if (!isOwnPage(turn, admitted, websocket.origins)) {
        turn.refuse({ code: 'authn.foreign_page', rule: 'origin', decision: 'deny' })
        return true
      }
      const { handshake } = offer
      const answer = askForPlace(turn, websocket, places)
      if (answer.kind !== 'waiting') {
        begin(turn, admitted, handshake, answer)
        return true
      }
      turn.giveUp = answer.withdraw
      answer.place.then(place => begin(turn, admitted, handshake, place)).catch(error => turn.fail(error))
      return true
    },
    identities: () => [...open].flatMap(({ identity }) => identity ?? []),
    end: gone => {
      for (const tunnel of [...open]) if (tunnel.identity === gone) tunnel.endRevoked()
    },
    endRevoked: isRevoked => {
      for (const tunnel of [...open]) {
        const certificate = tunnel.certificate
        if (certificate !== undefined && isRevoked(certificate)) tunnel.endRevoked()
      }
    },
    drain: () => {
      isDraining = true
      for (const tunnel of [...open]) tunnel.end(goingAway)
    },
  }
}

/** As rates count. @returns undefined for nobody: behind one address there may be many */
function clientOf({ identity }: Turn): string | undefined {
  return identity && JSON.stringify([identity.source ?? null, identity.id])
}

function askForPlace(turn: Turn, { name, max: maxOfRoute }: WebSocketPolicy, places: TunnelPlaces): PlaceAnswer {
  const { slots, room, max, maxOfOne } = places
  const client = clientOf(turn)
  return slots.ask(
    room,
    client ?? '',
    { sessions: max, queueLength: 0, queueTimeoutMs: 0 },
    {
      perIdentity: client === undefined ? undefined : maxOfOne,
      group: maxOfRoute === undefined ? undefined : { name, sessions: maxOfRoute },
    },
  )
}

/** @returns which of the limits is reached, in words */
function whatIsFull(reason: PlaceRefusal, { route }: Admitted, { max, maxOfOne }: TunnelPlaces): string {
  switch (reason) {
    case 'identity':
      return `${maxOfOne} WebSocket connections of one identity are open`
    case 'role':
      return `${route.websocket?.max} WebSocket connections of the route are open`
    case 'queue-full':
    case 'timed-out':
      return `${max} WebSocket connections are open`
  }
}

/**
 * A browser lets every page open a WebSocket anywhere, and sends cookies, passwords and certificates along: only `Origin` tells whose page
 * it was (RFC 6455 section 10.2). What has none is no browser. Where everybody may come, and the upstream is shown nothing that says who it
 * is, nothing is borrowed; a policy may go by the address alone.
 */
function isOwnPage({ identity, request }: Turn, { head, route }: Admitted, allowed: ReadonlySet<string>): boolean {
  if (identity === undefined && route.isPublic && !route.passesCredentials) return true
  const origins: string[] = []
  for (let at = 0; at < head.rawHeaders.length; at += 2) {
    if (head.rawHeaders[at]?.toLowerCase() === 'origin') origins.push((head.rawHeaders[at + 1] ?? '').toLowerCase())
  }
  const [origin] = origins
  if (origin === undefined) return true
  const own = `${request.secure ? 'https' : 'http'}://${head.host}`.toLowerCase()
  return origins.length === 1 && (origin === own || allowed.has(origin))
}

/** One connection, from its handshake to its end. */
class Tunnel {
  readonly #turn: Turn
  readonly #admitted: Admitted
  readonly #handshake: Handshake
  readonly #closed: () => void
  /** Of what the client is sent: where a Close of ours may stand. */
  readonly #walk = new FrameWalk()
  #idle: NodeJS.Timeout | undefined
  #lifetime: NodeJS.Timeout | undefined
  #isOpen = false
  #isOver = false

  constructor(turn: Turn, admitted: Admitted, handshake: Handshake, closed: () => void) {
    this.#turn = turn
    this.#admitted = admitted
    this.#handshake = handshake
    this.#closed = closed
  }

  get identity(): Identity | undefined {
    return this.#turn.identity
  }

  get certificate(): X509Certificate | undefined {
    return this.#turn.request.clientCertificate?.()
  }

  start(): void {
    try {
      this.#ask()
    } catch (error) {
      // Here and not by whoever started it: its place would stay taken.
      this.#fail(error)
    }
  }

  #ask(): void {
    const turn = this.#turn
    const { head, route } = this.#admitted
    const { request } = turn
    const key = randomBytes(16).toString('base64')
    const text = upstreamHead(
      head,
      route.headers,
      {
        method: request.method,
        peer: request.remoteAddress,
        secure: request.secure,
        requestId: turn.requestId,
        opensBodies: false,
        hint: turn.hint,
      },
      turn.identity,
    )
    const giveUp = route.upstream.send(
      {
        method: request.method,
        target: upstreamTarget(turn, this.#admitted),
        head: text,
        body: { kind: 'upgrade', lines: handshakeLines(key, this.#handshake) },
        responseMs: route.responseMs,
      },
      {
        answer: answer => {
          try {
            this.#answered(answer, key)
          } catch (error) {
            this.#fail(error)
          }
        },
        fail: error => this.#fail(error),
      },
    )
    // The client may leave before there is an answer, and after.
    turn.giveUp = () => {
      giveUp()
      this.#over()
    }
    if (this.#isOver) giveUp()
  }

  /** An account that is gone, a proof that has run out, a certificate that was revoked. */
  endRevoked(): void {
    const { identity } = this
    this.#turn.log(
      'a WebSocket connection was closed',
      new AuthnError('authn.failed', `${identity?.id ?? 'nobody'} could not come in as the same today`),
    )
    this.end(policyViolation)
  }

  /** Says Close to the client where that can be said, and ends both sides. */
  end(code: number): void {
    if (this.#isOver) return
    const { answer } = this.#turn
    if (!this.#isOpen) {
      this.#fail(new HttpError('http.upstream_busy', 'a handshake that was under way when it was to end'))
      return
    }
    const mayTell = this.#walk.isBetween
    this.#turn.giveUp?.()
    if (!mayTell) {
      answer.abort()
      return
    }
    answer.write(closeFrame(code))
    answer.end()
  }

  #answered(answer: UpstreamAnswer, key: string): void {
    const turn = this.#turn
    if (this.#isOver) return
    if (answer.head.status !== 101) {
      this.#over()
      const waiting = respond(turn, { answer, plan: undefined, sealed: [] }, this.#admitted.route.maxJsonBytes)
      if (waiting !== undefined) waiting.catch(error => turn.fail(error))
      return
    }
    const wrong = wrongAcceptance(answer.head, key, this.#handshake)
    if (wrong !== undefined || answer.send === undefined) {
      throw new HttpError('http.bad_answer', `the upstream sent ${wrong ?? 'no connection'}`)
    }
    turn.record('permit', 101)
    if (!turn.claimAnswer()) return
    const incoming = turn.answer.upgrade?.([
      ...acceptanceHeaders(this.#handshake, answer.head),
      ...turn.headers,
      'X-Request-Id',
      turn.requestId,
    ])
    if (incoming === undefined) {
      // Bytes behind the handshake, before there was an answer to it: a client that does not know what it is for.
      turn.cut()
      return
    }
    this.#relay(answer, answer.send, incoming)
  }

  #relay(answer: UpstreamAnswer, send: (source: BodySource) => void, incoming: BodySource): void {
    const turn = this.#turn
    const { websocket } = this.#admitted.route
    this.#isOpen = true
    if (websocket !== undefined) {
      this.#idle = setTimeout(() => this.end(goingAway), websocket.idleMs).unref()
      if (websocket.lifetimeMs !== undefined) {
        this.#lifetime = setTimeout(() => this.end(goingAway), websocket.lifetimeMs).unref()
      }
    }
    const ended = (): void => turn.giveUp?.()
    turn.answer.watch({ drained: () => answer.body.resume(), closed: ended })
    send({
      start: sink =>
        incoming.start({
          chunk: bytes => {
            this.#idle?.refresh()
            return sink.chunk(bytes)
          },
          end: () => sink.end(),
          fail: cause => sink.fail(cause),
        }),
      resume: () => incoming.resume(),
      cancel: () => incoming.cancel(),
    })
    answer.body.start({
      chunk: bytes => {
        if (this.#isOver) return true
        this.#idle?.refresh()
        this.#walk.push(bytes)
        return turn.answer.write(bytes)
      },
      end: () => {
        if (this.#isOver) return
        turn.answer.end()
        ended()
      },
      fail: () => {
        if (this.#isOver) return
        ended()
        turn.answer.abort()
      },
    })
  }

  #fail(error: unknown): void {
    if (this.#isOver) return
    this.#turn.fail(error)
    this.#over()
  }

  #over(): void {
    if (this.#isOver) return
    this.#isOver = true
    clearTimeout(this.#idle)
    clearTimeout(this.#lifetime)
    this.#closed()
  }
}
