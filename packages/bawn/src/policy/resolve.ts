import {
  type Grant,
  type GrantSnapshot,
  type GrantTarget,
  type Need,
  type Privilege,
  privileges,
} from '../accounts/grant.ts'
import { formatGrant, formatNeed, pathOf } from '../accounts/grant-target.ts'
import type { Decision } from './policy.ts'
import { needsOwnGrant } from './system-objects.ts'

// Which entry decides (docs/guide/grants.md). Entries hang in a tree of names: the cluster, databases, schemas, tables. What stands on an
// object decides for everything below it that has no entry of its own, so a decision is made once for each place that has entries and each
// kind of asker, however many tables there are.

interface Place {
  readonly parent: Place | undefined
  readonly inner: Map<string, Place>
  readonly entries: Map<string, Partial<Record<Privilege, Grant>>>
}

/** Somebody whose entries count; indices of `roles` are of those before it in the order. */
interface Grantee {
  /** `undefined`: whoever has no entries of their own, only roles. */
  readonly name: string | undefined
  readonly roles: readonly number[]
}

/** Somebody who may ask, in one state of the grants. */
export interface Subject {
  /** Roles before those who have them; the subject at the end. */
  readonly order: readonly Grantee[]
  readonly decisions: Map<Place, Partial<Record<Privilege, Decision>>>
  readonly seen: Map<Place, boolean>
}

/** One state of the grants of a store. */
export interface CompiledGrants {
  readonly version: GrantSnapshot['version']
  /** A user of the store, with the roles that it has there. */
  account(name: string): Subject
  /** Somebody from elsewhere: what roles of the store are granted. */
  holder(roles: readonly string[]): Subject
  decide(subject: Subject, need: Need): Decision
  /** Whether any privilege is granted on it, or on something in it. */
  sees(subject: Subject, target: GrantTarget): boolean
  /** What was looked at in which order, a sentence each, for `bawn explain`. */
  explain(subject: Subject, need: Need): readonly string[]
}

export function compileGrants({ version, grants, roles, roleNames }: GrantSnapshot): CompiledGrants {
  const root = createPlace(undefined)
  for (const grant of [...grants.values()].flat()) {
    let place = root
    for (const name of pathOf(grant.target)) {
      const inner = place.inner.get(name) ?? createPlace(place)
      place.inner.set(name, inner)
      place = inner
    }
    const entries = place.entries.get(grant.grantee) ?? {}
    entries[grant.privilege] = grant
    place.entries.set(grant.grantee, entries)
  }

  const subject = (name: string | undefined, held: readonly string[]): Subject => ({
    order: orderOf(name, held, role => (roleNames.has(role) ? (roles.get(role) ?? []) : undefined)),
    decisions: new Map(),
    seen: new Map(),
  })

  const decideAt = (who: Subject, place: Place, privilege: Privilege): Decision => {
    const known = who.decisions.get(place) ?? {}
    if (known[privilege] === undefined) {
      const entry = deciding(who.order, place, privilege)
      known[privilege] = entry === undefined ? undecided : decisionOf(entry)
      who.decisions.set(place, known)
    }
    return known[privilege]
  }
  const isSeen = (who: Subject, place: Place): boolean => {
    const known = who.seen.get(place)
    if (known !== undefined) return known
    const seen = hasAny(who, place) || [...place.inner.values()].some(inner => isSeen(who, inner))
    who.seen.set(place, seen)
    return seen
  }
  const hasAny = (who: Subject, place: Place): boolean =>
    privileges.some(privilege => decideAt(who, place, privilege).kind === 'permit')

  return {
    version,
    // A role cannot log in; should a user have its name all the same, it has nothing.
    account: name => (roleNames.has(name) ? subject(undefined, []) : subject(name, roles.get(name) ?? [])),
    holder: held => subject(undefined, held),
    decide(who, need) {
      const { privilege, target } = need
      const decision = decideAt(who, placeOf(root, target), privilege)
      if (decision === undecided) return deny(`nothing grants ${formatNeed(need)}`)
      if (decision.kind === 'permit' && needsOwnGrant(target)) return onlyOwn(who, root, need, decision)
      return decision
    },
    sees(who, target) {
      const place = placeOf(root, target)
      return depthOf(place) === pathOf(target).length ? isSeen(who, place) : hasAny(who, place)
    },
    explain: (who, { privilege, target }) => explainOrder(who.order, placeOf(root, target), privilege),
  }
}

/** Told from every other by being this one. */
const undecided: Decision = Object.freeze({ kind: 'deny', rule: 'nothing grants it' })
const deny = (rule: string): Decision => ({ kind: 'deny', rule })

function decisionOf(entry: Grant): Decision {
  return Object.freeze({ kind: entry.state === 'grant' ? 'permit' : 'deny', rule: formatGrant(entry) })
}

/** What holds rows of everybody is not meant by whoever grants a whole database. */
function onlyOwn(who: Subject, root: Place, need: Need, decision: Decision): Decision {
  const entry = deciding(who.order, placeOf(root, need.target), need.privilege)
  const reaches = entry !== undefined && pathOf(entry.target).length >= 2
  return reaches ? decision : deny(`${decision.rule} does not reach as far as ${formatNeed(need)}`)
}

const createPlace = (parent: Place | undefined): Place => ({ parent, inner: new Map(), entries: new Map() })

/** The narrowest place that has entries, of anybody, and that the target is or is in. */
function placeOf(root: Place, target: GrantTarget): Place {
  if (target.kind === 'cluster') return root
  const database = root.inner.get(target.database)
  if (database === undefined || target.kind === 'database') return database ?? root
  const schema = database.inner.get(target.schema)
  if (schema === undefined || target.kind === 'schema') return schema ?? database
  return schema.inner.get(target.table) ?? schema
}

function depthOf(place: Place): number {
  return place.parent === undefined ? 0 : 1 + depthOf(place.parent)
}

/** The own entry of the most specific level. */
function ownEntry(name: string | undefined, place: Place, privilege: Privilege): Grant | undefined {
  if (name === undefined) return undefined
  for (let at: Place | undefined = place; at !== undefined; at = at.parent) {
    const entry = at.entries.get(name)?.[privilege]
    if (entry !== undefined) return entry
  }
  return undefined
}

/**
 * The own entry decides, for the subject as for each role; where there is none, what the roles come to: a denial of any, else a grant.
 * Role by role from the bottom, so that neither a long chain nor many ways to one role cost more than the roles there are.
 */
function deciding(order: readonly Grantee[], place: Place, privilege: Privilege): Grant | undefined {
  const own = ownEntry(order.at(-1)?.name, place, privilege)
  if (own !== undefined) return own
  const found: (Grant | undefined)[] = []
  for (const { name, roles } of order) {
    const inherited = roles.map(index => found[index]).filter(entry => entry !== undefined)
    found.push(ownEntry(name, place, privilege) ?? inherited.find(({ state }) => state === 'deny') ?? inherited[0])
  }
  return found.at(-1)
}

/** @param rolesOf `undefined` for what is no role of the store */
function orderOf(
  name: string | undefined,
  held: readonly string[],
  rolesOf: (role: string) => readonly string[] | undefined,
): readonly Grantee[] {
  const order: Grantee[] = []
  /** Where a role stands in the order; `undefined` while its own roles are being put there, which only a cycle would ask for. */
  const placed = new Map<string, number | undefined>()
  const indices = (of: readonly string[]): readonly number[] => of.flatMap(role => placed.get(role) ?? [])
  // Depth first, without recursion: a chain may be long.
  const open: { readonly name: string | undefined; readonly roles: readonly string[]; next: number }[] = [
    { name, roles: held, next: 0 },
  ]
  for (let at = open.at(-1); at !== undefined; at = open.at(-1)) {
    const role = at.roles[at.next++]
    if (role === undefined) {
      open.pop()
      if (open.length > 0 && at.name !== undefined) placed.set(at.name, order.length)
      order.push({ name: at.name, roles: indices(at.roles) })
      continue
    }
    const inner = placed.has(role) ? undefined : rolesOf(role)
    if (inner === undefined) continue
    placed.set(role, undefined)
    open.push({ name: role, roles: inner, next: 0 })
  }
  return order
}

function explainOrder(order: readonly Grantee[], place: Place, privilege: Privilege): readonly string[] {
  const lines: string[] = []
  const told = new Set<number>()
  const open: { readonly index: number; readonly by: string | undefined }[] = [
    { index: order.length - 1, by: undefined },
  ]
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    const { index, by } = at
    const grantee = order[index]
    if (grantee === undefined || told.has(index)) continue
    told.add(index)
    const entry = ownEntry(grantee.name, place, privilege)
    const who = by === undefined ? 'own entries' : `role ${grantee.name}${by === '' ? '' : `, of role ${by}`}`
    if (grantee.name !== undefined) lines.push(`${who}: ${entry === undefined ? 'none' : formatGrant(entry)}`)
    if (entry !== undefined) continue
    const next = by === undefined ? '' : (grantee.name ?? '')
    open.push(...grantee.roles.map(role => ({ index: role, by: next })).reverse())
  }
  return lines.length > 0 ? lines : ['none of the roles is one of the store']
}
