import { randomUUID } from 'node:crypto'
import { statSync } from 'node:fs'
import { TokenError } from '../error.ts'
import { openFile, type TokenFile } from '../sqlite-file.ts'
import { formatEntry, parseEntry, type RevokedEntry, targetKey } from './entry.ts'
import { pageSize, type RevokedStore, restoredMs } from './store.ts'

const schema = `
  CREATE TABLE revoked (
    target  TEXT PRIMARY KEY,
    version INTEGER NOT NULL UNIQUE,
    entry   TEXT,
    ends_at INTEGER
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX revoked_end ON revoked (ends_at);
  CREATE TABLE list (one INTEGER PRIMARY KEY CHECK (one = 1), generation TEXT NOT NULL, version INTEGER NOT NULL) STRICT;
`

/** Statements of an open file. */
function prepare({ database, guarded, locked, close }: TokenFile, path: string) {
  return guarded(() => ({
    guarded,
    locked,
    close,
    inode: statSync(path).ino,
    version: database.prepare('SELECT generation, version FROM list'),
    after: database.prepare('SELECT target, version, entry FROM revoked WHERE version > ? ORDER BY version LIMIT ?'),
    next: database.prepare('UPDATE list SET version = version + 1 RETURNING version'),
    renew: database.prepare('UPDATE list SET generation = ?'),
    count: database.prepare('SELECT count(*) AS count FROM revoked'),
    find: database.prepare('SELECT entry FROM revoked WHERE target = ?'),
    upsert: database.prepare(
      `INSERT INTO revoked (target, version, entry, ends_at) VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET version = excluded.version, entry = excluded.entry, ends_at = excluded.ends_at`,
    ),
    deleteOld: database.prepare('DELETE FROM revoked WHERE ends_at <= ?'),
  }))
}

/**
 * Revocations in a SQLite file, for every process on the machine that opens it. What was acknowledged is on the disk.
 *
 * @throws {TokenError} `tokens.unavailable`, `tokens.newer_schema`
 */
export function openSqliteRevoked(path: string, maxEntries: number): RevokedStore {
  const open = () =>
    prepare(
      openFile(path, {
        version: 1,
        create: database => {
          database.exec(schema)
          database.prepare('INSERT INTO list (one, generation, version) VALUES (1, ?, 1)').run(randomUUID())
        },
      }),
      path,
    )
  let file = open()
  const damaged = (): TokenError => new TokenError('tokens.unavailable', `the file of revocations ${path} is damaged`)
  const nextVersion = (): number => {
    const version = file.next.get()?.['version']
    if (typeof version !== 'number') throw damaged()
    return version
  }
  /** Whoever replaces the file would have us read the old one for ever. */
  const reopen = (): void => {
    if (statSync(path, { throwIfNoEntry: false })?.ino === file.inode) return
    const next = open()
    file.close()
    file = next
  }
  const write = (entry: RevokedEntry): void => {
    file.upsert.run(targetKey(entry.target), nextVersion(), formatEntry(entry), entry.endsAt ?? null)
  }

  return {
    async readVersion() {
      reopen()
      const { generation, version } = file.guarded(() => file.version.get()) ?? {}
      if (typeof generation !== 'string' || typeof version !== 'number') throw damaged()
      return { generation: `${generation} ${file.inode}`, version }
    },
    changesAfter: async version =>
      file
        .guarded(() => file.after.all(version, pageSize))
        .map(({ target, version: at, entry }) => {
          const parsed = entry === null ? undefined : parseEntry(entry)
          if (typeof target !== 'string' || typeof at !== 'number') throw damaged()
          if (entry !== null && parsed === undefined) throw damaged()
          return { key: target, version: at, entry: parsed }
        }),
    async put(entry, now) {
      reopen()
      file.locked(() => {
        file.deleteOld.run(now)
        if (Number(file.count.get()?.['count']) >= maxEntries && file.find.get(targetKey(entry.target)) === undefined) {
          throw new TokenError('tokens.full', `there are ${maxEntries} revocations, and no more are kept`)
        }
        write(entry)
      })
    },
    async restore(key, now) {
      reopen()
      return file.locked(() => {
        const found = file.find.get(key)?.['entry']
        const entry = parseEntry(found)
        if (entry === undefined) return false
        file.upsert.run(key, nextVersion(), null, entry.endsAt ?? now + restoredMs)
        return true
      })
    },
    async putBack(entries) {
      file.locked(() => {
        const lost = entries.filter(({ target }) => file.find.get(targetKey(target)) === undefined)
        for (const entry of lost) write(entry)
        if (lost.length > 0) file.renew.run(randomUUID())
      })
    },
    close: async () => file.close(),
  }
}
