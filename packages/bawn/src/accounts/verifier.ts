import { randomBytes, timingSafeEqual } from 'node:crypto'
import { type Apr1Verifier, formatApr1Verifier, parseApr1Verifier } from './apr1.ts'
import {
  type Argon2idVerifier,
  argon2idDefaults,
  deriveArgon2idVerifier,
  formatArgon2idVerifier,
  isArgon2idPassword,
  parseArgon2idVerifier,
} from './argon2id.ts'
import { type BcryptVerifier, formatBcryptVerifier, parseBcryptVerifier } from './bcrypt.ts'
import { type DigestRealm, deriveDigestVerifiers } from './digest-verifier.ts'
import type { HashThread } from './hash-thread.ts'
import { formatSha1Verifier, isSha1Password, parseSha1Verifier, type Sha1Verifier } from './htpasswd-sha1.ts'
import { formatPbkdf2Verifier, isPbkdf2Password, type Pbkdf2Verifier, parsePbkdf2Verifier } from './pbkdf2-sha512.ts'
import { isPlainPassword, type PlainPassword } from './plain-password.ts'
import { defaultScramIterations, deriveScramVerifier, formatScramVerifier, isPasswordOf } from './scram-verifier.ts'
import { AccountError, type ScramVerifier } from './store.ts'

/** What a stored text can turn out to be; its prefix says which. A SCRAM verifier stands beside it, in `Account.scram`. */
export type StoredVerifier = Argon2idVerifier | BcryptVerifier | Pbkdf2Verifier | Apr1Verifier | Sha1Verifier

/** What checks a password that comes in clear. */
export type PasswordVerifier = StoredVerifier | PlainPassword

/** What an account is checked by: `scram` where the client speaks SCRAM, `password` (else `scram`) where the password comes in clear. */
export interface Verifiers {
  readonly scram: ScramVerifier | undefined
  readonly password: PasswordVerifier | undefined
  /** For digest, as `deriveDigestVerifiers` makes it; `undefined`: the account can do without. */
  readonly digest?: string | undefined
}

/** What bcrypt looks at is 72 bytes; in some implementations a NUL at the end is one of them. */
const maxBcryptBytes = 71

/** Longer passwords are wrong: nobody types them, and every hash reads all of it. In bytes of UTF-8. */
export const maxPasswordBytes = 1_024

/** Shorter ones are guessed at the door, whatever the verifier costs (NIST SP 800-63B section 5.1.1). */
const minPasswordCharacters = 8

/** What keeps a text from being a new password, as a sentence without the text; `undefined` when nothing does. */
export function whyNoPassword(password: string): string | undefined {
  if ([...password].length < minPasswordCharacters) return `a password has at least ${minPasswordCharacters} characters`
  if (Buffer.byteLength(password) > maxPasswordBytes) return `a password has at most ${maxPasswordBytes} bytes`
  return password.includes('\0') ? 'a password has no character NUL' : undefined
}

/** Reads one stored text: PHC strings of argon2id and PBKDF2-SHA512, bcrypt, `$apr1$`, `{SHA}`. `undefined` for anything else. */
export function parseVerifier(text: string): StoredVerifier | undefined {
  if (text.length > 512) return undefined
  return (
    parseArgon2idVerifier(text) ??
    parseBcryptVerifier(text) ??
    parsePbkdf2Verifier(text) ??
    parseApr1Verifier(text) ??
    parseSha1Verifier(text)
  )
}

/** The text that `parseVerifier` reads back. */
export function formatVerifier(verifier: StoredVerifier): string {
  switch (verifier.kind) {
    case 'argon2id':
      return formatArgon2idVerifier(verifier)
    case 'bcrypt':
      return formatBcryptVerifier(verifier)
    case 'pbkdf2-sha512':
      return formatPbkdf2Verifier(verifier)
    case 'apr1':
      return formatApr1Verifier(verifier)
    case 'sha1':
      return formatSha1Verifier(verifier)
  }
}

/** Both verifiers as one text, for comparing and for keys of caches; it may hold a password in clear and goes nowhere else. */
export function verifiersText({ scram, password }: Partial<Verifiers>): string {
  const clear =
    password === undefined ? '' : password.kind === 'plain' ? `plain ${password.password}` : formatVerifier(password)
  return `${scram === undefined ? '' : formatScramVerifier(scram)}\n${clear}`
}

/**
 * The verifiers of a new password: argon2id and SCRAM, and for digest where that is asked for. About 50 ms in the thread pool, one after the
 * other.
 */
export async function deriveVerifiers(
  password: string,
  digest?: DigestRealm & { readonly name: string },
): Promise<Verifiers> {
  const argon = await deriveArgon2idVerifier(password)
  const scram = await deriveScramVerifier(password, randomBytes(16))
  return {
    password: argon,
    scram,
    digest: digest && deriveDigestVerifiers(digest.name, password, digest),
  }
}

/**
 * The bcrypt hash of a new password, for a store that other programs read as well. In `thread`.
 *
 * @throws {AccountError} `accounts.invalid` for more than 71 bytes and for a NUL, behind which bcrypt does not look
 */
export async function deriveBcryptVerifier(
  password: string,
  cost: number,
  thread: HashThread,
): Promise<BcryptVerifier> {
  const bytes = Buffer.from(password)
  if (bytes.length > maxBcryptBytes || password.includes('\0')) {
    throw new AccountError(
      'accounts.invalid',
      `bcrypt takes a password of at most ${maxBcryptBytes} bytes without a NUL`,
    )
  }
  const salt = randomBytes(16)
  // RESTHeart reads no other version.
  return {
    kind: 'bcrypt',
    version: '2a',
    cost,
    salt,
    tag: await thread.derive({ kind: 'bcrypt', password: bytes, salt, cost }),
  }
}

/**
 * Whether the password is the verifier's; costs the same whether it is or not. Everything that takes time runs in the thread pool or
 * in `thread`.
 *
 * @throws when the thread failed: it is then not known
 */
export async function isVerifiedBy(
  verifier: PasswordVerifier | ScramVerifier,
  password: string,
  thread: HashThread,
): Promise<boolean> {
  const same = await compare(verifier, password, thread)
  // HMAC takes a NUL at the end of a key for nothing, bcrypt for the end of the password: such a password would be another one as well.
  return same && !password.includes('\0')
}

async function compare(
  verifier: PasswordVerifier | ScramVerifier,
  password: string,
  thread: HashThread,
): Promise<boolean> {
  if (!('kind' in verifier)) return isPasswordOf(verifier, password)
  switch (verifier.kind) {
    case 'argon2id':
      return isArgon2idPassword(verifier, password)
    case 'pbkdf2-sha512':
      return isPbkdf2Password(verifier, password)
    case 'sha1':
      return isSha1Password(verifier, password)
    case 'plain':
      return isPlainPassword(verifier, password)
    case 'bcrypt': {
      const { salt, cost, tag } = verifier
      const derived = await thread.derive({ kind: 'bcrypt', password: Buffer.from(password), salt, cost })
      return timingSafeEqual(derived, tag)
    }
    case 'apr1': {
      const { salt, tag } = verifier
      return timingSafeEqual(await thread.derive({ kind: 'apr1', password: Buffer.from(password), salt }), tag)
    }
  }
}

/** Does the check of this verifier alone cost far less than that of a new one? Then the difference is to be added, or it can be measured. */
export function isCheap(verifier: PasswordVerifier | ScramVerifier): boolean {
  if (!('kind' in verifier)) return true
  return verifier.kind === 'sha1' || verifier.kind === 'apr1' || verifier.kind === 'plain'
}

/** Are both what `deriveVerifiers` would make today, or better? What is not is made anew at the next login. */
export function areCurrent({ scram, password }: Partial<Verifiers>): boolean {
  return (
    scram !== undefined &&
    scram.iterations >= defaultScramIterations &&
    password?.kind === 'argon2id' &&
    password.memoryKib >= argon2idDefaults.memoryKib &&
    password.passes >= argon2idDefaults.passes
  )
}
