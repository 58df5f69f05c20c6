import type { ErrorCode } from '../error.ts'
import type { Conversation } from './conversation.ts'
import { characterPosition } from './edits.ts'
import { emitStatement } from './execution.ts'
import { bareResponse, errorResponse } from './failure.ts'
import type { RefusedPlan } from './sql/plan.ts'
import { front } from './wire/message.ts'
import { buildParse, buildQuery } from './wire/parse.ts'
import { buildCloseStatement } from './wire/row-description.ts'

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
  tellRefusal(talk, requestId, code, more.denial)
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

function tellRefusal(talk: Conversation, requestId: string, code: ErrorCode, denial?: RefusedPlan['denial']): void {
  emitStatement(talk.audit, {
    requestId,
    action: 'statement',
    resource: talk.database.name,
    decision: 'deny',
    rule: code,
    ...denial,
    code,
  })
  talk.uncommitted = true
}

/**
 * A Sync takes the place of the one that a simple query is for the server: it must not be one that ends what the server skips behind an
 * error of a message before.
 */
function mayAsk({ pending, grants }: Conversation, kind: RefusedKind): boolean {
  // Accounts are the gateway's own: what was to be a statement about them may hold a password.
  if (grants !== undefined) return false
  if (kind === 'extended') return true
  const list = pending.list()
  return list.slice(list.findLastIndex(entry => entry.kind === 'sync') + 1).every(entry => entry.kind === 'query')
}

/**
 * Has the server parse what is no statement, so that the client hears of it what PostgreSQL says. It does not run it: where a newer
 * one finds nothing wrong with it, what it has prepared is closed at once, and the client gets our words as with `refuse`.
 */
function askServer(
  talk: Conversation,
  kind: RefusedKind,
  text: Buffer,
  wanted: string,
  { code, message, ...more }: RefusalDetails & { readonly code: ErrorCode; readonly message: string },
): 'next' {
  const requestId = talk.nextRequestId()
  // Like a simple query, an unnamed statement takes the place of the one before.
  const name = wanted === '' ? '' : failingName
  if (talk.prepared !== undefined && name === '') {
    talk.prepared.unnamed = undefined
    talk.statements.set('', undefined)
  }
  talk.tellPass()
  talk.send({ kind: 'parse', swallow: true })
  talk.toServer.append(buildParse({ name, text, types: [] }))
  if (name !== '') {
    talk.send({ kind: 'close', swallow: true })
    talk.toServer.append(buildCloseStatement(name))
  }
  talk.send({
    kind: 'parse',
    refusal: errorResponse(code, message, requestId, more),
    refused: () => tellRefusal(talk, requestId, code),
  })
  talk.toServer.append(buildParse({ name, text: failingText, types: [] }))
  if (kind === 'query') {
    talk.toServer.append(syncMessage)
    talk.sendPlain('sync')
  } else talk.discarding = true
  return 'next'
}

const syncMessage = Buffer.from([front.sync, 0, 0, 0, 4])

export function refusePlan(
  talk: Conversation,
  kind: RefusedKind,
  text: Buffer,
  plan: RefusedPlan,
  name?: string,
): 'next' {
  const position = plan.offset === undefined ? undefined : characterPosition(text, plan.offset)
  const { code, message, hint } = plan
  if (plan.askServer === true && mayAsk(talk, kind)) {
    return askServer(talk, kind, text, name ?? '', { code, message, hint, position })
  }
  return refuse(talk, kind, code, message, {
    hint,
    position,
    bare: plan.bare,
    ...(plan.denial === undefined ? {} : { denial: plan.denial }),
    ...(name === undefined ? {} : { name }),
  })
}
