import type { Socket } from 'node:net'
import type { Identity } from '../authn/identity.ts'
import type { RevocationCheck } from '../authn/revocation/revocation-check.ts'
import { admit } from './admission.ts'
import { ConnectionLost, endSocket } from './byte-input.ts'
import { Conversation, newSessionId } from './conversation.ts'
import { DatabaseLogins, whyNoLogin } from './database-login.ts'
import type { AuditContext } from './execution.ts'
import { fatalResponse, PostgresError, toGatewayError } from './failure.ts'
import { login } from './login.ts'
import type { LoggedIn, LoginContext } from './login-result.ts'
import type { PostgresListenerOptions } from './option.ts'
import { Session } from './session.ts'
import { type CancelKey, Sessions } from './sessions.ts'
import { readStartupRequest, type StartupRequest } from './startup-settings.ts'
import type { DatabaseState, DoorState, SessionSummary } from './state.ts'
import { createTlsFront, type DoorTls, type TlsFront, verifiedCertificate } from './tls.ts'
import { cancelUpstream, type Upstream } from './upstream.ts'
import { UpstreamRefusal } from './upstream-login.ts'
import { MessageBuilder } from './wire/builder.ts'
import { rebuildErrorResponse } from './wire/error-response.ts'
import { authentication, back, status } from './wire/message.ts'
import { buildNegotiateVersion, type StartupMessage } from './wire/startup.ts'
import { WireError } from './wire/wire-error.ts'

/** What a listener is bound to for good; the state behind it can be swapped. */
export interface DoorOptions
  extends Pick<
    PostgresListenerOptions,
    'databases' | 'authentication_timeout' | 'max_connections' | 'max_frame_bytes' | 'max_pending' | 'max_prepared'
  > {
  /** The listener's name, for the trail and the log. */
  readonly name: string
  readonly tls: DoorTls | undefined
}

const newestMinor = 2

/** Writes the line of a login. */
type LoginAudit = (
  identity: Identity | undefined,
  decision: 'permit' | 'deny' | 'error',
  rule: string,
  code: string | undefined,
) => void

/** Serves accepted connections: one client, one identity, one connection to PostgreSQL. */
export class PostgresDoor {
  readonly sessions = new Sessions()
  readonly #options: DoorOptions
  #tls: TlsFront | undefined
  #revocation: RevocationCheck | undefined
  readonly #databaseLogins = new DatabaseLogins()
  #state: DoorState
  #open = 0
  /** Connections that are not logged in yet. */
  readonly #entering = new Set<Socket>()
  #stopping = false

  constructor(options: DoorOptions, state: DoorState) {
    this.#options = options
    this.#state = state
    this.#tls = options.tls === undefined ? undefined : createTlsFront(options.tls, options.authentication_timeout)
    this.#revocation = options.tls?.revocation
  }

  /** New connections meet the new state; open sessions keep the one they began with. */
  swap(state: DoorState): void {
    this.#state = state
  }

  /** For connections from now on. */
  renewTls(tls: DoorTls): void {
    this.#tls = createTlsFront(tls, this.#options.authentication_timeout)
    this.#revocation = tls.revocation
  }

  /** Lets nobody in any more, and waits for the sessions to end. */
  async drain(timeoutMs: number): Promise<void> {
    this.#stopping = true
    for (const socket of this.#entering) socket.destroy()
    await this.sessions.drain(
      new PostgresError('postgres.shutting_down', 'terminating connection: the gateway stops'),
      timeoutMs,
    )
    this.#revocation?.close()
  }

  /** Ends every session that `which` names, with 57P01. @returns how many there were */
  endSessions(which: (summary: SessionSummary) => boolean): number {
    return this.sessions.endWhere(
      which,
      new PostgresError('postgres.session_ended', 'terminating connection: the identity was revoked'),
    )
  }

  /** Serves one accepted connection. Never rejects. */
  async serve(socket: Socket): Promise<void> {
    const requestId = newSessionId()
    const state = this.#state
    // Room for cancel requests, and for telling some that there is none; no more, for nobody has to log in to get here.
    if (this.#open >= this.#options.max_connections * 2 + 10) {
      socket.destroy()
      return
    }
    this.#open += 1
    socket.once('close', () => {
      this.#open -= 1
    })
    socket.on('error', () => {})
    socket.setNoDelay(true)
    socket.setKeepAlive(true)
    const timer = setTimeout(() => socket.destroy(), this.#options.authentication_timeout)
    this.#entering.add(socket)
    try {
      await this.#admit(socket, state, requestId)
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

  async #admit(socket: Socket, state: DoorState, requestId: string): Promise<void> {
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
      await this.sessions.cancel(admission.request.processId, admission.request.key)
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
        address: socket.remoteAddress ?? '',
        tls: admission.tls !== undefined,
        certificate: verifiedCertificate(admission.tls),
        channelBinding: admission.tls === undefined ? undefined : tls?.channelBinding,
        revocation: this.#revocation,
      }
      negotiateVersion(client, admission.message)
      const request = readStartupRequest(admission.message, state.plugged)
      await this.#login(state, request, context, admission.message, requestId, fail)
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
  ): Promise<void> {
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
    let entered = false
    try {
      entered = await this.#enter(state, result, request, context, message, requestId, audit, fail)
    } finally {
      result.keys?.clientKey.fill(0)
      if (!entered) result.opened?.socket.destroy()
    }
  }

  /** Somebody is identified: decides, logs in to the database, and hands over to the session. @returns whether it came to that */
  async #enter(
    state: DoorState,
    entered: LoggedIn,
    request: StartupRequest,
    context: LoginContext,
    message: StartupMessage,
    requestId: string,
    audit: LoginAudit,
    fail: (error: unknown) => void,
  ): Promise<boolean> {
    const { identity, rule } = entered
    context.socket.write(entered.serverFinal)
    const permitted = this.#permit(state, request, entered)
    if (permitted.kind === 'refused') {
      audit(identity, 'deny', permitted.rule, permitted.error.code)
      fail(permitted.error)
      return false
    }
    audit(identity, 'permit', `${rule}, ${permitted.rule}`, undefined)
    const { database } = permitted
    const upstream = await this.#upstream(state, database, entered, request, requestId, fail)
    if (upstream === undefined) return false
    if (context.socket.destroyed) {
      upstream.socket.destroy()
      return false
    }
    const auditContext: AuditContext = {
      audit: state.audit,
      sessionId: requestId,
      identity,
      address: context.address,
      database: database.name,
      rule: permitted.rule,
    }
    this.#relay(state, database, auditContext, upstream, context, message)
    return true
  }

  /** What is told only to who is known: whether the database exists, whether the policy permits, whether a setting is allowed. */
  #permit(
    state: DoorState,
    request: StartupRequest,
    entered: LoggedIn,
  ):
    | { readonly kind: 'permitted'; readonly database: DatabaseState; readonly rule: string }
    | { readonly kind: 'refused'; readonly error: PostgresError; readonly rule: string } {
    const { databases } = this.#options
    const database = databases?.includes(request.database) === false ? undefined : state.databases.get(request.database)
    if (database === undefined) {
      const error = new PostgresError('postgres.unknown_database', `database "${request.database}" does not exist`)
      return { kind: 'refused', error, rule: 'no such database' }
    }
    const decision = database.gate.decide(entered.identity, { door: 'postgres', verb: 'connect' })
    if (decision.kind === 'deny') {
      const error = new PostgresError(
        'postgres.connect_denied',
        `permission denied for database "${request.database}": ${decision.rule}`,
      )
      return { kind: 'refused', error, rule: decision.rule }
    }
    const misfit = whyNoLogin(database, entered)
    if (misfit !== undefined) return { kind: 'refused', error: misfit, rule: 'login of the database' }
    if (request.refused !== undefined) return { kind: 'refused', error: request.refused, rule: 'startup parameters' }
    return { kind: 'permitted', database, rule: decision.rule }
  }

  async #upstream(
    state: DoorState,
    database: DatabaseState,
    entered: LoggedIn,
    request: StartupRequest,
    requestId: string,
    fail: (error: unknown) => void,
  ): Promise<Upstream | undefined> {
    try {
      return await this.#databaseLogins.open(database, entered, request)
    } catch (thrown) {
      state.log({
        level: 'error',
        message: `database ${database.name}: login at PostgreSQL failed`,
        requestId,
        cause: thrown,
      })
      fail(thrown)
      return undefined
    }
  }

  #relay(
    state: DoorState,
    database: DatabaseState,
    audit: AuditContext,
    upstream: Upstream,
    context: LoginContext,
    message: StartupMessage,
  ): void {
    const key: CancelKey = this.sessions.newKey(message.minor >= newestMinor ? 32 : 4)
    const { identity, address } = audit
    const { certificate } = context
    const summary: SessionSummary = {
      id: audit.sessionId,
      identity,
      database: database.name,
      address,
      since: state.now(),
      hasRevokedCertificate: () => certificate !== undefined && this.#revocation?.isKnownRevoked(certificate) === true,
    }
    const limits = {
      maxFrameBytes: this.#options.max_frame_bytes,
      maxPending: this.#options.max_pending,
      maxPrepared: this.#options.max_prepared,
    }
    const session = new Session({
      summary,
      talk: new Conversation(state, database, audit, limits),
      client: context.socket,
      received: context.input.release(),
      upstream,
      cancel: () => cancelUpstream(database.upstream, upstream.processId, upstream.key),
      onEnd: () => this.sessions.remove(key),
    })
    this.sessions.add(key, session)
    const greeting = new MessageBuilder(upstream.greeting.length + 64)
    greeting.begin(back.authentication).int32(authentication.ok).end().bytes(upstream.greeting)
    greeting.begin(back.backendKeyData).int32(key.processId).bytes(key.key).end()
    greeting.begin(back.readyForQuery).uint8(status.idle).end()
    context.socket.write(greeting.take())
    session.start()
  }
}

/** A newer minor version, or options that we do not know: say what we speak, and go on (before any authentication request). */
function negotiateVersion(client: Socket, message: StartupMessage): void {
  if (message.minor <= newestMinor && message.protocolOptions.length === 0) return
  const minor = Math.min(message.minor, newestMinor)
  client.write(buildNegotiateVersion(0x0003_0000 + minor, message.protocolOptions))
}
