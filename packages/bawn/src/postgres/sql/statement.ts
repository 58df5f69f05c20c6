import type { Node, RawStmt } from 'libpg-query'
import type { Context } from './context.ts'
import { examineCopy } from './copy.ts'
import { changesSchema, examineDefinition, examineSchemaName, touches, verbOf } from './definition.ts'
import { examine, refuseOutputs, type Setting } from './expression.ts'
import type { CopyPlan } from './plan.ts'
import { type Ctes, statementShape, storedInto } from './query.ts'
import { Refusal } from './refusal.ts'
import { examineSettings } from './settings.ts'
import { isStruct, type Struct, unwrap } from './tree.ts'

const none: Ctes = new Map()

/** What one statement of a text means for the plan, besides what it left in the context. */
export interface Examined {
  readonly verb: string
  /** Are its results to be looked at, whatever tables it names? */
  readonly results: boolean
  readonly schemaChange: boolean
  /** Does it give a query a name that the protocol knows as well? */
  readonly declares: boolean
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

function refuseRewriting(context: Context, what: string): void {
  if (context.edits.length === 0 && context.parameters.length === 0) return
  throw refuse(
    `${what} of a statement that writes or searches protected values: they would have to be sealed when it is executed`,
    "Use the protocol's prepared statements, as drivers do, or send the statement itself",
  )
}

function execute(statement: Struct, context: Context): void {
  const setting: Setting = { context, scope: { sources: [], parent: undefined }, ctes: none, clause: 'EXECUTE' }
  examine(statement['params'], setting)
}

function examineKind(kind: string, statement: Struct, node: Node, context: Context): boolean {
  switch (kind) {
    case 'SelectStmt':
    case 'InsertStmt':
    case 'UpdateStmt':
    case 'DeleteStmt':
    case 'MergeStmt':
      if (touches(statement, context.names) || executesText(statement)) statementShape(node, context, undefined, none)
      return false
    case 'ExplainStmt':
    case 'DeclareCursorStmt': {
      const inner = unwrap(statement['query'])
      const query = innerQuery(statement)
      return inner === undefined || query === undefined ? false : examineKind(inner[0], inner[1], query, context)
    }
    case 'PrepareStmt': {
      const inner = unwrap(statement['query'])
      const query = innerQuery(statement)
      if (inner !== undefined && query !== undefined && touches(statement, context.names)) {
        examineKind(inner[0], inner[1], query, context)
        refuseRewriting(context, 'PREPARE')
      }
      return false
    }
    case 'ExecuteStmt':
      execute(statement, context)
      return true
    case 'FetchStmt':
      return statement['ismove'] !== true
    case 'CreateTableAsStmt': {
      if (unwrap(statement['query'])?.[0] === 'ExecuteStmt') {
        throw refuse('CREATE TABLE AS EXECUTE would store what a prepared statement yields', 'Write the query itself')
      }
      if (touches(statement, context.names)) storedQuery(kind, statement, context)
      return false
    }
    case 'ViewStmt': {
      if (!touches(statement, context.names)) return false
      const { view } = statement
      // Its name as that of a table to fill: found before the protected one, it would be read in its place.
      if (isStruct(view)) storedInto({ rel: view }, { columns: [], ordered: true, open: false }, context, verbOf(kind))
      storedQuery(kind, statement, context)
      return false
    }
    default:
      examineSchemaName(kind, statement, context.names)
      if (touches(statement, context.names) || kind === 'DoStmt' || kind === 'CreateFunctionStmt') {
        examineDefinition(kind, statement, context.names)
      }
      return false
  }
}

function executesText(statement: Struct): boolean {
  return /"sval":"(?:(?:query|cursor|table|schema|database)_to_xml|ts_stat|dblink|crosstab|connectby|xpath_table)/.test(
    JSON.stringify(statement),
  )
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
  if ('CopyStmt' in node) {
    const copies = touches(statement, context.names) || executesText(statement)
    const copy = copies ? examineCopy(node.CopyStmt, context) : undefined
    return { verb: verbOf(kind), results: false, schemaChange: false, declares: false, copy }
  }
  const results = examineKind(kind, statement, node, context)
  const declares = kind === 'PrepareStmt' || kind === 'DeclareCursorStmt'
  return { verb: verbOf(kind), results, schemaChange: changesSchema(kind), declares }
}
