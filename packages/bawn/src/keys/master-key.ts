import { randomBytes } from 'node:crypto'
import { KeyError } from './error.ts'

const leastBytes = 32

/**
 * Reads a master key as `ACRA_MASTER_KEY` holds it.
 *
 * @param text base64, standard alphabet; space around it is taken off
 * @returns at least 32 bytes; all of them are the key. Wipe them when the keystore is open.
 * @throws {KeyError} `keys.bad_master_key`
 */
export function parseMasterKey(text: string): Buffer {
  const trimmed = text.trim()
  const bytes = Buffer.from(trimmed, 'base64')
  // Buffer.from skips what is not base64; only what comes out the same was.
  if (bytes.toString('base64').replace(/=+$/, '') !== trimmed.replace(/=+$/, '')) {
    throw new KeyError('keys.bad_master_key', 'the master key is not base64')
  }
  checkMasterKey(bytes)
  return bytes
}

/** @throws {KeyError} `keys.bad_master_key` */
export function checkMasterKey(bytes: Uint8Array): void {
  if (bytes.length < leastBytes) {
    throw new KeyError(
      'keys.bad_master_key',
      `the master key has ${bytes.length} bytes and needs at least ${leastBytes}`,
    )
  }
}

/** A new master key: 32 random bytes in base64, for a file or a variable that only the gateway can read. */
export function generateMasterKey(): string {
  return randomBytes(leastBytes).toString('base64')
}
