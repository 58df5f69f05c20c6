import { AccountError, type AccountStore } from './accounts/store.ts'
import type { ReadyCheck } from './admin/door.ts'
import type { Config } from './config/load.ts'
import type { Kinds } from './kinds.ts'
import type { KindSurroundings } from './plugin.ts'

type StoreEntry = Config['accounts'][string]

/** What stores are made with. */
export interface StoreParts {
  readonly kinds: Kinds
  readonly surroundings: KindSurroundings
  /** As of `AccountStoreSurroundings`. */
  readonly create: boolean
}

/** Opens a store of the configuration, whatever its kind. @throws {GatewayError} as the stores do */
export async function openAccountStore(
  name: string,
  entry: StoreEntry,
  { kinds, surroundings, create }: StoreParts,
): Promise<AccountStore> {
  const [word, options] = entry.kind === 'plugin' ? [entry.name, entry.written] : [entry.kind, entry]
  const kind = kinds.accountStores.get(word)
  if (kind === undefined) throw new TypeError(`no kind of account store is called ${word}`)
  return kind.open(options, { ...surroundings, name, create })
}

/** Opens all of them, or none. What keeps one from being asked now is said, and does not keep the gateway from starting. */
export async function openAccountStores(
  accounts: Config['accounts'],
  parts: StoreParts,
): Promise<readonly AccountStore[]> {
  const stores: AccountStore[] = []
  try {
    for (const [name, entry] of Object.entries(accounts)) stores.push(await openAccountStore(name, entry, parts))
    // A plug-in has said at its opening what there is to say; nobody is called '', and what it makes of that is not known.
    const ours = stores.filter(({ name }) => accounts[name]?.kind !== 'plugin')
    await Promise.all(ours.map(store => greet(store, parts.surroundings)))
    return stores
  } catch (error) {
    for (const store of stores) await store.close()
    throw error
  }
}

/** The first question to a store: a database gets its tables, and it shows whether a newer version has been there. */
async function greet(store: AccountStore, { log }: KindSurroundings): Promise<void> {
  try {
    await store.find('')
  } catch (error) {
    if (!(error instanceof AccountError) || error.code !== 'accounts.unavailable') throw error
    log('warn', `nobody of account store ${store.name} can log in until it can be asked: ${error.message}`)
  }
}

/** Whether a store can be asked. */
export async function storeCheck(store: AccountStore): Promise<ReadyCheck> {
  const name = `accounts ${store.name}`
  try {
    await store.find('')
    return { name, ok: true }
  } catch (error) {
    return { name, ok: false, detail: error instanceof Error ? error.message : 'it cannot be asked' }
  }
}
