import type { A_Expr, ColumnRef, Node, SelectStmt, SubLink } from 'libpg-query'
import { uncertain } from './assign.ts'
import { computed, protectedColumn, type Setting } from './expression.ts'
import { selectShape } from './query.ts'
import type { Resolved } from './scope.ts'
import { namesOf, offsetOf } from './tree.ts'
import { isConstant, placeConstant } from './value.ts'

// Searchable columns begin with a keyed hash of the value. For who sees them in plain, where equality is asked for the hash stands in for
// the column: substr(column, 1, 33).

type Found = Resolved & { readonly kind: 'protected' }

/** @throws {Refusal} where the identity may not search, or the name may mean another column */
function hash(found: Found, ref: ColumnRef, setting: Setting): void {
  const offset = offsetOf(ref)
  if (setting.context.ability(found.field) !== 'search') throw computed(found.column, setting, offset)
  if (!found.column.certain) throw uncertain(found.column, offset)
  setting.context.searchColumn(ref)
}

/** A column that is compared with nothing but itself: in GROUP BY, DISTINCT ON and count(DISTINCT …). @throws {Refusal} */
export function searchAlone(node: Node | undefined, setting: Setting): boolean {
  const found = protectedColumn(node, setting)
  if (found === undefined || node === undefined || !('ColumnRef' in node)) return false
  hash(found, node.ColumnRef, setting)
  return true
}

function searchOperator(expr: A_Expr): boolean {
  const names = namesOf(expr.name)
  if (names === undefined) return false
  const operator = names.length === 1 || names[0] === 'pg_catalog' ? names.at(-1) : undefined
  switch (expr.kind) {
    case 'AEXPR_OP':
    case 'AEXPR_IN':
    case 'AEXPR_DISTINCT':
    case 'AEXPR_NOT_DISTINCT':
      return operator === '=' || operator === '<>'
    default:
      return false
  }
}

/** `column = value`, `column IN (values)`, `column = column`: true when it was one, and planned. */
export function search(expr: A_Expr, setting: Setting): boolean {
  if (!searchOperator(expr)) return false
  const left = protectedColumn(expr.lexpr, setting)
  const right = protectedColumn(expr.rexpr, setting)
  const [found, node, other] = left === undefined ? [right, expr.rexpr, expr.lexpr] : [left, expr.lexpr, expr.rexpr]
  if (found === undefined || node === undefined || !('ColumnRef' in node)) return false
  if (left !== undefined && right !== undefined) {
    // Of two fields, the hashes have different keys.
    if (left.field !== right.field || expr.rexpr === undefined || !('ColumnRef' in expr.rexpr)) return false
    hash(left, node.ColumnRef, setting)
    hash(right, expr.rexpr.ColumnRef, setting)
    return true
  }
  const list = other === undefined ? [] : 'List' in other ? (other.List.items ?? []) : [other]
  if (!list.every(isConstant)) return false
  hash(found, node.ColumnRef, setting)
  for (const value of list) {
    placeConstant(setting.context, value, { field: found.field, column: found.column.origin, as: 'searched' })
  }
  return true
}

/** `SELECT column FROM …`, no more than that. */
function onlyTarget(select: SelectStmt): ColumnRef | undefined {
  const [target, ...more] = select.targetList ?? []
  const plain =
    (select.op ?? 'SETOP_NONE') === 'SETOP_NONE' &&
    select.distinctClause === undefined &&
    select.groupClause === undefined
  if (!plain || more.length > 0 || target === undefined || !('ResTarget' in target)) return undefined
  const { val } = target.ResTarget
  return val !== undefined && 'ColumnRef' in val ? val.ColumnRef : undefined
}

/** `column IN (SELECT column FROM …)`: true when it was one, of the same field, and planned. */
export function searchAmong(link: SubLink, setting: Setting): boolean {
  const { testexpr, subselect } = link
  const operator = namesOf(link.operName) ?? []
  if (link.subLinkType !== 'ANY_SUBLINK' || (operator.length > 0 && operator.join() !== '=')) return false
  const found = protectedColumn(testexpr, setting)
  if (found === undefined || testexpr === undefined || !('ColumnRef' in testexpr)) return false
  if (subselect === undefined || !('SelectStmt' in subselect)) return false
  const target = onlyTarget(subselect.SelectStmt)
  if (target === undefined) return false
  const shape = selectShape(subselect.SelectStmt, setting.context, setting.scope, setting.ctes)
  const [column] = shape.columns
  if (shape.columns.length !== 1 || column?.field !== found.field) {
    throw computed(found.column, { ...setting, clause: `${setting.clause} with IN` }, offsetOf(testexpr.ColumnRef))
  }
  hash(found, testexpr.ColumnRef, setting)
  hash({ kind: 'protected', column, field: found.field }, target, setting)
  return true
}
