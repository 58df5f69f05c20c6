import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import { inTransaction } from '../sqlite-database.ts'
import {
  newCredential,
  nobodyColumns,
  parseAccountColumns,
  requireAccountName,
  verifierColumns,
} from './account-row.ts'
import { nameTaken } from './administration-rules.ts'
import type { Administration } from './grant.ts'
import type { RoleHierarchy } from './role-hierarchy.ts'
import { createHashedNameIndex } from './sqlite-digest.ts'
import { openAccountFile } from './sqlite-file.ts'
import { createSqliteAdministration } from './sqlite-grants.ts'
import { createHierarchyReader, formatRoles, grantsVersion, parseRoles } from './sqlite-roles.ts'
import { AccountError, type StoredAccount, type WritableAccountStore } from './store.ts'
import { deriveVerifiers } from './verifier.ts'

/** A store that also keeps grants. */
export interface SqliteAccountStore extends WritableAccountStore {
  readonly administration: Administration
}

/**
 * The embedded store: one SQLite file, readable by its owner only. Several processes may have it open; each `find` sees what the
 * last commit left. A commit is on the disk when the call returns (WAL, synchronous=FULL): killing the process at any instant loses
 * nothing that was acknowledged and leaves no half of a change.
 *
 * A file of an older version is brought up to date when it is opened, in one transaction.
 *
 * @throws {AccountError} `accounts.unavailable` when the file cannot be opened or is no account file, `accounts.newer_schema`
 */
export function openSqliteAccounts(options: {
  readonly name: string
  readonly path: string
  /** Milliseconds since 1970. */
  readonly clock?: () => number
}): SqliteAccountStore {
  const { name, path, clock = Date.now } = options
  const changes: ChangeWatch = { isSeen: false }
  const guarded = <Result>(work: () => Result): Result => {
    // Whatever is done may change something: whoever asks for the version looks again.
    changes.isSeen = false
    try {
      return work()
    } catch (cause) {
      if (cause instanceof AccountError) throw cause
      throw new AccountError('accounts.unavailable', `account store ${name} (${path}) failed`, { cause })
    }
  }

  const database = guarded(() => openAccountFile(name, path))
  try {
    return guarded(() => createStore(name, database, clock, guarded, changes))
  } catch (error) {
    database.close()
    throw error
  }
}

interface ChangeWatch {
  /** The version was read in this turn of the event loop, and nothing was done here since. */
  isSeen: boolean
}

function createStore(
  name: string,
  database: DatabaseSync,
  clock: () => number,
  guarded: <Result>(work: () => Result) => Result,
  changes: ChangeWatch,
): SqliteAccountStore {
  const columns = 'name, scram, roles, locked, password, created, password_changed, digest, credential'
  const read = `${columns}, ${grantsVersion} AS version`
  // A row for every name, and every row is read to its end: what is read of an account only shows in the time of a failed login.
  const select = database.prepare(
    `SELECT ${read}, 1 AS found FROM account WHERE name = ?
     UNION ALL
     SELECT '${nobodyColumns.name}', '${nobodyColumns.scram}', '["${nobodyColumns.role}"]', 1, '${nobodyColumns.password}', 0, 0,
       '${nobodyColumns.digest}', '${newCredential()}', ${grantsVersion}, 0
     LIMIT 1`,
  )
  const selectNext = database.prepare(
    `SELECT ${read} FROM account WHERE name > ? AND (password IS NOT NULL OR scram IS NOT NULL) ORDER BY name LIMIT 1`,
  )
  const selectAll = database.prepare(`SELECT ${read} FROM account ORDER BY name`)
  const insert = database.prepare(
    `INSERT INTO account (${columns}) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9
     WHERE NOT EXISTS (SELECT 1 FROM role WHERE name = ?1) ON CONFLICT DO NOTHING`,
  )
  const updateVerifiers = database.prepare(
    'UPDATE account SET scram = ?, password = ?, digest = ?, password_changed = ?, credential = ? WHERE name = ?',
  )
  const upgradeVerifiers = database.prepare(
    `UPDATE account SET scram = ?, password = ?, digest = ?
     WHERE name = ? AND scram IS ? AND password IS ? AND digest IS ?`,
  )
  const updateRoles = database.prepare('UPDATE account SET roles = ? WHERE name = ?')
  const updateLocked = database.prepare(
    'UPDATE account SET locked = ?1, credential = iif(?1, ?2, credential) WHERE name = ?3',
  )
  const deleteOne = database.prepare('DELETE FROM account WHERE name = ?')
  const deleteEntries = database.prepare('DELETE FROM privilege WHERE grantee = ?')
  const secret = database.prepare("SELECT value FROM secret WHERE name = 'decoy'").get()?.['value']
  if (!(secret instanceof Uint8Array) || secret.length !== 32) {
    throw new AccountError('accounts.unavailable', `account store ${name} has lost its secret row`)
  }

  const changed = (user: string, { changes }: { readonly changes: number | bigint }): void => {
    if (Number(changes) === 0)
      throw new AccountError('accounts.not_found', `account store ${name} has no such account: ${JSON.stringify(user)}`)
  }

  const hierarchyReader = createHierarchyReader(name, database)
  /** Rows and the roles of roles as they were at one moment. */
  const accountsOf = (select: () => readonly (Row | undefined)[]): readonly (StoredAccount | undefined)[] => {
    for (;;) {
      const rows = select()
      const version = rows[0]?.['version']
      if (version === undefined) return []
      const { hierarchy, version: of } = hierarchyReader.at(version)
      if (of === version) return rows.map(row => parseRow(name, row, hierarchy))
      // Somebody has changed roles between the two.
    }
  }

  // The first moves with commits of other connections, in this process or another; the second with our own.
  const selectOthers = database.prepare('PRAGMA data_version')
  const selectOwn = database.prepare('SELECT total_changes() AS own')
  let version = ''
  const readVersion = (): string => {
    const { data_version: others } = selectOthers.get() ?? {}
    const { own } = selectOwn.get() ?? {}
    return `${others} ${own}`
  }

  const hashed = createHashedNameIndex(database)
  const transacted = <Result>(work: () => Result): Result => guarded(() => inTransaction(database, work))

  const store: Omit<SqliteAccountStore, 'administration'> = {
    name,
    decoySecret: async () => secret,
    derive: deriveVerifiers,
    find: async user =>
      guarded(() => {
        let isFound = false
        const [account] = accountsOf(() => {
          const row = select.get(user)
          isFound = row?.['found'] === 1
          return [row]
        })
        return isFound ? account : undefined
      }),
    version: () => {
      if (changes.isSeen) return version
      version = guarded(readVersion)
      changes.isSeen = true
      // Looking costs four calls of the system: once is enough for all requests that were received together.
      setImmediate(() => {
        changes.isSeen = false
      })
      return version
    },
    // The next in the order of names that has a password, as chance as the name itself.
    decoy: async user => guarded(() => accountsOf(() => [selectNext.get(user) ?? selectNext.get('')])[0]),
    // No account is called so: the second look costs the same.
    findHashed: async ({ hash }) => store.find(guarded(() => hashed.find(hash)) ?? '\0'),
    list: async () => guarded(() => accountsOf(() => selectAll.all()).flatMap(account => account ?? [])),
    add: async account => {
      requireAccountName(account.name)
      const [scram, password, digest] = verifierColumns(account)
      const roles = formatRoles(account.roles)
      const at = clock()
      const { name: user, locked } = account
      transacted(() => {
        const row = [user, scram, roles, locked ? 1 : 0, password, at, at, digest, newCredential()] as const
        if (Number(insert.run(...row).changes) === 0) throw nameTaken(user)
        hashed.set(user, account.digest)
      })
    },
    setVerifier: async (user, verifiers) => {
      const columnsOfAll = verifierColumns(verifiers)
      transacted(() => {
        changed(user, updateVerifiers.run(...columnsOfAll, clock(), newCredential(), user))
        hashed.set(user, verifiers.digest)
      })
    },
    upgrade: async (account, verifiers) => {
      const [before, after] = [verifierColumns(account), verifierColumns(verifiers)]
      return transacted(() => {
        if (Number(upgradeVerifiers.run(...after, account.name, ...before).changes) === 0) return false
        hashed.set(account.name, verifiers.digest)
        return true
      })
    },
    setRoles: async (user, roles) =>
      changed(
        user,
        guarded(() => updateRoles.run(formatRoles(roles), user)),
      ),
    setLocked: async (user, locked) =>
      changed(
        user,
        guarded(() => updateLocked.run(locked ? 1 : 0, newCredential(), user)),
      ),
    remove: async user =>
      transacted(() => {
        deleteEntries.run(user)
        hashed.set(user, undefined)
        // A role of that name keeps what it has.
        changed(user, deleteOne.run(user))
      }),
    close: async () => {
      if (database.isOpen) database.close()
    },
  }
  return { ...store, administration: createSqliteAdministration({ store, database, clock, guarded }) }
}

type Row = Record<string, SQLOutputValue>

function parseRow(store: string, row: Row | undefined, hierarchy: RoleHierarchy): StoredAccount | undefined {
  if (row === undefined) return undefined
  const { name, scram, password, locked, created, password_changed: passwordChanged, digest, credential } = row
  return parseAccountColumns(
    store,
    {
      ...{ name, scram, password, digest, credential, created, passwordChanged },
      roles: parseRoles(store, row['roles']),
      locked: locked === 1 ? true : locked === 0 ? false : undefined,
    },
    hierarchy,
  )
}
