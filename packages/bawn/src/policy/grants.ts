import type { Need } from '../accounts/grant.ts'
import type { Identity } from '../authn/identity.ts'
import type { Decision } from './policy.ts'

/**
 * Decides by the grants of an account store: the account's own entries, most specific first, then those of its roles
 * (docs/guide/grants.md). Identities of every mechanism are asked alike: somebody with a token has the grants of the token's roles.
 */
export interface GrantGate {
  /** Another one whenever a decision may be another: plans that were decided under an old one are decided again. */
  readonly epoch: number
  /** Every need must be granted; `rule` names the entry that decided, or the first need that nothing grants. */
  decide(identity: Identity, needs: readonly Need[]): Decision
  /** Whether there is any privilege on it: what somebody may not even see does not exist for them. */
  sees(identity: Identity, target: Need['target']): boolean
  /** Whether no grant is needed: a superuser of the configuration. */
  isSuperuser(identity: Identity): boolean
  /** Waits until decisions rest on the store as it is now (a change of another node, or of the command line). */
  refresh(): Promise<void>
}
