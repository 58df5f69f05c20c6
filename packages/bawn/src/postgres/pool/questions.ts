import type { ByteInput } from '../byte-input.ts'
import { maxLoginMessageBytes, refusal } from '../upstream-login.ts'
import { BodyReader } from '../wire/body-reader.ts'
import { MessageBuilder } from '../wire/builder.ts'
import { back, front, status } from '../wire/message.ts'
import { WireError } from '../wire/wire-error.ts'

/** Cells of the one row that a statement had, as text; `undefined` is NULL. None: it had no row. */
export type Cells = readonly (string | undefined)[]

/**
 * Runs statements of ours, one after the other, in one write. Each has a transaction of its own, and all must have succeeded before anybody
 * else works there: whatever does not look like that is thrown.
 *
 * @param onParameter hears what the server reports as changed
 * @throws {UpstreamRefusal | PostgresError | WireError | ConnectionLost}
 */
export async function runStatements(
  input: ByteInput,
  statements: readonly string[],
  onParameter: (name: string, value: string) => void,
): Promise<readonly Cells[]> {
  const message = new MessageBuilder()
  for (const sql of statements) message.begin(front.query).cstring(sql).end()
  input.socket.write(message.take())
  const results: Cells[] = []
  for (let asked = 0; asked < statements.length; asked += 1) results.push(await result(input, onParameter))
  if (input.held > 0) throw new WireError('more from PostgreSQL than was asked for')
  return results
}

async function result(input: ByteInput, onParameter: (name: string, value: string) => void): Promise<Cells> {
  let cells: Cells = []
  let completed = false
  while (true) {
    const { type, body: bytes } = await input.readMessage(maxLoginMessageBytes)
    const body = new BodyReader(bytes, 0, bytes.length)
    switch (type) {
      case back.error:
        throw refusal({ body: bytes })
      case back.dataRow:
        cells = Array.from({ length: body.uint16() }, () => {
          const length = body.int32()
          return length < 0 ? undefined : body.bytes(length).toString('utf8')
        })
        break
      case back.parameterStatus:
        onParameter(body.cstring(), body.cstring())
        break
      case back.commandComplete:
        completed = true
        break
      case back.readyForQuery:
        if (!completed || body.uint8() !== status.idle) throw new WireError('a statement of the gateway was not done')
        return cells
      case back.rowDescription:
      case back.notice:
        break
      default:
        throw new WireError('an unexpected answer to a statement of the gateway')
    }
  }
}
