import { AccountError } from './store.ts'
import type { PasswordVerifier } from './verifier.ts'

/** One user of a file that somebody else writes. */
export interface UserEntry {
  readonly name: string
  /** `undefined`: nobody can log in with a password. */
  readonly password: PasswordVerifier | undefined
  readonly roles: readonly string[]
}

/** @param line from 1 @param what what is wrong there, without a byte of the file */
export function badFile(path: string, line: number, what: string): AccountError {
  return new AccountError('accounts.bad_file', `${path}:${line}: ${what}`)
}

/** UTF-8 or nothing: a replaced character would be in a name or a password. */
export function decodeText(path: string, bytes: Uint8Array, maxBytes: number): string {
  if (bytes.length > maxBytes)
    throw badFile(path, 1, `the file has ${bytes.length} bytes; more than ${maxBytes} are not read`)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw badFile(path, 1, 'the file is not UTF-8 text')
  }
}
