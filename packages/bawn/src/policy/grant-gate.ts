import type { Administration, Need } from '../accounts/grant.ts'
import { formatTarget } from '../accounts/grant-target.ts'
import { AccountError } from '../accounts/store.ts'
import { type Identity, isAccountOf } from '../authn/identity.ts'
import { administrationAtDoors } from './administration.ts'
import type { GrantGate } from './grants.ts'
import type { Decision } from './policy.ts'
import { type CompiledGrants, compileGrants, type Subject } from './resolve.ts'
import { isCatalogue, isReadByAll } from './system-objects.ts'

/** Twice within the second after which a change of another process holds. */
const lookEveryMs = 500
/** A store that could not be read for longer than this has perhaps taken something away. */
const patienceMs = 1_000
/** Askers that are kept, of each kind; a token's roles may be any, so they are not without number. */
const maxAskers = 10_000

export interface GrantGateOptions {
  /** Of the store that holds the grants. */
  readonly administration: Administration
  /** Accounts of that store that need no grant. */
  readonly superusers: readonly string[]
  /** Monotonic, in ms: `performance.now`. */
  readonly now: () => number
  /** Told once when the store cannot be read any more. */
  readonly onFailure?: (cause: unknown) => void
  /** How often the store is looked at for changes of others. */
  readonly everyMs?: number | undefined
  /** Opens while the store cannot be read: nothing is decided until it can. */
  readonly mayBeAway?: boolean
}

/** A gate that looks after its store. */
export interface OpenGrantGate {
  readonly gate: GrantGate
  /** For doors: what it has changed holds for the next statement, and superusers are out of its reach. */
  readonly administration: Administration
  /** What was looked at, in order, a sentence each: for `bawn explain`. */
  explain(identity: Identity, need: Need): readonly string[]
  /** Another configuration serves now: whoever still asks here is answered by its grants. */
  follow(successor: Pick<OpenGrantGate, 'gate' | 'administration'>): void
  /** Looks no more. Whoever still asks, and has nobody to follow, hears that it cannot be decided. */
  close(): void
}

/** Counts for all gates of the process: a plan that was decided at one is not taken for decided at the next. */
let lastEpoch = 0

interface Asker {
  readonly isSuperuser: boolean
  readonly subject: Subject
}

/** @throws {AccountError} `accounts.unavailable` when the store cannot be read at the start, unless it `mayBeAway` */
export async function createGrantGate(options: GrantGateOptions): Promise<OpenGrantGate> {
  const { administration, now, onFailure, everyMs = lookEveryMs } = options
  const superusers = new Set(options.superusers)
  /** Since when the store cannot be read, and why. */
  let failure: { readonly cause: unknown } | undefined
  let lastGood = now()
  const atStart = async () => {
    try {
      return await administration.snapshot()
    } catch (cause) {
      if (options.mayBeAway !== true) throw cause
      onFailure?.(cause)
      failure = { cause }
      lastGood = Number.NEGATIVE_INFINITY
      return { version: '', grants: new Map(), roles: new Map(), roleNames: new Set<string>() }
    }
  }
  let compiled: CompiledGrants = compileGrants(await atStart())
  let epoch = ++lastEpoch
  const accounts = new Map<string, Asker>()
  /** Those from elsewhere, by what they have. */
  const holders = new Map<string, Asker>()
  let byIdentity = new WeakMap<Identity, Asker>()
  /** When the look began that is under way: a store that does not answer is as bad as one that fails. */
  let lookingSince: number | undefined
  let successor: Parameters<OpenGrantGate['follow']>[0] | undefined
  let isClosed = false

  const look = async (): Promise<void> => {
    lookingSince = now()
    try {
      if ((await administration.version()) !== compiled.version) {
        compiled = compileGrants(await administration.snapshot())
        accounts.clear()
        holders.clear()
        byIdentity = new WeakMap()
        epoch = ++lastEpoch
      }
      failure = undefined
      lastGood = now()
    } catch (cause) {
      if (failure === undefined && !isClosed) onFailure?.(cause)
      failure = { cause }
      throw cause
    } finally {
      lookingSince = undefined
    }
  }
  let last: Promise<void> = Promise.resolve()
  let next: Promise<void> | undefined
  /** One look that has not begun yet answers all who wait for one; one that has begun may have read too early. */
  const refresh = (): Promise<void> => {
    if (next !== undefined) return next
    const turn = last.then(() => {
      next = undefined
      return look()
    })
    next = turn
    last = turn.catch(() => {})
    return turn
  }
  const timer = setInterval(() => void refresh().catch(() => {}), everyMs)
  timer.unref()
  const stop = (): void => clearInterval(timer)

  const askerOf = (identity: Identity): Asker => {
    if (!isAccountOf(identity, administration.store)) return holderOf(identity)
    // The store knows best which roles its account has by now.
    return kept(accounts, identity.id, () => ({
      isSuperuser: superusers.has(identity.id),
      subject: compiled.account(identity.id),
    }))
  }
  const holderOf = (identity: Identity): Asker => {
    const known = byIdentity.get(identity)
    if (known !== undefined) return known
    const { roles } = identity
    const holder = kept(holders, JSON.stringify(roles), () => ({
      isSuperuser: false,
      subject: compiled.holder(roles),
    }))
    byIdentity.set(identity, holder)
    return holder
  }

  const demandFresh = (): void => {
    if (isClosed) throw new AccountError('accounts.unavailable', 'the grants of a configuration that was replaced')
    if (failure === undefined && lookingSince === undefined) return
    const at = now()
    const waited = lookingSince === undefined ? 0 : at - lookingSince
    if ((failure === undefined && waited <= patienceMs) || at - lastGood <= patienceMs) return
    throw new AccountError(
      'accounts.unavailable',
      `the grants in ${administration.store} cannot be read`,
      failure ?? {},
    )
  }

  const gate: GrantGate = {
    get epoch() {
      return successor?.gate.epoch ?? epoch
    },
    decide(identity, needs) {
      if (successor !== undefined) return successor.gate.decide(identity, needs)
      demandFresh()
      const { isSuperuser, subject } = askerOf(identity)
      if (isSuperuser) return { kind: 'permit', rule: `superuser ${identity.id}` }
      let first: Decision | undefined
      for (const need of needs) {
        const decision = isReadByAll(need) ? catalogueIsReadByAll : compiled.decide(subject, need)
        if (decision.kind === 'deny') return decision
        first ??= decision
      }
      return first ?? nothingNeeded
    },
    sees(identity, target) {
      if (successor !== undefined) return successor.gate.sees(identity, target)
      demandFresh()
      const { isSuperuser, subject } = askerOf(identity)
      return isSuperuser || isCatalogue(target) || compiled.sees(subject, target)
    },
    isSuperuser(identity) {
      if (successor !== undefined) return successor.gate.isSuperuser(identity)
      demandFresh()
      return askerOf(identity).isSuperuser
    },
    refresh: () => (successor === undefined ? refresh() : successor.gate.refresh()),
  }

  const changed = async (): Promise<void> => {
    try {
      await refresh()
    } catch {
      // It is changed, and what it is now cannot be read: no decision may rest on what it was.
      lastGood = Number.NEGATIVE_INFINITY
    }
  }
  return {
    gate: Object.freeze(gate),
    administration: administrationAtDoors({
      administration,
      superusers,
      changed,
      successor: () => successor?.administration,
    }),
    explain(identity, need) {
      const { isSuperuser, subject } = askerOf(identity)
      if (isSuperuser) return [`superuser ${identity.id}: no grant is asked for`]
      if (isReadByAll(need)) return [`${formatTarget(need.target)}: ${catalogueIsReadByAll.rule}`]
      return compiled.explain(subject, need)
    },
    follow(other) {
      successor = other
      stop()
    },
    close() {
      isClosed = true
      stop()
    },
  }
}

function kept(askers: Map<string, Asker>, key: string, make: () => Asker): Asker {
  const known = askers.get(key)
  if (known !== undefined) return known
  if (askers.size >= maxAskers) askers.clear()
  const asker = make()
  askers.set(key, asker)
  return asker
}

const catalogueIsReadByAll: Decision = Object.freeze({ kind: 'permit', rule: 'catalogues are read by everybody' })
const nothingNeeded: Decision = Object.freeze({ kind: 'permit', rule: 'no privilege is needed' })
