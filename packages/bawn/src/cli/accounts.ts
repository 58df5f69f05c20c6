import type { SqliteAccountStore, StoredAccount } from '../accounts/sqlite.ts'
import { type Account, AccountError } from '../accounts/store.ts'
import { deriveVerifiers, type Verifiers } from '../accounts/verifier.ts'
import { storeOption, withStore, withWritableStore } from './account-store.ts'
import { importAccounts } from './accounts-import.ts'
import { type Command, type Input, jsonOption } from './command.ts'
import { CliError } from './error.ts'
import { readPipe, readSecret } from './secret-input.ts'
import { printable } from './terminal-text.ts'

const passwordOption = {
  'password-stdin': { help: 'read the password from standard input, also at a terminal' },
} as const

/** Shorter ones are guessed at the door, whatever the verifier costs (NIST SP 800-63B section 5.1.1). */
const minPasswordCharacters = 8

async function newVerifiers(input: Input): Promise<Verifiers> {
  const { terminal } = input
  const password = input.flag('password-stdin')
    ? await readPipe(terminal)
    : await readSecret(terminal, 'Password', true)
  if ([...password].length < minPasswordCharacters) {
    throw new CliError('cli.failed', `a password has at least ${minPasswordCharacters} characters`)
  }
  return deriveVerifiers(password)
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
    withWritableStore(input, async store => {
      const name = nameOf(input)
      if ((await store.find(name)) !== undefined) {
        throw new AccountError('accounts.exists', `account store ${store.name} has "${name}" already`)
      }
      const none = { scram: undefined, password: undefined }
      const verifiers = input.flag('no-password') ? none : await newVerifiers(input)
      const roles = input.list('role')
      await store.add({ name, roles, ...verifiers, locked: false })
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
        const rows = accounts.map(({ name, roles, scram, password, locked }) => ({
          name,
          roles,
          password: scram !== undefined || password !== undefined,
          locked,
        }))
        return `${JSON.stringify(rows)}\n`
      }
      const width = Math.max(4, ...accounts.map(account => account.name.length)) + 2
      const lines = accounts.map(account => {
        const marks = [account.locked ? 'locked' : '', account.scram || account.password ? '' : 'no password'].filter(
          Boolean,
        )
        return `${account.name.padEnd(width)}${account.roles.join(', ') || '–'}${marks.map(mark => `  (${mark})`).join('')}`
      })
      return `${lines.join('\n')}${lines.length > 0 ? '\n' : ''}${lines.length} ${lines.length === 1 ? 'account' : 'accounts'} in ${store.name}\n`
    }),
}

/** What an account is checked by, in words; what it is checked against is nobody's business. */
function describeVerifiers({ scram, password }: Account): readonly string[] {
  const clear = (): string | undefined => {
    switch (password?.kind) {
      case 'argon2id':
        return `argon2id (${password.memoryKib} KiB, ${password.passes} passes)`
      case 'bcrypt':
        return `bcrypt (cost ${password.cost})`
      case 'pbkdf2-sha512':
        return `PBKDF2-SHA512 (${password.iterations} iterations)`
      case 'apr1':
        return 'Apache MD5 (weak)'
      case 'sha1':
        return 'SHA-1 (weak)'
      case 'plain':
        return 'in clear (weak)'
      case undefined:
        return undefined
    }
  }
  const texts = [clear(), scram && `SCRAM-SHA-256 (${scram.iterations} iterations)`]
  return texts.filter(text => text !== undefined)
}

const dateOf = (ms: number | undefined): string | undefined =>
  ms === undefined ? undefined : new Date(ms).toISOString()

const show: Command = {
  name: 'accounts show',
  summary: 'show one user: roles, how the password is kept, when it was changed',
  positionals: ['NAME'],
  options: { ...storeOption, ...jsonOption },
  run: input =>
    withStore(input, async store => {
      const account: (Account & Partial<StoredAccount>) | undefined = await store.find(nameOf(input))
      if (!account) {
        const name = nameOf(input)
        throw new AccountError('accounts.not_found', `account store ${store.name} has no account "${name}"`)
      }
      const { name, roles, locked } = account
      const verifiers = describeVerifiers(account)
      const [created, changed] = [dateOf(account.createdAt), dateOf(account.passwordChangedAt)]
      if (input.flag('json')) {
        const times = { created, password_changed: changed }
        return `${JSON.stringify({ name, store: store.name, roles, locked, verifiers, ...times })}\n`
      }
      const rows: readonly (readonly [string, string | undefined])[] = [
        ['name', printable(name)],
        ['store', store.name],
        ['roles', roles.join(', ') || '–'],
        ['password', verifiers.join(', ') || 'none'],
        ['locked', locked ? 'yes' : 'no'],
        ['added', created],
        ['password set', changed],
      ]
      return rows.map(([label, text]) => (text === undefined ? '' : `${label.padEnd(14)}${text}\n`)).join('')
    }),
}

const passwd: Command = {
  name: 'accounts passwd',
  summary: 'give a user a new password',
  positionals: ['NAME'],
  options: { ...storeOption, ...passwordOption },
  notes: [passwordNote],
  run: input =>
    withWritableStore(input, async store => {
      await known(store, nameOf(input))
      await store.setVerifier(nameOf(input), await newVerifiers(input))
      return `${nameOf(input)} has a new password\n`
    }),
}

const lockCommand = (verb: 'lock' | 'unlock'): Command => ({
  name: `accounts ${verb}`,
  summary: verb === 'lock' ? 'keep a user out, without losing the account' : 'let a locked user in again',
  positionals: ['NAME'],
  options: storeOption,
  run: input =>
    withWritableStore(input, async store => {
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
    withWritableStore(input, async store => {
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
    withWritableStore(input, async store => {
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
  show,
  importAccounts,
  passwd,
  lockCommand('lock'),
  lockCommand('unlock'),
  remove,
  roles,
]
