// What accounts may do with objects of databases, in the words of CrateDB (its privileges DQL, DML, DDL and AL).

export const privileges = ['DQL', 'DML', 'DDL', 'AL'] as const
/** `DQL`: read. `DML`: change rows. `DDL`: make, alter and drop objects. `AL`: administer accounts and grants. */
export type Privilege = (typeof privileges)[number]

/** What a privilege is about, from the widest to the narrowest. A database goes by its name in the configuration. */
export type GrantTarget =
  /** Everything behind the gateway. */
  | { readonly kind: 'cluster' }
  | { readonly kind: 'database'; readonly database: string }
  | { readonly kind: 'schema'; readonly database: string; readonly schema: string }
  /** A table or a view. */
  | { readonly kind: 'table'; readonly database: string; readonly schema: string; readonly table: string }

/** One entry: there is at most one for each (grantee, privilege, target), so that a grant and a denial replace each other. */
export interface Grant {
  /** Name of a user or of a role. */
  readonly grantee: string
  readonly privilege: Privilege
  readonly target: GrantTarget
  readonly state: 'grant' | 'deny'
  /** Who gave it, for `show`. */
  readonly grantor: string
}

/** A privilege that something needs, on the narrowest object that it touches. */
export interface Need {
  readonly privilege: Privilege
  readonly target: GrantTarget
}

/** Users, roles, who has which role, and every entry: as one store has them at one moment. */
export interface GrantSnapshot {
  /** Another one for each state. */
  readonly version: string | number
  /** By grantee. */
  readonly grants: ReadonlyMap<string, readonly Grant[]>
  /** Roles that were granted to a user or to another role, by the grantee. Some may be names that only a configuration knows. */
  readonly roles: ReadonlyMap<string, readonly string[]>
  /**
   * Grantees that are roles; all others are users. Somebody has a role by its name, wherever that comes from, and what a user was granted
   * only as that user of this store: an issuer who calls a role like a user hands out nothing.
   */
  readonly roleNames: ReadonlySet<string>
}

/** Somebody who administers: `undefined` for the operator at the command line, who may do everything. */
export type Administrator = { readonly name: string; readonly isSuperuser: boolean } | undefined

export type PrincipalKind = 'user' | 'role'

/** A user or a role as `SHOW` and `accounts show` list it. Nothing of a password but whether there is one. */
export interface Principal {
  readonly name: string
  readonly kind: PrincipalKind
  readonly roles: readonly string[]
  readonly hasPassword: boolean
  readonly locked: boolean
}

/**
 * Changes users, roles and grants, for the command line and for SQL typed at the door. What is acknowledged is on the disk; a change is
 * whole or not at all. Who may administer is decided before: by `Need` `AL` on the cluster.
 *
 * Every method rejects with an `AccountError`: `accounts.not_found`, `accounts.exists`, `accounts.invalid`, `accounts.role_cycle`,
 * `accounts.role_in_use`, `accounts.superuser`, `accounts.read_only`, `accounts.unavailable`.
 */
export interface Administration {
  /** Name of the account store. */
  readonly store: string
  /** Users and roles share their names. */
  create(principal: { readonly name: string; readonly kind: PrincipalKind; readonly password?: string }): Promise<void>
  /** @param password `undefined` takes the password away: nobody can log in by it any more */
  setPassword(name: string, password: string | undefined): Promise<void>
  /** Takes its entries and its roles along, and nothing of others; a role that somebody has stays (`accounts.role_in_use`). */
  drop(name: string): Promise<void>
  /** Grantees must exist; objects need not. @returns how many entries changed: 0 when it was so already */
  grant(entries: readonly Grant[]): Promise<number>
  /** Takes entries away, whatever their state and whoever gave them. @returns how many there were */
  revoke(entries: readonly Omit<Grant, 'state' | 'grantor'>[]): Promise<number>
  /** @returns how many were given: 0 when all had them already */
  grantRoles(roles: readonly string[], grantees: readonly string[]): Promise<number>
  revokeRoles(roles: readonly string[], grantees: readonly string[]): Promise<number>
  /** An object was dropped: takes the entries on it, and on everything in it, away. @returns how many there were */
  forget(target: GrantTarget): Promise<number>
  /**
   * An object was renamed: its entries, and those on everything in it, go along. What stood on the new name was about another object: grants
   * there end, denials there stay.
   *
   * @param to of the same kind @returns how many went along
   */
  rename(from: GrantTarget, to: GrantTarget): Promise<number>
  /** Users and roles, by name. */
  principals(): Promise<readonly Principal[]>
  snapshot(): Promise<GrantSnapshot>
  /** What `snapshot().version` would be now; cheap, so that it can be asked twice a second. */
  version(): Promise<string | number>
}
