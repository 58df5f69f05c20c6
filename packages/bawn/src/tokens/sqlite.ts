import type { SQLOutputValue } from 'node:sqlite'
import { TokenError } from './error.ts'
import { formatSubject, parseSubject } from './record.ts'
import { openTokenFile } from './sqlite-file.ts'
import type { TokenRecord, TokenStore } from './store.ts'

/**
 * Random tokens in a SQLite file: they outlive the process, and every process on the machine that opens the file has the same ones.
 *
 * @param now ms since 1970
 * @throws {TokenError} `tokens.unavailable`, `tokens.newer_schema`
 */
export function openSqliteTokens(path: string, now: number): TokenStore {
  const { database, guarded, locked, close } = openTokenFile(path, now)
  const columns = 'digest, subject, issued_at, valid_until'
  const select = database.prepare(`SELECT ${columns} FROM token WHERE digest = ? AND valid_until > ?`)
  const selectAll = database.prepare(
    `SELECT ${columns} FROM token WHERE valid_until > ? ORDER BY valid_until, subject_id`,
  )
  const insert = database.prepare(
    'INSERT INTO token (digest, subject_id, subject, issued_at, valid_until) VALUES (?, ?, ?, ?, ?)',
  )
  const countAll = database.prepare('SELECT count(*) AS count FROM token')
  const countOwn = database.prepare('SELECT count(*) AS count FROM token WHERE subject_id = ?')
  const deleteEnded = database.prepare('DELETE FROM token WHERE valid_until <= ?')
  const deleteFirst = database.prepare(
    'DELETE FROM token WHERE digest IN (SELECT digest FROM token WHERE subject_id = ? ORDER BY valid_until LIMIT ?)',
  )
  const deleteOwn = database.prepare('DELETE FROM token WHERE subject_id = ?')
  const deleteAll = database.prepare('DELETE FROM token')
  const update = database.prepare(
    'UPDATE token SET valid_until = max(valid_until, ?) WHERE digest = ? AND valid_until > ?',
  )
  const countOf = (row: Record<string, SQLOutputValue> | undefined): number => Number(row?.['count'] ?? 0)

  return {
    add: async (record, limits, now) =>
      locked(() => {
        deleteEnded.run(now)
        const { digest, subject, issuedAt, validUntil } = record
        const excess = Math.max(0, countOf(countOwn.get(subject.id)) + 1 - limits.perSubject)
        if (countOf(countAll.get()) - excess >= limits.inAll) return 'full'
        if (excess > 0) deleteFirst.run(subject.id, excess)
        insert.run(digest, subject.id, formatSubject(record), issuedAt, validUntil)
        return 'kept'
      }),
    find: async (digest, now) => guarded(() => parseRow(path, select.get(digest, now))),
    extend: async ({ digest }, validUntil, now) =>
      guarded(() => Number(update.run(validUntil, digest, now).changes) > 0),
    removeSubject: async (subjectId, now) =>
      locked(() => {
        deleteEnded.run(now)
        return Number(deleteOwn.run(subjectId).changes)
      }),
    removeAll: async now =>
      locked(() => {
        deleteEnded.run(now)
        return Number(deleteAll.run().changes)
      }),
    list: async now => guarded(() => selectAll.all(now).flatMap(row => parseRow(path, row) ?? [])),
    close: async () => close(),
  }
}

/** A row that cannot be read is a store that failed, not a token that is none. */
function parseRow(path: string, row: Record<string, SQLOutputValue> | undefined): TokenRecord | undefined {
  if (row === undefined) return undefined
  const { digest, issued_at: issuedAt, valid_until: validUntil } = row
  const issued = parseSubject(row['subject'])
  if (
    typeof digest !== 'string' ||
    issued === undefined ||
    typeof issuedAt !== 'number' ||
    typeof validUntil !== 'number'
  )
    throw new TokenError('tokens.unavailable', `the token file ${path} holds a damaged row`)
  return { digest, ...issued, issuedAt, validUntil }
}
