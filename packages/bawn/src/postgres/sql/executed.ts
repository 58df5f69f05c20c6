import type { NamedQuery } from './plan.ts'
import type { Examined } from './statement.ts'

/** By which names a text executes what is prepared, or fetches from cursors, if all its results come of that. */
export class Executed {
  /** Names that the text itself gives to what names nothing protected. */
  readonly #own = new Set<string>()
  readonly #names = new Map<string, NamedQuery>()
  #others = false

  get names(): readonly NamedQuery[] | undefined {
    return this.#others ? undefined : [...this.#names.values()]
  }

  add({ named, results, executes, verb }: Examined): void {
    if (named?.kind === 'prepared' || named?.kind === 'declared') {
      const key = keyOf({ kind: named.kind === 'prepared' ? 'statement' : 'cursor', name: named.name })
      if (named.concerned) this.#own.delete(key)
      else this.#own.add(key)
    }
    // What closes cursors, or may, frees their names for others.
    if (verb === 'TRANSACTION' || verb === 'CLOSE PORTAL') this.#own.clear()
    if (!results) return
    if (executes === undefined) this.#others = true
    else if (!this.#own.has(keyOf(executes))) this.#names.set(keyOf(executes), executes)
  }
}

function keyOf({ kind, name }: NamedQuery): string {
  return `${kind} ${name}`
}
