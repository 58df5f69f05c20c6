import type { KeyObject } from 'node:crypto'

/**
 * Keys of one client id, current first, earlier ones after it, newest first. Held as `KeyObject` or ECDH inside the objects that
 * package envelope makes of them: raw bytes of a key do not leave `keys/`.
 */
export interface ClientKeys {
  /** For AcraBlocks, through `createBlockKey` of the envelope. */
  readonly symmetric: readonly import('@bawn/envelope').BlockKey[]
  /** For AcraStructs. */
  readonly storage: readonly import('@bawn/envelope').PrivateKey[]
  /** For the search hash; `undefined` when none was generated. Only the current one is used. */
  readonly search: KeyObject | undefined
}

/** Keys at rest. */
export interface Keystore {
  /** Reads and unwraps once, then keeps them in memory. @throws {KeyError} `keys.not_found`, `keys.unwrap_failed` */
  client(clientId: string): ClientKeys
  /** The 32-byte key of the audit chain (file `secure_log_key`). @throws {KeyError} `keys.not_found` */
  audit(): KeyObject
}
