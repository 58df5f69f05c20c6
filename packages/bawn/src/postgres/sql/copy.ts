import type { CopyStmt } from 'libpg-query'
import type { Field } from '../../fields/field.ts'
import type { Context } from './context.ts'
import { type ColumnList, type CopyOptions, readCopyOptions } from './copy-options.ts'
import { refuseMention } from './definition.ts'
import { examine, type Setting } from './expression.ts'
import type { CopyFormat, CopyPlan, RelationColumn } from './plan.ts'
import { type Ctes, statementShape } from './query.ts'
import { Refusal } from './refusal.ts'
import { namesOf } from './tree.ts'
import { refuseDefaults, writtenTable } from './write.ts'

// COPY (manual, "SQL Commands"). Its data has no description with tables and columns as a result has, so which column is protected is
// told from the statement alone: by names that cannot mean anything else, or not at all.

const none: Ctes = new Map()

/** A column of the data. */
interface Copied {
  readonly name: string
  readonly field: Field | undefined
}

function refuse(message: string, hint: string, offset?: number): Refusal {
  return new Refusal('postgres.statement_refused', message, hint, offset)
}

/**
 * Examines a COPY that names a protected table.
 *
 * @returns `undefined` when no protected column is copied
 * @throws {Refusal}
 */
export function examineCopy(statement: CopyStmt, context: Context): CopyPlan | undefined {
  const { relation, query, filename, is_program } = statement
  const toServer = filename !== undefined || is_program === true
  if (query === undefined && relation === undefined) return undefined
  if (query === undefined && context.names.meaning(relation?.schemaname, relation?.relname ?? '').kind === 'other') {
    const setting: Setting = { context, scope: { sources: [], parent: undefined }, ctes: none, clause: 'WHERE' }
    examine(statement.whereClause, setting)
    return undefined
  }
  if (toServer) {
    throw refuse(
      'COPY of a protected table with a file or a program of the server would go past the gateway',
      'Use FROM STDIN and TO STDOUT; \\copy of psql does',
    )
  }
  const options = readCopyOptions(statement.options)
  if (query !== undefined) return copyQuery(statement, options, context)
  return statement.is_from === true ? copyIn(statement, options, context) : copyOut(statement, options, context)
}

/** The columns of a table that COPY names, or all of them: then their list is written in. */
function tableColumns(statement: CopyStmt, context: Context): readonly RelationColumn[] {
  const { relation: range, attlist } = statement
  const { target } = writtenTable(range, context)
  const { relation } = target
  if (range === undefined || relation === undefined) throw new TypeError('COPY of a table that is not protected')
  if (target.ambiguous) {
    throw refuse(
      `several schemas have a table "${target.name}", and only one of them is protected`,
      `Write the schema before the name: ${relation.schema}.${target.name}`,
      target.offset,
    )
  }
  if (attlist === undefined) {
    const columns = relation.columns.filter(column => !column.generated)
    context.columnList(range, columns)
    return columns
  }
  return (namesOf(attlist) ?? []).map(name => {
    const column = relation.columns.find(one => one.name === name)
    if (column !== undefined) return column
    throw new Refusal(
      'postgres.column_missing',
      `no column "${name}" of ${target.name} is known to the gateway`,
      'Check the name; a column that was added just now is known after the next look at the schema',
      target.offset,
    )
  })
}

function copyOut(statement: CopyStmt, options: CopyOptions, context: Context): CopyPlan | undefined {
  return planOf('out', tableColumns(statement, context), options)
}

function copyIn(statement: CopyStmt, options: CopyOptions, context: Context): CopyPlan | undefined {
  const columns = tableColumns(statement, context)
  const { target } = writtenTable(statement.relation, context)
  const { relation } = target
  if (relation === undefined) return undefined
  refuseDefaults(target, columns)
  refuseMention(statement.whereClause, relation, 'WHERE of COPY')
  const setting: Setting = { context, scope: { sources: [], parent: undefined }, ctes: none, clause: 'WHERE' }
  examine(statement.whereClause, setting)
  const plan = planOf('in', columns, options)
  if (plan !== undefined && options.default) {
    throw refuse(
      'COPY with DEFAULT would have the database fill in protected columns',
      'Leave the option out, or copy the other columns by themselves',
    )
  }
  return plan
}

/** `COPY (query) TO STDOUT`. */
function copyQuery(statement: CopyStmt, options: CopyOptions, context: Context): CopyPlan | undefined {
  const shape = statementShape(statement.query, context, undefined, none)
  const guarded = shape.columns.filter(column => column.field !== undefined)
  const [first] = guarded
  if (first === undefined) return undefined
  if (!shape.ordered) {
    throw refuse(
      `at which place ${first.origin} stands in the result cannot be told through *`,
      'Name the columns of the query instead of *',
    )
  }
  const doubtful = guarded.find(column => !column.certain)
  if (doubtful !== undefined) {
    throw refuse(
      `"${doubtful.name}" may be ${doubtful.origin} or a column of another table`,
      'Write the schema before the tables, and the table or its alias before the column',
    )
  }
  return planOf('out', shape.columns, options)
}

function planOf(
  direction: CopyPlan['direction'],
  columns: readonly Copied[],
  options: CopyOptions,
): CopyPlan | undefined {
  if (columns.every(column => column.field === undefined)) return undefined
  return { direction, format: formatOf(options, columns), columns: columns.map(column => column.field) }
}

function formatOf(options: CopyOptions, columns: readonly Copied[]): CopyFormat {
  const { delimiter, header, quote, null: mark } = options
  const places = (list: ColumnList): ReadonlySet<number> =>
    new Set(columns.flatMap(({ name }, place) => (list === 'all' || list.includes(name) ? [place] : [])))
  switch (options.format) {
    case 'binary':
      return { kind: 'binary' }
    case 'text':
      return { kind: 'text', delimiter, header, null: mark }
    case 'csv':
      return {
        kind: 'csv',
        delimiter,
        quote,
        escape: options.escape,
        header,
        null: mark,
        forceQuote: places(options.forceQuote),
        forceNull: places(options.forceNull),
        forceNotNull: places(options.forceNotNull),
      }
  }
}
