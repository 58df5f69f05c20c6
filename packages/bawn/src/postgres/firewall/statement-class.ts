import { everyStruct, isStruct, type Struct, unwrap } from '../sql/tree.ts'

/** What rules may call statements. */
export const statementClasses = [
  'SELECT',
  'INSERT',
  'UPDATE',
  'DELETE',
  'MERGE',
  'TRUNCATE',
  'COPY',
  'CALL',
  'DO',
  'DDL',
  'DCL',
  'SET',
  'SHOW',
  'TRANSACTION',
  'PREPARE',
  'CURSOR',
  'EXPLAIN',
  'LOCK',
  'LISTEN',
  'MAINTENANCE',
  'OTHER',
] as const
export type StatementClass = (typeof statementClasses)[number]

/** Each class with the parser's names of its statements, without `Stmt`. */
const kinds: Readonly<Partial<Record<StatementClass, string>>> = {
  SELECT: 'Select',
  INSERT: 'Insert',
  UPDATE: 'Update',
  DELETE: 'Delete',
  MERGE: 'Merge',
  TRUNCATE: 'Truncate',
  COPY: 'Copy',
  CALL: 'Call',
  DO: 'Do',
  DCL: `Grant GrantRole CreateRole AlterRole AlterRoleSet DropRole AlterDefaultPrivileges CreateUserMapping AlterUserMapping
    DropUserMapping DropOwned ReassignOwned CreatePolicy AlterPolicy AlterOwner`,
  SET: 'VariableSet Discard ConstraintsSet',
  SHOW: 'VariableShow',
  TRANSACTION: 'Transaction',
  PREPARE: 'Prepare Execute Deallocate',
  CURSOR: 'DeclareCursor Fetch ClosePortal',
  EXPLAIN: 'Explain',
  LOCK: 'Lock',
  LISTEN: 'Listen Notify Unlisten',
  MAINTENANCE: 'Vacuum VacuumRelation Cluster Repack Reindex CheckPoint RefreshMatView',
}

const classes = new Map<string, StatementClass>()
for (const name of statementClasses) {
  for (const kind of kinds[name]?.split(/\s+/) ?? []) classes.set(`${kind}Stmt`, name)
}

function classOf(kind: string): StatementClass {
  const known = classes.get(kind)
  if (known !== undefined) return known
  return /^(?:Create|Alter|Drop|Rename|Index|View|Rule|Define|Comment|SecLabel|ImportForeignSchema|CompositeType)/.test(
    kind,
  )
    ? 'DDL'
    : 'OTHER'
}

/** Parts of statements that are called as if they were some. */
const noStatements = new Set(['ReturnStmt', 'RawStmt'])

/** The VALUES of an INSERT read nothing by themselves; what is within them may. */
function ownValues(insert: Struct): unknown {
  const source = unwrap(insert['selectStmt'])
  return source !== undefined && source[1]['valuesLists'] !== undefined ? insert['selectStmt'] : undefined
}

/** Every class that a statement has, also of what stands within it: a WITH that deletes, what EXPLAIN explains. */
export function classesOf(statement: unknown): ReadonlySet<StatementClass> {
  const found = new Set<StatementClass>()
  const passedOver = new Set<unknown>()
  everyStruct(statement, struct => {
    if (struct['intoClause'] !== undefined) found.add('DDL')
    const unwrapped = unwrap(struct)
    if (unwrapped === undefined) return undefined
    const [kind, inner] = unwrapped
    if (!kind.endsWith('Stmt') || noStatements.has(kind) || passedOver.has(struct)) return undefined
    if (kind === 'InsertStmt') passedOver.add(ownValues(inner))
    if (kind === 'CopyStmt' && inner['relation'] !== undefined)
      found.add(inner['is_from'] === true ? 'INSERT' : 'SELECT')
    found.add(classOf(kind))
    return undefined
  })
  return found
}

/** Whether a condition asks for anything that a row has. */
function asksForColumns(condition: unknown): boolean {
  let found = false
  everyStruct(condition, struct => {
    if (isStruct(struct['ColumnRef']) || isStruct(struct['SubLink']) || isStruct(struct['CurrentOfExpr'])) found = true
    return !found
  })
  return found
}

/** Is there an UPDATE or DELETE, anywhere, that takes every row? */
export function takesEveryRow(statement: unknown): boolean {
  let found = false
  everyStruct(statement, struct => {
    const changed = struct['UpdateStmt'] ?? struct['DeleteStmt']
    if (isStruct(changed) && !asksForColumns(changed['whereClause'])) found = true
    return !found
  })
  return found
}
