import { AccountError, type AccountStore } from './accounts/store.ts'
import type { Config } from './config/load.ts'
import { createGrantGate, type OpenGrantGate } from './policy/grant-gate.ts'
import type { LogEntry } from './postgres/state.ts'

/**
 * The gate of the configuration's grants; `undefined` where it has none. Their store may be away: nothing is decided until it is back.
 *
 * @throws {AccountError} `accounts.read_only`
 */
export async function composeGrants(
  config: Config,
  stores: readonly AccountStore[],
  log: (entry: LogEntry) => void,
): Promise<OpenGrantGate | undefined> {
  if (config.grants === undefined) return undefined
  const { accounts, superusers } = config.grants
  const administration = stores.find(({ name }) => name === accounts)?.administration
  if (administration === undefined) {
    throw new AccountError('accounts.read_only', `account store ${accounts} holds no grants`)
  }
  return createGrantGate({
    administration,
    superusers,
    now: () => performance.now(),
    mayBeAway: true,
    onFailure: cause =>
      log({ level: 'error', message: `the grants in ${accounts} cannot be read`, requestId: '-', cause }),
  })
}
