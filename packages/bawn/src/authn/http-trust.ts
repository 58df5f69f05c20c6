import type { HttpMechanism } from './http-mechanism.ts'
import { createIdentity, noClaims } from './identity.ts'
import type { TrustOptions } from './option.ts'

/**
 * Proves nothing: who a request is that brings no Authorization header. One that does wants to be somebody else, and is not made this one in silence.
 * Configuration warns of it at every start.
 */
export function createHttpTrustMechanism({ user, roles }: TrustOptions): HttpMechanism {
  const identity = createIdentity({
    id: user,
    roles,
    mechanism: 'trust',
    claims: noClaims,
    clientId: undefined,
    source: undefined,
    expiresAt: undefined,
  })
  return {
    name: 'trust',
    carries: { headers: [], query: [] },
    authenticate: ({ authorization }) =>
      authorization.length > 0 ? { kind: 'absent' } : { kind: 'identified', identity },
    challenge: () => undefined,
  }
}
