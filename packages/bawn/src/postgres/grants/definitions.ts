import type { Privilege } from '../../accounts/grant.ts'
import { everyStruct, isStruct, type Struct, unwrap } from '../sql/tree.ts'
import { type Collector, namesIn, qualified, rangeName } from './collector.ts'
import { nothingHidden, walk } from './queries.ts'
import type { Noun } from './reading.ts'

// What statements that make, alter and drop objects touch. `moving` a relation is as good as having it: under another name, in another
// schema or as the child of another table, other entries decide about it.

const define: readonly Privilege[] = ['DDL']
/** Rows are looked at on the way: what they hold is told by the error of one that does not fit, or by an action that sees each new row. */
const defineOverRows: readonly Privilege[] = ['DDL', 'DQL']
export const moving: readonly Privilege[] = ['DQL', 'DML', 'DDL']

/** Kinds of relation by the parser's names. */
const nouns: { readonly [type: string]: Noun | undefined } = {
  OBJECT_TABLE: 'table',
  OBJECT_VIEW: 'view',
  OBJECT_MATVIEW: 'materialized view',
  OBJECT_SEQUENCE: 'sequence',
  OBJECT_INDEX: 'index',
  OBJECT_FOREIGN_TABLE: 'foreign table',
}

/** What goes by its schema. */
const inSchema = new Set(
  `OBJECT_TYPE OBJECT_DOMAIN OBJECT_FUNCTION OBJECT_PROCEDURE OBJECT_ROUTINE OBJECT_AGGREGATE OBJECT_COLLATION OBJECT_STATISTIC_EXT
  OBJECT_TSCONFIGURATION OBJECT_TSDICTIONARY`.split(/\s+/),
)

/** What is a part of a table, by the table's name and its own. */
const onTable = new Set(
  'OBJECT_TRIGGER OBJECT_RULE OBJECT_POLICY OBJECT_TABCONSTRAINT OBJECT_COLUMN OBJECT_ATTRIBUTE'.split(' '),
)

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

const expressions = (value: unknown, into: Collector): void => walk(value, into, nothingHidden)

export function createTable(statement: Struct, into: Collector): void {
  into.creation(statement['relation'])
  for (const node of listOf(statement['inhRelations'])) {
    // Its rows will be among those of the parent.
    if (isStruct(node)) into.range(node['RangeVar'], ['DDL', 'DQL'])
  }
  for (const node of listOf(statement['tableElts'])) expressions(node, into)
  expressions(
    [statement['constraints'], statement['nnconstraints'], statement['partspec'], statement['partbound']],
    into,
  )
}

export function alterTable(statement: Struct, into: Collector): void {
  const { relation, objtype } = statement
  if (objtype === 'OBJECT_TYPE') {
    const { schema, name } = rangeName(isStruct(relation) ? relation : {})
    into.object(schema === undefined ? [name] : [schema, name])
  } else into.range(relation, define)
  for (const node of listOf(statement['cmds'])) {
    const command = isStruct(node) && isStruct(node['AlterTableCmd']) ? node['AlterTableCmd'] : {}
    const inner = unwrap(command['def'])
    switch (command['subtype']) {
      case 'AT_AttachPartition':
        into.range(inner?.[1]['name'], moving)
        break
      case 'AT_DetachPartition':
      case 'AT_DetachPartitionFinalize':
        into.range(inner?.[1]['name'], define)
        break
      case 'AT_AddInherit':
        into.range(relation, moving)
        into.range(inner?.[1], define)
        break
      case 'AT_DropInherit':
        into.range(inner?.[1], define)
        break
      case 'AT_ChangeOwner':
        into.restricted('ALTER … OWNER TO')
        break
      default:
        if (looksAtRows(command)) into.range(relation, defineOverRows)
        expressions(command['def'], into)
    }
  }
}

const overRows = new Set(
  'AT_AlterColumnType AT_AddConstraint AT_ValidateConstraint AT_SetNotNull AT_SetExpression AT_AddIndexConstraint'.split(
    ' ',
  ),
)

function looksAtRows(command: Struct): boolean {
  if (overRows.has(textOf(command['subtype']))) return true
  let found = false
  everyStruct(command['def'], struct => {
    if (struct['Constraint'] !== undefined) found = true
    return !found
  })
  return found
}

export function createIndex(statement: Struct, into: Collector): void {
  into.range(statement['relation'], defineOverRows)
  expressions([statement['indexParams'], statement['indexIncludingParams'], statement['whereClause']], into)
}

/** CREATE TRIGGER, POLICY and STATISTICS: of a table, with expressions. */
export function createOnTable(kind: string, statement: Struct, into: Collector): void {
  into.range(kind === 'CreateTrigStmt' ? statement['relation'] : statement['table'], defineOverRows)
  into.range(statement['constrrel'], ['DQL'])
  if (kind === 'CreateTrigStmt') {
    const { schema, name } = qualified(namesIn(statement['funcname']))
    into.add({ kind: 'function', schema, name, attribute: false })
  }
  expressions([statement['whenClause'], statement['qual'], statement['with_check']], into)
}

export function createStatistics(statement: Struct, into: Collector): void {
  for (const node of listOf(statement['relations'])) if (isStruct(node)) into.range(node['RangeVar'], defineOverRows)
  const names = namesIn(statement['defnames'])
  if (names.length > 0) into.object(names)
  expressions(statement['exprs'], into)
}

/** CREATE and ALTER SEQUENCE, with OWNED BY. */
export function sequence(kind: string, statement: Struct, into: Collector): void {
  if (kind === 'CreateSeqStmt') into.creation(statement['sequence'])
  else into.range(statement['sequence'], define, 'sequence')
  for (const node of listOf(statement['options'])) {
    const option = isStruct(node) && isStruct(node['DefElem']) ? node['DefElem'] : {}
    const owner = option['defname'] === 'owned_by' ? namesIn(option['arg']).slice(0, -1) : []
    // Afterwards whoever may write the table may use the sequence.
    if (owner.length > 0) into.named(owner, define)
  }
}

export function createType(kind: string, statement: Struct, into: Collector): void {
  switch (kind) {
    case 'CompositeTypeStmt': {
      const { schema, name } = rangeName(isStruct(statement['typevar']) ? statement['typevar'] : {})
      into.object(schema === undefined ? [name] : [schema, name])
      break
    }
    case 'CreateDomainStmt':
      into.object(namesIn(statement['domainname']))
      expressions(statement['constraints'], into)
      break
    case 'CreateRangeStmt': {
      const options = listOf(statement['params']).map(node =>
        isStruct(node) && isStruct(node['DefElem']) ? textOf(node['DefElem']['defname']) : '',
      )
      // `canonical` and `subtype_diff` bind functions to it.
      const plain = ['subtype', 'collation', 'subtype_opclass', 'multirange_type_name']
      if (options.every(option => plain.includes(option))) into.object(namesIn(statement['typeName']))
      else into.restricted('CREATE TYPE … AS RANGE with functions')
      break
    }
    default:
      into.object(namesIn(statement['typeName']))
      expressions(statement['def'], into)
  }
}

export function drop(statement: Struct, into: Collector): void {
  const type = textOf(statement['removeType'])
  const noun = nouns[type]
  const cascade = statement['behavior'] === 'DROP_CASCADE'
  for (const object of listOf(statement['objects'])) {
    const names = namesIn(object)
    if (noun !== undefined) {
      into.named(names, define, noun)
      into.changes.push({ kind: 'drop', ...qualified(names), cascade })
    } else if (type === 'OBJECT_SCHEMA') {
      const { name } = qualified(names)
      into.add({ kind: 'schema', schema: name, privileges: define })
      if (cascade) into.add({ kind: 'contents', schema: name, privileges: define })
      into.changes.push({ kind: 'drop-schema', schema: name, cascade })
    } else if (onTable.has(type) && names.length > 1) into.named(names.slice(0, -1), define)
    else if (inSchema.has(type) && names.length > 0) into.object(names)
    else into.restricted(`DROP ${described(type)}`)
  }
}

export function comment(statement: Struct, into: Collector): void {
  const type = textOf(statement['objtype'])
  const names = namesIn(statement['object'])
  const noun = nouns[type]
  if (noun !== undefined) into.named(names, define, noun)
  else if (type === 'OBJECT_SCHEMA') into.add({ kind: 'schema', schema: qualified(names).name, privileges: define })
  else if (onTable.has(type) && names.length > 1) into.named(names.slice(0, -1), define)
  else if (inSchema.has(type) && names.length > 0) into.object(names)
  else into.restricted(`COMMENT ON ${described(type)}`)
}

export function rename(statement: Struct, into: Collector): void {
  const { relation, object, subname, newname } = statement
  const type = textOf(statement['renameType'])
  const range = isStruct(relation) ? rangeName(relation) : undefined
  const newName = textOf(newname)
  if (range !== undefined && type === 'OBJECT_INDEX') into.range(relation, define, 'index')
  else if (range !== undefined && nouns[type] !== undefined) {
    into.range(relation, moving)
    into.add({ kind: 'new-name', ...range, newName })
    into.changes.push({ kind: 'move', ...range })
  } else if (type === 'OBJECT_SCHEMA') moveSchema(textOf(subname), newName, into)
  else if (range !== undefined && statement['relationType'] === 'OBJECT_TYPE') {
    into.object(range.schema === undefined ? [range.name] : [range.schema, range.name])
  } else if (range !== undefined && onTable.has(type)) into.range(relation, define)
  else if (inSchema.has(type) || type === 'OBJECT_DOMCONSTRAINT') into.object(namesIn(object))
  else into.restricted(`ALTER ${described(type)} RENAME`)
}

function moveSchema(schema: string, newName: string, into: Collector): void {
  into.add({ kind: 'schema', schema, privileges: moving })
  into.add({ kind: 'contents', schema, privileges: moving })
  into.add({ kind: 'schema', schema: newName, privileges: define })
  into.changes.push({ kind: 'move-schema', schema })
}

/** ALTER … SET SCHEMA. */
export function alterSchema(statement: Struct, into: Collector): void {
  const { relation } = statement
  const type = textOf(statement['objectType'])
  const schema = textOf(statement['newschema'])
  if (isStruct(relation) && nouns[type] !== undefined) {
    const range = rangeName(relation)
    into.range(relation, moving)
    into.add({ kind: 'creation', schema, name: range.name })
    into.changes.push({ kind: 'move', ...range })
  } else if (inSchema.has(type)) {
    const names = namesIn(statement['object'])
    into.object(names)
    into.object([schema, names.at(-1) ?? ''])
  } else into.restricted(`ALTER ${described(type)} SET SCHEMA`)
}

/** `OBJECT_FOREIGN_SERVER` → `FOREIGN SERVER`, for messages. */
function described(type: string): string {
  return type.replace('OBJECT_', '').replaceAll('_', ' ')
}
