import { errors } from '../error.ts'
import type { Conversation } from './conversation.ts'
import type { Pending } from './pending.ts'
import type { RawErrorFields } from './wire/error-response.ts'

/** SQLSTATE undefined_table. */
const missingRelation = '42P01'

/**
 * Takes out of an error of the server what this identity must not learn by it, and puts its position right.
 *
 * @param head the message that it answers
 * @returns whether anything was changed
 */
export function reviseError(talk: Conversation, head: Pending, fields: RawErrorFields): boolean {
  const touches =
    head.execution === undefined
      ? head.statement?.plan.kind === 'protected' || head.portal?.plan.kind === 'protected'
      : !head.execution.isApart
  let changed = false
  if (talk.grants !== undefined && fields.get('C') === missingRelation) {
    // Where in the server's code it was found would tell a missing relation from one that is hidden.
    for (const letter of ['F', 'L', 'R']) changed = fields.delete(letter) || changed
  }
  if (fields.has('D') && (touches || namesProtected(talk, fields) || !mayReadRow(talk, fields))) {
    // `Failing row contains (…)`, `Key (email)=(…)`: stored values, beside any rule of what may be shown.
    fields.delete('D')
    changed = true
  }
  const position = Number(fields.get('P'))
  if (head.edited !== undefined && Number.isInteger(position) && position > 0) {
    fields.set('P', String(head.edited.originalPosition(position)))
    changed = true
  }
  return changed
}

function namesProtected(talk: Conversation, fields: RawErrorFields): boolean {
  const snapshot = talk.pending.head()?.execution?.snapshot ?? talk.snapshot
  const [schema, table] = [fields.get('s'), fields.get('t')]
  return (
    snapshot !== undefined &&
    table !== undefined &&
    snapshot.relations.some(relation => relation.schema === schema && relation.name === table)
  )
}

/** Who may write a table and not read it must not read it by the row that did not fit (classes 23 and 44). */
function mayReadRow(talk: Conversation, fields: RawErrorFields): boolean {
  const { grants } = talk
  const errorClass = fields.get('C')?.slice(0, 2)
  if (errorClass !== '23' && errorClass !== '44') return true
  try {
    if (talk.database.firewall?.hidesColumns(talk.audit.identity) === true) return false
    if (grants === undefined) return true
    return grants.mayRead(fields.get('s'), fields.get('t'))
  } catch {
    return false
  }
}

/** The server was asked to cancel, and says "user request": it was the gateway, for the time. @returns whether that was so */
export function tellTimeout({ timedOut, pending }: Conversation, fields: RawErrorFields): boolean {
  if (pending.readyCame !== timedOut || fields.get('C') !== errors['postgres.statement_timeout'].sqlstate) return false
  fields.set('M', 'canceling statement due to statement timeout')
  fields.set('H', errors['postgres.statement_timeout'].hint)
  return true
}
