import type { DatabaseSync } from 'node:sqlite'
import { inTransaction, openPrivateDatabase } from '../sqlite-database.ts'
import { TokenError } from './error.ts'

const schemaVersion = 1
const schema = `
  CREATE TABLE token (
    digest      TEXT PRIMARY KEY,
    subject_id  TEXT NOT NULL,
    subject     TEXT NOT NULL,
    issued_at   INTEGER NOT NULL,
    valid_until INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX token_of ON token (subject_id, valid_until);
  CREATE INDEX token_end ON token (valid_until);
  CREATE TABLE revocation (
    subject_id TEXT PRIMARY KEY,
    epoch      INTEGER NOT NULL,
    keep_until INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE epoch (one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL, everybody INTEGER NOT NULL) STRICT;
`

/** An open token file. */
export interface TokenFile {
  readonly database: DatabaseSync
  /** @throws {TokenError} `tokens.unavailable` for whatever `work` throws */
  guarded<Result>(work: () => Result): Result
  /** `work` in one transaction that has the file for itself. @throws {TokenError} `tokens.unavailable` */
  locked<Result>(work: () => Result): Result
  close(): void
}

/** What a kind of file begins with. */
export interface FileSchema {
  /** `user_version` of the file; one with a higher one was written by a newer Bawn and is left alone. */
  readonly version: number
  /** Fills a new file. */
  readonly create: (database: DatabaseSync) => void
}

/**
 * Opens, or makes, the SQLite file of tokens and revocations.
 *
 * @param now ms since 1970: the first epoch of a new file
 * @throws {TokenError} `tokens.unavailable`, `tokens.newer_schema`
 */
export function openTokenFile(path: string, now: number): TokenFile {
  return openFile(path, {
    version: schemaVersion,
    create: database => {
      database.exec(schema)
      database.prepare('INSERT INTO epoch (one, epoch, everybody) VALUES (1, ?, ?)').run(now, now)
    },
  })
}

/**
 * Opens, or makes, a SQLite file: readable by its owner only, several processes at once. A commit is on the disk when the call returns (WAL,
 * synchronous=FULL): killing the process at any instant loses nothing that was acknowledged.
 *
 * @throws {TokenError} `tokens.unavailable`, `tokens.newer_schema`
 */
export function openFile(path: string, { version: schemaVersion, create }: FileSchema): TokenFile {
  const guarded = <Result>(work: () => Result): Result => {
    try {
      return work()
    } catch (cause) {
      if (cause instanceof TokenError) throw cause
      throw new TokenError('tokens.unavailable', `the token file ${path} failed`, { cause })
    }
  }
  const database = guarded(() => openPrivateDatabase(path))
  const locked = <Result>(work: () => Result): Result => guarded(() => inTransaction(database, work))
  const version = (): number => Number(database.prepare('PRAGMA user_version').get()?.['user_version'])
  try {
    guarded(() => database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF'))
    if (guarded(version) < schemaVersion) {
      locked(() => {
        // Somebody else may have been faster: look again under the lock.
        if (version() !== 0) return
        create(database)
        database.exec(`PRAGMA user_version = ${schemaVersion}`)
      })
    }
    const found = guarded(version)
    if (found > schemaVersion) {
      throw new TokenError(
        'tokens.newer_schema',
        `the token file ${path} has schema ${found}, this version knows ${schemaVersion}`,
      )
    }
  } catch (error) {
    database.close()
    throw error
  }
  return {
    database,
    guarded,
    locked,
    close: () => {
      if (database.isOpen) database.close()
    },
  }
}
