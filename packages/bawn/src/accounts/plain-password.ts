import { createHmac, createSecretKey, randomBytes, timingSafeEqual } from 'node:crypto'

/** A password in clear, as RESTHeart's users.yml has them. Exists in memory only, is never formatted for storage, and is hashed by an import. */
export interface PlainPassword {
  readonly kind: 'plain'
  readonly password: string
}

const key = createSecretKey(randomBytes(32))
const digestOf = (text: string): Buffer => createHmac('sha256', key).update(text).digest()

/** Compares digests, so that neither content nor length shows in the time. */
export function isPlainPassword(stored: PlainPassword, password: string): boolean {
  return timingSafeEqual(digestOf(stored.password), digestOf(password))
}
