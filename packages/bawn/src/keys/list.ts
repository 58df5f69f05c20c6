import { join } from 'node:path'
import { importPublicKey } from '@bawn/envelope'
import { KeyError } from './error.ts'
import {
  type KeyFile,
  keyFileName,
  keyIdOf,
  parseKeyFileName,
  publicSuffix,
  rotatedSuffix,
  sortRotated,
} from './key-file.ts'
import { checkKeyFolder, listKeyFolder, readKeyFile } from './key-folder.ts'

export interface ListedKey {
  /** `client/<id>/storage`, `client/<id>/symmetric`, `client/<id>/searchable`, `audit-log`, `poison-record`, `poison-record-symmetric`. */
  readonly keyId: string
  readonly purpose: string
  readonly clientId: string | undefined
  readonly state: 'current' | 'rotated'
  /** 0 for the current key; then 1, 2, … from the newest of the earlier ones. */
  readonly index: number
  /** Time of the file, ms since 1970. */
  readonly createdAt: number
}

const purposes = {
  storage: 'opens AcraStructs',
  symmetric: 'seals and opens AcraBlocks',
  search: 'hashes searchable values',
  audit: 'chains the audit trail',
  'poison-record': 'opens poison records (AcraStruct)',
  'poison-record-symmetric': 'opens poison records (AcraBlock)',
} as const satisfies Record<KeyFile['kind'], string>

/**
 * The keys in a directory, by key id, each current one before its earlier ones. No master key is needed: nothing is opened.
 *
 * @throws {KeyError} `keys.insecure_mode`, `keys.unreadable`
 */
export function listKeys(options: { readonly path: string }): readonly ListedKey[] {
  const { path } = options
  checkKeyFolder(path)
  const names = [...listKeyFolder(path), ...listKeyFolder(join(path, '.poison_key')).map(name => `.poison_key/${name}`)]
  const keys: ListedKey[] = []
  for (const name of new Set(names.map(withoutRotated))) {
    const file = parseKeyFileName(name)
    if (file !== undefined) keys.push(...listFile(join(path, name), file))
  }
  return keys.sort((a, b) => (a.keyId < b.keyId ? -1 : a.keyId > b.keyId ? 1 : a.index - b.index))
}

/** A key whose current file is gone has its earlier ones still. */
function withoutRotated(name: string): string {
  return name.endsWith(rotatedSuffix) ? name.slice(0, -rotatedSuffix.length) : name
}

function listFile(path: string, file: KeyFile): readonly ListedKey[] {
  const common = { keyId: keyIdOf(file), purpose: purposes[file.kind], clientId: file.clientId }
  const listed: ListedKey[] = []
  const current = readKeyFile(path, 'private')
  if (current !== undefined) listed.push({ ...common, state: 'current', index: 0, createdAt: current.modifiedMs })
  let index = 0
  for (const name of sortRotated(listKeyFolder(path + rotatedSuffix))) {
    const rotated = readKeyFile(join(path + rotatedSuffix, name), 'private')
    // Killed between keeping a key and replacing it, the current key lies there as well.
    if (rotated === undefined || current?.bytes.equals(rotated.bytes)) continue
    index++
    listed.push({ ...common, state: 'rotated', index, createdAt: rotated.modifiedMs })
  }
  return listed
}

/**
 * The public key that an application seals AcraStructs with (AcraWriter): base64 of its 45-byte container.
 *
 * @throws {KeyError} `keys.not_found`, `keys.bad_client_id`; `keys.unreadable` when the file holds no public key
 */
export function publicKeyText(options: { readonly path: string; readonly clientId: string }): string {
  checkKeyFolder(options.path)
  const path = join(options.path, keyFileName(options.clientId, 'storage') + publicSuffix)
  const file = readKeyFile(path, 'public')
  if (file === undefined)
    throw new KeyError('keys.not_found', `client id ${options.clientId} has no public key in ${options.path}`)
  try {
    importPublicKey(file.bytes)
  } catch (cause) {
    throw new KeyError('keys.unreadable', `${path} holds no public key`, { cause })
  }
  return file.bytes.toString('base64')
}
