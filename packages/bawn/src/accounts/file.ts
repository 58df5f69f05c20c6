import { closeSync, fstatSync, openSync, readFileSync, type Stats, statSync } from 'node:fs'
import { CredentialVersion } from './credential-version.ts'
import { digestHash, type HashedName } from './digest-verifier.ts'
import { parseHtpasswd } from './htpasswd.ts'
import { type Account, AccountError, type AccountStore } from './store.ts'
import type { UserEntry } from './user-entry.ts'
import { parseUsersYml } from './users-yml.ts'
import { verifiersText } from './verifier.ts'

export type UserFileFormat = 'users_yml' | 'htpasswd'

export interface FileAccountsOptions {
  readonly name: string
  readonly path: string
  readonly format: UserFileFormat
  /** What everybody in an htpasswd file has. */
  readonly roles: readonly string[]
  /** Monotonic, in ms: `performance.now`. */
  readonly now: () => number
}

/** A file is looked at once in this time at most. */
const lookAgainMs = 1_000

/** @throws {AccountError} `accounts.bad_file` */
export function parseUserFile(
  path: string,
  format: UserFileFormat,
  bytes: Uint8Array,
  roles: readonly string[],
): readonly UserEntry[] {
  switch (format) {
    case 'users_yml':
      return parseUsersYml(path, bytes)
    case 'htpasswd':
      return parseHtpasswd(path, bytes, roles)
  }
}

/**
 * Users in a file that somebody else writes; it is read again when it has changed. While it is missing or cannot be read, nobody in it
 * can log in, and nobody is told that a password is wrong.
 *
 * @throws {AccountError} `accounts.unavailable`, `accounts.bad_file`
 */
export function openFileAccounts(options: FileAccountsOptions): AccountStore {
  const { name, path, format, now } = options
  let known = read(options)
  let lookedAt = now()

  const current = (): UserFile => {
    const at = now()
    if (at - lookedAt < lookAgainMs) return known
    // Set only when all went well: after a failure the next login looks again.
    const stats = guarded(options, () => statSync(path))
    if (versionOf(stats) !== known.version) known = read(options)
    lookedAt = at
    return known
  }
  const readOnly = () =>
    Promise.reject(new AccountError('accounts.read_only', `account store ${name} is the file ${path} (${format})`))

  return {
    name,
    find: async user => current().accounts.get(user),
    version: () => current().version,
    // The next in the order of names that has a password, as chance as the name itself.
    decoy: async user => {
      const { namesWithPassword: names, accounts } = current()
      return accounts.get(names[firstAfter(names, user)] ?? names[0] ?? '')
    },
    findHashed: async hashed => {
      const { hashedNames, accounts } = current()
      return accounts.get(hashedNames(hashed).get(hashed.hash) ?? '')
    },
    list: async () => [...current().accounts.values()],
    add: readOnly,
    setVerifier: readOnly,
    close: async () => {},
  }
}

interface UserFile {
  readonly version: string
  readonly accounts: ReadonlyMap<string, Account>
  /** Sorted. */
  readonly namesWithPassword: readonly string[]
  /** Names by their hashes, made when somebody asks for the first. */
  hashedNames(of: Omit<HashedName, 'hash'>): ReadonlyMap<string, string>
}

function read(options: FileAccountsOptions): UserFile {
  const { path, format, roles } = options
  return guarded(options, () => {
    const descriptor = openSync(path, 'r')
    try {
      // Of the open file: another may be moved into its place meanwhile.
      const version = versionOf(fstatSync(descriptor))
      const accounts = new Map(
        parseUserFile(path, format, readFileSync(descriptor), roles).map(entry => [
          entry.name,
          {
            name: entry.name,
            roles: entry.roles,
            scram: undefined,
            password: entry.password,
            credential: new CredentialVersion(verifiersText({ password: entry.password })),
            locked: false,
          },
        ]),
      )
      const names = [...accounts.keys()].sort()
      const namesWithPassword = names.filter(name => accounts.get(name)?.password !== undefined)
      return { version, accounts, namesWithPassword, hashedNames: hashesOf(names) }
    } finally {
      closeSync(descriptor)
    }
  })
}

/** A configuration has one realm; each of its algorithms has a table. */
function hashesOf(names: readonly string[]): UserFile['hashedNames'] {
  const tables = new Map<string, ReadonlyMap<string, string>>()
  return ({ realm, algorithm }) => {
    const key = `${algorithm} ${realm}`
    const known = tables.get(key)
    if (known !== undefined) return known
    const table = new Map(names.map(name => [digestHash(algorithm, `${name}:${realm}`), name]))
    tables.set(key, table)
    return table
  }
}

function versionOf({ mtimeMs, ctimeMs, size, ino }: Stats): string {
  return `${mtimeMs} ${ctimeMs} ${size} ${ino}`
}

function guarded<Result>({ name, path }: FileAccountsOptions, work: () => Result): Result {
  try {
    return work()
  } catch (cause) {
    if (cause instanceof AccountError) throw cause
    throw new AccountError('accounts.unavailable', `account store ${name} (${path}) cannot be read`, { cause })
  }
}

/** Index of the first name greater than `user`; the length when there is none. */
function firstAfter(names: readonly string[], user: string): number {
  let [low, high] = [0, names.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((names[middle] ?? '') > user) high = middle
    else low = middle + 1
  }
  return low
}
