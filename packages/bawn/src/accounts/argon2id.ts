import { argon2, randomBytes, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { decodeUnpadded, encodeUnpadded } from './phc.ts'
import { saslprep } from './saslprep.ts'

/** Argon2id, version 0x13 (RFC 9106): what new passwords become. */
export interface Argon2idVerifier {
  readonly kind: 'argon2id'
  readonly memoryKib: number
  readonly passes: number
  readonly parallelism: number
  /** 16 bytes when we made it; 8 to 64 when imported. */
  readonly salt: Uint8Array
  /** 32 bytes when we made it; 16 to 64 when imported. */
  readonly tag: Uint8Array
}

/** OWASP's first choice for one lane: 19 MiB, two passes; about 40 ms in one thread of the pool. */
export const argon2idDefaults = { memoryKib: 19_456, passes: 2, parallelism: 1 } as const

/** A verifier from elsewhere may cost some ten times what ours do, in memory and in time, and no more. */
const maxMemoryKib = 262_144
const maxPasses = 10
const maxWorkKib = 524_288
const maxParallelism = 4

const argon2Async = promisify(argon2)

/** In the PHC string format, `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<tag>`; `undefined` for anything else and above the limits. */
export function parseArgon2idVerifier(text: string): Argon2idVerifier | undefined {
  const parts =
    /^\$argon2id\$v=19\$m=([1-9][0-9]{0,6}),t=([1-9][0-9]{0,2}),p=([1-9][0-9]?)\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$/.exec(
      text,
    )
  const [memoryKib = 0, passes = 0, parallelism = 0] = (parts ?? []).slice(1, 4).map(Number)
  const salt = decodeUnpadded(parts?.[4] ?? '')
  const tag = decodeUnpadded(parts?.[5] ?? '')
  if (salt === undefined || tag === undefined || salt.length < 8 || tag.length < 16) return undefined
  if (memoryKib < 8 * parallelism || memoryKib > maxMemoryKib || parallelism < 1 || parallelism > maxParallelism)
    return undefined
  if (passes > maxPasses || memoryKib * passes > maxWorkKib) return undefined
  return { kind: 'argon2id', memoryKib, passes, parallelism, salt, tag }
}

export function formatArgon2idVerifier({ memoryKib, passes, parallelism, salt, tag }: Argon2idVerifier): string {
  return `$argon2id$v=19$m=${memoryKib},t=${passes},p=${parallelism}$${encodeUnpadded(salt)}$${encodeUnpadded(tag)}`
}

function derive(password: string, from: Omit<Argon2idVerifier, 'kind' | 'tag'>, tagLength: number): Promise<Buffer> {
  return argon2Async('argon2id', {
    // Prepared as for SCRAM, so that one password typed on two keyboards is one password here too.
    message: saslprep(password) ?? password,
    nonce: from.salt,
    parallelism: from.parallelism,
    memory: from.memoryKib,
    passes: from.passes,
    tagLength,
  })
}

/** The verifier of a new password. Runs in the thread pool. */
export async function deriveArgon2idVerifier(
  password: string,
  cost: { readonly memoryKib: number; readonly passes: number; readonly parallelism: number } = argon2idDefaults,
): Promise<Argon2idVerifier> {
  const salt = randomBytes(16)
  return { kind: 'argon2id', ...cost, salt, tag: await derive(password, { ...cost, salt }, 32) }
}

export async function isArgon2idPassword(verifier: Argon2idVerifier, password: string): Promise<boolean> {
  return timingSafeEqual(await derive(password, verifier, verifier.tag.length), verifier.tag)
}
