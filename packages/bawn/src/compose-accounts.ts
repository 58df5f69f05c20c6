import type { AccountStoreOptions } from './accounts/option.ts'
import type { AccountStore } from './accounts/store.ts'
import type { Kinds } from './kinds.ts'
import type { KindSurroundings } from './plugin.ts'

/** What stores are made with. */
export interface StoreParts {
  readonly kinds: Kinds
  readonly surroundings: KindSurroundings
}

/** Opens a store of the configuration, whatever its kind. @throws {GatewayError} as the stores do */
export async function openAccountStore(
  name: string,
  options: AccountStoreOptions,
  { kinds, surroundings }: StoreParts,
): Promise<AccountStore> {
  const kind = kinds.accountStores.get(options.kind)
  if (kind === undefined) throw new TypeError(`no kind of account store is called ${options.kind}`)
  return kind.open(options, { ...surroundings, name })
}

/** Opens all of them, or none. */
export async function openAccountStores(
  accounts: Readonly<Record<string, AccountStoreOptions>>,
  parts: StoreParts,
): Promise<readonly AccountStore[]> {
  const stores: AccountStore[] = []
  try {
    for (const [name, options] of Object.entries(accounts)) stores.push(await openAccountStore(name, options, parts))
    return stores
  } catch (error) {
    for (const store of stores) await store.close()
    throw error
  }
}
