import type { AccountStore } from '../accounts/store.ts'
import { createIdentity, type Outcome } from './identity.ts'

/** Believes whatever name is stated, if an account has it. For machines where everybody may be anybody; the configuration warns of it. */
export interface TrustMechanism {
  /**
   * @param user the name that the client states
   * @throws what an account store throws: it cannot be decided who this is
   */
  authenticate(user: string): Promise<Outcome>
}

/** @param stores in order: the first that knows the name decides; roles come from there */
export function createTrustMechanism(stores: readonly AccountStore[]): TrustMechanism {
  return {
    async authenticate(user) {
      for (const store of stores) {
        const account = await store.find(user)
        if (account === undefined) continue
        if (account.locked) return { kind: 'rejected', reason: 'locked' }
        const identity = createIdentity({
          id: account.name,
          roles: account.roles,
          claims: Object.freeze(Object.create(null)),
          clientId: undefined,
          mechanism: 'trust',
          source: store.name,
          expiresAt: undefined,
        })
        return { kind: 'identified', identity }
      }
      return { kind: 'rejected', reason: 'unknown-user' }
    },
  }
}
