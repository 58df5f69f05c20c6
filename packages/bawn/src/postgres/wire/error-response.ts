import { BodyReader } from './body-reader.ts'
import { MessageBuilder } from './builder.ts'
import { back } from './message.ts'

/** What an ErrorResponse says; fields of the manual, "Error and Notice Message Fields". */
export interface ErrorFields {
  readonly severity: 'ERROR' | 'FATAL'
  readonly sqlstate: string
  readonly message: string
  readonly detail?: string | undefined
  readonly hint?: string | undefined
  /** 1-based, in characters of the statement text. */
  readonly position?: number | undefined
}

/** @returns an ErrorResponse message */
export function buildErrorResponse(fields: ErrorFields): Buffer {
  const message = new MessageBuilder().begin(back.error)
  const put = (letter: string, value: string | undefined): void => {
    if (value !== undefined) message.uint8(letter.charCodeAt(0)).cstring(value)
  }
  put('S', fields.severity)
  put('V', fields.severity)
  put('C', fields.sqlstate)
  put('M', fields.message)
  put('D', fields.detail)
  put('H', fields.hint)
  put('P', fields.position === undefined ? undefined : String(fields.position))
  return message.uint8(0).end().take()
}

/** Fields of an ErrorResponse or NoticeResponse, by letter, in order; letters we do not know are kept. */
export type RawErrorFields = Map<string, string>

/** @throws {WireError} */
export function parseErrorResponse(buffer: Buffer, start: number, end: number): RawErrorFields {
  const body = new BodyReader(buffer, start, end)
  const fields: RawErrorFields = new Map()
  while (true) {
    const letter = body.uint8()
    if (letter === 0) break
    fields.set(String.fromCharCode(letter), body.cstring())
  }
  body.finish()
  return fields
}

/** @returns an ErrorResponse with exactly these fields */
export function rebuildErrorResponse(fields: RawErrorFields): Buffer {
  const message = new MessageBuilder().begin(back.error)
  for (const [letter, value] of fields) message.uint8(letter.charCodeAt(0)).cstring(value)
  return message.uint8(0).end().take()
}
