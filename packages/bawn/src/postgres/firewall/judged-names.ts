import type { TextMatch } from './rules.ts'

type Kind = 'statement' | 'cursor'

/** More than these are not told apart: they count as given before any reload. */
const maxNames = 10_000

/** The key of a name, as `StatementMatch` has it. @param name as UTF-8 text; the server keeps 63 bytes of it */
export function namedKey(kind: Kind, name: string): string {
  return `${kind} ${Buffer.from(name).subarray(0, 63).toString('latin1')}`
}

/**
 * By which rules the queries were judged that SQL has given a name (PREPARE, DECLARE): what is run by that name later must have been judged
 * by the rules that are in force then. Rules are counted by session, from 0, so that names matter only where a reload has changed them.
 */
export class JudgedNames {
  readonly #rules = new Map<string, number>()

  /** @returns the rules by which it was judged; `undefined`: SQL has given no such name since the first of them */
  of(key: string): number | undefined {
    return this.#rules.get(key)
  }

  /** A text goes on. @returns to be called at each CommandComplete of it, if at all */
  note({ statements }: TextMatch, rules: number): (() => void) | undefined {
    if (rules === 0 || statements.every(({ declares }) => declares === undefined)) return undefined
    let next = 0
    return () => {
      for (const key of statements[next++]?.declares ?? []) {
        if (this.#rules.size < maxNames || this.#rules.has(key)) this.#rules.set(key, rules)
      }
    }
  }

  /**
   * @param known the rules by which a statement of the protocol was judged
   * @returns the first name that a text uses whose query was judged by other rules
   */
  outdated({ statements }: TextMatch, rules: number, known: (key: string) => number | undefined): string | undefined {
    const own = new Set<string>()
    for (const { uses = [], declares = [] } of statements) {
      const old = uses.find(key => !own.has(key) && (this.of(key) ?? known(key) ?? 0) !== rules)
      if (old !== undefined) return old
      for (const key of declares) own.add(key)
    }
    return undefined
  }
}
