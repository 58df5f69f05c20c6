import type { AlterTableCmd, AlterTableStmt, CreateStmt, IndexStmt, Node, RangeVar, RenameStmt } from 'libpg-query'
import { examineDo, examineFunction } from './body.ts'
import type { Context } from './context.ts'
import { isTemporary, type Names } from './names.ts'
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

const childHint = 'Do it with a login of its own at the database'

/** A table becomes a child of a protected one: it is protected itself, and known as such when the transaction has ended. */
function adopt(parent: ProtectedRelation | undefined, child: RangeVar | undefined, context: Context): void {
  if (parent === undefined) {
    throw refuse(
      'a protected table would get a parent that is not protected: what is written into that would be stored unencrypted',
      'Declare the columns of the parent first',
      offsetOf(child ?? {}),
    )
  }
  if (child?.relpersistence === 't' || isTemporary(child?.schemaname ?? '')) {
    throw refuse('a temporary child of a protected table is not known to the gateway', 'Create it without TEMPORARY')
  }
  context.makes.add(child?.relname ?? '')
}

function alterTable(statement: AlterTableStmt, context: Context): void {
  const { names } = context
  const relation = relationOf(statement.relation, names)
  for (const node of statement.cmds ?? []) {
    const command = 'AlterTableCmd' in node ? node.AlterTableCmd : {}
    if (command.subtype === 'AT_DetachPartition' || command.subtype === 'AT_DropInherit') {
      throw refuse(
        'a partition or child that leaves its table would no longer be protected',
        `${childHint}; declare its columns first`,
      )
    }
    if (command.subtype === 'AT_AttachPartition') {
      const { def } = command
      adopt(relation, def !== undefined && 'PartitionCmd' in def ? def.PartitionCmd.name : undefined, context)
      continue
    }
    if (command.subtype === 'AT_AddInherit') {
      const { def } = command
      adopt(
        relationOf(def !== undefined && 'RangeVar' in def ? def.RangeVar : undefined, names),
        statement.relation,
        context,
      )
      continue
    }
    if (relation === undefined) continue
    if (isProtected(relation, command.name)) alterColumn(command, relation)
    constraint(command.def, relation)
    // USING of a new type, SET EXPRESSION of another column: the ciphertext would be copied.
    refuseMention(command.def, relation, 'a definition of another column')
  }
}

function create(statement: CreateStmt, context: Context): void {
  const { names } = context
  for (const node of statement.inhRelations ?? []) {
    const parent = 'RangeVar' in node ? relationOf(node.RangeVar, names) : undefined
    if (parent === undefined) continue
    adopt(parent, statement.relation, context)
    constraint([statement.tableElts, statement.constraints], parent)
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

function renameOf(statement: RenameStmt, context: Context): void {
  const { names } = context
  const meaning = names.meaning(statement.relation?.schemaname, statement.relation?.relname ?? '')
  const relation = relationOf(statement.relation, names)
  const isTable = /^OBJECT_(?:TABLE|VIEW|MATVIEW)$/.test(statement.renameType ?? '')
  // Views and children are found through the tables beneath and above them, whatever they are called.
  if (meaning.kind === 'dependent' || relation?.derived !== undefined) {
    context.makes.add(statement.relation?.relname ?? '')
    if (isTable) context.makes.add(statement.newname ?? '')
    return
  }
  if (relation === undefined) return
  if (!isTable && !isProtected(relation, statement.subname)) return
  const what = isTable
    ? `${relation.schema}.${relation.name}`
    : `${relation.schema}.${relation.name}.${statement.subname}`
  throw refuse(`${what} is protected under this name: renamed, it would be unprotected`, renameHint)
}

/**
 * Examines a statement that is not SELECT, INSERT, UPDATE or DELETE and names a protected table.
 *
 * @throws {Refusal}
 */
export function examineDefinition(kind: string, statement: Struct, context: Context): void {
  const { names } = context
  if (harmless.has(kind)) return
  switch (kind) {
    case 'DoStmt':
      examineDo(statement, context)
      return
    case 'CreateFunctionStmt':
      examineFunction(statement, context)
      return
    case 'IndexStmt':
      index(statement as IndexStmt, names)
      return
    case 'AlterTableStmt':
      alterTable(statement as AlterTableStmt, context)
      return
    case 'CreateStmt':
      create(statement as CreateStmt, context)
      return
    case 'RenameStmt':
      renameOf(statement as RenameStmt, context)
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
