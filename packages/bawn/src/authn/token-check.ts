import type { Identity } from './identity.ts'

/** What a check says of a token. The reason is for the log: it holds nothing of the token. */
export type CheckVerdict = 'accept' | { readonly reject: string }

/**
 * A further check of the tokens of one issuer, behind signature and claims. It is asked once for each token, and what it says is kept as
 * long as the token is: so it must be a function of the token, and answers at once.
 *
 * @throws when it cannot decide: 503
 */
export interface TokenCheck {
  /** For the log. */
  readonly name: string
  check(claims: Identity['claims'], identity: Identity): CheckVerdict
}
