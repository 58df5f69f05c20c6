import type { CopyFormat } from '../sql/plan.ts'
import type { MessageBuilder } from '../wire/builder.ts'
import { malformed, tooFewCells, tooManyCells } from './copy-error.ts'
import type { Convert } from './stream.ts'

type CsvFormat = Extract<CopyFormat, { readonly kind: 'csv' }>

interface Cell {
  readonly value: Buffer
  readonly quoted: boolean
  /** Where it ends in the line. */
  readonly end: number
}

/** As `convertTextRow`, for CSV. */
export function convertCsvRow(
  line: Buffer,
  format: CsvFormat,
  guarded: readonly boolean[],
  convert: Convert,
  out: MessageBuilder,
): void {
  let copied = 0
  let at = 0
  let place = 0
  while (true) {
    const cell = readCell(line, at, format)
    if (guarded[place] === true) {
      if (!isNull(cell, place, format)) {
        const value = convert(place, cell.value)
        out.bytes(line, copied, at)
        if (value === undefined) out.bytes(format.null)
        else writeCell(value, place, format, guarded.length === 1, out)
        copied = cell.end
      }
    }
    place += 1
    if (cell.end === line.length) break
    if (place === guarded.length) throw tooManyCells()
    at = cell.end + 1
  }
  if (place < guarded.length) throw tooFewCells()
  out.bytes(line, copied, line.length)
}

/** What the server would take for NULL, and what we mean by it when we write it. */
function isNull({ value, quoted }: Cell, place: number, format: CsvFormat): boolean {
  if (!value.equals(format.null)) return false
  if (!quoted) return !format.forceNotNull.has(place)
  return format.forceNull.has(place)
}

/** CopyReadAttributesCSV: quotes may begin and end anywhere in a cell. */
function readCell(line: Buffer, start: number, format: CsvFormat): Cell {
  const { delimiter, quote, escape: escaping } = format
  const parts = Buffer.allocUnsafe(cellBound(line, start, format))
  let size = 0
  let quoted = false
  let at = start
  while (at < line.length) {
    const byte = line[at] ?? 0
    if (byte === delimiter) break
    at += 1
    if (byte !== quote) {
      parts[size] = byte
      size += 1
      continue
    }
    quoted = true
    while (true) {
      if (at === line.length) throw malformed('unterminated CSV quoted field')
      const inner = line[at] ?? 0
      at += 1
      const next = line[at]
      if (inner === escaping && next !== undefined && (next === escaping || next === quote)) {
        parts[size] = next
        size += 1
        at += 1
        continue
      }
      if (inner === quote) break
      parts[size] = inner
      size += 1
    }
  }
  return { value: parts.subarray(0, size), quoted, end: at }
}

/** Most bytes that the cell at `start` can have: cells without quotes end at the next delimiter. */
function cellBound(line: Buffer, start: number, { delimiter, quote }: CsvFormat): number {
  for (let at = start; at < line.length; at += 1) {
    if (line[at] === delimiter) return at - start
    if (line[at] === quote) return line.length - start
  }
  return line.length - start
}

/** As the server writes a value (CopyAttributeOutCSV). */
function writeCell(value: Uint8Array, place: number, format: CsvFormat, alone: boolean, out: MessageBuilder): void {
  const { delimiter, quote, escape: escaping } = format
  const marks = (byte: number): boolean => byte === delimiter || byte === quote || byte === 0x0a || byte === 0x0d
  const isMarker = alone && value.length === 2 && value[0] === 0x5c && value[1] === 0x2e
  if (!format.forceQuote.has(place) && !format.null.equals(value) && !isMarker && !value.some(marks)) {
    out.bytes(value)
    return
  }
  out.uint8(quote)
  let copied = 0
  for (let at = 0; at < value.length; at += 1) {
    if (value[at] !== quote && value[at] !== escaping) continue
    out.bytes(value, copied, at).uint8(escaping)
    copied = at
  }
  out.bytes(value, copied, value.length).uint8(quote)
}
