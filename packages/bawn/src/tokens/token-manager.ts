import type { CredentialVersion } from '../accounts/credential-version.ts'
import type { TokenOrigin } from './origin.ts'

/** Who a token speaks for. `authn/identity.ts` is above this folder, so the parts stand here by themselves. */
export interface TokenSubject {
  readonly id: string
  readonly roles: readonly string[]
  /** Account store or issuer that knew the subject when the token was issued: two of one id are not one. */
  readonly source: string | undefined
  /** What selects keys, where the proof brought one (`Identity.clientId`). */
  readonly clientId: string | undefined
  /** ms since 1970: no token for it is valid, and none is renewed, beyond this. `undefined`: only the manager's own limits. */
  readonly notAfter: number | undefined
  /** What the token is issued for, and is revoked with. Kept with the token: two tokens of different origins are never one. */
  readonly origin?: TokenOrigin | undefined
  /**
   * Claims of what the token is issued for that go along: an object of JSON, as text, for a number that is parsed may be another one. Kept
   * with the token, like `origin`: two tokens with different claims are never one.
   */
  readonly claims?: string | undefined
}

export interface IssuedToken {
  /** Printable ASCII without spaces; shown to its owner and never kept, logged or compared in clear: stores keep a SHA-256 of it. */
  readonly token: string
  /** ms since 1970 */
  readonly validUntil: number
  /** False: the running token of the subject was given again. */
  readonly isNew: boolean
}

export interface VerifiedToken {
  readonly subject: TokenSubject
  /** Whether the token was issued while the account had this password. */
  isIssuedFor(credential: CredentialVersion | undefined): boolean
  /** ms since 1970 */
  readonly validUntil: number
  /** ms since 1970; without it the token counts as issued before whatever was revoked (`tokens/revoked`). */
  readonly issuedAt?: number | undefined
  /** This use has moved `validUntil`. */
  readonly renewed: boolean
  /**
   * What `isGood` knows the token by: a text in the memory of this process, up to 16,384 characters, that nobody can use as a token and that
   * means the same after a reload. Without it no session is begun with the token.
   */
  readonly mark?: string | undefined
}

/** One token as an operator sees it: nothing in it can be used as one. */
export interface TokenListing {
  readonly subject: TokenSubject
  readonly issuedAt: number
  readonly validUntil: number
}

/** Issues, recognises and revokes tokens of our own. One file per kind implements it: random in memory, SQLite or Redis, and signed. */
export interface TokenManager {
  readonly name: string
  /** Whether a text has the form of a token of this manager, whatever it is worth: what has not is left to other mechanisms. */
  recognizes(text: string): boolean
  /**
   * The running token of this subject where there is one and this process issued it, else a new one.
   *
   * @param credential which password the account has; the token is worth nothing when it has another one. What is kept of it, or stands in
   *   the token, is a digest under a key that whoever has the store, or the token, does not know
   * @throws {TokenError} (rejects with) `tokens.full`, `tokens.expired_proof`, `tokens.unavailable`
   */
  issue(subject: TokenSubject, credential?: CredentialVersion): Promise<IssuedToken>
  /**
   * @param statedUser the name that came with it; another than the subject's makes the token worth nothing
   * @returns whom the token speaks for, renewed where the manager renews on use; `undefined` when it is none of ours, has expired or was revoked
   * @throws {TokenError} (rejects with) `tokens.unavailable`: it cannot be known
   */
  verify(token: string, statedUser: string | undefined): Promise<VerifiedToken | undefined>
  /**
   * Whether a token that was verified before is good now: neither revoked nor beyond its end. This is no use of it: nothing is renewed. It is
   * asked twice a second for each session that was begun with a token; a manager without it has tokens that are worth nothing where sessions
   * stay open, at the PostgreSQL door.
   *
   * @param mark `VerifiedToken.mark`; one that another manager has made, before a reload, is of no good token
   * @throws {TokenError} (rejects with) `tokens.unavailable`: it cannot be known
   */
  isGood?(mark: string): Promise<boolean>
  /** Ends every token of this subject, at every node, for the next request. @returns how many there were, as far as the kind can tell */
  revoke(subjectId: string): Promise<number>
  /** Ends every token of everybody. @returns how many there were, as far as the kind can tell */
  revokeAll(): Promise<number>
  /** Running tokens, soonest end first; `undefined` for a kind that keeps none. */
  list(): Promise<readonly TokenListing[] | undefined>
  close(): Promise<void>
}
