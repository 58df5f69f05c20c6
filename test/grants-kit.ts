import {
  type Administration,
  type Grant,
  type GrantSnapshot,
  type GrantTarget,
  type Need,
  type Principal,
  privileges,
} from '../packages/bawn/src/accounts/grant.ts'
import { AccountError } from '../packages/bawn/src/accounts/store.ts'
import type { Identity } from '../packages/bawn/src/authn/identity.ts'
import type { GrantGate } from '../packages/bawn/src/policy/grants.ts'
import type { Decision } from '../packages/bawn/src/policy/policy.ts'

// Accounts and grants in memory, for the tests of the PostgreSQL door: the rules of the guide, without a store.

const key = (target: GrantTarget): string => JSON.stringify(target)

/** The target and everything around it, the narrowest first. */
function around(target: GrantTarget): readonly GrantTarget[] {
  const list: GrantTarget[] = [target]
  if (target.kind === 'table') list.push({ kind: 'schema', database: target.database, schema: target.schema })
  if (target.kind === 'table' || target.kind === 'schema') list.push({ kind: 'database', database: target.database })
  if (target.kind !== 'cluster') list.push({ kind: 'cluster' })
  return list
}

export class MemoryGrants implements GrantGate, Administration {
  readonly store = 'staff'
  epoch = 1
  readonly superusers = new Set(['root'])
  readonly passwords = new Map<string, string | undefined>()
  readonly kinds = new Map<string, 'user' | 'role'>()
  readonly granted = new Map<string, Set<string>>()
  entries: Grant[] = []

  decide(identity: Identity, needs: readonly Need[]): Decision {
    if (this.isSuperuser(identity)) return { kind: 'permit', rule: 'superuser' }
    for (const need of needs) {
      const entry = this.#find(identity.id, need) ?? this.#inherited(identity, need)
      if (entry?.state !== 'grant') {
        const rule = entry === undefined ? `no grant of ${need.privilege}` : `denied to ${entry.grantee}`
        return { kind: 'deny', rule }
      }
    }
    return { kind: 'permit', rule: 'grants' }
  }

  sees(identity: Identity, target: GrantTarget): boolean {
    return privileges.some(privilege => this.decide(identity, [{ privilege, target }]).kind === 'permit')
  }

  isSuperuser(identity: Identity): boolean {
    return this.superusers.has(identity.id)
  }

  async refresh(): Promise<void> {}

  #find(grantee: string, { privilege, target }: Need): Grant | undefined {
    for (const place of around(target)) {
      const found = this.entries.find(
        entry => entry.grantee === grantee && entry.privilege === privilege && key(entry.target) === key(place),
      )
      if (found !== undefined) return found
    }
    return undefined
  }

  #inherited(identity: Identity, need: Need): Grant | undefined {
    const roles = new Set<string>()
    const add = (name: string): void => {
      if (roles.has(name)) return
      roles.add(name)
      for (const role of this.granted.get(name) ?? []) add(role)
    }
    for (const role of [...identity.roles, ...(this.granted.get(identity.id) ?? [])]) add(role)
    const found = [...roles].flatMap(role => this.#find(role, need) ?? [])
    return found.find(entry => entry.state === 'deny') ?? found[0]
  }

  // Administration

  #known(name: string): void {
    if (!this.kinds.has(name)) throw new AccountError('accounts.not_found', `store staff has no account "${name}"`)
  }

  async create(principal: { readonly name: string; readonly kind: 'user' | 'role'; readonly password?: string }) {
    if (this.kinds.has(principal.name)) {
      throw new AccountError('accounts.exists', `store staff has "${principal.name}" already`)
    }
    this.kinds.set(principal.name, principal.kind)
    this.passwords.set(principal.name, principal.password)
  }

  async setPassword(name: string, password: string | undefined): Promise<void> {
    this.#known(name)
    this.passwords.set(name, password)
  }

  async drop(name: string): Promise<void> {
    this.#known(name)
    this.kinds.delete(name)
    this.passwords.delete(name)
    this.granted.delete(name)
    this.entries = this.entries.filter(entry => entry.grantee !== name)
    this.epoch++
  }

  async grant(entries: readonly Grant[]): Promise<number> {
    for (const entry of entries) this.#known(entry.grantee)
    let changed = 0
    for (const entry of entries) {
      const same = this.entries.find(one => isSame(one, entry))
      if (same?.state === entry.state) continue
      this.entries = [...this.entries.filter(one => one !== same), entry]
      changed++
    }
    this.epoch++
    return changed
  }

  async revoke(entries: readonly Omit<Grant, 'state' | 'grantor'>[]): Promise<number> {
    const before = this.entries.length
    this.entries = this.entries.filter(one => !entries.some(entry => isSame(one, entry)))
    this.epoch++
    return before - this.entries.length
  }

  async grantRoles(roles: readonly string[], grantees: readonly string[]): Promise<number> {
    let changed = 0
    for (const name of [...roles, ...grantees]) this.#known(name)
    for (const grantee of grantees) {
      const held = this.granted.get(grantee) ?? new Set()
      for (const role of roles) {
        if (!held.has(role)) changed++
        held.add(role)
      }
      this.granted.set(grantee, held)
    }
    this.epoch++
    return changed
  }

  async revokeRoles(roles: readonly string[], grantees: readonly string[]): Promise<number> {
    let changed = 0
    for (const grantee of grantees) {
      for (const role of roles) if (this.granted.get(grantee)?.delete(role) === true) changed++
    }
    this.epoch++
    return changed
  }

  async principals(): Promise<readonly Principal[]> {
    return [...this.kinds].sort().map(([name, kind]) => ({
      name,
      kind,
      roles: [...(this.granted.get(name) ?? [])],
      hasPassword: this.passwords.get(name) !== undefined,
      locked: false,
    }))
  }

  async snapshot(): Promise<GrantSnapshot> {
    return {
      version: this.epoch,
      grants: Map.groupBy(this.entries, entry => entry.grantee),
      roles: new Map([...this.granted].map(([name, roles]) => [name, [...roles]])),
    }
  }
}

function isSame(one: Omit<Grant, 'state' | 'grantor'>, other: Omit<Grant, 'state' | 'grantor'>): boolean {
  return one.grantee === other.grantee && one.privilege === other.privilege && key(one.target) === key(other.target)
}

/** `public.people`, `public.*`, `shop`, or `cluster` → a target in the database `shop`. */
export function targetOf(text: string): GrantTarget {
  if (text === 'cluster') return { kind: 'cluster' }
  if (text === 'shop') return { kind: 'database', database: 'shop' }
  const dot = text.indexOf('.')
  const [schema, table] = [text.slice(0, dot), text.slice(dot + 1)]
  if (table === '*') return { kind: 'schema', database: 'shop', schema }
  return { kind: 'table', database: 'shop', schema, table }
}

/** `DQL,DML public.people` → entries. */
export function entriesOf(grantee: string, text: string, state: Grant['state'] = 'grant'): readonly Grant[] {
  const [wanted = '', target = ''] = text.split(' ')
  return privileges
    .filter(privilege => wanted.split(',').includes(privilege) || wanted === 'ALL')
    .map(privilege => ({ grantee, privilege, target: targetOf(target), state, grantor: 'root' }))
}
