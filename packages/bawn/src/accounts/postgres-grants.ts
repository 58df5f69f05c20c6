import { damagedRow, roleColumn } from './account-row.ts'
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
import type { Administration, Grant, PrincipalKind } from './grant.ts'
import type { Ask, PostgresTables } from './postgres-connection.ts'
import { grantsVersion, parseRoleRows } from './postgres-roles.ts'
import { AccountError, type WritableAccountStore } from './store.ts'

/** What the administration of a store in PostgreSQL is made of. */
export interface PostgresGrantsParts {
  readonly store: WritableAccountStore
  /** Quoted. */
  readonly schema: string
  readonly tables: PostgresTables
  /** A transaction after which everybody else's change of users, roles and grants comes. */
  readonly changeRoles: <Result>(work: (ask: Ask) => Promise<Result>) => Promise<Result>
  /** ms since 1970 */
  readonly clock: () => number
}

/** Rows within an object: its names are the first parameters. */
const within = "database = $1 AND $2 IN (schema, '') AND $3 IN (relation, '')"

/** Every change is one transaction under one lock: what it rests on cannot change meanwhile, at any node. */
export function createPostgresAdministration(parts: PostgresGrantsParts): Administration {
  const { store, schema, tables, changeRoles, clock } = parts

  /** All roles, and those of the names that are users. */
  const knownOf = async (ask: Ask, names: readonly string[]): Promise<KnownPrincipals> => {
    // What cannot be a name in a text of PostgreSQL is nobody's.
    const askable = names.filter(name => name.isWellFormed() && !name.includes('\0'))
    const users = await ask(`SELECT name, roles FROM ${schema}.account WHERE name = ANY ($1::text[])`, [askable])
    const roles = await ask(`SELECT name, roles FROM ${schema}.role ORDER BY name`)
    return { users: parseRoleRows(store.name, users.rows), roles: parseRoleRows(store.name, roles.rows) }
  }
  const kindOf = (name: string): Promise<PrincipalKind> =>
    tables.readAtOneMoment(async ask => demandKind(store.name, name, await knownOf(ask, [name])))
  const write = async (ask: Ask, { lists, count }: RoleChanges, { users }: KnownPrincipals): Promise<number> => {
    for (const [name, roles] of lists) {
      const table = users.has(name) ? 'account' : 'role'
      await ask(`UPDATE ${schema}.${table} SET roles = $2 WHERE name = $1`, [name, roleColumn(roles)])
    }
    return count
  }
  const countOf = async (ask: Ask, sql: string, values: readonly unknown[]): Promise<number> =>
    (await ask(sql, values)).rowCount ?? 0
  const entryOf = (row: Readonly<Record<string, unknown>>): Grant => {
    const entry = parseEntry(row)
    if (entry === undefined) throw damagedRow(store.name)
    return entry
  }

  return {
    store: store.name,
    async create({ name, kind, password }) {
      if (kind === 'user') {
        await store.add({ name, roles: [], ...(await newVerifiers(store, password)), locked: false })
        return
      }
      requireNewRole(name, password)
      const sql = `INSERT INTO ${schema}.role (name, roles, created)
        SELECT $1::text, '{}', $2 WHERE NOT EXISTS (SELECT FROM ${schema}.account WHERE name = $1) ON CONFLICT DO NOTHING`
      if ((await changeRoles(ask => countOf(ask, sql, [name, clock()]))) === 0) throw nameTaken(name)
    },
    async setPassword(name, password) {
      refuseRolePassword(await kindOf(name))
      await store.setVerifier(name, await newVerifiers(store, password))
    },
    async drop(name) {
      if ((await kindOf(name)) === 'user') return store.remove(name)
      await changeRoles(async ask => {
        demandKind(store.name, name, await knownOf(ask, [name]))
        const holders = await ask(
          `SELECT name FROM (SELECT name, roles FROM ${schema}.account UNION ALL SELECT name, roles FROM ${schema}.role) AS holder
           WHERE $1 = ANY (roles) ORDER BY name LIMIT ${shownHolders}`,
          [name],
        )
        refuseHeldRole(
          name,
          holders.rows.map(row => String(row.name)),
        )
        await ask(`DELETE FROM ${schema}.privilege WHERE grantee = $1`, [name])
        await ask(`DELETE FROM ${schema}.role WHERE name = $1`, [name])
      })
    },
    async grant(entries) {
      const rows = entries.map(entry => ({ entry, path: targetColumns(entry.target) }))
      const grantees = entries.map(({ grantee }) => grantee)
      return changeRoles(async ask => {
        demandKnown(store.name, grantees, await knownOf(ask, grantees))
        const at = clock()
        let count = 0
        for (const { entry, path } of rows) {
          const { grantee, privilege, state, grantor } = entry
          count += await countOf(
            ask,
            `INSERT INTO ${schema}.privilege AS entry (grantee, privilege, database, schema, relation, state, grantor, created)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (grantee, privilege, database, schema, relation)
             DO UPDATE SET state = excluded.state, grantor = excluded.grantor, created = excluded.created
             WHERE entry.state <> excluded.state`,
            [grantee, privilege, ...path, state, grantor, at],
          )
        }
        return count
      })
    },
    async revoke(entries) {
      const rows = entries.map(entry => ({ entry, path: targetColumns(entry.target) }))
      const grantees = entries.map(({ grantee }) => grantee)
      return changeRoles(async ask => {
        demandKnown(store.name, grantees, await knownOf(ask, grantees))
        let count = 0
        for (const { entry, path } of rows) {
          const sql = `DELETE FROM ${schema}.privilege
            WHERE grantee = $1 AND privilege = $2 AND database = $3 AND schema = $4 AND relation = $5`
          count += await countOf(ask, sql, [entry.grantee, entry.privilege, ...path])
        }
        return count
      })
    },
    grantRoles: (roles, grantees) =>
      changeRoles(async ask => {
        const known = await knownOf(ask, [...roles, ...grantees])
        return write(ask, rolesGiven(store.name, roles, grantees, known), known)
      }),
    revokeRoles: (roles, grantees) =>
      changeRoles(async ask => {
        const known = await knownOf(ask, [...roles, ...grantees])
        return write(ask, rolesTaken(store.name, roles, grantees, known), known)
      }),
    async forget(target) {
      const path = objectColumns(target)
      return changeRoles(ask => countOf(ask, `DELETE FROM ${schema}.privilege WHERE ${within}`, path))
    },
    async rename(from, to) {
      const path = renaming(from, to)
      if (path === undefined) return 0
      return changeRoles(async ask => {
        await ask(`DELETE FROM ${schema}.privilege WHERE state = 'grant' AND ${within}`, path.goal)
        await ask(
          `INSERT INTO ${schema}.privilege (grantee, privilege, database, schema, relation, state, grantor, created)
           SELECT grantee, privilege, $4::text, coalesce(nullif($5::text, ''), schema), coalesce(nullif($6::text, ''), relation),
             state, grantor, created
           FROM ${schema}.privilege WHERE ${within} ON CONFLICT DO NOTHING`,
          [...path.source, ...path.goal],
        )
        return countOf(ask, `DELETE FROM ${schema}.privilege WHERE ${within}`, path.source)
      })
    },
    async principals() {
      const users = await store.list()
      const { rows } = await tables.read(`SELECT name, roles FROM ${schema}.role`, [])
      return principalsOf(users, parseRoleRows(store.name, rows))
    },
    snapshot: () =>
      tables.readAtOneMoment(async ask => {
        const { rows: counted } = await ask(`SELECT ${grantsVersion(schema)} AS version`)
        const version: unknown = counted[0]?.version
        if (typeof version !== 'number') throw damagedRow(store.name)
        const roles = parseRoleRows(store.name, (await ask(`SELECT name, roles FROM ${schema}.role`)).rows)
        const users = await ask(`SELECT name, roles FROM ${schema}.account WHERE roles <> '{}'`)
        const entries = await ask(
          `SELECT grantee, privilege, database, schema, relation, state, grantor FROM ${schema}.privilege
           ORDER BY grantee, database, schema, relation, privilege`,
        )
        return {
          version,
          grants: byGrantee(entries.rows.map(entryOf)),
          roles: new Map([...parseRoleRows(store.name, users.rows), ...roles]),
          roleNames: new Set(roles.keys()),
        }
      }),
    async version() {
      const { rows } = await tables.read(`SELECT ${grantsVersion(schema)} AS version`, [])
      const version: unknown = rows[0]?.version
      if (typeof version === 'number') return version
      throw new AccountError('accounts.unavailable', `account store ${store.name} has lost its counter`)
    },
  }
}
