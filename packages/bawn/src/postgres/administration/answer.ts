import { MessageBuilder } from '../wire/builder.ts'
import { back } from '../wire/message.ts'
import { buildRowDescription } from '../wire/row-description.ts'
import type { Column } from './lists.ts'
import type { AccountAnswer } from './run.ts'

// Answers to statements about accounts, byte for byte as PostgreSQL would write them. All values are text, which is the same in both
// formats of the protocol.

/** @param formats as Bind has them: none for text, one for all columns, or one each */
export function rowDescription(columns: readonly Column[], formats: readonly number[] = []): Buffer {
  return buildRowDescription(
    columns.map(({ name, typeOid }, index) => ({
      name: Buffer.from(name),
      tableOid: 0,
      attnum: 0,
      typeOid,
      typeLength: -1,
      typeModifier: -1,
      format: (formats.length === 1 ? formats[0] : formats[index]) ?? 0,
    })),
  )
}

function dataRow(message: MessageBuilder, row: AccountAnswer['rows'][number]): void {
  message.begin(back.dataRow).int16(row.length)
  for (const value of row) {
    if (value === undefined) message.int32(-1)
    else {
      const bytes = Buffer.from(value)
      message.int32(bytes.length).bytes(bytes)
    }
  }
  message.end()
}

/** Rows and CommandComplete; PortalSuspended in its place where rows are left. @param maxRows 0 for all */
export function rowsAnswer(
  { tag, rows }: AccountAnswer,
  from: number,
  maxRows: number,
): { readonly bytes: Buffer; readonly next: number } {
  const message = new MessageBuilder()
  const next = maxRows === 0 ? rows.length : Math.min(rows.length, from + maxRows)
  for (const row of rows.slice(from, next)) dataRow(message, row)
  if (next < rows.length) message.begin(back.portalSuspended).end()
  else message.begin(back.commandComplete).cstring(tag).end()
  return { bytes: message.take(), next }
}

/** The whole answer to a Query, but for ReadyForQuery. */
export function queryAnswer(answer: AccountAnswer): Buffer {
  const { bytes } = rowsAnswer(answer, 0, 0)
  return answer.columns.length === 0 ? bytes : Buffer.concat([rowDescription(answer.columns), bytes])
}
