import { pbkdf2, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { decodeUnpadded, encodeUnpadded } from './phc.ts'

/** PBKDF2 with HMAC-SHA-512 over the UTF-8 bytes of the password, as CrateDB keeps it: 40,000 iterations, 32 bytes of salt, 64 of output. */
export interface Pbkdf2Verifier {
  readonly kind: 'pbkdf2-sha512'
  readonly iterations: number
  /** 8 to 64 bytes. */
  readonly salt: Uint8Array
  /** 32 to 64 bytes. */
  readonly tag: Uint8Array
}

/** About two seconds. */
const maxIterations = 2_000_000
const pbkdf2Async = promisify(pbkdf2)

/** `$pbkdf2-sha512$i=40000$<salt>$<tag>`; `undefined` for anything else and above the limits. */
export function parsePbkdf2Verifier(text: string): Pbkdf2Verifier | undefined {
  const parts = /^\$pbkdf2-sha512\$i=([1-9][0-9]{0,6})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{43,86})$/.exec(text)
  const iterations = Number(parts?.[1])
  const salt = decodeUnpadded(parts?.[2] ?? '')
  const tag = decodeUnpadded(parts?.[3] ?? '')
  if (salt === undefined || tag === undefined || salt.length < 8 || tag.length < 32) return undefined
  return iterations <= maxIterations ? { kind: 'pbkdf2-sha512', iterations, salt, tag } : undefined
}

export function formatPbkdf2Verifier({ iterations, salt, tag }: Pbkdf2Verifier): string {
  return `$pbkdf2-sha512$i=${iterations}$${encodeUnpadded(salt)}$${encodeUnpadded(tag)}`
}

/** Runs in the thread pool. */
export async function isPbkdf2Password(verifier: Pbkdf2Verifier, password: string): Promise<boolean> {
  const { salt, iterations, tag } = verifier
  return timingSafeEqual(await pbkdf2Async(password, salt, iterations, tag.length, 'sha512'), tag)
}
