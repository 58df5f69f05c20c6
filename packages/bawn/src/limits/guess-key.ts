import { createHmac, createSecretKey, type KeyObject } from 'node:crypto'
import { GatewayError } from '../error.ts'

/**
 * Reads the key under which names go to Redis.
 *
 * @param text base64 of 32 bytes or more
 * @throws {GatewayError} `gateway.bad_guess_key`
 */
export function parseGuessKey(text: string): KeyObject {
  const plain = text.trim()
  const bytes = /^[A-Za-z0-9+/_-]+={0,2}$/.test(plain) ? Buffer.from(plain, 'base64') : Buffer.alloc(0)
  if (bytes.length < 32 || bytes.length > 512) {
    throw new GatewayError('gateway.bad_guess_key', 'rate_limits.guess_key leads to no base64 of 32 to 512 bytes')
  }
  return createSecretKey(bytes)
}

/** 128 bits of what nobody without the key can find the text of, or try texts against. */
export function guessDigest(key: KeyObject): (text: string) => string {
  return text =>
    createHmac('sha256', key).update('bawn limits ').update(text).digest().subarray(0, 16).toString('base64url')
}
