import { type GrantTarget, type Privilege, privileges } from '../accounts/grant.ts'
import { isPrivilege, isTarget } from '../accounts/grant-target.ts'
import type { Config } from '../config/load.ts'
import { suggest } from '../nearest.ts'
import type { Input, OptionSpec } from './command.ts'
import { CliError } from './error.ts'

/** What a privilege is on, as options of a command. */
export const targetOptions = {
  cluster: { help: 'everything behind the gateway' },
  database: { value: 'NAME', help: 'a database of the configuration (default: the only one)' },
  schema: { value: 'NAME', help: 'a schema, spelt as the database has it' },
  table: { value: 'NAME', help: 'a table or view, spelt as the database has it; needs --schema' },
} as const satisfies Record<string, OptionSpec>

export const targetNote =
  'Names are taken as they are: SQL makes small letters of names without quotes, so the table is people and not People.'

/** @throws {CliError} `cli.usage`: nothing is taken for the cluster because something was left out */
export function targetOf(input: Input, config: Config): GrantTarget {
  const [schema, table] = [input.text('schema'), input.text('table')]
  if (input.flag('cluster')) {
    const other = ['database', 'schema', 'table'].find(name => input.text(name) !== undefined)
    if (other !== undefined) throw new CliError('cli.usage', `--cluster is everything: leave out --${other}`)
    return { kind: 'cluster' }
  }
  if (table !== undefined && schema === undefined)
    throw new CliError('cli.usage', `in which schema is ${table}? Add --schema`)
  if (schema === undefined && input.text('database') === undefined) {
    const suggestion = 'Add --schema and --table, or --schema, or --database, or --cluster for everything'
    throw new CliError('cli.usage', 'on what?', { suggestion })
  }
  const database = databaseOf(input, Object.keys(config.databases))
  const target: GrantTarget =
    schema === undefined
      ? { kind: 'database', database }
      : table === undefined
        ? { kind: 'schema', database, schema }
        : { kind: 'table', database, schema, table }
  if (!isTarget(target)) throw new CliError('cli.usage', 'a name of PostgreSQL has 1 to 63 bytes')
  return target
}

/** The database that is named, or the only one. @throws {CliError} `cli.usage` */
export function databaseOf(input: Input, names: readonly string[]): string {
  const name = input.text('database') ?? (names.length === 1 ? names[0] : undefined)
  if (name === undefined) {
    throw new CliError('cli.usage', `which database? Add --database: one of ${names.join(', ')}`)
  }
  if (names.includes(name)) return name
  const suggestion = suggest(name, names)
  throw new CliError(
    'cli.usage',
    `no database is called "${name}" in the configuration`,
    suggestion === undefined ? {} : { suggestion },
  )
}

/** Reads `DQL,DML` or `ALL`. @throws {CliError} `cli.usage` */
export function privilegesOf(text: string, target: GrantTarget): readonly Privilege[] {
  const words = text.toUpperCase().split(',')
  // Whoever may do everything with a schema does not administer accounts: that is of the cluster alone.
  const all = privileges.filter(privilege => privilege !== 'AL' || target.kind === 'cluster')
  const found = words.flatMap(word => {
    if (word === 'ALL') return all
    if (isPrivilege(word)) return [word]
    throw new CliError('cli.usage', `"${word}" is none of ${privileges.join(', ')}, ALL`)
  })
  if (found.includes('AL') && target.kind !== 'cluster')
    throw new CliError('cli.usage', 'AL is about the accounts of the whole gateway: add --cluster')
  return [...new Set(found)]
}
