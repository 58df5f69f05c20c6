import type { ExecuteStmt, Node, PrepareStmt, RangeVar, RawStmt } from 'libpg-query'
import type { Context } from './context.ts'
import { examineCopy } from './copy.ts'
import { examineDefinition, examineSchemaName, verbOf } from './definition.ts'
import { examine, refuseOutputs, type Setting } from './expression.ts'
import { isTemporary } from './names.ts'
import type { CopyPlan, NamedEffect, NamedQuery, ParameterUse } from './plan.ts'
import { type Ctes, statementShape, storedInto } from './query.ts'
import { Refusal } from './refusal.ts'
import { runsText } from './running-text.ts'
import { changesApart, changesSchema, touches } from './schema-change.ts'
import { isGuarded, type Shape } from './scope.ts'
import { examineSettings } from './settings.ts'
import { isStruct, type Struct, unwrap } from './tree.ts'
import { isConstant, placeConstant, valueType } from './value.ts'

const none: Ctes = new Map()

/** What one statement of a text means for the plan, besides what it left in the context. */
export interface Examined {
  readonly verb: string
  /** Are its results to be looked at, whatever tables it names? */
  readonly results: boolean
  readonly schemaChange: boolean
  /** And concerns nothing protected. */
  readonly apart?: boolean
  /** Does it give a query a name that the protocol knows as well? */
  readonly declares: boolean
  readonly named?: NamedEffect | undefined
  /** What is executed or fetched from. */
  readonly executes?: NamedQuery | undefined
  /** Protected columns are copied. */
  readonly copy?: CopyPlan | undefined
}

function refuse(message: string, hint: string): Refusal {
  return new Refusal('postgres.statement_refused', message, hint)
}

/** The query inside EXPLAIN, PREPARE, DECLARE, CREATE VIEW …. */
function innerQuery(statement: Struct): Node | undefined {
  const query = statement['query']
  return unwrap(query) === undefined ? undefined : (query as Node)
}

/** A query whose result is stored, or whose text is kept: no protected output and nothing to rewrite. */
function storedQuery(kind: string, statement: Struct, context: Context): void {
  const shape = statementShape(innerQuery(statement), context, undefined, none)
  const { into } = statement
  if (isStruct(into)) storedInto(into, shape, context, verbOf(kind))
  refuseOutputs(shape.columns, verbOf(kind), undefined)
  refuseRewriting(context, verbOf(kind))
}

/** A view keeps its query: protected columns go through it, and are recognised by the view's own numbers once it is known. */
function viewOf(verb: string, statement: Struct, view: unknown, context: Context): void {
  context.follows = true
  const shape = statementShape(innerQuery(statement), context, undefined, none)
  context.follows = false
  refuseRewriting(context, verb)
  const { schemaname, relname, relpersistence }: RangeVar = isStruct(view) ? view : {}
  const meaning = context.names.meaning(schemaname, relname ?? '')
  const isView = meaning.kind === 'dependent' || (meaning.kind === 'protected' && meaning.relation.derived === 'view')
  // Found before the protected table of this name, it would be read in its place.
  if (!isView)
    storedInto(
      { rel: { relname: relname ?? '', ...(schemaname === undefined ? {} : { schemaname }) } },
      unguarded,
      context,
      verb,
    )
  if (!isGuarded(shape) && !context.isHazardous) return
  if (relpersistence === 't' || isTemporary(schemaname ?? '')) {
    throw refuse(
      'a temporary view over protected columns is not known to the gateway, and what is written through it would not be sealed',
      'Create the view without TEMPORARY, or write its query with WITH',
    )
  }
  if (isGuarded(shape) && !shape.ordered)
    throw refuse(`which columns of "${relname}" are protected cannot be told`, 'Name the columns instead of *')
  context.makes.add(relname ?? '')
}

const unguarded: Shape = { columns: [], ordered: true, open: false }

function refuseRewriting(context: Context, what: string): void {
  if (context.edits.length === 0 && context.parameters.length === 0) return
  throw refuse(
    `${what} of a statement that writes or searches protected values: they would have to be sealed when it is executed`,
    "Use the protocol's prepared statements, as drivers do, or send the statement itself",
  )
}

/** `EXECUTE p (…)`: values go where the parameters of p are. */
function execute(statement: ExecuteStmt, context: Context): void {
  const { name = '', params = [] } = statement
  const setting: Setting = { context, scope: { sources: [], parent: undefined }, ctes: none, clause: 'EXECUTE' }
  if (params.length === 0) return
  const uses = context.usesOf(name)
  if (uses === undefined && context.names.all.length > 0) {
    throw refuse(`what the parameters of "${name}" hold cannot be told`, 'Send the statement itself')
  }
  params.forEach((param, index) => {
    const use = uses?.find(one => one.index === index + 1)
    if (use === undefined) examine(param, setting)
    else if (isConstant(param)) {
      placeConstant(context, param, { field: use.field, column: `field ${use.field.name}`, as: use.as })
    } else {
      throw refuse(
        `"${name}" would get the result of an expression for field ${use.field.name}, which cannot be sealed`,
        'Give it the value itself, as a literal',
      )
    }
  })
}

/** `PREPARE p (types) AS …`: the parameters of protected columns are bytea, whatever was said. */
function prepare(statement: PrepareStmt, context: Context): readonly ParameterUse[] {
  const { name = '', argtypes = [] } = statement
  const inner = unwrap(statement.query)
  const { query } = statement
  return context.prepare(name, () => {
    if (inner === undefined || query === undefined || !concerns(inner[1], context)) return
    examineKind(inner[0], inner[1], query, context)
    for (const { index, field } of context.parameters) {
      const node = argtypes[index - 1]
      if (node === undefined || !('TypeName' in node)) continue
      const declared = valueType(node.TypeName)
      if (declared === undefined || (declared === 'bytea') !== (field.type === 'bytes')) {
        throw refuse(
          `$${index} of "${name}" is declared with a type that may change values of field ${field.name}`,
          `Leave the type out, or say ${field.type === 'bytes' ? 'bytea' : 'text'}`,
        )
      }
      if (declared === 'text') context.byteaType(node.TypeName)
    }
  })
}

function examineKind(kind: string, statement: Struct, node: Node, context: Context): boolean {
  switch (kind) {
    case 'SelectStmt':
    case 'InsertStmt':
    case 'UpdateStmt':
    case 'DeleteStmt':
    case 'MergeStmt':
      if (concerns(statement, context)) statementShape(node, context, undefined, none)
      return false
    case 'ExplainStmt':
    case 'DeclareCursorStmt': {
      const inner = unwrap(statement['query'])
      const query = innerQuery(statement)
      return inner === undefined || query === undefined ? false : examineKind(inner[0], inner[1], query, context)
    }
    case 'ExecuteStmt':
      execute(statement as ExecuteStmt, context)
      return true
    case 'FetchStmt':
      // MOVE yields nothing, and runs the query of the cursor: its errors may tell as much.
      return true
    case 'CreateTableAsStmt': {
      if (unwrap(statement['query'])?.[0] === 'ExecuteStmt') {
        throw refuse('CREATE TABLE AS EXECUTE would store what a prepared statement yields', 'Write the query itself')
      }
      if (!concerns(statement, context)) return false
      if (statement['objtype'] === 'OBJECT_MATVIEW') {
        const { into } = statement
        viewOf('CREATE MATERIALIZED VIEW', statement, isStruct(into) ? into['rel'] : undefined, context)
      } else storedQuery(kind, statement, context)
      return false
    }
    case 'ViewStmt':
      if (concerns(statement, context)) viewOf(verbOf(kind), statement, statement['view'], context)
      return false
    default:
      examineSchemaName(kind, statement, context.names)
      if (touches(statement, context.names) || kind === 'DoStmt' || kind === 'CreateFunctionStmt') {
        examineDefinition(kind, statement, context)
      }
      return false
  }
}

/** Does it name a protected table, or may a text in it? */
function concerns(statement: Struct, context: Context): boolean {
  return touches(statement, context.names) || (context.names.all.length > 0 && runsText(JSON.stringify(statement)))
}

/**
 * Examines one statement; edits, parameters and tables go into the context.
 *
 * @throws {Refusal}
 */
export function examineStatement(raw: RawStmt, context: Context): Examined {
  const node = raw.stmt
  const inner = unwrap(node)
  if (node === undefined || inner === undefined)
    return { verb: '', results: false, schemaChange: false, declares: false }
  const [kind, statement] = inner
  examineSettings(node)
  const verb = verbOf(kind)
  if ('PrepareStmt' in node) {
    const { name = '', query } = node.PrepareStmt
    const parameters = prepare(node.PrepareStmt, context)
    const inside = unwrap(query)
    const concerned = inside === undefined || concerns(inside[1], context)
    const named: NamedEffect = { kind: 'prepared', name, parameters, concerned }
    return { verb, results: false, schemaChange: false, declares: true, named }
  }
  if ('CopyStmt' in node) {
    const copies = concerns(statement, context)
    const copy = copies ? examineCopy(node.CopyStmt, context) : undefined
    return { verb, results: false, schemaChange: false, declares: false, copy }
  }
  const results = examineKind(kind, statement, node, context)
  const declares = kind === 'DeclareCursorStmt'
  const [ran, run] = explained(kind, statement)
  const schemaChange = changesSchema(ran)
  const apart = schemaChange && changesApart(ran, run, context.names)
  const named = declared(node, context) ?? freed(node, context)
  return { verb, results, schemaChange, apart, declares, executes: executed(node), named }
}

function executed(node: Node): NamedQuery | undefined {
  if ('ExecuteStmt' in node) return { kind: 'statement', name: node.ExecuteStmt.name ?? '' }
  return 'FetchStmt' in node ? { kind: 'cursor', name: node.FetchStmt.portalname ?? '' } : undefined
}

function declared(node: Node, context: Context): NamedEffect | undefined {
  if (!('DeclareCursorStmt' in node)) return undefined
  const { portalname = '', query } = node.DeclareCursorStmt
  const inner = unwrap(query)
  return { kind: 'declared', name: portalname, concerned: inner === undefined || concerns(inner[1], context) }
}

/** `EXPLAIN ANALYZE` runs what it explains, be that one that makes a table or a materialized view. */
function explained(kind: string, statement: Struct): readonly [kind: string, statement: Struct] {
  return (kind === 'ExplainStmt' && unwrap(statement['query'])) || [kind, statement]
}

function freed(node: Node, context: Context): NamedEffect | undefined {
  if ('DiscardStmt' in node)
    return node.DiscardStmt.target === 'DISCARD_ALL' ? { kind: 'freed', name: undefined } : undefined
  if (!('DeallocateStmt' in node)) return undefined
  const { name } = node.DeallocateStmt
  if (name !== undefined) context.prepare(name, () => {})
  return { kind: 'freed', name }
}
