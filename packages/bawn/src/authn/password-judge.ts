import type { Outcome } from './identity.ts'

/** What was typed where PostgreSQL asks for a password: a password, or whatever else the mechanism takes for a proof. */
export interface TypedLogin {
  /** As the client states it; who it turns out to be must be called so. */
  readonly user: string
  readonly password: string
  readonly address: string
  readonly tls: boolean
  /** ms since 1970 */
  readonly now: number
}

/** A mechanism that judges a name and one text, at the PostgreSQL door. Limits of tries are the door's. */
export interface PasswordJudge {
  /** Rejects when it cannot decide: 57P03. */
  authenticate(login: TypedLogin): Promise<Outcome | { readonly kind: 'throttled'; readonly retryAfterMs: number }>
}
