import type { CredentialVersion } from '../accounts/credential-version.ts'
import type { Account } from '../accounts/store.ts'
import type { TokenOrigin } from '../tokens/origin.ts'
import type { TokenMark } from '../tokens/token-mark.ts'
import { isMechanism, type PluggedMechanism, type UsableMechanism } from './option.ts'

/** How a caller proved who it is: a mechanism of ours, or a plug-in's. */
export type MechanismName = UsableMechanism | PluggedMechanism

export type DoorName = 'http' | 'postgres' | 'translator' | 'admin'

/** Who is asking: the same type at every door. Frozen; made by mechanisms only. */
export interface Identity {
  /** The account's name, the certificate's CN, or the token's id claim. */
  readonly id: string
  /** Sorted, without repetition. */
  readonly roles: readonly string[]
  /** The token's claims; empty for other mechanisms. Made without a prototype. */
  readonly claims: Readonly<Record<string, unknown>>
  /** What selects keys where a field says `client_id: { from: identity }`: 128 hex digits for a certificate (spec: Acra). */
  readonly clientId: string | undefined
  readonly mechanism: MechanismName
  /** Name of the account store or issuer that knows this identity. */
  readonly source: string | undefined
  /** Which password the account had when this was proven: what is no longer that one's has ended. */
  readonly credential?: CredentialVersion | undefined
  /** The token of ours that this was proven with: a session ends with it. */
  readonly token?: TokenMark | undefined
  /** Which API key this was proven with, or what the token of ours was issued for: what takes that back takes this back. */
  readonly origin?: TokenOrigin | undefined
  /** When the token of ours was issued that this was proven with, in ms since 1970. */
  readonly issuedAt?: number | undefined
  /** When the proof runs out, in ms since 1970; `undefined` when it does not. */
  readonly expiresAt: number | undefined
}

/**
 * What a mechanism answers. A throw means "cannot decide" (keys of the issuer cannot be had, store is down): the door answers
 * 503 or 57P03 and never lets the caller through.
 */
export type Outcome =
  | { readonly kind: 'identified'; readonly identity: Identity }
  /** No credential of this mechanism's kind: let the next one look. */
  | { readonly kind: 'absent' }
  /** A credential of this kind, and it is bad: stop, whatever the others would say. The reason is for the log and the audit trail; callers get one text for all. */
  | { readonly kind: 'rejected'; readonly reason: RejectionReason }

export type RejectionReason =
  | 'malformed'
  | 'expired'
  | 'not-yet-valid'
  | 'untrusted'
  | 'wrong-audience'
  | 'wrong-password'
  | 'unknown-user'
  | 'locked'
  /** The password was changed, or the account locked, since it was proven. */
  | 'superseded'
  | 'name-mismatch'
  | 'no-roles'
  /** A check of the issuer's has refused the token. */
  | 'check-failed'
  /** Its certificate. */
  | 'revoked'
  /** The responder does not know its certificate. */
  | 'certificate-unknown'

/**
 * Two identities of one class may see the same: plans and views are cached by it. It covers everything a field or a role rule
 * may ask about: roles and client id.
 */
export function identityClass(identity: Identity): string {
  return JSON.stringify([identity.roles, identity.clientId ?? null])
}

/** How an account proves who it is. An issuer may have the name of a store: a token of its own is not of the store for that. */
const ofAccounts: ReadonlySet<MechanismName> = new Set([
  'trust',
  'password',
  'certificate',
  'basic',
  'digest',
  'scram',
  'token',
  'pass-through',
])

/** Whether it is the account of that name in this store, and not somebody from elsewhere who has the same name. */
export function isAccountOf(identity: Identity, store: string): boolean {
  // The mechanism of a plug-in has its own name for a source, which no store can have, or that of the store that knows the account.
  return identity.source === store && (ofAccounts.has(identity.mechanism) || !isMechanism(identity.mechanism))
}

/** Freezes, sorts and deduplicates; the one way to make an `Identity`. */
export function createIdentity(from: Omit<Identity, 'roles'> & { readonly roles: Iterable<string> }): Identity {
  const roles = [...from.roles]
  return Object.freeze({ ...from, roles: Object.freeze(roles.length < 2 ? roles : [...new Set(roles)].sort()) })
}

/** Of identities that come without a token. */
export const noClaims: Identity['claims'] = Object.freeze(Object.create(null))

/** Somebody whom an account store knows, proven by a password or by nothing but the name. @param source name of the store */
export function identityOfAccount(account: Account, source: string | undefined, mechanism: MechanismName): Identity {
  return createIdentity({
    id: account.name,
    roles: account.roles,
    claims: noClaims,
    clientId: undefined,
    mechanism,
    source,
    credential: account.credential,
    expiresAt: undefined,
  })
}
