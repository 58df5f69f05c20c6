import { isUtf8 } from 'node:buffer'
import type { Field, FieldView } from '../fields/field.ts'
import { applyEdits, type EditedText } from './edits.ts'
import { PostgresError } from './failure.ts'
import { FieldUses } from './field-uses.ts'
import type { Edit, ParameterUse } from './sql/plan.ts'
import type { Bind } from './wire/bind.ts'
import { parseByteaText } from './wire/bytea.ts'
import { typeOid } from './wire/message.ts'

/** Values on their way in: each is sealed, or replaced by its search hash, and counted. */
export interface Sealed<Of> {
  readonly sealed: Of
  readonly uses: FieldUses
}

type ViewOf = (field: Field) => FieldView

/** @throws {FieldError} `fields.no_key`, `fields.not_searchable` */
export function sealEdits(text: Buffer, edits: readonly Edit[], viewOf: ViewOf): Sealed<EditedText> {
  const uses = new FieldUses()
  const sealed = applyEdits(text, edits, ({ field, as, plaintext }) => {
    const value = sealValue(viewOf(field), as, plaintext)
    uses.add(field.name, as)
    return `'\\x${Buffer.from(value).toString('hex')}'`
  })
  return { sealed, uses }
}

/**
 * @param types OIDs that the client fixed in Parse
 * @throws {FieldError} as above
 * @throws {PostgresError} `postgres.bad_parameter` when a value is of a form that cannot be sealed
 */
export function sealBind(
  bind: Bind,
  parameters: readonly ParameterUse[],
  types: readonly number[],
  viewOf: ViewOf,
): Sealed<Bind> {
  const uses = new FieldUses()
  const formats = [...bind.formats]
  const values = [...bind.values]
  for (const { index, field, as } of parameters) {
    const value = values[index - 1]
    if (value === undefined) continue
    const plaintext = readParameter(value, formats[index - 1] === 1, types[index - 1] ?? 0, field, index)
    values[index - 1] = sealValue(viewOf(field), as, plaintext)
    formats[index - 1] = 1
    uses.add(field.name, as)
  }
  return { sealed: { ...bind, formats, values }, uses }
}

/** The OIDs that Parse sends on: a protected parameter is bytea towards the server. */
export function sealedTypes(types: readonly number[], parameters: readonly ParameterUse[]): readonly number[] {
  const sent = [...types]
  for (const { index } of parameters) {
    while (sent.length < index) sent.push(0)
    sent[index - 1] = typeOid.bytea
  }
  return sent
}

/** The OIDs that a client is told: a protected parameter takes what the field is. */
export function logicalTypes(types: readonly number[], parameters: readonly ParameterUse[]): readonly number[] {
  const shown = [...types]
  for (const { index, field } of parameters) {
    if (index <= shown.length) shown[index - 1] = field.type === 'text' ? typeOid.text : typeOid.bytea
  }
  return shown
}

function sealValue(view: FieldView, as: 'sealed' | 'searched', plaintext: Uint8Array): Uint8Array {
  return as === 'sealed' ? view.protect(plaintext) : view.searchHash(plaintext)
}

/** Types whose binary form is the bytes of the text. 0 and unknown: the client leaves it to the server, which we told bytea or text. */
const textLike: ReadonlySet<number> = new Set([
  0,
  typeOid.text,
  typeOid.varchar,
  typeOid.bpchar,
  typeOid.name,
  typeOid.unknown,
])

function readParameter(value: Uint8Array, binary: boolean, type: number, field: Field, index: number): Uint8Array {
  const bytea = type === typeOid.bytea || (field.type === 'bytes' && textLike.has(type))
  if (binary && !bytea && !textLike.has(type))
    throw badParameter(index, 'a binary value of a type that cannot be sealed')
  const plaintext = bytea && !binary ? parseByteaText(value) : value
  if (plaintext === undefined) throw badParameter(index, 'no valid input for type bytea')
  if (field.type === 'text' && !isUtf8(plaintext)) throw badParameter(index, 'not UTF-8 text')
  return plaintext
}

function badParameter(index: number, what: string): PostgresError {
  return new PostgresError('postgres.bad_parameter', `parameter $${index} of a protected column: ${what}`)
}
