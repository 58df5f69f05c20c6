import type { CopyFormat } from '../sql/plan.ts'
import type { MessageBuilder } from '../wire/builder.ts'
import { hexDigit } from '../wire/bytea.ts'
import { tooFewCells, tooManyCells } from './copy-error.ts'
import type { Convert } from './stream.ts'

type TextFormat = Extract<CopyFormat, { readonly kind: 'text' }>

const backslash = 0x5c
/** `\b` … `\v`, by letter and by byte. */
const letters = new Map(
  [...'bfnrtv'].map((letter, index) => [letter.charCodeAt(0), [8, 12, 10, 13, 9, 11][index] ?? 0]),
)
const lettersOf = new Map([...letters].map(([letter, byte]) => [byte, letter]))

/**
 * Writes one row of the text format with its protected values converted; everything else is copied as it is.
 *
 * @param line without its end
 * @param guarded by place of the column
 */
export function convertTextRow(
  line: Buffer,
  format: TextFormat,
  guarded: readonly boolean[],
  convert: Convert,
  out: MessageBuilder,
): void {
  let copied = 0
  let at = 0
  let place = 0
  while (true) {
    let end = at
    while (end < line.length && line[end] !== format.delimiter) end += line[end] === backslash ? 2 : 1
    end = Math.min(end, line.length)
    if (guarded[place] === true) {
      const raw = line.subarray(at, end)
      if (!raw.equals(format.null)) {
        const value = convert(place, unescapeText(raw))
        out.bytes(line, copied, at).bytes(value === undefined ? format.null : escapeText(value, format.delimiter))
        copied = end
      }
    }
    place += 1
    if (end === line.length) break
    if (place === guarded.length) throw tooManyCells()
    at = end + 1
  }
  if (place < guarded.length) throw tooFewCells()
  out.bytes(line, copied, line.length)
}

const octalDigit = (byte: number | undefined): boolean => byte !== undefined && byte >= 0x30 && byte <= 0x37

/** The value of a cell (CopyReadAttributesText): memory of its own. */
export function unescapeText(raw: Buffer): Buffer {
  const out = Buffer.allocUnsafe(raw.length)
  let size = 0
  for (let at = 0; at < raw.length; ) {
    let byte = raw[at] ?? 0
    at += 1
    if (byte === backslash) {
      if (at === raw.length) break
      byte = raw[at] ?? 0
      at += 1
      if (octalDigit(byte)) {
        let value = byte - 0x30
        for (let digits = 1; digits < 3 && octalDigit(raw[at]); digits += 1) {
          value = value * 8 + (raw[at] ?? 0) - 0x30
          at += 1
        }
        byte = value & 0xff
      } else if (byte === 0x78 && hexDigit(raw[at] ?? 0) >= 0) {
        byte = hexDigit(raw[at] ?? 0)
        at += 1
        if (hexDigit(raw[at] ?? 0) >= 0) {
          byte = byte * 16 + hexDigit(raw[at] ?? 0)
          at += 1
        }
      } else byte = letters.get(byte) ?? byte
    }
    out[size] = byte
    size += 1
  }
  return out.subarray(0, size)
}

/** As the server writes a value (CopyAttributeOutText). */
export function escapeText(value: Uint8Array, delimiter: number): Uint8Array {
  const special = (byte: number): number | undefined =>
    lettersOf.get(byte) ?? (byte === backslash || byte === delimiter ? byte : undefined)
  let more = 0
  for (const byte of value) if (special(byte) !== undefined) more += 1
  if (more === 0) return value
  const out = Buffer.allocUnsafe(value.length + more)
  let size = 0
  for (const byte of value) {
    const letter = special(byte)
    if (letter !== undefined) {
      out[size] = backslash
      size += 1
    }
    out[size] = letter ?? byte
    size += 1
  }
  return out
}
