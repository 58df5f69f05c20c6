import type { ByteInput } from './byte-input.ts'
import { maxLoginMessageBytes, refusal } from './upstream-login.ts'
import { BodyReader } from './wire/body-reader.ts'
import { MessageBuilder } from './wire/builder.ts'
import { back, front } from './wire/message.ts'
import { WireError } from './wire/wire-error.ts'

/**
 * Asks one question of a session that is logged in, before anybody works in it.
 *
 * @param sql ours: nothing of a client's
 * @returns the cells of its one row, as text; `undefined` is NULL
 * @throws {UpstreamRefusal | PostgresError | WireError | ConnectionLost}
 */
export async function askUpstream(input: ByteInput, sql: string): Promise<readonly (string | undefined)[]> {
  input.socket.write(new MessageBuilder().begin(front.query).cstring(sql).end().take())
  let cells: readonly (string | undefined)[] | undefined
  while (true) {
    const message = await input.readMessage(maxLoginMessageBytes)
    switch (message.type) {
      case back.error:
        throw refusal(message)
      case back.dataRow:
        if (cells !== undefined) throw new WireError('two rows for one question')
        cells = cellsOf(message.body)
        break
      case back.readyForQuery:
        if (cells === undefined) throw new WireError('no row for a question')
        return cells
      case back.rowDescription:
      case back.commandComplete:
      case back.notice:
      case back.parameterStatus:
      case back.notification:
        break
      default:
        throw new WireError('an unexpected answer to a question')
    }
  }
}

function cellsOf(body: Buffer): readonly (string | undefined)[] {
  const reader = new BodyReader(body, 0, body.length)
  const cells = Array.from({ length: reader.uint16() }, () => {
    const length = reader.int32()
    return length < 0 ? undefined : reader.bytes(length).toString('utf8')
  })
  reader.finish()
  return cells
}
