import type { Grant, GrantTarget, Principal, PrincipalKind } from './grant.ts'
import { formatTarget, isPrivilege, isTarget, pathOf, targetAt } from './grant-target.ts'
import { includesRole } from './role-hierarchy.ts'
import { AccountError, isRoleName, type StoredAccount, type WritableAccountStore } from './store.ts'
import { type Verifiers, whyNoPassword } from './verifier.ts'

// What `Administration` decides, for every store that keeps roles and grants in tables: from what the tables hold to what is to be
// written. Reading and writing, in one transaction that nobody else's change gets into, is the store's.

/** Users and roles as they are now, with the roles that each was given. */
export interface KnownPrincipals {
  /** At least the users that are asked about. */
  readonly users: ReadonlyMap<string, readonly string[]>
  /** All of them: the hierarchy. */
  readonly roles: ReadonlyMap<string, readonly string[]>
}

/** @throws {AccountError} `accounts.not_found`, with the first few names */
export function demandKnown(store: string, names: readonly string[], { users, roles }: KnownPrincipals): void {
  const unknown = names.filter(name => !users.has(name) && !roles.has(name))
  if (unknown.length === 0) return
  const shown = [...new Set(unknown)].slice(0, 5).map(name => JSON.stringify(name.slice(0, 128)))
  throw new AccountError('accounts.not_found', `account store ${store} has no user or role ${shown.join(', ')}`)
}

/** @throws {AccountError} `accounts.not_found` */
export function demandKind(store: string, name: string, known: KnownPrincipals): PrincipalKind {
  demandKnown(store, [name], known)
  return known.users.has(name) ? 'user' : 'role'
}

/** New lists of roles by the name of who has them, and how many were given or taken. */
export interface RoleChanges {
  readonly lists: ReadonlyMap<string, readonly string[]>
  readonly count: number
}

/** @throws {AccountError} `accounts.not_found`, `accounts.invalid` for a user that is to be granted, `accounts.role_cycle` */
export function rolesGiven(
  store: string,
  roles: readonly string[],
  grantees: readonly string[],
  known: KnownPrincipals,
): RoleChanges {
  demandKnown(store, [...roles, ...grantees], known)
  const user = roles.find(role => known.users.has(role))
  if (user !== undefined) {
    throw new AccountError('accounts.invalid', `${JSON.stringify(user)} is a user, and only roles can be granted`)
  }
  const hierarchy = new Map(known.roles)
  const lists = new Map<string, readonly string[]>()
  let count = 0
  for (const grantee of grantees) {
    for (const role of roles) {
      const held = lists.get(grantee) ?? hierarchy.get(grantee) ?? known.users.get(grantee) ?? []
      if (held.includes(role)) continue
      const isRole = hierarchy.has(grantee)
      if (isRole && includesRole(hierarchy, role, grantee)) {
        const why = role === grantee ? 'they are one' : `${role} has ${grantee} already`
        throw new AccountError('accounts.role_cycle', `role ${role} cannot be granted to ${grantee}: ${why}`)
      }
      lists.set(grantee, [...held, role])
      if (isRole) hierarchy.set(grantee, [...held, role])
      count += 1
    }
  }
  return { lists, count }
}

/** A name that only the configuration knows is taken from whoever has it as well. @throws {AccountError} `accounts.not_found` */
export function rolesTaken(
  store: string,
  roles: readonly string[],
  grantees: readonly string[],
  known: KnownPrincipals,
): RoleChanges {
  demandKnown(store, grantees, known)
  const heldBy = (grantee: string): readonly string[] => known.users.get(grantee) ?? known.roles.get(grantee) ?? []
  const held = new Set(grantees.flatMap(heldBy))
  demandKnown(
    store,
    roles.filter(role => !held.has(role)),
    known,
  )
  const lists = new Map<string, readonly string[]>()
  let count = 0
  for (const grantee of new Set(grantees)) {
    const before = heldBy(grantee)
    const left = before.filter(role => !roles.includes(role))
    if (left.length === before.length) continue
    lists.set(grantee, left)
    count += before.length - left.length
  }
  return { lists, count }
}

/** So many of those who have a role are looked up before it is dropped. */
export const shownHolders = 6

/** @param holders names of who has it, in order, at most `shownHolders` @throws {AccountError} `accounts.role_in_use` */
export function refuseHeldRole(name: string, holders: readonly string[]): void {
  if (holders.length === 0) return
  const shown = holders.slice(0, shownHolders - 1).join(', ')
  const more = holders.length >= shownHolders ? ' and others' : ''
  throw new AccountError('accounts.role_in_use', `role ${name} cannot be dropped: it is granted to ${shown}${more}`)
}

/** A role that may be made, as far as it goes by its name. @throws {AccountError} `accounts.invalid` */
export function requireNewRole(name: string, password: string | undefined): void {
  if (password !== undefined)
    throw new AccountError('accounts.invalid', 'a role has no password: create a user instead')
  if (!isRoleName(name))
    throw new AccountError('accounts.invalid', `${JSON.stringify(name.slice(0, 128))} is not a role name`)
}

/** Users and roles share their names. */
export function nameTaken(name: string): AccountError {
  return new AccountError('accounts.exists', `${JSON.stringify(name)} is the name of a user or a role already`)
}

/** @throws {AccountError} `accounts.invalid` */
export function refuseRolePassword(kind: PrincipalKind): void {
  if (kind === 'role') throw new AccountError('accounts.invalid', 'a role has no password')
}

/** @param password `undefined`: none @throws {AccountError} `accounts.invalid` */
export async function newVerifiers(
  store: Pick<WritableAccountStore, 'derive'>,
  password: string | undefined,
): Promise<Verifiers> {
  if (password === undefined) return { scram: undefined, password: undefined }
  const fault = whyNoPassword(password)
  if (fault !== undefined) throw new AccountError('accounts.invalid', fault)
  return store.derive(password)
}

/** The names of a target as its row has them: empty where it has none. */
export type TargetColumns = readonly [database: string, schema: string, relation: string]

/** @throws {AccountError} `accounts.invalid` for names that no object can have */
export function targetColumns(target: GrantTarget): TargetColumns {
  if (!isTarget(target))
    throw new AccountError('accounts.invalid', `${formatTarget(target)} cannot be the name of an object`)
  const [database = '', schema = '', relation = ''] = pathOf(target)
  return [database, schema, relation]
}

/** Of a target that objects can be in: nobody drops the cluster. @throws {AccountError} `accounts.invalid` */
export function objectColumns(target: GrantTarget): TargetColumns {
  if (target.kind === 'cluster') throw new AccountError('accounts.invalid', 'the cluster is no object')
  return targetColumns(target)
}

/** What is renamed, from where to where; `undefined` where that is one place. @throws {AccountError} `accounts.invalid` */
export function renaming(
  from: GrantTarget,
  to: GrantTarget,
): { readonly source: TargetColumns; readonly goal: TargetColumns } | undefined {
  const [source, goal] = [objectColumns(from), objectColumns(to)]
  if (from.kind !== to.kind) throw new AccountError('accounts.invalid', `a ${from.kind} cannot become a ${to.kind}`)
  return source.every((name, at) => name === goal[at]) ? undefined : { source, goal }
}

/** A row of entries. @returns `undefined` when it cannot be read */
export function parseEntry(row: Readonly<Record<string, unknown>>): Grant | undefined {
  const { grantee, privilege, database, schema, relation, state, grantor } = row
  const texts = [grantee, privilege, database, schema, relation, state, grantor]
  if (!texts.every(text => typeof text === 'string')) return undefined
  const path = [database, schema, relation].filter(name => typeof name === 'string' && name !== '').map(String)
  const target = targetAt(path)
  if (typeof privilege !== 'string' || !isPrivilege(privilege) || target === undefined) return undefined
  if (state !== 'grant' && state !== 'deny') return undefined
  return { grantee: String(grantee), privilege, target, state, grantor: String(grantor) }
}

/** Entries by their grantee, in their order. */
export function byGrantee(entries: readonly Grant[]): ReadonlyMap<string, readonly Grant[]> {
  const grants = new Map<string, Grant[]>()
  for (const entry of entries) {
    const of = grants.get(entry.grantee)
    if (of === undefined) grants.set(entry.grantee, [entry])
    else of.push(entry)
  }
  return grants
}

/** Users and roles, by name. */
export function principalsOf(
  users: readonly StoredAccount[],
  roles: ReadonlyMap<string, readonly string[]>,
): readonly Principal[] {
  const all = [
    ...users.map(({ name, granted, scram, password, locked }) => {
      const hasPassword = scram !== undefined || password !== undefined
      return { name, kind: 'user' as const, roles: granted, hasPassword, locked }
    }),
    ...[...roles].map(([name, held]) => {
      return { name, kind: 'role' as const, roles: held, hasPassword: false, locked: false }
    }),
  ]
  return all.sort((left, right) => (left.name < right.name ? -1 : 1))
}
