import { readFileSync, statSync } from 'node:fs'
import type { AccountSource, AccountStoreKind, OptionsSchema, Plugin, WrittenAccount } from 'bawn'

// An account store: users in a CSV file, which somebody else writes and which is read again when it has changed.
//
//   name,roles,verifier,locked
//   olga,support staff,"$argon2id$v=19$m=65536,t=3,p=4$…$…",

interface CsvOptions {
  /** Relative to the configuration file. */
  readonly path: string
}

const options: OptionsSchema<CsvOptions> = {
  '~standard': {
    version: 1,
    vendor: 'csv-accounts',
    validate(value) {
      if (typeof value !== 'object' || value === null) return { issues: [{ message: 'must be a set of keys' }] }
      const { path, ...others }: { path?: unknown } = value
      const issues = Object.keys(others).map(name => ({ message: 'there is only path', path: [name] }))
      if (typeof path !== 'string' || path === '') issues.push({ message: 'must name a file', path: ['path'] })
      return issues.length > 0 || typeof path !== 'string' ? { issues } : { value: { path } }
    },
  },
}

const maxFileBytes = 16 * 1_048_576

/**
 * The rows of a CSV file (RFC 4180): fields between commas, in double quotes where they hold a comma, a quote or a line break.
 *
 * @returns `undefined` when a quote is not closed, or stands where none may
 */
export function parseCsv(text: string): readonly (readonly string[])[] | undefined {
  const rows: string[][] = []
  // A field and what ends it; sticky, so that nothing is ever skipped.
  const field = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/y
  let row: string[] = []
  while (field.lastIndex < text.length || row.length > 0) {
    const [, quoted, plain = '', end] = field.exec(text) ?? []
    if (end === undefined) return undefined
    row.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'))
    if (end === ',') continue
    rows.push(row)
    row = []
  }
  return rows
}

const columns = ['name', 'roles', 'verifier', 'locked']

/** @throws when the file says something that cannot be meant: then nobody of it can be judged */
export function parseAccounts(text: string): ReadonlyMap<string, WrittenAccount> {
  const [head, ...rows] = parseCsv(text) ?? []
  if (head?.join() !== columns.join()) throw new Error('no CSV file of accounts')
  const accounts = new Map<string, WrittenAccount>()
  for (const [name = '', roles = '', verifier = '', locked = '', ...more] of rows) {
    // An empty line has one empty field.
    if (name === '' && roles === '' && verifier === '') continue
    if (accounts.has(name) || more.length > 0 || !['', 'locked'].includes(locked)) throw new Error('a bad row')
    accounts.set(name, {
      name,
      roles: roles.split(' ').filter(role => role !== ''),
      // The gateway reads them, and does not know the account when it cannot.
      verifiers: verifier === '' ? [] : [verifier],
      locked: locked === 'locked',
    })
  }
  return accounts
}

function openCsv(path: string): AccountSource {
  let version = ''
  let accounts: ReadonlyMap<string, WrittenAccount> = new Map()
  let names: readonly string[] = []
  /** Throws while the file is missing or wrong: it is not known then who somebody is, and nobody is told that a password is wrong. */
  const current = (): ReadonlyMap<string, WrittenAccount> => {
    const { mtimeMs, ctimeMs, size, ino } = statSync(path)
    const now = `${mtimeMs} ${ctimeMs} ${size} ${ino}`
    if (now === version) return accounts
    if (size > maxFileBytes) throw new Error('too large')
    accounts = parseAccounts(readFileSync(path, 'utf8'))
    names = [...accounts.keys()].sort()
    version = now
    return accounts
  }
  current()
  return {
    find: async user => current().get(user),
    // The next name in order: as much chance as in the unknown name itself, and the same each time.
    decoy: async user => current().get(names.find(name => name > user) ?? names[0] ?? ''),
    list: async () => [...current().values()],
  }
}

const csv: AccountStoreKind<CsvOptions> = {
  kind: 'csv',
  options,
  open: ({ path }, surroundings) => openCsv(surroundings.path(path)),
}

const plugin: Plugin = { name: 'csv-accounts', api: 1, accountStores: [csv] }
export default plugin
