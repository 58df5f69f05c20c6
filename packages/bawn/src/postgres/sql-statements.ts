import { type ObjectTable, objectKey, type Portal, type Statement } from './objects.ts'
import type { NamedEffect, NamedQuery, ParameterUse } from './sql/plan.ts'

/** More than these are not kept apart: values for any of them are then refused. */
const maxNames = 10_000

const none: readonly ParameterUse[] = []

/** Behind these a cursor may be gone, and its name another's. Errs on the side of finding one. */
const closing =
  /\b(?:call|close|commit|rollback|abort|discard|prepare|end(?=\s*(?:$|[;-]|\/\*|and\b|work\b|transaction\b)))\b/i

/**
 * What is known of queries that have names, for `EXECUTE` and `FETCH` in SQL: of those that SQL prepared or declared, and of those of the
 * protocol. Changes are noted when the server has carried them out.
 */
export class SqlStatements {
  readonly #statements: ObjectTable<Statement>
  readonly #portals: ObjectTable<Portal>
  readonly #uses = new Map<string, readonly ParameterUse[]>()
  /**
   * Names that SQL has given: the epoch of the schema by which the query was found to name nothing protected; `undefined`: it does, or it
   * is not known.
   */
  readonly #apart = { statement: new Map<string, number | undefined>(), cursor: new Map<string, number | undefined>() }
  #isFull = false
  #isApartFull = false
  /** Texts that were sent and may have closed cursors. */
  #closings = 0
  /** A cursor was declared since the last transaction ended, or will have been. */
  #declares = false

  constructor(statements: ObjectTable<Statement>, portals: ObjectTable<Portal>) {
    this.#statements = statements
    this.#portals = portals
  }

  /** @param name as UTF-8 text. @returns `undefined` when it cannot be told */
  readonly uses = (name: string): readonly ParameterUse[] | undefined => {
    if (this.#isFull) return undefined
    const key = keyOf(name)
    const known = this.#uses.get(key)
    if (known !== undefined) return known
    const plan = this.#statements.get(key)?.plan
    return plan?.kind === 'protected' ? plan.parameters : none
  }

  /** Did SQL prepare a statement of this name whose parameters are protected? Then Bind must not give it any. @param name as latin1 */
  isProtected(name: string): boolean {
    return this.#isFull || (this.#uses.get(objectKey(name)) ?? none).length > 0
  }

  /** Is this the name of a query that names nothing protected, by the schema as it still is? Errs towards no. */
  isApart({ kind, name }: NamedQuery, epoch: number): boolean {
    if (this.#isApartFull) return false
    const key = keyOf(name)
    const bySql = this.#apart[kind]
    if (bySql.has(key)) return bySql.get(key) === epoch
    const made = kind === 'statement' ? this.#statements.get(key) : this.#portals.get(key)
    return made?.confirmed === true && made.plan.kind === 'pass' && made.snapshot.epoch === epoch
  }

  /** Cursors are known, and the next text may close them. */
  get hasCursors(): boolean {
    return this.#declares || this.#apart.cursor.size > 0
  }

  /** A text is sent to be run. @param text `undefined`: it is not known */
  sent(text: Buffer | undefined): void {
    if (!this.hasCursors || (text !== undefined && !closing.test(text.toString('latin1')))) return
    this.#closings += 1
    for (const key of this.#apart.cursor.keys()) this.#apart.cursor.set(key, undefined)
  }

  /** No transaction is open: rows of a cursor WITH HOLD are stored by now, and no cursor computes any more. */
  endTransaction(): void {
    this.#declares = false
    if (this.#apart.cursor.size > 0) this.#apart.cursor.clear()
  }

  /** The protocol takes a name: it was free, or the server refuses it. @param name as latin1 */
  taken(name: string): void {
    const key = objectKey(name)
    if (this.#uses.get(key)?.length === 0) this.#uses.delete(key)
    this.closed({ kind: 'statement', name })
  }

  /** The protocol closes what has this name, unless the server skips that. @param name as latin1 */
  closed({ kind, name }: NamedQuery): void {
    const key = objectKey(name)
    if (this.#apart[kind].has(key)) this.#apart[kind].set(key, undefined)
    if (kind === 'cursor') this.#closings += 1
  }

  /** @returns to be called at each CommandComplete of the text, if at all */
  note(effects: readonly (NamedEffect | undefined)[] | undefined, epoch?: number): (() => void) | undefined {
    if (effects === undefined) return undefined
    if (effects.some(effect => effect?.kind === 'declared')) this.#declares = true
    const closings = this.#closings
    let next = 0
    return () => {
      const effect = effects[next++]
      // What was sent behind it may have closed the cursor by now.
      if (effect !== undefined) this.#note(effect, closings === this.#closings ? epoch : undefined)
    }
  }

  #note(effect: NamedEffect, epoch: number | undefined): void {
    switch (effect.kind) {
      case 'declared':
        this.#setApart('cursor', effect, epoch)
        break
      case 'prepared':
        this.#setApart('statement', effect, epoch)
        this.#set(keyOf(effect.name), effect.parameters)
        break
      case 'freed':
        if (effect.name === undefined) {
          this.#apart.statement.clear()
          this.#uses.clear()
        } else {
          this.#apart.statement.delete(keyOf(effect.name))
          this.#set(keyOf(effect.name), none)
        }
    }
  }

  #setApart(
    kind: NamedQuery['kind'],
    { name, concerned }: { readonly name: string; readonly concerned: boolean },
    epoch: number | undefined,
  ): void {
    const names = this.#apart[kind]
    const key = keyOf(name)
    if (names.size < maxNames || names.has(key)) names.set(key, concerned ? undefined : epoch)
    else this.#isApartFull = true
  }

  #set(key: string, uses: readonly ParameterUse[]): void {
    // Only what differs from what would be found without it.
    if (uses.length === 0 && this.#statements.get(key) === undefined) this.#uses.delete(key)
    else if (this.#uses.size < maxNames || this.#uses.has(key)) this.#uses.set(key, uses)
    else this.#isFull = true
  }
}

function keyOf(name: string): string {
  return objectKey(Buffer.from(name).toString('latin1'))
}
