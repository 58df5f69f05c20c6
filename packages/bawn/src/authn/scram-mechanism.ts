import { createHmac, createSecretKey } from 'node:crypto'
import { decoyScramVerifier, type ScramLoginKeys } from '../accounts/scram-verifier.ts'
import type { Account, AccountStore } from '../accounts/store.ts'
import { type Identity, identityOfAccount } from './identity.ts'
import { createScramExchange, type ScramFinal, type ScramFirst, type ScramMechanismName } from './scram.ts'

/** SCRAM against our own accounts. A name that is unknown, locked or without a password gets the exchange that others get. */
export interface ScramMechanism {
  /**
   * @param user the name that the client stated
   * @param login as for `createScramExchange`; with `keepKeys`, who is identified has `keys`
   * @throws what an account store throws: it cannot be decided who this is
   */
  start(
    user: string,
    login: { readonly channelBinding: Uint8Array | undefined; readonly nonce: string; readonly keepKeys?: boolean },
  ): Promise<ScramLogin>
}

/** `ScramExchange` whose end names the identity. */
export interface ScramLogin {
  readonly mechanisms: readonly ScramMechanismName[]
  first(mechanism: string, message: Uint8Array): ScramFirst
  final(message: Uint8Array): ScramLoginFinal
}

export type ScramLoginFinal =
  | {
      readonly kind: 'identified'
      readonly serverFinal: Uint8Array
      readonly identity: Identity
      /** With `keepKeys`: for one login elsewhere, then `clientKey` is to be filled with zeros. */
      readonly keys: ScramLoginKeys | undefined
    }
  | Exclude<ScramFinal, { readonly kind: 'identified' }>

/**
 * @param options.stores in order: the first that knows the name decides. All are asked for every name, so that the time of an answer
 *   does not tell which knows it.
 * @param options.decoySecret see `decoyScramVerifier`
 * @param options.decoyIterations what real accounts have
 */
export function createScramMechanism(options: {
  readonly stores: readonly AccountStore[]
  readonly decoySecret: () => Promise<Uint8Array>
  readonly decoyIterations?: number
}): ScramMechanism {
  return {
    async start(user, { channelBinding, nonce, keepKeys = false }) {
      const [secret, ...found] = await Promise.all([
        options.decoySecret(),
        ...options.stores.map(store => store.find(user)),
      ])
      const at = found.findIndex(account => account !== undefined)
      const account = found[at]
      // Made for known names too: the cost is part of the exchange.
      const iterations = options.decoyIterations ?? (await usualIterations(options.stores, secret, user))
      const decoy = decoyScramVerifier(secret, user, iterations)
      const exchange = createScramExchange({
        verifier: account?.scram ?? decoy,
        decoy: account?.scram === undefined,
        channelBinding,
        nonce,
        keepClientKey: keepKeys,
      })
      return {
        mechanisms: exchange.mechanisms,
        first: (mechanism, message) => exchange.first(mechanism, message),
        final: message => identify(exchange.final(message), account, options.stores[at]?.name),
      }
    },
  }
}

/**
 * Rounds that some account has, chosen by the name alone: verifiers that came from PostgreSQL have others than ours, and the server-first
 * message says how many.
 */
async function usualIterations(
  stores: readonly AccountStore[],
  secret: Uint8Array,
  user: string,
): Promise<number | undefined> {
  const some = await Promise.all(stores.map(store => store.decoy?.(user)))
  const rounds = some.flatMap(account => account?.scram?.iterations ?? [])
  if (rounds.length < 2) return rounds[0]
  // Of any store by chance: were it always the first, other rounds would tell the names of the second.
  const chance = createHmac('sha256', createSecretKey(secret)).update(`rounds of ${user}`).digest().readUInt32BE()
  return rounds[chance % rounds.length]
}

function identify(final: ScramFinal, account: Account | undefined, source: string | undefined): ScramLoginFinal {
  if (final.kind === 'rejected' && final.reason === 'unknown-user' && account !== undefined) {
    return { kind: 'rejected', reason: 'wrong-password', detail: 'the account has no password' }
  }
  if (final.kind !== 'identified') return final
  const { serverFinal, clientKey } = final
  if (account?.scram === undefined || account.locked) {
    clientKey?.fill(0)
    if (account === undefined) return { kind: 'rejected', reason: 'unknown-user', detail: 'no such account' }
    return { kind: 'rejected', reason: 'locked', detail: 'the account is locked' }
  }
  const identity = identityOfAccount(account, source, 'scram')
  const keys = clientKey === undefined ? undefined : { verifier: account.scram, clientKey }
  return { kind: 'identified', serverFinal, identity, keys }
}
