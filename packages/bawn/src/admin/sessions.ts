import type { IncomingHttpHeaders } from 'node:http'
import { AdminError } from './error.ts'

/** One open session at the PostgreSQL door, as it is listed. Times are ISO 8601. */
export interface SessionRow {
  readonly id: string
  readonly user: string
  readonly mechanism: string
  readonly address: string
  readonly application_name: string
  readonly database: string
  /** `active`, `idle`, `idle in transaction`, `idle in failed transaction`; `waiting` for a place. */
  readonly state: string
  readonly state_since: string
  readonly since: string
  readonly bytes_in: number
  readonly bytes_out: number
  /** Where it works at PostgreSQL; `null` while it waits for a place. */
  readonly server: string | null
  readonly server_pid: number | null
  /** Which worker has it, from 1; where there are several. */
  readonly worker?: number
}

/** Which sessions are meant: whatever is given must fit. At least one of them is. */
export interface SessionChoice {
  readonly id: string | undefined
  readonly user: string | undefined
  readonly database: string | undefined
}

export type KilledSession = Pick<SessionRow, 'id' | 'user' | 'database'>

const choices = ['id', 'user', 'database']

/** Reads the query of a request's target. @throws {AdminError} `admin.choice` */
export function choiceOf(target: string): SessionChoice {
  const query = new URLSearchParams(target.split('?')[1] ?? '')
  const names = [...query.keys()]
  // An empty or misspelt condition would end more sessions than were meant.
  const isSound =
    names.length > 0 &&
    names.every(name => choices.includes(name)) &&
    new Set(names).size === names.length &&
    [...query.values()].every(value => value !== '')
  if (!isSound) throw new AdminError('admin.choice', 'which sessions are meant is not said')
  const of = (name: string): string | undefined => query.get(name) ?? undefined
  return { id: of('id'), user: of('user'), database: of('database') }
}

/** The header in which an operator states a name, percent-encoded; whoever has the token can state any. */
export const operatorHeader = 'x-bawn-operator'

/** The stated name, cut to 128 characters. */
export function operatorOf(headers: IncomingHttpHeaders): string | undefined {
  const stated = headers[operatorHeader]
  if (typeof stated !== 'string' || stated === '') return undefined
  try {
    return decodeURIComponent(stated).slice(0, 128)
  } catch {
    return undefined
  }
}
