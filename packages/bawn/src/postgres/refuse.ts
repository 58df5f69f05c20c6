import type { ErrorCode } from '../error.ts'
import type { Conversation } from './conversation.ts'
import { characterPosition } from './edits.ts'
import { emitStatement } from './execution.ts'
import { bareResponse, errorResponse } from './failure.ts'
import type { RefusedPlan } from './sql/plan.ts'
import { buildParse, buildQuery } from './wire/parse.ts'

/**
 * What the server gets in place of a refused statement: it fails there as well, so that order, transaction state and the messages
 * that are skipped up to Sync are the server's own and never an imitation. Its log names the reason.
 */
const failingText = Buffer.from('bawn_refused_this_statement')
const failingName = 'bawn_refused'

/** A message of the simple protocol is answered up to ReadyForQuery; one of the extended protocol up to the next Sync. */
export type RefusedKind = 'query' | 'extended'

export interface RefusalDetails {
  readonly hint?: string
  /** 1-based, in characters. */
  readonly position?: number | undefined
  /** Of the prepared statement that Parse would have made. */
  readonly name?: string
  /** What the trail has of it, where grants decided. */
  readonly denial?: RefusedPlan['denial']
  /** Nothing beside the message. */
  readonly bare?: boolean | undefined
}

/** The statement fails at the server as well; the client gets our words for it, in their place among the answers. */
export function refuse(
  talk: Conversation,
  kind: RefusedKind,
  code: ErrorCode,
  message: string,
  more: RefusalDetails = {},
): 'next' {
  const requestId = talk.nextRequestId()
  const refusal = more.bare === true ? bareResponse(code, message, more) : errorResponse(code, message, requestId, more)
  emitStatement(talk.audit, {
    requestId,
    action: 'statement',
    resource: talk.database.name,
    decision: 'deny',
    rule: code,
    ...more.denial,
    code,
  })
  talk.uncommitted = true
  if (kind === 'query') {
    talk.send({ kind: 'query', refusal })
    talk.toServer.append(buildQuery(failingText))
  } else {
    talk.send({ kind: 'parse', refusal })
    if (talk.prepared !== undefined && more.name === '') talk.prepared.unnamed = undefined
    // The same name: a refused unnamed statement takes the place of the unnamed one before, a named one takes nobody's.
    talk.toServer.append(buildParse({ name: more.name ?? failingName, text: failingText, types: [] }))
    talk.discarding = true
  }
  return 'next'
}

export function refusePlan(
  talk: Conversation,
  kind: RefusedKind,
  text: Buffer,
  plan: RefusedPlan,
  name?: string,
): 'next' {
  const position = plan.offset === undefined ? undefined : characterPosition(text, plan.offset)
  return refuse(talk, kind, plan.code, plan.message, {
    hint: plan.hint,
    position,
    bare: plan.bare,
    ...(plan.denial === undefined ? {} : { denial: plan.denial }),
    ...(name === undefined ? {} : { name }),
  })
}
