import { accountExecute, accountPortal, describeAccount } from './accounts.ts'
import type { AccountStatement } from './administration/statement.ts'
import { type LivePlan, objectKey, type Portal, type Statement } from './objects.ts'
import { isPermitted, judgeLate, mayRun, readingOf, readLate } from './permission.ts'
import { isPromise, isSamePlan, maxSchemaAgeMs, unknownPlan } from './planning.ts'
import { areNamesInDoubt, describeStatement, shareBind, shareClose, shareName } from './pool/shared-names.ts'
import { deallocated, noteLeftover, noteTraces, reviseDeallocation } from './pool/trace-notes.ts'
import { refuse, refusePlan } from './refuse.ts'
import { sealBind } from './seal.ts'
import type { SchemaSnapshot } from './sql/plan.ts'
import { tooManyObjects } from './texts.ts'
import type { Step, Turn } from './turn.ts'
import { buildBind, parseBind, parseBindNames } from './wire/bind.ts'
import { BodyReader } from './wire/body-reader.ts'
import { buildDescribePortal, parseTarget } from './wire/row-description.ts'
import { WireError } from './wire/wire-error.ts'

// Bind, Describe, Execute and Close: the messages that name a statement or a portal.

/** Bind: values of protected columns are sealed. */
export function bind(turn: Turn): Step {
  const { buffer, start, end } = turn.reader
  const talk = turn.talk
  const names = parseBindNames(buffer, start + 5, end)
  if (areNamesInDoubt(turn)) return turn.settle()
  const known = talk.statements.get(names.statement)
  if (!isSure(turn, known)) return turn.wait()
  const judged = judgeLate(turn, 'statement', names.statement, known)
  if (judged !== undefined) return judged
  if (known?.account !== undefined) return bindAccount(turn, names.portal, known, known.account)
  const late = readLate(turn, known)
  if (late !== undefined) return late
  if (known === undefined && talk.declarations > 0 && talk.pending.length > 0 && talk.copyIn !== 'skipping-sync') {
    return turn.settle()
  }
  if (talk.sqlStatements.isProtected(names.statement)) {
    return refuse(
      talk,
      'extended',
      'postgres.statement_refused',
      'SQL prepared this statement, and Bind would give it values that are not sealed: use EXECUTE, or Parse',
    )
  }
  // What else SQL prepares over protected tables takes no protected parameter; its results are looked at.
  const statement = known?.plan.kind === 'pass' && known.declarations !== talk.declarations ? undefined : known
  if (!mayRun(turn, 'statement', names.statement, known)) return 'next'
  const current = currentPlan(turn, statement)
  if (current === 'wait') return 'wait'
  if (current === 'refused') return 'next'
  if (tooManyObjects(turn, talk.portals.get(names.portal), names.portal)) return 'next'
  const { plan, snapshot } = current
  const { prepared } = talk
  if (prepared !== undefined && known !== undefined) reviseDeallocation(talk, prepared, known)
  const serverName = prepared && shareName(turn, prepared, names.statement, known)
  if (prepared !== undefined && serverName === undefined) return 'next'
  noteLeftover(talk, known?.traces)
  const portal: Portal = {
    plan,
    snapshot,
    sealed: statement?.sealed,
    batch: talk.batch,
    declarations: talk.declarations,
    reading: readingOf(talk, 'statement', names.statement, known),
    traces: known?.traces,
    ...judgedAs(turn, known),
    confirmed: false,
    describedIn: -1,
    describedAt: -1,
    rows: undefined,
  }
  if (plan.kind === 'protected' && plan.parameters.length > 0) {
    try {
      const message = parseBind(buffer, start + 5, end)
      const { sealed, uses } = sealBind(message, plan.parameters, statement?.types ?? [], talk.viewOf)
      if (portal.sealed !== undefined) uses.merge(portal.sealed)
      portal.sealed = uses
      turn.talk.send({ kind: 'bind', portal, statement, undo: talk.portals.set(names.portal, portal) })
      talk.toServer.append(buildBind({ ...sealed, statement: serverName ?? sealed.statement }))
    } catch (thrown) {
      if (thrown instanceof WireError) throw thrown
      const error = turn.failed(thrown)
      return refuse(turn.talk, 'extended', error.code, error.message)
    }
    return 'next'
  }
  talk.sendPlain('bind', undefined, portal, talk.portals.set(names.portal, portal))
  if (serverName === undefined || serverName === names.statement) turn.forward()
  else talk.toServer.append(shareBind(turn, serverName))
  return 'next'
}

/** Longer texts are not kept by each portal: their number is what bounds shorter ones. */
const longTextBytes = 16 * 1024

/** What a portal has of its statement, to be judged again. */
function judgedAs({ talk }: Turn, statement: Statement | undefined): Pick<Portal, 'judgedIn' | 'match' | 'text'> {
  const { text, match, judgedIn } = statement ?? { text: undefined, match: undefined, judgedIn: talk.rules }
  return { judgedIn, match, text: text !== undefined && text.length <= longTextBytes ? text : undefined }
}

function bindAccount(turn: Turn, name: string, statement: Statement, account: AccountStatement): Step {
  const { talk } = turn
  const { buffer, start, end } = turn.reader
  if (tooManyObjects(turn, talk.portals.get(name), name)) return 'next'
  const portal: Portal = {
    plan: statement.plan,
    snapshot: statement.snapshot,
    sealed: undefined,
    batch: talk.batch,
    declarations: talk.declarations,
    account: accountPortal(account, parseBind(buffer, start + 5, end).resultFormats),
    ...judgedAs(turn, statement),
    confirmed: false,
    describedIn: -1,
    describedAt: -1,
    rows: undefined,
  }
  talk.send({ kind: 'bind', portal, undo: talk.portals.set(name, portal) })
  turn.forward()
  return 'next'
}

/** The plan to run a statement by: made again when the schema changed since Parse. */
function currentPlan(
  turn: Turn,
  statement: Statement | undefined,
): { readonly plan: LivePlan; readonly snapshot: SchemaSnapshot } | 'wait' | 'refused' {
  const talk = turn.talk
  const now = talk.database.schema.fresh(maxSchemaAgeMs)
  // Asked again below, and heard there: this one must not end the process when nobody else listens.
  if (isPromise(now)) now.catch(() => {})
  if (statement === undefined) {
    if (isPromise(now)) {
      const planned = turn.plan(Buffer.alloc(0))
      if (planned === undefined) return 'wait'
      if (planned instanceof Error) {
        refuse(turn.talk, 'extended', planned.code, planned.message)
        return 'refused'
      }
      return { plan: unknownPlan, snapshot: planned.snapshot }
    }
    return { plan: unknownPlan, snapshot: now }
  }
  const isCurrent =
    !isPromise(now) && now.epoch === statement.snapshot.epoch && !talk.isSchemaStale && talk.unread.length === 0
  if (isCurrent && isPermitted(talk, statement, now)) {
    // The same columns; what it is kept for else may be large.
    statement.snapshot = now
    return statement
  }
  const planned = turn.plan(statement.text)
  if (planned === undefined) return 'wait'
  if (planned instanceof Error) {
    refuse(turn.talk, 'extended', planned.code, planned.message)
    return 'refused'
  }
  if (planned.plan.kind === 'refused' && (planned.plan.denial !== undefined || planned.plan.bare === true)) {
    refusePlan(talk, 'extended', statement.text, planned.plan)
    return 'refused'
  }
  if (!isSamePlan(statement.plan, planned.plan)) {
    refuse(
      turn.talk,
      'extended',
      'postgres.plan_outdated',
      'cached plan must not change: what the statement touches is protected differently now',
    )
    return 'refused'
  }
  statement.plan = planned.plan
  statement.snapshot = planned.snapshot
  return statement
}

/**
 * Whether an object that a message names is the one the server will use. Within one batch an error skips both; across a Sync it
 * has to be confirmed; a missing one may be there again once the server has skipped a Close.
 */
function isSure(turn: Turn, object: { readonly confirmed: boolean; readonly batch: number } | undefined): boolean {
  const talk = turn.talk
  if (talk.pending.outstandingReady === 0 || talk.copyIn === 'skipping-sync') return true
  return object !== undefined && (object.confirmed || object.batch === talk.batch)
}

/** Execute: behind a Describe of our own where the columns are not known yet. */
export function execute(turn: Turn): Step {
  const { buffer, start, end } = turn.reader
  const talk = turn.talk
  const body = new BodyReader(buffer, start + 5, end)
  const name = body.objectName()
  const nameEnd = body.at - 1
  body.int32()
  body.finish()
  const known = talk.portals.get(name)
  if (!isSure(turn, known)) return turn.wait()
  const judged = judgeLate(turn, 'cursor', name, known)
  if (judged !== undefined) return judged
  if (known?.account !== undefined) return accountExecute(turn, known, known.account)
  if (!mayRun(turn, 'cursor', name, known)) return 'next'
  talk.executedIn = talk.batch
  talk.sqlStatements.sent(known?.text)
  const done = noteTraces(
    talk,
    known?.traces,
    talk.noteSent(known?.plan, known?.reading, known?.match, known?.judgedIn),
  )
  if (known?.plan.kind === 'pass' && known.declarations === talk.declarations) {
    turn.talk.noteRun(known.plan, known.snapshot.epoch)
    const { deallocates } = known.traces ?? {}
    if (typeof deallocates === 'object') talk.send({ kind: 'execute', done, answer: deallocated })
    else talk.sendPlain('execute', undefined, undefined, undefined, done)
    turn.talk.tellPass()
    turn.forward()
    return 'next'
  }
  if (known === undefined && talk.snapshot === undefined) {
    // Nothing was planned yet in this session: there is no such portal, and that is the server's to say.
    const planned = turn.plan(Buffer.alloc(0))
    if (planned === undefined) return 'wait'
    if (planned instanceof Error) return refuse(talk, 'extended', planned.code, planned.message)
    if (planned.plan.kind === 'refused') return refusePlan(talk, 'extended', Buffer.alloc(0), planned.plan)
  }
  const portal = known?.plan.kind === 'protected' ? known : unknownPortal(turn)
  if (portal === undefined || portal.plan.kind !== 'protected') {
    return refuse(turn.talk, 'extended', 'postgres.schema_unavailable', 'the schema of the database is not known')
  }
  if (portal.describedAt !== talk.runs || (portal.rows === undefined && portal.describedIn !== talk.batch)) {
    // Which columns are protected is read from the server's description of this very portal, just before it runs.
    portal.describedIn = talk.batch
    turn.talk.send({ kind: 'describe-portal', portal, swallow: true })
    // By the name as the client wrote it: the server repeats it when there is no such portal.
    talk.toServer.append(buildDescribePortal(buffer.toString('latin1', start + 5, nameEnd)))
  }
  turn.talk.noteRun(portal.plan, portal.snapshot.epoch)
  portal.describedAt = talk.runs
  const execution = turn.talk.newExecution(portal.plan, portal.snapshot, portal.sealed)
  portal.sealed = undefined
  turn.talk.send({ kind: 'execute', portal, execution, done })
  turn.forward()
  return 'next'
}

/** Describe: the answer shows logical types. */
export function describe(turn: Turn): Step {
  const { buffer, start, end } = turn.reader
  const talk = turn.talk
  const target = parseTarget(buffer, start + 5, end)
  if (target === undefined || target.of === 'statement') {
    if (areNamesInDoubt(turn)) return turn.settle()
    const known = target === undefined ? undefined : talk.statements.get(target.name)
    if (!isSure(turn, known)) return turn.wait()
    const answer = known?.account === undefined ? undefined : describeAccount(known.account)
    if (target !== undefined && known?.account === undefined && !mayRun(turn, 'statement', target.name, known))
      return 'next'
    const { prepared } = talk
    const serverName = prepared && target !== undefined ? shareName(turn, prepared, target.name, known) : undefined
    if (prepared !== undefined && target !== undefined && serverName === undefined) return 'next'
    const statement = known ?? unknownStatement(turn)
    if (answer === undefined) talk.sendPlain('describe-statement', statement)
    else talk.send({ kind: 'describe-statement', statement, answer })
    if (serverName !== undefined) {
      talk.toServer.append(describeStatement(serverName))
      return 'next'
    }
  } else {
    const known = talk.portals.get(target.name)
    if (!isSure(turn, known)) return turn.wait()
    const { account } = known ?? {}
    if (account === undefined && !mayRun(turn, 'cursor', target.name, known)) return 'next'
    const portal = known ?? unknownPortal(turn)
    if (portal !== undefined) {
      portal.describedIn = talk.batch
      portal.describedAt = talk.runs
    }
    const answer = account === undefined ? undefined : describeAccount(account.statement, account.formats)
    if (answer === undefined) talk.sendPlain('describe-portal', undefined, portal)
    else talk.send({ kind: 'describe-portal', portal, answer })
  }
  turn.forward()
  return 'next'
}

function unknownPortal(turn: Turn): Portal | undefined {
  const { snapshot, batch, declarations } = turn.talk
  if (snapshot === undefined) return undefined
  return {
    plan: unknownPlan,
    snapshot,
    sealed: undefined,
    batch,
    declarations,
    judgedIn: turn.talk.rules,
    text: undefined,
    confirmed: true,
    describedIn: -1,
    describedAt: -1,
    rows: undefined,
  }
}

function unknownStatement(turn: Turn): Statement | undefined {
  const { snapshot, batch, declarations } = turn.talk
  if (snapshot === undefined) return undefined
  return {
    plan: unknownPlan,
    snapshot,
    text: Buffer.alloc(0),
    types: [],
    batch,
    declarations,
    judgedIn: turn.talk.rules,
    confirmed: true,
  }
}

/** Close: the name is forgotten, unless the server skips the message. */
export function close(turn: Turn): Step {
  const { buffer, start, end } = turn.reader
  const talk = turn.talk
  const target = parseTarget(buffer, start + 5, end)
  const table = target?.of === 'statement' ? talk.statements : talk.portals
  const known = target?.of === 'statement' ? talk.statements.get(target.name) : undefined
  const undo = target === undefined ? undefined : table.set(target.name, undefined)
  if (target !== undefined)
    talk.sqlStatements.closed({ kind: target.of === 'statement' ? 'statement' : 'cursor', name: target.name })
  if (talk.prepared !== undefined && target?.of === 'statement') {
    talk.send({ kind: 'close', undo, closes: objectKey(target.name) })
    shareClose(turn, talk.prepared, target.name, known)
  } else {
    talk.send({ kind: 'close', undo })
    turn.forward()
  }
  return 'next'
}
