import type { AuditEvent, AuditTrail } from '../audit/event.ts'
import type { Identity } from '../authn/identity.ts'
import type { ErrorCode } from '../error.ts'
import { FieldUses } from './field-uses.ts'
import type { RowPlan } from './rows.ts'
import type { CopyPlan, SchemaSnapshot } from './sql/plan.ts'

/** What is the same for every line of one session. */
export interface AuditContext {
  readonly audit: AuditTrail
  readonly sessionId: string
  readonly identity: Identity
  readonly address: string
  readonly database: string
  /** The rule that let the identity connect. */
  readonly rule: string
}

/**
 * One run of a statement that touches protected tables, and its line in the trail.
 *
 * A result that fits one turn gets one line, with the counts, before its bytes leave. A longer one gets `SELECT begin` before the first
 * opened row leaves and `SELECT end` with the counts of all; both bear the same request id.
 */
export class Execution {
  readonly snapshot: SchemaSnapshot
  readonly requestId: string
  readonly uses: FieldUses
  /** Of the result that is arriving now. */
  rows: RowPlan | undefined
  /** The run is a COPY of protected columns. */
  readonly copy: CopyPlan | undefined
  /** Nothing protected is touched after all: what runs is looked at only because its text does not tell. */
  isApart = false
  /** The gateway made the server fail here; the client gets this in place of the server's error. */
  failure: { readonly code: ErrorCode; readonly message: string } | undefined
  readonly #context: AuditContext
  readonly #verb: string
  readonly #resource: string
  #told: 'nothing' | 'begin' | 'end' = 'nothing'

  constructor(
    context: AuditContext,
    requestId: string,
    plan: { readonly verb: string; readonly tables: readonly string[]; readonly copy?: CopyPlan | undefined },
    snapshot: SchemaSnapshot,
    uses: FieldUses | undefined,
  ) {
    this.#context = context
    this.requestId = requestId
    this.snapshot = snapshot
    this.copy = plan.copy
    this.#verb = plan.verb
    this.#resource = `${context.database}/${plan.tables.join(',')}`
    this.uses = new FieldUses()
    if (uses !== undefined) this.uses.merge(uses)
  }

  /** Opened values are about to leave and the run goes on. @returns whether a line was written */
  tellBegin(): boolean {
    if (this.#told !== 'nothing') return false
    this.#told = 'begin'
    this.#emit(`${this.#verb} begin`, 'permit', undefined)
    return true
  }

  /** The run is over. @returns whether a line was written */
  tellEnd(decision: AuditEvent['decision'], code: string | undefined): boolean {
    if (this.#told === 'end') return false
    const action = this.#told === 'begin' ? `${this.#verb} end` : this.#verb
    this.#told = 'end'
    this.#emit(action, decision, code)
    return true
  }

  #emit(action: string, decision: AuditEvent['decision'], code: string | undefined): void {
    emitStatement(this.#context, {
      requestId: this.requestId,
      action,
      resource: this.#resource,
      fields: this.uses.list(),
      decision,
      code,
    })
  }
}

/** A line for a statement. */
export function emitStatement(
  context: AuditContext,
  line: Pick<AuditEvent, 'requestId' | 'action' | 'resource' | 'decision'> & {
    readonly fields?: AuditEvent['fields']
    readonly code?: ErrorCode | string | undefined
    readonly rule?: string
  },
): void {
  const { requestId, action, resource, decision, fields = [], code, rule = context.rule } = line
  context.audit.emit({
    kind: 'statement',
    requestId,
    door: 'postgres',
    identity: context.identity,
    address: context.address,
    action,
    resource,
    fields,
    decision,
    rule,
    code,
  })
}
