import type { Conversation } from './conversation.ts'
import { type Declaration, emptyReading, opaqueReading, type Reading } from './grants/reading.ts'
import type { SessionGrants, Verdict } from './grants/session-grants.ts'
import type { Statement } from './objects.ts'
import { refuse, refusePlan } from './refuse.ts'
import type { SchemaSnapshot } from './sql/plan.ts'
import type { Step, Turn } from './turn.ts'

// Grants and the messages that name a statement or a portal: what was permitted when it was prepared is asked again when it is run.

/** Permitted as things are now, by what was decided before: anything else is looked into again. */
export function isPermitted(talk: Conversation, { reading }: Statement, snapshot: SchemaSnapshot): boolean {
  if (talk.grants === undefined || reading === undefined) return true
  try {
    return talk.grants.judge(reading, snapshot.objects, talk.made, false).kind === 'permitted'
  } catch {
    // It cannot be decided: whoever looks into it again tells why.
    return false
  }
}

/**
 * Whether grants let what a message names be run now: they may be others than when it was prepared. Refuses when they do not. A name
 * that SQL gave means what SQL prepared or declared, beside or in place of what the protocol's messages made.
 */
export function mayRun(
  turn: Turn,
  kind: Declaration['kind'],
  name: string,
  known: { readonly reading?: Reading | undefined } | undefined,
): boolean {
  const { talk } = turn
  // Unnamed ones are made by messages only: what we do not know is not there.
  if (talk.grants === undefined || (name === '' && known === undefined)) return true
  const text = Buffer.from(name, 'latin1').toString()
  let verdict: Verdict
  try {
    verdict = verdictOf(talk, talk.grants, kind, text, known?.reading)
  } catch (thrown) {
    const error = turn.failed(thrown)
    refuse(talk, 'extended', error.code, error.message)
    return false
  }
  if (verdict.kind !== 'denied') return true
  // The position would be one in a text that is not this message's.
  const { plan } = verdict
  const message = plan.code === 'postgres.cursor_unknown' ? `portal "${text}" does not exist` : plan.message
  refusePlan(talk, 'extended', Buffer.alloc(0), { ...plan, message, offset: undefined })
  return false
}

function verdictOf(
  talk: Conversation,
  grants: SessionGrants,
  kind: Declaration['kind'],
  name: string,
  reading: Reading | undefined,
): Verdict {
  const objects = talk.snapshot?.objects
  const bySql = (kind === 'statement' ? grants.statements : grants.cursors).has(name)
  if (reading === undefined || bySql) {
    const verdict = grants.use(kind, name, reading?.references, reading?.verb ?? 'EXECUTE', objects, true)
    if (verdict.kind !== 'permitted' || reading === undefined) return verdict
  }
  return grants.judge(reading, objects, talk.made, true)
}

/** What a portal touches: as its statement, or as what SQL prepared by that name. */
export function readingOf(
  talk: Conversation,
  kind: Declaration['kind'],
  name: string,
  known: Statement | undefined,
): Reading | undefined {
  const { grants } = talk
  if (grants === undefined) return known?.reading
  const text = Buffer.from(name, 'latin1').toString()
  const references = grants[kind === 'statement' ? 'statements' : 'cursors'].references(text)
  if (references === undefined) return known?.reading
  const merged = [...references, ...(known?.reading?.references ?? [])]
  return { ...(known?.reading ?? emptyReading), references: merged, single: false }
}

/** A statement that was prepared before a reload brought grants is read now. `undefined` when there is nothing to do. */
export function readLate(turn: Turn, statement: Statement | undefined): Step | undefined {
  const { talk } = turn
  if (statement === undefined || statement.reading !== undefined || talk.grants === undefined) return undefined
  const planned = turn.plan(statement.text)
  if (planned === undefined) return 'wait'
  if (planned instanceof Error) return refuse(talk, 'extended', planned.code, planned.message)
  if (planned.plan.kind === 'refused') return refusePlan(talk, 'extended', statement.text, planned.plan)
  if (planned.account !== undefined) {
    const message = 'cached plan must not change: statements about accounts are the gateway’s own now'
    return refuse(talk, 'extended', 'postgres.plan_outdated', message)
  }
  // Of a superuser who sends what is not understood: nobody else may run it, whoever they are later.
  statement.reading = planned.reading ?? opaqueReading
  return undefined
}
