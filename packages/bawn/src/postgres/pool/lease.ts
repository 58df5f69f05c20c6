import type { PlaceAnswer } from '../../limits/session-slots.ts'
import { PostgresError } from '../failure.ts'
import type { ServerSource } from '../server-side.ts'
import type { Upstream } from '../upstream.ts'
import type { Leftover, PooledConnection } from './connection.ts'
import { changedProfile, type Profile, type SettingChange, type Settings } from './profile.ts'
import type { ServerStatements } from './server-statements.ts'
import type { OpenConnection, UpstreamPool } from './upstream-pool.ts'

/** A connection of the pool for as long as the session lasts. @param leave gives its place back */
export function pooledSession(pool: UpstreamPool, connection: PooledConnection, leave: () => void): ServerSource {
  return {
    perTransaction: false,
    upstream: connection.upstream,
    statements: undefined,
    parameters: connection.parameters,
    take: () => true,
    giveBack: leftover => {
      void pool.giveBack(connection, leftover === 'nothing' ? 'state' : leftover).then(leave)
      return true
    },
    cancel: () => connection.cancel(),
    withdraw: () => {},
  }
}

/** What a lease is of. */
export interface LeaseParts {
  readonly pool: UpstreamPool
  readonly profile: Profile
  readonly open: OpenConnection
  /** A place among the connections of the pool. */
  readonly ask: () => PlaceAnswer
  readonly database: string
}

/** A connection of the pool for each transaction of one session. */
export class Lease implements ServerSource {
  readonly perTransaction = true
  readonly #parts: LeaseParts
  /** As its session wants it by now. */
  #profile: Profile
  #connection: PooledConnection | undefined
  #leave: (() => void) | undefined
  #withdraw: (() => void) | undefined
  #withdrawn = false

  constructor(parts: LeaseParts) {
    this.#parts = parts
    this.#profile = parts.profile
  }

  get upstream(): Upstream | undefined {
    return this.#connection?.upstream
  }

  get statements(): ServerStatements | undefined {
    return this.#connection?.statements
  }

  get parameters(): Map<string, string> | undefined {
    return this.#connection?.parameters
  }

  get begun(): Settings {
    return this.#parts.profile.settings
  }

  take(): true | Promise<void> {
    const { pool, ask } = this.#parts
    const answer = ask()
    if (answer.kind !== 'taken') return this.#wait(answer)
    this.#leave = answer.leave
    this.#connection = pool.takeReady(this.#profile)
    return this.#connection === undefined ? this.#prepare() : true
  }

  giveBack(leftover: Leftover): boolean {
    const connection = this.#connection
    const leave = this.#leave
    if (connection === undefined || leave === undefined) return false
    this.#connection = undefined
    this.#leave = undefined
    // At once where nothing has to be done to it: whoever waits has it before this one asks again.
    void this.#parts.pool.giveBack(connection, leftover).then(leave)
    return true
  }

  remember(change: SettingChange): void {
    this.#profile = changedProfile(this.#parts.profile, this.#profile, change)
  }

  async cancel(): Promise<void> {
    await this.#connection?.cancel()
  }

  withdraw(): void {
    this.#withdrawn = true
    this.#withdraw?.()
  }

  async #wait(answer: Exclude<PlaceAnswer, { readonly kind: 'taken' }>): Promise<void> {
    const { database } = this.#parts
    let place = answer
    if (answer.kind === 'waiting') {
      this.#withdraw = answer.withdraw
      const given = await answer.place
      this.#withdraw = undefined
      if (given.kind === 'taken') {
        this.#leave = given.leave
        await this.#prepare()
        return
      }
      place = given
    }
    const message =
      place.kind === 'refused' && place.reason === 'queue-full'
        ? `too many transactions wait for a connection to database "${database}" already`
        : `all connections to database "${database}" are in use, and none became free in time`
    throw new PostgresError('postgres.too_many_sessions', message)
  }

  async #prepare(): Promise<void> {
    const { pool, open } = this.#parts
    try {
      const connection = await pool.take(this.#profile, open)
      if (this.#withdrawn) {
        await pool.giveBack(connection, 'nothing')
        throw new PostgresError('postgres.session_ended', 'the session has ended')
      }
      this.#connection = connection
    } catch (error) {
      this.#leave?.()
      this.#leave = undefined
      throw error
    }
  }
}
