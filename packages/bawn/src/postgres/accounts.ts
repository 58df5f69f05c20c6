import type { ErrorCode } from '../error.ts'
import { queryAnswer, rowDescription, rowsAnswer } from './administration/answer.ts'
import { columnsOf } from './administration/lists.ts'
import { type AccountAnswer, type AdministrationContext, refusalOf, runAccountStatement } from './administration/run.ts'
import { type AccountStatement, verbOf, withoutSecret } from './administration/statement.ts'
import type { Conversation } from './conversation.ts'
import { emitStatement } from './execution.ts'
import { toGatewayError } from './failure.ts'
import type { AccountPortal, Portal, Statement } from './objects.ts'
import { judgedIn } from './permission.ts'
import type { Planned } from './planning.ts'
import { type RefusedKind, refuse } from './refuse.ts'
import type { Step, Turn } from './turn.ts'
import { BodyReader } from './wire/body-reader.ts'
import { status } from './wire/message.ts'
import { buildParse, buildQuery, type Parse } from './wire/parse.ts'

// Statements about accounts, in both protocols. The server gets an empty statement in place of each, so that order, transaction state and
// what is skipped up to Sync are its own; the client gets the gateway's answer in place of the empty one.

const nothing = Buffer.alloc(0)

/** What came of a statement about accounts. */
export type Administered =
  | {
      readonly kind: 'done'
      readonly statement: AccountStatement
      readonly answer: AccountAnswer
      readonly rule: string
    }
  | {
      readonly kind: 'refused'
      readonly statement: AccountStatement
      readonly code: ErrorCode
      readonly message: string
      readonly hint: string | undefined
      readonly rule: string
    }

type Grants = NonNullable<Conversation['database']['grants']>

function contextOf(talk: Conversation, grants: Grants): AdministrationContext {
  const { database, state, audit } = talk
  return {
    gate: grants.gate,
    administration: grants.administration,
    identity: audit.identity,
    database: database.name,
    isDatabase: name => state.databases.has(name),
    objects: async () => (await database.schema.refresh()).objects,
  }
}

/** What to do next, for somebody who has SQL and not the command line. */
const hints: { readonly [code in ErrorCode]?: string } = {
  'accounts.not_found': 'SHOW USERS and SHOW ROLES list those that exist',
  'accounts.exists': 'Choose another name; users and roles share theirs',
  'accounts.invalid': 'Names, roles and passwords have to be ones that the account store takes: docs/guide/accounts.md',
  'accounts.role_cycle': 'A role cannot have itself, be it over others: SHOW ROLES lists who has which',
  'accounts.role_in_use': 'REVOKE the role from whoever has it first; SHOW USERS and SHOW ROLES list them',
}

/** Never rejects. */
async function carryOut(talk: Conversation, statement: AccountStatement): Promise<Administered> {
  const { grants } = talk.database
  try {
    if (grants === undefined) {
      const message = 'grants are not in force any more'
      return { kind: 'refused', statement, code: 'postgres.plan_outdated', message, hint: undefined, rule: message }
    }
    const result = await runAccountStatement(statement, contextOf(talk, grants))
    if ('answer' in result) return { kind: 'done', statement, ...result }
    const { code, message, hint, rule = code } = result.refusal
    return { kind: 'refused', statement, code, message, hint, rule }
  } catch (thrown) {
    const error = toGatewayError(thrown)
    talk.state.log({ level: 'warn', message: error.message, requestId: talk.audit.sessionId, cause: thrown })
    const { code, message } = error
    return { kind: 'refused', statement, code, message, hint: hints[code], rule: code }
  }
}

function resourceOf(talk: Conversation, statement: AccountStatement): string {
  // What was granted to whom is what the trail is for; the statement is spelt anew, and has no password in it.
  const store = talk.database.grants?.administration.store ?? ''
  return `accounts/${store}: ${withoutSecret(statement)}`.slice(0, 1_000)
}

/** Its line in the trail, which is written before the answer leaves. */
function tell(talk: Conversation, { statement, answer, rule }: Extract<Administered, { readonly kind: 'done' }>): void {
  emitStatement(talk.audit, {
    requestId: talk.nextRequestId(),
    action: verbOf(statement),
    resource: resourceOf(talk, answer.carriedOut ?? statement),
    decision: 'permit',
    rule,
  })
  talk.uncommitted = true
}

function refuseAccount(
  talk: Conversation,
  kind: RefusedKind,
  statement: AccountStatement,
  refusal: {
    readonly code: ErrorCode
    readonly message: string
    readonly hint?: string | undefined
    readonly rule?: string | undefined
  },
  name?: string,
): 'next' {
  const { code, message, hint, rule = code } = refusal
  return refuse(talk, kind, code, message, {
    denial: { rule, action: verbOf(statement), resource: resourceOf(talk, statement) },
    ...(hint === undefined ? {} : { hint }),
    ...(name === undefined ? {} : { name }),
  })
}

/** Why it cannot run here and now: what it changes is no part of the database's transaction. */
function misplaced(
  talk: Conversation,
  statement: AccountStatement,
): { readonly code: ErrorCode; readonly message: string } | undefined {
  const code = 'postgres.account_in_transaction'
  if (talk.copyIn !== 'no') return { code, message: `${verbOf(statement)} cannot run during COPY` }
  if (talk.transaction === status.failed) {
    return { code, message: 'current transaction is aborted, commands ignored until end of transaction block' }
  }
  if (statement.kind === 'list') return undefined
  if (talk.transaction !== status.idle) {
    return { code, message: `${verbOf(statement)} cannot run inside a transaction block` }
  }
  if (talk.executedIn === talk.batch) {
    return { code, message: `${verbOf(statement)} cannot be executed within a pipeline` }
  }
  return undefined
}

/** Query, for the first time: it waits for everything before it, then for the store. */
export function accountQuery(turn: Turn, statement: AccountStatement): Step {
  const { talk } = turn
  if (talk.pending.length > 0 && talk.copyIn !== 'skipping-sync') return turn.settle()
  const obstacle = misplaced(talk, statement)
  if (obstacle !== undefined) return refuseAccount(talk, 'query', statement, obstacle)
  return turn.administer(carryOut(talk, statement))
}

/** Query, when it was carried out. */
export function answerQuery(turn: Turn, done: Administered): Step {
  const { talk } = turn
  if (done.kind === 'refused') return refuseAccount(talk, 'query', done.statement, done)
  tell(talk, done)
  talk.send({ kind: 'query', answer: queryAnswer(done.answer) })
  talk.toServer.append(buildQuery(nothing))
  return 'next'
}

/** Parse: the right is asked for now, and again when it runs. */
export function accountParse(turn: Turn, statement: AccountStatement, message: Parse, planned: Planned): Step {
  const { talk } = turn
  const { grants } = talk.database
  const refusal = grants === undefined ? undefined : refusalOf(statement, contextOf(talk, grants))
  if (refusal !== undefined) return refuseAccount(talk, 'extended', statement, refusal, message.name)
  const prepared: Statement = {
    plan: { kind: 'pass', schemaChange: false },
    snapshot: planned.snapshot,
    // Not even kept: it may hold a password.
    text: nothing,
    types: [],
    batch: talk.batch,
    declarations: talk.declarations,
    account: statement,
    judgedIn: judgedIn(talk, planned),
    confirmed: false,
  }
  // By the client's own name: on the connection that it then keeps.
  if (talk.prepared !== undefined) {
    talk.isPinned = true
    talk.prepared.unnamed = undefined
  }
  talk.send({ kind: 'parse', statement: prepared, undo: talk.statements.set(message.name, prepared) })
  talk.toServer.append(buildParse({ name: message.name, text: nothing, types: [] }))
  return 'next'
}

/** Of a Bind to such a statement. */
export function accountPortal(statement: AccountStatement, formats: readonly number[]): AccountPortal {
  return { statement, formats, answer: undefined, taken: 0 }
}

/** What Describe tells in place of NoData; `undefined` where there is no result. */
export function describeAccount(statement: AccountStatement, formats: readonly number[] = []): Buffer | undefined {
  const columns = columnsOf(statement)
  return columns.length === 0 ? undefined : rowDescription(columns, formats)
}

/** Execute: behind everything before it has been answered, for what the server skips must not have been carried out. */
export function accountExecute(turn: Turn, portal: Portal, account: AccountPortal): Step {
  const { talk } = turn
  const done = turn.takeAdministered()
  if (done === undefined && account.answer === undefined) {
    if (talk.pending.length > 0 && talk.copyIn !== 'skipping-sync') return turn.settle()
    const obstacle = misplaced(talk, account.statement)
    if (obstacle !== undefined) return refuseAccount(talk, 'extended', account.statement, obstacle)
    return turn.administer(carryOut(talk, account.statement))
  }
  if (done?.kind === 'refused') return refuseAccount(talk, 'extended', done.statement, done)
  if (done !== undefined) {
    account.answer = done.answer
    tell(talk, done)
  }
  const { answer } = account
  if (answer === undefined) throw new TypeError('a statement about accounts without an answer')
  const { buffer, start, end } = turn.reader
  const body = new BodyReader(buffer, start + 5, end)
  body.objectName()
  const { bytes, next } = rowsAnswer(answer, account.taken, Math.max(0, body.int32()))
  account.taken = next
  talk.send({ kind: 'execute', portal, answer: bytes })
  turn.forward()
  return 'next'
}
