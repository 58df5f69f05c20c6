import { accountParse, accountQuery, answerQuery } from './accounts.ts'
import type { EditedText } from './edits.ts'
import type { FieldUses } from './field-uses.ts'
import type { Reading } from './grants/reading.ts'
import type { Statement } from './objects.ts'
import { judgedIn } from './permission.ts'
import { areNamesInDoubt, isTakenInDoubt, shareParse } from './pool/shared-names.ts'
import { deallocated, deallocation, lendNames, noteTraces, recallsOthers } from './pool/trace-notes.ts'
import { type Traces, tracesOf } from './pool/traces.ts'
import { type RefusedKind, refuse, refusePlan } from './refuse.ts'
import { sealEdits, sealedTypes } from './seal.ts'
import type { StatementPlan } from './sql/plan.ts'
import type { Step, Turn } from './turn.ts'
import { buildParse, buildQuery, parseParse, parseQuery } from './wire/parse.ts'

// Query and Parse: the messages that bring a statement text.

/** Query: planned, sealed, forwarded. */
export function query(turn: Turn): Step {
  const { buffer, start, end } = turn.reader
  const administered = turn.takeAdministered()
  if (administered !== undefined) return answerQuery(turn, administered)
  const text = parseQuery(buffer, start + 5, end)
  const planned = turn.plan(text)
  if (planned === undefined) return 'wait'
  if (planned instanceof Error) return refuse(turn.talk, 'query', planned.code, planned.message)
  const { plan, snapshot, reading } = planned
  if (namesInDoubt(turn, reading)) return turn.wait()
  if (valuesInDoubt(turn, plan)) return turn.settle()
  if (plan.kind === 'refused') return refusePlan(turn.talk, 'query', text, plan)
  const traces = tracesIn(turn, text)
  if (takesNames(traces) && turn.talk.pending.length > 0) return turn.settle()
  if (traces !== undefined && recallsOthers(turn.talk, traces)) return refuseRecall(turn, 'query')
  turn.talk.tellFirewall(planned.notes)
  if (planned.account !== undefined) return accountQuery(turn, planned.account)
  if (traces !== undefined) lendNames(turn.talk, traces)
  turn.talk.noteRun(plan)
  turn.talk.sqlStatements.sent(text)
  const other = traces && deallocation(turn.talk, traces)
  const done = noteTraces(turn.talk, traces, turn.talk.noteSent(plan, reading, planned.match, planned.judgedIn))
  if (plan.kind === 'pass') {
    if (other === undefined) turn.talk.sendPlain('query', undefined, undefined, undefined, done)
    else turn.talk.send({ kind: 'query', done, answer: deallocated })
    turn.talk.tellPass()
    if (other === undefined) turn.forward()
    else turn.talk.toServer.append(buildQuery(other))
    return 'next'
  }
  const sealed = sealText(turn, 'query', text, plan)
  if (sealed === undefined) return 'next'
  const { edited, uses } = sealed
  turn.talk.send({ kind: 'query', execution: turn.talk.newExecution(plan, snapshot, uses), edited, done })
  const sent = edited?.text ?? other
  if (sent === undefined) turn.forward()
  else turn.talk.toServer.append(buildQuery(sent))
  return 'next'
}

/** Parse: the same, and the name is kept with its plan. */
export function parse(turn: Turn): Step {
  const { buffer, start, end } = turn.reader
  const talk = turn.talk
  const message = parseParse(buffer, start + 5, end)
  const planned = turn.plan(message.text)
  if (planned === undefined) return 'wait'
  if (planned instanceof Error)
    return refuse(turn.talk, 'extended', planned.code, planned.message, { name: message.name })
  const { plan, snapshot, reading } = planned
  if (namesInDoubt(turn, reading)) return turn.wait()
  if (valuesInDoubt(turn, plan)) return turn.settle()
  if (plan.kind === 'refused') return refusePlan(turn.talk, 'extended', message.text, plan, message.name)
  if (tooManyObjects(turn, talk.statements.get(message.name), message.name)) return 'next'
  if (tooMuchText(turn, message.text, message.name)) return 'next'
  if (areNamesInDoubt(turn)) return turn.settle()
  if (isTakenInDoubt(turn, message.name)) return turn.wait()
  const traces = tracesIn(turn, message.text)
  if (traces !== undefined && recallsOthers(talk, traces)) return refuseRecall(turn, 'extended')
  talk.tellFirewall(planned.notes)
  if (planned.account !== undefined) return accountParse(turn, planned.account, message, planned)
  const statement: Statement = {
    plan,
    snapshot,
    text: Buffer.from(message.text),
    types: message.types,
    batch: talk.batch,
    declarations: talk.declarations,
    runs: talk.runs,
    reading,
    traces,
    judgedIn: judgedIn(talk, planned),
    match: planned.match?.statements.some(({ declares }) => declares !== undefined) ? planned.match : undefined,
    confirmed: false,
  }
  talk.sqlStatements.taken(message.name)
  const { prepared } = talk
  const other = traces && deallocation(talk, traces)
  if (plan.kind === 'pass') {
    if (prepared !== undefined) {
      const sent = { text: other ?? statement.text, types: message.types }
      return shareParse(turn, prepared, message.name, statement, sent, undefined)
    }
    talk.sendPlain('parse', statement, undefined, talk.statements.set(message.name, statement))
    turn.forward()
    return 'next'
  }
  const sealed = sealText(turn, 'extended', message.text, plan, message.name)
  if (sealed === undefined) return 'next'
  statement.sealed = sealed.uses
  const { edited } = sealed
  if (prepared !== undefined) {
    const sent = { text: edited?.text ?? other ?? statement.text, types: sealedTypes(message.types, plan.parameters) }
    return shareParse(turn, prepared, message.name, statement, sent, edited)
  }
  turn.talk.send({ kind: 'parse', statement, edited, undo: talk.statements.set(message.name, statement) })
  if (edited === undefined && plan.parameters.length === 0) turn.forward()
  else {
    const types = sealedTypes(message.types, plan.parameters)
    talk.toServer.append(buildParse({ name: message.name, text: edited?.text ?? message.text, types }))
  }
  return 'next'
}

/** What a text leaves on a connection that others have too. */
function tracesIn({ talk }: Turn, text: Uint8Array): Traces | undefined {
  return talk.prepared === undefined ? undefined : tracesOf(text)
}

function takesNames(traces: Traces | undefined): boolean {
  return typeof traces?.deallocates === 'object' || (traces?.frees.length ?? 0) > 0
}

function refuseRecall({ talk }: Turn, kind: RefusedKind): 'next' {
  const message = 'currval() and lastval() of an earlier transaction: its connection may be somebody else’s by now'
  return refuse(talk, kind, 'postgres.pool_state', message)
}

/** EXECUTE and FETCH go by names: which query has the name is known when everything before has been answered. */
function namesInDoubt({ talk }: Turn, reading: Reading | undefined): boolean {
  if (reading === undefined || reading.uses.length === 0) return false
  return talk.pending.outstandingReady > 0 && talk.copyIn !== 'skipping-sync'
}

/** Where the values of EXECUTE go is known when everything before has been answered. */
function valuesInDoubt({ talk }: Turn, plan: StatementPlan): boolean {
  return plan.kind === 'protected' && plan.forNow === true && talk.pending.length > 0 && talk.copyIn !== 'skipping-sync'
}

function sealText(
  turn: Turn,
  kind: RefusedKind,
  text: Buffer,
  plan: Extract<StatementPlan, { readonly kind: 'protected' }>,
  name?: string,
): { readonly edited: EditedText | undefined; readonly uses: FieldUses | undefined } | undefined {
  if (plan.edits.length === 0) return { edited: undefined, uses: undefined }
  try {
    const { sealed, uses } = sealEdits(text, plan.edits, turn.talk.viewOf)
    return { edited: sealed, uses }
  } catch (thrown) {
    const error = turn.failed(thrown)
    refuse(turn.talk, kind, error.code, error.message, name === undefined ? {} : { name })
    return undefined
  }
}

/** Texts shorter than this are bounded by the number of statements. */
const longTextBytes = 16 * 1024

/** Texts are kept, to be planned again: all together no longer than one message may be. */
function tooMuchText(turn: Turn, text: Buffer, name: string): boolean {
  if (text.length <= longTextBytes) return false
  const { limits, statements } = turn.talk
  let kept = text.length - (statements.get(name)?.text.length ?? 0)
  for (const statement of statements.values()) kept += statement.text.length
  if (kept <= limits.maxFrameBytes) return false
  refuse(
    turn.talk,
    'extended',
    'postgres.too_many_prepared',
    `prepared statements of more than ${limits.maxFrameBytes} bytes`,
    { name },
  )
  return true
}

/** Names are kept by us as well as by the server: their number has a limit. Refuses when it is reached. */
export function tooManyObjects(turn: Turn, known: object | undefined, name: string): boolean {
  const { limits, statements, portals } = turn.talk
  // Unnamed ones are two at most, and no client can do without.
  if (name === '' || known !== undefined || statements.size + portals.size < limits.maxPrepared) return false
  refuse(
    turn.talk,
    'extended',
    'postgres.too_many_prepared',
    `more than ${limits.maxPrepared} prepared statements and portals`,
    {
      name,
    },
  )
  return true
}
