import type { KeyObject } from 'node:crypto'
import type { BlockKey, PrivateKey, PublicKey } from '@bawn/envelope'

/**
 * Keys of one client id, current first, earlier ones after it, newest first. Held as `KeyObject` or ECDH inside the objects that
 * package envelope makes of them: raw bytes of a key do not leave `keys/`.
 */
export interface ClientKeys {
  /** For AcraBlocks, through `createBlockKey` of the envelope. */
  readonly symmetric: readonly BlockKey[]
  /** For opening AcraStructs. */
  readonly storage: readonly PrivateKey[]
  /** For sealing AcraStructs: belongs to the first of `storage`, and is computed from it, since nothing protects a file with a public key. */
  readonly storagePublic: PublicKey | undefined
  /** For the search hash; `undefined` when none was generated. Only the current one is used. */
  readonly search: KeyObject | undefined
}

/** Keys at rest. */
export interface Keystore {
  /**
   * Reads and unwraps once, then keeps them in memory. At least one kind of key is there; which ones, the caller sees.
   *
   * @throws {KeyError} `keys.not_found` when the client id has no key at all, `keys.bad_client_id`, `keys.unwrap_failed`,
   *   `keys.insecure_mode`, `keys.unreadable`
   */
  client(clientId: string): ClientKeys
  /** The 32-byte key of the audit chain (file `secure_log_key`). @throws {KeyError} as `client` */
  audit(): KeyObject
}
