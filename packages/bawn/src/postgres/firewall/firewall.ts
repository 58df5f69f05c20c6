import { isDeepStrictEqual } from 'node:util'
import type { RawStmt } from 'libpg-query'
import type { Identity } from '../../authn/identity.ts'
import type { Gate } from '../../policy/policy.ts'
import type { Unread } from '../grants/reading.ts'
import type { Token } from '../sql/lexer.ts'
import type { DatabaseObjects } from '../sql/objects.ts'
import type { Parser } from '../sql/parser.ts'
import { type ColumnRule, columnDenial, compileColumnRule } from './columns.ts'
import type { FirewallOptions, NamedTable } from './option.ts'
import {
  compileRule,
  matchAccounts,
  matchStatement,
  type Rule,
  type StatementMatch,
  type TextMatch,
  unconditional,
} from './rules.ts'
import { shapeOf } from './shape.ts'
import { TableSet, type Touched, tableKey, touchedBy } from './touched.ts'

/** What the firewall says of a text. `rule` is a rule's name, or says that there is none. */
export type FirewallVerdict =
  | { readonly kind: 'permitted'; readonly rule: string; readonly named: boolean }
  /** `what` says more than the name of the rule. */
  | { readonly kind: 'denied'; readonly rule: string; readonly named: boolean; readonly what?: string }
  /** A name was not found, and the answer may be another when it is: to be asked again with objects that were read now. */
  | { readonly kind: 'unknown' }
  /** Which tables are meant depends on the database, which is not at hand. */
  | { readonly kind: 'undecided'; readonly rule: string }

/** Decides which statements go on, by rules in order. Compiled once; pure but for what it remembers of tables. */
export class Firewall {
  readonly rules: readonly Rule[]
  readonly columns: readonly ColumnRule[]
  readonly options: FirewallOptions
  /** Tables whose partitions, children and views the snapshot has to tell. */
  readonly watched: readonly NamedTable[]
  /** Does any rule ask about tables? Then the objects of the database are needed. */
  readonly asksForTables: boolean
  readonly accounts: TextMatch
  /** What its rules and gates were made of. */
  readonly #source: unknown
  readonly #parser: Parser | undefined
  readonly #unconditional: readonly Rule[]
  readonly #trusted: TableSet
  readonly #touched = new WeakMap<StatementMatch, { readonly objects: DatabaseObjects; readonly touched: Touched }>()

  /** @param parser for the check of shapes, where they are collected */
  constructor(
    options: FirewallOptions,
    rules: readonly Rule[],
    columns: readonly ColumnRule[],
    parser: Parser | undefined,
    source: unknown,
  ) {
    this.#source = source
    this.options = options
    this.rules = rules
    this.columns = columns
    this.#parser = parser
    this.asksForTables = columns.length > 0 || rules.some(rule => rule.tables !== undefined)
    const denied = rules.flatMap(rule => (rule.action === 'deny' ? (rule.tables?.names ?? []) : []))
    this.watched = [...denied, ...columns.map(({ table }) => table)]
    this.accounts = matchAccounts(rules)
    this.#unconditional = unconditional(rules)
    this.#trusted = new TableSet(options.trusted_functions)
  }

  /** Whether another one, of before a reload or after it, decides in the same way. */
  isSame(other: Firewall | undefined): boolean {
    return other === this || (other !== undefined && isDeepStrictEqual(other.#source, this.#source))
  }

  /** What rules make of a text, to be kept by text. @throws {RangeError} when it is nested too deeply */
  match(text: Uint8Array, tokens: readonly Token[], statements: readonly RawStmt[]): TextMatch {
    const matched = statements.flatMap(raw => {
      const match = matchStatement(raw, this.rules, this.columns.length > 0)
      if (match === undefined) return []
      if (this.#parser === undefined) return [match]
      return [{ ...match, shape: shapeOf(text, tokens, raw, this.#parser) }]
    })
    return { kind: 'read', statements: matched }
  }

  /**
   * Decides. The whole text is refused when one statement of it is.
   *
   * @param objects `undefined`: not at hand
   * @param final whether `objects` were read just now
   */
  judge(
    match: TextMatch | Unread,
    identity: Identity,
    objects: DatabaseObjects | undefined,
    final: boolean,
  ): FirewallVerdict {
    if (match.kind === 'unread') return this.#judgeUnread(identity)
    const { max_statements: most } = this.options
    if (most !== undefined && match.statements.length > most) return denied('max_statements', true)
    let verdict: FirewallVerdict = permitted('no statement', false)
    for (const statement of match.statements) {
      verdict = this.#judgeStatement(statement, identity, objects, final)
      if (verdict.kind === 'permitted') verdict = this.#judgeColumns(verdict, statement, identity, objects, final)
      if (verdict.kind !== 'permitted') return verdict
    }
    return verdict
  }

  /** Whether somebody may not read some column: then rows that the server quotes in errors are not for them either. */
  hidesColumns(identity: Identity): boolean {
    return this.options.mode === 'enforce' && this.columns.some(({ read }) => !permits(read, identity))
  }

  #judgeColumns(
    verdict: FirewallVerdict,
    statement: StatementMatch,
    identity: Identity,
    objects: DatabaseObjects | undefined,
    final: boolean,
  ): FirewallVerdict {
    if (statement.columns === undefined) return verdict
    for (const rule of this.columns) {
      const may = { read: permits(rule.read, identity), write: permits(rule.write, identity) }
      if (may.read && may.write) continue
      if (objects === undefined) return { kind: 'undecided', rule: rule.name }
      const touched = this.#resolve(statement, objects)
      // Somebody may just have made the table, or something else that is not known.
      if (!final && touched.missing.includes(rule.table.name)) return { kind: 'unknown' }
      const what = columnDenial(rule, may, statement.columns, touched, objects)
      if (what === undefined) continue
      return touched.unknown && !final ? { kind: 'unknown' } : { kind: 'denied', rule: rule.name, named: true, what }
    }
    return verdict
  }

  #judgeUnread(identity: Identity): FirewallVerdict {
    if (this.options.unreadable === 'deny') return denied('unreadable', true)
    const hidden = this.columns.find(({ read, write }) => !permits(read, identity) || !permits(write, identity))
    if (hidden !== undefined) return denied(hidden.name, true)
    for (const { name, action, gate } of this.#unconditional) {
      if (gate === undefined || permits(gate, identity))
        return action === 'deny' ? denied(name, true) : permitted(name, true)
    }
    return permitted('unreadable', true)
  }

  #judgeStatement(
    statement: StatementMatch,
    identity: Identity,
    objects: DatabaseObjects | undefined,
    final: boolean,
  ): FirewallVerdict {
    // What permits needs no second look; a refusal that rests on a name which is not known does.
    let inDoubt = false
    for (const rule of statement.rules) {
      if (rule.gate !== undefined && !permits(rule.gate, identity)) continue
      if (rule.tables !== undefined) {
        if (objects === undefined) return { kind: 'undecided', rule: rule.name }
        const touched = this.#resolve(statement, objects)
        inDoubt ||= touched.unknown && !final
        if (!holdsFor(rule, rule.tables, touched, objects, final)) continue
      }
      if (rule.action === 'allow') return permitted(rule.name, true)
      return inDoubt ? { kind: 'unknown' } : denied(rule.name, true)
    }
    const rule = 'no rule matches'
    if (this.options.default === 'allow') return permitted(rule, false)
    return inDoubt ? { kind: 'unknown' } : denied(rule, false)
  }

  #resolve(statement: StatementMatch, objects: DatabaseObjects): Touched {
    const known = this.#touched.get(statement)
    if (known?.objects === objects) return known.touched
    const touched = touchedBy(statement.references, objects, this.#trusted)
    this.#touched.set(statement, { objects, touched })
    return touched
  }
}

function holdsFor(
  { action }: Rule,
  tables: TableSet,
  touched: Touched,
  objects: DatabaseObjects,
  final: boolean,
): boolean {
  if (action === 'allow') {
    return touched.opaque === undefined && touched.tables.length > 0 && touched.tables.every(key => tables.has(key))
  }
  if (touched.opaque !== undefined || touched.revealing !== undefined) return true
  if (touched.tables.some(key => tables.has(key))) return true
  // Somebody may just have made it: the name is looked for once more.
  if (
    !final &&
    touched.missing.some(name => [...objects.schemas.keys()].some(schema => tables.has(tableKey(schema, name))))
  )
    return true
  // Its rows come by other names as well: partitions, parents, views.
  return tables.names.some(({ schema, name }) => {
    const reach = objects.reach?.get(tableKey(schema, name))
    return reach !== undefined && touched.tables.some(key => reach.has(key))
  })
}

function permits(gate: Gate, identity: Identity): boolean {
  return gate.decide(identity, { door: 'postgres', verb: 'statement' }).kind === 'permit'
}

function denied(rule: string, named: boolean): FirewallVerdict {
  return { kind: 'denied', rule, named }
}

function permitted(rule: string, named: boolean): FirewallVerdict {
  return { kind: 'permitted', rule, named }
}

/**
 * Checks and compiles rules.
 *
 * @param parser used for the rules' queries, and kept where shapes are collected
 * @param policies what `gateOf` makes gates of
 * @throws {FirewallError} (rejects with) `postgres.firewall_invalid`; {PolicyError} `policy.unknown`
 */
export async function createFirewall(
  options: FirewallOptions,
  parser: Parser,
  gateOf: (allow: readonly string[]) => Gate,
  policies?: unknown,
): Promise<Firewall> {
  const rules = await Promise.all(options.rules.map(rule => compileRule(rule, parser, gateOf)))
  const columns = options.columns.map(rule => compileColumnRule(rule, gateOf))
  return new Firewall(options, rules, columns, options.learn === undefined ? undefined : parser, [options, policies])
}
