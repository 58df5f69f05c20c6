import { type AccountStore, findAccount } from '../accounts/store.ts'
import { identityOfAccount, type Outcome } from './identity.ts'

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
      const found = await findAccount(stores, user)
      if (found === undefined) return { kind: 'rejected', reason: 'unknown-user' }
      if (found.account.locked) return { kind: 'rejected', reason: 'locked' }
      return { kind: 'identified', identity: identityOfAccount(found.account, found.source, 'trust') }
    },
  }
}
