import type { Need } from '../../accounts/grant.ts'
import type { Identity } from '../../authn/identity.ts'
import type { ErrorCode } from '../../error.ts'
import type { GrantGate } from '../../policy/grants.ts'
import type { DatabaseObjects } from '../sql/objects.ts'
import type { RefusedPlan } from '../sql/plan.ts'
import { NamedQueries } from './named-queries.ts'
import { SessionObjects } from './own-objects.ts'
import type { Declaration, Reading, Reference } from './reading.ts'
import { type Demand, type Resolution, resolve } from './resolve.ts'

export type Verdict =
  | { readonly kind: 'permitted' }
  /** A name was not found: somebody may just have made it. To be asked again with objects that were read now. */
  | { readonly kind: 'unknown' }
  | { readonly kind: 'denied'; readonly plan: RefusedPlan }

const permitted: Verdict = Object.freeze({ kind: 'permitted' })
const unknown: Verdict = Object.freeze({ kind: 'unknown' })

export interface SessionGrantsOptions {
  readonly identity: Identity
  /** The database by its name in the configuration. */
  readonly database: string
  /** So many prepared statements, and so many cursors, may be made by SQL. */
  readonly maxNamed: number
}

/** Resolutions that rest on the objects alone, and not on what a session made. */
const resolutions = new WeakMap<
  readonly Reference[],
  { readonly objects: DatabaseObjects; readonly resolution: Resolution }
>()

/** What one session may do, and what it has made that is its own. */
export class SessionGrants {
  readonly statements = new NamedQueries()
  readonly cursors = new NamedQueries()
  readonly #options: SessionGrantsOptions
  readonly #own = new SessionObjects()
  /** Needs that were permitted, and under which epoch of the gate. */
  readonly #permitted = new WeakMap<readonly Need[], number>()

  /** The one that decides now. */
  gate: GrantGate

  constructor(options: SessionGrantsOptions, gate: GrantGate) {
    this.#options = options
    this.gate = gate
  }

  /** Nothing is needed: a superuser. */
  get isSuperuser(): boolean {
    return this.gate.isSuperuser(this.#options.identity)
  }

  /**
   * Decides about a statement. Costs two look-ups when it was decided before and nothing changed since.
   *
   * @param named what the names of prepared statements and cursors mean that the protocol's messages made
   * @param final whether `objects` were read just now: then a name that is unknown is unknown
   */
  judge(
    reading: Pick<Reading, 'references' | 'verb'> & Partial<Pick<Reading, 'uses' | 'declarations'>>,
    objects: DatabaseObjects | undefined,
    named: (kind: Declaration['kind'], name: string) => readonly Reference[] | undefined,
    final: boolean,
  ): Verdict {
    if (this.isSuperuser) return permitted
    const full = this.#full(reading.declarations ?? [])
    if (full !== undefined) return full
    let verdict = this.#decide(reading.references, reading.verb, objects, final)
    for (const { kind, name } of reading.uses ?? []) {
      if (verdict.kind !== 'permitted') return verdict
      const declared = reading.declarations?.some(one => one.kind === kind && one.name === name) === true
      verdict = this.use(kind, name, declared ? [] : named(kind, name), reading.verb, objects, final)
    }
    return verdict
  }

  /** Decides about running a query by its name. @param made what the protocol's messages gave this name */
  use(
    kind: Declaration['kind'],
    name: string,
    made: readonly Reference[] | undefined,
    verb: string,
    objects: DatabaseObjects | undefined,
    final: boolean,
  ): Verdict {
    if (this.isSuperuser) return permitted
    const bySql = (kind === 'statement' ? this.statements : this.cursors).references(name)
    if (bySql === undefined && made === undefined) return this.#unknownName(kind, name, verb, objects, final)
    const first = bySql === undefined ? permitted : this.#decide(bySql, verb, objects, final)
    return first.kind !== 'permitted' || made === undefined ? first : this.#decide(made, verb, objects, final)
  }

  /** Whether rows of a table may be shown. Without a name it is some table: then nobody knows. */
  mayRead(schema: string | undefined, table: string | undefined): boolean {
    const { gate } = this
    const { identity, database } = this.#options
    if (this.isSuperuser) return true
    if (schema === undefined || table === undefined) return false
    const target = { kind: 'table', database, schema, table } as const
    return gate.decide(identity, [{ privilege: 'DQL', target }]).kind === 'permit'
  }

  /** A statement that was permitted is sent. @param ready number of the ReadyForQuery that will end it */
  note(reading: Reading, ready: number): void {
    this.#own.note(reading)
    for (const declaration of reading.declarations) {
      ;(declaration.kind === 'statement' ? this.statements : this.cursors).add(declaration, ready)
    }
  }

  /** The server has carried out a text. @param ready as it was given to `note` */
  confirm(reading: Reading, ready: number): void {
    this.#own.confirm(reading)
    const { releases } = reading
    if (releases === undefined) return
    const named = releases.kind === 'statement' ? this.statements : this.cursors
    named.release(releases.name, ready)
  }

  #full(declarations: readonly Declaration[]): Verdict | undefined {
    for (const { kind, name } of declarations) {
      const named = kind === 'statement' ? this.statements : this.cursors
      if (named.has(name) || named.size < this.#options.maxNamed) continue
      const message = `more than ${this.#options.maxNamed} ${kind === 'statement' ? 'prepared statements' : 'cursors'}`
      return refusal('postgres.too_many_prepared', message, 'Release those that are not used any more')
    }
    return undefined
  }

  #decide(
    references: readonly Reference[],
    verb: string,
    objects: DatabaseObjects | undefined,
    final: boolean,
  ): Verdict {
    if (references.length === 0) return permitted
    // Fail closed: the schema source was not told to look.
    if (objects === undefined)
      return refusal('postgres.schema_unavailable', 'the objects of the database are not known', '')
    const resolution = this.#resolve(references, objects)
    if (resolution.unknown && !final) return unknown
    const { gate } = this
    const { identity } = this.#options
    if (this.#permitted.get(resolution.needs) === gate.epoch) return permitted
    const epoch = gate.epoch
    if (resolution.needs.length === 0 || gate.decide(identity, resolution.needs).kind === 'permit') {
      this.#permitted.set(resolution.needs, epoch)
      return permitted
    }
    return { kind: 'denied', plan: this.#denial(resolution, verb) }
  }

  #resolve(references: readonly Reference[], objects: DatabaseObjects): Resolution {
    const known = resolutions.get(references)
    // Objects are one database's, and so are readings: a planner is not shared.
    if (known?.objects === objects) return known.resolution
    const resolution = resolve(references, this.#options.database, objects, this.#own)
    if (!resolution.unknown && !resolution.personal) resolutions.set(references, { objects, resolution })
    return resolution
  }

  /** Tells first what does not exist for this identity, as the server would, and only then what it may not do. */
  #denial({ demands }: Resolution, verb: string): RefusedPlan {
    const { gate } = this
    const { identity } = this.#options
    let first: { readonly demand: Demand; readonly need: Need; readonly rule: string } | undefined
    let invisible: { readonly demand: Demand; readonly rule: string } | undefined
    let hides = false
    for (const demand of demands) {
      const seen = demand.needs.some(({ target }) => gate.sees(identity, target))
      let rule: string | undefined
      for (const need of demand.needs) {
        const decision = gate.decide(identity, [need])
        if (decision.kind === 'permit') continue
        rule ??= decision.rule
        if (first === undefined && (demand.relation === undefined || seen))
          first = { demand, need, rule: decision.rule }
      }
      if (demand.relation === undefined) continue
      // What was not found when it was looked for just now is not there, whatever it would have needed.
      const hidden = rule !== undefined && (!seen || !demand.relation.known)
      hides ||= hidden
      if (hidden || !demand.relation.known) invisible ??= { demand, rule: rule ?? 'no such relation' }
    }
    if (hides && invisible !== undefined) return this.#missing(invisible.demand, verb, invisible.rule)
    // Every need by itself is granted, and all together are not: what decides is not clear, so nothing is permitted.
    if (first === undefined) return refusal('postgres.permission_denied', 'permission denied', '').plan
    return this.#forbidden(first.demand, first.need, verb, first.rule)
  }

  #missing({ relation, written, name }: Demand, verb: string, rule: string): RefusedPlan {
    const noun = relation?.noun ?? 'relation'
    return {
      kind: 'refused',
      code: 'postgres.relation_unknown',
      // Of what is dropped the server tells the name alone.
      message: `${noun} "${noun === 'relation' ? written : name}" does not exist`,
      hint: '',
      offset: relation?.offset,
      bare: true,
      denial: { rule, action: verb, resource: `${this.#options.database}/${written}` },
    }
  }

  #forbidden(demand: Demand, need: Need, verb: string, rule: string): RefusedPlan {
    const { noun, written, name } = demand
    const whole = noun === 'restricted' || noun === 'database'
    return {
      kind: 'refused',
      code: 'postgres.permission_denied',
      message: whole ? `permission denied: ${written}` : `permission denied for ${noun} ${name}`,
      hint: this.#hint(demand, need, rule),
      offset: undefined,
      denial: { rule, action: verb, resource: `${this.#options.database}/${written}` },
    }
  }

  #hint({ noun, needs }: Demand, need: Need, rule: string): string {
    if (noun === 'restricted') {
      return 'It needs DQL, DML and DDL on the database and AL on the cluster: the gateway cannot see what it does'
    }
    if (several(needs)) return 'The name may mean objects of several schemas: write the schema before it'
    const what = `It needs ${need.privilege} on ${targetText(need)}`
    // The entry that decides is told only about what may be seen.
    if (!this.gate.sees(this.#options.identity, need.target)) return what
    return rule.startsWith('nothing grants') ? `${what}, and nothing grants it` : `${what}: ${rule}`
  }

  /** A name that nobody saw being made: of a function that prepares or opens. It may be run by who may do everything. */
  #unknownName(
    kind: Declaration['kind'],
    name: string,
    verb: string,
    objects: DatabaseObjects | undefined,
    final: boolean,
  ): Verdict {
    const verdict = this.#decide(anything, verb, objects, final)
    if (verdict.kind !== 'denied') return verdict
    const code: ErrorCode = kind === 'statement' ? 'postgres.statement_unknown' : 'postgres.cursor_unknown'
    const what = kind === 'statement' ? 'prepared statement' : 'cursor'
    const plan: RefusedPlan = {
      ...verdict.plan,
      code,
      message: `${what} "${name}" does not exist`,
      hint: '',
      bare: true,
    }
    return { kind: 'denied', plan }
  }
}

const anything: readonly Reference[] = [{ kind: 'restricted', what: 'a query that was named out of sight' }]

function refusal(
  code: ErrorCode,
  message: string,
  hint: string,
): { readonly kind: 'denied'; readonly plan: RefusedPlan } {
  return { kind: 'denied', plan: { kind: 'refused', code, message, hint, offset: undefined } }
}

function several(needs: readonly Need[]): boolean {
  return new Set(needs.map(need => JSON.stringify(need.target))).size > 1
}

function targetText({ target }: Need): string {
  switch (target.kind) {
    case 'cluster':
      return 'the cluster'
    case 'database':
      return `database ${target.database}`
    case 'schema':
      return `schema ${target.schema}`
    case 'table':
      return `table ${target.schema}.${target.table}`
  }
}
