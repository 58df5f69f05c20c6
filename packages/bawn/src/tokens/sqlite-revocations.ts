import { TokenError } from './error.ts'
import { openTokenFile } from './sqlite-file.ts'
import type { RevocationStore } from './store.ts'

/**
 * Revocations of signed tokens in a SQLite file, for every process on the machine that opens it.
 *
 * @param now ms since 1970
 * @throws {TokenError} `tokens.unavailable`, `tokens.newer_schema`
 */
export function openSqliteRevocations(path: string, now: number): RevocationStore {
  const { database, guarded, locked, close } = openTokenFile(path, now)
  const select = database.prepare(
    'SELECT epoch.epoch, everybody, revocation.epoch AS own FROM epoch LEFT JOIN revocation ON subject_id = ?',
  )
  const next = database.prepare('UPDATE epoch SET epoch = epoch + 1 RETURNING epoch')
  const upsert = database.prepare(
    `INSERT INTO revocation (subject_id, epoch, keep_until) VALUES (?, ?, ?)
     ON CONFLICT DO UPDATE SET epoch = excluded.epoch, keep_until = max(keep_until, excluded.keep_until)`,
  )
  const deleteOld = database.prepare('DELETE FROM revocation WHERE keep_until <= ?')
  const deleteAll = database.prepare('DELETE FROM revocation')
  const everybody = database.prepare('UPDATE epoch SET everybody = epoch')

  const damaged = (): TokenError => new TokenError('tokens.unavailable', `the token file ${path} has lost its epoch`)
  const nextEpoch = (): number => {
    const epoch = next.get()?.['epoch']
    if (typeof epoch !== 'number') throw damaged()
    return epoch
  }

  return {
    read: async subjectId =>
      guarded(() => {
        const { epoch, everybody: all, own } = select.get(subjectId) ?? {}
        if (typeof epoch !== 'number' || typeof all !== 'number') throw damaged()
        return { epoch, all, subject: typeof own === 'number' ? own : undefined }
      }),
    revoke: async (subjectId, keepUntil, now) =>
      locked(() => {
        deleteOld.run(now)
        upsert.run(subjectId, nextEpoch(), keepUntil)
      }),
    revokeAll: async () =>
      locked(() => {
        nextEpoch()
        everybody.run()
        deleteAll.run()
      }),
    close: async () => close(),
  }
}
