import type { KeyObject } from 'node:crypto'
import { EnvelopeError, openCell, sealCell } from '@bawn/envelope'
import { KeyError } from './error.ts'
import { rotatedSuffix, sortRotated } from './key-file.ts'
import { listKeyFolder, readKeyFile } from './key-folder.ts'

// Keys in files: Secure Cell Seal under the master key, the client id (or the file's name) as context.

/**
 * Calls `use` with the bytes of the current key and then of each earlier one, newest first, and wipes them after each call.
 *
 * @param path of the current key's file
 * @throws {KeyError} `keys.unwrap_failed`, `keys.insecure_mode`, `keys.unreadable`
 */
export function openKeyFiles<T>(
  path: string,
  master: KeyObject,
  context: string,
  use: (bytes: Buffer, path: string) => T,
): readonly T[] {
  const rotated = sortRotated(listKeyFolder(path + rotatedSuffix)).map(name => `${path}${rotatedSuffix}/${name}`)
  const opened: T[] = []
  for (const file of [path, ...rotated]) {
    const sealed = readKeyFile(file, 'private')
    if (sealed !== undefined) opened.push(openOne(file, sealed.bytes, master, context, use))
  }
  return opened
}

/** As `openKeyFiles`, the current key only; `undefined` when there is none. */
export function openKeyFile<T>(
  path: string,
  master: KeyObject,
  context: string,
  use: (bytes: Buffer, path: string) => T,
): T | undefined {
  const sealed = readKeyFile(path, 'private')
  return sealed === undefined ? undefined : openOne(path, sealed.bytes, master, context, use)
}

/** The bytes of a key file. Wiping the key is the caller's. */
export function sealKey(key: Uint8Array, master: KeyObject, context: string): Buffer {
  return sealCell(master, key, Buffer.from(context))
}

function openOne<T>(
  path: string,
  sealed: Buffer,
  master: KeyObject,
  context: string,
  use: (bytes: Buffer, path: string) => T,
): T {
  let bytes: Buffer | undefined
  try {
    bytes = openCell(master, sealed, Buffer.from(context))
    return use(bytes, path)
  } catch (cause) {
    if (!(cause instanceof EnvelopeError)) throw cause
    throw new KeyError('keys.unwrap_failed', `${path} does not open with this master key`, { cause })
  } finally {
    bytes?.fill(0)
  }
}
