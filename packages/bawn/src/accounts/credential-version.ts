import { createHmac, type KeyObject } from 'node:crypto'

/**
 * Which password an account has, without saying anything of it: another one after each change of the password, each lock, and for whoever
 * gets the name after it was removed. What was proven under one version (a session, a token) ends with it.
 *
 * The text behind it may be made of a stored password and a password in clear, so it never leaves: there is no way to print it, and what is
 * kept of it elsewhere is a keyed digest.
 */
export class CredentialVersion {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  isSame(other: CredentialVersion | undefined): boolean {
    return other !== undefined && other.#text === this.#text
  }

  /** What may be written down elsewhere: 22 characters of base64url, which tell nothing without the key. */
  under(key: KeyObject | Uint8Array): string {
    return createHmac('sha256', key)
      .update('bawn credential version ')
      .update(this.#text)
      .digest()
      .subarray(0, 16)
      .toString('base64url')
  }
}

/** Are both versions the same, or both unknown? */
export function isSameVersion(one: CredentialVersion | undefined, other: CredentialVersion | undefined): boolean {
  return one === undefined ? other === undefined : one.isSame(other)
}
