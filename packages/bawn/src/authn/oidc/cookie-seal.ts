import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import { AuthnError } from '../error.ts'

/** Seals what a browser keeps for us: it can neither read nor change it, nor use it for anything else. */
export interface CookieSeal {
  /**
   * @param context what it is for; the same is needed to open it
   * @returns base64url, of a length that tells the text's
   */
  seal(text: string, context: string): string
  /** @returns `undefined` for whatever was not sealed by this key for this context */
  open(sealed: string, context: string): string | undefined
}

const saltLength = 16
const tagLength = 16
/** No browser keeps more in a cookie (RFC 6265 section 6.1). */
const maxSealedLength = 4_096
const form = /^[A-Za-z0-9_-]+$/

/**
 * AES-256-GCM. Key and nonce of each value come from HKDF-SHA-256 of the key and 16 random bytes that stand before the ciphertext, so that
 * no number of values wears the key out (NIST SP 800-38D section 8.3 limits random nonces under one key).
 *
 * @param key 32 bytes
 */
export function createCookieSeal(key: Uint8Array): CookieSeal {
  const derive = (salt: Uint8Array): { readonly key: Buffer; readonly nonce: Buffer } => {
    const bytes = Buffer.from(hkdfSync('sha256', key, salt, 'bawn login cookie v1', 44))
    return { key: bytes.subarray(0, 32), nonce: bytes.subarray(32) }
  }
  return {
    seal(text, context) {
      const salt = randomBytes(saltLength)
      const derived = derive(salt)
      const cipher = createCipheriv('aes-256-gcm', derived.key, derived.nonce).setAAD(Buffer.from(context))
      const ciphertext = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
      return Buffer.concat([salt, ciphertext, cipher.getAuthTag()]).toString('base64url')
    },
    open(sealed, context) {
      if (sealed.length > maxSealedLength || !form.test(sealed)) return undefined
      const bytes = Buffer.from(sealed, 'base64url')
      if (bytes.length < saltLength + tagLength) return undefined
      const derived = derive(bytes.subarray(0, saltLength))
      const options = { authTagLength: tagLength }
      const decipher = createDecipheriv('aes-256-gcm', derived.key, derived.nonce, options)
        .setAAD(Buffer.from(context))
        .setAuthTag(bytes.subarray(-tagLength))
      const plaintext = decipher.update(bytes.subarray(saltLength, -tagLength))
      try {
        return Buffer.concat([plaintext, decipher.final()]).toString()
      } catch {
        return undefined
      }
    },
  }
}

/** @throws {AuthnError} `authn.bad_login_key`; the message holds nothing of the text */
export function parseSealKey(text: string): Buffer {
  const trimmed = text.trim()
  const bytes = /^[A-Za-z0-9+/_-]+={0,2}$/.test(trimmed) ? Buffer.from(trimmed, 'base64') : Buffer.alloc(0)
  if (bytes.length === 32) return bytes
  throw new AuthnError('authn.bad_login_key', 'the key of mechanisms.oidc is not base64 of 32 bytes')
}
