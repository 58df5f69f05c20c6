import type { ErrorCode, GatewayError } from '../error.ts'
import type { Conversation } from './conversation.ts'
import { characterPosition, type EditedText } from './edits.ts'
import { Execution, emitStatement } from './execution.ts'
import { errorResponse, PostgresError, toGatewayError } from './failure.ts'
import type { FieldUses } from './field-uses.ts'
import type { LivePlan, Portal, Statement } from './objects.ts'
import type { Pending } from './pending.ts'
import { isPromise, isSamePlan, maxSchemaAgeMs, type Planned, planStatement, unknownPlan } from './planning.ts'
import { sealBind, sealEdits, sealedTypes } from './seal.ts'
import type { SchemaSnapshot, StatementPlan } from './sql/plan.ts'
import { buildBind, parseBind, parseBindNames } from './wire/bind.ts'
import { BodyReader } from './wire/body-reader.ts'
import { type Disposition, FrameReader } from './wire/frame-reader.ts'
import { front } from './wire/message.ts'
import { buildParse, buildQuery, parseParse, parseQuery } from './wire/parse.ts'
import { buildDescribePortal, parseTarget } from './wire/row-description.ts'
import { WireError } from './wire/wire-error.ts'

const maxSmallBytes = 10_000
const maxMessageBytes = 0x3fff_ffff

/**
 * What the server gets in place of a refused statement: it fails there as well, so that order, transaction state and the messages
 * that are skipped up to Sync are the server's own and never an imitation. Its log names the reason.
 */
const failingText = Buffer.from('bawn_refused_this_statement')
const failingName = 'bawn_refused'
const flushMessage = Buffer.from([front.flush, 0, 0, 0, 4])

/** What a frame leads to: the next one, or a wait until `resume` is called for the same one. */
type Step = 'next' | 'wait'

type PlanResult =
  | { readonly kind: 'made'; readonly planned: Planned }
  | { readonly kind: 'failed'; readonly thrown: unknown }

/** Client to server. Statements are planned before they are forwarded; everything else goes on as it came. */
export class Requests {
  readonly reader: FrameReader
  /** The client said Terminate. */
  terminated = false
  readonly #talk: Conversation
  readonly #wake: () => void
  /** Asked again after each answer of the server; the frame goes on when it says true. */
  #until: (() => boolean) | undefined
  /** What a promise brought for the frame that waits. */
  #planned: PlanResult | undefined
  #planning = false
  #presented = false
  /** The pieces of the streamed frame that is arriving are thrown away. */
  #dropping = false
  /** Behind a refused message the server skips everything up to Sync, and so do we. */
  #discarding = false

  /** @param wake called when a plan that was waited for has come */
  constructor(talk: Conversation, wake: () => void) {
    this.#talk = talk
    this.#wake = wake
    this.reader = new FrameReader((type, length) => this.#decide(type, length))
  }

  /** A frame waits: nothing more may be read from the client. */
  get isWaiting(): boolean {
    return this.#planning || this.#until !== undefined
  }

  /** Works through what was received, up to the first frame that has to wait. @throws {WireError | PostgresError} ends the session */
  run(): void {
    if (this.#planning) return
    if (this.#until !== undefined) {
      if (!this.#until()) return
      this.#until = undefined
    }
    while (!this.terminated && (this.#presented || this.reader.next())) {
      this.#presented = true
      if (this.#frame() === 'wait') return
      this.#presented = false
      // A plan that came and was not needed must not be taken for the next statement's.
      this.#planned = undefined
    }
  }

  #decide(type: number, length: number): Disposition {
    switch (type) {
      case front.sync:
      case front.flush:
      case front.execute:
      case front.describe:
      case front.close:
      case front.terminate:
      case front.copyDone:
        if (length > maxSmallBytes) throw new WireError('invalid message length')
        return 'open'
      case front.query:
      case front.parse:
      case front.bind:
        if (length > maxMessageBytes) throw new WireError('invalid message length')
        return length <= this.#talk.limits.maxFrameBytes ? 'open' : 'stream'
      case front.copyData:
      case front.copyFail:
      case front.functionCall:
        if (length > maxMessageBytes) throw new WireError('invalid message length')
        return 'stream'
      default:
        throw new WireError(`invalid frontend message type ${type}`)
    }
  }

  #frame(): Step {
    const { reader } = this
    const { type, piece, start, end, buffer } = reader
    if (piece === 'middle' || piece === 'end') {
      if (!this.#dropping) this.#forward()
      return 'next'
    }
    this.#dropping = false
    if (type === front.terminate) {
      this.terminated = true
      return 'next'
    }
    if (type === front.sync) return this.#sync()
    if (this.#discarding) {
      this.#dropping = true
      return 'next'
    }
    switch (type) {
      case front.flush:
      case front.copyData:
        this.#forward()
        return 'next'
      case front.copyDone:
      case front.copyFail:
        this.#forward()
        this.#push({ kind: 'copy-end' })
        if (this.#talk.copyIn === 'skipping-sync') this.#talk.copyIn = 'ending'
        return 'next'
      default:
        break
    }
    if (this.#mustWait()) return 'wait'
    if (piece === 'begin') return this.#tooLarge(type)
    switch (type) {
      case front.query:
        return this.#query(parseQuery(buffer, start + 5, end))
      case front.parse:
        return this.#parse()
      case front.bind:
        return this.#bind()
      case front.execute:
        return this.#execute()
      case front.describe:
        return this.#describe()
      case front.close:
        return this.#close()
      default:
        this.#dropping = true
        this.#refuse('query', 'postgres.function_call', 'the function call message is not supported')
        return 'next'
    }
  }

  /** Limits and things that must have happened before the next statement is looked at. */
  #mustWait(): boolean {
    const talk = this.#talk
    const { expiresAt } = talk.audit.identity
    if (expiresAt !== undefined && expiresAt <= talk.state.now()) {
      throw new PostgresError('postgres.session_ended', 'the proof of identity has expired')
    }
    if (talk.pending.length >= talk.limits.maxPending) {
      // The server keeps small answers until it is asked for them.
      talk.toServer.append(flushMessage)
      return this.#waitUntil(() => talk.pending.length < talk.limits.maxPending)
    }
    // Whether the change took place, and what the schema is then, is known when it has been answered.
    if (talk.schemaChangedAt !== undefined && talk.pending.outstandingReady > 0 && talk.copyIn === 'no')
      return this.#quiescent()
    return false
  }

  #waitUntil(condition: () => boolean): boolean {
    this.#until = condition
    return true
  }

  /** Waits until everything up to the last Sync is answered. Not in COPY, which ends only by what the client sends. */
  #quiescent(): boolean {
    const talk = this.#talk
    return this.#waitUntil(() => talk.pending.outstandingReady === 0 || talk.copyIn !== 'no')
  }

  #wait(): Step {
    this.#quiescent()
    return 'wait'
  }

  /** Plans at once, or leaves the frame waiting: `undefined`. */
  #plan(text: Uint8Array): Planned | PostgresError | GatewayError | undefined {
    const ready = this.#planned
    this.#planned = undefined
    if (ready?.kind === 'made') return ready.planned
    if (ready?.kind === 'failed') return this.#planFailed(ready.thrown)
    let planned: Planned | Promise<Planned>
    try {
      planned = planStatement(this.#talk, text)
    } catch (thrown) {
      return this.#planFailed(thrown)
    }
    if (!isPromise(planned)) return planned
    this.#planning = true
    planned.then(
      made => this.#planReady({ kind: 'made', planned: made }),
      (thrown: unknown) => this.#planReady({ kind: 'failed', thrown }),
    )
    return undefined
  }

  #planReady(result: PlanResult): void {
    this.#planned = result
    this.#planning = false
    this.#wake()
  }

  #planFailed(thrown: unknown): GatewayError {
    const error = toGatewayError(thrown)
    this.#talk.state.log({
      level: 'error',
      message: error.message,
      requestId: this.#talk.audit.sessionId,
      cause: thrown,
    })
    return error
  }

  #query(text: Buffer): Step {
    const planned = this.#plan(text)
    if (planned === undefined) return 'wait'
    if (planned instanceof Error) return this.#refuse('query', planned.code, planned.message)
    const { plan, snapshot } = planned
    if (plan.kind === 'refused') return this.#refusePlan('query', text, plan)
    this.#noteSchemaChange(plan)
    if (plan.kind === 'pass') {
      this.#push({ kind: 'query' })
      this.#tellPass()
      this.#forward()
      return 'next'
    }
    const sealed = this.#sealText('query', text, plan)
    if (sealed === undefined) return 'next'
    const { edited, uses } = sealed
    this.#push({ kind: 'query', execution: this.#execution(plan, snapshot, uses), edited })
    if (edited === undefined) this.#forward()
    else this.#talk.toServer.append(buildQuery(edited.text))
    return 'next'
  }

  #parse(): Step {
    const { buffer, start, end } = this.reader
    const talk = this.#talk
    const message = parseParse(buffer, start + 5, end)
    const planned = this.#plan(message.text)
    if (planned === undefined) return 'wait'
    if (planned instanceof Error) return this.#refuse('parse', planned.code, planned.message, { name: message.name })
    const { plan, snapshot } = planned
    if (plan.kind === 'refused') return this.#refusePlan('parse', message.text, plan, message.name)
    if (this.#tooManyObjects(talk.statements.get(message.name), message.name)) return 'next'
    const statement: Statement = {
      plan,
      snapshot,
      text: Buffer.from(message.text),
      types: message.types,
      batch: talk.batch,
      confirmed: false,
    }
    if (plan.kind === 'pass') {
      this.#push({ kind: 'parse', statement, undo: talk.statements.set(message.name, statement) })
      this.#forward()
      return 'next'
    }
    const sealed = this.#sealText('parse', message.text, plan, message.name)
    if (sealed === undefined) return 'next'
    statement.sealed = sealed.uses
    const { edited } = sealed
    this.#push({ kind: 'parse', statement, edited, undo: talk.statements.set(message.name, statement) })
    if (edited === undefined && plan.parameters.length === 0) this.#forward()
    else {
      const types = sealedTypes(message.types, plan.parameters)
      talk.toServer.append(buildParse({ name: message.name, text: edited?.text ?? message.text, types }))
    }
    return 'next'
  }

  #bind(): Step {
    const { buffer, start, end } = this.reader
    const talk = this.#talk
    const names = parseBindNames(buffer, start + 5, end)
    const statement = talk.statements.get(names.statement)
    if (!this.#isSure(statement)) return this.#wait()
    const current = this.#currentPlan(statement)
    if (current === 'wait') return 'wait'
    if (current === 'refused') return 'next'
    if (this.#tooManyObjects(talk.portals.get(names.portal), names.portal)) return 'next'
    const { plan, snapshot } = current
    const portal: Portal = {
      plan,
      snapshot,
      sealed: statement?.sealed,
      batch: talk.batch,
      confirmed: false,
      describedIn: -1,
      rows: undefined,
    }
    if (plan.kind === 'protected' && plan.parameters.length > 0) {
      try {
        const message = parseBind(buffer, start + 5, end)
        const { sealed, uses } = sealBind(message, plan.parameters, statement?.types ?? [], talk.viewOf)
        if (portal.sealed !== undefined) uses.merge(portal.sealed)
        portal.sealed = uses
        this.#push({ kind: 'bind', portal, statement, undo: talk.portals.set(names.portal, portal) })
        talk.toServer.append(buildBind(sealed))
      } catch (thrown) {
        if (thrown instanceof WireError) throw thrown
        const error = this.#planFailed(thrown)
        return this.#refuse('parse', error.code, error.message)
      }
      return 'next'
    }
    this.#push({ kind: 'bind', portal, undo: talk.portals.set(names.portal, portal) })
    this.#forward()
    return 'next'
  }

  /** The plan to run a statement by: made again when the schema changed since Parse. */
  #currentPlan(
    statement: Statement | undefined,
  ): { readonly plan: LivePlan; readonly snapshot: SchemaSnapshot } | 'wait' | 'refused' {
    const talk = this.#talk
    const now = talk.database.schema.fresh(maxSchemaAgeMs)
    if (statement === undefined) {
      if (isPromise(now)) {
        const planned = this.#plan(Buffer.alloc(0))
        if (planned === undefined) return 'wait'
        if (planned instanceof Error) {
          this.#refuse('parse', planned.code, planned.message)
          return 'refused'
        }
        return { plan: unknownPlan, snapshot: planned.snapshot }
      }
      return { plan: unknownPlan, snapshot: now }
    }
    if (!isPromise(now) && now.epoch === statement.snapshot.epoch && !talk.isSchemaStale) return statement
    const planned = this.#plan(statement.text)
    if (planned === undefined) return 'wait'
    if (planned instanceof Error) {
      this.#refuse('parse', planned.code, planned.message)
      return 'refused'
    }
    if (!isSamePlan(statement.plan, planned.plan)) {
      this.#refuse(
        'parse',
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
  #isSure(object: { readonly confirmed: boolean; readonly batch: number } | undefined): boolean {
    const talk = this.#talk
    if (talk.pending.outstandingReady === 0 || talk.copyIn !== 'no') return true
    return object !== undefined && (object.confirmed || object.batch === talk.batch)
  }

  #execute(): Step {
    const { buffer, start, end } = this.reader
    const talk = this.#talk
    const body = new BodyReader(buffer, start + 5, end)
    const name = body.objectName()
    body.int32()
    body.finish()
    const known = talk.portals.get(name)
    if (!this.#isSure(known)) return this.#wait()
    if (known?.plan.kind === 'pass') {
      this.#noteSchemaChange(known.plan)
      this.#push({ kind: 'execute' })
      this.#tellPass()
      this.#forward()
      return 'next'
    }
    const portal = known ?? this.#unknownPortal()
    if (portal === undefined || portal.plan.kind !== 'protected') {
      return this.#refuse('parse', 'postgres.schema_unavailable', 'the schema of the database is not known')
    }
    this.#noteSchemaChange(portal.plan)
    if (portal.rows === undefined && portal.describedIn !== talk.batch) {
      // Which columns are protected is read from the server's description of this very portal.
      portal.describedIn = talk.batch
      this.#push({ kind: 'describe-portal', portal, swallow: true })
      talk.toServer.append(buildDescribePortal(name))
    }
    const execution = this.#execution(portal.plan, portal.snapshot, portal.sealed)
    portal.sealed = undefined
    this.#push({ kind: 'execute', portal, execution })
    this.#forward()
    return 'next'
  }

  #describe(): Step {
    const { buffer, start, end } = this.reader
    const talk = this.#talk
    const target = parseTarget(buffer, start + 5, end)
    if (target === undefined || target.of === 'statement') {
      const known = target === undefined ? undefined : talk.statements.get(target.name)
      if (!this.#isSure(known)) return this.#wait()
      const statement = known ?? this.#unknownStatement()
      this.#push({ kind: 'describe-statement', statement })
    } else {
      const known = talk.portals.get(target.name)
      if (!this.#isSure(known)) return this.#wait()
      const portal = known ?? this.#unknownPortal()
      if (portal !== undefined) portal.describedIn = talk.batch
      this.#push({ kind: 'describe-portal', portal })
    }
    this.#forward()
    return 'next'
  }

  #unknownPortal(): Portal | undefined {
    const { snapshot, batch } = this.#talk
    if (snapshot === undefined) return undefined
    return { plan: unknownPlan, snapshot, sealed: undefined, batch, confirmed: true, describedIn: -1, rows: undefined }
  }

  #unknownStatement(): Statement | undefined {
    const { snapshot, batch } = this.#talk
    if (snapshot === undefined) return undefined
    return { plan: unknownPlan, snapshot, text: Buffer.alloc(0), types: [], batch, confirmed: true }
  }

  #close(): Step {
    const { buffer, start, end } = this.reader
    const talk = this.#talk
    const target = parseTarget(buffer, start + 5, end)
    const table = target?.of === 'statement' ? talk.statements : talk.portals
    this.#push({ kind: 'close', undo: target === undefined ? undefined : table.set(target.name, undefined) })
    this.#forward()
    return 'next'
  }

  #sync(): Step {
    const talk = this.#talk
    this.#discarding = false
    this.#forward()
    // During COPY FROM STDIN the server reads over it.
    if (talk.copyIn === 'skipping-sync') return 'next'
    this.#push({ kind: 'sync' })
    talk.batch += 1
    return 'next'
  }

  #tooManyObjects(known: object | undefined, name: string): boolean {
    const { limits, statements, portals } = this.#talk
    // Unnamed ones are two at most, and no client can do without.
    if (name === '' || known !== undefined || statements.size + portals.size < limits.maxPrepared) return false
    this.#refuse(
      'parse',
      'postgres.too_many_prepared',
      `more than ${limits.maxPrepared} prepared statements and portals`,
      {
        name,
      },
    )
    return true
  }

  /** A message that has to be opened and is longer than we keep: its bytes are read over. */
  #tooLarge(type: number): Step {
    this.#dropping = true
    if (type === front.functionCall) {
      return this.#refuse('query', 'postgres.function_call', 'the function call message is not supported')
    }
    const kind = type === front.query ? 'query' : 'parse'
    return this.#refuse(
      kind,
      'postgres.too_large',
      `a statement is longer than ${this.#talk.limits.maxFrameBytes} bytes`,
    )
  }

  #sealText(
    kind: 'query' | 'parse',
    text: Buffer,
    plan: Extract<StatementPlan, { readonly kind: 'protected' }>,
    name?: string,
  ): { readonly edited: EditedText | undefined; readonly uses: FieldUses | undefined } | undefined {
    if (plan.edits.length === 0) return { edited: undefined, uses: undefined }
    try {
      const { sealed, uses } = sealEdits(text, plan.edits, this.#talk.viewOf)
      return { edited: sealed, uses }
    } catch (thrown) {
      const error = this.#planFailed(thrown)
      this.#refuse(kind, error.code, error.message, name === undefined ? {} : { name })
      return undefined
    }
  }

  #refusePlan(
    kind: 'query' | 'parse',
    text: Buffer,
    plan: Extract<StatementPlan, { readonly kind: 'refused' }>,
    name?: string,
  ): Step {
    const position = plan.offset === undefined ? undefined : characterPosition(text, plan.offset)
    return this.#refuse(kind, plan.code, plan.message, {
      hint: plan.hint,
      position,
      ...(name === undefined ? {} : { name }),
    })
  }

  /** The statement fails at the server as well; the client gets our words for it, in their place among the answers. */
  #refuse(
    kind: 'query' | 'parse',
    code: ErrorCode,
    message: string,
    more: { readonly hint?: string; readonly position?: number | undefined; readonly name?: string } = {},
  ): 'next' {
    const talk = this.#talk
    const requestId = talk.nextRequestId()
    const refusal = errorResponse(code, message, requestId, more)
    emitStatement(talk.audit, {
      requestId,
      action: 'statement',
      resource: talk.database.name,
      decision: 'deny',
      rule: code,
      code,
    })
    talk.uncommitted = true
    if (kind === 'query') {
      this.#push({ kind: 'query', refusal })
      talk.toServer.append(buildQuery(failingText))
    } else {
      this.#push({ kind: 'parse', refusal })
      // The same name: a refused unnamed statement takes the place of the unnamed one before, a named one takes nobody's.
      talk.toServer.append(buildParse({ name: more.name ?? failingName, text: failingText, types: [] }))
      this.#discarding = true
    }
    return 'next'
  }

  #execution(
    plan: Extract<StatementPlan, { readonly kind: 'protected' }>,
    snapshot: SchemaSnapshot,
    uses: FieldUses | undefined,
  ): Execution {
    return new Execution(this.#talk.audit, this.#talk.nextRequestId(), plan, snapshot, uses)
  }

  #noteSchemaChange(plan: LivePlan): void {
    if (plan.schemaChange) this.#talk.schemaChangedAt = this.#talk.pending.readySent + 1
  }

  #tellPass(): void {
    const talk = this.#talk
    if (talk.state.auditStatements !== 'all') return
    const requestId = talk.nextRequestId()
    emitStatement(talk.audit, { requestId, action: 'statement', resource: talk.database.name, decision: 'permit' })
    talk.uncommitted = true
  }

  #push(entry: Omit<Pending, 'batch'>): void {
    this.#talk.pending.push({ ...entry, batch: this.#talk.batch })
  }

  #forward(): void {
    const { buffer, start, end, borrowed } = this.reader
    this.#talk.toServer.slice(buffer, start, end, borrowed)
  }
}
