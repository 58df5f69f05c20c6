import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import { damagedRow, roleColumn } from './account-row.ts'
import type { RoleHierarchy } from './role-hierarchy.ts'
import { AccountError } from './store.ts'

// Roles as the embedded store keeps them: of a user and of a role as a JSON list, and who has which in turn.

/** An SQL expression: another number whenever grants, roles or who has them are others. */
export const grantsVersion = "(SELECT value FROM counter WHERE name = 'grants')"

/** @throws {AccountError} `accounts.invalid` */
export const formatRoles = (roles: readonly string[]): string => JSON.stringify(roleColumn(roles))

/** @param store its name @throws {AccountError} `accounts.unavailable` when it is no list of names */
export function parseRoles(store: string, column: SQLOutputValue | undefined): readonly string[] {
  const list: unknown = typeof column === 'string' ? parseJson(column) : undefined
  if (Array.isArray(list) && list.every(item => typeof item === 'string')) return list
  throw damagedRow(store)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export interface HierarchyReader {
  /**
   * The hierarchy of that version, from memory where it is known: whoever logs in pays the same for every name. Of a later version when
   * the file has one by now.
   */
  at(version: SQLOutputValue): { readonly version: SQLOutputValue; readonly hierarchy: RoleHierarchy }
}

export function createHierarchyReader(store: string, database: DatabaseSync): HierarchyReader {
  const select = database.prepare(
    `SELECT name, roles, ${grantsVersion} AS version FROM role UNION ALL SELECT NULL, '[]', ${grantsVersion}`,
  )
  let known: ReturnType<HierarchyReader['at']> = { version: null, hierarchy: new Map() }
  return {
    at(version) {
      if (version === known.version) return known
      const rows = select.all()
      const found = rows[0]?.['version']
      if (typeof found !== 'number')
        throw new AccountError('accounts.unavailable', `account store ${store} has lost its counter`)
      const hierarchy = new Map<string, readonly string[]>()
      for (const { name, roles } of rows) if (typeof name === 'string') hierarchy.set(name, parseRoles(store, roles))
      known = { version: found, hierarchy }
      return known
    },
  }
}
