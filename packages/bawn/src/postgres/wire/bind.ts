import { BodyReader } from './body-reader.ts'
import { MessageBuilder } from './builder.ts'
import { front } from './message.ts'
import { WireError } from './wire-error.ts'

/** The names that Bind begins with; enough to know whether the rest has to be opened. */
export interface BindNames {
  readonly portal: string
  readonly statement: string
}

/** @throws {WireError} */
export function parseBindNames(buffer: Buffer, start: number, end: number): BindNames {
  const body = new BodyReader(buffer, start, end)
  return { portal: body.objectName(), statement: body.objectName() }
}

export interface Bind extends BindNames {
  /** One code for each value: 0 text, 1 binary. */
  readonly formats: readonly number[]
  /** `undefined` is NULL. They share memory with the message. */
  readonly values: readonly (Uint8Array | undefined)[]
  /** As sent: none, one for all, or one each. */
  readonly resultFormats: readonly number[]
}

/** @throws {WireError} */
export function parseBind(buffer: Buffer, start: number, end: number): Bind {
  const body = new BodyReader(buffer, start, end)
  const portal = body.objectName()
  const statement = body.objectName()
  const codes = formatCodes(body)
  const values: (Uint8Array | undefined)[] = []
  const count = body.uint16()
  if (codes.length > 1 && codes.length !== count) {
    throw new WireError(`bind message has ${codes.length} parameter formats but ${count} parameters`)
  }
  for (let index = 0; index < count; index += 1) {
    const length = body.int32()
    if (length < -1) throw new WireError('a parameter has a negative length')
    values.push(length === -1 ? undefined : body.bytes(length))
  }
  const resultFormats = formatCodes(body)
  body.finish()
  const only = codes.length === 1 ? (codes[0] ?? 0) : 0
  return { portal, statement, formats: values.map((_, index) => codes[index] ?? only), values, resultFormats }
}

function formatCodes(body: BodyReader): number[] {
  return Array.from({ length: body.uint16() }, () => {
    const code = body.int16()
    if (code !== 0 && code !== 1) throw new WireError(`unsupported format code: ${code}`)
    return code
  })
}

/** @returns a Bind message with one format code for each value */
export function buildBind(bind: Bind): Buffer {
  const size = bind.values.reduce((sum, value) => sum + 6 + (value?.length ?? 0), 0)
  const message = new MessageBuilder(size + 128).begin(front.bind).objectName(bind.portal).objectName(bind.statement)
  message.int16(bind.formats.length)
  for (const format of bind.formats) message.int16(format)
  message.int16(bind.values.length)
  for (const value of bind.values) {
    if (value === undefined) message.int32(-1)
    else message.int32(value.length).bytes(value)
  }
  message.int16(bind.resultFormats.length)
  for (const format of bind.resultFormats) message.int16(format)
  return message.end().take()
}
