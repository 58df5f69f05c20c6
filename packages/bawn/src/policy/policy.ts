import type { Identity } from '../authn/identity.ts'
import type { RequestFacts, ResponseFacts } from './facts.ts'

/** What somebody wants to do, in the words of the door it came in by. */
export interface Action {
  readonly door: 'http' | 'postgres' | 'admin'
  /** HTTP method, or `connect`, or a statement class. */
  readonly verb: string
  /** What policies with expressions ask about; without it, those that do deny. */
  readonly request?: RequestFacts | undefined
  readonly response?: ResponseFacts | undefined
  /** The rule of the access control list that allows it. */
  readonly acl?: string | undefined
}

export type Decision =
  | { readonly kind: 'permit'; readonly rule: string }
  | {
      readonly kind: 'deny'
      readonly rule: string
      /** For the audit trail alone: which policy could not be answered, and why. */
      readonly reason?: string | undefined
      /** The scopes that a token would have needed, where nothing else was missing (RFC 6750 section 3). */
      readonly scope?: string | undefined
    }

/**
 * Decides by a list of allowed policies (a route's or a database's `allow`). Built-in names: `anyone` (also who is not identified),
 * `authenticated`. The first policy that permits names the decision, with the entry behind a colon where a grant decided; if none does, the
 * decision is `deny` with rule `no policy of <names> permits`. Throws where grants cannot be read: then nobody is let in.
 */
export interface Gate {
  /** True when `anyone` is among the allowed, or a policy that also decides about who is not identified. */
  readonly open: boolean
  /** Whether a policy asks about the body of an answer: then it has to be there, whole. */
  readonly readsBody?: boolean
  decide(identity: Identity | undefined, action: Action): Decision
}
