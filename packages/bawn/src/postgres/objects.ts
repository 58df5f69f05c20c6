import type { AccountAnswer } from './administration/run.ts'
import type { AccountStatement } from './administration/statement.ts'
import type { FieldUses } from './field-uses.ts'
import type { TextMatch } from './firewall/rules.ts'
import type { Reading } from './grants/reading.ts'
import type { ServerText } from './pool/shared-names.ts'
import type { Traces } from './pool/traces.ts'
import type { RowPlan } from './rows.ts'
import type { SchemaSnapshot, StatementPlan } from './sql/plan.ts'

/** A plan that was not refused. */
export type LivePlan = Exclude<StatementPlan, { readonly kind: 'refused' }>

/** A prepared statement as the client named it. */
export interface Statement {
  plan: LivePlan
  snapshot: SchemaSnapshot
  /** What the client sent, kept to plan it again when the schema changed. */
  readonly text: Buffer
  /** Type OIDs that the client fixed. */
  readonly types: readonly number[]
  /** What sealing the literals of its text used. */
  sealed?: FieldUses | undefined
  readonly batch: number
  /** `Conversation.declarations` when it was sent: after another one the name may mean a statement made by SQL. */
  readonly declarations: number
  /** `Conversation.runs` when it was sent. */
  readonly runs?: number
  /** What it touches, where grants decide. */
  reading?: Reading | undefined
  /** It is about accounts: the server has an empty statement in its place. */
  readonly account?: AccountStatement | undefined
  /** What the server has in its place, where connections change; `undefined`: it has it under the client's name. */
  sent?: ServerText | undefined
  /** What running it leaves behind, where that counts. */
  readonly traces?: Traces | undefined
  /** `Conversation.rules` by which it was judged. */
  judgedIn: number
  /** Where it gives names to queries: what the firewall makes of it. */
  readonly match?: TextMatch | undefined
  /** ParseComplete came. */
  confirmed: boolean
}

/** A statement that is bound to values. */
export interface Portal {
  readonly plan: LivePlan
  readonly snapshot: SchemaSnapshot
  /** What Bind sealed or searched for; told in the trail when the portal runs. */
  sealed: FieldUses | undefined
  readonly batch: number
  /** As of a statement: afterwards the name may mean a cursor made by SQL. */
  readonly declarations: number
  /** Of its statement. */
  readonly reading?: Reading | undefined
  readonly account?: AccountPortal | undefined
  /** Of its statement. */
  readonly traces?: Traces | undefined
  /** Of its statement. */
  judgedIn: number
  readonly match?: TextMatch | undefined
  /** Of its statement, to be judged again; `undefined` where that is too long to be kept by every portal. */
  readonly text: Buffer | undefined
  /** BindComplete came. */
  confirmed: boolean
  /** Batch of the last Describe that was sent for it; -1 before any. */
  describedIn: number
  /** `Conversation.runs` at that Describe, or after its own last run: when others ran since, the name may mean another portal. */
  describedAt: number
  /** The server's answer to Describe: `none` when no column is protected, or there are no rows. */
  rows: RowPlan | 'none' | undefined
}

/** A statement about accounts, bound. */
export interface AccountPortal {
  readonly statement: AccountStatement
  /** Of its result columns, as Bind has them. */
  readonly formats: readonly number[]
  /** Once it was carried out: what it yields, and how many rows of that were taken. */
  answer: AccountAnswer | undefined
  taken: number
}

/** The server keeps 63 bytes of a name (NAMEDATALEN) and takes longer ones that begin alike for one. */
export function objectKey(name: string): string {
  return name.length > 63 ? name.slice(0, 63) : name
}

/** More are not on their way at once, but where `max_pending` is larger. */
const maxGone = 10_000

/** In place of what was taken back. */
class Gone {}

/**
 * Names that the client gave, as they will be once everything sent has been carried out. Each change can be undone, for the server
 * skips messages behind an error.
 */
export class ObjectTable<Value extends object> {
  readonly #values = new Map<string, Value>()
  /** Names that were taken back, one mark for each time, as long as that may be undone. */
  readonly #gone = new Map<string, Gone>()
  /** What was there before those that have never come to be. */
  readonly #undone = new WeakMap<object, { readonly before: Value | Gone | undefined }>()

  get size(): number {
    return this.#values.size
  }

  get(name: string): Value | undefined {
    return this.#values.get(objectKey(name))
  }

  /** @returns puts back what was there before, unless something newer has come: a later batch does not fail with this one */
  set(name: string, value: Value | undefined): () => void {
    const key = objectKey(name)
    const before = this.#now(key)
    const made = value ?? new Gone()
    this.#put(key, made)
    return () => {
      this.#undone.set(made, { before })
      if (this.#now(key) === made) this.#put(key, this.#lasting(before))
    }
  }

  /** Nothing is on its way that could be undone. */
  settle(): void {
    if (this.#gone.size > 0) this.#gone.clear()
  }

  #now(key: string): Value | Gone | undefined {
    return this.#values.get(key) ?? this.#gone.get(key)
  }

  /** The batch of what was there may have failed meanwhile. */
  #lasting(value: Value | Gone | undefined): Value | Gone | undefined {
    let lasting = value
    for (let undone = lasting && this.#undone.get(lasting); undone !== undefined; ) {
      lasting = undone.before
      undone = lasting && this.#undone.get(lasting)
    }
    return lasting
  }

  values(): IterableIterator<Value> {
    return this.#values.values()
  }

  deleteWhere(condition: (value: Value) => boolean): void {
    for (const [key, value] of this.#values) if (condition(value)) this.#values.delete(key)
  }

  #put(key: string, value: Value | Gone | undefined): void {
    if (value === undefined || value instanceof Gone) {
      this.#values.delete(key)
      if (value === undefined) this.#gone.delete(key)
      else this.#keepGone(key, value)
      return
    }
    if (this.#gone.size > 0) this.#gone.delete(key)
    this.#values.set(key, value)
  }

  #keepGone(key: string, mark: Gone): void {
    this.#gone.delete(key)
    this.#gone.set(key, mark)
    const [oldest] = this.#gone.keys()
    if (oldest !== undefined && this.#gone.size > maxGone) this.#gone.delete(oldest)
  }
}
