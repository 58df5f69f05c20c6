import { createSecretKey, type KeyObject } from 'node:crypto'
import { join } from 'node:path'
import { createBlockKey, importPrivateKey, publicKeyOf } from '@bawn/envelope'
import { KeyError } from './error.ts'
import { auditKeyFile, keyFileName } from './key-file.ts'
import { checkKeyFolder } from './key-folder.ts'
import type { ClientKeys, Keystore } from './keystore.ts'
import { checkMasterKey } from './master-key.ts'
import { openKeyFile, openKeyFiles } from './sealed-key.ts'

export interface DirectoryKeystoreOptions {
  /** Acra keystore v1: `.acrakeys`. */
  readonly path: string
  /** At least 32 bytes, all of which are the key. Copied: the caller may wipe them. */
  readonly masterKey: Uint8Array
}

/**
 * Opens a directory of keys. Keys are read when they are first asked for; a client id that has none is looked up anew every time, so keys
 * that are generated later are found without a restart.
 *
 * @throws {KeyError} `keys.bad_master_key`, `keys.insecure_mode`, `keys.unreadable`
 */
export function openDirectoryKeystore(options: DirectoryKeystoreOptions): Keystore {
  const { path } = options
  checkMasterKey(options.masterKey)
  checkKeyFolder(path)
  const master = createSecretKey(options.masterKey)
  // Bounded by the client ids that the operator made keys for.
  const clients = new Map<string, ClientKeys>()
  let auditKey: KeyObject | undefined
  return {
    client(clientId) {
      const known = clients.get(clientId)
      if (known !== undefined) return known
      const keys = readClient(path, master, clientId)
      clients.set(clientId, keys)
      return keys
    },
    audit() {
      auditKey ??= openKeyFile(join(path, auditKeyFile), master, auditKeyFile, bytes => createSecretKey(bytes))
      if (auditKey === undefined)
        throw new KeyError('keys.not_found', `there is no audit key (${auditKeyFile}) in ${path}`)
      return auditKey
    },
  }
}

function readClient(path: string, master: KeyObject, clientId: string): ClientKeys {
  const fileOf = (kind: 'storage' | 'symmetric' | 'search') => join(path, keyFileName(clientId, kind))
  const symmetric = openKeyFiles(fileOf('symmetric'), master, clientId, bytes => createBlockKey(bytes))
  const storage = openKeyFiles(fileOf('storage'), master, clientId, bytes => importPrivateKey(bytes))
  const search = openKeyFile(fileOf('search'), master, clientId, bytes => createSecretKey(bytes))
  if (symmetric.length === 0 && storage.length === 0 && search === undefined) {
    throw new KeyError('keys.not_found', `client id ${clientId} has no keys in ${path}`)
  }
  const [current] = storage
  const storagePublic = current === undefined ? undefined : publicKeyOf(current)
  return Object.freeze({ symmetric, storage, storagePublic, search })
}
