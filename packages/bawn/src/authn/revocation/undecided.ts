import { AuthnError } from '../error.ts'

/** Whether a certificate was revoked cannot be told. @param message why, for the log of the operator */
export function undecided(message: string, cause?: unknown): AuthnError {
  return new AuthnError('authn.revocation_undecided', message, { cause })
}

/** In words for the log. */
export function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return 'unknown'
  // Of an error of `fetch`, the cause says what the system said.
  return cause.message === 'fetch failed' && cause.cause !== undefined ? reasonOf(cause.cause) : cause.message
}
