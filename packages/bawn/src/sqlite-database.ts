import { chmodSync, closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

// What every SQLite file of ours has in common. Its schema, and what goes wrong with it, is its folder's.

/** Opens a file that only its owner can read, or makes it. @throws whatever the file system and SQLite throw */
export function openPrivateDatabase(path: string): DatabaseSync {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  // The file is made by us, so that it is never readable by others; SQLite gives -wal and -shm the same mode.
  closeSync(openSync(path, 'a', 0o600))
  chmodSync(path, 0o600)
  return new DatabaseSync(path, { timeout: 5_000, allowExtension: false, enableDoubleQuotedStringLiterals: false })
}

/** Everything in it is committed, and on the disk when this returns, or nothing is. */
export function inTransaction<Result>(database: DatabaseSync, work: () => Result): Result {
  return between(database, 'BEGIN IMMEDIATE', work)
}

/** Everything in it reads one state of the file. */
export function atOneMoment<Result>(database: DatabaseSync, work: () => Result): Result {
  return between(database, 'BEGIN', work)
}

function between<Result>(database: DatabaseSync, begin: string, work: () => Result): Result {
  database.exec(begin)
  try {
    const result = work()
    database.exec('COMMIT')
    return result
  } catch (error) {
    // SQLite has rolled back by itself after some failures (SQLITE_FULL, SQLITE_IOERR).
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}
