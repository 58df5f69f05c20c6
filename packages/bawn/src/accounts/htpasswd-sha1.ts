import { hash, timingSafeEqual } from 'node:crypto'
import { decodeBase64 } from './scram-verifier.ts'

/** `{SHA}` of an htpasswd file: one SHA-1 without a salt, hardly better than the password itself. Read only. */
export interface Sha1Verifier {
  readonly kind: 'sha1'
  /** 20 bytes. */
  readonly tag: Uint8Array
}

export function parseSha1Verifier(text: string): Sha1Verifier | undefined {
  const tag = text.startsWith('{SHA}') ? decodeBase64(text.slice(5)) : undefined
  return tag?.length === 20 ? { kind: 'sha1', tag } : undefined
}

export function formatSha1Verifier({ tag }: Sha1Verifier): string {
  return `{SHA}${Buffer.from(tag).toString('base64')}`
}

export function isSha1Password({ tag }: Sha1Verifier, password: string): boolean {
  return timingSafeEqual(hash('sha1', password, 'buffer'), tag)
}
