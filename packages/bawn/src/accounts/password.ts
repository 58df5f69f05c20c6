import type { Account } from './store.ts'

/** What checking a name and a password came to. The reason is for the log and the trail only: callers get one text for all. */
export type PasswordOutcome =
  | { readonly kind: 'correct'; readonly account: Account /** Name of the store. */; readonly source: string }
  | { readonly kind: 'wrong'; readonly reason: 'unknown-user' | 'wrong-password' | 'locked' }
  /** Too many failures for this name or from this address: nothing was hashed. */
  | { readonly kind: 'throttled'; readonly retryAfterMs: number }

/**
 * Checks cleartext passwords against every store, for the mechanisms `basic` and `password`. Takes the same time and does the same work for
 * unknown, locked and known names; hashing is off the main thread, bounded, and comes after the limits.
 */
export interface PasswordCheck {
  /**
   * @param user name as stated; any text
   * @param password cleartext; empty is wrong
   * @param address of the caller
   * @throws {AccountError} `accounts.unavailable` (cannot decide), `accounts.busy` when too many checks wait
   */
  check(user: string, password: string, address: string): Promise<PasswordOutcome>
  close(): Promise<void>
}
