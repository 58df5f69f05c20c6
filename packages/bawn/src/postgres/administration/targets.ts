import type { GrantTarget } from '../../accounts/grant.ts'
import type { DatabaseObjects } from '../sql/objects.ts'
import type { AccountRefusal } from './run.ts'
import type { WrittenTarget } from './statement.ts'

export interface TargetContext {
  /** The session's database. */
  readonly database: string
  readonly isDatabase: (name: string) => boolean
  /** Of the session's database; `undefined` where they are not known. */
  readonly objects: DatabaseObjects | undefined
  /** A denial of what is misspelt would deny nothing: only what exists can be granted and denied. */
  readonly mustExist: boolean
}

const systemSchemas = new Set(['pg_catalog', 'information_schema', 'pg_toast'])

/** Targets with everything that was left out: the session's database, and the one schema that has such a table. */
export function resolveTargets(
  written: readonly WrittenTarget[],
  context: TargetContext,
): { readonly targets: readonly GrantTarget[] } | { readonly refusal: AccountRefusal } {
  const targets: GrantTarget[] = []
  for (const one of written) {
    const resolved = resolveTarget(one, context)
    if ('code' in resolved) return { refusal: resolved }
    targets.push(resolved)
  }
  return { targets }
}

function resolveTarget(written: WrittenTarget, context: TargetContext): GrantTarget | AccountRefusal {
  if (written.kind === 'cluster') return written
  const database = written.database ?? context.database
  if (!context.isDatabase(database)) {
    const hint = 'A database goes by its name in the configuration; capitals and dashes need double quotes'
    return { code: 'postgres.unknown_database', message: `database "${database}" does not exist`, hint }
  }
  if (written.kind === 'database') return { kind: 'database', database }
  // What another database holds is not known in this session.
  const { objects } = database === context.database ? context : {}
  const mustExist = context.mustExist && database === context.database
  if (written.kind === 'schema') {
    const { schema } = written
    if (mustExist && objects?.schemas.has(schema) !== true && !systemSchemas.has(schema)) {
      return { code: 'postgres.schema_unknown', message: `schema "${schema}" does not exist` }
    }
    return { kind: 'schema', database, schema }
  }
  const { table } = written
  const known = (objects?.relations.get(table) ?? []).filter(one => one.kind !== 'i' && one.kind !== 'I')
  if (written.schema !== undefined) {
    if (mustExist && !known.some(one => one.schema === written.schema)) return missing(`${written.schema}.${table}`)
    return { kind: 'table', database, schema: written.schema, table }
  }
  const own = known.filter(one => !systemSchemas.has(one.schema))
  const [first, second] = own
  if (first === undefined) return missing(table)
  if (second !== undefined) {
    const schemas = own.map(one => one.schema).join(', ')
    return {
      code: 'postgres.account_statement',
      message: `"${table}" may mean tables of several schemas: ${schemas}`,
      hint: `Write the schema before it: ${first.schema}.${table}`,
    }
  }
  return { kind: 'table', database, schema: first.schema, table }
}

function missing(name: string): AccountRefusal {
  const hint = 'Create it before you grant on it; in another database, write database.schema.table'
  return { code: 'postgres.relation_unknown', message: `relation "${name}" does not exist`, hint }
}
