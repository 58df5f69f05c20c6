import { randomBytes } from 'node:crypto'
import { deriveScramVerifier } from '../accounts/scram-verifier.ts'
import { openSqliteAccounts, type SqliteAccountStore } from '../accounts/sqlite.ts'
import type { ScramVerifier } from '../accounts/store.ts'
import { AccountError } from '../accounts/store.ts'
import { suggest } from '../nearest.ts'
import { type Command, configOption, type Input, jsonOption } from './command.ts'
import { needConfig } from './config.ts'
import { CliError } from './error.ts'
import { readPipe, readSecret } from './secret-input.ts'

const storeOption = {
  ...configOption,
  store: { value: 'NAME', help: 'which account store; needed where the configuration has several' },
} as const

const passwordOption = {
  'password-stdin': { help: 'read the password from standard input, also at a terminal' },
} as const

/** Shorter ones are guessed at the door, whatever the verifier costs (NIST SP 800-63B section 5.1.1). */
const minPasswordCharacters = 8

function openStore(input: Input): SqliteAccountStore {
  const { accounts } = needConfig(input)
  const names = Object.keys(accounts)
  if (names.length === 0) {
    const suggestion = 'Add to the configuration: accounts: { staff: { kind: sqlite, path: data/accounts.db } }'
    throw new CliError('cli.failed', 'the configuration has no account store', { suggestion })
  }
  const name = input.text('store') ?? (names.length === 1 ? names[0] : undefined)
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
  return openSqliteAccounts({ name, path: options.path })
}

async function withStore(input: Input, work: (store: SqliteAccountStore) => Promise<string>): Promise<0> {
  const store = openStore(input)
  try {
    input.terminal.out(await work(store))
  } finally {
    await store.close()
  }
  return 0
}

async function newVerifier(input: Input): Promise<ScramVerifier> {
  const { terminal } = input
  const password = input.flag('password-stdin')
    ? await readPipe(terminal)
    : await readSecret(terminal, 'Password', true)
  if ([...password].length < minPasswordCharacters) {
    throw new CliError('cli.failed', `a password has at least ${minPasswordCharacters} characters`)
  }
  return deriveScramVerifier(password, randomBytes(16))
}

const nameOf = (input: Input): string => input.positionals[0] ?? ''

/** The account must be there before a password is asked for. */
async function known(store: SqliteAccountStore, user: string): Promise<void> {
  if ((await store.find(user)) !== undefined) return
  throw new AccountError('accounts.not_found', `account store ${store.name} has no account "${user}"`)
}

const passwordNote = 'The password is asked for without echo, or read from standard input: one line.'

const add: Command = {
  name: 'accounts add',
  summary: 'add a user',
  positionals: ['NAME'],
  options: {
    ...storeOption,
    ...passwordOption,
    role: { value: 'ROLE', many: true, help: 'a role of the user' },
    'no-password': { help: 'for a user who logs in with a certificate only' },
  },
  notes: [passwordNote],
  run: input =>
    withStore(input, async store => {
      const name = nameOf(input)
      if ((await store.find(name)) !== undefined) {
        throw new AccountError('accounts.exists', `account store ${store.name} has "${name}" already`)
      }
      const scram = input.flag('no-password') ? undefined : await newVerifier(input)
      const roles = input.list('role')
      await store.add({ name, roles, scram, locked: false })
      return `added ${name} (${roles.length > 0 ? `roles ${roles.join(', ')}` : 'no roles'})\n`
    }),
}

const list: Command = {
  name: 'accounts list',
  summary: 'list the users and their roles',
  options: { ...storeOption, ...jsonOption },
  run: input =>
    withStore(input, async store => {
      const accounts = await store.list()
      if (input.flag('json')) {
        const rows = accounts.map(({ name, roles, scram, locked }) => ({
          name,
          roles,
          password: scram !== undefined,
          locked,
        }))
        return `${JSON.stringify(rows)}\n`
      }
      const width = Math.max(4, ...accounts.map(account => account.name.length)) + 2
      const lines = accounts.map(account => {
        const marks = [account.locked ? 'locked' : '', account.scram ? '' : 'no password'].filter(Boolean)
        return `${account.name.padEnd(width)}${account.roles.join(', ') || '–'}${marks.map(mark => `  (${mark})`).join('')}`
      })
      return `${lines.join('\n')}${lines.length > 0 ? '\n' : ''}${lines.length} ${lines.length === 1 ? 'account' : 'accounts'} in ${store.name}\n`
    }),
}

const passwd: Command = {
  name: 'accounts passwd',
  summary: 'give a user a new password',
  positionals: ['NAME'],
  options: { ...storeOption, ...passwordOption },
  notes: [passwordNote],
  run: input =>
    withStore(input, async store => {
      await known(store, nameOf(input))
      await store.setVerifier(nameOf(input), await newVerifier(input))
      return `${nameOf(input)} has a new password\n`
    }),
}

const lockCommand = (verb: 'lock' | 'unlock'): Command => ({
  name: `accounts ${verb}`,
  summary: verb === 'lock' ? 'keep a user out, without losing the account' : 'let a locked user in again',
  positionals: ['NAME'],
  options: storeOption,
  run: input =>
    withStore(input, async store => {
      await store.setLocked(nameOf(input), verb === 'lock')
      return `${nameOf(input)} is ${verb}ed\n`
    }),
})

const remove: Command = {
  name: 'accounts remove',
  summary: 'remove a user',
  positionals: ['NAME'],
  options: storeOption,
  run: input =>
    withStore(input, async store => {
      await store.remove(nameOf(input))
      return `removed ${nameOf(input)}\n`
    }),
}

const roles: Command = {
  name: 'accounts roles',
  summary: 'print the roles of a user, or set them',
  positionals: ['NAME', 'ROLE?…'],
  options: { ...storeOption, none: { help: 'take all roles away' } },
  run: input =>
    withStore(input, async store => {
      const [name = '', ...wanted] = input.positionals
      if (wanted.length > 0 || input.flag('none')) await store.setRoles(name, wanted)
      const account = await store.find(name)
      if (!account) throw new AccountError('accounts.not_found', `account store ${store.name} has no account "${name}"`)
      return `${account.roles.join(' ') || '(no roles)'}\n`
    }),
}

export const commands: readonly Command[] = [
  add,
  list,
  passwd,
  lockCommand('lock'),
  lockCommand('unlock'),
  remove,
  roles,
]
