import { randomBytes } from 'node:crypto'
import type { DatabaseSync } from 'node:sqlite'
import { inTransaction, openPrivateDatabase } from '../sqlite-database.ts'
import { hashedNameTable } from './sqlite-digest.ts'
import { AccountError } from './store.ts'

// The file of the embedded store: how it is opened, and what is in it.

const counted = "UPDATE counter SET value = value + 1 WHERE name = 'grants'; END;"

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
  // Roles stand in a table of their own: nothing that looks for somebody who logs in can find one. The counter moves with everything that
  // grants are decided by, whoever changes it, so that other processes see it.
  `
  CREATE TABLE role (
    name    TEXT PRIMARY KEY,
    roles   TEXT NOT NULL,
    created INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE privilege (
    grantee   TEXT NOT NULL,
    privilege TEXT NOT NULL CHECK (privilege IN ('DQL', 'DML', 'DDL', 'AL')),
    database  TEXT NOT NULL,
    schema    TEXT NOT NULL CHECK (schema = '' OR database <> ''),
    relation  TEXT NOT NULL CHECK (relation = '' OR schema <> ''),
    state     TEXT NOT NULL CHECK (state IN ('grant', 'deny')),
    grantor   TEXT NOT NULL,
    created   INTEGER NOT NULL,
    PRIMARY KEY (grantee, privilege, database, schema, relation)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX privilege_object ON privilege (database, schema, relation);
  CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  INSERT INTO counter VALUES ('grants', 1);
  CREATE TRIGGER privilege_given AFTER INSERT ON privilege BEGIN ${counted}
  CREATE TRIGGER privilege_changed AFTER UPDATE ON privilege BEGIN ${counted}
  CREATE TRIGGER privilege_taken AFTER DELETE ON privilege BEGIN ${counted}
  CREATE TRIGGER role_made AFTER INSERT ON role BEGIN ${counted}
  CREATE TRIGGER role_changed AFTER UPDATE ON role BEGIN ${counted}
  CREATE TRIGGER role_dropped AFTER DELETE ON role BEGIN ${counted}
  CREATE TRIGGER account_made AFTER INSERT ON account WHEN NEW.roles <> '[]' BEGIN ${counted}
  CREATE TRIGGER account_roles_changed AFTER UPDATE OF roles ON account WHEN NEW.roles <> OLD.roles BEGIN ${counted}
  CREATE TRIGGER account_removed AFTER DELETE ON account BEGIN ${counted}
  `,
  // Of accounts that were there, each password gets a version of its own. By the index a decoy is found as fast behind a thousand accounts
  // without a password.
  `
  ALTER TABLE account ADD COLUMN digest TEXT;
  ALTER TABLE account ADD COLUMN credential TEXT;
  UPDATE account SET credential = lower(hex(randomblob(12)));
  CREATE INDEX account_with_password ON account (name) WHERE password IS NOT NULL OR scram IS NOT NULL;
  ${hashedNameTable}
  `,
]
const schemaVersion = steps.length

/**
 * Opens the file, makes it where there is none, and brings one of an older version up to date, in one transaction.
 *
 * @param name of the store, for errors
 * @throws {AccountError} `accounts.newer_schema`
 * @throws whatever the file system and SQLite throw
 */
export function openAccountFile(name: string, path: string): DatabaseSync {
  const database = openPrivateDatabase(path)
  try {
    migrate(database, name)
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF')
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

function migrate(database: DatabaseSync, name: string): void {
  const version = () => Number(database.prepare('PRAGMA user_version').get()?.['user_version'])
  if (version() < schemaVersion) {
    inTransaction(database, () => {
      // Somebody else may have been faster: look again under the lock.
      const before = version()
      for (const step of steps.slice(before)) database.exec(step)
      if (before === 0) database.prepare("INSERT INTO secret (name, value) VALUES ('decoy', ?)").run(randomBytes(32))
      if (before < schemaVersion) database.exec(`PRAGMA user_version = ${schemaVersion}`)
    })
  }
  const found = version()
  if (found > schemaVersion) {
    throw new AccountError(
      'accounts.newer_schema',
      `account store ${name} has schema ${found}, this version knows ${schemaVersion}`,
    )
  }
}
