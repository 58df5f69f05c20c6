import type {
  A_Expr,
  A_Indirection,
  ColumnRef,
  FuncCall,
  Node,
  NullTest,
  RangeVar,
  SelectStmt,
  SubLink,
} from 'libpg-query'
import type { Context } from './context.ts'
import { type Ctes, selectShape } from './query.ts'
import { Refusal } from './refusal.ts'
import { refuseText, refuseTextField } from './running-text.ts'
import { type Column, expandStar, isGuarded, type Resolved, resolve, type Scope } from './scope.ts'
import { search, searchAlone, searchAmong } from './search.ts'
import { isStruct, namesOf, offsetOf, reference, type Struct, stringOf } from './tree.ts'

/** Where an expression stands. */
export interface Setting {
  readonly context: Context
  readonly scope: Scope
  readonly ctes: Ctes
  /** `WHERE`, `ORDER BY` …, for messages. */
  readonly clause: string
}

function resolveRef(ref: ColumnRef, setting: Setting): Resolved | undefined {
  const parts = reference(ref)
  if (parts === undefined || parts.star) return undefined
  return resolve(parts.names, setting.scope, offsetOf(ref))
}

export function rowRefusal(what: string, offset: number | undefined): Refusal {
  return new Refusal(
    'postgres.column_protected',
    `${what} is a whole row with protected columns, which would leave the database as one value`,
    'Name the columns one by one',
    offset,
  )
}

export function computed(column: Column, setting: Setting, offset: number | undefined): Refusal {
  const { field } = column
  const able = field !== undefined && setting.context.ability(field) === 'search'
  const hint = able
    ? `It can be selected, and compared with = or IN to a value or parameter: ${column.name} = $1`
    : field?.searchable === true
      ? 'It can be selected as it is; only who sees it in plain may compare it'
      : 'It can be selected as it is; to find rows by it, the operator makes its field searchable'
  return new Refusal(
    'postgres.column_protected',
    `${column.origin} is encrypted and cannot be used in ${setting.clause}`,
    hint,
    offset,
  )
}

/** @throws {Refusal} when the reference is to a protected column, or to a row that has one */
function refuseIfProtected(ref: ColumnRef, setting: Setting): void {
  const offset = offsetOf(ref)
  const parts = reference(ref)
  if (parts !== undefined && parts.names.length > 1) refuseTextField(parts.names, setting.context.names, offset)
  if (parts?.star === true) {
    if (isGuarded(expandStar(parts.names, setting.scope)))
      throw rowRefusal(`${[...parts.names, '*'].join('.')}`, offset)
    return
  }
  const found = resolveRef(ref, setting)
  if (found === undefined || found.kind === 'plain') return
  if (found.kind === 'row') throw rowRefusal(`"${found.source.alias}"`, offset)
  throw computed(found.column, setting, offset)
}

export function protectedColumn(
  node: Node | undefined,
  setting: Setting,
): (Resolved & { readonly kind: 'protected' }) | undefined {
  if (node === undefined || !('ColumnRef' in node)) return undefined
  const found = resolveRef(node.ColumnRef, setting)
  return found?.kind === 'protected' ? found : undefined
}

function isCount(call: FuncCall): boolean {
  const names = namesOf(call.funcname)
  if (names?.at(-1) !== 'count' || (names.length === 2 ? names[0] !== 'pg_catalog' : names.length !== 1)) return false
  return call.agg_order === undefined && call.args?.length === 1
}

function functionCall(call: FuncCall, setting: Setting): void {
  const name = namesOf(call.funcname)?.at(-1) ?? ''
  const counted = isCount(call) ? protectedColumn(call.args?.[0], setting) : undefined
  if (counted !== undefined) {
    if (call.agg_distinct === true)
      searchAlone(call.args?.[0], { ...setting, clause: `${setting.clause}, as argument of count()` })
    walk({ ...call, args: undefined }, setting)
    return
  }
  refuseText(name, call, setting)
  const clause = `${setting.clause}, as argument of ${name}()`
  walk({ ...call, args: undefined }, setting)
  walk(call.args, { ...setting, clause })
}

/** A sub-select within an expression: its result would be computed with. */
function subLink(link: SubLink, setting: Setting): void {
  if (searchAmong(link, setting)) return
  walk(link.testexpr, setting)
  const select = link.subselect
  if (select === undefined || !('SelectStmt' in select)) {
    walk(select, setting)
    return
  }
  const shape = selectShape(select.SelectStmt, setting.context, setting.scope, setting.ctes)
  if (link.subLinkType === 'EXISTS_SUBLINK') return
  refuseOutputs(shape.columns, `a sub-select in ${setting.clause}`, offsetOf(link))
}

/** @throws {Refusal} when a query whose result is computed with, copied or merged yields a protected column */
export function refuseOutputs(columns: readonly Column[], where: string, offset: number | undefined): void {
  const column = columns.find(item => item.field !== undefined)
  if (column === undefined) return
  throw new Refusal(
    'postgres.column_protected',
    `${column.origin} is encrypted and cannot be the result of ${where}`,
    'Select the column itself, joining its table where it is needed',
    offset,
  )
}

/** Kinds of node with a meaning of their own; every other kind is only searched for these. */
const visitors: { readonly [kind: string]: ((struct: Struct, setting: Setting) => void) | undefined } = {
  ColumnRef: (struct, setting) => refuseIfProtected(struct as ColumnRef, setting),
  ParamRef: (struct, setting) => {
    const { number } = struct
    setting.context.plainParameter(typeof number === 'number' ? number : 0, offsetOf(struct))
  },
  NullTest: (struct, setting) => {
    const { arg } = struct as NullTest
    if (protectedColumn(arg, setting) === undefined) walk(arg, setting)
  },
  A_Indirection: (struct, setting) => {
    const { indirection } = struct as A_Indirection
    for (const node of indirection ?? []) {
      const name = stringOf(node)
      if (name !== undefined) refuseTextField([name], setting.context.names, undefined)
    }
    walk(struct, setting)
  },
  FuncCall: (struct, setting) => functionCall(struct as FuncCall, setting),
  A_Expr: (struct, setting) => {
    const expr = struct as A_Expr
    if (search(expr, setting)) return
    const quantifier = expr.kind === 'AEXPR_OP_ANY' ? ' ANY' : expr.kind === 'AEXPR_OP_ALL' ? ' ALL' : ''
    const name = namesOf(expr.name)?.at(-1)
    const operator = name === undefined ? undefined : `${name}${quantifier}`
    const within = operator === undefined ? setting : { ...setting, clause: clauseWith(setting.clause, operator) }
    walk(expr.lexpr, within)
    walk(expr.rexpr, within)
  },
  SubLink: (struct, setting) => subLink(struct as SubLink, setting),
  SelectStmt: (struct, setting) => {
    const shape = selectShape(struct as SelectStmt, setting.context, setting.scope, setting.ctes)
    refuseOutputs(shape.columns, `a query in ${setting.clause}`, undefined)
  },
  RangeVar: (struct, setting) => {
    const range = struct as RangeVar
    if (setting.context.table(range) !== undefined) {
      throw new Refusal(
        'postgres.statement_refused',
        `${range.relname} is a protected table, and its use in ${setting.clause} is not understood`,
        'Write the statement in a simpler form',
        offsetOf(range),
      )
    }
  },
}

function clauseWith(clause: string, operator: string): string {
  return clause.includes(' with ') ? clause : `${clause} with ${operator}`
}

/** Searches a tree of any form for what must not be computed with. */
function walk(value: unknown, setting: Setting): void {
  if (Array.isArray(value)) {
    for (const item of value) walk(item, setting)
    return
  }
  if (!isStruct(value)) return
  for (const key in value) {
    const inner = value[key]
    if (typeof inner !== 'object' || inner === null) continue
    const visitor = visitors[key]
    if (visitor !== undefined && isStruct(inner)) visitor(inner, setting)
    else walk(inner, setting)
  }
}

/**
 * Examines an expression (or a list, or any node that holds some): no protected column is computed with, searches are planned,
 * parameters noted.
 *
 * @throws {Refusal}
 */
export function examine(value: unknown, setting: Setting): void {
  walk(value, setting)
}
