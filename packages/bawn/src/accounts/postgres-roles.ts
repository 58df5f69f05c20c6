import { damagedRow } from './account-row.ts'
import type { PostgresTables } from './postgres-connection.ts'
import type { RoleHierarchy } from './role-hierarchy.ts'
import { AccountError } from './store.ts'

// Roles as the store in PostgreSQL keeps them, and who has which in turn.

/** An SQL expression: another number whenever grants, roles or who has them are others. @param schema quoted */
export const grantsVersion = (schema: string): string =>
  `(SELECT value::float8 FROM ${schema}.counter WHERE name = 'grants')`

/** A statement that lets nobody else change users' and roles' names and who has which role, until the transaction ends. */
export const lockGrants = (schema: string): string => `SELECT FROM ${schema}.counter WHERE name = 'grants' FOR UPDATE`

/** @param store its name @throws {AccountError} `accounts.unavailable` when they cannot be read */
export function parseRoleRows(
  store: string,
  rows: readonly Readonly<Record<string, unknown>>[],
): ReadonlyMap<string, readonly string[]> {
  return new Map(
    rows.map(({ name, roles }) => {
      if (typeof name !== 'string' || !isStringList(roles)) throw damagedRow(store)
      return [name, roles]
    }),
  )
}

function isStringList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(item => typeof item === 'string')
}

/** Somebody who changes roles without end must not keep a login waiting without end. */
const mostLooks = 10

/**
 * Reads rows and the hierarchy as they were at one moment. The hierarchy comes from memory where its version is known: whoever logs in pays
 * the same for every name.
 *
 * @param store its name
 * @param schema quoted
 */
export function createPostgresHierarchy(store: string, schema: string, tables: PostgresTables) {
  let known: { readonly version: unknown; readonly hierarchy: RoleHierarchy } | undefined

  const readHierarchy = async () => {
    const { rows } = await tables.read(
      `SELECT name, roles, ${grantsVersion(schema)} AS version FROM ${schema}.role
       UNION ALL SELECT NULL, '{}', ${grantsVersion(schema)}`,
      [],
    )
    const version: unknown = rows[0]?.version
    if (typeof version !== 'number')
      throw new AccountError('accounts.unavailable', `account store ${store} has lost its counter`)
    known = {
      version,
      hierarchy: parseRoleRows(
        store,
        rows.filter(({ name }) => name !== null),
      ),
    }
    return known
  }

  return async <Rows>(
    select: () => Promise<{ readonly rows: Rows; readonly version: unknown }>,
  ): Promise<{ readonly rows: Rows; readonly hierarchy: RoleHierarchy }> => {
    for (let look = 0; look < mostLooks; look++) {
      const { rows, version } = await select()
      // No row, no version, and nobody whose roles would have to be known.
      if (version === undefined) return { rows, hierarchy: new Map() }
      const { version: of, hierarchy } = known?.version === version ? known : await readHierarchy()
      if (of === version) return { rows, hierarchy }
      // Somebody has changed roles between the two.
    }
    throw new AccountError(
      'accounts.unavailable',
      `the roles of account store ${store} change faster than they can be read`,
    )
  }
}
