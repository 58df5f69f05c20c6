import type { TokenListing } from './token-manager.ts'

/** A random token as it is kept: nothing here can be used as one. */
export interface TokenRecord extends TokenListing {
  /** SHA-256 of the token, base64url. */
  readonly digest: string
  /** Which password the account had, under a key that is made of the token. */
  readonly credential: string | undefined
}

export interface TokenLimits {
  /** Running tokens of one subject; one more ends the one that would end first. */
  readonly perSubject: number
  /** Running tokens of all; one more is refused. */
  readonly inAll: number
}

/**
 * Where random tokens are kept, by digest. One file per kind implements it. Whoever asks for a digest has the token or guesses 256 bits,
 * so how long a look-up takes tells nothing. Records that have ended are gone for every method. Methods reject with
 * `tokens.unavailable` and nothing else.
 */
export interface TokenStore {
  /** @param now ms since 1970, as everywhere here. @returns `full` when there are `inAll`: nothing was kept */
  add(record: TokenRecord, limits: TokenLimits, now: number): Promise<'kept' | 'full'>
  find(digest: string, now: number): Promise<TokenRecord | undefined>
  /** Moves the end of a record; one that was revoked meanwhile stays gone. @returns whether it was there */
  extend(record: TokenRecord, validUntil: number, now: number): Promise<boolean>
  /** @returns how many ended */
  removeSubject(subjectId: string, now: number): Promise<number>
  removeAll(now: number): Promise<number>
  list(now: number): Promise<readonly TokenRecord[]>
  close(): Promise<void>
}

/** What every node has to know of signed tokens. Epochs are whole numbers that only grow; each revocation takes the next one. */
export interface RevocationReading {
  /** Epoch now: what is issued carries it. */
  readonly epoch: number
  /** Tokens of an epoch before this are revoked: everybody's. */
  readonly all: number
  /** Tokens of this subject of an epoch before this are revoked; `undefined`: none of its own. */
  readonly subject: number | undefined
}

/**
 * The shared list of revocations. A store that was lost begins at an epoch beyond every one before (ms since 1970), so that what was
 * revoked does not come back: every token is worth nothing then. Methods reject with `tokens.unavailable` and nothing else.
 */
export interface RevocationStore {
  read(subjectId: string): Promise<RevocationReading>
  /** @param keepUntil ms since 1970: every token that this ends has expired by then, and the entry may go */
  revoke(subjectId: string, keepUntil: number, now: number): Promise<void>
  revokeAll(now: number): Promise<void>
  close(): Promise<void>
}
