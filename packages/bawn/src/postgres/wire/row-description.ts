import { BodyReader } from './body-reader.ts'
import { MessageBuilder } from './builder.ts'
import { back, front } from './message.ts'

/** One column of RowDescription. Names are aliases and prove nothing; (tableOid, attnum) is what identifies a column. */
export interface ColumnDescription {
  /** UTF-8, without NUL. Shares memory with the message. */
  readonly name: Buffer
  /** 0 when the column is an expression. */
  readonly tableOid: number
  readonly attnum: number
  readonly typeOid: number
  readonly typeLength: number
  readonly typeModifier: number
  /** 0 text, 1 binary. In the answer to Describe of a statement always 0. */
  readonly format: number
}

/** @throws {WireError} */
export function parseRowDescription(buffer: Buffer, start: number, end: number): ColumnDescription[] {
  const body = new BodyReader(buffer, start, end)
  const count = body.uint16()
  const columns: ColumnDescription[] = []
  for (let index = 0; index < count; index += 1) {
    const { from, to } = body.skipCstring()
    columns.push({
      name: buffer.subarray(from, to),
      tableOid: body.uint32(),
      attnum: body.int16(),
      typeOid: body.uint32(),
      typeLength: body.int16(),
      typeModifier: body.int32(),
      format: body.int16(),
    })
  }
  body.finish()
  return columns
}

/** @returns a RowDescription message */
export function buildRowDescription(columns: readonly ColumnDescription[]): Buffer {
  const message = new MessageBuilder().begin(back.rowDescription).int16(columns.length)
  for (const column of columns) {
    message.bytes(column.name).uint8(0).int32(column.tableOid).int16(column.attnum).int32(column.typeOid)
    message.int16(column.typeLength).int32(column.typeModifier).int16(column.format)
  }
  return message.end().take()
}

/** @returns the type OIDs of a ParameterDescription. @throws {WireError} */
export function parseParameterDescription(buffer: Buffer, start: number, end: number): number[] {
  const body = new BodyReader(buffer, start, end)
  const types = Array.from({ length: body.uint16() }, () => body.uint32())
  body.finish()
  return types
}

/** @returns a ParameterDescription message */
export function buildParameterDescription(types: readonly number[]): Buffer {
  const message = new MessageBuilder().begin(back.parameterDescription).int16(types.length)
  for (const type of types) message.int32(type)
  return message.end().take()
}

/** Describe and Close name a statement (`S`) or a portal (`P`). */
export interface Target {
  readonly of: 'statement' | 'portal'
  readonly name: string
}

/** Body of Describe or Close. @throws {WireError} */
export function parseTarget(buffer: Buffer, start: number, end: number): Target | undefined {
  const body = new BodyReader(buffer, start, end)
  const letter = body.uint8()
  const name = body.objectName()
  body.finish()
  if (letter === 0x53) return { of: 'statement', name }
  return letter === 0x50 ? { of: 'portal', name } : undefined
}

/** @returns a Describe message for a portal */
export function buildDescribePortal(name: string): Buffer {
  return new MessageBuilder().begin(front.describe).uint8(0x50).objectName(name).end().take()
}

/** @returns a Close message for a prepared statement */
export function buildCloseStatement(name: string): Buffer {
  return new MessageBuilder().begin(front.close).uint8(0x53).objectName(name).end().take()
}
