import type { Identity } from '../authn/identity.ts'
import type { RevocationCheck } from '../authn/revocation/revocation-check.ts'
import { type Place, type PlaceAnswer, type PlaceRefusal, poolRoom } from '../limits/session-slots.ts'
import { formatHostPort } from '../option.ts'
import { Conversation } from './conversation.ts'
import { DatabaseLogins, whyNoLogin, whyNoReplica } from './database-login.ts'
import type { AuditContext } from './execution.ts'
import { PostgresError } from './failure.ts'
import type { LoggedIn, LoginContext } from './login-result.ts'
import { type OpenedServer, openServer } from './open-server.ts'
import type { PostgresListenerOptions } from './option.ts'
import { ReplicationSession, whyNoReplication } from './replication.ts'
import { Session } from './session.ts'
import { limitKey } from './session-limits.ts'
import type { CancelKey, Sessions } from './sessions.ts'
import type { StartupRequest } from './startup-settings.ts'
import type { DatabaseState, DoorState, SessionNow } from './state.ts'
import { isUpstreamAlive } from './upstream.ts'
import { WaitingSession } from './waiting-session.ts'
import { MessageBuilder } from './wire/builder.ts'
import { authentication, back, status } from './wire/message.ts'
import type { StartupMessage } from './wire/startup.ts'

/** Of protocol 3. */
export const newestMinor = 2

/** Writes the line of a login. */
export type LoginAudit = (
  identity: Identity | undefined,
  decision: 'permit' | 'deny' | 'error',
  rule: string,
  code: string | undefined,
) => void

/** Somebody who has proven who it is. */
export interface Entrant {
  readonly state: DoorState
  readonly result: LoggedIn
  readonly request: StartupRequest
  readonly context: LoginContext
  readonly message: StartupMessage
  readonly requestId: string
  readonly audit: LoginAudit
  /** Tells the client why not, and closes. */
  readonly fail: (error: unknown) => void
}

const refusals: { readonly [reason in PlaceRefusal]: (database: string) => string } = {
  identity: database => `too many sessions of this user in database "${database}"`,
  role: database => `too many sessions of this role in database "${database}"`,
  'queue-full': database => `too many clients wait for database "${database}" already`,
  'timed-out': database => `database "${database}" has as many sessions as it may have, and none ended in time`,
}

type EntranceOptions = Pick<
  PostgresListenerOptions,
  'databases' | 'write_timeout' | 'max_frame_bytes' | 'max_pending' | 'max_prepared'
>

/** From being identified to a session: policy, the login at PostgreSQL, and the greeting. */
export class Entrance {
  readonly #options: EntranceOptions
  readonly #sessions: Sessions
  readonly #revocation: () => RevocationCheck | undefined
  readonly #databaseLogins = new DatabaseLogins()

  /** @param revocation of certificates of clients, as it is by then: it is renewed with them */
  constructor(options: EntranceOptions, sessions: Sessions, revocation: () => RevocationCheck | undefined) {
    this.#options = options
    this.#sessions = sessions
    this.#revocation = revocation
  }

  /** Decides, logs in to the database, and hands over to the session. @returns whether it came to that */
  async enter(proven: Entrant): Promise<boolean> {
    // What proves us to the client goes out with the next that it is told, whatever that is.
    const entrant: Entrant = {
      ...proven,
      fail: error => {
        const { serverFinal } = proven.result
        if (serverFinal.length > 0) proven.context.socket.write(serverFinal)
        proven.fail(error)
      },
    }
    const { state, result, request, context, requestId, audit, fail } = entrant
    const { identity, rule } = result
    const permitted = this.#permit(state, request, result)
    if (permitted.kind === 'refused') {
      audit(identity, 'deny', permitted.rule, permitted.error.code)
      fail(permitted.error)
      return false
    }
    audit(identity, 'permit', `${rule}, ${permitted.rule}`, undefined)
    const { database } = permitted
    const leave = await this.#place(entrant, database)
    if (leave === undefined) return false
    const opened = await this.#open(entrant, database, leave)
    if (opened === undefined) return false
    const stopping = this.#sessions.draining
    if (stopping !== undefined) fail(stopping)
    if (stopping !== undefined || context.socket.destroyed) {
      opened.abandon()
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
    this.#relay(entrant, database, auditContext, opened)
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
      return { kind: 'refused', error, rule: decision.reason ?? decision.rule }
    }
    const replication = request.replication && whyNoReplication(database, entered.identity)
    if (replication !== undefined) return { kind: 'refused', ...replication }
    const misfit = whyNoLogin(database, entered) ?? whyNoReplica(database, request)
    if (misfit !== undefined) return { kind: 'refused', error: misfit, rule: 'login of the database' }
    if (request.refused !== undefined) return { kind: 'refused', error: request.refused, rule: 'startup parameters' }
    return { kind: 'permitted', database, rule: decision.rule }
  }

  /** What is known of somebody's session before there is one. */
  #about({ state, result, request, context, requestId }: Entrant, database: DatabaseState) {
    const { certificate } = context
    return {
      id: requestId,
      identity: result.identity,
      database: database.name,
      address: context.address,
      applicationName: request.applicationName,
      since: state.now(),
      hasRevokedCertificate: () =>
        certificate !== undefined && this.#revocation()?.isKnownRevoked(certificate) === true,
    }
  }

  /**
   * Takes a place in the database, and where a session keeps a connection of the pool one there, or waits for them.
   *
   * @returns what gives them back; `undefined` when there is none, and the client knows
   */
  async #place(entrant: Entrant, database: DatabaseState): Promise<(() => void) | undefined> {
    const { identity } = entrant.result
    const { slots } = entrant.state
    const { name, limits, pool } = database
    const who = limitKey(identity)
    const leave = await this.#wait(entrant, database, slots.ask(name, who, limits, limits.of(identity)))
    if (leave === undefined || pool?.mode !== 'session') return leave
    const { queueLength, queueTimeoutMs } = limits
    const places = { sessions: pool.size, queueLength, queueTimeoutMs, isOfThread: true }
    const free = { perIdentity: undefined, group: undefined }
    const leavePool = await this.#wait(entrant, database, slots.ask(poolRoom(name), who, places, free))
    if (leavePool === undefined) {
      leave()
      return undefined
    }
    return () => {
      leavePool()
      leave()
    }
  }

  async #wait(entrant: Entrant, database: DatabaseState, answer: PlaceAnswer): Promise<(() => void) | undefined> {
    const { context, fail } = entrant
    let place: Place | undefined
    if (answer.kind === 'waiting') {
      const waiting = new WaitingSession(this.#about(entrant, database), context.socket, answer)
      const key = this.#sessions.newKey(4)
      this.#sessions.add(key, waiting)
      place = await waiting.place
      this.#sessions.remove(key)
      if (waiting.ended !== undefined) {
        if (place?.kind === 'taken') place.leave()
        fail(waiting.ended)
        return undefined
      }
    } else place = answer
    if (place === undefined) return undefined
    if (place.kind === 'taken') return place.leave
    fail(new PostgresError('postgres.too_many_sessions', refusals[place.reason](database.name)))
    return undefined
  }

  /** @param leave to be called when the session has its place no longer. @returns `undefined` when there is none, and the client knows */
  async #open(entrant: Entrant, database: DatabaseState, leave: () => void): Promise<OpenedServer | undefined> {
    const { state, result, request, requestId, context, fail } = entrant
    try {
      if (!context.socket.destroyed)
        return await openServer(this.#databaseLogins, state, database, result, request, leave)
    } catch (thrown) {
      state.log({
        level: 'error',
        message: `database ${database.name}: login at PostgreSQL failed`,
        requestId,
        cause: thrown,
      })
      fail(thrown)
    }
    leave()
    return undefined
  }

  #relay(entrant: Entrant, database: DatabaseState, audit: AuditContext, opened: OpenedServer): void {
    const { state, context, message, request } = entrant
    // In a transaction's pool a session has no connection of its own.
    const server = opened.source.upstream?.processId
    const key: CancelKey = this.#sessions.newKey(message.minor >= newestMinor ? 32 : 4, server)
    const { max_frame_bytes: maxFrameBytes, max_pending: maxPending, max_prepared: maxPrepared } = this.#options
    const parts = {
      summary: {
        ...this.#about(entrant, database),
        get server() {
          const { upstream } = opened.source
          return upstream && { address: formatHostPort(upstream.target), processId: upstream.processId }
        },
        now: (): SessionNow => session.now(),
      },
      client: context.socket,
      received: context.input.release(),
      onEnd: () => {
        this.#sessions.remove(key)
        opened.onEnd()
      },
    }
    const { target, rest, own } = opened
    const talk = new Conversation(state, database, audit, { maxFrameBytes, maxPending, maxPrepared })
    talk.parameters.learn(opened.parameters)
    const session: Session | ReplicationSession =
      request.replication === undefined || own === undefined
        ? new Session({
            ...parts,
            server: opened.source,
            rest,
            limits: { ...database.limits.of(audit.identity), silence: target.probeAfterMs },
            writeTimeoutMs: this.#options.write_timeout,
            isServerAlive: () => isUpstreamAlive(opened.source.upstream?.target ?? target),
            talk,
          })
        : new ReplicationSession({ ...parts, upstream: own, cancel: () => opened.source.cancel(), state, audit })
    this.#sessions.add(key, session)
    const { serverFinal } = entrant.result
    const greeting = new MessageBuilder(serverFinal.length + opened.greeting.length + 64)
    greeting.bytes(serverFinal).begin(back.authentication).int32(authentication.ok).end().bytes(opened.greeting)
    greeting.begin(back.backendKeyData).int32(key.processId).bytes(key.key).end()
    greeting.begin(back.readyForQuery).uint8(status.idle).end()
    context.socket.write(greeting.take())
    session.start()
  }
}
