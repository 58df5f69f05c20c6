import { formatHostPort } from '../option.ts'
import { PostgresError } from './failure.ts'
import { UpstreamRefusal } from './upstream-login.ts'

/** Which host a session is for: the one that writes, or one that only reads, where there is one (libpq: `primary`, `prefer-standby`). */
export type WantedHost = 'primary' | 'replica'

/** What a host says of itself. `read-only`: a primary whose transactions begin read-only. */
export type HostStanding = 'primary' | 'read-only' | 'standby'

/** One row of two texts, for `standingOf`: nothing of it is looked up in a search_path. */
export const standingQuestion =
  "SELECT pg_catalog.pg_is_in_recovery()::pg_catalog.text, pg_catalog.current_setting('transaction_read_only')"

/** @param cells answer to `standingQuestion`; `undefined` is NULL */
export function standingOf([inRecovery, readOnly]: readonly (string | undefined)[]): HostStanding {
  if (inRecovery !== 'false') return 'standby'
  return readOnly === 'off' ? 'primary' : 'read-only'
}

/** How a try at one host ended. What is thrown instead would be no better at another host. */
export type Reached<T> =
  | { readonly kind: 'reached'; readonly standing: HostStanding; readonly opened: T; readonly close: () => void }
  | { readonly kind: 'unreachable'; readonly cause: unknown }

export interface HostAddress {
  readonly host: string
  readonly port: number
  readonly connectTimeoutMs: number
}

/** Something that the operator wants to know; `address` is one of the hosts. */
export type HostEvent =
  | { readonly kind: 'primary'; readonly address: string; readonly before: string | undefined }
  | { readonly kind: 'unreachable'; readonly address: string; readonly cause: unknown }
  | { readonly kind: 'reached'; readonly address: string }

/** How long a host that could not be reached is asked after all others. Then one try at a time finds out. */
const suspectMs = 10_000

/** No further host is tried when this many times `connectTimeoutMs` have passed. */
const overallTimeouts = 2

/**
 * The hosts of one database. They are tried in order; the one that was the primary last comes first, or last where a replica will do, and
 * whoever could not be reached a moment ago comes after everybody else.
 */
export class DatabaseHosts<Target extends HostAddress> {
  /** In the order of the configuration; at least one. */
  readonly targets: readonly Target[]
  /** Whether sessions may ask for a replica. */
  readonly replicas: boolean
  readonly #now: () => number
  readonly #onEvent: (event: HostEvent) => void
  readonly #standings = new Map<Target, HostStanding | 'unreachable'>()
  readonly #suspectUntil = new Map<Target, number>()
  readonly #followers = new Set<(primary: HostAddress) => void>()
  #primary: Target | undefined

  /** @param options.now in ms, never going back */
  constructor(
    targets: readonly Target[],
    {
      replicas,
      now,
      onEvent,
    }: { readonly replicas: boolean; readonly now: () => number; readonly onEvent: (event: HostEvent) => void },
  ) {
    this.targets = targets
    this.replicas = replicas
    this.#now = now
    this.#onEvent = onEvent
  }

  /** Calls `follow` with one of the targets whenever another one than before is found to be the primary. */
  onPrimary(follow: (primary: HostAddress) => void): void {
    this.#followers.add(follow)
  }

  /** What is known of them, for operators: `a:5432 primary, b:5432 standby`. */
  describe(): string {
    return this.targets
      .map(target => `${formatHostPort(target)} ${this.#standings.get(target) ?? 'not asked yet'}`)
      .join(', ')
  }

  /**
   * Opens something at the host that is wanted. For a replica the primary will do where no other host is one; for the primary never a standby.
   *
   * @throws {PostgresError} (rejects with) `postgres.upstream_unreachable`, with what was found where as its cause
   * @throws {UpstreamRefusal} (rejects with) where a host has refused for now
   * @throws (rejects with) what `connect` throws
   */
  async open<T>(wanted: WantedHost, connect: (target: Target) => Promise<Reached<T>>): Promise<T> {
    const found: string[] = []
    let refusal: UpstreamRefusal | undefined
    let second: Extract<Reached<T>, { kind: 'reached' }> | undefined
    const begun = this.#now()
    try {
      for (const target of this.#order(wanted)) {
        // A host that is likely to be gone is not waited for by somebody who has one already.
        if (second !== undefined && this.#isSuspect(target)) break
        if (this.#now() - begun >= overallTimeouts * target.connectTimeoutMs) break
        // Whoever comes meanwhile goes past it.
        if (this.#suspectUntil.has(target)) this.#suspect(target)
        const reached = await connect(target)
        if (reached.kind === 'unreachable') {
          const { cause } = reached
          if (cause instanceof UpstreamRefusal) refusal ??= cause
          found.push(`${formatHostPort(target)} ${whyUnreachable(cause)}`)
          this.#failed(target, cause)
          continue
        }
        found.push(`${formatHostPort(target)} is ${reached.standing}`)
        this.#answered(target, reached.standing, wanted)
        if (reached.standing === (wanted === 'primary' ? 'primary' : 'standby')) {
          second?.close()
          return reached.opened
        }
        // Somebody's own default_transaction_read_only looks the same: better such a host than none.
        if (second === undefined && reached.standing !== 'standby') second = reached
        else reached.close()
      }
    } catch (error) {
      second?.close()
      throw error
    }
    if (second !== undefined) return second.opened
    if (refusal !== undefined) throw refusal
    const cause = new PostgresError('postgres.upstream_unreachable', found.join('; '))
    throw new PostgresError('postgres.upstream_unreachable', 'no host of the database is a primary', { cause })
  }

  #order(wanted: WantedHost): readonly Target[] {
    const rank = (target: Target): number => {
      const isLater = (target === this.#primary) !== (wanted === 'primary')
      return (this.#isSuspect(target) ? 2 : 0) + (isLater ? 1 : 0)
    }
    return this.targets
      .map(target => ({ target, rank: rank(target) }))
      .toSorted((a, b) => a.rank - b.rank)
      .map(({ target }) => target)
  }

  #isSuspect(target: Target): boolean {
    return this.#now() < (this.#suspectUntil.get(target) ?? 0)
  }

  #suspect(target: Target): void {
    this.#suspectUntil.set(target, this.#now() + suspectMs)
  }

  #failed(target: Target, cause: unknown): void {
    this.#suspect(target)
    if (this.#standings.get(target) === 'unreachable') return
    this.#standings.set(target, 'unreachable')
    this.#onEvent({ kind: 'unreachable', address: formatHostPort(target), cause })
  }

  #answered(target: Target, standing: HostStanding, wanted: WantedHost): void {
    const before = this.#standings.get(target)
    this.#suspectUntil.delete(target)
    this.#standings.set(target, standing)
    if (before === 'unreachable') this.#onEvent({ kind: 'reached', address: formatHostPort(target) })
    if (standing === 'standby' && target === this.#primary) this.#primary = undefined
    if (standing !== 'primary' || target === this.#primary) return
    const old = this.#primary
    // Of two that say so, who looks for a replica asks the wrong one first.
    if (wanted === 'replica' && old !== undefined && this.#standings.get(old) === 'primary') return
    this.#primary = target
    // What it is now, nobody has asked it yet.
    if (old !== undefined && this.#standings.get(old) === 'primary') this.#standings.delete(old)
    this.#onEvent({ kind: 'primary', address: formatHostPort(target), before: old && formatHostPort(old) })
    for (const follow of this.#followers) follow(target)
  }
}

/** What a server that answers says of itself only: it is starting, stopping, in recovery, or full. Another host may do better. */
export function isForNow(sqlstate: string | undefined): boolean {
  return sqlstate !== undefined && /^(?:53|57P)/.test(sqlstate)
}

/** Messages of others may quote anything: their codes do. */
function whyUnreachable(cause: unknown): string {
  if (cause instanceof UpstreamRefusal) return `refuses for now (${cause.fields.get('C') ?? ''})`
  const deepest = cause instanceof PostgresError && cause.cause !== undefined ? cause.cause : cause
  const code = deepest instanceof Error && 'code' in deepest ? ` (${String(deepest.code)})` : ''
  return `cannot be reached${code}`
}
