import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import type { Administration, Grant, GrantSnapshot, GrantTarget, PrincipalKind } from './grant.ts'
import { formatTarget, isPrivilege, isTarget, pathOf, targetAt } from './grant-target.ts'
import { includesRole } from './role-hierarchy.ts'
import type { SqliteAccountStore } from './sqlite.ts'
import { atOneMoment, inTransaction } from './sqlite-file.ts'
import { formatRoles, grantsVersion, parseRoles } from './sqlite-roles.ts'
import { AccountError, isRoleName } from './store.ts'
import { deriveVerifiers, whyNoPassword } from './verifier.ts'

/** What the administration of an open file is made of. */
export interface SqliteGrantsParts {
  readonly store: Omit<SqliteAccountStore, 'administration'>
  readonly database: DatabaseSync
  /** ms since 1970 */
  readonly clock: () => number
  /** Makes an `AccountError` of whatever SQLite throws. */
  readonly guarded: <Result>(work: () => Result) => Result
}

type Path = readonly [database: string, schema: string, relation: string]

/** The names of a target as its row has them: empty where it has none. */
function columnsOf(target: GrantTarget): Path {
  if (!isTarget(target))
    throw new AccountError('accounts.invalid', `${formatTarget(target)} cannot be the name of an object`)
  const [database = '', schema = '', relation = ''] = pathOf(target)
  return [database, schema, relation]
}

const within = "database = ? AND ? IN (schema, '') AND ? IN (relation, '')"

/** Every change is one transaction under the write lock: what it rests on cannot change meanwhile. */
export function createSqliteAdministration({ store, database, clock, guarded }: SqliteGrantsParts): Administration {
  const kindStatement = database.prepare(
    "SELECT 'user' AS kind FROM account WHERE name = ?1 UNION ALL SELECT 'role' FROM role WHERE name = ?1",
  )
  const upsertEntry = database.prepare(
    `INSERT INTO privilege (grantee, privilege, database, schema, relation, state, grantor, created)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET state = excluded.state, grantor = excluded.grantor, created = excluded.created
     WHERE state <> excluded.state`,
  )
  const deleteEntry = database.prepare(
    'DELETE FROM privilege WHERE grantee = ? AND privilege = ? AND database = ? AND schema = ? AND relation = ?',
  )
  const deleteWithin = database.prepare(`DELETE FROM privilege WHERE ${within}`)
  const deleteGrantsWithin = database.prepare(`DELETE FROM privilege WHERE state = 'grant' AND ${within}`)
  const copyWithin = database.prepare(
    `INSERT INTO privilege (grantee, privilege, database, schema, relation, state, grantor, created)
     SELECT grantee, privilege, ?, coalesce(nullif(?, ''), schema), coalesce(nullif(?, ''), relation), state, grantor, created
     FROM privilege WHERE ${within} ON CONFLICT DO NOTHING`,
  )
  const insertRole = database.prepare(
    `INSERT INTO role (name, roles, created) SELECT ?1, '[]', ?2
     WHERE NOT EXISTS (SELECT 1 FROM account WHERE name = ?1) ON CONFLICT DO NOTHING`,
  )
  const deleteRole = database.prepare('DELETE FROM role WHERE name = ?')
  const deleteEntries = database.prepare('DELETE FROM privilege WHERE grantee = ?')
  const selectHolders = database.prepare(
    `SELECT holder.name FROM (SELECT name, roles FROM account UNION ALL SELECT name, roles FROM role) holder, json_each(holder.roles)
     WHERE value = ? ORDER BY holder.name LIMIT 6`,
  )
  const selectRoles = {
    user: database.prepare('SELECT roles FROM account WHERE name = ?'),
    role: database.prepare('SELECT roles FROM role WHERE name = ?'),
  }
  const updateRoles = {
    user: database.prepare('UPDATE account SET roles = ? WHERE name = ?'),
    role: database.prepare('UPDATE role SET roles = ? WHERE name = ?'),
  }
  const allRoles = database.prepare('SELECT name, roles FROM role ORDER BY name')
  const usersWithRoles = database.prepare("SELECT name, roles FROM account WHERE roles <> '[]'")
  const allEntries = database.prepare(
    'SELECT grantee, privilege, database, schema, relation, state, grantor FROM privilege ORDER BY grantee, database, schema, relation, privilege',
  )
  const selectVersion = database.prepare(`SELECT ${grantsVersion} AS version`)

  const kindOf = (name: string): PrincipalKind | undefined => {
    const kind = kindStatement.get(name)?.['kind']
    return kind === 'user' || kind === 'role' ? kind : undefined
  }
  const missing = (names: readonly string[]): AccountError => {
    const shown = [...new Set(names)].slice(0, 5).map(name => JSON.stringify(name.slice(0, 128)))
    return new AccountError('accounts.not_found', `account store ${store.name} has no user or role ${shown.join(', ')}`)
  }
  const demand = (names: readonly string[]): void => {
    const unknown = names.filter(name => kindOf(name) === undefined)
    if (unknown.length > 0) throw missing(unknown)
  }
  const knownKind = (name: string): PrincipalKind => {
    const kind = kindOf(name)
    if (kind === undefined) throw missing([name])
    return kind
  }
  const rolesOf = (name: string): readonly string[] =>
    parseRoles(store.name, selectRoles[knownKind(name)].get(name)?.['roles'])
  const setRoles = (name: string, roles: readonly string[]): void => {
    updateRoles[knownKind(name)].run(formatRoles(roles), name)
  }
  const hierarchy = (): ReadonlyMap<string, readonly string[]> =>
    new Map(allRoles.all().map(({ name, roles }) => [text(name), parseRoles(store.name, roles)]))
  const text = (column: SQLOutputValue | undefined): string => {
    if (typeof column === 'string') return column
    throw new AccountError('accounts.unavailable', `account store ${store.name} holds a damaged row`)
  }
  const version = (): number => Number(selectVersion.get()?.['version'])
  const change = <Result>(work: () => Result): Result => guarded(() => inTransaction(database, work))

  const giveRole = (role: string, grantee: string): number => {
    const held = rolesOf(grantee)
    if (held.includes(role)) return 0
    if (kindOf(grantee) === 'role' && includesRole(hierarchy(), role, grantee)) {
      throw new AccountError(
        'accounts.role_cycle',
        `role ${role} cannot be granted to ${grantee}: ${role === grantee ? 'they are one' : `${role} has ${grantee} already`}`,
      )
    }
    setRoles(grantee, [...held, role])
    return 1
  }

  const dropRole = (name: string): void => {
    const holders = selectHolders.all(name).map(row => text(row['name']))
    if (holders.length > 0) {
      const shown = holders.slice(0, 5).join(', ')
      const more = holders.length > 5 ? ' and others' : ''
      throw new AccountError('accounts.role_in_use', `role ${name} cannot be dropped: it is granted to ${shown}${more}`)
    }
    deleteEntries.run(name)
    deleteRole.run(name)
  }

  return {
    store: store.name,
    async create({ name, kind, password }) {
      if (kind === 'role') {
        if (password !== undefined)
          throw new AccountError('accounts.invalid', 'a role has no password: create a user instead')
        if (!isRoleName(name))
          throw new AccountError('accounts.invalid', `${JSON.stringify(name.slice(0, 128))} is not a role name`)
        const { changes } = guarded(() => insertRole.run(name, clock()))
        if (Number(changes) === 0)
          throw new AccountError('accounts.exists', `${JSON.stringify(name)} is the name of a user or a role already`)
        return
      }
      const verifiers = password === undefined ? { scram: undefined, password: undefined } : await derived(password)
      await store.add({ name, roles: [], ...verifiers, locked: false })
    },
    async setPassword(name, password) {
      const refuseRole = (): void => {
        if (guarded(() => knownKind(name)) === 'role')
          throw new AccountError('accounts.invalid', 'a role has no password')
      }
      refuseRole()
      const verifiers = password === undefined ? { scram: undefined, password: undefined } : await derived(password)
      await store.setVerifier(name, verifiers)
    },
    async drop(name) {
      if (guarded(() => knownKind(name)) === 'user') return store.remove(name)
      change(() => {
        demand([name])
        dropRole(name)
      })
    },
    async grant(entries) {
      const rows = entries.map(entry => ({ entry, path: columnsOf(entry.target) }))
      return change(() => {
        demand(entries.map(({ grantee }) => grantee))
        const at = clock()
        return rows.reduce((sum, { entry: { grantee, privilege, state, grantor }, path }) => {
          return sum + Number(upsertEntry.run(grantee, privilege, ...path, state, grantor, at).changes)
        }, 0)
      })
    },
    async revoke(entries) {
      const rows = entries.map(entry => ({ entry, path: columnsOf(entry.target) }))
      return change(() => {
        demand(entries.map(({ grantee }) => grantee))
        return rows.reduce((sum, { entry: { grantee, privilege }, path }) => {
          return sum + Number(deleteEntry.run(grantee, privilege, ...path).changes)
        }, 0)
      })
    },
    async grantRoles(roles, grantees) {
      return change(() => {
        demand([...roles, ...grantees])
        const user = roles.find(role => kindOf(role) === 'user')
        if (user !== undefined) {
          throw new AccountError('accounts.invalid', `${JSON.stringify(user)} is a user, and only roles can be granted`)
        }
        return grantees.reduce((sum, grantee) => roles.reduce((all, role) => all + giveRole(role, grantee), sum), 0)
      })
    },
    async revokeRoles(roles, grantees) {
      return change(() => {
        demand(grantees)
        // A name that only the configuration knows is taken from whoever has it as well.
        demand(roles.filter(role => !grantees.some(grantee => rolesOf(grantee).includes(role))))
        let taken = 0
        for (const grantee of grantees) {
          const held = rolesOf(grantee)
          const left = held.filter(role => !roles.includes(role))
          taken += held.length - left.length
          if (left.length < held.length) setRoles(grantee, left)
        }
        return taken
      })
    },
    async forget(target) {
      const path = inside(target)
      return change(() => Number(deleteWithin.run(...path).changes))
    },
    async rename(from, to) {
      const [source, goal] = [inside(from), inside(to)]
      if (from.kind !== to.kind) {
        throw new AccountError('accounts.invalid', `a ${from.kind} cannot become a ${to.kind}`)
      }
      if (source.every((name, at) => name === goal[at])) return 0
      return change(() => {
        deleteGrantsWithin.run(...goal)
        copyWithin.run(...goal, ...source)
        return Number(deleteWithin.run(...source).changes)
      })
    },
    async principals() {
      const users = await store.list()
      const roles = guarded(() => allRoles.all()).map(row => ({
        name: text(row['name']),
        kind: 'role' as const,
        roles: parseRoles(store.name, row['roles']),
        hasPassword: false,
        locked: false,
      }))
      const all = users.map(({ name, granted, scram, password, locked }) => ({
        name,
        kind: 'user' as const,
        roles: granted,
        hasPassword: scram !== undefined || password !== undefined,
        locked,
      }))
      return [...all, ...roles].sort((left, right) => (left.name < right.name ? -1 : 1))
    },
    async snapshot() {
      return guarded(() =>
        atOneMoment(database, (): GrantSnapshot => {
          const lists = new Map<string, readonly string[]>()
          const listOf = (column: SQLOutputValue | undefined): readonly string[] => {
            // Many users have the same roles: one list each.
            const key = text(column)
            const list = lists.get(key) ?? parseRoles(store.name, key)
            lists.set(key, list)
            return list
          }
          const roles = new Map<string, readonly string[]>()
          const roleRows = allRoles.all()
          for (const { name, roles: column } of [...usersWithRoles.all(), ...roleRows]) {
            roles.set(text(name), listOf(column))
          }
          const grants = new Map<string, Grant[]>()
          for (const row of allEntries.all()) {
            const grant = entryOf(row)
            const of = grants.get(grant.grantee)
            if (of === undefined) grants.set(grant.grantee, [grant])
            else of.push(grant)
          }
          return { version: version(), grants, roles, roleNames: new Set(roleRows.map(({ name }) => text(name))) }
        }),
      )
    },
    version: async () => guarded(version),
  }

  function entryOf(row: Record<string, SQLOutputValue>): Grant {
    const path = [row['database'], row['schema'], row['relation']].map(text).filter(name => name !== '')
    const [privilege, state, target] = [text(row['privilege']), text(row['state']), targetAt(path)]
    if (!isPrivilege(privilege) || target === undefined || (state !== 'grant' && state !== 'deny')) {
      throw new AccountError('accounts.unavailable', `account store ${store.name} holds a damaged row`)
    }
    return { grantee: text(row['grantee']), privilege, target, state, grantor: text(row['grantor']) }
  }
}

/** A target that objects can be in: nobody drops the cluster. */
function inside(target: GrantTarget): Path {
  if (target.kind === 'cluster') throw new AccountError('accounts.invalid', 'the cluster is no object')
  return columnsOf(target)
}

async function derived(password: string) {
  const fault = whyNoPassword(password)
  if (fault !== undefined) throw new AccountError('accounts.invalid', fault)
  return deriveVerifiers(password)
}
