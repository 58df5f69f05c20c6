import { openFileAccounts } from './file.ts'
import type { AccountStoreOptions } from './option.ts'
import { openSqliteAccounts } from './sqlite.ts'
import type { AccountStore } from './store.ts'

/** Opens a store of the configuration, whatever its kind. @throws {AccountError} as the stores do */
export function openAccountStore(name: string, options: AccountStoreOptions): AccountStore {
  switch (options.kind) {
    case 'sqlite':
      return openSqliteAccounts({ name, path: options.path })
    case 'file':
      return openFileAccounts({ name, ...options, now: () => performance.now() })
  }
}

/** Opens all of them, or none. */
export async function openAccountStores(
  accounts: Readonly<Record<string, AccountStoreOptions>>,
): Promise<readonly AccountStore[]> {
  const stores: AccountStore[] = []
  try {
    for (const [name, options] of Object.entries(accounts)) stores.push(openAccountStore(name, options))
    return stores
  } catch (error) {
    for (const store of stores) await store.close()
    throw error
  }
}
