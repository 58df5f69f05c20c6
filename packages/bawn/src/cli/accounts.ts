import { describeDigestVerifiers } from '../accounts/digest-verifier.ts'
import type { Principal } from '../accounts/grant.ts'
import {
  type Account,
  AccountError,
  type AccountStore,
  type StoredAccount,
  type WritableAccountStore,
} from '../accounts/store.ts'
import { type Verifiers, whyNoPassword } from '../accounts/verifier.ts'
import { storeOption, withStore, withWritableStore } from './account-store.ts'
import { entryRow, entryTable, grantCommands, grantedTo } from './accounts-grants.ts'
import { importAccounts } from './accounts-import.ts'
import { type Command, type Input, jsonOption } from './command.ts'
import { digestNote, digestOption, digestRealmOf, withDigest } from './digest-option.ts'
import { CliError } from './error.ts'
import { readPipe, readSecret } from './secret-input.ts'
import { printable } from './terminal-text.ts'

const passwordOption = {
  'password-stdin': { help: 'read the password from standard input, also at a terminal' },
} as const

async function newVerifiers(input: Input, store: WritableAccountStore): Promise<Verifiers> {
  const { terminal } = input
  const digest = await digestRealmOf(input, store)
  const password = input.flag('password-stdin')
    ? await readPipe(terminal)
    : await readSecret(terminal, 'Password', true)
  const fault = whyNoPassword(password)
  if (fault !== undefined) throw new CliError('cli.failed', fault)
  return withDigest(await store.derive(password), nameOf(input), password, digest)
}

const nameOf = (input: Input): string => input.positionals[0] ?? ''

/** The account must be there before a password is asked for. */
async function known(store: WritableAccountStore, user: string): Promise<void> {
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
    ...digestOption,
    role: { value: 'ROLE', many: true, help: 'a role of the user' },
    'no-password': { help: 'for a user who logs in with a certificate only' },
  },
  notes: [passwordNote, digestNote],
  run: input =>
    withWritableStore(input, async store => {
      const name = nameOf(input)
      if ((await store.find(name)) !== undefined) {
        throw new AccountError('accounts.exists', `account store ${store.name} has "${name}" already`)
      }
      const none = { scram: undefined, password: undefined }
      const verifiers = input.flag('no-password') ? none : await newVerifiers(input, store)
      const roles = input.list('role')
      await store.add({ name, roles, ...verifiers, locked: false })
      return `added ${name} (${roles.length > 0 ? `roles ${roles.join(', ')}` : 'no roles'})\n`
    }),
}

/** Whatever the store keeps: of a file that is users alone. */
async function principalsOf(store: AccountStore): Promise<readonly Principal[]> {
  if (store.administration !== undefined) return store.administration.principals()
  return (await store.list()).map(({ name, roles, scram, password, locked }) => ({
    name,
    kind: 'user',
    roles,
    hasPassword: scram !== undefined || password !== undefined,
    locked,
  }))
}

const list: Command = {
  name: 'accounts list',
  summary: 'list the users and roles, and who has which role',
  options: { ...storeOption, ...jsonOption },
  run: input =>
    withStore(input, async store => {
      const principals = await principalsOf(store)
      if (input.flag('json')) {
        const rows = principals.map(({ name, kind, roles, hasPassword, locked }) => ({
          name,
          kind,
          roles,
          password: hasPassword,
          locked,
        }))
        return `${JSON.stringify(rows)}\n`
      }
      const width = Math.max(4, ...principals.map(({ name }) => name.length)) + 2
      const lines = principals.map(({ name, kind, roles, hasPassword, locked }) => {
        const marks = [
          kind === 'role' ? 'role' : '',
          locked ? 'locked' : '',
          hasPassword || kind === 'role' ? '' : 'no password',
        ].filter(Boolean)
        return `${name.padEnd(width)}${roles.join(', ') || '–'}${marks.map(mark => `  (${mark})`).join('')}`
      })
      const roles = principals.filter(({ kind }) => kind === 'role').length
      const users = principals.length - roles
      const counted = `${users} ${users === 1 ? 'account' : 'accounts'}${roles === 0 ? '' : ` and ${roles} ${roles === 1 ? 'role' : 'roles'}`}`
      return `${lines.join('\n')}${lines.length > 0 ? '\n' : ''}${counted} in ${store.name}\n`
    }),
}

/** What an account is checked by, in words; what it is checked against is nobody's business. */
function describeVerifiers({ scram, password, digest }: Account): readonly string[] {
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
  const digests = digest === undefined ? [] : describeDigestVerifiers(digest)
  const texts = [
    clear(),
    scram && `SCRAM-SHA-256 (${scram.iterations} iterations)`,
    ...digests.map(
      ({ algorithm, realm }) => `digest ${algorithm} for realm "${realm}" (as good as the password there)`,
    ),
  ]
  return texts.filter(text => text !== undefined)
}

const dateOf = (ms: number | undefined): string | undefined =>
  ms === undefined ? undefined : new Date(ms).toISOString()

/** Every entry of the store, whoever has it. */
async function showAll(input: Input, store: AccountStore): Promise<string> {
  if (store.administration === undefined) {
    throw new AccountError('accounts.read_only', `account store ${store.name} holds no grants`)
  }
  const grants = [...(await store.administration.snapshot()).grants.values()].flat()
  if (!input.flag('json')) return entryTable(grants, false)
  return `${JSON.stringify(grants.map(grant => ({ grantee: grant.grantee, ...entryRow(grant) })))}\n`
}

const show: Command = {
  name: 'accounts show',
  summary: 'show one user or role: roles, grants, how the password is kept; without a name every grant',
  positionals: ['NAME?'],
  options: { ...storeOption, ...jsonOption },
  run(input) {
    const [wanted] = input.positionals
    if (wanted === undefined)
      return withStore(
        input,
        store => showAll(input, store),
        ({ grants }) => grants?.accounts,
      )
    return withStore(input, async store => {
      const granted = store.administration && (await grantedTo(store.administration, wanted))
      const account: (Account & Partial<StoredAccount>) | undefined = await store.find(wanted)
      const role = account === undefined && granted?.principal?.kind === 'role' ? granted.principal : undefined
      const { name, roles, locked } = account ?? role ?? {}
      if (name === undefined || roles === undefined) {
        throw new AccountError('accounts.not_found', `account store ${store.name} has no account "${wanted}"`)
      }
      const verifiers = account === undefined ? [] : describeVerifiers(account)
      const [created, changed] = [dateOf(account?.createdAt), dateOf(account?.passwordChangedAt)]
      const grants = granted?.grants ?? []
      if (input.flag('json')) {
        const common = { name, store: store.name, kind: role === undefined ? 'user' : 'role' }
        const own =
          role === undefined
            ? { roles, locked, verifiers, created, password_changed: changed }
            : { roles, granted_to: granted?.holders ?? [] }
        const entries = granted === undefined ? {} : { grants: grants.map(entryRow) }
        return `${JSON.stringify({ ...common, ...own, ...entries })}\n`
      }
      const direct = account?.granted ?? roles
      const inherited = roles.filter(one => !direct.includes(one))
      const rows: readonly (readonly [string, string | undefined])[] = [
        [role === undefined ? 'name' : 'role', printable(name)],
        ['store', store.name],
        ['roles', direct.join(', ') || '–'],
        ['by its roles', inherited.length === 0 ? undefined : inherited.join(', ')],
        ...(role === undefined
          ? ([
              ['password', verifiers.join(', ') || 'none'],
              ['locked', locked ? 'yes' : 'no'],
              ['added', created],
              ['password set', changed],
            ] as const)
          : ([['granted to', granted?.holders.map(printable).join(', ') || '–']] as const)),
      ]
      const lines = rows.map(([label, text]) => (text === undefined ? '' : `${label.padEnd(14)}${text}\n`)).join('')
      return grants.length === 0 ? lines : `${lines}\n${entryTable(grants, true)}`
    })
  },
}

const passwd: Command = {
  name: 'accounts passwd',
  summary: 'give a user a new password',
  positionals: ['NAME'],
  options: { ...storeOption, ...passwordOption, ...digestOption },
  notes: [passwordNote, digestNote, 'Tokens and open sessions of the user end.'],
  run: input =>
    withWritableStore(input, async store => {
      await known(store, nameOf(input))
      await store.setVerifier(nameOf(input), await newVerifiers(input, store))
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
      return `${account.granted.join(' ') || '(no roles)'}\n`
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
  ...grantCommands,
]
