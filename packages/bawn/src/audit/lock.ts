import { FileLockError, lockFile } from '../file-lock.ts'
import { AuditError } from './error.ts'

/**
 * Takes the lock of a trail's file.
 *
 * @returns releases it
 * @throws {AuditError} `audit.locked`, `audit.unwritable`
 */
export function lockTrail(file: string): () => void {
  const unlock = told(() => lockFile(file))
  return () => told(unlock)
}

function told<T>(work: () => T): T {
  try {
    return work()
  } catch (cause) {
    if (!(cause instanceof FileLockError)) throw cause
    throw new AuditError(cause.kind === 'held' ? 'audit.locked' : 'audit.unwritable', cause.message, { cause })
  }
}
