import type { HttpMechanism } from './http-mechanism.ts'
import { createIdentity, noClaims } from './identity.ts'
import type { FixedIdentityOptions } from './option.ts'

/** Who every request is, whatever it brings: for tests of what stands behind. Configuration warns of it at every start. */
export function createIdentityMechanism({ user, roles }: FixedIdentityOptions): HttpMechanism {
  const identity = createIdentity({
    id: user,
    roles,
    mechanism: 'identity',
    claims: noClaims,
    clientId: undefined,
    source: undefined,
    expiresAt: undefined,
  })
  return {
    name: 'identity',
    carries: { headers: [], query: [] },
    authenticate: () => ({ kind: 'identified', identity }),
    challenge: () => undefined,
  }
}
