import { closeSync, fstatSync, mkdirSync, openSync, readdirSync, readSync } from 'node:fs'
import { dirname } from 'node:path'
import { replaceFile, syncDirectory } from '../durable-file.ts'
import { KeyError } from './error.ts'

// Reading and writing files of keys. Modes are looked at on the open descriptor: what was checked is what is read.

/** No key file of any known kind has as many bytes. */
const maxKeyFileBytes = 65_536

const others = 0o077

/** @throws {KeyError} `keys.unreadable` when it is not there, `keys.insecure_mode` when others than the owner may enter it */
export function checkKeyFolder(path: string): void {
  let fd: number
  try {
    fd = openSync(path, 'r')
  } catch (cause) {
    throw new KeyError('keys.unreadable', `cannot open the key directory ${path}`, { cause })
  }
  try {
    const stat = fstatSync(fd)
    if (!stat.isDirectory()) throw new KeyError('keys.unreadable', `${path} is not a directory`)
    if ((stat.mode & others) !== 0) throw tooWide(path, stat.mode, '700')
  } finally {
    closeSync(fd)
  }
}

/** Made with mode 0700 when it is not there, and on disk before anything is put into it; checked when it is there. */
export function ensureKeyFolder(path: string): void {
  try {
    const made = mkdirSync(path, { recursive: true, mode: 0o700 })
    if (made !== undefined) syncDirectory(dirname(path))
  } catch (cause) {
    throw new KeyError('keys.unreadable', `cannot make the key directory ${path}`, { cause })
  }
  checkKeyFolder(path)
}

export interface KeyFileBytes {
  readonly bytes: Buffer
  /** When it was written, ms since 1970. */
  readonly modifiedMs: number
}

/**
 * @param secrecy a private file must be readable for its owner only
 * @returns `undefined` when there is no such file
 * @throws {KeyError} `keys.insecure_mode`, `keys.unreadable`
 */
export function readKeyFile(path: string, secrecy: 'private' | 'public'): KeyFileBytes | undefined {
  let fd: number
  try {
    fd = openSync(path, 'r')
  } catch (cause) {
    if (isMissing(cause)) return undefined
    throw new KeyError('keys.unreadable', `cannot open ${path}`, { cause })
  }
  try {
    const stat = fstatSync(fd)
    if (!stat.isFile() || stat.size > maxKeyFileBytes)
      throw new KeyError('keys.unreadable', `${path} is not a key file`)
    if (secrecy === 'private' && (stat.mode & others) !== 0) throw tooWide(path, stat.mode, '600')
    const bytes = Buffer.alloc(stat.size)
    if (readSync(fd, bytes) !== stat.size) throw new KeyError('keys.unreadable', `${path} changed while it was read`)
    return { bytes, modifiedMs: stat.mtimeMs }
  } catch (cause) {
    if (cause instanceof KeyError) throw cause
    throw new KeyError('keys.unreadable', `cannot read ${path}`, { cause })
  } finally {
    closeSync(fd)
  }
}

/** Names in a directory, none when it is not there. @throws {KeyError} `keys.unreadable` */
export function listKeyFolder(path: string): readonly string[] {
  try {
    return readdirSync(path)
  } catch (cause) {
    if (isMissing(cause)) return []
    throw new KeyError('keys.unreadable', `cannot list ${path}`, { cause })
  }
}

/** Whole or not at all (`replaceFile`). @throws {KeyError} `keys.unreadable` */
export function writeKeyFile(path: string, bytes: Uint8Array, secrecy: 'private' | 'public'): void {
  try {
    replaceFile(path, bytes, secrecy === 'private' ? 0o600 : 0o644)
  } catch (cause) {
    throw new KeyError('keys.unreadable', `cannot write ${path}`, { cause })
  }
}

function tooWide(path: string, mode: number, wanted: string): KeyError {
  const octal = (mode & 0o777).toString(8).padStart(4, '0')
  return new KeyError(
    'keys.insecure_mode',
    `${path} has mode ${octal}, others than its owner may use it: chmod ${wanted} ${path}`,
  )
}

function isMissing(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && (cause.code === 'ENOENT' || cause.code === 'ENOTDIR')
}
