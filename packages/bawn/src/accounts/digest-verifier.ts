import { hash } from 'node:crypto'
import { type Account, AccountError } from './store.ts'

// What digest authentication (RFC 7616) needs to know of a password: H(name:realm:password), its HA1. It is as good as the password itself
// for that realm, and fast to guess from, so it is kept only for those for whom somebody asked for it.

export const digestAlgorithms = ['SHA-256', 'SHA-512-256', 'MD5'] as const
export type DigestAlgorithm = (typeof digestAlgorithms)[number]

const hashes = { 'SHA-256': 'sha256', 'SHA-512-256': 'sha512-256', MD5: 'md5' } as const

/** H of RFC 7616 section 3.4: lower-case hex. */
export function digestHash(algorithm: DigestAlgorithm, text: string): string {
  return hash(hashes[algorithm], text, 'hex')
}

/** Which HA1 values are wanted. */
export interface DigestRealm {
  readonly realm: string
  readonly algorithms: readonly DigestAlgorithm[]
}

/** A name as RFC 7616 section 3.4.4 hides it. */
export interface HashedName {
  /** Lower-case hex of H(name:realm). */
  readonly hash: string
  readonly realm: string
  readonly algorithm: DigestAlgorithm
}

/** 1 to 128 visible ASCII characters and blanks: what `realm` of the configuration may be. */
export function isDigestRealm(text: string): boolean {
  return /^[ -~]{1,128}$/.test(text)
}

/** Composed (NFC), as RFC 7616 section 4 has clients send it. */
function ha1(algorithm: DigestAlgorithm, name: string, realm: string, password: string): string {
  return digestHash(algorithm, `${name}:${realm}:${password.normalize('NFC')}`)
}

/**
 * The verifiers of a password, as `Account.digest` keeps them: a line each, `<algorithm> <hex> <realm>`.
 *
 * @returns undefined for a name with a colon: nobody could say where it ends, and two names could have one HA1
 */
export function deriveDigestVerifiers(
  name: string,
  password: string,
  { realm, algorithms }: DigestRealm,
): string | undefined {
  if (name.includes(':') || !isDigestRealm(realm)) return undefined
  return algorithms
    .map(algorithm => formatLine({ algorithm, ha1: ha1(algorithm, name, realm, password), realm }))
    .join('\n')
}

interface Line {
  readonly algorithm: DigestAlgorithm
  readonly ha1: string
  readonly realm: string
}

const formatLine = ({ algorithm, ha1, realm }: Line): string => `${algorithm} ${ha1} ${realm}`
const lineForm = /^(SHA-256|SHA-512-256|MD5) ([0-9a-f]{32}|[0-9a-f]{64}) ([ -~]{1,128})$/

/** @throws {AccountError} `accounts.unavailable` for anything but what `deriveDigestVerifiers` makes */
function linesOf(text: string): readonly Line[] {
  return text.split('\n').map(line => {
    const [, name, value = '', realm = ''] = lineForm.exec(line) ?? []
    const algorithm = digestAlgorithms.find(known => known === name)
    if (algorithm === undefined) throw new AccountError('accounts.unavailable', 'a digest verifier is damaged')
    return { algorithm, ha1: value, realm }
  })
}

/** The realms and algorithms of stored verifiers, for people: nothing that could be used. */
export function describeDigestVerifiers(text: string): readonly Omit<Line, 'ha1'>[] {
  return linesOf(text).map(({ algorithm, realm }) => ({ algorithm, realm }))
}

/** Do stored verifiers hold all that is wanted? */
export function hasDigestVerifiers(text: string | undefined, { realm, algorithms }: DigestRealm): boolean {
  const lines = text === undefined ? [] : linesOf(text)
  return algorithms.every(algorithm => lines.some(line => line.algorithm === algorithm && line.realm === realm))
}

/** Both, the newer ones in place of older ones of the same realm. */
export function mergeDigestVerifiers(older: string | undefined, newer: string | undefined): string | undefined {
  if (older === undefined || newer === undefined) return newer ?? older
  const replaced = new Set(linesOf(newer).map(({ realm }) => realm))
  return [...linesOf(older).filter(({ realm }) => !replaced.has(realm)), ...linesOf(newer)].map(formatLine).join('\n')
}

/** The hashes that stored verifiers make a name known by. */
export function hashedNames(name: string, digest: string | undefined): readonly string[] {
  return digest === undefined
    ? []
    : linesOf(digest).map(({ algorithm, realm }) => digestHash(algorithm, `${name}:${realm}`))
}

/** Nobody's; as long as real ones, so that a hash over them takes as long. */
export const decoyHa1: Readonly<Record<DigestAlgorithm, string>> = {
  'SHA-256': '0'.repeat(64),
  'SHA-512-256': '0'.repeat(64),
  MD5: '0'.repeat(32),
}

/**
 * The HA1 of an account for a realm: stored, or computed where the password itself is known. The same work for an account that has none, and
 * for no account.
 *
 * @returns `isOwn` false: `ha1` is nobody's and opens nothing
 * @throws {AccountError} `accounts.unavailable` when what is stored is damaged
 */
export function ha1Of(
  account: Account | undefined,
  realm: string,
  algorithm: DigestAlgorithm,
): { readonly ha1: string; readonly isOwn: boolean } {
  const { name = 'nobody', password, digest } = account ?? {}
  const clear = password?.kind === 'plain' && !name.includes(':') ? password.password : undefined
  const computed = ha1(algorithm, name, realm, clear ?? 'no password')
  const lines = linesOf(digest ?? `${algorithm} ${decoyHa1[algorithm]} ${realm}`)
  const stored = lines.find(line => line.algorithm === algorithm && line.realm === realm)?.ha1
  if (clear !== undefined) return { ha1: computed, isOwn: true }
  const isOwn = digest !== undefined && stored !== undefined
  return { ha1: isOwn ? stored : decoyHa1[algorithm], isOwn }
}
