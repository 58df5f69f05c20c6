import { createHmac, createSecretKey, hash, type KeyObject, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { saslprep } from './saslprep.ts'
import type { ScramVerifier } from './store.ts'

/**
 * PBKDF2 rounds of the verifiers that we make: four times what RFC 7677 section 4 asks at least. The client pays for them at each
 * login (about 5 ms), the gateway only when it checks a password in clear.
 */
export const defaultScramIterations = 16_384

/** More than anybody uses; above it a verifier or a server is trying to keep us busy. */
export const maxScramIterations = 10_000_000

const pbkdf2Async = promisify(pbkdf2)

/** What a SCRAM-SHA-256 password turns into; whoever has `clientKey` can log in. All 32 bytes. */
export interface ScramKeys {
  readonly clientKey: Buffer
  readonly storedKey: Buffer
  readonly serverKey: Buffer
}

/** What logs in wherever the same verifier is kept, without the password. */
export interface ScramLoginKeys {
  readonly verifier: ScramVerifier
  /** 32 bytes. As good as the password where this verifier is kept: zeros after its one use. */
  readonly clientKey: Buffer
}

/**
 * RFC 5802 section 3. Runs in the thread pool. A password that SASLprep forbids is taken as its UTF-8 bytes, as PostgreSQL does.
 *
 * @param salt 1 byte or more
 */
export async function deriveScramKeys(password: string, salt: Uint8Array, iterations: number): Promise<ScramKeys> {
  const salted = await pbkdf2Async(saslprep(password) ?? password, salt, iterations, 32, 'sha256')
  const saltedKey = createSecretKey(salted)
  salted.fill(0)
  const clientKey = createHmac('sha256', saltedKey).update('Client Key').digest()
  const serverKey = createHmac('sha256', saltedKey).update('Server Key').digest()
  return { clientKey, storedKey: hash('sha256', clientKey, 'buffer'), serverKey }
}

/**
 * The verifier of a new password.
 *
 * @param salt 16 random bytes, never used before
 */
export async function deriveScramVerifier(
  password: string,
  salt: Uint8Array,
  iterations: number = defaultScramIterations,
): Promise<ScramVerifier> {
  const { clientKey, storedKey, serverKey } = await deriveScramKeys(password, salt, iterations)
  clientKey.fill(0)
  return { iterations, salt, storedKey, serverKey }
}

/** Whether the password is the verifier's. Costs the verifier's iterations in the thread pool, right or wrong. */
export async function isPasswordOf(verifier: ScramVerifier, password: string): Promise<boolean> {
  const { clientKey, storedKey } = await deriveScramKeys(password, verifier.salt, verifier.iterations)
  clientKey.fill(0)
  return timingSafeEqual(storedKey, verifier.storedKey)
}

/**
 * The verifier that a name without an account seems to have: the same salt at each try, so that asking twice does not tell it from
 * a real one (RFC 5802 section 9). No password opens it.
 *
 * @param secret 32 bytes that outlive a restart, known to nobody outside
 * @param iterations what real accounts have; where these differ from account to account, a decoy can be told by them
 */
export function decoyScramVerifier(
  secret: Uint8Array,
  user: string,
  iterations: number = defaultScramIterations,
): ScramVerifier {
  let key = decoyKeys.get(secret)
  if (key === undefined) {
    key = createSecretKey(secret)
    decoyKeys.set(secret, key)
  }
  const salt = createHmac('sha256', key).update('salt:').update(user).digest().subarray(0, 16)
  return { iterations, salt, ...keysOfNobody }
}

/** Made once for each secret, which a store hands out again and again. */
const decoyKeys = new WeakMap<Uint8Array, KeyObject>()

/** What a decoy is compared to: nobody is told of it, and nobody knows what it could be made from. */
const keysOfNobody = { storedKey: randomBytes(32), serverKey: randomBytes(32) } as const

/** `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, as PostgreSQL writes it. */
export function formatScramVerifier(verifier: ScramVerifier): string {
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')
  return `SCRAM-SHA-256$${verifier.iterations}:${text(verifier.salt)}$${text(verifier.storedKey)}:${text(verifier.serverKey)}`
}

/** Reads what `formatScramVerifier` or PostgreSQL wrote; `undefined` for anything else. */
export function parseScramVerifier(text: string): ScramVerifier | undefined {
  if (text.length > 512) return undefined
  const parts = /^SCRAM-SHA-256\$([1-9][0-9]{0,7}):([^$:]+)\$([^$:]+):([^$:]+)$/.exec(text)
  if (parts === null) return undefined
  const iterations = Number(parts[1])
  const salt = decodeBase64(parts[2] ?? '')
  const storedKey = decodeBase64(parts[3] ?? '')
  const serverKey = decodeBase64(parts[4] ?? '')
  if (salt === undefined || storedKey?.length !== 32 || serverKey?.length !== 32) return undefined
  if (salt.length < 1 || salt.length > 64 || iterations > maxScramIterations) return undefined
  return { iterations, salt, storedKey, serverKey }
}

/** Base64 with padding and without anything else (RFC 4648 section 3.2 to 3.5); `undefined` where a byte is out of place. */
export function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64')
  // Buffer.from skips what it does not know and forgives stray bits: only the text that these bytes encode to is theirs.
  return bytes.toString('base64') === text ? bytes : undefined
}
