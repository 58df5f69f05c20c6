import { type ObjectTable, objectKey, type Statement } from './objects.ts'
import type { NamedEffect, ParameterUse } from './sql/plan.ts'

/** More than these are not kept apart: values for any of them are then refused. */
const maxNames = 10_000

const none: readonly ParameterUse[] = []

/**
 * What the parameters of named statements hold, for `EXECUTE` in SQL: of those that SQL prepared, and of those of the protocol. Changes
 * are noted when the server has carried them out.
 */
export class SqlStatements {
  readonly #statements: ObjectTable<Statement>
  readonly #uses = new Map<string, readonly ParameterUse[]>()
  /** Those that SQL prepared and that name nothing protected, with the epoch of the schema by which that was found. */
  readonly #apart = new Map<string, number>()
  #isFull = false

  constructor(statements: ObjectTable<Statement>) {
    this.#statements = statements
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

  /** Did SQL prepare a statement of this name that names nothing protected, by the schema as it still is? @param name as UTF-8 text */
  isApart(name: string, epoch: number): boolean {
    return this.#apart.get(keyOf(name)) === epoch
  }

  /** The protocol takes a name: it was free, or the server refuses it. @param name as latin1 */
  taken(name: string): void {
    if (this.#uses.get(objectKey(name))?.length === 0) this.#uses.delete(objectKey(name))
  }

  /** @returns to be called at each CommandComplete of the text, if at all */
  note(effects: readonly (NamedEffect | undefined)[] | undefined, epoch?: number): (() => void) | undefined {
    if (effects === undefined) return undefined
    let next = 0
    return () => {
      const effect = effects[next++]
      if (effect !== undefined) this.#noteApart(effect, epoch)
      if (effect?.kind === 'prepared') this.#set(keyOf(effect.name), effect.parameters)
      else if (effect?.name !== undefined) this.#set(keyOf(effect.name), none)
      else if (effect !== undefined) this.#uses.clear()
    }
  }

  #noteApart(effect: NamedEffect, epoch: number | undefined): void {
    if (effect.name === undefined) this.#apart.clear()
    else this.#apart.delete(keyOf(effect.name))
    if (effect.kind !== 'prepared' || effect.concerned || epoch === undefined || this.#apart.size >= maxNames) return
    this.#apart.set(keyOf(effect.name), epoch)
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
