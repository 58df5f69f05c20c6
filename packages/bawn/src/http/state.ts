import type { AuditTrail } from '../audit/event.ts'
import { type Identity, noClaims } from '../authn/identity.ts'
import type { Catalogue } from '../fields/field.ts'
import type { Acl } from './acl.ts'
import type { LoginDoor } from './login/login-door.ts'
import type { MechanismTable } from './mechanisms.ts'
import type { RouteTable } from './routes.ts'
import type { TokenDoor } from './token-resource.ts'
import type { Upstream } from './upstream/upstream.ts'

/** What this door needs of `authn/host-rules.ts`. */
export interface HostRuleMatcher {
  match(client: {
    readonly door: 'http'
    readonly user: undefined
    readonly address: string
    readonly tls: boolean
    readonly database: undefined
    readonly route: string | undefined
  }): HostRuleFinding | Promise<HostRuleFinding>
}

export type HostRuleFinding =
  | { readonly kind: 'matched'; readonly rule: string; readonly use: readonly string[] }
  | { readonly kind: 'none' }
  | { readonly kind: 'undecided'; readonly rule: string; readonly why: string }

/** Counters and a histogram; labels are route patterns, never paths. */
export interface HttpMetrics {
  /** @param route the route's pattern, or `none` @param durationMs until the answer's head was given to the client's connection */
  request(route: string, method: string, status: number, durationMs: number): void
}

/** For the operator. Never a token, value, header or path of a request. */
export interface HttpLog {
  error(message: string, detail: Readonly<Record<string, unknown>>): void
}

/** Everything that a reload replaces: built whole beside the running one, swapped as one reference. */
export interface HttpState {
  readonly routes: RouteTable
  readonly upstreams: readonly Upstream[]
  /** Asked before what is answered to anybody; routes have it in their gates. */
  readonly acl?: Acl | undefined
  readonly hostRules: HostRuleMatcher
  readonly mechanisms: MechanismTable
  /** `undefined`: the gateway issues no tokens. */
  readonly tokens?: TokenDoor | undefined
  /** `undefined`: nobody logs in by a browser. Not without tokens and their cookie. */
  readonly login?: LoginDoor | undefined
  /** Public keys that anybody gets, by path: JSON (RFC 7517). */
  readonly keySets: ReadonlyMap<string, Buffer>
  /** ms since 1970 */
  readonly now: () => number
  readonly catalogue: Catalogue
  readonly trail: AuditTrail
  readonly metrics: HttpMetrics
}

/** Whoever came without a credential on a route that permits `anyone`: no role, so fields show what they show by default. */
export const nobody: Identity = Object.freeze({
  id: 'anonymous',
  roles: Object.freeze([]),
  claims: noClaims,
  clientId: undefined,
  mechanism: 'trust',
  source: undefined,
  expiresAt: undefined,
})
