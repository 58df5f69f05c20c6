import { isAccountName, isRoleName } from '../accounts/store.ts'
import { noClaims, type RejectionReason } from '../authn/identity.ts'
import { isObject } from './border.ts'
import { copyClaims } from './claims.ts'

/** What a mechanism of a plug-in has answered, read. */
export type ReadAnswer =
  | { readonly kind: 'absent' }
  | {
      readonly kind: 'identified'
      readonly id: string
      readonly roles: readonly string[]
      readonly claims: Readonly<Record<string, unknown>>
      readonly expiresAt: number | undefined
    }
  | { readonly kind: 'account'; readonly name: string }
  | { readonly kind: 'rejected'; readonly reason: RejectionReason; readonly claimedName: string | undefined }
  | { readonly kind: 'throttled'; readonly retryAfterMs: number; readonly claimedName: string | undefined }
  /** Nothing of it is believed. `what` is wrong, without a value. */
  | { readonly kind: 'malformed'; readonly what: string }

const reasons: Readonly<Record<RejectionReason, true>> = {
  malformed: true,
  expired: true,
  'not-yet-valid': true,
  untrusted: true,
  'wrong-audience': true,
  'wrong-password': true,
  'unknown-user': true,
  locked: true,
  superseded: true,
  'name-mismatch': true,
  'no-roles': true,
  'check-failed': true,
  revoked: true,
  'certificate-unknown': true,
}

const maxRoles = 1_000

/** Reads an answer member by member; each is looked at once. Members that it should not have are passed over. */
export function readAnswer(answer: unknown): ReadAnswer {
  if (!isObject(answer)) return malformed('is no object')
  const { kind } = answer
  switch (kind) {
    case 'absent':
      return { kind }
    case 'account': {
      const { name } = answer
      return isName(name) ? { kind, name } : malformed('names no account')
    }
    case 'identified':
      return readIdentity(answer['identity'])
    case 'rejected': {
      const { reason } = answer
      if (!isReason(reason)) return malformed('has no reason that is known')
      return { kind, reason, claimedName: nameOrNothing(answer['claimedName']) }
    }
    case 'throttled': {
      const { retryAfterMs } = answer
      if (typeof retryAfterMs !== 'number' || !(retryAfterMs >= 0 && retryAfterMs < 86_400_000)) {
        return malformed('has no retryAfterMs below a day')
      }
      return { kind, retryAfterMs, claimedName: nameOrNothing(answer['claimedName']) }
    }
    default:
      return malformed('has no kind that is known')
  }
}

function readIdentity(identity: unknown): ReadAnswer {
  if (!isObject(identity)) return malformed('has no identity')
  const { id, roles, claims, expiresAt } = identity
  if (!isName(id)) return malformed('has an identity without an id')
  const read = readRoles(roles)
  if (read === undefined) return malformed('has an identity without a list of roles')
  const copied = claims === undefined ? noClaims : copyClaims(claims)
  if (copied === undefined) return malformed('has claims that are no JSON, or too many')
  if (expiresAt !== undefined && !(typeof expiresAt === 'number' && Number.isFinite(expiresAt))) {
    return malformed('has an end that is no number')
  }
  return { kind: 'identified', id, roles: read, claims: copied, expiresAt }
}

/** A list of names of roles, copied; `undefined` for anything else. */
export function readRoles(value: unknown): readonly string[] | undefined {
  if (!Array.isArray(value) || value.length > maxRoles) return undefined
  const roles: readonly unknown[] = [...value]
  return roles.every(role => typeof role === 'string' && isRoleName(role)) ? roles.map(String) : undefined
}

export function isName(value: unknown): value is string {
  return typeof value === 'string' && isAccountName(value)
}

/** The trail keeps it: what cannot be a name is left out. */
function nameOrNothing(value: unknown): string | undefined {
  return isName(value) ? value : undefined
}

function isReason(value: unknown): value is RejectionReason {
  return typeof value === 'string' && Object.hasOwn(reasons, value)
}

function malformed(what: string): ReadAnswer {
  return { kind: 'malformed', what }
}
