import type { ColumnRef, Node, RangeVar } from 'libpg-query'
import type { Field } from '../../fields/field.ts'
import type { Token } from './lexer.ts'
import type { Names } from './names.ts'
import type { Edit, FieldAbility, ParameterUse, ProtectedRelation } from './plan.ts'
import { Refusal } from './refusal.ts'
import { type Source, tableSource } from './scope.ts'
import { Tokens } from './tokens.ts'
import { offsetOf } from './tree.ts'

/** What the parser must see in place of a node once the edits are made; by kind of node and its offset. */
export type Expected = Map<string, Node>

/** The literal that stands for any value while the edited text is checked. */
export const placeholder = "'\\x00'"
export const placeholderNode: Node = { A_Const: { sval: { sval: '\\x00' } } }

/** What the analysis of one statement text gathers. */
export class Context {
  readonly text: Uint8Array
  readonly tokens: Tokens
  readonly names: Names
  readonly ability: FieldAbility
  readonly edits: Edit[] = []
  readonly expected: Expected = new Map()
  /** Of `INSERT` and `COPY` without a column list, by the offset of the table's name: the list that is written in. */
  readonly columnLists = new Map<number, readonly string[]>()
  readonly #tables = new Set<string>()
  readonly #uses = new Map<number, ParameterUse>()
  readonly #plainUses = new Map<number, number | undefined>()

  constructor(text: Uint8Array, tokens: readonly Token[], names: Names, ability: FieldAbility) {
    this.text = text
    this.tokens = new Tokens(text, tokens)
    this.names = names
    this.ability = ability
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
  table(range: RangeVar, alias = range.alias?.aliasname): Source | undefined {
    const meaning = this.names.meaning(range.schemaname, range.relname ?? '')
    switch (meaning.kind) {
      case 'other':
        return undefined
      case 'protected':
        this.#tables.add(`${meaning.relation.schema}.${meaning.relation.name}`)
        return tableSource(meaning.relation, alias, range.schemaname, meaning.ambiguous)
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
        throw new Refusal(
          'postgres.statement_refused',
          `${meaning.name} is a view or has a rule over protected columns, which the gateway does not follow yet`,
          'Use the table beneath it',
          offsetOf(range),
        )
    }
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
    this.expected.set(`ColumnRef@${start}`, {
      FuncCall: {
        funcname: [{ String: { sval: 'pg_catalog' } }, { String: { sval: 'substr' } }],
        args: [{ ColumnRef: ref }, { A_Const: { ival: { ival: 1 } } }, { A_Const: { ival: { ival: 33 } } }],
        funcformat: 'COERCE_EXPLICIT_CALL',
      },
    })
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
