import type { DatabaseSync } from 'node:sqlite'
import { hashedNames } from './digest-verifier.ts'

/** Names of accounts by the hashes that digest may hide them behind. */
export interface HashedNameIndex {
  /** The name that a hash stands for; the same work where it stands for none. @param hash lower-case hex */
  find(hash: string): string | undefined
  /** Within a transaction. @param digest the account's verifiers now; `undefined`: it has none */
  set(name: string, digest: string | undefined): void
}

/** The table, for the file's schema. */
export const hashedNameTable = `
  CREATE TABLE hashed_name (hash TEXT PRIMARY KEY, name TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE INDEX hashed_name_of ON hashed_name (name);
`

export function createHashedNameIndex(database: DatabaseSync): HashedNameIndex {
  const select = database.prepare(
    'SELECT name, 1 AS found FROM hashed_name WHERE hash = ? UNION ALL SELECT ?, 0 LIMIT 1',
  )
  const insert = database.prepare('INSERT INTO hashed_name (hash, name) VALUES (?, ?) ON CONFLICT DO NOTHING')
  const remove = database.prepare('DELETE FROM hashed_name WHERE name = ?')
  return {
    find(hash) {
      const row = select.get(hash, 'nobody')
      const name = row?.['name']
      return row?.['found'] === 1 && typeof name === 'string' ? name : undefined
    },
    set(name, digest) {
      remove.run(name)
      for (const hash of hashedNames(name, digest)) insert.run(hash, name)
    },
  }
}
