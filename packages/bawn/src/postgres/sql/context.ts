import type { ColumnRef, IndexElem, Node, RangeVar, TypeName } from 'libpg-query'
import type { Field } from '../../fields/field.ts'
import type { Token } from './lexer.ts'
import type { Names } from './names.ts'
import type { Parsed } from './parser.ts'
import type { Edit, FieldAbility, NamedUses, ParameterUse, ProtectedRelation } from './plan.ts'
import { Refusal } from './refusal.ts'
import { type Source, tableSource } from './scope.ts'
import { Tokens } from './tokens.ts'
import { offsetOf } from './tree.ts'
import { hazardous } from './view-defaults.ts'

/**
 * What the parser must see in place of a node once the edits are made; by kind of node and its offset, or by the struct itself where it
 * has no offset.
 */
export type Expected = Map<string | object, object>

/** The literal that stands for any value while the edited text is checked. */
export const placeholder = "'\\x00'"
export const placeholderNode: Node = { A_Const: { sval: { sval: '\\x00' } } }

function hashOf(ref: ColumnRef): Node {
  return {
    FuncCall: {
      funcname: [{ String: { sval: 'pg_catalog' } }, { String: { sval: 'substr' } }],
      args: [{ ColumnRef: ref }, { A_Const: { ival: { ival: 1 } } }, { A_Const: { ival: { ival: 33 } } }],
      funcformat: 'COERCE_EXPLICIT_CALL',
    },
  }
}

function unwritable(name: string, reason: string, range: RangeVar): Refusal {
  return new Refusal(
    'postgres.statement_refused',
    `writing into ${name} may store values unsealed: ${reason}`,
    'Write into the table beneath it',
    offsetOf(range),
  )
}

export interface Surroundings {
  /** The text defines a view: its columns are recognised by the view's own numbers, whatever they come through. */
  readonly follows?: boolean
  readonly named?: NamedUses | undefined
  readonly parse?: (text: Uint8Array) => Parsed | undefined
}

/** What the analysis of one statement text gathers. */
export class Context {
  readonly text: Uint8Array
  readonly tokens: Tokens
  readonly names: Names
  readonly ability: FieldAbility
  follows: boolean
  /** Names of views, partitions and children that the text makes. */
  readonly makes = new Set<string>()
  readonly edits: Edit[] = []
  readonly expected: Expected = new Map()
  /** Of `INSERT` and `COPY` without a column list, by the offset of the table's name: the list that is written in. */
  readonly columnLists = new Map<number, readonly string[]>()
  readonly #surroundings: Surroundings
  readonly #lexed: readonly Token[]
  readonly #tables = new Set<string>()
  /** Prepared, or freed, in this text. */
  readonly #prepared = new Map<string, readonly ParameterUse[]>()
  /** Of a table or view that was named, writing may store what is not sealed: of a view over it as well. */
  isHazardous = false
  /** Values were given to a statement by its name. */
  forNow = false
  #uses = new Map<number, ParameterUse>()
  #plainUses = new Map<number, number | undefined>()

  constructor(
    text: Uint8Array,
    tokens: readonly Token[],
    names: Names,
    ability: FieldAbility,
    surroundings: Surroundings = {},
  ) {
    this.text = text
    this.tokens = new Tokens(text, tokens)
    this.names = names
    this.ability = ability
    this.follows = surroundings.follows === true
    this.#surroundings = surroundings
    this.#lexed = tokens
  }

  /** Parses a text within this one, unless it cannot be done at once. */
  get parse(): Surroundings['parse'] {
    return this.#surroundings.parse
  }

  /** For a text within this one, or a part of it: what it gathers is its own. */
  within(
    inner: { readonly text: Uint8Array; readonly tokens: readonly Token[] } = { text: this.text, tokens: this.#lexed },
  ): Context {
    return new Context(inner.text, inner.tokens, this.names, this.ability, this.#surroundings)
  }

  /** `schema.table` of every protected table read or written so far, sorted. */
  get tables(): readonly string[] {
    return [...this.#tables].sort()
  }

  get parameters(): readonly ParameterUse[] {
    return [...this.#uses.values()].sort((one, other) => one.index - other.index)
  }

  /**
   * The FROM item of a table that is read or written; `undefined` for an unprotected one.
   *
   * @throws {Refusal} when it is a view over protected columns, or protected in a way that does not work yet
   */
  table(range: RangeVar, access: 'read' | 'write' = 'read'): Source | undefined {
    const meaning = this.names.meaning(range.schemaname, range.relname ?? '')
    switch (meaning.kind) {
      case 'other':
        return undefined
      case 'protected':
        if (access === 'write' && meaning.relation.unwritable !== undefined) {
          throw unwritable(`${meaning.relation.schema}.${meaning.relation.name}`, meaning.relation.unwritable, range)
        }
        this.#tables.add(`${meaning.relation.schema}.${meaning.relation.name}`)
        this.isHazardous ||= hazardous(meaning.relation).length > 0 || meaning.relation.unwritable !== undefined
        return tableSource(meaning.relation, range.alias?.aliasname, range.schemaname, meaning.ambiguous)
      case 'problem':
        throw new Refusal(meaning.problem.code, meaning.problem.message, meaning.problem.hint, offsetOf(range))
      case 'conflict':
        throw new Refusal(
          'postgres.statement_refused',
          `several schemas have a protected table "${meaning.name}", and their columns differ`,
          `Write the schema before the name: schema.${meaning.name}`,
          offsetOf(range),
        )
      case 'dependent':
        if (meaning.readable) {
          this.isHazardous = true
          if (access === 'read') return undefined
          throw unwritable(meaning.name, meaning.reason, range)
        }
        throw new Refusal(
          'postgres.statement_refused',
          `${meaning.name} is defined over protected columns in a way that is not understood${meaning.reason === '' ? '' : `: ${meaning.reason}`}`,
          'Use the table beneath it',
          offsetOf(range),
        )
    }
  }

  /** What the parameters of a statement hold that this text or the session prepared; `undefined` when it cannot be told. */
  usesOf(name: string): readonly ParameterUse[] | undefined {
    const here = this.#prepared.get(name)
    if (here !== undefined) return here
    this.forNow = true
    return this.#surroundings.named?.(name)
  }

  /** A statement is prepared in this text: its parameters are its own. @returns what they hold */
  prepare(name: string, examine: () => void): readonly ParameterUse[] {
    const [uses, plain] = [this.#uses, this.#plainUses]
    this.#uses = new Map()
    this.#plainUses = new Map()
    examine()
    const own = this.parameters
    this.#uses = uses
    this.#plainUses = plain
    this.#prepared.set(name, own)
    return own
  }

  /** Notes that `$index` holds a value of a field. */
  parameter(index: number, field: Field, as: 'sealed' | 'searched', offset: number | undefined): void {
    const before = this.#uses.get(index)
    if (before !== undefined && (before.field !== field || before.as !== as)) {
      throw this.#conflict(index, `both as ${before.field.name} (${before.as}) and ${field.name} (${as})`, offset)
    }
    if (this.#plainUses.has(index)) throw this.#conflict(index, `both as ${field.name} and as a plain value`, offset)
    this.#uses.set(index, { index, field, as })
  }

  plainParameter(index: number, offset: number | undefined): void {
    const use = this.#uses.get(index)
    if (use !== undefined) throw this.#conflict(index, `both as ${use.field.name} and as a plain value`, offset)
    this.#plainUses.set(index, offset)
  }

  #conflict(index: number, how: string, offset: number | undefined): Refusal {
    return new Refusal(
      'postgres.statement_refused',
      `$${index} is used ${how}: the database would get one value for two purposes`,
      'Use a parameter of its own for each, with the same value',
      offset,
    )
  }

  /** Puts `substr(column, 1, 33)` in place of a column: the hash that a searchable value begins with. */
  searchColumn(ref: ColumnRef): void {
    const start = offsetOf(ref) ?? 0
    const end = this.tokens.referenceEnd(start, ref.fields?.length ?? 1)
    const column = Buffer.from(this.text.subarray(start, end)).toString()
    this.edits.push({ kind: 'text', start, end, text: `pg_catalog.substr(${column}, 1, 33)` })
    this.expected.set(`ColumnRef@${start}`, hashOf(ref))
  }

  /**
   * The same in `ON CONFLICT (a, b)`, which goes by names: the unique index over the hash is meant.
   *
   * @param offset of the parenthesis
   * @param index which of the `count` elements
   */
  searchIndex(offset: number, index: number, count: number, element: IndexElem): void {
    const { name = '' } = element
    const [start, end] = this.tokens.listed(offset, index, count)
    const column = Buffer.from(this.text.subarray(start, end)).toString()
    this.edits.push({ kind: 'text', start, end, text: `pg_catalog.substr(${column}, 1, 33)` })
    const { name: _, ...rest } = element
    this.expected.set(element, { ...rest, expr: hashOf({ fields: [{ String: { sval: name } }] }) })
  }

  /** Puts `bytea` in place of a type's name. */
  byteaType(type: TypeName): void {
    const start = offsetOf(type) ?? 0
    const at = this.tokens.at(start)
    const last = this.tokens.word(at + 1) === 'varying' ? at + 1 : at
    this.edits.push({ kind: 'text', start, end: this.tokens.end(last), text: 'bytea' })
    this.expected.set(type, { names: [{ String: { sval: 'bytea' } }], typemod: -1 })
  }

  /**
   * Writes the column list into an `INSERT` or `COPY` that has none: the server then goes by names, whatever happened to the table
   * since.
   */
  columnList(range: RangeVar, columns: ProtectedRelation['columns']): void {
    const names = columns.map(column => column.name)
    const start = offsetOf(range) ?? 0
    const parts = 1 + Number(range.schemaname !== undefined) + Number(range.catalogname !== undefined)
    const end = this.tokens.tableEnd(start, parts, range.alias !== undefined)
    const list = names.map(name => `"${name.replaceAll('"', '""')}"`).join(', ')
    this.edits.push({ kind: 'text', start: end, end, text: ` (${list})` })
    this.columnLists.set(start, names)
  }
}
