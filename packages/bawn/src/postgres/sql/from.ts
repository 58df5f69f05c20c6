import type { Alias, JoinExpr, Node, RangeVar } from 'libpg-query'
import type { Context } from './context.ts'
import { examine, type Setting } from './expression.ts'
import { type Ctes, renamed, statementShape } from './query.ts'
import { Refusal } from './refusal.ts'
import { isGuarded, type Scope, type Shape, type Source, unknownShape } from './scope.ts'
import { namesOf, offsetOf } from './tree.ts'

function source(alias: Alias | undefined, shape: Shape, offset: number | undefined): Source {
  const named = renamed(shape, namesOf(alias?.colnames) ?? [], offset)
  return { ...named, alias: alias?.aliasname ?? '', schema: undefined, relation: undefined }
}

function table(range: RangeVar, context: Context, ctes: Ctes): Source {
  const name = range.relname ?? ''
  const cte = range.schemaname === undefined ? ctes.get(name) : undefined
  if (cte === 'unready') {
    throw new Refusal(
      'postgres.statement_refused',
      `WITH RECURSIVE "${name}" is used before its own query stands`,
      'Put the WITH queries in the order in which they use each other',
      offsetOf(range),
    )
  }
  const alias = range.alias ?? { aliasname: name }
  if (cte !== undefined) return source(alias, cte, offsetOf(range))
  const found = context.table(range)
  if (found === undefined) return { ...source(alias, unknownShape, undefined), schema: range.schemaname }
  return { ...found, ...renamed(found, namesOf(range.alias?.colnames) ?? [], offsetOf(range)) }
}

function join(expr: JoinExpr, context: Context, level: Scope, ctes: Ctes): readonly Source[] {
  const left = fromItem(expr.larg, context, level, ctes)
  const beside: Scope = { sources: [...level.sources, ...left], parent: level.parent }
  const right = fromItem(expr.rarg, context, beside, ctes)
  const using = namesOf(expr.usingClause) ?? []
  const sides = [...left, ...right]
  const merged = sides
    .flatMap(side => side.columns)
    .find(column => using.includes(column.name) && column.field !== undefined)
  if (merged !== undefined) {
    throw new Refusal(
      'postgres.column_protected',
      `${merged.origin} is encrypted and cannot be used in JOIN USING`,
      'Join by another column: equal values have different ciphertexts',
    )
  }
  if (expr.isNatural === true && sides.some(isGuarded)) {
    throw new Refusal(
      'postgres.column_protected',
      'NATURAL JOIN compares every column that both sides have, protected ones too',
      'Write the join with ON or USING, by columns that are not protected',
    )
  }
  const setting: Setting = { context, scope: { sources: sides, parent: level.parent }, ctes, clause: 'JOIN ON' }
  examine(expr.quals, setting)
  // With USING the merged columns come first: the order of * is another one.
  const reordered = using.length > 0 || expr.isNatural === true
  const sources = reordered ? sides.map(side => ({ ...side, ordered: false })) : sides
  const usingAlias = expr.join_using_alias === undefined ? [] : [source(expr.join_using_alias, unknownShape, undefined)]
  if (expr.alias === undefined) return [...sources, ...usingAlias]
  const whole: Shape = {
    columns: sources.flatMap(side => side.columns),
    ordered: sources.every(side => side.ordered),
    open: sources.some(side => side.open),
  }
  return [source(expr.alias, whole, undefined), ...usingAlias]
}

/** @param level what stands before it in the same FROM, which LATERAL items and functions see */
function fromItem(node: Node | undefined, context: Context, level: Scope, ctes: Ctes): readonly Source[] {
  if (node === undefined) return []
  if ('RangeVar' in node) return [table(node.RangeVar, context, ctes)]
  if ('JoinExpr' in node) return join(node.JoinExpr, context, level, ctes)
  if ('RangeSubselect' in node) {
    const { lateral, subquery, alias } = node.RangeSubselect
    return [source(alias, statementShape(subquery, context, lateral === true ? level : level.parent, ctes), undefined)]
  }
  if ('RangeTableSample' in node) {
    const { relation, args, repeatable } = node.RangeTableSample
    examine([args, repeatable], { context, scope: level, ctes, clause: 'TABLESAMPLE' })
    return fromItem(relation, context, level, ctes)
  }
  if ('RangeFunction' in node) {
    examine(node.RangeFunction.functions, { context, scope: level, ctes, clause: 'FROM' })
    return [source(node.RangeFunction.alias, unknownShape, undefined)]
  }
  if ('RangeTableFunc' in node || 'JsonTable' in node) {
    const { alias } = 'JsonTable' in node ? node.JsonTable : node.RangeTableFunc
    examine(node, { context, scope: level, ctes, clause: 'FROM' })
    return [source(alias, unknownShape, undefined)]
  }
  throw new Refusal(
    'postgres.statement_refused',
    `${Object.keys(node).join()} in FROM is not understood beside a protected table`,
    'Write the query without it',
  )
}

/** The tables and queries of a FROM clause, examined from left to right. */
export function fromItems(
  nodes: readonly Node[] | undefined,
  context: Context,
  parent: Scope | undefined,
  ctes: Ctes,
  before: readonly Source[] = [],
): readonly Source[] {
  const sources: Source[] = [...before]
  for (const node of nodes ?? []) sources.push(...fromItem(node, context, { sources, parent }, ctes))
  return sources
}
