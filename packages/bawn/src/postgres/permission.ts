import type { Conversation } from './conversation.ts'
import { type Declaration, emptyReading, opaqueReading, type Reading } from './grants/reading.ts'
import type { SessionGrants, Verdict } from './grants/session-grants.ts'
import { objectKey, type Statement } from './objects.ts'
import { outdatedName, type Planned } from './planning.ts'
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

/** @returns the rules that let something pass; of what none has judged while there are some, none at all */
export function judgedIn({ rules, database }: Conversation, planned: Planned): number {
  return planned.judgedIn ?? (database.firewall === undefined ? rules : -1)
}

/**
 * The firewall's rules may be others than when something was prepared or bound: then they judge it again. `undefined` when there is nothing
 * to do, or when it may be run.
 *
 * @param name as the protocol has it, latin1
 */
export function judgeLate(
  turn: Turn,
  kind: Declaration['kind'],
  name: string,
  known: { judgedIn: number; readonly text: Buffer | undefined } | undefined,
): Step | undefined {
  const { talk } = turn
  const { firewall } = talk.database
  // Unnamed ones are made by messages only: what we do not know is not there.
  if (firewall === undefined || (name === '' && known === undefined)) return undefined
  const { rules } = talk
  const key = `${kind} ${objectKey(name)}`
  if (known !== undefined && known.judgedIn !== rules) {
    // Of a statement about accounts nothing was kept.
    if (known.text === undefined || known.text.length === 0)
      return refusePlan(talk, 'extended', Buffer.alloc(0), outdatedName(key))
    const planned = turn.plan(known.text)
    if (planned === undefined) return 'wait'
    if (planned instanceof Error) return refuse(talk, 'extended', planned.code, planned.message)
    if (planned.plan.kind === 'refused') return refusePlan(talk, 'extended', known.text, planned.plan)
    talk.tellFirewall(planned.notes)
    known.judgedIn = judgedIn(talk, planned)
  }
  const given = talk.judgedNames.of(key) ?? (known === undefined ? 0 : rules)
  if (given === rules || firewall.options.mode !== 'enforce') return undefined
  return refusePlan(talk, 'extended', Buffer.alloc(0), outdatedName(key))
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
