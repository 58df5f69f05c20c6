import { rowFilterSql } from '../row-filter-sql.ts'
import { type Command, configOption } from './command.ts'
import { needConfig } from './config.ts'
import { CliError } from './error.ts'
import { databaseOf } from './grant-target.ts'

const rls: Command = {
  name: 'rls',
  summary: 'print SQL that puts a database’s row filters in place',
  options: {
    ...configOption,
    database: { value: 'NAME', short: 'd', help: 'a database of the configuration (default: the only one)' },
  },
  notes: ['Run it as the owner of the tables: bawn rls | psql. It may be run again, and changes nothing else.'],
  async run(input) {
    const config = await needConfig(input)
    const database = databaseOf(input, Object.keys(config.databases))
    const sql = await rowFilterSql(config, database)
    if (sql === undefined) {
      const suggestion = 'Add to the database: row_filters: [{ name: own, table: public.orders, rows: […] }]'
      throw new CliError('cli.failed', `database ${database} has no row_filters`, { suggestion })
    }
    input.terminal.out(sql)
    return 0
  },
}

export const commands: readonly Command[] = [rls]
