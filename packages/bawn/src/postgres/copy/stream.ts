import type { CopyPlan } from '../sql/plan.ts'
import type { MessageBuilder } from '../wire/builder.ts'
import { front } from '../wire/message.ts'
import { BinaryRows, convertBinaryRow } from './binary-rows.ts'
import { convertCsvRow } from './csv-rows.ts'
import { Lines } from './lines.ts'
import { convertTextRow } from './text-rows.ts'

/**
 * What becomes of a value of a protected column.
 *
 * @param place of the column, from 0
 * @param value as the format has it once its quotes and escapes are taken off: text, or the binary form
 * @returns the same, of what takes its place; `undefined` is NULL
 */
export type Convert = (place: number, value: Buffer) => Uint8Array | undefined

/** CopyData has the same letter in both directions. */
const copyData = front.copyData
const endMarker = Buffer.from('\\.')

/**
 * The data of one COPY, in either direction, with its protected values converted. Bytes in by `push`, cut anywhere; a CopyData message
 * for each row out. Holds one row at most.
 */
export class CopyStream {
  readonly #plan: CopyPlan
  readonly #guarded: readonly boolean[]
  readonly #convert: Convert
  readonly #cut: Lines | BinaryRows
  #isHeader: boolean
  /** Rows so far, the header not counted. */
  rows = 0

  /** @param maxRowBytes rows over this are refused */
  constructor(plan: CopyPlan, maxRowBytes: number, convert: Convert) {
    const { format, columns } = plan
    this.#plan = plan
    this.#guarded = columns.map(field => field !== undefined)
    this.#convert = convert
    this.#isHeader = format.kind !== 'binary' && format.header
    this.#cut = format.kind === 'binary' ? new BinaryRows(columns.length, maxRowBytes) : new Lines(format, maxRowBytes)
  }

  /**
   * @param chunk must stay as it is until the call returns
   * @throws {PostgresError} `postgres.copy_malformed`, `postgres.too_large`, and what `convert` throws; the stream is unusable then
   */
  push(chunk: Buffer, out: MessageBuilder): void {
    if (chunk.length === 0) return
    if (this.#cut instanceof Lines) this.#cut.push(chunk, (line, end) => this.#line(line, end, out))
    else this.#cut.push(chunk, this.#binary(out))
  }

  /** The data is over. Throws as `push` does. */
  finish(out: MessageBuilder): void {
    if (this.#cut instanceof Lines) this.#cut.finish((line, end) => this.#line(line, end, out))
    else this.#cut.finish()
  }

  #line(line: Buffer, end: Buffer, out: MessageBuilder): void {
    const write = (): void => {
      const isMarker = line.equals(endMarker)
      if (this.#isHeader) this.#isHeader = false
      // In CSV servers before 18 take it for the end, and later ones for a row that has no other value and cannot be bytea.
      else if (!isMarker) {
        this.#row(line, out)
        return
      }
      out.bytes(line)
    }
    whole(out, () => {
      write()
      out.bytes(end)
    })
  }

  #row(line: Buffer, out: MessageBuilder): void {
    const { format } = this.#plan
    this.rows += 1
    if (format.kind === 'text') convertTextRow(line, format, this.#guarded, this.#convert, out)
    else if (format.kind === 'csv') convertCsvRow(line, format, this.#guarded, this.#convert, out)
  }

  #binary(out: MessageBuilder): { raw(bytes: Buffer): void; row(bytes: Buffer): void } {
    return {
      raw: bytes => whole(out, () => out.bytes(bytes)),
      row: bytes => {
        this.rows += 1
        whole(out, () => convertBinaryRow(bytes, this.#guarded, this.#convert, out))
      },
    }
  }
}

/** One message, or nothing of it. */
function whole(out: MessageBuilder, write: () => void): void {
  const before = out.length
  try {
    out.begin(copyData)
    write()
    out.end()
  } catch (error) {
    out.truncate(before)
    throw error
  }
}
