import type { Declaration, Reference } from './reading.ts'

interface Named {
  /** Of every query that may be meant: a name that is given away again after a DEALLOCATE that failed still means the first. */
  references: readonly Reference[]
  held: boolean
  /** Number of the ReadyForQuery that ends the message which declared it last. */
  declaredAt: number
}

/** Prepared statements or cursors that a session made by SQL: what is needed to run them again. */
export class NamedQueries {
  readonly #named = new Map<string, Named>()

  get size(): number {
    return this.#named.size
  }

  has(name: string): boolean {
    return this.#named.has(name)
  }

  references(name: string): readonly Reference[] | undefined {
    return this.#named.get(name)?.references
  }

  add(declaration: Declaration, declaredAt: number): void {
    const known = this.#named.get(declaration.name)
    if (known === undefined) {
      const { references, held } = declaration
      this.#named.set(declaration.name, { references, held, declaredAt })
      return
    }
    const keys = new Set(known.references.map(reference => JSON.stringify(reference)))
    const more = declaration.references.filter(reference => !keys.has(JSON.stringify(reference)))
    // Another array: what was found out about the one before is kept by it.
    if (more.length > 0) known.references = [...known.references, ...more]
    known.held ||= declaration.held
    known.declaredAt = declaredAt
  }

  /** The server has freed a name, or `*` for all; what was declared after that message stays. @param ready number of its ReadyForQuery */
  release(name: string, ready: number): void {
    for (const [key, { declaredAt }] of this.#named) {
      if ((name === '*' || name === key) && declaredAt <= ready) this.#named.delete(key)
    }
  }

  /** A transaction has ended: what was declared before that and is not held is gone. @param ready number of its ReadyForQuery */
  endTransaction(ready: number): void {
    for (const [name, { held, declaredAt }] of this.#named) {
      if (!held && declaredAt <= ready) this.#named.delete(name)
    }
  }
}
