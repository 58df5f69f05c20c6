import { isUtf8 } from 'node:buffer'
import type { Field, FieldView } from '../fields/field.ts'
import { PostgresError } from './failure.ts'
import type { FieldUses } from './field-uses.ts'
import type { SchemaSnapshot } from './sql/plan.ts'
import type { MessageBuilder } from './wire/builder.ts'
import { parseByteaText } from './wire/bytea.ts'
import { back, typeOid } from './wire/message.ts'
import type { ColumnDescription } from './wire/row-description.ts'
import { WireError } from './wire/wire-error.ts'

/** A result column that is a protected field, as one identity sees it. */
export interface PlannedColumn {
  readonly view: FieldView
  /** How the server writes the stored bytes: bytea in text format, or the bytes themselves. `unknown` cannot be opened. */
  readonly stored: 'bytea-text' | 'bytes' | 'unknown'
  /** How the client wants the value. */
  readonly shown: 'text' | 'bytea-text' | 'bytes'
}

/** What to do with each column of a result. */
export interface RowPlan {
  readonly columns: readonly (PlannedColumn | undefined)[]
}

const textTypes: ReadonlySet<number> = new Set([
  typeOid.text,
  typeOid.varchar,
  typeOid.bpchar,
  typeOid.name,
  typeOid.json,
  typeOid.unknown,
])

/**
 * Recognises protected columns by table OID and column number; a name is an alias and proves nothing.
 *
 * @param description as RowDescription says it, with the real formats
 * @returns `undefined` when no column is protected
 */
export function planRow(
  description: readonly ColumnDescription[],
  snapshot: SchemaSnapshot,
  viewOf: (field: Field) => FieldView,
): RowPlan | undefined {
  let found = false
  const columns = description.map(column => {
    const field = fieldOf(column, snapshot)
    if (field === undefined) return undefined
    found = true
    return planColumn(column, viewOf(field))
  })
  return found ? { columns } : undefined
}

function fieldOf(column: ColumnDescription, snapshot: SchemaSnapshot): Field | undefined {
  return column.tableOid === 0 ? undefined : snapshot.columns.get(column.tableOid)?.get(column.attnum)
}

function planColumn(column: ColumnDescription, view: FieldView): PlannedColumn {
  const binary = column.format === 1
  const stored =
    column.typeOid === typeOid.bytea
      ? binary
        ? 'bytes'
        : 'bytea-text'
      : !binary || textTypes.has(column.typeOid)
        ? 'bytes'
        : 'unknown'
  const shown = view.field.type === 'text' ? 'text' : binary ? 'bytes' : 'bytea-text'
  return { view, stored, shown }
}

/** The columns as the client shall see them: the type of a field is its logical one, not that of its container. */
export function logicalColumns(
  description: readonly ColumnDescription[],
  snapshot: SchemaSnapshot,
): readonly ColumnDescription[] {
  return description.map(column => {
    const field = fieldOf(column, snapshot)
    if (field === undefined) return column
    const type = field.type === 'text' ? typeOid.text : typeOid.bytea
    return type === column.typeOid ? column : { ...column, typeOid: type, typeLength: -1, typeModifier: -1 }
  })
}

/**
 * Writes one DataRow with its protected columns revealed; everything else is copied in one piece each.
 *
 * @param start first byte of the message (its letter)
 * @throws {WireError} when the row does not fit its description
 * @throws {FieldError} `fields.unreadable`; nothing may be sent of this row
 */
export function revealRow(
  buffer: Buffer,
  view: DataView,
  start: number,
  end: number,
  plan: RowPlan,
  out: MessageBuilder,
  uses: FieldUses,
): void {
  const count = start + 7 <= end ? view.getUint16(start + 5) : -1
  if (count !== plan.columns.length) throw new WireError('a row has another number of columns than its description')
  out.begin(back.dataRow).int16(count)
  let copied = start + 7
  let at = start + 7
  for (const column of plan.columns) {
    if (at + 4 > end) throw new WireError('a row is cut')
    const length = view.getInt32(at)
    const next = at + 4 + Math.max(length, 0)
    if (length < -1 || next > end) throw new WireError('a column is longer than its row')
    if (column !== undefined && length !== -1) {
      out.bytes(buffer, copied, at)
      copied = next
      writeValue(revealCell(buffer.subarray(at + 4, next), column, uses), column, out)
    }
    at = next
  }
  if (at !== end) throw new WireError('a row is longer than its columns')
  out.bytes(buffer, copied, end).end()
}

/**
 * What a stored value is for this identity; counted.
 *
 * @returns the value itself, whatever form the client wants it in; `undefined` is NULL
 * @throws {WireError} when it is no bytea
 * @throws {FieldError | PostgresError} when it cannot be shown; nothing may be sent of its row
 */
export function revealCell(wire: Buffer, column: PlannedColumn, uses: FieldUses): Uint8Array | undefined {
  const value = revealValue(wire, column)
  uses.add(column.view.field.name, column.view.disclosure.kind)
  return value
}

function revealValue(wire: Buffer, column: PlannedColumn): Uint8Array | undefined {
  const { view, stored, shown } = column
  if (view.disclosure.kind === 'withheld' || stored === 'unknown') return undefined
  const bytes = stored === 'bytes' ? wire : parseByteaText(wire)
  if (bytes === undefined) throw new WireError('a value of type bytea is neither hex nor escaped')
  const value = view.reveal(bytes, view.field.encrypt === undefined ? 'plain' : 'sealed')
  if (value !== undefined && shown === 'text' && !isUtf8(value)) {
    // As text it would break the client's decoder, or be read as another text than was stored.
    throw new PostgresError('postgres.not_text', `a value of field ${view.field.name} is not UTF-8 text`)
  }
  return value
}

function writeValue(value: Uint8Array | undefined, column: PlannedColumn, out: MessageBuilder): void {
  if (value === undefined) out.int32(-1)
  else if (column.shown === 'bytea-text') out.int32(2 + value.length * 2).hex(value)
  else out.int32(value.length).bytes(value)
}
