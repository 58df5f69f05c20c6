import type { PasswordCheck } from '../accounts/password.ts'
import { isLoopbackAddress } from './address.ts'
import { quotedString } from './auth-params.ts'
import { readBasic } from './basic-credentials.ts'
import type { HttpCredentials, HttpMechanism } from './http-mechanism.ts'
import { identityOfAccount } from './identity.ts'
import type { BasicOptions } from './option.ts'

/**
 * Name and password in the Authorization header (RFC 7617). The password would be readable on the way, so without TLS it is neither asked
 * for nor looked at, but from this machine itself.
 */
export function createBasicMechanism(options: BasicOptions, passwords: Pick<PasswordCheck, 'check'>): HttpMechanism {
  const challenge = `Basic realm=${quotedString(options.realm)}, charset="UTF-8"`
  const isPrivate = ({ tls, address }: HttpCredentials): boolean =>
    tls || options.insecure_http || isLoopbackAddress(address)
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
      return passwords.check(basic.user, basic.password, credentials.address).then(found => {
        switch (found.kind) {
          case 'correct':
            return { kind: 'identified', identity: identityOfAccount(found.account, found.source, 'basic') }
          case 'wrong':
            return { kind: 'rejected', reason: found.reason, claimedName }
          case 'throttled':
            return { kind: 'throttled', retryAfterMs: found.retryAfterMs, claimedName }
        }
      })
    },
    challenge: credentials => (isPrivate(credentials) ? challenge : undefined),
  }
}
