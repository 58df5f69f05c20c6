/** Who a token speaks for. `authn/identity.ts` is above this folder, so the parts stand here by themselves. */
export interface TokenSubject {
  readonly id: string
  readonly roles: readonly string[]
}

export interface IssuedToken {
  /** Printable ASCII without spaces; shown to its owner and never kept, logged or compared in clear: stores keep a SHA-256 of it. */
  readonly token: string
  /** ms since 1970 */
  readonly validUntil: number
}

/** Issues, recognises and revokes tokens of our own. One file per kind implements it: random in memory, SQLite or Redis, and signed. */
export interface TokenManager {
  readonly name: string
  /** The running token of this subject where there is one and the kind keeps it, else a new one. */
  issue(subject: TokenSubject): Promise<IssuedToken>
  /** @returns whom the token speaks for, renewed where the manager renews on use; `undefined` when it is none of ours, has expired or was revoked */
  verify(
    token: string,
    statedUser: string | undefined,
  ): Promise<{ readonly subject: TokenSubject; readonly validUntil: number } | undefined>
  /** Ends every token of this subject, at every node. @returns how many there were, as far as the kind can tell */
  revoke(subjectId: string): Promise<number>
  close(): Promise<void>
}
