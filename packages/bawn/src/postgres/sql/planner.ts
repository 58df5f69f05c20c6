import { isUtf8 } from 'node:buffer'
import type { RawStmt } from 'libpg-query'
import { readAccountStatement } from '../administration/parse.ts'
import type { TextMatch } from '../firewall/rules.ts'
import { readStatements } from '../grants/read.ts'
import type { Reading, Unread } from '../grants/reading.ts'
import { ReadingCache } from '../grants/reading-cache.ts'
import { Context } from './context.ts'
import { Executed } from './executed.ts'
import { examineIdentity, type IdentityGuard } from './identity-guard.ts'
import { type LexerLimits, lex, type Token } from './lexer.ts'
import { asWord, createNames, type Names } from './names.ts'
import { createParser, type Parsed, type Parser } from './parser.ts'
import type {
  CopyPlan,
  FieldAbility,
  NamedEffect,
  NamedUses,
  Planner,
  RefusedPlan,
  SchemaSnapshot,
  StatementPlan,
  StatementRules,
  TextReading,
} from './plan.ts'
import { PlanCache } from './plan-cache.ts'
import { createMentions, createPrefilter, isHarmless, type Prefilter } from './prefilter.ts'
import { Refusal, refusedPlan, unreadName } from './refusal.ts'
import { examineStatement } from './statement.ts'
import { everyStruct } from './tree.ts'
import { editedText, meansTheSame } from './verify.ts'

export interface PlannerOptions {
  /** Of a statement that has to be parsed; default 256 KiB. */
  readonly maxStatementBytes?: number
  /** Plans kept, for all texts and classes; default 5,000. */
  readonly maxPlans?: number
  /** Sum of the texts of the plans kept; default 16 MiB. */
  readonly maxPlanBytes?: number
  readonly limits?: LexerLimits
  /** Where sessions have an identity in the database: then every statement is parsed, and none goes on that was not understood. */
  readonly identity?: IdentityGuard | undefined
}

/** With these a contrived statement takes some tenths of a second at worst, and stays far from the end of any stack. */
const defaultLimits: LexerLimits = { tokens: 40_000, nesting: 200, chain: 1_000 }

interface Compiled {
  readonly names: Names
  readonly needsParse: Prefilter
  readonly mentions: Prefilter
}

function tooComplex(what: string): RefusedPlan {
  return {
    kind: 'refused',
    code: 'postgres.statement_too_complex',
    message: `a statement that has to be understood has too many ${what}`,
    hint: 'Split the statement, or pass long lists as parameters',
    offset: undefined,
  }
}

function unreadable(offset: number | undefined): RefusedPlan {
  return {
    kind: 'refused',
    code: 'postgres.statement_unreadable',
    message: 'syntax error in a statement that may name a protected table',
    hint: 'Correct the syntax; what only a newer PostgreSQL understands cannot be used with protected tables',
    offset,
  }
}

const copyAmongOthers = new Refusal(
  'postgres.statement_refused',
  'COPY with protected columns stands among other statements in one text',
  'Send it by itself',
)

/** Texts over this are not even scanned; about 50 ms. */
const maxScannedBytes = 8 * 1024 * 1024

const nothingProtected: StatementPlan = { kind: 'pass', schemaChange: false }

/** Plans that hold a plaintext are not kept, nor refused texts, which may: they seldom return, and memory is no place for them. */
function isSecret(plan: StatementPlan): boolean {
  if (plan.kind !== 'protected') return plan.kind === 'refused'
  return plan.forNow === true || plan.edits.some(edit => edit.kind === 'value')
}

function latin1Of(text: Uint8Array): string {
  return (text instanceof Buffer ? text : Buffer.from(text.buffer, text.byteOffset, text.length)).toString('latin1')
}

/** A text, taken apart; `final` where its tokens cannot tell either that it is harmless. */
type Understood =
  | { readonly kind: 'parsed'; readonly tokens: readonly Token[]; readonly statements: readonly RawStmt[] }
  | { readonly kind: 'not'; readonly refusal: RefusedPlan; readonly final: boolean }

function unread({ code, offset }: RefusedPlan): Unread {
  return code === 'postgres.statement_too_complex'
    ? { kind: 'unread', code, message: 'the statement is too long or too complex to be understood', offset }
    : { kind: 'unread', code: 'postgres.statement_unreadable', message: 'syntax error', offset }
}

/** @throws {Refusal} when a statement names what an earlier one of the same text makes, be it in the text of a body */
function refuseUnread(statement: RawStmt, makes: ReadonlySet<string>): void {
  if (makes.size === 0) return
  const words = [...makes].map(name => ({ name, word: asWord(name) }))
  everyStruct(statement, struct => {
    for (const text of [struct['relname'], struct['sval']]) {
      const found =
        typeof text === 'string' ? words.find(({ name, word }) => text === name || word.test(text)) : undefined
      if (found !== undefined) throw unreadName(found.name)
    }
    return undefined
  })
}

class StatementPlanner implements Planner {
  readonly #parser: Parser
  readonly #limits: LexerLimits
  readonly #identity: IdentityGuard | undefined
  readonly #maxStatementBytes: number
  readonly #plans: PlanCache
  readonly #compiled = new WeakMap<SchemaSnapshot, Compiled>()
  readonly #readings: ReadingCache<Reading>
  readonly #matches: ReadingCache<TextMatch>
  /** The rules that they are of: a reload may bring others. */
  #rules: StatementRules | undefined
  /** One text is asked about twice, for grants and for fields: it is taken apart once. Only the last: trees are large. */
  #understood: { readonly text: Uint8Array; readonly result: Understood | Promise<Understood> } | undefined
  /** What was made of a text that may be kept once its plan shows that it holds no plaintext. */
  #fresh: { readonly text: Uint8Array; reading?: Reading; match?: TextMatch } | undefined

  constructor(parser: Parser, options: PlannerOptions) {
    this.#parser = parser
    this.#limits = options.limits ?? defaultLimits
    this.#identity = options.identity
    this.#maxStatementBytes = options.maxStatementBytes ?? 256 * 1024
    this.#plans = new PlanCache(options.maxPlans ?? 5_000, options.maxPlanBytes ?? 16 * 1024 * 1024)
    this.#readings = new ReadingCache(options.maxPlans ?? 5_000, options.maxPlanBytes ?? 16 * 1024 * 1024)
    this.#matches = new ReadingCache(options.maxPlans ?? 5_000, options.maxPlanBytes ?? 16 * 1024 * 1024)
  }

  plan(
    text: Uint8Array,
    snapshot: SchemaSnapshot,
    identityClass: string,
    ability: FieldAbility,
    named?: NamedUses,
  ): StatementPlan | Promise<StatementPlan> {
    const latin1 = latin1Of(text)
    const known = this.#plans.get(latin1, snapshot.epoch, identityClass)
    const compiled = this.#compile(snapshot)
    if (known !== undefined || (this.#identity === undefined && !compiled.needsParse(latin1))) {
      this.#keepReading(text, latin1)
      return known ?? nothingProtected
    }
    const made = this.#make(text, compiled, ability, named)
    const keep = (plan: StatementPlan): StatementPlan => {
      if (isSecret(plan)) {
        this.#understood = undefined
        return plan
      }
      this.#plans.set(latin1, snapshot.epoch, identityClass, plan)
      this.#keepReading(text, latin1)
      return plan
    }
    return made instanceof Promise ? made.then(keep) : keep(made)
  }

  read(text: Uint8Array, asSql = false): TextReading | Promise<TextReading> {
    const known = this.#readings.get(latin1Of(text))
    if (known !== undefined) return known
    const account = asSql ? undefined : readAccountStatement(text)
    if (account !== undefined) return account
    const go = (understood: Understood): Reading | Unread => {
      if (understood.kind === 'not') return unread(understood.refusal)
      try {
        const reading = readStatements(understood.statements)
        this.#freshOf(text).reading = reading
        return reading
      } catch (error) {
        if (error instanceof RangeError) return unread(tooComplex('levels'))
        throw error
      }
    }
    const understood = this.#understand(text)
    return understood instanceof Promise ? understood.then(go) : go(understood)
  }

  match(
    text: Uint8Array,
    accounts: boolean,
    firewall: StatementRules,
  ): TextMatch | Unread | Promise<TextMatch | Unread> {
    if (firewall !== this.#rules) {
      this.#rules = firewall
      this.#matches.clear()
      this.#fresh = undefined
    }
    const known = this.#matches.get(latin1Of(text))
    if (known !== undefined) return known
    if (accounts && readAccountStatement(text) !== undefined) return firewall.accounts
    const go = (understood: Understood): TextMatch | Unread => {
      if (understood.kind === 'not') return unread(understood.refusal)
      try {
        const match = firewall.match(text, understood.tokens, understood.statements)
        if (firewall === this.#rules) this.#freshOf(text).match = match
        return match
      } catch (error) {
        if (error instanceof RangeError) return unread(tooComplex('levels'))
        throw error
      }
    }
    const understood = this.#understand(text)
    return understood instanceof Promise ? understood.then(go) : go(understood)
  }

  #freshOf(text: Uint8Array): { reading?: Reading; match?: TextMatch } {
    if (this.#fresh?.text !== text) this.#fresh = { text }
    return this.#fresh
  }

  #keepReading(text: Uint8Array, latin1: string): void {
    if (this.#fresh?.text === text) {
      const { reading, match } = this.#fresh
      if (reading !== undefined) this.#readings.set(latin1, reading)
      if (match !== undefined) this.#matches.set(latin1, match)
    }
    this.#fresh = undefined
    this.#understood = undefined
  }

  async close(): Promise<void> {
    this.#parser.close()
    this.#plans.clear()
    this.#readings.clear()
    this.#matches.clear()
  }

  #compile(snapshot: SchemaSnapshot): Compiled {
    let compiled = this.#compiled.get(snapshot)
    if (compiled === undefined) {
      compiled = {
        names: createNames(snapshot),
        needsParse: createPrefilter(snapshot),
        mentions: createMentions(snapshot),
      }
      this.#compiled.set(snapshot, compiled)
    }
    return compiled
  }

  #make(
    text: Uint8Array,
    { names, mentions }: Compiled,
    ability: FieldAbility,
    named: NamedUses | undefined,
  ): StatementPlan | Promise<StatementPlan> {
    const go = (understood: Understood): StatementPlan | Promise<StatementPlan> => {
      if (understood.kind === 'parsed') {
        return this.#examine(
          text,
          understood.statements,
          new Context(text, understood.tokens, names, ability, { parse: this.#parseNow, named }),
        )
      }
      const { final, refusal } = understood
      if (final) return refusal
      // Parsing alone does nothing, whoever is asked to.
      const isAskable = refusal.code === 'postgres.statement_unreadable' && !mentions(latin1Of(text))
      const refused = isAskable ? { ...refusal, askServer: true } : refusal
      return this.#identity !== undefined ? refused : this.#unparsed(text, names, refused)
    }
    const understood = this.#understand(text)
    return understood instanceof Promise ? understood.then(go) : go(understood)
  }

  #understand(text: Uint8Array): Understood | Promise<Understood> {
    if (this.#understood?.text === text) return this.#understood.result
    const result = this.#takeApart(text)
    this.#understood = { text, result }
    return result
  }

  #takeApart(text: Uint8Array): Understood | Promise<Understood> {
    const not = (refusal: RefusedPlan, final = false): Understood => ({ kind: 'not', refusal, final })
    if (text.length > this.#maxStatementBytes) {
      return not(tooComplex(`bytes (${text.length}, limit ${this.#maxStatementBytes})`))
    }
    if (text.includes(0) || !isUtf8(text)) return not(unreadable(undefined), true)
    const lexed = lex(text, this.#limits)
    if (lexed.kind === 'too_complex') return not(tooComplex(lexed.what))
    if (lexed.kind === 'unterminated') return not(unreadable(lexed.offset))
    const go = (result: Parsed): Understood => {
      if (result.kind === 'failed') return not(tooComplex('levels'), true)
      if (result.kind === 'invalid') return not(unreadable(result.offset))
      return { kind: 'parsed', tokens: lexed.tokens, statements: result.statements }
    }
    const parsed = this.#parser.parse(text)
    return parsed instanceof Promise ? parsed.then(go) : go(parsed)
  }

  readonly #parseNow = (text: Uint8Array): Parsed | undefined => {
    const parsed = this.#parser.parse(text)
    return parsed instanceof Promise ? undefined : parsed
  }

  /** A text that was not parsed passes when its tokens show that nothing protected can be named: the server reports what is wrong. */
  #unparsed(text: Uint8Array, names: Names, otherwise: StatementPlan): StatementPlan {
    return text.length <= maxScannedBytes && isHarmless(text, names) ? { kind: 'pass', schemaChange: false } : otherwise
  }

  #examine(text: Uint8Array, statements: readonly RawStmt[], context: Context): StatementPlan | Promise<StatementPlan> {
    let schemaChange = false
    let apart = true
    let results = false
    let declares = false
    let copy: CopyPlan | undefined
    const verbs = new Set<string>()
    const named: (NamedEffect | undefined)[] = []
    const executed = new Executed()
    try {
      for (const statement of statements) {
        refuseUnread(statement, context.makes)
        const examined = examineStatement(statement, context)
        if (this.#identity !== undefined && statement.stmt !== undefined) {
          examineIdentity(statement.stmt, this.#identity)
        }
        schemaChange ||= examined.schemaChange
        apart &&= !examined.schemaChange || examined.apart === true
        results ||= examined.results
        declares ||= examined.declares
        copy ??= examined.copy
        verbs.add(examined.verb)
        named.push(examined.named)
        executed.add(examined)
      }
    } catch (error) {
      if (error instanceof Refusal) return refusedPlan(error)
      // Too deep for our own recursion: the parser is unharmed.
      if (error instanceof RangeError) return tooComplex('levels')
      throw error
    }
    if (copy !== undefined && statements.length > 1) return refusedPlan(copyAmongOthers)
    const { tables, parameters } = context
    const consequences = {
      schemaChange,
      ...(schemaChange && apart ? { apart } : {}),
      ...(context.makes.size === 0 ? {} : { makes: [...context.makes] }),
      ...(named.every(effect => effect === undefined) ? {} : { named }),
    }
    if (tables.length === 0 && !results) return { kind: 'pass', ...consequences }
    const edits = context.edits.toSorted((one, other) => one.start - other.start || one.end - other.end)
    const plan: StatementPlan = {
      kind: 'protected',
      verb: [...verbs].slice(0, 8).join('+'),
      tables,
      edits,
      parameters,
      ...consequences,
      declares,
      ...(executed.names === undefined ? {} : { executes: executed.names }),
      ...(context.forNow ? { forNow: true } : {}),
      copy,
    }
    return edits.length === 0 ? plan : this.#verify(text, statements, context, plan)
  }

  #verify(
    text: Uint8Array,
    statements: readonly RawStmt[],
    context: Context,
    plan: StatementPlan & { readonly kind: 'protected' },
  ): StatementPlan | Promise<StatementPlan> {
    const misread: StatementPlan = {
      kind: 'refused',
      code: 'postgres.statement_refused',
      message: 'the gateway cannot tell where the protected values in this statement begin and end',
      hint: 'Write the statement in a simpler form, or pass the values as parameters',
      offset: undefined,
    }
    const edited = editedText(text, plan.edits)
    if (edited === undefined) return misread
    const check = (again: Parsed): StatementPlan =>
      again.kind === 'parsed' && meansTheSame(statements, again.statements, context) ? plan : misread
    const again = this.#parser.parse(edited)
    return again instanceof Promise ? again.then(check) : check(again)
  }
}

/** A planner with a parser of its own (about 20 ms to load). One for a database, or one for all. */
export async function createPlanner(options: PlannerOptions = {}): Promise<Planner> {
  return new StatementPlanner(await createParser(), options)
}
