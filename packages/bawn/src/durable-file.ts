import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, openSync, renameSync, unlinkSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * Writes a file whole or not at all: under another name first, to the disk, then renamed over. Whenever it is killed, or the power goes, the
 * name has the old content or the new one. The draft is never written through a link that somebody else put there.
 *
 * @param mode of a new file: 0o600 for what others may not read
 * @throws what the file system says (`ErrnoException`); no draft is left then
 */
export function replaceFile(path: string, bytes: Uint8Array, mode: number): void {
  const draft = `${path}.tmp-${randomBytes(6).toString('hex')}`
  try {
    const fd = openSync(draft, 'wx', mode)
    try {
      for (let written = 0; written < bytes.length; ) written += writeSync(fd, bytes, written)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(draft, path)
    syncDirectory(dirname(path))
  } catch (cause) {
    try {
      unlinkSync(draft)
    } catch {
      // It was not made, or is renamed already.
    }
    throw cause
  }
}

/** Makes what was created or renamed in a directory survive a loss of power (fsync(2)). */
export function syncDirectory(path: string): void {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
