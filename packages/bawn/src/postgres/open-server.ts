import { poolRoom } from '../limits/session-slots.ts'
import type { DatabaseLogins } from './database-login.ts'
import type { LoggedIn } from './login-result.ts'
import { parameterStatuses } from './pool/connection.ts'
import { Lease, pooledSession } from './pool/lease.ts'
import type { Profile } from './pool/profile.ts'
import type { UpstreamPool } from './pool/upstream-pool.ts'
import { ownConnection, type ServerSource } from './server-side.ts'
import { limitKey } from './session-limits.ts'
import type { StartupRequest } from './startup-settings.ts'
import type { DatabaseState, DoorState, UpstreamTarget } from './state.ts'
import type { Upstream } from './upstream.ts'

/** What a session begins on. */
export interface OpenedServer {
  readonly source: ServerSource
  /** The connection, where nobody else ever has it. */
  readonly own?: Upstream
  /** Where PostgreSQL is. */
  readonly target: UpstreamTarget
  /** What came behind the greeting. */
  readonly rest: Buffer
  /** Reported settings, and what else the server has said, for the client. */
  readonly greeting: Buffer
  readonly parameters: Map<string, string>
  /** To be called when the session has let go of its connections. */
  readonly onEnd: () => void
  /** There will be no session. */
  readonly abandon: () => void
}

/**
 * A connection for a session: its own, one of a pool for as long as it lasts, or one for each of its transactions.
 *
 * @param leave gives the session's place back: it is free when its connection is
 * @throws (rejects with) what `DatabaseLogins` throws; the place is still taken then
 */
export async function openServer(
  logins: DatabaseLogins,
  state: DoorState,
  database: DatabaseState,
  entered: LoggedIn,
  request: StartupRequest,
  leave: () => void,
): Promise<OpenedServer> {
  const { pool } = database
  // What replicates ends in no state that could be taken off.
  if (pool === undefined || request.replication !== undefined) {
    const upstream = await logins.open(database, entered, request)
    if (upstream.socket.closed) leave()
    else upstream.socket.once('close', leave)
    const { target, greeting, parameters, rest } = upstream
    const abandon = (): void => void upstream.socket.destroy()
    const source = ownConnection(upstream)
    return { source, own: upstream, target, rest, greeting, parameters: new Map(parameters), onEnd: () => {}, abandon }
  }
  const profile = logins.profile(database, entered, request)
  if (pool.mode === 'transaction') return await openLease(pool, profile)
  const connection = await pool.take(profile, () => logins.open(database, entered, request))
  const source = pooledSession(pool, connection, leave)
  const { parameters, greeting } = connection
  const { target, rest } = connection.upstream
  const abandon = (): void => void source.giveBack('state')
  return { source, target, rest, greeting, parameters, onEnd: () => {}, abandon }

  async function openLease(of: UpstreamPool, wanted: Profile): Promise<OpenedServer> {
    const { limits, name } = database
    const { queueLength, queueTimeoutMs } = limits
    const places = { sessions: of.size, queueLength, queueTimeoutMs, isOfThread: true }
    const who = limitKey(entered.identity)
    const lease = new Lease({
      pool: of,
      profile: wanted,
      open: () => logins.openShared(database, entered, request),
      ask: () => state.slots.ask(poolRoom(name), who, places, { perIdentity: undefined, group: undefined }),
      database: name,
    })
    const target = database.upstream
    let parameters = of.parametersOf(wanted)
    if (parameters === undefined) {
      // Whether there can be such a session, PostgreSQL has not been asked yet.
      const taken = lease.take()
      if (taken !== true) await taken
      parameters = new Map(lease.parameters)
      lease.giveBack('nothing')
    }
    const greeting = parameterStatuses(parameters)
    return { source: lease, target, rest: Buffer.alloc(0), greeting, parameters, onEnd: leave, abandon: leave }
  }
}
