import type { AlterTableCmd, AlterTableStmt, CreateStmt, IndexStmt, Node, RangeVar, RenameStmt } from 'libpg-query'
import type { Names } from './names.ts'
import type { ProtectedRelation } from './plan.ts'
import { Refusal } from './refusal.ts'
import { everyStruct, isStruct, namesOf, offsetOf, reference, type Struct, stringOf } from './tree.ts'

/** Statements that may name a protected table freely: they neither read nor write a value, nor change a definition. */
const harmless = new Set(
  `LockStmt TruncateStmt VacuumStmt CommentStmt GrantStmt ReindexStmt ClusterStmt RepackStmt RefreshMatViewStmt CreateSeqStmt AlterSeqStmt
  SecLabelStmt AlterOwnerStmt CreatePublicationStmt AlterPublicationStmt DropStmt ConstraintsSetStmt CheckPointStmt VariableSetStmt
  VariableShowStmt AlterObjectDependsStmt AlterTableMoveAllStmt NotifyStmt ListenStmt UnlistenStmt ClosePortalStmt DeallocateStmt
  TransactionStmt DiscardStmt GrantRoleStmt CreateRoleStmt AlterRoleStmt AlterRoleSetStmt DropRoleStmt CreateExtensionStmt`.split(
    /\s+/,
  ),
)

function refuse(message: string, hint: string, offset?: number): Refusal {
  return new Refusal('postgres.statement_refused', message, hint, offset)
}

function relationOf(range: RangeVar | undefined, names: Names): ProtectedRelation | undefined {
  const meaning = names.meaning(range?.schemaname, range?.relname ?? '')
  if (meaning.kind === 'conflict') {
    throw refuse(
      `several schemas have a protected table "${meaning.name}"`,
      `Write schema.${meaning.name}`,
      offsetOf(range ?? {}),
    )
  }
  return meaning.kind === 'protected' ? meaning.relation : undefined
}

function isProtected(relation: ProtectedRelation, column: string | undefined): boolean {
  return relation.columns.some(item => item.name === column && item.field !== undefined)
}

/** The first protected column of a relation that an expression names, by its own or by any table's name. */
function mentioned(value: unknown, relation: ProtectedRelation): string | undefined {
  let found: string | undefined
  everyStruct(value, struct => {
    const ref = struct['ColumnRef']
    if (!isStruct(ref)) return undefined
    const parts = reference(ref)
    if (parts === undefined || parts.star || parts.names[0] === relation.name) found ??= parts?.names.join('.') ?? '*'
    else if (isProtected(relation, parts.names.at(-1))) found ??= parts.names.at(-1)
    return undefined
  })
  return found
}

/** @throws {Refusal} when an expression names a protected column of a relation, or its whole row */
export function refuseMention(value: unknown, relation: ProtectedRelation, what: string): void {
  const column = mentioned(value, relation)
  if (column === undefined) return
  throw new Refusal(
    'postgres.column_protected',
    `${relation.schema}.${relation.name}.${column} is encrypted and cannot be used in ${what}`,
    'Leave the protected column out of it: the database sees its ciphertext only',
  )
}

/** `substr(column, 1, 33)`: the search hash, which may be indexed. */
function isHash(node: Node): boolean {
  if (!('FuncCall' in node)) return false
  const { funcname, args } = node.FuncCall
  const [, from, length] = args ?? []
  const is = (value: Node | undefined, wanted: number): boolean =>
    value !== undefined && 'A_Const' in value && value.A_Const.ival?.ival === wanted
  return namesOf(funcname)?.at(-1) === 'substr' && is(from, 1) && is(length, 33) && args?.length === 3
}

function index(statement: IndexStmt, names: Names): void {
  const relation = relationOf(statement.relation, names)
  if (relation === undefined) return
  for (const node of [...(statement.indexParams ?? []), ...(statement.indexIncludingParams ?? [])]) {
    const expression = 'IndexElem' in node ? node.IndexElem.expr : undefined
    if (expression !== undefined && !isHash(expression)) {
      refuseMention(expression, relation, 'an index expression other than substr(column, 1, 33)')
    }
  }
  const where = statement.whereClause
  if (
    where !== undefined &&
    !('NullTest' in where && where.NullTest.arg !== undefined && 'ColumnRef' in where.NullTest.arg)
  ) {
    refuseMention(where, relation, "an index's WHERE")
  }
}

function constraint(node: unknown, relation: ProtectedRelation): void {
  everyStruct(node, struct => {
    const item = struct['Constraint']
    if (!isStruct(item)) return undefined
    refuseMention(
      [item['raw_expr'], item['where_clause'], item['exclusions']],
      relation,
      'a constraint or generated column',
    )
    for (const list of ['keys', 'fk_attrs', 'including'] as const) {
      const value = item[list]
      const keys = Array.isArray(value) ? value.map((key: Node) => stringOf(key)) : []
      const key = keys.find(name => isProtected(relation, name))
      if (key === undefined) continue
      throw new Refusal(
        'postgres.column_protected',
        `${relation.schema}.${relation.name}.${key} is encrypted: equal values have different ciphertexts, so a key over it means nothing`,
        `For a searchable field: CREATE UNIQUE INDEX ON ${relation.name} (substr(${key}, 1, 33))`,
      )
    }
    return undefined
  })
}

function alterColumn(command: AlterTableCmd, relation: ProtectedRelation): void {
  const column = `${relation.schema}.${relation.name}.${command.name}`
  switch (command.subtype) {
    case 'AT_ColumnDefault':
      if (command.def === undefined) return
      throw refuse(`a default of ${column} would be stored unencrypted`, 'Send the value with each INSERT')
    case 'AT_AlterColumnType':
      throw refuse(
        `the type of ${column} must stay bytea, and USING would compute on ciphertext`,
        'Take the column out of the fields first, after decrypting it with bawn protect',
      )
    case 'AT_SetExpression':
    case 'AT_AddIdentity':
    case 'AT_SetIdentity':
      throw refuse(`${column} would be filled by the database, unencrypted`, 'Send the value with each INSERT')
    default:
  }
}

const childHint =
  'Do it with a login of its own at the database: the gateway finds new children when it next looks at the schema'

function alterTable(statement: AlterTableStmt, names: Names): void {
  const relation = relationOf(statement.relation, names)
  for (const node of statement.cmds ?? []) {
    const command = 'AlterTableCmd' in node ? node.AlterTableCmd : {}
    if (command.subtype === 'AT_DetachPartition' || command.subtype === 'AT_DropInherit') {
      throw refuse(
        'a partition or child that leaves its table would no longer be protected',
        `${childHint}; declare its columns first`,
      )
    }
    if (command.subtype === 'AT_AttachPartition' || command.subtype === 'AT_AddInherit') {
      throw refuse('a new child of a protected table could be written unencrypted until it is known', childHint)
    }
    if (relation === undefined) continue
    if (isProtected(relation, command.name)) alterColumn(command, relation)
    constraint(command.def, relation)
    // USING of a new type, SET EXPRESSION of another column: the ciphertext would be copied.
    refuseMention(command.def, relation, 'a definition of another column')
  }
}

function create(statement: CreateStmt, names: Names): void {
  if (
    (statement.inhRelations ?? []).some(node => 'RangeVar' in node && relationOf(node.RangeVar, names) !== undefined)
  ) {
    throw refuse('a new child of a protected table could be written unencrypted until it is known', childHint)
  }
  everyStruct(statement.tableElts, struct => {
    const item = struct['Constraint']
    if (!isStruct(item) || !isStruct(item['pktable'])) return undefined
    const referenced = relationOf(item['pktable'], names)
    const keys = item['pk_attrs']
    const key = Array.isArray(keys)
      ? keys.map((node: Node) => stringOf(node)).find(name => referenced !== undefined && isProtected(referenced, name))
      : undefined
    if (key === undefined) return undefined
    throw refuse(`a foreign key to the encrypted column ${key} can never hold`, 'Refer to another unique column')
  })
}

/** @throws {Refusal} when a schema with a protected table gets another name */
export function examineSchemaName(kind: string, statement: Struct, names: Names): void {
  const { renameType, subname } = statement
  if (kind !== 'RenameStmt' || renameType !== 'OBJECT_SCHEMA' || typeof subname !== 'string') return
  if (!names.isKnownSchema(subname)) return
  throw refuse(`schema ${subname} has protected tables: renamed, they would be unprotected`, renameHint)
}

const renameHint = 'Change the name in the configuration and in the database together, with the gateway stopped'

function renameOf(statement: RenameStmt, names: Names): void {
  const meaning = names.meaning(statement.relation?.schemaname, statement.relation?.relname ?? '')
  if (meaning.kind === 'dependent') {
    throw refuse(
      `${meaning.name} is a view or has a rule over protected columns: renamed, it would not be recognised`,
      renameHint,
    )
  }
  const relation = relationOf(statement.relation, names)
  if (relation === undefined) return
  const isTable = statement.renameType === 'OBJECT_TABLE'
  if (!isTable && !isProtected(relation, statement.subname)) return
  const what = isTable
    ? `${relation.schema}.${relation.name}`
    : `${relation.schema}.${relation.name}.${statement.subname}`
  throw refuse(`${what} is protected under this name: renamed, it would be unprotected`, renameHint)
}

/** Does any string in it name a table that statements are examined for? For bodies of functions. */
function namesInText(value: unknown, names: Names): string | undefined {
  const text = JSON.stringify(value).toLowerCase()
  return names.all.find(name => text.includes(JSON.stringify(name).slice(1, -1).toLowerCase()))
}

/** `U&"…"` in a body may spell any name. */
function escapedName(value: unknown): string | undefined {
  return /u&\\?"/i.exec(JSON.stringify(value))?.[0]
}

function body(kind: string, statement: Struct, names: Names): void {
  const name = namesInText(statement, names) ?? escapedName(statement)
  if (name === undefined) return
  const what = kind === 'DoStmt' ? 'DO' : 'a function or procedure'
  throw refuse(
    `${what} whose body names the protected table "${name}" would read and write ciphertext, unseen by the gateway`,
    kind === 'DoStmt'
      ? 'Send its statements one by one'
      : 'Create it with a login of its own at the database, or leave the table out of it',
  )
}

/** Does the statement name, anywhere, a table that is protected, missing or a view over a protected one? */
export function touches(statement: unknown, names: Names): boolean {
  let found = false
  everyStruct(statement, struct => {
    const name = struct['relname'] ?? struct['sval']
    if (typeof name === 'string' && names.isKnown(name)) found = true
    return !found
  })
  return found
}

/**
 * Examines a statement that is not SELECT, INSERT, UPDATE or DELETE and names a protected table.
 *
 * @throws {Refusal}
 */
export function examineDefinition(kind: string, statement: Struct, names: Names): void {
  if (harmless.has(kind)) return
  switch (kind) {
    case 'DoStmt':
    case 'CreateFunctionStmt':
      body(kind, statement, names)
      return
    case 'IndexStmt':
      index(statement as IndexStmt, names)
      return
    case 'AlterTableStmt':
      alterTable(statement as AlterTableStmt, names)
      return
    case 'CreateStmt':
      create(statement as CreateStmt, names)
      return
    case 'RenameStmt':
      renameOf(statement as RenameStmt, names)
      return
    case 'CreateTrigStmt':
    case 'CreatePolicyStmt':
    case 'AlterPolicyStmt':
    case 'CreateStatsStmt': {
      for (const relation of relationsIn(statement, names)) refuseMention(statement, relation, 'its expressions')
      return
    }
    default:
      throw refuse(
        `${verbOf(kind)} is not understood beside a protected table`,
        'Use SELECT, INSERT, UPDATE, DELETE, or a login of its own at the database',
      )
  }
}

function relationsIn(statement: Struct, names: Names): readonly ProtectedRelation[] {
  const found: ProtectedRelation[] = []
  everyStruct(statement, struct => {
    const relation = typeof struct['relname'] === 'string' ? relationOf(struct, names) : undefined
    if (relation !== undefined) found.push(relation)
    return undefined
  })
  return found
}

const verbs: { readonly [kind: string]: string | undefined } = {
  CreateStmt: 'CREATE TABLE',
  CreateTableAsStmt: 'CREATE TABLE AS',
  IndexStmt: 'CREATE INDEX',
  ViewStmt: 'CREATE VIEW',
  RuleStmt: 'CREATE RULE',
  CreateTrigStmt: 'CREATE TRIGGER',
  DeclareCursorStmt: 'DECLARE',
  AlterObjectSchemaStmt: 'ALTER … SET SCHEMA',
}

/** `InsertStmt` → `INSERT`; for messages and the trail. */
export function verbOf(kind: string): string {
  return (
    verbs[kind] ??
    kind
      .replace(/Stmt$/, '')
      .replace(/([a-z])([A-Z])/g, '$1 $2')
      .toUpperCase()
  )
}

/** May the statement change tables, columns, views or rules? DO and CALL may do anything. */
export function changesSchema(kind: string): boolean {
  return /^(?:Create|Alter|Drop|Rename|Index|View|Rule|Define|ImportForeignSchema|Do|Call)/.test(kind)
}
