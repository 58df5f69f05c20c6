import type { ErrorCode } from '../error.ts'
import { mayConcernAccounts } from './administration/parse.ts'
import type { AccountStatement } from './administration/statement.ts'
import type { Conversation } from './conversation.ts'
import { PostgresError } from './failure.ts'
import type { Firewall } from './firewall/firewall.ts'
import type { TextMatch } from './firewall/rules.ts'
import { type FirewallNotes, notesOf, refusalOf } from './firewall/session.ts'
import type { Reading, Unread } from './grants/reading.ts'
import type { LivePlan } from './objects.ts'
import { asWord } from './sql/names.ts'
import type { RefusedPlan, SchemaSnapshot, StatementPlan, TextReading } from './sql/plan.ts'
import { refusedPlan, unreadName } from './sql/refusal.ts'

/** How old what we know of the schema may be: changes beside the gateway are not announced by anything. */
export const maxSchemaAgeMs = 10_000

/** A plan and the schema it was made with. */
export interface Planned {
  readonly plan: StatementPlan
  readonly snapshot: SchemaSnapshot
  /** What the text touches, where grants decided about it. */
  readonly reading?: Reading | undefined
  /** It is about accounts, and the gateway's own. */
  readonly account?: AccountStatement | undefined
  /** `Conversation.rules` by which the firewall let it pass; `undefined` where there was none. */
  readonly judgedIn?: number | undefined
  /** What its rules make of the text. */
  readonly match?: TextMatch | undefined
  /** What the firewall has to tell of a text that it let pass. */
  readonly notes?: FirewallNotes | undefined
}

/** A statement of which we do not know the text (SQL-level PREPARE, DECLARE): its results are looked at, by column. */
export const unknownPlan: LivePlan = Object.freeze({
  kind: 'protected',
  verb: 'EXECUTE',
  tables: [],
  edits: [],
  parameters: [],
  schemaChange: false,
  declares: false,
})

/**
 * Plans one statement with the schema as it is now. At once in the common case: a known text, a schema that is at hand. A schema
 * or a planner that fails refuses the statement; it is never let through unplanned.
 */
export function planStatement(talk: Conversation, text: Uint8Array): Planned | Promise<Planned> {
  const { schema } = talk.database
  const { following } = talk.objectChanges
  if (following !== undefined) return following.then(() => planStatement(talk, text))
  // Inside a transaction the change is not visible to anybody else yet: it is read after the commit.
  if (talk.isSchemaStale) return refreshAndPlan(talk, text)
  const snapshot = schema.fresh(maxSchemaAgeMs)
  if (isPromise(snapshot)) return snapshot.catch(unavailable).then(now => planWith(talk, text, now))
  return planWith(talk, text, snapshot)
}

async function refreshAndPlan(talk: Conversation, text: Uint8Array): Promise<Planned> {
  let snapshot: SchemaSnapshot
  try {
    snapshot = await talk.database.schema.refresh()
  } catch (cause) {
    return unavailable(cause)
  }
  talk.schemaChangedAt = undefined
  // What has become a temporary view after all is in the catalogue of every session, and known in none.
  talk.unread = talk.unread.filter(name => snapshot.temporary?.includes(name) === true)
  return await planWith(talk, text, snapshot)
}

function planWith(talk: Conversation, text: Uint8Array, snapshot: SchemaSnapshot): Planned | Promise<Planned> {
  talk.snapshot = snapshot
  if (snapshot.missingFilters?.[0] !== undefined) return { plan: unfiltered, snapshot }
  const { firewall, planner } = talk.database
  if (firewall === undefined) return planGranted(talk, text, snapshot)
  const judge = { firewall, rules: talk.rules }
  const match = planner.match(text, talk.grants !== undefined, firewall)
  if (isPromise(match)) return match.then(made => guard(talk, text, snapshot, made, judge, false))
  return guard(talk, text, snapshot, match, judge, false)
}

/** The firewall comes first: what it refuses, it refuses by the text, whatever else somebody may do. */
function guard(
  talk: Conversation,
  text: Uint8Array,
  snapshot: SchemaSnapshot,
  match: TextMatch | Unread,
  judge: { readonly firewall: Firewall; readonly rules: number },
  final: boolean,
): Planned | Promise<Planned> {
  const { name, schema } = talk.database
  const { firewall, rules } = judge
  const { identity } = talk.audit
  // Read for other rules, they do not tell by which other names rows of the tables of these are reached.
  const objects = snapshot.objects?.watched === firewall.watched ? snapshot.objects : undefined
  const verdict = firewall.judge(match, identity, objects, final)
  switch (verdict.kind) {
    case 'permitted':
      break
    case 'denied':
      if (firewall.options.mode === 'enforce') return { plan: refusalOf(verdict, match, name), snapshot }
      break
    case 'undecided':
    case 'unknown': {
      const now = objects === undefined ? schema.refresh() : schema.fresh(maxRefusalAgeMs)
      const again = (newer: SchemaSnapshot): Planned | Promise<Planned> => {
        if (newer.objects?.watched !== firewall.watched) {
          // A reload came between. Otherwise fail closed: the schema source was not told to look.
          if (talk.database.firewall !== firewall) return planWith(talk, text, newer)
          return unavailable(new TypeError('the objects were not loaded'))
        }
        talk.snapshot = newer
        return guard(talk, text, newer, match, judge, true)
      }
      return isPromise(now) ? now.catch(unavailable).then(again) : again(now)
    }
  }
  if (match.kind === 'read' && firewall.options.mode === 'enforce') {
    const old = talk.judgedNames.outdated(match, rules, key => judgedByProtocol(talk, key))
    if (old !== undefined) return { plan: outdatedName(old), snapshot }
  }
  const guarded = {
    judgedIn: rules,
    match: match.kind === 'read' ? match : undefined,
    notes: notesOf(firewall, verdict, match),
  }
  const planned = planGranted(talk, text, snapshot)
  return isPromise(planned) ? planned.then(made => ({ ...made, ...guarded })) : { ...planned, ...guarded }
}

/** A statement that Parse has made is found by its name in SQL as well. */
function judgedByProtocol({ statements }: Conversation, key: string): number | undefined {
  const [kind, name = ''] = key.split(/ (.*)/s)
  return kind === 'statement' ? statements.get(name)?.judgedIn : undefined
}

/** What a name means was let pass by other rules than those that are in force. @param key as `namedKey` makes it */
export function outdatedName(key: string): RefusedPlan {
  const name = Buffer.from(key.slice(key.indexOf(' ') + 1), 'latin1').toString()
  return {
    kind: 'refused',
    code: 'postgres.plan_outdated',
    message: `cached plan must not change: the firewall has other rules now than when "${name}" was prepared`,
    hint: 'Prepare or declare it again',
    offset: undefined,
    bare: true,
  }
}

function planGranted(talk: Conversation, text: Uint8Array, snapshot: SchemaSnapshot): Planned | Promise<Planned> {
  const name = namedUnread(talk, text)
  if (name !== undefined) return { plan: refusedPlan(unreadName(name)), snapshot }
  if (talk.grants === undefined) return planFields(talk, text, snapshot, undefined)
  const reading = talk.database.planner.read(text)
  if (isPromise(reading)) return reading.then(read => permit(talk, text, snapshot, read, false))
  return permit(talk, text, snapshot, reading, false)
}

/** The first name in a text of what was made in this session and is not known yet. Errs on the side of finding one. */
function namedUnread({ unread }: Conversation, text: Uint8Array): string | undefined {
  if (unread.length === 0) return undefined
  const written = Buffer.from(text).toString()
  return /u&"/i.test(written) ? unread[0] : unread.find(name => asWord(name).test(written))
}

/** Which filter it is, and why, is for the operator: /readyz has it. */
const unfiltered: RefusedPlan = Object.freeze({
  kind: 'refused',
  code: 'postgres.row_filter_missing',
  message: 'a row filter of this database is not in place, so nothing is served',
  hint: 'The operator finds the reason in the readiness of the gateway, and puts it right by what this prints: bawn rls',
  offset: undefined,
})

const nothingToPlan: StatementPlan = Object.freeze({ kind: 'pass', schemaChange: false })

/** Grants come first: what is refused for a field would tell somebody without any privilege that the table is there. */
function permit(
  talk: Conversation,
  text: Uint8Array,
  snapshot: SchemaSnapshot,
  reading: TextReading,
  final: boolean,
): Planned | Promise<Planned> {
  const { grants } = talk
  switch (reading.kind) {
    case 'unread':
      // A superuser may send what only a newer PostgreSQL understands, but nothing that may hold somebody's password.
      if (grants?.isSuperuser === true && !mayConcernAccounts(text)) return planFields(talk, text, snapshot, undefined)
      return { plan: notUnderstood(reading), snapshot }
    case 'misread': {
      const { message, hint, offset } = reading
      return { plan: { kind: 'refused', code: 'postgres.account_statement', message, hint, offset }, snapshot }
    }
    case 'account': {
      const { statement } = reading
      if (!isOwnTable(statement, snapshot)) return { plan: nothingToPlan, snapshot, account: statement }
      const sql = talk.database.planner.read(text, true)
      if (isPromise(sql)) return sql.then(read => permit(talk, text, snapshot, read, final))
      return permit(talk, text, snapshot, sql, final)
    }
    case 'read':
  }
  const verdict = grants?.judge(reading, snapshot.objects, talk.made, final)
  switch (verdict?.kind) {
    case undefined:
    case 'permitted':
      return planFields(talk, text, snapshot, reading)
    case 'denied':
      return { plan: verdict.plan, snapshot }
    case 'unknown': {
      // Grants came with a reload: the objects were not asked for before.
      const { schema } = talk.database
      const now = snapshot.objects === undefined ? schema.refresh() : schema.fresh(maxRefusalAgeMs)
      if (!isPromise(now)) return permit(talk, text, now, reading, true)
      return now.catch(unavailable).then(newer => {
        talk.snapshot = newer
        return permit(talk, text, newer, reading, true)
      })
    }
  }
}

/** The database has a table sys.users of its own. */
function isOwnTable(statement: AccountStatement, { objects }: SchemaSnapshot): boolean {
  if (statement.kind !== 'list' || statement.verb !== 'SELECT') return false
  return objects?.relations.get(statement.list)?.some(relation => relation.schema === 'sys') === true
}

function notUnderstood({ code, message, offset }: Unread): RefusedPlan {
  const hint =
    code === 'postgres.statement_unreadable'
      ? 'With grants a statement is forwarded only when it was understood: correct the syntax'
      : 'With grants a statement is forwarded only when it was understood: split it, or pass long values as parameters'
  return { kind: 'refused', code, message, hint, offset }
}

function planFields(
  talk: Conversation,
  text: Uint8Array,
  snapshot: SchemaSnapshot,
  reading: Reading | undefined,
): Planned | Promise<Planned> {
  const plan = talk.database.planner.plan(text, snapshot, talk.identityClass, talk.ability, talk.sqlStatements.uses)
  if (isPromise(plan)) return plan.then(made => planAgain(talk, text, { plan: made, snapshot, reading }))
  return planAgain(talk, text, { plan, snapshot, reading })
}

/** Refusals that somebody beside the gateway may just have mended. */
const mendable: ReadonlySet<string> = new Set<ErrorCode>(['postgres.column_missing', 'postgres.column_not_bytea'])
/** So old a schema may be when a refusal rests on it: whoever has just created the column tries at once. */
const maxRefusalAgeMs = 50

function planAgain(talk: Conversation, text: Uint8Array, planned: Planned): Planned | Promise<Planned> {
  if (planned.plan.kind !== 'refused' || !mendable.has(planned.plan.code)) return planned
  const now = talk.database.schema.fresh(maxRefusalAgeMs)
  if (!isPromise(now)) return now.epoch === planned.snapshot.epoch ? planned : planWith(talk, text, now)
  return now.catch(unavailable).then(newer => {
    return newer.epoch === planned.snapshot.epoch ? planned : planWith(talk, text, newer)
  })
}

function unavailable(cause: unknown): never {
  throw new PostgresError('postgres.schema_unavailable', 'the schema of the database cannot be read', { cause })
}

export function isPromise<Value>(value: Value | Promise<Value>): value is Promise<Value> {
  return value instanceof Promise
}

/** Whether a statement that was prepared under one plan may be run under another, made after the schema changed. */
export function isSamePlan(before: LivePlan, now: StatementPlan): now is LivePlan {
  if (before.kind === 'pass') return now.kind === 'pass'
  if (now.kind !== 'protected' || before.edits.length > 0 || now.edits.length > 0) return false
  return (
    before.parameters.length === now.parameters.length &&
    before.parameters.every((parameter, index) => {
      const other = now.parameters[index]
      return other?.index === parameter.index && other.field === parameter.field && other.as === parameter.as
    })
  )
}
