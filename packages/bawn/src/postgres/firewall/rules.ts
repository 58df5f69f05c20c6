import type { Node, RawStmt } from 'libpg-query'
import type { Gate } from '../../policy/policy.ts'
import { readStatements } from '../grants/read.ts'
import type { Reference } from '../grants/reading.ts'
import type { Parser } from '../sql/parser.ts'
import { isStruct, unwrap } from '../sql/tree.ts'
import { type ColumnFacts, columnFactsOf } from './columns.ts'
import { FirewallError } from './error.ts'
import { namedKey } from './judged-names.ts'
import type { FirewallRuleOptions } from './option.ts'
import { checkPattern, matches, PatternError, parseableText } from './pattern.ts'
import { classesOf, type StatementClass, takesEveryRow } from './statement-class.ts'
import { TableSet } from './touched.ts'

/** A rule that was checked. */
export interface Rule {
  readonly name: string
  readonly action: 'allow' | 'deny'
  /** Whom it is for; `undefined`: everybody. */
  readonly gate: Gate | undefined
  readonly tables: TableSet | undefined
  readonly classes: ReadonlySet<StatementClass> | undefined
  readonly queries: readonly Node[] | undefined
  readonly withoutWhere: boolean
}

/** What rules make of one statement of a text, whoever sends it and whatever the database holds. */
export interface StatementMatch {
  readonly classes: ReadonlySet<StatementClass>
  readonly references: readonly Reference[]
  /** In order; what is left to ask of each is who sends it and which tables its names mean. */
  readonly rules: readonly Rule[]
  /** What it does with columns, where rules are about some. */
  readonly columns?: ColumnFacts | undefined
  /** Names that it gives a query, and names that it runs or reads on: `namedKey`. */
  readonly declares?: readonly string[] | undefined
  readonly uses?: readonly string[] | undefined
  /** Its shape, where shapes are collected. */
  readonly shape?: string | undefined
}

/** What rules make of a text. Holds nothing of its values. */
export interface TextMatch {
  readonly kind: 'read'
  readonly statements: readonly StatementMatch[]
}

async function parsePattern(text: string, rule: string, parser: Parser): Promise<Node> {
  const wrong = (why: string): FirewallError =>
    new FirewallError('postgres.firewall_invalid', `a query of firewall rule ${rule} cannot be used: ${why}`)
  let parseable: string
  try {
    parseable = parseableText(text)
  } catch (error) {
    if (error instanceof PatternError) throw wrong(error.message)
    throw error
  }
  const parsed = await parser.parse(Buffer.from(parseable))
  if (parsed.kind !== 'parsed') {
    const where =
      parsed.kind === 'invalid' && parsed.offset !== undefined ? `, near byte ${parsed.offset} of ${parseable}` : ''
    throw wrong(`syntax error${where}`)
  }
  const [statement, ...more] = parsed.statements
  if (statement?.stmt === undefined) throw wrong('it is empty')
  if (more.length > 0) throw wrong('it is several statements')
  try {
    checkPattern(statement.stmt)
  } catch (error) {
    if (error instanceof PatternError) throw wrong(error.message)
    throw error
  }
  return statement.stmt
}

/** @throws {FirewallError} (rejects with) `postgres.firewall_invalid` */
export async function compileRule(
  options: FirewallRuleOptions,
  parser: Parser,
  gateOf: (allow: readonly string[]) => Gate,
): Promise<Rule> {
  const { name, action, for: policies, tables, statements, queries, without_where: bare } = options
  return {
    name,
    action,
    gate: policies === undefined ? undefined : gateOf(policies),
    tables: tables === undefined ? undefined : new TableSet(tables),
    classes: statements === undefined ? undefined : new Set(statements),
    queries: queries && (await Promise.all(queries.map(text => parsePattern(text, name, parser)))),
    withoutWhere: bare === true,
  }
}

/** Statements that run, keep or explain another one as it stands; `copies` those that hand its rows on in another form. */
const around = new Set(['PrepareStmt', 'DeclareCursorStmt', 'ExplainStmt'])
const copies = new Set(['CopyStmt', 'CreateTableAsStmt', 'ViewStmt'])

/** A statement and those that it wraps. */
function wrapped(statement: Node, action: Rule['action']): readonly unknown[] {
  const found: unknown[] = [statement]
  let inner = unwrap(statement)
  while (inner !== undefined && (around.has(inner[0]) || (action === 'deny' && copies.has(inner[0])))) {
    const { query } = inner[1]
    if (!isStruct(query)) break
    found.push(query)
    inner = unwrap(query)
  }
  return found
}

function concerns(rule: Rule, statement: Node, classes: ReadonlySet<StatementClass>): boolean {
  const { classes: wanted, queries, action } = rule
  if (wanted !== undefined) {
    const all = [...classes]
    if (action === 'deny' ? !all.some(one => wanted.has(one)) : !all.every(one => wanted.has(one))) return false
  }
  if (rule.withoutWhere && !takesEveryRow(statement)) return false
  if (queries === undefined) return true
  const breadth = action === 'deny' ? 'any' : 'plain'
  const forms = wrapped(statement, action)
  return queries.some(query => forms.some(form => matches(query, form, breadth)))
}

/** What a rule asks of a statement whose tree is not at hand: only classes can be told. */
function concernsClass(rule: Rule, classes: ReadonlySet<StatementClass>): boolean {
  if (rule.queries !== undefined || rule.withoutWhere) return false
  if (rule.classes === undefined) return true
  const all = [...classes]
  return rule.action === 'deny' ? all.some(one => rule.classes?.has(one)) : all.every(one => rule.classes?.has(one))
}

/** Nothing behind a rule that is for everybody and every table is ever asked. */
function untilCertain(rules: readonly Rule[], holds: (rule: Rule) => boolean): readonly Rule[] {
  const found: Rule[] = []
  for (const rule of rules) {
    if (!holds(rule)) continue
    found.push(rule)
    if (rule.gate === undefined && rule.tables === undefined) break
  }
  return found
}

/** @throws {RangeError} when a statement is nested too deeply */
export function matchStatement(
  raw: RawStmt,
  rules: readonly Rule[],
  asksForColumns: boolean,
): StatementMatch | undefined {
  const statement = raw.stmt
  if (statement === undefined) return undefined
  const classes = classesOf(statement)
  const { references, declarations, uses } = readStatements([raw])
  const found = untilCertain(rules, rule => concerns(rule, statement, classes))
  const columns = asksForColumns ? columnFactsOf(statement, classes) : undefined
  return {
    ...{ classes, references, rules: found, columns },
    declares: declarations.length === 0 ? undefined : declarations.map(({ kind, name }) => namedKey(kind, name)),
    uses: uses.length === 0 ? undefined : uses.map(({ kind, name }) => namedKey(kind, name)),
  }
}

const opaque: readonly Reference[] = [{ kind: 'restricted', what: 'what is not seen into' }]

/** Of a statement about accounts that is the gateway's own, which no parser of PostgreSQL reads. */
export function matchAccounts(rules: readonly Rule[]): TextMatch {
  const classes: ReadonlySet<StatementClass> = new Set(['DCL'] as const)
  const statement = { classes, references: opaque, rules: untilCertain(rules, rule => concernsClass(rule, classes)) }
  return { kind: 'read', statements: [statement] }
}

/** Rules that ask nothing of the statement itself. */
export function unconditional(rules: readonly Rule[]): readonly Rule[] {
  return rules.filter(
    ({ classes, queries, tables, withoutWhere }) =>
      classes === undefined && queries === undefined && tables === undefined && !withoutWhere,
  )
}
