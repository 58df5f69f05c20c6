import type { Privilege } from '../../accounts/grant.ts'
import { verbOf } from '../sql/definition.ts'
import { isStruct, type Struct, unwrap } from '../sql/tree.ts'
import { Collector, namesIn, truncated } from './collector.ts'
import {
  alterSchema,
  alterTable,
  comment,
  createIndex,
  createOnTable,
  createStatistics,
  createTable,
  createType,
  drop,
  rename,
  sequence,
} from './definitions.ts'
import { nothingHidden, walk } from './queries.ts'
import type { Declaration } from './reading.ts'
import { isHarmlessSetting } from './settings.ts'

const read: readonly Privilege[] = ['DQL']
const write: readonly Privilege[] = ['DML']
const define: readonly Privilege[] = ['DDL']

/** Touch nothing that grants are about. */
const free = new Set(
  `VariableShowStmt DiscardStmt ListenStmt NotifyStmt UnlistenStmt ConstraintsSetStmt DeallocateStmt ClosePortalStmt`.split(
    ' ',
  ),
)

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function rangesOf(value: unknown): readonly unknown[] {
  return listOf(value).map(node => (isStruct(node) ? node['RangeVar'] : undefined))
}

function copy(statement: Struct, into: Collector): void {
  into.range(statement['relation'], statement['is_from'] === true ? write : read)
  walk([statement['query'], statement['whereClause']], into, nothingHidden)
  if (statement['is_program'] === true) into.restricted('COPY … PROGRAM')
  else if (statement['filename'] !== undefined) into.restricted('COPY with a file of the server')
}

function set(statement: Struct, into: Collector): void {
  const { kind, name } = statement
  // RESET goes back to what the operator of the database set.
  if (kind === 'VAR_RESET' || kind === 'VAR_RESET_ALL' || kind === 'VAR_SET_MULTI') return
  if (typeof name !== 'string' || !isHarmlessSetting(name)) into.restricted(`SET ${String(name).toLowerCase()}`)
}

function transaction(statement: Struct, into: Collector): void {
  const { kind } = statement
  if (kind === 'TRANS_STMT_COMMIT_PREPARED' || kind === 'TRANS_STMT_ROLLBACK_PREPARED') {
    into.restricted('COMMIT PREPARED and ROLLBACK PREPARED')
  }
}

/** Rows are written, locked or rewritten, or only looked at: VACUUM, CLUSTER, REINDEX of one relation, a schema or everything. */
function maintain(kind: string, statement: Struct, into: Collector): void {
  const ranges = listOf(statement['rels']).map(node =>
    isStruct(node) && isStruct(node['VacuumRelation']) ? node['VacuumRelation']['relation'] : undefined,
  )
  const { relation, name } = statement
  if (isStruct(relation)) ranges.push(relation)
  for (const range of ranges) into.range(range, define)
  if (ranges.length > 0) return
  const all = { kind: 'database', privilege: 'DDL', what: `${verbOf(kind)} of the whole database` } as const
  if (kind === 'ReindexStmt' && statement['kind'] === 'REINDEX_OBJECT_SCHEMA' && typeof name === 'string') {
    into.add({ kind: 'schema', schema: truncated(name), privileges: define })
    into.add({ kind: 'contents', schema: truncated(name), privileges: define })
  } else into.add(all)
}

function truncate(statement: Struct, into: Collector): void {
  for (const range of rangesOf(statement['relations'])) into.range(range, write)
  // Tables with foreign keys to them are emptied as well.
  if (statement['behavior'] === 'DROP_CASCADE') {
    into.add({ kind: 'database', privilege: 'DML', what: 'TRUNCATE … CASCADE' })
  }
}

function lock(statement: Struct, into: Collector): void {
  // 1 is ACCESS SHARE, which every SELECT takes.
  for (const range of rangesOf(statement['relations'])) into.range(range, statement['mode'] === 1 ? read : write)
}

function createSchema(statement: Struct, into: Collector): void {
  const { schemaname, authrole } = statement
  if (authrole !== undefined || typeof schemaname !== 'string') into.restricted('CREATE SCHEMA AUTHORIZATION')
  else into.add({ kind: 'schema', schema: truncated(schemaname), privileges: define })
  for (const node of listOf(statement['schemaElts'])) {
    const element = unwrap(node)
    // Names within it are looked for in the new schema first, which is empty, then as everywhere.
    if (element === undefined) into.restricted('CREATE SCHEMA with something unknown in it')
    else examine(...inSchema(element, schemaname), into)
  }
}

/** What a CREATE SCHEMA makes without naming a schema is made in the new one. */
function inSchema([kind, struct]: readonly [string, Struct], schemaname: unknown): readonly [string, Struct] {
  const key = kind === 'ViewStmt' ? 'view' : kind === 'CreateSeqStmt' ? 'sequence' : 'relation'
  const range = struct[key]
  if (!isStruct(range) || range['schemaname'] !== undefined) return [kind, struct]
  return [kind, { ...struct, [key]: { ...range, schemaname } }]
}

function createView(statement: Struct, into: Collector): void {
  into.creation(statement['view'])
  walk(statement['query'], into, nothingHidden)
}

function createTableAs(statement: Struct, into: Collector): void {
  const { into: target, query } = statement
  if (isStruct(target)) into.creation(target['rel'])
  inner(query, into)
}

function createRule(statement: Struct, into: Collector): void {
  // It sees every row that comes: `NEW.secret`.
  into.range(statement['relation'], ['DDL', 'DQL'])
  walk(statement['whereClause'], into, nothingHidden)
  for (const action of listOf(statement['actions'])) inner(action, into)
}

/** The statement within EXPLAIN, CREATE TABLE AS, a rule …. */
function inner(node: unknown, into: Collector): void {
  const statement = unwrap(node)
  if (statement === undefined) into.restricted('a statement within a statement')
  else examine(statement[0], statement[1], into)
}

/** PREPARE and DECLARE: what the query touches is needed now, and again whenever it is run. */
function declare(kind: Declaration['kind'], statement: Struct, into: Collector): void {
  const query = new Collector()
  inner(statement['query'], query)
  inner(statement['query'], into)
  const name = kind === 'statement' ? statement['name'] : statement['portalname']
  const options = typeof statement['options'] === 'number' ? statement['options'] : 0
  into.declarations.push({
    kind,
    name: truncated(typeof name === 'string' ? name : ''),
    references: query.references,
    // CURSOR_OPT_HOLD
    held: (options & 0x20) !== 0,
  })
}

function use(kind: Declaration['kind'], name: unknown, into: Collector): void {
  into.uses.push({ kind, name: truncated(typeof name === 'string' ? name : '') })
}

/** What one statement touches. A kind that is not known here needs every privilege: it may do anything. */
export function examine(kind: string, statement: Struct, into: Collector): void {
  if (free.has(kind)) return
  switch (kind) {
    case 'SelectStmt':
    case 'InsertStmt':
    case 'UpdateStmt':
    case 'DeleteStmt':
    case 'MergeStmt':
      walk({ [kind]: statement }, into, nothingHidden)
      return
    case 'CopyStmt':
      copy(statement, into)
      return
    case 'ExplainStmt':
      inner(statement['query'], into)
      return
    case 'PrepareStmt':
      declare('statement', statement, into)
      return
    case 'DeclareCursorStmt':
      declare('cursor', statement, into)
      return
    case 'ExecuteStmt':
      use('statement', statement['name'], into)
      walk(statement['params'], into, nothingHidden)
      return
    case 'FetchStmt':
      use('cursor', statement['portalname'], into)
      return
    case 'VariableSetStmt':
      set(statement, into)
      return
    case 'TransactionStmt':
      transaction(statement, into)
      return
    case 'TruncateStmt':
      truncate(statement, into)
      return
    case 'LockStmt':
      lock(statement, into)
      return
    case 'VacuumStmt':
    case 'ClusterStmt':
    case 'RepackStmt':
    case 'ReindexStmt':
      maintain(kind, statement, into)
      return
    case 'RefreshMatViewStmt':
      into.range(statement['relation'], write)
      return
    case 'CreateSchemaStmt':
      createSchema(statement, into)
      return
    case 'CreateStmt':
      createTable(statement, into)
      return
    case 'CreateTableAsStmt':
      createTableAs(statement, into)
      return
    case 'ViewStmt':
      createView(statement, into)
      return
    case 'RuleStmt':
      createRule(statement, into)
      return
    case 'AlterTableStmt':
      alterTable(statement, into)
      return
    case 'IndexStmt':
      createIndex(statement, into)
      return
    case 'CreateTrigStmt':
    case 'CreatePolicyStmt':
    case 'AlterPolicyStmt':
      createOnTable(kind, statement, into)
      return
    case 'CreateStatsStmt':
      createStatistics(statement, into)
      return
    case 'AlterStatsStmt':
      into.object(namesIn(statement['defnames']))
      return
    case 'CreateSeqStmt':
    case 'AlterSeqStmt':
      sequence(kind, statement, into)
      return
    case 'CompositeTypeStmt':
    case 'CreateEnumStmt':
    case 'CreateRangeStmt':
    case 'CreateDomainStmt':
    case 'AlterEnumStmt':
    case 'AlterDomainStmt':
      createType(kind, statement, into)
      return
    case 'DefineStmt':
      if (statement['kind'] === 'OBJECT_COLLATION') into.object(namesIn(statement['defnames']))
      else into.restricted(verbOf(kind))
      return
    case 'DropStmt':
      drop(statement, into)
      return
    case 'CommentStmt':
      comment(statement, into)
      return
    case 'RenameStmt':
      rename(statement, into)
      return
    case 'AlterObjectSchemaStmt':
      alterSchema(statement, into)
      return
    default:
      into.restricted(verbOf(kind))
  }
}
