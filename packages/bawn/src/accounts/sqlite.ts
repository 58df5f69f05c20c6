import { randomBytes } from 'node:crypto'
import { chmodSync, closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type SQLOutputValue } from 'node:sqlite'
import { defaultScramIterations, formatScramVerifier, parseScramVerifier } from './scram-verifier.ts'
import {
  type Account,
  AccountError,
  type AccountStore,
  isAccountName,
  isRoleName,
  type ScramVerifier,
} from './store.ts'

/** What the command line needs besides the store that doors see. */
export interface SqliteAccountStore extends AccountStore {
  /** 32 random bytes, made with the file: what decoy verifiers are derived from (`decoyScramVerifier`). Never shown. */
  readonly decoySecret: Uint8Array
  /** @throws {AccountError} `accounts.not_found`, `accounts.invalid` */
  setRoles(user: string, roles: readonly string[]): Promise<void>
  /** A locked account keeps its password and its roles and cannot log in. @throws {AccountError} `accounts.not_found` */
  setLocked(user: string, locked: boolean): Promise<void>
  /** @throws {AccountError} `accounts.not_found` */
  remove(user: string): Promise<void>
}

// user_version of the file; a file with a higher one was written by a newer Bawn and is left alone.
const schemaVersion = 1
const schema = `
  CREATE TABLE account (
    name   TEXT PRIMARY KEY,
    scram  TEXT,
    roles  TEXT NOT NULL,
    locked INTEGER NOT NULL CHECK (locked IN (0, 1))
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE secret (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
`

/**
 * The embedded store: one SQLite file, readable by its owner only. Several processes may have it open; each `find` sees what the
 * last commit left. A commit is on the disk when the call returns (WAL, synchronous=FULL): killing the process at any instant loses
 * nothing that was acknowledged and leaves no half of a change.
 *
 * @throws {AccountError} `accounts.unavailable` when the file cannot be opened or is no account file, `accounts.newer_schema`
 */
export function openSqliteAccounts(options: { readonly name: string; readonly path: string }): SqliteAccountStore {
  const { name, path } = options
  const guarded = <Result>(work: () => Result): Result => {
    try {
      return work()
    } catch (cause) {
      if (cause instanceof AccountError) throw cause
      throw new AccountError('accounts.unavailable', `account store ${name} (${path}) failed`, { cause })
    }
  }

  const database = guarded(() => openFile(path))
  try {
    return guarded(() => {
      migrate(database, name)
      database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF')
      return createStore(name, database, guarded)
    })
  } catch (error) {
    database.close()
    throw error
  }
}

function openFile(path: string): DatabaseSync {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  // The file is made by us, so that it is never readable by others; SQLite gives -wal and -shm the same mode.
  closeSync(openSync(path, 'a', 0o600))
  chmodSync(path, 0o600)
  return new DatabaseSync(path, { timeout: 5_000, allowExtension: false, enableDoubleQuotedStringLiterals: false })
}

function migrate(database: DatabaseSync, name: string): void {
  const version = () => Number(database.prepare('PRAGMA user_version').get()?.['user_version'])
  if (version() < schemaVersion) {
    database.exec('BEGIN IMMEDIATE')
    try {
      // Somebody else may have been faster: look again under the lock.
      if (version() === 0) {
        database.exec(schema)
        database.prepare("INSERT INTO secret (name, value) VALUES ('decoy', ?)").run(randomBytes(32))
        database.exec(`PRAGMA user_version = ${schemaVersion}`)
      }
      database.exec('COMMIT')
    } catch (error) {
      database.exec('ROLLBACK')
      throw error
    }
  }
  const found = version()
  if (found > schemaVersion) {
    throw new AccountError(
      'accounts.newer_schema',
      `account store ${name} has schema ${found}, this version knows ${schemaVersion}`,
    )
  }
}

function createStore(
  name: string,
  database: DatabaseSync,
  guarded: <Result>(work: () => Result) => Result,
): SqliteAccountStore {
  const columns = 'name, scram, roles, locked'
  // A row for every name, and every row is read to its end: what is read of an account only shows in the time of a failed login.
  const select = database.prepare(
    `SELECT ${columns}, 1 AS found FROM account WHERE name = ?
     UNION ALL SELECT 'nobody', '${formatScramVerifier(nobody)}', '["none"]', 1, 0 LIMIT 1`,
  )
  const selectAll = database.prepare(`SELECT ${columns} FROM account ORDER BY name`)
  const insert = database.prepare(`INSERT INTO account (${columns}) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`)
  const updateScram = database.prepare('UPDATE account SET scram = ? WHERE name = ?')
  const updateRoles = database.prepare('UPDATE account SET roles = ? WHERE name = ?')
  const updateLocked = database.prepare('UPDATE account SET locked = ? WHERE name = ?')
  const deleteOne = database.prepare('DELETE FROM account WHERE name = ?')
  const secret = database.prepare("SELECT value FROM secret WHERE name = 'decoy'").get()?.['value']
  if (!(secret instanceof Uint8Array) || secret.length !== 32) {
    throw new AccountError('accounts.unavailable', `account store ${name} has lost its secret row`)
  }

  const changed = (user: string, { changes }: { readonly changes: number | bigint }): void => {
    if (Number(changes) === 0)
      throw new AccountError('accounts.not_found', `account store ${name} has no such account: ${JSON.stringify(user)}`)
  }

  return {
    name,
    decoySecret: secret,
    find: async user =>
      guarded(() => {
        const row = select.get(user)
        const account = parseRow(name, row)
        return row?.['found'] === 1 ? account : undefined
      }),
    list: async () => guarded(() => selectAll.all().flatMap(row => parseRow(name, row) ?? [])),
    add: async account => {
      if (!isAccountName(account.name)) throw new AccountError('accounts.invalid', 'the account name cannot be used')
      const scram = account.scram === undefined ? null : formatScramVerifier(account.scram)
      const { changes } = guarded(() =>
        insert.run(account.name, scram, formatRoles(account.roles), account.locked ? 1 : 0),
      )
      if (Number(changes) === 0)
        throw new AccountError('accounts.exists', `the account ${JSON.stringify(account.name)} exists`)
    },
    setVerifier: async (user, scram) =>
      changed(
        user,
        guarded(() => updateScram.run(formatScramVerifier(scram), user)),
      ),
    setRoles: async (user, roles) =>
      changed(
        user,
        guarded(() => updateRoles.run(formatRoles(roles), user)),
      ),
    setLocked: async (user, locked) =>
      changed(
        user,
        guarded(() => updateLocked.run(locked ? 1 : 0, user)),
      ),
    remove: async user =>
      changed(
        user,
        guarded(() => deleteOne.run(user)),
      ),
    close: async () => {
      if (database.isOpen) database.close()
    },
  }
}

/** Opened by no password: nothing hashes to zeros. */
const nobody: ScramVerifier = {
  iterations: defaultScramIterations,
  salt: Buffer.alloc(16),
  storedKey: Buffer.alloc(32),
  serverKey: Buffer.alloc(32),
}

function formatRoles(roles: readonly string[]): string {
  for (const role of roles) {
    if (!isRoleName(role))
      throw new AccountError('accounts.invalid', `${JSON.stringify(role.slice(0, 128))} is not a role name`)
  }
  return JSON.stringify([...new Set(roles)].sort())
}

/** A row that cannot be read is a store that failed, not an account that is missing: the login must not fall through to another store. */
function parseRow(store: string, row: Record<string, SQLOutputValue> | undefined): Account | undefined {
  if (row === undefined) return undefined
  const { name, scram, roles, locked } = row
  const verifier: ScramVerifier | undefined = typeof scram === 'string' ? parseScramVerifier(scram) : undefined
  const roleList: unknown = typeof roles === 'string' ? JSON.parse(roles) : undefined
  if (typeof name !== 'string' || !isStringList(roleList) || (scram !== null && verifier === undefined)) {
    throw new AccountError('accounts.unavailable', `account store ${store} holds a damaged row`)
  }
  return { name, roles: roleList, scram: verifier, locked: locked !== 0 }
}

function isStringList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(item => typeof item === 'string')
}
