import { PostgresError } from './failure.ts'
import type { Pending } from './pending.ts'
import type { RowPlan } from './rows.ts'
import type { Disposition } from './wire/frame-reader.ts'
import { back } from './wire/message.ts'
import { WireError } from './wire/wire-error.ts'

const maxSmallBytes = 1024 * 1024

/**
 * Which messages of the server are opened: what is not looked at streams, whatever its length.
 *
 * @param head the request that it answers
 * @param muted nothing of its result is shown any more
 * @throws {WireError | PostgresError} when it is longer than can be opened
 */
export function dispositionOf(
  type: number,
  length: number,
  head: Pending | undefined,
  muted: boolean,
  maxFrameBytes: number,
): Disposition {
  switch (type) {
    case back.copyData:
    case back.notice:
    case back.notification:
      return 'stream'
    case back.functionResult:
      if (head?.functionCall !== true) throw new WireError('a function result from PostgreSQL that was not asked for')
      return 'stream'
    case back.dataRow:
      if (muted || head === undefined || rowsOf(head) === undefined) return 'stream'
      break
    case back.rowDescription:
    case back.parameterDescription:
      if (!opensDescription(head)) return 'stream'
      break
    default:
      if (length > maxSmallBytes) {
        throw new WireError(`a message of ${length} bytes from PostgreSQL is too long for its kind`)
      }
      return 'open'
  }
  if (length > maxFrameBytes) {
    throw new PostgresError('postgres.too_large', 'a row with protected columns is longer than max_frame_bytes')
  }
  return 'open'
}

/** Is a description that answers `head` to be looked at? */
export function opensDescription(head: Pending | undefined): boolean {
  return (
    head?.execution !== undefined ||
    head?.portal?.plan.kind === 'protected' ||
    head?.statement?.plan.kind === 'protected'
  )
}

/** What to do with the rows that answer `head`; `undefined` when none of their columns is protected. @throws {WireError} */
export function rowsOf(head: Pending): RowPlan | undefined {
  const { execution, portal } = head
  if (execution === undefined || head.kind === 'query') return execution?.rows
  // Fail closed: the description that was asked for with every protected portal has not come.
  if (portal?.rows === undefined) throw new WireError('rows from PostgreSQL without their description')
  return portal.rows === 'none' ? undefined : portal.rows
}
