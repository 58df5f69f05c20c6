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

/** Ends the sessions that fit. Each has its line in the trail first; where that cannot be written, none ends. */
export function killSessions(
  listeners: Listeners,
  trail: AuditTrail,
  { id, user, database }: SessionChoice,
  by: Operator,
): readonly KilledSession[] {
  const fits = (session: SessionSummary): boolean =>
    (id === undefined || session.id === id) &&
    (user === undefined || session.identity.id === user) &&
    (database === undefined || session.database === database)
  const chosen = open(listeners).filter(fits)
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
  for (const session of chosen) tell(`${session.database}/${session.identity.id}/${session.id}`)
  if (chosen.length === 0) tell('no session')
  trail.commit()
  const ids = new Set(chosen.map(session => session.id))
  for (const { endSessions } of listeners.values()) endSessions(session => ids.has(session.id), 'killed')
  return chosen.map(session => ({ id: session.id, user: session.identity.id, database: session.database }))
}
