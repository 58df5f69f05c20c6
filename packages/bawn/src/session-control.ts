import { randomUUID } from 'node:crypto'
import type { Operator } from './admin/door.ts'
import type { KilledSession, SessionChoice, SessionRow } from './admin/sessions.ts'
import type { AuditTrail } from './audit/event.ts'
import type { PostgresListener } from './postgres/listener.ts'
import type { SessionSummary } from './postgres/state.ts'

type Listeners = ReadonlyMap<string, Pick<PostgresListener, 'sessions' | 'endSessions'>>

const iso = (ms: number): string => new Date(ms).toISOString()

function row({ id, identity, address, applicationName, database, since, server, now }: SessionSummary): SessionRow {
  const { activity, since: stateSince, bytesIn, bytesOut } = now()
  return {
    id,
    user: identity.id,
    mechanism: identity.mechanism,
    address,
    application_name: applicationName,
    database,
    state: activity,
    state_since: iso(stateSince),
    since: iso(since),
    bytes_in: bytesIn,
    bytes_out: bytesOut,
    server: server?.address ?? null,
    server_pid: server?.processId ?? null,
  }
}

const open = (listeners: Listeners): SessionSummary[] => [...listeners.values()].flatMap(({ sessions }) => sessions())

/** Open sessions of every listener, the oldest first. */
export function listSessions(listeners: Listeners): readonly SessionRow[] {
  return open(listeners)
    .sort((one, other) => one.since - other.since)
    .map(row)
}

/** Ends the sessions of these ids. */
export function endSessions(listeners: Listeners, ids: ReadonlySet<string>): void {
  for (const { endSessions: end } of listeners.values()) end(session => ids.has(session.id), 'killed')
}

/** Those that fit, of all that are open. Each has its line in the trail when this returns; where that cannot be written, it throws. */
export function chooseSessions(
  open: readonly SessionRow[],
  trail: AuditTrail,
  { id, user, database }: SessionChoice,
  by: Operator,
): readonly KilledSession[] {
  const fits = (session: SessionRow): boolean =>
    (id === undefined || session.id === id) &&
    (user === undefined || session.user === user) &&
    (database === undefined || session.database === database)
  const chosen = open.filter(fits)
  const requestId = randomUUID()
  const tell = (resource: string): void =>
    trail.emit({
      kind: 'admin',
      requestId,
      door: 'admin',
      identity: undefined,
      claimedName: by.name,
      address: by.address,
      action: 'session kill',
      resource,
      decision: 'permit',
      rule: 'admin token',
    })
  for (const session of chosen) tell(`${session.database}/${session.user}/${session.id}`)
  if (chosen.length === 0) tell('no session')
  trail.commit()
  return chosen.map(session => ({ id: session.id, user: session.user, database: session.database }))
}
