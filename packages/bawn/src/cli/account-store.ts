import type { Administration } from '../accounts/grant.ts'
import { AccountError, type AccountStore, isWritable, type WritableAccountStore } from '../accounts/store.ts'
import { openAccountStore } from '../compose-accounts.ts'
import type { Config } from '../config/load.ts'
import type { Kinds } from '../kinds.ts'
import { suggest } from '../nearest.ts'
import { configOption, type Input } from './command.ts'
import { needConfiguration } from './config.ts'
import { CliError } from './error.ts'
import { partsFor } from './kinds.ts'

export const storeOption = {
  ...configOption,
  store: { value: 'NAME', help: 'which account store; needed where the configuration has several' },
} as const

interface ChosenStore {
  readonly name: string
  readonly options: Config['accounts'][string]
  readonly kinds: Kinds
}

/** @param preferred where the command line names none */
async function chosenStore(input: Input, preferred?: (config: Config) => string | undefined): Promise<ChosenStore> {
  const { config, kinds } = await needConfiguration(input)
  const { accounts } = config
  const names = Object.keys(accounts)
  if (names.length === 0) {
    const suggestion = 'Add to the configuration: accounts: { staff: { kind: sqlite, path: data/accounts.db } }'
    throw new CliError('cli.failed', 'the configuration has no account store', { suggestion })
  }
  const name = input.text('store') ?? preferred?.(config) ?? (names.length === 1 ? names[0] : undefined)
  if (name === undefined) throw new CliError('cli.usage', `which store? Add --store: one of ${names.join(', ')}`)
  const options = Object.hasOwn(accounts, name) ? accounts[name] : undefined
  if (!options) {
    const suggestion = suggest(name, names)
    throw new CliError(
      'cli.usage',
      `no account store is called "${name}"`,
      suggestion === undefined ? {} : { suggestion },
    )
  }
  return { name, options, kinds }
}

async function closing<Store extends AccountStore>(
  input: Input,
  store: Store,
  work: (store: Store) => Promise<string>,
): Promise<0> {
  try {
    input.terminal.out(await work(store))
  } finally {
    await store.close()
  }
  return 0
}

/** Runs `work` with the store that the command names, of whatever kind, and prints what it returns. */
export async function withStore(
  input: Input,
  work: (store: AccountStore) => Promise<string>,
  preferred?: (config: Config) => string | undefined,
): Promise<0> {
  const { name, options, kinds } = await chosenStore(input, preferred)
  return closing(input, await openAccountStore(name, options, partsFor(input, kinds)), work)
}

/** As `withStore`, for what changes accounts. @throws {AccountError} `accounts.read_only` */
export async function withWritableStore(
  input: Input,
  work: (store: WritableAccountStore) => Promise<string>,
  preferred?: (config: Config) => string | undefined,
): Promise<0> {
  const { name, options, kinds } = await chosenStore(input, preferred)
  const store = await openAccountStore(name, options, partsFor(input, kinds))
  if (isWritable(store)) return closing(input, store, work)
  await store.close()
  const kind = options.kind === 'plugin' ? options.name : options.kind
  throw new AccountError('accounts.read_only', `account store ${name} (${kind}) is written by somebody else`)
}

/** A store that also keeps roles and grants. */
export type GrantStore = WritableAccountStore & { readonly administration: Administration }

/** As `withWritableStore`; where the command line names no store, it is the one whose grants are enforced. */
export function withGrantStore(input: Input, work: (store: GrantStore) => Promise<string>): Promise<0> {
  return withWritableStore(
    input,
    store => {
      const { administration } = store
      if (administration !== undefined) return work({ ...store, administration })
      const suggestion = 'Stores of kind sqlite and postgres do; bawn accounts import takes users over'
      throw new CliError('cli.failed', `account store ${store.name} keeps no roles and grants`, { suggestion })
    },
    ({ grants }) => grants?.accounts,
  )
}
