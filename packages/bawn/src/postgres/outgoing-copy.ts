import type { Conversation } from './conversation.ts'
import { CopyStream } from './copy/stream.ts'
import type { Execution } from './execution.ts'
import { PostgresError } from './failure.ts'
import { type PlannedColumn, revealCell } from './rows.ts'
import type { CopyPlan } from './sql/plan.ts'
import { BodyReader } from './wire/body-reader.ts'
import { formatByteaText } from './wire/bytea.ts'
import type { FrameReader } from './wire/frame-reader.ts'

/** Whether the data that CopyInResponse or CopyOutResponse announces is what the plan goes by. @throws {WireError} */
export function isAsPlanned({ format, columns }: CopyPlan, { buffer, start, end }: FrameReader): boolean {
  const body = new BodyReader(buffer, start + 5, end)
  return body.uint8() === (format.kind === 'binary' ? 1 : 0) && body.uint16() === columns.length
}

export function otherCopy(): PostgresError {
  return new PostgresError('postgres.plan_outdated', 'the columns of the COPY are others than were known')
}

/** COPY … TO STDOUT of protected columns: what the server sends is revealed as in the rows of SELECT. */
export function outgoingCopy(talk: Conversation, execution: Execution, plan: CopyPlan): CopyStream {
  const stored = plan.format.kind === 'binary' ? 'bytes' : 'bytea-text'
  const columns = plan.columns.map((field): PlannedColumn | undefined => {
    if (field === undefined) return undefined
    return { view: talk.viewOf(field), stored, shown: field.type === 'text' ? 'text' : stored }
  })
  return new CopyStream(plan, talk.limits.maxFrameBytes, (place, wire) => {
    const column = columns[place]
    if (column === undefined) throw new TypeError('a column that is not protected')
    const value = revealCell(wire, column, execution.uses)
    return value === undefined || column.shown !== 'bytea-text' ? value : formatByteaText(value)
  })
}
