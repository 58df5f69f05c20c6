import type { IntoClause, Node, ResTarget, SelectStmt, WithClause } from 'libpg-query'
import type { Context } from './context.ts'
import { examine, protectedColumn, refuseOutputs, rowRefusal, type Setting } from './expression.ts'
import { fromItems } from './from.ts'
import { Refusal } from './refusal.ts'
import { refuseTextField } from './running-text.ts'
import { type Column, expandStar, isGuarded, rename, resolve, type Scope, type Shape, unknownShape } from './scope.ts'
import { searchAlone } from './search.ts'
import { namesOf, offsetOf, reference } from './tree.ts'
import { writeShape } from './write.ts'

/** A `WITH` query by its name: what it yields; `unready` while those after it in a `WITH RECURSIVE` are not known yet. */
export type Cte = Shape | 'unready'
export type Ctes = ReadonlyMap<string, Cte>

/** A column of no table: an expression's result. */
function result(name: string): Column {
  return { name, field: undefined, origin: name, certain: true }
}

/** `{ SelectStmt }`, or a writing statement with `RETURNING` in a `WITH`. */
export function statementShape(node: Node | undefined, context: Context, parent: Scope | undefined, ctes: Ctes): Shape {
  if (node === undefined) return unknownShape
  if ('SelectStmt' in node) return selectShape(node.SelectStmt, context, parent, ctes)
  return writeShape(node, context, parent, ctes)
}

/** The `WITH` queries that a statement sees: those around it and its own. */
export function withQueries(
  clause: WithClause | undefined,
  context: Context,
  parent: Scope | undefined,
  around: Ctes,
): Ctes {
  if (clause === undefined) return around
  const ctes = new Map(around)
  const list = (clause.ctes ?? []).flatMap(node => ('CommonTableExpr' in node ? [node.CommonTableExpr] : []))
  if (clause.recursive === true) for (const cte of list) ctes.set(cte.ctename ?? '', 'unready')
  for (const cte of list) {
    const name = cte.ctename ?? ''
    // A recursive query is a set operation, and those yield no protected column (or are refused): so neither does its own name.
    if (clause.recursive === true) ctes.set(name, unknownShape)
    const shape = statementShape(cte.ctequery, context, parent, ctes)
    const names = namesOf(cte.aliascolnames) ?? []
    if (isGuarded(shape) && (cte.search_clause !== undefined || cte.cycle_clause !== undefined)) {
      refuseOutputs(shape.columns, `WITH "${name}" with SEARCH or CYCLE`, cte.location)
    }
    if (isGuarded(shape) && clause.recursive === true && selfReferring(cte.ctequery, name)) {
      refuseOutputs(shape.columns, `the recursive WITH "${name}"`, cte.location)
    }
    ctes.set(name, renamed(shape, names, cte.location))
  }
  return ctes
}

function selfReferring(query: Node | undefined, name: string): boolean {
  return JSON.stringify(query ?? {}).includes(JSON.stringify({ relname: name }).slice(1, -1))
}

/** @throws {Refusal} when the names cannot be matched with columns whose order is not known */
export function renamed(shape: Shape, names: readonly string[], offset: number | undefined): Shape {
  if (names.length > 0 && isGuarded(shape) && !shape.ordered) {
    throw new Refusal(
      'postgres.statement_refused',
      'a list of column names stands over a query with * whose columns are not all known',
      'Name the columns in the query instead of *',
      offset,
    )
  }
  return rename(shape, names)
}

/** One item of a target list or of RETURNING; a protected column may stand there by itself. */
function target(item: ResTarget, setting: Setting): Shape {
  const { val } = item
  const offset = offsetOf(item)
  if (val !== undefined && 'ColumnRef' in val) {
    const parts = reference(val.ColumnRef)
    if (parts?.star === true) return expandStar(parts.names, setting.scope)
    if (parts !== undefined) {
      if (parts.names.length > 1) refuseTextField(parts.names, setting.context.names, offset)
      const found = resolve(parts.names, setting.scope, offset)
      if (found.kind === 'row') throw rowRefusal(`"${found.source.alias}"`, offset)
      const name = item.name ?? parts.names.at(-1) ?? ''
      const column = found.kind === 'protected' ? { ...found.column, name } : result(name)
      return { columns: [column], ordered: true, open: false }
    }
  }
  if (val !== undefined && 'TypeCast' in val && val.TypeCast.arg !== undefined && 'ColumnRef' in val.TypeCast.arg) {
    const parts = reference(val.TypeCast.arg.ColumnRef)
    const found = parts === undefined || parts.star ? undefined : resolve(parts.names, setting.scope, offset)
    if (found?.kind === 'protected') {
      throw new Refusal(
        'postgres.column_protected',
        `a cast of ${found.column.origin} would yield its ciphertext`,
        `Select ${found.column.name} without the cast: it arrives opened, as ${found.field.type}`,
        offset,
      )
    }
  }
  examine(val, setting)
  // The name PostgreSQL makes up for an expression without alias is not worked out here.
  return { columns: [result(item.name ?? '')], ordered: true, open: item.name === undefined }
}

/** What a target list yields. */
export function targetList(nodes: readonly Node[] | undefined, setting: Setting): Shape {
  const shapes = (nodes ?? []).map(node => ('ResTarget' in node ? target(node.ResTarget, setting) : unknownShape))
  return {
    columns: shapes.flatMap(shape => shape.columns),
    ordered: shapes.every(shape => shape.ordered),
    open: shapes.some(shape => shape.open),
  }
}

/** `ORDER BY`, `GROUP BY`, `DISTINCT ON`: an expression, an output's number or an output's name. */
function key(node: Node, outputs: Shape, setting: Setting): void {
  const expression = 'SortBy' in node ? node.SortBy.node : node
  if (expression === undefined) return
  if ('GroupingSet' in expression) {
    for (const item of expression.GroupingSet.content ?? []) key(item, outputs, setting)
    return
  }
  // GROUP BY (1, e) is GROUP BY 1, e.
  if ('RowExpr' in expression && setting.clause === 'GROUP BY') {
    for (const item of expression.RowExpr.args ?? []) key(item, outputs, setting)
    return
  }
  if ('A_Const' in expression && expression.A_Const.ival !== undefined) {
    const ordinal = outputs.columns[(expression.A_Const.ival.ival ?? 0) - 1]
    const meant = outputs.ordered ? (ordinal === undefined ? [] : [ordinal]) : outputs.columns
    refuseKeys(meant, setting, offsetOf(expression.A_Const))
    return
  }
  if ('ColumnRef' in expression) {
    const parts = reference(expression.ColumnRef)
    const named = parts?.names.length === 1 ? outputs.columns.filter(column => column.name === parts.names[0]) : []
    const isKey = setting.clause === 'GROUP BY' || setting.clause === 'DISTINCT ON'
    // GROUP BY looks at the input's names first; DISTINCT ON at the output's, which may show the column itself.
    if (isKey && (setting.clause === 'GROUP BY' ? named.length === 0 : showsOnly(named, expression, setting))) {
      if (searchAlone(expression, setting)) return
    }
    refuseKeys(named, setting, offsetOf(expression.ColumnRef))
    // ORDER BY goes by the output's name first, GROUP BY by the input's.
    if (named.length > 0 && setting.clause === 'ORDER BY') return
  }
  examine(expression, setting)
}

/** Is each of the outputs the very column that a reference means? */
function showsOnly(outputs: readonly Column[], node: Node, setting: Setting): boolean {
  const found = protectedColumn(node, setting)
  return outputs.every(
    output => found !== undefined && output.field === found.field && output.origin === found.column.origin,
  )
}

function refuseKeys(columns: readonly Column[], setting: Setting, offset: number | undefined): void {
  const column = columns.find(item => item.field !== undefined)
  if (column === undefined) return
  throw new Refusal(
    'postgres.column_protected',
    `${column.origin} is encrypted and cannot be used in ${setting.clause}`,
    `Leave ${column.name} out of ${setting.clause}: the order and equality of ciphertexts mean nothing`,
    offset,
  )
}

/** @throws {Refusal} when a column of UNION ALL would be protected in some of its rows only, or by several fields */
function refuseMixture(left: Shape, right: Shape): void {
  if (!isGuarded(left) && !isGuarded(right)) return
  const alike =
    left.ordered &&
    right.ordered &&
    left.columns.length === right.columns.length &&
    left.columns.every((column, index) => column.field === right.columns[index]?.field)
  if (alike) return
  refuseOutputs([...left.columns, ...right.columns], 'UNION ALL with a column that is not of the same field', undefined)
}

function setOperation(select: SelectStmt, context: Context, parent: Scope | undefined, ctes: Ctes): Shape {
  const name = (select.op ?? 'SETOP_UNION').replace('SETOP_', '')
  const empty: Scope = { sources: [], parent }
  const [left, right] = [select.larg, select.rarg].map(side => {
    if (side === undefined) return unknownShape
    const shape = selectShape(side, context, parent, ctes)
    // A view's columns are recognised by the view's own numbers; those of UNION ALL alone have none.
    if (!context.follows || name !== 'UNION' || select.all !== true) {
      refuseOutputs(shape.columns, `a query joined by ${name}`, undefined)
    }
    return shape
  })
  if (left !== undefined && right !== undefined) refuseMixture(left, right)
  for (const node of select.sortClause ?? []) {
    key(node, unknownShape, { context, scope: empty, ctes, clause: 'ORDER BY' })
  }
  examine([select.limitCount, select.limitOffset], { context, scope: empty, ctes, clause: 'LIMIT' })
  return left ?? right ?? unknownShape
}

/** What is done to the rows of a simple query, outside of its target list. */
function clauses(select: SelectStmt, outputs: Shape, setting: Setting): void {
  const within = (clause: string): Setting => ({ ...setting, clause })
  const distinct = select.distinctClause ?? []
  // Plain DISTINCT is a list of one empty node.
  const plainDistinct = distinct.length > 0 && distinct.every(node => Object.keys(node).length === 0)
  if (plainDistinct) refuseKeys(outputs.columns, within('DISTINCT'), undefined)
  else for (const node of distinct) key(node, outputs, within('DISTINCT ON'))
  for (const node of select.groupClause ?? []) key(node, outputs, within('GROUP BY'))
  for (const node of select.sortClause ?? []) key(node, outputs, within('ORDER BY'))
  examine(select.havingClause, within('HAVING'))
  examine(select.windowClause, within('WINDOW'))
  examine([select.limitCount, select.limitOffset], within('LIMIT'))
}

/**
 * A query whose result becomes a table.
 *
 * @throws {Refusal} when the result is protected, or the new table has the name of a protected one: its values would not be sealed
 */
export function storedInto(into: IntoClause | undefined, outputs: Shape, context: Context, what: string): void {
  if (into === undefined) return
  const { rel = {} } = into
  refuseOutputs(outputs.columns, what, offsetOf(rel))
  if (context.names.meaning(rel.schemaname, rel.relname ?? '').kind === 'other') return
  throw new Refusal(
    'postgres.statement_refused',
    `${what} would fill the protected table "${rel.relname}" with values that are not sealed`,
    'Create the table with CREATE TABLE, then INSERT',
    offsetOf(rel),
  )
}

/**
 * Examines a query and tells what it yields.
 *
 * @param parent the scope around a sub-select
 * @throws {Refusal}
 */
export function selectShape(select: SelectStmt, context: Context, parent: Scope | undefined, around: Ctes): Shape {
  const ctes = withQueries(select.withClause, context, parent, around)
  if (select.op !== undefined && select.op !== 'SETOP_NONE') return setOperation(select, context, parent, ctes)
  if (select.valuesLists !== undefined) {
    const scope: Scope = { sources: [], parent }
    examine(select.valuesLists, { context, scope, ctes, clause: 'VALUES' })
    examine([select.sortClause, select.limitCount, select.limitOffset], { context, scope, ctes, clause: 'VALUES' })
    const [first] = select.valuesLists
    const count = first !== undefined && 'List' in first ? (first.List.items?.length ?? 0) : 0
    const columns = Array.from({ length: count }, (_, index) => result(`column${index + 1}`))
    return { columns, ordered: true, open: false }
  }
  const scope: Scope = { sources: fromItems(select.fromClause, context, parent, ctes), parent }
  const setting: Setting = { context, scope, ctes, clause: 'the target list' }
  examine(select.whereClause, { ...setting, clause: 'WHERE' })
  const outputs = targetList(select.targetList, setting)
  clauses(select, outputs, setting)
  storedInto(select.intoClause, outputs, context, 'SELECT INTO')
  return outputs
}
