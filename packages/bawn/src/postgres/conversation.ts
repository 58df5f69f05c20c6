import { identityClass } from '../authn/identity.ts'
import type { Field, FieldView } from '../fields/field.ts'
import { takeRandom } from '../random.ts'
import { type AuditContext, Execution, emitStatement } from './execution.ts'
import type { FieldUses } from './field-uses.ts'
import { JudgedNames } from './firewall/judged-names.ts'
import type { TextMatch } from './firewall/rules.ts'
import type { FirewallNotes } from './firewall/session.ts'
import type { Declaration, Reading, Reference } from './grants/reading.ts'
import { SessionGrants } from './grants/session-grants.ts'
import type { IncomingCopy } from './incoming-copy.ts'
import { followChanges, ObjectChanges } from './object-changes.ts'
import { type LivePlan, ObjectTable, type Portal, type Statement } from './objects.ts'
import { Output } from './output.ts'
import { type Pending, PendingQueue } from './pending.ts'
import type { Leftover } from './pool/connection.ts'
import { ReportedParameters } from './pool/reported-parameters.ts'
import type { ServerStatements } from './pool/server-statements.ts'
import { SessionSettings } from './pool/session-settings.ts'
import { settleBatch } from './pool/trace-notes.ts'
import type { FieldAbility, SchemaSnapshot, StatementPlan } from './sql/plan.ts'
import { SqlStatements } from './sql-statements.ts'
import type { DatabaseState, DoorState } from './state.ts'
import { StraySyncs } from './stray-syncs.ts'
import { status } from './wire/message.ts'
import { buildQuery } from './wire/parse.ts'

/** Bounds of one session, from the listener's options. */
export interface ConversationLimits {
  readonly maxFrameBytes: number
  readonly maxPending: number
  readonly maxPrepared: number
}

/** What both directions of one session know. Requests add to it, answers take from it. */
export class Conversation {
  readonly state: DoorState
  readonly database: DatabaseState
  readonly audit: AuditContext
  readonly limits: ConversationLimits
  /** Cache key of plans: what this identity may see. */
  readonly identityClass: string
  readonly ability: FieldAbility
  readonly toServer = new Output()
  readonly toClient = new Output()
  readonly pending = new PendingQueue()
  readonly strays = new StraySyncs()
  readonly statements = new ObjectTable<Statement>()
  readonly portals = new ObjectTable<Portal>()
  readonly sqlStatements = new SqlStatements(this.statements, this.portals)

  /** Behind a refused message the server skips everything up to Sync, and so do we. */
  discarding = false
  /** Syncs and simple queries sent so far; numbers what lies between two of them. */
  batch = 0
  /** Statements sent to be run so far: each may close a portal and open another of the same name (`CLOSE`, `DECLARE`, functions). */
  runs = 0
  /** Those among them that gave a query over protected tables a name of its own. */
  declarations = 0
  /** Drops and renames on their way. */
  readonly objectChanges = new ObjectChanges()
  /** Batch of the last Execute: what follows it before Sync is in its transaction. */
  executedIn = -1
  /** Of the last ReadyForQuery. */
  transaction: number = status.idle
  /**
   * A statement that may have changed the schema was sent, and the schema was not read again yet: number of the ReadyForQuery that
   * ends it (`PendingQueue.readySent`).
   */
  schemaChangedAt: number | undefined
  /** Epoch by which a statement on its way was found to change nothing that is protected. */
  apartIn: number | undefined
  /** Of which other gateways were told. */
  announcedAt: number | undefined
  /** The server reads CopyData, and over Sync: `skipping-sync`, until the end of the data was sent. */
  copyIn: 'no' | 'skipping-sync' | 'ending' = 'no'
  /** What becomes of that data, where columns are protected. */
  incoming: IncomingCopy | undefined
  /** The batch that has something in it that ran for too long and was therefore cancelled, by `readyCame`. */
  timedOut: number | undefined
  /** Lines were added to the trail that must be written before this turn's bytes leave. */
  uncommitted = false
  /** Opened values of this run are in `toClient` and nothing in the trail speaks of them yet. */
  untold: Execution | undefined
  /** The schema that the last statement was planned with. */
  snapshot: SchemaSnapshot | undefined
  /** Names of views and children that were made here and that `snapshot` does not have yet. */
  unread: readonly string[] = []
  /** Everything that was sent is answered, and no transaction is open: somebody else may work on the connection. */
  isSettled = true
  /** The session has something on its connection that it must find there again. */
  isPinned = false
  /** How often it was said to have. */
  pins = 0
  /** What it has left on its connection so far. */
  leftover: Leftover = 'nothing'
  /** What is prepared on the connection, where that is shared: names of statements are replaced then. */
  prepared: ServerStatements | undefined
  /** Settings, where connections change. */
  readonly settings = new SessionSettings()
  /** ReadyForQuery that ends a statement which takes names of prepared statements back (`PendingQueue.readySent`). */
  takesBackAt = 0
  /** Reported settings, where connections change. */
  readonly parameters = new ReportedParameters()
  /** By which rules of the firewall queries were judged that SQL has given a name. */
  readonly judgedNames = new JudgedNames()
  #requests = 0
  #firewall: DatabaseState['firewall']
  #rules = 0
  #grants: SessionGrants | undefined

  constructor(state: DoorState, database: DatabaseState, audit: AuditContext, limits: ConversationLimits) {
    this.state = state
    this.database = database
    this.audit = audit
    this.limits = limits
    this.#firewall = database.firewall
    this.identityClass = identityClass(audit.identity)
    this.ability = field => (field.searchable && this.viewOf(field).disclosure.kind === 'plain' ? 'search' : 'none')
  }

  readonly viewOf = (field: Field): FieldView => this.state.catalogue.view(field, this.audit.identity)

  /** The firewall's rules that are in force, counted from 0: what was judged by others is judged again before it is run. */
  get rules(): number {
    const { firewall } = this.database
    if (firewall !== this.#firewall) {
      const isSame = firewall === undefined ? false : firewall.isSame(this.#firewall)
      this.#firewall = firewall
      if (!isSame) this.#rules += 1
    }
    return this.#rules
  }

  /** What this identity may do, where grants decide; a reload may bring and take them. */
  get grants(): SessionGrants | undefined {
    const { grants } = this.database
    if (grants === undefined) return undefined
    if (this.#grants === undefined) {
      const { identity } = this.audit
      this.#grants = new SessionGrants(
        { identity, database: this.database.name, maxNamed: this.limits.maxPrepared },
        grants.gate,
      )
    }
    this.#grants.gate = grants.gate
    return this.#grants
  }

  /** The change has been answered and committed or rolled back: others can see it, and so can the schema's loader. */
  get isSchemaStale(): boolean {
    const { schemaChangedAt: at, pending, transaction } = this
    return at !== undefined && pending.readySent >= at && pending.outstandingReady === 0 && transaction === status.idle
  }

  /** Ties an answer, its line in the trail and the log together. */
  nextRequestId(): string {
    this.#requests += 1
    return `${this.audit.sessionId}-${this.#requests}`
  }

  /** A message goes to the server that will be answered. */
  send(entry: Omit<Pending, 'batch'>): void {
    this.#queue({ ...entry, batch: this.batch })
  }

  /** The same for messages over nothing protected, of which there are most: what waits is then always of the same shape. */
  sendPlain(
    kind: Pending['kind'],
    statement?: Statement | undefined,
    portal?: Portal | undefined,
    undo?: (() => void) | undefined,
    done?: (() => void) | undefined,
  ): void {
    const isOfNothing = statement === undefined && portal === undefined && undo === undefined && done === undefined
    // A description is forwarded as it is only where it is known to be of nothing protected.
    const isPlain = isOfNothing && (kind === 'sync' || kind === 'query' || kind === 'execute')
    this.#queue({ kind, batch: this.batch, statement, portal, undo, done, isPlain })
  }

  #queue(entry: Pending): void {
    this.isSettled = false
    if (this.copyIn === 'skipping-sync') this.pending.stopCopy()
    this.pending.push(
      entry.kind === 'query' && this.prepared !== undefined ? this.#forgetUnnamed(entry, this.prepared) : entry,
    )
    // Each is answered by a ReadyForQuery, and what that ends must not be mixed up with what comes behind.
    if (entry.kind === 'sync' || entry.kind === 'query') this.batch += 1
  }

  /** By a simple query the server forgets the unnamed statement, unless it skips it. */
  #forgetUnnamed(entry: Pending, prepared: ServerStatements): Pending {
    prepared.unnamed = undefined
    return { ...entry, undo: this.statements.set('', undefined) }
  }

  /** A query of the gateway's own, which must not fail; the client sees nothing of it. */
  sendOwn(sql: string): void {
    this.isSettled = false
    if (this.prepared !== undefined) this.prepared.unnamed = undefined
    this.pending.push({ kind: 'query', batch: this.batch, swallow: true })
    this.batch += 1
    this.toServer.append(buildQuery(Buffer.from(sql)))
  }

  newExecution(
    plan: Extract<StatementPlan, { readonly kind: 'protected' }>,
    snapshot: SchemaSnapshot,
    uses: FieldUses | undefined,
  ): Execution {
    const execution = new Execution(this.audit, this.nextRequestId(), plan, snapshot, uses)
    execution.isApart = this.#executesApart(plan, snapshot)
    return execution
  }

  /** It runs nothing but what has a name, and that names nothing protected. What is under way may give the same names to others. */
  #executesApart(
    { executes, tables }: Extract<StatementPlan, { readonly kind: 'protected' }>,
    { epoch }: SchemaSnapshot,
  ): boolean {
    if (executes === undefined || tables.length > 0 || !this.pending.list().every(({ done }) => done === undefined))
      return false
    return executes.every(query => this.sqlStatements.isApart(query, epoch))
  }

  /** The server went into COPY FROM STDIN. */
  beginCopy(): void {
    this.pending.passSyncs()
    this.copyIn = 'skipping-sync'
  }

  /** The server's COPY FROM STDIN has ended, in whatever way. */
  endCopy(): void {
    this.copyIn = 'no'
    this.incoming = undefined
  }

  /** CopyDone or CopyFail goes to the server. */
  noteCopyEnd(): void {
    if (this.copyIn === 'skipping-sync') this.copyIn = 'ending'
  }

  /** ReadyForQuery came for the head. @param transaction what it says */
  becameReady(head: Pending, transaction: number): void {
    this.transaction = transaction
    this.endCopy()
    this.parameters.isReset = false
    this.strays.next()
    if (head.execution !== undefined) this.tellEnd(head.execution, 'permit', undefined)
    this.pending.shift()
    if (transaction === status.idle) this.endTransaction(head.batch)
    if (this.prepared !== undefined) settleBatch(this)
    this.settle()
  }

  /** A batch has ended, or what was still to come of one. */
  settle(): void {
    if (this.pending.length > 0) return
    this.statements.settle()
    this.portals.settle()
    this.isSettled = this.transaction === status.idle && !this.strays.areDue
  }

  /** No transaction is open any more. @param batch that has ended */
  endTransaction(batch: number): void {
    // Portals live as long as their transaction (a cursor WITH HOLD is no portal of ours: it is planned as unknown).
    if (this.portals.size > 0) this.portals.deleteWhere(portal => portal.batch <= batch)
    this.sqlStatements.endTransaction()
    this.grants?.cursors.endTransaction(this.pending.readyCame)
    followChanges(this)
  }

  /** To be called before the message that runs a statement is sent. @param epoch of the schema that it was planned with */
  noteRun(plan: LivePlan, epoch = this.snapshot?.epoch): void {
    this.runs += 1
    if (plan.kind === 'protected' && plan.declares) this.declarations += 1
    if (plan.schemaChange) {
      if (this.database.schema.isChangedBy(plan)) this.schemaChangedAt = this.pending.readySent + 1
      else this.apartIn ??= epoch
    }
    if (plan.makes !== undefined) this.unread = [...new Set([...this.unread, ...plan.makes])]
  }

  /** A text is about to be sent to be run. @param judgedIn rules of the firewall by which it was judged. @returns what to do when the server has carried it out */
  noteSent(
    plan: LivePlan | undefined,
    reading: Reading | undefined,
    match?: TextMatch | undefined,
    judgedIn?: number | undefined,
  ): (() => void) | undefined {
    // Not by those of now: a reload may have come while it was planned.
    const judged = match && this.judgedNames.note(match, judgedIn ?? 0)
    const named = this.sqlStatements.note(plan?.named, this.snapshot?.epoch)
    const granted = this.#noteGranted(reading)
    if (judged === undefined && (named === undefined || granted === undefined)) return named ?? granted
    return () => {
      named?.()
      granted?.()
      judged?.()
    }
  }

  #noteGranted(reading: Reading | undefined): (() => void) | undefined {
    const { grants } = this
    if (grants === undefined || reading === undefined) return undefined
    const ready = this.pending.readySent + 1
    grants.note(reading, ready)
    this.objectChanges.note(reading.changes, this.snapshot?.objects)
    return reading.single ? () => grants.confirm(reading, ready) : undefined
  }

  /** What the protocol's messages made by this name, for `EXECUTE` and `FETCH` in SQL. @param name as UTF-8 text */
  readonly made = (kind: Declaration['kind'], name: string): readonly Reference[] | undefined => {
    const table = kind === 'statement' ? this.statements : this.portals
    return table.get(Buffer.from(name).toString('latin1'))?.reading?.references
  }

  /** The line of a statement that touches nothing protected, where the trail wants all. */
  tellPass(): void {
    if (this.state.auditStatements !== 'all') return
    const requestId = this.nextRequestId()
    emitStatement(this.audit, { requestId, action: 'statement', resource: this.database.name, decision: 'permit' })
    this.uncommitted = true
  }

  /** What the firewall noticed about a text that goes on: its shape, and that a rule would have refused it. */
  tellFirewall(notes: FirewallNotes | undefined): void {
    if (notes === undefined) return
    const { identity } = this.audit
    for (const statement of notes.learned) this.database.learning?.note(identity.roles, statement)
    if (notes.observed === undefined) return
    const requestId = this.nextRequestId()
    const resource = this.database.name
    const { action, rule } = notes.observed
    const code = 'postgres.statement_denied'
    emitStatement(this.audit, { requestId, action, resource, decision: 'permit', rule, code })
    this.uncommitted = true
  }

  /** Ends the run's line; the trail is written before the turn's bytes leave. */
  tellEnd(execution: Execution, decision: 'permit' | 'deny' | 'error', code: string | undefined): void {
    if (execution.tellEnd(decision, code)) this.uncommitted = true
    if (this.untold === execution) this.untold = undefined
  }
}

/** @returns an id for a session: 16 hex digits */
export function newSessionId(): string {
  return takeRandom(8).toString('hex')
}
