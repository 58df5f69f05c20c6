import type { Socket } from 'node:net'
import type { AccessLog } from '../audit/access-log.ts'
import type { RevocationCheck } from '../authn/revocation/revocation-check.ts'
import type { RateLimit } from '../limits/rate-limit.ts'
import { poolRoom } from '../limits/session-slots.ts'
import { admit } from './admission.ts'
import { ConnectionLost, endSocket } from './byte-input.ts'
import { newSessionId } from './conversation.ts'
import { Entrance, type LoginAudit, newestMinor } from './entrance.ts'
import { fatalResponse, PostgresError, toGatewayError } from './failure.ts'
import { login } from './login.ts'
import type { LoginContext } from './login-result.ts'
import type { PostgresListenerOptions } from './option.ts'
import { type OtherThreads, Sessions } from './sessions.ts'
import { readStartupRequest, type StartupRequest } from './startup-settings.ts'
import type { DoorState, SessionSummary } from './state.ts'
import { createTlsFront, type DoorTls, type TlsFront, verifiedCertificate } from './tls.ts'
import { UpstreamRefusal } from './upstream-login.ts'
import { rebuildErrorResponse } from './wire/error-response.ts'
import { buildNegotiateVersion, type StartupMessage } from './wire/startup.ts'
import { WireError } from './wire/wire-error.ts'

/** What a listener is bound to for good; the state behind it can be swapped. */
export interface DoorOptions
  extends Pick<
    PostgresListenerOptions,
    | 'databases'
    | 'authentication_timeout'
    | 'keepalive'
    | 'write_timeout'
    | 'max_connections'
    | 'max_frame_bytes'
    | 'max_pending'
    | 'max_prepared'
    | 'proxy_protocol'
  > {
  /** The listener's name, for the trail and the log. */
  readonly name: string
  readonly tls: DoorTls | undefined
  /** Of connections. */
  readonly rateLimit?: RateLimit | undefined
  /** `undefined`: none is written. */
  readonly accessLog?: AccessLog | undefined
  /** `undefined`: the gateway is one thread. */
  readonly threads?: OtherThreads | undefined
}

/** Why somebody else than client and server ends a session. */
export type EndReason = 'revoked' | 'killed'

/** Refused connections that may still be reading why; further ones are closed without a word. */
const maxRefused = 100
const refusedLingerMs = 1_000

const endings: { readonly [why in EndReason]: () => PostgresError } = {
  revoked: () => new PostgresError('postgres.session_ended', 'terminating connection: the identity was revoked'),
  killed: () => new PostgresError('postgres.session_killed', 'terminating connection: an operator ended the session'),
}

/** How long a transaction may go on whose session would not be let in any more. */
const withdrawnMs = 30_000

function mayStay(state: DoorState, { database, identity }: SessionSummary): boolean {
  const now = state.databases.get(database)
  if (now === undefined) return false
  try {
    return now.gate.decide(identity, { door: 'postgres', verb: 'connect' }).kind === 'permit'
  } catch {
    // Grants cannot be read just now: as with a revocation, no session ends for that.
    return true
  }
}

/** Serves accepted connections: one client, one identity, one connection to PostgreSQL. */
export class PostgresDoor {
  readonly sessions: Sessions
  readonly #options: DoorOptions
  #tls: TlsFront | undefined
  #revocation: RevocationCheck | undefined
  readonly #entrance: Entrance
  #state: DoorState
  #open = 0
  /** Connections that are not logged in yet. */
  readonly #entering = new Map<Socket, NodeJS.Timeout>()
  /** Connections that are being told that their address has had enough; no limit counts them, for they cost nothing else. */
  readonly #refused = new Set<Socket>()
  #stopping = false

  constructor(options: DoorOptions, state: DoorState) {
    this.#options = options
    this.#state = state
    this.sessions = new Sessions(options.threads, summary => this.#ended(summary))
    this.#tls = options.tls === undefined ? undefined : createTlsFront(options.tls, options.authentication_timeout)
    this.#revocation = options.tls?.revocation
    this.#entrance = new Entrance(options, this.sessions, () => this.#revocation)
  }

  /** New connections meet the new state; open sessions keep the one they began with, if they may still be in their database. */
  swap(state: DoorState): void {
    for (const [name, { pool }] of this.#state.databases) {
      if (state.databases.get(name)?.pool !== pool) pool?.retire()
    }
    this.#state = state
    for (const [name, { limits, pool }] of state.databases) {
      state.slots.resize(name, limits.sessions)
      if (pool !== undefined) state.slots.resize(poolRoom(name), pool.size)
    }
    this.#withdraw(() => true)
  }

  /** Ends those among some sessions that would not be let in any more. */
  #withdraw(among: (session: SessionSummary) => boolean): void {
    const why = 'terminating connection: the configuration lets this session into the database no longer'
    const error = new PostgresError('postgres.access_withdrawn', why)
    this.sessions.drainWhere(session => among(session) && !mayStay(this.#state, session), error, withdrawnMs)
  }

  #ended(summary: SessionSummary): void {
    const { accessLog } = this.#options
    if (accessLog === undefined) return
    const { id, identity, database, address, applicationName, since } = summary
    const { activity, bytesIn, bytesOut } = summary.now()
    // It has waited for its place, and is another session now, or none.
    if (activity === 'waiting') return
    const durationMs = Math.max(0, this.#state.now() - since)
    const session = { requestId: id, identity, database, address, applicationName, durationMs, bytesIn, bytesOut }
    accessLog.session({ ...session, code: undefined })
  }

  /** For connections from now on. */
  renewTls(tls: DoorTls): void {
    this.#tls = createTlsFront(tls, this.#options.authentication_timeout)
    this.#revocation = tls.revocation
  }

  /** Lets nobody in any more, and waits for the sessions to end. */
  async drain(timeoutMs: number): Promise<void> {
    this.#stopping = true
    for (const socket of [...this.#entering.keys(), ...this.#refused]) socket.destroy()
    await this.sessions.drain(
      new PostgresError('postgres.shutting_down', 'terminating connection: the gateway stops'),
      timeoutMs,
    )
    this.#revocation?.close()
  }

  /** Ends every session that `which` names, with 57P01. @returns those that there were */
  endSessions(which: (summary: SessionSummary) => boolean, why: EndReason): readonly SessionSummary[] {
    return this.sessions.endWhere(which, endings[why]())
  }

  /** A connection that ended before it was the door's. */
  refused(peer: string, why: string): void {
    this.#state.log({ level: 'info', message: `closed before login: ${why}, from ${peer}`, requestId: newSessionId() })
  }

  /** Serves one accepted connection. Never rejects. @param address of the client, where it is not the peer's */
  async serve(socket: Socket, address: string = socket.remoteAddress ?? ''): Promise<void> {
    socket.on('error', () => {})
    // It has been reset, and what it sent before is still here: rules about addresses would not know whom it comes from.
    if (address === '') {
      socket.destroy()
      return
    }
    const requestId = newSessionId()
    const state = this.#state
    if (!(await this.#isWithinRate(socket, address, state, requestId))) return
    // Room for cancel requests, and for telling some that there is none; no more, for nobody has to log in to get here.
    if (this.#open >= this.#options.max_connections * 2 + 10) {
      socket.destroy()
      return
    }
    this.#open += 1
    socket.once('close', () => {
      this.#open -= 1
    })
    socket.setNoDelay(true)
    socket.setKeepAlive(true, this.#options.keepalive)
    const timer = setTimeout(() => socket.destroy(), this.#options.authentication_timeout)
    this.#entering.set(socket, timer)
    try {
      await this.#admit(socket, address, state, requestId)
    } catch (thrown) {
      if (!(thrown instanceof ConnectionLost)) {
        state.log({ level: 'error', message: 'a connection failed', requestId, cause: thrown })
      }
      socket.destroy()
    } finally {
      this.#entering.delete(socket)
      clearTimeout(timer)
    }
  }

  /**
   * Before TLS and before a byte is read: an address that has had enough is told so at once, and costs a few hundred bytes. Clients that
   * begin with TLS do not understand it, and see a handshake that failed.
   */
  async #isWithinRate(socket: Socket, address: string, state: DoorState, requestId: string): Promise<boolean> {
    const { rateLimit } = this.#options
    if (rateLimit === undefined) return true
    let error: PostgresError | undefined
    try {
      const taken = await rateLimit.take(address)
      if (taken.kind === 'permitted') return true
      const seconds = Math.max(1, Math.ceil(taken.retryAfterMs / 1000))
      error = new PostgresError('postgres.rate_limited', `too many connections from this address: wait ${seconds} s`)
    } catch (cause) {
      state.log({ level: 'error', message: 'the rate of connections cannot be known', requestId, cause })
      error = new PostgresError('postgres.login_undecided', 'connections cannot be counted at this time')
    }
    if (this.#refused.size >= maxRefused) {
      socket.destroy()
      return false
    }
    this.#refused.add(socket)
    socket.once('close', () => this.#refused.delete(socket))
    endSocket(socket, fatalResponse(error), refusedLingerMs)
    return false
  }

  async #admit(socket: Socket, address: string, state: DoorState, requestId: string): Promise<void> {
    const tls = this.#tls
    const admission = await admit(socket, tls === undefined ? undefined : raw => tls.start(raw))
    if (admission.kind === 'closed') {
      state.log({ level: 'info', message: `closed before login: ${admission.reason}`, requestId })
      // Half-closed after an answer of ours; destroyed otherwise.
      if (!socket.writableEnded) socket.destroy()
      return
    }
    const client = admission.input.socket
    client.on('error', () => {})
    if (admission.kind === 'cancel') {
      // Clients take the close for the word that the server has heard: their next statement must not be hit.
      await this.sessions.cancel(admission.request.processId, admission.request.key, address)
      client.destroy()
      return
    }
    const fail = (error: unknown): void => {
      admission.input.release()
      // The server's own refusal (too many connections, starting up) is the client's to know.
      const relayed = error instanceof UpstreamRefusal
      endSocket(client, relayed ? rebuildErrorResponse(error.fields) : fatalResponse(toGatewayError(error)))
    }
    try {
      if (this.#stopping) throw new PostgresError('postgres.login_undecided', 'the gateway is shutting down')
      if (this.#open > this.#options.max_connections) {
        throw new PostgresError('postgres.too_many_connections', 'sorry, too many clients already')
      }
      const context: LoginContext = {
        input: admission.input,
        socket: client,
        address,
        tls: admission.tls !== undefined,
        certificate: verifiedCertificate(admission.tls),
        channelBinding: admission.tls && tls?.shownBinding(admission.tls),
        revocation: this.#revocation,
      }
      negotiateVersion(client, admission.message)
      const request = readStartupRequest(admission.message, state.plugged)
      await this.#login(state, request, context, admission.message, requestId, fail, () => {
        clearTimeout(this.#entering.get(socket))
        this.#entering.delete(socket)
      })
    } catch (error) {
      if (error instanceof ConnectionLost) throw error
      if (!(error instanceof PostgresError || error instanceof WireError)) {
        state.log({ level: 'error', message: 'login failed unexpectedly', requestId, cause: error })
      }
      fail(error)
    }
  }

  async #login(
    state: DoorState,
    request: StartupRequest,
    context: LoginContext,
    message: StartupMessage,
    requestId: string,
    fail: (error: unknown) => void,
    identified: () => void,
  ): Promise<void> {
    const begun = state.now()
    const audit: LoginAudit = (identity, decision, rule, code) => {
      state.audit.emit({
        kind: 'login',
        requestId,
        door: 'postgres',
        identity,
        claimedName: identity === undefined ? request.user.slice(0, 128) : undefined,
        address: context.address,
        action: 'connect',
        resource: request.database.slice(0, 128),
        decision,
        rule,
        code,
      })
      state.audit.commit()
      if (decision === 'permit') return
      const { database, applicationName } = request
      const nothing = { durationMs: state.now() - begun, bytesIn: 0, bytesOut: 0 }
      const refused = { requestId, identity, database, address: context.address, applicationName, ...nothing }
      this.#options.accessLog?.session({ ...refused, code: code ?? rule })
    }
    const result = await login(state, request, context)
    if (result.kind === 'failed') {
      // Who asks where to get a token has not tried to log in.
      if (result.reason !== 'discovery')
        audit(undefined, result.reason === 'undecided' ? 'error' : 'deny', result.rule, result.reason)
      state.log({
        level: result.reason === 'undecided' ? 'error' : 'info',
        message: `login failed: ${result.reason}`,
        requestId,
        cause: result.error.cause,
      })
      fail(result.error)
      return
    }
    identified()
    let entered = false
    try {
      entered = await this.#entrance.enter({ state, result, request, context, message, requestId, audit, fail })
      // A reload since it began has seen no session of it.
      if (entered && this.#state !== state) this.#withdraw(({ id }) => id === requestId)
    } finally {
      result.keys?.clientKey.fill(0)
      if (!entered) result.opened?.socket.destroy()
    }
  }
}

/** A newer minor version, or options that we do not know: say what we speak, and go on (before any authentication request). */
function negotiateVersion(client: Socket, message: StartupMessage): void {
  if (message.minor <= newestMinor && message.protocolOptions.length === 0) return
  const minor = Math.min(message.minor, newestMinor)
  client.write(buildNegotiateVersion(0x0003_0000 + minor, message.protocolOptions))
}
