import type { MergeStmt, MergeWhenClause } from 'libpg-query'
import { assignments, placeValue, type Target } from './assign.ts'
import type { Context } from './context.ts'
import { examine, type Setting } from './expression.ts'
import { fromItems } from './from.ts'
import { type Ctes, withQueries } from './query.ts'
import { Refusal } from './refusal.ts'
import type { Scope, Shape, Source } from './scope.ts'
import { refuseDefaults, returning, targetColumns, writtenTable } from './write.ts'

/** `INSERT` of a MERGE: one row, of values that may come from the source. */
function inserted(clause: MergeWhenClause, target: Target, setting: Setting): void {
  const { values = [], targetList } = clause
  const { relation } = target
  if (relation !== undefined && targetList === undefined && values.length > 0) {
    throw new Refusal(
      'postgres.statement_refused',
      `INSERT of a MERGE into ${target.name} goes by the order of its columns`,
      'Name the columns: INSERT (…) VALUES (…)',
      target.offset,
    )
  }
  const columns = targetColumns(targetList, target)
  if (relation !== undefined) refuseDefaults(target, columns)
  values.forEach((value, index) => {
    placeValue(value, columns[index], target, setting)
  })
}

/**
 * Examines a MERGE: what INSERT and UPDATE set is as in those statements, and the source may be any query.
 *
 * @throws {Refusal}
 */
export function mergeShape(statement: MergeStmt, context: Context, parent: Scope | undefined, around: Ctes): Shape {
  const ctes = withQueries(statement.withClause, context, parent, around)
  const { source, target } = writtenTable(statement.relation, context)
  const { sourceRelation } = statement
  const sources: readonly Source[] = fromItems(
    sourceRelation === undefined ? [] : [sourceRelation],
    context,
    parent,
    ctes,
    [source],
  )
  const setting: Setting = { context, scope: { sources, parent }, ctes, clause: 'MERGE' }
  examine(statement.joinCondition, { ...setting, clause: 'MERGE ON' })
  for (const node of statement.mergeWhenClauses ?? []) {
    const clause = 'MergeWhenClause' in node ? node.MergeWhenClause : {}
    examine(clause.condition, { ...setting, clause: 'MERGE WHEN' })
    if (clause.commandType === 'CMD_INSERT') inserted(clause, target, setting)
    else if (clause.commandType === 'CMD_UPDATE') assignments(clause.targetList, target, { ...setting, clause: 'SET' })
  }
  return returning(statement.returningClause, source, sources, { context, ctes, parent })
}
