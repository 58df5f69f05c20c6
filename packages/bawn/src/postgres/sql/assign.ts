import type { Node, ResTarget } from 'libpg-query'
import type { Field } from '../../fields/field.ts'
import { examine, refuseOutputs, type Setting } from './expression.ts'
import type { ProtectedRelation, RelationColumn } from './plan.ts'
import { selectShape } from './query.ts'
import { Refusal } from './refusal.ts'
import { type Column, type Place, resolve } from './scope.ts'
import { offsetOf, reference } from './tree.ts'
import { isConstant, placeConstant } from './value.ts'

/** The table that values go into. */
export interface Target {
  /** `undefined` where nothing in it is protected. */
  readonly relation: ProtectedRelation | undefined
  readonly name: string
  /** Could the name mean another table? Then nothing may be sealed into it. */
  readonly ambiguous: boolean
  readonly place: Place | undefined
  readonly offset: number | undefined
}

function refuseExpression(
  column: RelationColumn,
  field: Field,
  target: Target,
  what: string,
  offset: number | undefined,
): Refusal {
  return new Refusal(
    'postgres.statement_refused',
    `${target.name}.${column.name} would get ${what}, which cannot be sealed`,
    `Send the value itself, as a literal or a parameter, or copy a column of the same field (${field.name})`,
    offset ?? target.offset,
  )
}

/** A name that is only possibly the protected column: nothing is rewritten or copied by it. */
export function uncertain(column: Column, offset: number | undefined): Refusal {
  return new Refusal(
    'postgres.statement_refused',
    `"${column.name}" may be ${column.origin} or a column of another table`,
    'Write the schema before the tables, both read and written, and the table or its alias before the column',
    offset,
  )
}

/** What a value is, for messages. */
const described: { readonly [kind: string]: string | undefined } = {
  FuncCall: 'the result of a function',
  A_Expr: 'the result of an operator',
  CaseExpr: 'the result of CASE',
  CoalesceExpr: 'the result of COALESCE',
  SubLink: 'the result of a sub-select',
  ColumnRef: 'another column',
  SetToDefault: 'its default',
  TypeCast: 'the result of a cast',
  SQLValueFunction: 'the result of a function',
}

/** May the column be copied as it is? Of the same field, and surely so on both sides: within one row, or by schema and name. */
export function isCopy(from: Column | undefined, field: Field, target: Target): boolean {
  if (from === undefined || from.field !== field || !from.certain || target.ambiguous) return false
  const { place } = from
  return place !== undefined && (place === target.place || (place.exact && target.place?.exact === true))
}

/**
 * Plans the value that a column gets, of INSERT or UPDATE.
 *
 * @param column `undefined` where the column is not protected for sure
 */
export function placeValue(value: Node, column: RelationColumn | undefined, target: Target, setting: Setting): void {
  const field = column?.field
  if (column === undefined || field === undefined) {
    examine(value, setting)
    return
  }
  if (target.ambiguous) {
    throw new Refusal(
      'postgres.statement_refused',
      `several schemas have a table "${target.name}", and only one of them is protected`,
      `Write the schema before the name: ${target.relation?.schema ?? 'schema'}.${target.name}`,
      target.offset,
    )
  }
  if (isConstant(value)) {
    placeConstant(setting.context, value, { field, column: `${target.name}.${column.name}`, as: 'sealed' })
    return
  }
  if ('SetToDefault' in value && !column.hasDefault) return
  if ('ColumnRef' in value) {
    const parts = reference(value.ColumnRef)
    const found =
      parts === undefined || parts.star ? undefined : resolve(parts.names, setting.scope, offsetOf(value.ColumnRef))
    if (found?.kind === 'protected' && isCopy(found.column, field, target)) return
    if (found?.kind === 'protected' && found.field === field) throw uncertain(found.column, offsetOf(value.ColumnRef))
    throw refuseExpression(column, field, target, described['ColumnRef'] ?? '', offsetOf(value.ColumnRef))
  }
  if ('SubLink' in value && value.SubLink.subLinkType === 'EXPR_SUBLINK') {
    const { subselect } = value.SubLink
    if (subselect !== undefined && 'SelectStmt' in subselect) {
      const shape = selectShape(subselect.SelectStmt, setting.context, setting.scope, setting.ctes)
      if (shape.ordered && shape.columns.length === 1 && isCopy(shape.columns[0], field, target)) return
    }
  }
  const [kind = ''] = Object.keys(value)
  throw refuseExpression(column, field, target, described[kind] ?? 'the result of an expression', undefined)
}

/** `(a, b) = (SELECT …)`: by place, as for one column. */
function placeQuery(
  source: Node,
  columns: readonly (RelationColumn | undefined)[],
  target: Target,
  setting: Setting,
): void {
  if (!('SubLink' in source) || source.SubLink.subselect === undefined || !('SelectStmt' in source.SubLink.subselect)) {
    examine(source, setting)
    const guarded = columns.find(column => column?.field !== undefined)
    if (guarded?.field !== undefined) throw refuseExpression(guarded, guarded.field, target, 'part of a row', undefined)
    return
  }
  const shape = selectShape(source.SubLink.subselect.SelectStmt, setting.context, setting.scope, setting.ctes)
  if (!shape.ordered) refuseOutputs(shape.columns, `SET of ${target.name}`, target.offset)
  columns.forEach((column, index) => {
    const from = shape.columns[index]
    if (column?.field === undefined) {
      if (from !== undefined) refuseOutputs([from], `SET of ${target.name}`, target.offset)
    } else if (!shape.ordered || !isCopy(from, column.field, target)) {
      throw refuseExpression(column, column.field, target, described['SubLink'] ?? '', undefined)
    }
  })
}

function targetColumn(item: ResTarget, target: Target): RelationColumn | undefined {
  const column = target.relation?.columns.find(known => known.name === item.name)
  if (column?.field !== undefined && item.indirection !== undefined) {
    throw new Refusal(
      'postgres.statement_refused',
      `a part of ${target.name}.${column.name} cannot be written: it is one encrypted value`,
      'Write the column as a whole',
      offsetOf(item),
    )
  }
  return column
}

/** `SET a = …, (b, c) = …` of UPDATE and ON CONFLICT. */
export function assignments(nodes: readonly Node[] | undefined, target: Target, setting: Setting): void {
  const items = (nodes ?? []).flatMap(node => ('ResTarget' in node ? [node.ResTarget] : []))
  items.forEach((item, index) => {
    const column = targetColumn(item, target)
    examine(item.indirection, setting)
    const { val } = item
    if (val === undefined) return
    if (!('MultiAssignRef' in val)) {
      placeValue(val, column, target, setting)
      return
    }
    // The tree repeats the whole row at each of its columns.
    const { source, colno = 1, ncolumns = 1 } = val.MultiAssignRef
    if (source === undefined) return
    if ('RowExpr' in source) {
      const value = source.RowExpr.args?.[colno - 1]
      if (value !== undefined) placeValue(value, column, target, setting)
    } else if (colno === 1) {
      const columns = items.slice(index, index + ncolumns).map(one => targetColumn(one, target))
      placeQuery(source, columns, target, setting)
    }
  })
}
