import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import { existsSync, utimesSync } from 'node:fs'
import { basename, join } from 'node:path'
import { generateKeyPair } from '@bawn/envelope'
import { FileLockError, lockFile } from '../file-lock.ts'
import { KeyError } from './error.ts'
import {
  auditKeyFile,
  checkClientId,
  type KeyKind,
  keyFileName,
  keyIdOf,
  keyKinds,
  parseKeyFileName,
  publicSuffix,
  rotatedFileName,
  rotatedSuffix,
} from './key-file.ts'
import { ensureKeyFolder, readKeyFile, writeKeyFile } from './key-folder.ts'
import { checkMasterKey } from './master-key.ts'
import { sealKey } from './sealed-key.ts'

export interface GenerateOptions {
  /** The key directory; made when it is not there. */
  readonly path: string
  readonly masterKey: Uint8Array
  /** Milliseconds since 1970: the name under which the key before is kept. */
  readonly clock?: () => number
}

export interface GeneratedKey {
  /** As `listKeys` names it. */
  readonly keyId: string
  /** Whether an earlier key was kept as rotated. */
  readonly rotated: boolean
}

/**
 * Makes new current keys of a client id. Where there is one already, it is kept as rotated and still opens what it sealed.
 *
 * Each file is written whole or not at all, and the earlier key is on disk twice before the new one takes its place: killed at any
 * instant, every key that anything was sealed with is there.
 *
 * @param kinds default: all three
 * @throws {KeyError} `keys.bad_client_id`, `keys.bad_master_key`, `keys.insecure_mode`, `keys.unreadable`, `keys.locked`
 */
export function generateKeys(
  options: GenerateOptions & { readonly clientId: string; readonly kinds?: readonly KeyKind[] },
): readonly GeneratedKey[] {
  checkClientId(options.clientId)
  checkMasterKey(options.masterKey)
  return alone(options.path, () => Array.from(new Set(options.kinds ?? keyKinds), kind => generateKey(options, kind)))
}

function generateKey(options: GenerateOptions & { readonly clientId: string }, kind: KeyKind): GeneratedKey {
  const { clientId } = options
  const name = keyFileName(clientId, kind)
  if (kind !== 'storage') return generateSymmetric(options, name, clientId)
  const pair = generateKeyPair()
  try {
    const made = replaceKey(options, name, pair.privateKey, clientId)
    // After the private key: killed in between, applications go on with the earlier public key, whose private one is kept.
    writeKeyFile(join(options.path, name + publicSuffix), pair.publicKey, 'public')
    return made
  } finally {
    pair.privateKey.fill(0)
  }
}

/**
 * One process at a time makes keys in a folder: of two, each would keep the key that both found, and one would write over the key that the
 * other had just made, and that a gateway may have sealed with.
 */
function alone<T>(path: string, work: () => T): T {
  ensureKeyFolder(path)
  let unlock: () => void
  try {
    unlock = lockFile(join(path, '.generate'))
  } catch (cause) {
    if (!(cause instanceof FileLockError)) throw cause
    throw new KeyError(cause.kind === 'held' ? 'keys.locked' : 'keys.unreadable', cause.message, { cause })
  }
  try {
    return work()
  } finally {
    unlock()
  }
}

/**
 * Makes the key of the audit chain.
 *
 * @throws {KeyError} as `generateKeys`, and `keys.exists` when there is one: with another key the trail that it wrote could no longer be verified or continued
 */
export function generateAuditKey(options: GenerateOptions): GeneratedKey {
  checkMasterKey(options.masterKey)
  return alone(options.path, () => {
    if (existsSync(join(options.path, auditKeyFile))) {
      throw new KeyError('keys.exists', `there is an audit key in ${options.path}`)
    }
    return generateSymmetric(options, auditKeyFile, auditKeyFile)
  })
}

function generateSymmetric(options: GenerateOptions, name: string, context: string): GeneratedKey {
  const key = randomBytes(32)
  try {
    return replaceKey(options, name, key, context)
  } finally {
    key.fill(0)
  }
}

function replaceKey(options: GenerateOptions, name: string, key: Uint8Array, context: string): GeneratedKey {
  const path = join(options.path, name)
  const master: KeyObject = createSecretKey(options.masterKey)
  const sealed = sealKey(key, master, context)
  const rotated = keepCurrent(path, options.clock ?? Date.now)
  writeKeyFile(path, sealed, 'private')
  const file = parseKeyFileName(basename(path))
  return { keyId: file === undefined ? name : keyIdOf(file), rotated }
}

/** Copies the current key, sealed as it is, to where earlier ones lie. A copy and not a rename: the name is never without a key. */
function keepCurrent(path: string, clock: () => number): boolean {
  const current = readKeyFile(path, 'private')
  if (current === undefined) return false
  const folder = path + rotatedSuffix
  ensureKeyFolder(folder)
  const now = clock()
  for (let sequence = 0; ; sequence++) {
    const kept = join(folder, rotatedFileName(now, sequence))
    if (existsSync(kept)) continue
    writeKeyFile(kept, current.bytes, 'private')
    // The list shows when a key was made, and that is its file's time.
    utimesSync(kept, current.modifiedMs / 1000, current.modifiedMs / 1000)
    return true
  }
}
