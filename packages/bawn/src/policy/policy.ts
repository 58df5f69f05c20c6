import type { Identity } from '../authn/identity.ts'

/** What somebody wants to do, in the words of the door it came in by. */
export interface Action {
  readonly door: 'http' | 'postgres' | 'admin'
  /** HTTP method, or `connect`, or a statement class. */
  readonly verb: string
}

export type Decision =
  | { readonly kind: 'permit'; readonly rule: string }
  | { readonly kind: 'deny'; readonly rule: string }

/**
 * Decides by a list of allowed policies (a route's or a database's `allow`). Built-in names: `anyone` (also who is not identified),
 * `authenticated`. The first policy that permits names the decision, with the entry behind a colon where a grant decided; if none does, the
 * decision is `deny` with rule `no policy of <names> permits`. Throws where grants cannot be read: then nobody is let in.
 */
export interface Gate {
  /** True when `anyone` is among the allowed: authentication may be absent. */
  readonly open: boolean
  decide(identity: Identity | undefined, action: Action): Decision
}
