import type { PasswordCheck, PasswordOutcome } from '../accounts/password.ts'
import type { Account } from '../accounts/store.ts'
import { isLoopbackAddress } from './address.ts'
import { quotedString } from './auth-params.ts'
import { readBasic } from './basic-credentials.ts'
import type { HttpCredentials, HttpMechanism, HttpOutcome } from './http-mechanism.ts'
import { type Identity, identityOfAccount } from './identity.ts'
import type { BasicOptions } from './option.ts'

/** `recall` may be missing: then every password is checked. */
type Passwords = Pick<PasswordCheck, 'check'> & Partial<Pick<PasswordCheck, 'recall'>>

/**
 * Name and password in the Authorization header (RFC 7617). The password would be readable on the way, so without TLS it is neither asked
 * for nor looked at, but from this machine itself.
 */
export function createBasicMechanism(options: BasicOptions, passwords: Passwords): HttpMechanism {
  const challenge = `Basic realm=${quotedString(options.realm)}, charset="UTF-8"`
  const isPrivate = ({ tls, address }: HttpCredentials): boolean =>
    tls || options.insecure_http || isLoopbackAddress(address)
  /** What is recalled is the same account each time, and so the same identity. */
  const identities = new WeakMap<Account, Identity>()
  const identityOf = (account: Account, source: string): Identity => {
    const known = identities.get(account)
    if (known?.source === source) return known
    const identity = identityOfAccount(account, source, 'basic')
    identities.set(account, identity)
    return identity
  }
  const outcomeOf = (found: PasswordOutcome, claimedName: string | undefined): HttpOutcome => {
    switch (found.kind) {
      case 'correct':
        return { kind: 'identified', identity: identityOf(found.account, found.source) }
      case 'wrong':
        return { kind: 'rejected', reason: found.reason, claimedName }
      case 'throttled':
        return { kind: 'throttled', retryAfterMs: found.retryAfterMs, claimedName }
    }
  }
  return {
    name: 'basic',
    carries: { headers: ['authorization'], query: [] },
    authenticate(credentials) {
      const basic = readBasic(credentials)
      if (basic === undefined) return { kind: 'absent' }
      if (basic === 'malformed') return { kind: 'rejected', reason: 'malformed' }
      // A name without a password may be a key that another mechanism would know, and the trail keeps names.
      const claimedName = basic.password === '' ? undefined : basic.user
      if (!isPrivate(credentials)) return { kind: 'rejected', reason: 'untrusted', claimedName }
      const { user, password } = basic
      const known = passwords.recall?.(user, password, credentials.address)
      if (known !== undefined) return outcomeOf(known, claimedName)
      return passwords.check(user, password, credentials.address).then(found => outcomeOf(found, claimedName))
    },
    challenge: credentials => (isPrivate(credentials) ? challenge : undefined),
  }
}
