import type { AccountStore } from './accounts/store.ts'
import type { Config } from './config/load.ts'
import type { Kinds } from './kinds.ts'
import type { KindSurroundings } from './plugin.ts'

type StoreEntry = Config['accounts'][string]

/** What stores are made with. */
export interface StoreParts {
  readonly kinds: Kinds
  readonly surroundings: KindSurroundings
}

/** Opens a store of the configuration, whatever its kind. @throws {GatewayError} as the stores do */
export async function openAccountStore(
  name: string,
  entry: StoreEntry,
  { kinds, surroundings }: StoreParts,
): Promise<AccountStore> {
  const [word, options] = entry.kind === 'plugin' ? [entry.name, entry.written] : [entry.kind, entry]
  const kind = kinds.accountStores.get(word)
  if (kind === undefined) throw new TypeError(`no kind of account store is called ${word}`)
  return kind.open(options, { ...surroundings, name })
}

/** Opens all of them, or none. */
export async function openAccountStores(
  accounts: Config['accounts'],
  parts: StoreParts,
): Promise<readonly AccountStore[]> {
  const stores: AccountStore[] = []
  try {
    for (const [name, entry] of Object.entries(accounts)) stores.push(await openAccountStore(name, entry, parts))
    return stores
  } catch (error) {
    for (const store of stores) await store.close()
    throw error
  }
}
