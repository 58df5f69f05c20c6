import type {
  DeleteStmt,
  InsertStmt,
  Node,
  OnConflictClause,
  ReturningClause,
  SelectStmt,
  UpdateStmt,
} from 'libpg-query'
import { assignments, isCopy, placeValue, type Target, uncertain } from './assign.ts'
import type { Context } from './context.ts'
import { examine, refuseOutputs, type Setting } from './expression.ts'
import { fromItems } from './from.ts'
import type { RelationColumn } from './plan.ts'
import { type Ctes, selectShape, targetList, withQueries } from './query.ts'
import { Refusal } from './refusal.ts'
import { type Column, type Scope, type Shape, type Source, unknownShape } from './scope.ts'
import { offsetOf, reference } from './tree.ts'
import { isConstant } from './value.ts'

const nothing: Shape = { columns: [], ordered: true, open: false }

/** The written table as a FROM item, and as the target of values. */
export function writtenTable(
  range: InsertStmt['relation'],
  context: Context,
): { readonly source: Source; readonly target: Target } {
  const found = range === undefined ? undefined : context.table(range)
  const alias = range?.alias?.aliasname ?? range?.relname ?? ''
  const source = found ?? { ...unknownShape, alias, schema: range?.schemaname, relation: undefined }
  const ambiguous = found?.columns.some(column => !column.certain) === true
  const name = range?.relname ?? 'this table'
  return {
    source,
    target: {
      relation: found?.relation,
      name,
      ambiguous,
      place: found?.columns[0]?.place,
      offset: offsetOf(range ?? {}),
    },
  }
}

function returning(
  clause: ReturningClause | undefined,
  written: Source,
  sources: readonly Source[],
  outer: Omit<Setting, 'scope' | 'clause'> & { readonly parent: Scope | undefined },
): Shape {
  if (clause === undefined) return nothing
  let [old, now] = ['old', 'new']
  for (const node of clause.options ?? []) {
    if (!('ReturningOption' in node)) continue
    const { option, value } = node.ReturningOption
    if (option === 'RETURNING_OPTION_OLD') old = value ?? old
    else now = value ?? now
  }
  const versions = [old, now].map(alias => ({ ...written, alias, schema: undefined, qualifiedOnly: true }))
  const scope: Scope = { sources: [...sources, ...versions], parent: outer.parent }
  return targetList(clause.exprs, { context: outer.context, ctes: outer.ctes, scope, clause: 'RETURNING' })
}

function insertedColumns(insert: InsertStmt, target: Target, count: number): readonly (RelationColumn | undefined)[] {
  const all = target.relation?.columns ?? []
  if (insert.cols === undefined) return all.slice(0, count)
  return insert.cols.map(node => {
    const { name, indirection, location } = 'ResTarget' in node ? node.ResTarget : {}
    const column = all.find(item => item.name === name)
    if (column?.field !== undefined && indirection !== undefined) {
      throw new Refusal(
        'postgres.statement_refused',
        `a part of ${target.name}.${column.name} cannot be written: it is one encrypted value`,
        'Write the column as a whole',
        location,
      )
    }
    return column
  })
}

/** A default is stored as it is, unsealed. */
export function refuseDefaults(target: Target, named: readonly (RelationColumn | undefined)[]): void {
  const column = target.relation?.columns.find(
    item => item.field !== undefined && item.hasDefault && !named.includes(item),
  )
  if (column === undefined) return
  throw new Refusal(
    'postgres.statement_refused',
    `${target.name}.${column.name} has a default, which the database would store unencrypted`,
    `Name ${column.name} in the statement with a value or NULL, or drop its default`,
    target.offset,
  )
}

/** `INSERT … VALUES`: every row's values by their place. */
function insertRows(
  rows: readonly Node[],
  columns: readonly (RelationColumn | undefined)[],
  target: Target,
  setting: Setting,
): void {
  for (const row of rows) {
    const values = 'List' in row ? (row.List.items ?? []) : []
    values.forEach((value, index) => {
      placeValue(value, columns[index], target, setting)
    })
  }
}

/** `INSERT … SELECT` whose outputs go into protected columns: the same field's column, a literal or a parameter, by place. */
function insertQuery(
  select: SelectStmt,
  columns: readonly (RelationColumn | undefined)[],
  target: Target,
  byPlace: boolean,
  context: Context,
  parent: Scope | undefined,
  ctes: Ctes,
): void {
  const targets = select.targetList ?? []
  const star = targets.some(
    node => 'ResTarget' in node && node.ResTarget.val !== undefined && isStar(node.ResTarget.val),
  )
  if (star && target.relation !== undefined && (byPlace || columns.some(column => column?.field !== undefined))) {
    throw new Refusal(
      'postgres.statement_refused',
      `which column of the query goes into which of ${target.name} cannot be told through *`,
      'Name the columns of the query instead of *',
      target.offset,
    )
  }
  const simple =
    (select.op ?? 'SETOP_NONE') === 'SETOP_NONE' &&
    select.valuesLists === undefined &&
    select.distinctClause === undefined
  const placed = targets.flatMap((node, index) => {
    const column = columns[index]
    const val = 'ResTarget' in node ? node.ResTarget.val : undefined
    return simple && column?.field !== undefined && val !== undefined && isConstant(val) ? [{ index, column, val }] : []
  })
  const skipped = new Set(placed.map(item => item.index))
  // Constants that will be sealed are taken out, so that they are not examined as plain ones.
  const blank: Node = { ResTarget: { val: { A_Const: { isnull: true } } } }
  const rest = { ...select, targetList: targets.map((node, index) => (skipped.has(index) ? blank : node)) }
  const shape = selectShape(simple ? rest : select, context, parent, ctes)
  const setting: Setting = { context, scope: { sources: [], parent }, ctes, clause: 'INSERT' }
  for (const { column, val } of placed) placeValue(val, column, target, setting)
  const length = Math.max(columns.length, shape.columns.length)
  for (let index = 0; index < length; index++) {
    if (!skipped.has(index)) copy(shape.columns[index], columns[index], target)
  }
}

function isStar(node: Node): boolean {
  return 'ColumnRef' in node && reference(node.ColumnRef)?.star === true
}

function copy(from: Column | undefined, to: RelationColumn | undefined, target: Target): void {
  if (to?.field === undefined) {
    if (from !== undefined)
      refuseOutputs([from], `INSERT into ${target.name}, where its field is not declared`, target.offset)
    return
  }
  if (isCopy(from, to.field, target)) return
  if (from !== undefined && from.field === to.field && !target.ambiguous) throw uncertain(from, target.offset)
  throw new Refusal(
    'postgres.statement_refused',
    `${target.name}.${to.name} would get a value of a query, which cannot be sealed on its way`,
    `Insert literals or parameters, or select a column of the same field (${to.field.name})`,
    target.offset,
  )
}

function conflict(clause: OnConflictClause | undefined, written: Source, target: Target, outer: Setting): void {
  if (clause === undefined) return
  const scope: Scope = { sources: [written], parent: outer.scope.parent }
  const setting: Setting = { ...outer, scope, clause: 'ON CONFLICT' }
  for (const node of clause.infer?.indexElems ?? []) {
    const name = 'IndexElem' in node ? node.IndexElem.name : undefined
    const column = written.columns.find(item => item.name === name && item.field !== undefined)
    if (column !== undefined) {
      throw new Refusal(
        'postgres.column_protected',
        `${column.origin} is encrypted: equal values have different ciphertexts, so it never conflicts`,
        'Use another unique column in ON CONFLICT',
        target.offset,
      )
    }
    examine(node, setting)
  }
  examine(clause.infer?.whereClause, setting)
  const excluded: Source = { ...written, alias: 'excluded', schema: undefined }
  const within: Setting = {
    ...outer,
    scope: { sources: [written, excluded], parent: outer.scope.parent },
    clause: 'ON CONFLICT DO UPDATE',
  }
  assignments(clause.targetList, target, within)
  examine(clause.whereClause, { ...within, clause: 'WHERE' })
}

function insert(statement: InsertStmt, context: Context, parent: Scope | undefined, around: Ctes): Shape {
  const ctes = withQueries(statement.withClause, context, parent, around)
  const { source, target } = writtenTable(statement.relation, context)
  const select =
    statement.selectStmt !== undefined && 'SelectStmt' in statement.selectStmt
      ? statement.selectStmt.SelectStmt
      : undefined
  const setting: Setting = { context, scope: { sources: [], parent }, ctes, clause: 'VALUES' }
  const [row] = select?.valuesLists ?? []
  const rows = select?.valuesLists
  const count =
    row === undefined ? (select?.targetList?.length ?? 0) : 'List' in row ? (row.List.items?.length ?? 0) : 0
  const columns = insertedColumns(statement, target, count)
  if (target.relation !== undefined) refuseDefaults(target, columns)
  const isPlainValues =
    select?.withClause === undefined &&
    select?.sortClause === undefined &&
    select?.limitCount === undefined &&
    select?.limitOffset === undefined
  if (rows !== undefined && isPlainValues) insertRows(rows, columns, target, setting)
  else if (select !== undefined)
    insertQuery(select, columns, target, statement.cols === undefined, context, parent, ctes)
  if (
    statement.cols === undefined &&
    select !== undefined &&
    target.relation !== undefined &&
    statement.relation !== undefined
  ) {
    context.columnList(statement.relation, target.relation.columns.slice(0, columns.length))
  }
  conflict(statement.onConflictClause, source, target, setting)
  return returning(statement.returningClause, source, [source], { context, ctes, parent })
}

function update(statement: UpdateStmt, context: Context, parent: Scope | undefined, around: Ctes): Shape {
  const ctes = withQueries(statement.withClause, context, parent, around)
  const { source, target } = writtenTable(statement.relation, context)
  const sources = fromItems(statement.fromClause, context, parent, ctes, [source])
  const setting: Setting = { context, scope: { sources, parent }, ctes, clause: 'SET' }
  assignments(statement.targetList, target, setting)
  examine(statement.whereClause, { ...setting, clause: 'WHERE' })
  return returning(statement.returningClause, source, sources, { context, ctes, parent })
}

function remove(statement: DeleteStmt, context: Context, parent: Scope | undefined, around: Ctes): Shape {
  const ctes = withQueries(statement.withClause, context, parent, around)
  const { source } = writtenTable(statement.relation, context)
  const sources = fromItems(statement.usingClause, context, parent, ctes, [source])
  examine(statement.whereClause, { context, scope: { sources, parent }, ctes, clause: 'WHERE' })
  return returning(statement.returningClause, source, sources, { context, ctes, parent })
}

/**
 * Examines an INSERT, UPDATE or DELETE and tells what its RETURNING yields.
 *
 * @throws {Refusal}
 */
export function writeShape(node: Node, context: Context, parent: Scope | undefined, ctes: Ctes): Shape {
  if ('InsertStmt' in node) return insert(node.InsertStmt, context, parent, ctes)
  if ('UpdateStmt' in node) return update(node.UpdateStmt, context, parent, ctes)
  if ('DeleteStmt' in node) return remove(node.DeleteStmt, context, parent, ctes)
  throw new Refusal(
    'postgres.statement_refused',
    `${Object.keys(node).join().replace('Stmt', '').toUpperCase()} is not understood beside a protected table`,
    'Use SELECT, INSERT (with ON CONFLICT), UPDATE and DELETE',
  )
}
