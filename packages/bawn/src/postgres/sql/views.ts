import { Buffer } from 'node:buffer'
import type { Node } from 'libpg-query'
import { Context } from './context.ts'
import { type LexerLimits, lex } from './lexer.ts'
import { createNames, type Names } from './names.ts'
import type { Parser } from './parser.ts'
import type { Dependent, ProtectedRelation, RelationColumn, SchemaSnapshot } from './plan.ts'
import { statementShape } from './query.ts'
import { Refusal } from './refusal.ts'
import { touches } from './schema-change.ts'
import { type Scope, type Shape, type Source, tableSource, unknownShape } from './scope.ts'
import { ViewDefaults } from './view-defaults.ts'

/** A view, materialized view or table with rules, as the catalogue has it. Definitions name every table with its schema. */
export interface Defined {
  readonly oid: number
  readonly schema: string
  readonly name: string
  /** Live columns, in order. */
  readonly columns: readonly RelationColumn[]
  /** The query of a view; `undefined` for a table. */
  readonly query: string | undefined
  /** Its rules `ON INSERT`, `UPDATE` and `DELETE`: `CREATE RULE …`. */
  readonly rules: readonly string[]
}

export interface Followed {
  /** With what was found: views that yield protected columns, tables and views that must not be written. */
  readonly relations: readonly ProtectedRelation[]
  readonly dependents: readonly Dependent[]
}

/** A definition was accepted by the server: it is bounded only so that it cannot hurt the parser. */
const limits: LexerLimits = { tokens: 100_000, nesting: 200, chain: 1_000 }
const maxDefinitionBytes = 1024 * 1024

const notRead = 'its definition cannot be read by the gateway'

type Outcome = { readonly kind: 'shape'; readonly shape: Shape } | { readonly kind: 'not'; readonly reason: string }

async function analyse(
  text: string,
  names: Names,
  parser: Parser,
  examine: (node: Node, context: Context) => Shape,
): Promise<Outcome> {
  const bytes = Buffer.from(text)
  const lexed = bytes.length <= maxDefinitionBytes ? lex(bytes, limits) : undefined
  if (lexed?.kind !== 'tokens') return { kind: 'not', reason: notRead }
  const parsed = await parser.parse(bytes)
  const [statement, ...more] = parsed.kind === 'parsed' ? parsed.statements : []
  if (statement?.stmt === undefined || more.length > 0) return { kind: 'not', reason: notRead }
  const context = new Context(bytes, lexed.tokens, names, () => 'none', { follows: true })
  try {
    const shape = examine(statement.stmt, context)
    // A literal that would have to be sealed: the server runs the definition as it stands.
    if (context.edits.length > 0) return { kind: 'not', reason: 'it writes a value that would not be sealed' }
    return { kind: 'shape', shape }
  } catch (error) {
    if (error instanceof Refusal) return { kind: 'not', reason: error.message }
    if (error instanceof RangeError) return { kind: 'not', reason: notRead }
    throw error
  }
}

/** The columns of a view with the fields that its query yields, by place. */
function fieldsOf(view: Defined, shape: Shape): readonly RelationColumn[] | undefined {
  if (!shape.columns.some(column => column.field !== undefined)) return view.columns
  if (!shape.ordered || shape.columns.length !== view.columns.length) return undefined
  return view.columns.map((column, index) => ({ ...column, field: shape.columns[index]?.field }))
}

/** `old` and `new`, as the actions of a rule see them. */
function versions(relation: Defined): Scope {
  const sources = ['old', 'new'].map((alias): Source => {
    const guarded = relation.columns.some(column => column.field !== undefined)
    const found = guarded
      ? tableSource(relation, alias, relation.schema, false)
      : { ...unknownShape, relation: undefined }
    return { ...found, alias, schema: undefined, qualifiedOnly: true }
  })
  return { sources, parent: undefined }
}

/** Why a rule may store a value that is not sealed; `undefined` when it does not. */
async function ruleProblem(rule: string, relation: Defined, names: Names, parser: Parser): Promise<string | undefined> {
  const outcome = await analyse(rule, names, parser, (node, context) => {
    const actions = 'RuleStmt' in node ? (node.RuleStmt.actions ?? []) : [node]
    for (const action of actions) {
      // Into tables without protected columns a rule may copy what it likes: it has ciphertext only.
      if (touches(action, names)) statementShape(action, context, versions(relation), new Map())
    }
    return unknownShape
  })
  return outcome.kind === 'not' ? outcome.reason : undefined
}

/**
 * Follows protected columns through the definitions of views, views over them, and rules. A column of a view that is nothing but a
 * protected column is one itself; a view that computes with one is refused, with the reason.
 *
 * @param snapshot what is known of tables; its `dependents` are those that are not to be followed
 */
export async function followViews(
  snapshot: Pick<SchemaSnapshot, 'relations' | 'dependents' | 'homonyms' | 'problems'>,
  defined: readonly Defined[],
  parser: Parser,
): Promise<Followed> {
  const relations = [...snapshot.relations]
  const dependents = [...snapshot.dependents]
  const defaults = new ViewDefaults(relations)
  let waiting = defined.filter(item => item.query !== undefined)
  const plain: Defined[] = []
  const reasons = new Map<Defined, string>()
  const names = (): Names => {
    const unread = waiting.map(({ schema, name }) => ({ schema, name, reason: '' }))
    return createNames({ ...snapshot, relations, dependents: [...dependents, ...unread], epoch: 0, columns: new Map() })
  }
  // A view over views is refused until those are known; each round knows more, or is the last.
  for (let before = -1; before !== waiting.length && waiting.length > 0; ) {
    before = waiting.length
    const known = names()
    const left: Defined[] = []
    for (const view of waiting) {
      let query: Node | undefined
      const outcome = await analyse(view.query ?? '', known, parser, (node, context) => {
        query = node
        return statementShape(node, context, undefined, new Map())
      })
      const columns = outcome.kind === 'shape' ? fieldsOf(view, outcome.shape) : undefined
      if (columns === undefined) {
        reasons.set(view, outcome.kind === 'not' ? outcome.reason : 'which of its columns are protected cannot be told')
        left.push(view)
        continue
      }
      const { oid, schema, name } = view
      const found = query === undefined ? { columns } : defaults.follow(view, query, columns)
      if (columns !== view.columns) relations.push({ oid, schema, name, ...found, derived: 'view' })
      else if (found.unwritable === undefined) plain.push(view)
      else dependents.push({ schema, name, reason: found.unwritable, readable: true })
    }
    waiting = left
  }
  for (const view of waiting) {
    dependents.push({ schema: view.schema, name: view.name, reason: reasons.get(view) ?? notRead })
  }
  waiting = []
  const known = names()
  for (const item of defined) {
    const at = relations.findIndex(relation => relation.oid === item.oid)
    const relation = relations[at]
    const columns = relation?.columns ?? item.columns
    for (const rule of item.rules) {
      const reason = await ruleProblem(rule, { ...item, columns }, known, parser)
      if (reason === undefined) continue
      if (relation !== undefined) relations[at] = { ...relation, unwritable: reason }
      else if (item.query === undefined || plain.includes(item)) {
        dependents.push({ schema: item.schema, name: item.name, reason, readable: true })
      }
      break
    }
  }
  return { relations, dependents }
}
