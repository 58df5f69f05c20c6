import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import { atOneMoment, inTransaction } from '../sqlite-database.ts'
import { damagedRow } from './account-row.ts'
import {
  byGrantee,
  demandKind,
  demandKnown,
  type KnownPrincipals,
  nameTaken,
  newVerifiers,
  objectColumns,
  parseEntry,
  principalsOf,
  type RoleChanges,
  refuseHeldRole,
  refuseRolePassword,
  renaming,
  requireNewRole,
  rolesGiven,
  rolesTaken,
  shownHolders,
  targetColumns,
} from './administration-rules.ts'
import type { Administration, Grant, GrantSnapshot, PrincipalKind } from './grant.ts'
import type { SqliteAccountStore } from './sqlite.ts'
import { formatRoles, grantsVersion, parseRoles } from './sqlite-roles.ts'

/** What the administration of an open file is made of. */
export interface SqliteGrantsParts {
  readonly store: Omit<SqliteAccountStore, 'administration'>
  readonly database: DatabaseSync
  /** ms since 1970 */
  readonly clock: () => number
  /** Makes an `AccountError` of whatever SQLite throws. */
  readonly guarded: <Result>(work: () => Result) => Result
}

const within = "database = ? AND ? IN (schema, '') AND ? IN (relation, '')"

/** Every change is one transaction under the write lock: what it rests on cannot change meanwhile. */
export function createSqliteAdministration({ store, database, clock, guarded }: SqliteGrantsParts): Administration {
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
     WHERE value = ? ORDER BY holder.name LIMIT ${shownHolders}`,
  )
  const userRoles = database.prepare('SELECT roles FROM account WHERE name = ?')
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

  const text = (column: SQLOutputValue | undefined): string => {
    if (typeof column === 'string') return column
    throw damagedRow(store.name)
  }
  const roleList = (): ReadonlyMap<string, readonly string[]> =>
    new Map(allRoles.all().map(({ name, roles }) => [text(name), parseRoles(store.name, roles)]))
  /** All roles, and those of the names that are users. */
  const knownOf = (names: readonly string[]): KnownPrincipals => {
    const users = new Map<string, readonly string[]>()
    for (const name of names) {
      const row = userRoles.get(name)
      if (row !== undefined) users.set(name, parseRoles(store.name, row['roles']))
    }
    return { users, roles: roleList() }
  }
  const write = ({ lists, count }: RoleChanges, { users }: KnownPrincipals): number => {
    for (const [name, roles] of lists) updateRoles[users.has(name) ? 'user' : 'role'].run(formatRoles(roles), name)
    return count
  }
  const version = (): number => Number(selectVersion.get()?.['version'])
  const change = <Result>(work: () => Result): Result => guarded(() => inTransaction(database, work))
  const kindOf = (name: string): PrincipalKind => guarded(() => demandKind(store.name, name, knownOf([name])))

  return {
    store: store.name,
    async create({ name, kind, password }) {
      if (kind === 'role') {
        requireNewRole(name, password)
        const { changes } = guarded(() => insertRole.run(name, clock()))
        if (Number(changes) === 0) throw nameTaken(name)
        return
      }
      await store.add({ name, roles: [], ...(await newVerifiers(store, password)), locked: false })
    },
    async setPassword(name, password) {
      refuseRolePassword(kindOf(name))
      await store.setVerifier(name, await newVerifiers(store, password))
    },
    async drop(name) {
      if (kindOf(name) === 'user') return store.remove(name)
      change(() => {
        demandKind(store.name, name, knownOf([name]))
        refuseHeldRole(
          name,
          selectHolders.all(name).map(row => text(row['name'])),
        )
        deleteEntries.run(name)
        deleteRole.run(name)
      })
    },
    async grant(entries) {
      const rows = entries.map(entry => ({ entry, path: targetColumns(entry.target) }))
      const grantees = entries.map(({ grantee }) => grantee)
      return change(() => {
        demandKnown(store.name, grantees, knownOf(grantees))
        const at = clock()
        return rows.reduce((sum, { entry: { grantee, privilege, state, grantor }, path }) => {
          return sum + Number(upsertEntry.run(grantee, privilege, ...path, state, grantor, at).changes)
        }, 0)
      })
    },
    async revoke(entries) {
      const rows = entries.map(entry => ({ entry, path: targetColumns(entry.target) }))
      const grantees = entries.map(({ grantee }) => grantee)
      return change(() => {
        demandKnown(store.name, grantees, knownOf(grantees))
        return rows.reduce((sum, { entry: { grantee, privilege }, path }) => {
          return sum + Number(deleteEntry.run(grantee, privilege, ...path).changes)
        }, 0)
      })
    },
    async grantRoles(roles, grantees) {
      return change(() => {
        const known = knownOf([...roles, ...grantees])
        return write(rolesGiven(store.name, roles, grantees, known), known)
      })
    },
    async revokeRoles(roles, grantees) {
      return change(() => {
        const known = knownOf([...roles, ...grantees])
        return write(rolesTaken(store.name, roles, grantees, known), known)
      })
    },
    async forget(target) {
      const path = objectColumns(target)
      return change(() => Number(deleteWithin.run(...path).changes))
    },
    async rename(from, to) {
      const path = renaming(from, to)
      if (path === undefined) return 0
      return change(() => {
        deleteGrantsWithin.run(...path.goal)
        copyWithin.run(...path.goal, ...path.source)
        return Number(deleteWithin.run(...path.source).changes)
      })
    },
    async principals() {
      const users = await store.list()
      return principalsOf(users, guarded(roleList))
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
          const grants = byGrantee(allEntries.all().map(entryOf))
          return { version: version(), grants, roles, roleNames: new Set(roleRows.map(({ name }) => text(name))) }
        }),
      )
    },
    version: async () => guarded(version),
  }

  function entryOf(row: Record<string, SQLOutputValue>): Grant {
    const entry = parseEntry(row)
    if (entry === undefined) throw damagedRow(store.name)
    return entry
  }
}
