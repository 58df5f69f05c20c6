import type { Identity } from '../authn/identity.ts'
import type { Allowance, DatabasePlaces } from '../limits/session-slots.ts'
import type { DatabaseOptions } from './option.ts'
import type { TimeLimits } from './session-clock.ts'

/** Limits of the sessions in one database. */
export interface SessionLimits extends DatabasePlaces {
  /** Of this identity: those of the first entry that names one of its roles, and where that is silent, those of the database. */
  of(identity: Pick<Identity, 'roles'>): IdentityLimits
}

export interface IdentityLimits extends Allowance, Omit<TimeLimits, 'silence'> {
  readonly lockWait: number | undefined
}

/** Compiles `limits` of a database. */
export function createSessionLimits(options: DatabaseOptions['limits']): SessionLimits {
  const { sessions, by_role: entries, queue_length: queueLength, queue_timeout: queueTimeoutMs } = options
  const everybody = limitsOf(options, undefined)
  const compiled = entries.map((entry, index) => ({
    roles: new Set(entry.roles),
    limits: limitsOf(
      { ...options, ...entry },
      entry.sessions === undefined ? undefined : { name: String(index), sessions: entry.sessions },
    ),
  }))
  return {
    sessions,
    queueLength,
    queueTimeoutMs,
    of({ roles }) {
      return compiled.find(entry => roles.some(role => entry.roles.has(role)))?.limits ?? everybody
    },
  }
}

function limitsOf(
  options: Omit<DatabaseOptions['limits'], 'sessions' | 'by_role'>,
  group: Allowance['group'] | undefined,
): IdentityLimits {
  return {
    perIdentity: options.sessions_per_identity,
    group,
    idle: options.idle_session,
    idleInTransaction: options.idle_in_transaction,
    lifetime: options.session_lifetime,
    statement: options.statement_timeout,
    transaction: options.transaction_timeout,
    lockWait: options.lock_timeout,
  }
}

const unitMs: Readonly<Record<string, number>> = {
  us: 0.001,
  ms: 1,
  s: 1_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/** What a text means to PostgreSQL as a time, in ms; `undefined` when that is not certain. */
function timeOf(text: string): number | undefined {
  const [, number, unit = 'ms'] = /^ *([0-9]{1,10}) *([a-z]+)? *$/.exec(text) ?? []
  const factor = unitMs[unit]
  return number === undefined || factor === undefined ? undefined : Number(number) * factor
}

/** Settings that a session begins with: the client's own, where they are within the limits. */
export function settingsWithin(
  { statement, lockWait }: IdentityLimits,
  asked: readonly (readonly [name: string, value: string])[],
): readonly (readonly [name: string, value: string])[] {
  const limits = { statement_timeout: statement, lock_timeout: lockWait }
  let settings = asked
  for (const [name, limit] of Object.entries(limits)) {
    if (limit === undefined) continue
    // The last of several holds; 0 is "none".
    const own = timeOf(settings.findLast(([key]) => key.toLowerCase() === name)?.[1] ?? '0') ?? 0
    if (own >= 1 && own <= limit) continue
    settings = [...settings.filter(([key]) => key.toLowerCase() !== name), [name, String(limit)]]
  }
  return settings
}

/** One identity, wherever it comes from: a token's `alice` and the account `alice` are two. */
export function limitKey({ source, id }: Pick<Identity, 'source' | 'id'>): string {
  return JSON.stringify([source ?? null, id])
}

/** Where nothing is limited. */
export const noSessionLimits: SessionLimits = createSessionLimits({
  queue_length: 0,
  queue_timeout: 1,
  by_role: [],
})
