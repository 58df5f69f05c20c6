import { composeRowFilters } from './compose-databases.ts'
import type { Config } from './config/load.ts'
import { policySql } from './postgres/row-filters/policy-sql.ts'

/** SQL that puts the row filters of a database in place; `undefined` where it has none. @throws {RowFilterError} (rejects with) */
export async function rowFilterSql(config: Config, database: string): Promise<string | undefined> {
  const options = config.databases[database]
  const filters = options === undefined ? [] : await composeRowFilters(options, config)
  return filters.length === 0 ? undefined : policySql(filters)
}
