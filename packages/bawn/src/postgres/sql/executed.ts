import type { Examined } from './statement.ts'

/** By which names a text executes what is prepared, if all its results come of that. */
export class Executed {
  /** Prepared in the text itself, and nothing protected is named there. */
  readonly #own = new Set<string>()
  readonly #names = new Set<string>()
  #others = false

  get names(): readonly string[] | undefined {
    return this.#others ? undefined : [...this.#names]
  }

  add({ named, results, executes }: Examined): void {
    if (named?.kind === 'prepared') {
      if (named.concerned) this.#own.delete(named.name)
      else this.#own.add(named.name)
    }
    if (!results) return
    if (executes === undefined) this.#others = true
    else if (!this.#own.has(executes)) this.#names.add(executes)
  }
}
