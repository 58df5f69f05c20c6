import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import { existsSync, utimesSync } from 'node:fs'
import { basename, join } from 'node:path'
import { generateKeyPair } from '@bawn/envelope'
import { KeyError } from './error.ts'
import {
  auditKeyFile,
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
 * @throws {KeyError} `keys.bad_client_id`, `keys.bad_master_key`, `keys.insecure_mode`, `keys.unreadable`
 */
export function generateKeys(
  options: GenerateOptions & { readonly clientId: string; readonly kinds?: readonly KeyKind[] },
): readonly GeneratedKey[] {
  const { clientId } = options
  const made: GeneratedKey[] = []
  for (const kind of new Set(options.kinds ?? keyKinds)) {
    const name = keyFileName(clientId, kind)
    if (kind !== 'storage') {
      made.push(generateSymmetric(options, name, clientId))
      continue
    }
    const pair = generateKeyPair()
    try {
      made.push(replaceKey(options, name, pair.privateKey, clientId))
      // After the private key: killed in between, applications go on with the earlier public key, whose private one is kept.
      writeKeyFile(join(options.path, name + publicSuffix), pair.publicKey, 'public')
    } finally {
      pair.privateKey.fill(0)
    }
  }
  return made
}

/**
 * Makes the key of the audit chain.
 *
 * @throws {KeyError} `keys.exists` when there is one: with another key the trail that it wrote could no longer be verified or continued
 */
export function generateAuditKey(options: GenerateOptions): GeneratedKey {
  if (existsSync(join(options.path, auditKeyFile))) {
    throw new KeyError('keys.exists', `there is an audit key in ${options.path}`)
  }
  return generateSymmetric(options, auditKeyFile, auditKeyFile)
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
  checkMasterKey(options.masterKey)
  ensureKeyFolder(options.path)
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
