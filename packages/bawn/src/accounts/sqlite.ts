import { randomBytes } from 'node:crypto'
import { chmodSync, closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type SQLOutputValue } from 'node:sqlite'
import { argon2idDefaults } from './argon2id.ts'
import { defaultScramIterations, formatScramVerifier, parseScramVerifier } from './scram-verifier.ts'
import {
  type Account,
  AccountError,
  type AccountStore,
  isAccountName,
  isRoleName,
  type ScramVerifier,
} from './store.ts'
import {
  formatVerifier,
  type PasswordVerifier,
  parseVerifier,
  type StoredVerifier,
  type Verifiers,
} from './verifier.ts'

/** An account with what the file knows of its past, in ms since 1970; `undefined` where it was made before that was written down. */
export interface StoredAccount extends Account {
  readonly createdAt: number | undefined
  /** When its password was last set or made anew. */
  readonly passwordChangedAt: number | undefined
}

/** What the command line needs besides the store that doors see. */
export interface SqliteAccountStore extends AccountStore {
  find(user: string): Promise<StoredAccount | undefined>
  decoy(user: string): Promise<StoredAccount | undefined>
  list(): Promise<readonly StoredAccount[]>
  upgrade(account: Account, verifiers: Verifiers): Promise<boolean>
  /** 32 random bytes, made with the file: what decoy verifiers are derived from (`decoyScramVerifier`). Never shown. */
  readonly decoySecret: Uint8Array
  /** @throws {AccountError} `accounts.not_found`, `accounts.invalid` */
  setRoles(user: string, roles: readonly string[]): Promise<void>
  /** A locked account keeps its password and its roles and cannot log in. @throws {AccountError} `accounts.not_found` */
  setLocked(user: string, locked: boolean): Promise<void>
  /** @throws {AccountError} `accounts.not_found` */
  remove(user: string): Promise<void>
}

// user_version of the file; a file with a higher one was written by a newer Bawn and is left alone. Step n makes version n + 1.
const steps = [
  `
  CREATE TABLE account (
    name   TEXT PRIMARY KEY,
    scram  TEXT,
    roles  TEXT NOT NULL,
    locked INTEGER NOT NULL CHECK (locked IN (0, 1))
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE secret (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
  `,
  `
  ALTER TABLE account ADD COLUMN password TEXT;
  ALTER TABLE account ADD COLUMN created INTEGER;
  ALTER TABLE account ADD COLUMN password_changed INTEGER;
  `,
]
const schemaVersion = steps.length

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
      return createStore(name, database, clock, guarded)
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
      const before = version()
      for (const step of steps.slice(before)) database.exec(step)
      if (before === 0) database.prepare("INSERT INTO secret (name, value) VALUES ('decoy', ?)").run(randomBytes(32))
      if (before < schemaVersion) database.exec(`PRAGMA user_version = ${schemaVersion}`)
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
  clock: () => number,
  guarded: <Result>(work: () => Result) => Result,
): SqliteAccountStore {
  const columns = 'name, scram, roles, locked, password, created, password_changed'
  // A row for every name, and every row is read to its end: what is read of an account only shows in the time of a failed login.
  const select = database.prepare(
    `SELECT ${columns}, 1 AS found FROM account WHERE name = ?
     UNION ALL
     SELECT 'nobody', '${formatScramVerifier(nobody.scram)}', '["none"]', 1, '${formatVerifier(nobody.password)}', 0, 0, 0
     LIMIT 1`,
  )
  const selectNext = database.prepare(`SELECT ${columns} FROM account WHERE name > ? ORDER BY name LIMIT 1`)
  const selectAll = database.prepare(`SELECT ${columns} FROM account ORDER BY name`)
  const insert = database.prepare(
    `INSERT INTO account (${columns}) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
  )
  const updateVerifiers = database.prepare(
    'UPDATE account SET scram = ?, password = ?, password_changed = ? WHERE name = ?',
  )
  const upgradeVerifiers = database.prepare(
    'UPDATE account SET scram = ?, password = ? WHERE name = ? AND scram IS ? AND password IS ?',
  )
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
    // The next in the order of names, as chance as the name itself.
    decoy: async user => guarded(() => parseRow(name, selectNext.get(user) ?? selectNext.get(''))),
    list: async () => guarded(() => selectAll.all().flatMap(row => parseRow(name, row) ?? [])),
    add: async account => {
      if (!isAccountName(account.name)) throw new AccountError('accounts.invalid', 'the account name cannot be used')
      const [scram, password] = verifierColumns(account)
      const roles = formatRoles(account.roles)
      const at = clock()
      const { changes } = guarded(() =>
        insert.run(account.name, scram, roles, account.locked ? 1 : 0, password, at, at),
      )
      if (Number(changes) === 0)
        throw new AccountError('accounts.exists', `the account ${JSON.stringify(account.name)} exists`)
    },
    setVerifier: async (user, verifiers) => {
      const columnsOfBoth = verifierColumns(verifiers)
      changed(
        user,
        guarded(() => updateVerifiers.run(...columnsOfBoth, clock(), user)),
      )
    },
    upgrade: async (account, verifiers) => {
      const [before, after] = [verifierColumns(account), verifierColumns(verifiers)]
      const { changes } = guarded(() => upgradeVerifiers.run(...after, account.name, ...before))
      return Number(changes) > 0
    },
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

function verifierColumns({ scram, password }: Partial<Verifiers>): [scram: string | null, password: string | null] {
  if (password?.kind === 'plain') throw new AccountError('accounts.invalid', 'a password in clear is not stored')
  return [
    scram === undefined ? null : formatScramVerifier(scram),
    password === undefined ? null : formatVerifier(password),
  ]
}

/** Opened by no password: nothing hashes to zeros. */
const nobody: { readonly scram: ScramVerifier; readonly password: StoredVerifier } = {
  scram: {
    iterations: defaultScramIterations,
    salt: Buffer.alloc(16),
    storedKey: Buffer.alloc(32),
    serverKey: Buffer.alloc(32),
  },
  password: { kind: 'argon2id', ...argon2idDefaults, salt: Buffer.alloc(16), tag: Buffer.alloc(32) },
}

function formatRoles(roles: readonly string[]): string {
  for (const role of roles) {
    if (!isRoleName(role))
      throw new AccountError('accounts.invalid', `${JSON.stringify(role.slice(0, 128))} is not a role name`)
  }
  return JSON.stringify([...new Set(roles)].sort())
}

/** A row that cannot be read is a store that failed, not an account that is missing: the login must not fall through to another store. */
function parseRow(store: string, row: Record<string, SQLOutputValue> | undefined): StoredAccount | undefined {
  if (row === undefined) return undefined
  const { name, roles, locked, created, password_changed } = row
  const scram = parseColumn(row['scram'], parseScramVerifier)
  const password = parseColumn<PasswordVerifier>(row['password'], parseVerifier)
  const roleList: unknown = typeof roles === 'string' ? JSON.parse(roles) : undefined
  if (typeof name !== 'string' || !isStringList(roleList) || scram === 'damaged' || password === 'damaged') {
    throw new AccountError('accounts.unavailable', `account store ${store} holds a damaged row`)
  }
  return {
    name,
    roles: roleList,
    scram,
    password,
    locked: locked !== 0,
    createdAt: typeof created === 'number' ? created : undefined,
    passwordChangedAt: typeof password_changed === 'number' ? password_changed : undefined,
  }
}

function parseColumn<Value>(
  column: SQLOutputValue | undefined,
  parse: (text: string) => Value | undefined,
): Value | 'damaged' | undefined {
  if (column === null) return undefined
  return (typeof column === 'string' ? parse(column) : undefined) ?? 'damaged'
}

function isStringList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(item => typeof item === 'string')
}
