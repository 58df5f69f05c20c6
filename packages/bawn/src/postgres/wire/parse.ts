import { BodyReader } from './body-reader.ts'
import { MessageBuilder } from './builder.ts'
import { front } from './message.ts'

export interface Parse {
  readonly name: string
  /** The statement text, UTF-8, without NUL. Shares memory with the message. */
  readonly text: Buffer
  /** Type OIDs that the client fixes; 0 leaves one open. May be shorter than the parameters are. */
  readonly types: readonly number[]
}

/** @throws {WireError} */
export function parseParse(buffer: Buffer, start: number, end: number): Parse {
  const body = new BodyReader(buffer, start, end)
  const name = body.objectName()
  const { from, to } = body.skipCstring()
  const types = Array.from({ length: body.uint16() }, () => body.uint32())
  body.finish()
  return { name, text: buffer.subarray(from, to), types }
}

/** @returns a Parse message */
export function buildParse(parse: Parse): Buffer {
  const message = new MessageBuilder(parse.text.length + parse.types.length * 4 + 64).begin(front.parse)
  message.objectName(parse.name).bytes(parse.text).uint8(0).int16(parse.types.length)
  for (const type of parse.types) message.int32(type)
  return message.end().take()
}

/** Body of Query: the text without its NUL. Shares memory with the message. @throws {WireError} */
export function parseQuery(buffer: Buffer, start: number, end: number): Buffer {
  const body = new BodyReader(buffer, start, end)
  const { from, to } = body.skipCstring()
  body.finish()
  return buffer.subarray(from, to)
}

/** @returns a Query message */
export function buildQuery(text: Uint8Array): Buffer {
  return new MessageBuilder(text.length + 16).begin(front.query).bytes(text).uint8(0).end().take()
}
