import type { Identity } from '../authn/identity.ts'
import type { DatabaseOptions } from './option.ts'
import type { Allowance, DatabasePlaces } from './session-slots.ts'

/** Limits of the sessions in one database. */
export interface SessionLimits extends DatabasePlaces {
  /** Of this identity: those of the first entry that names one of its roles, and where that is silent, those of the database. */
  of(identity: Pick<Identity, 'roles'>): IdentityLimits
}

export interface IdentityLimits extends Allowance {}

/** Compiles `limits` of a database. */
export function createSessionLimits(options: DatabaseOptions['limits']): SessionLimits {
  const { by_role: entries, sessions, queue_length: queueLength, queue_timeout: queueTimeoutMs } = options
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
  { sessions_per_identity: perIdentity }: Pick<DatabaseOptions['limits'], 'sessions_per_identity'>,
  group: Allowance['group'] | undefined,
): IdentityLimits {
  return { perIdentity, group }
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
