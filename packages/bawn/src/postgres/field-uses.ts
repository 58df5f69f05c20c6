import type { FieldUse } from '../audit/event.ts'

/** Counts how much of which field one execution showed, sealed or searched. */
export class FieldUses {
  readonly #counts = new Map<string, { readonly field: string; readonly as: FieldUse['as']; count: number }>()
  #total = 0

  /** Values counted so far. */
  get total(): number {
    return this.#total
  }

  add(field: string, as: FieldUse['as'], count = 1): void {
    this.#total += count
    const key = `${as} ${field}`
    const known = this.#counts.get(key)
    if (known === undefined) this.#counts.set(key, { field, as, count })
    else known.count += count
  }

  /** Adds everything that `other` counted. */
  merge(other: FieldUses): void {
    for (const { field, as, count } of other.list()) this.add(field, as, count)
  }

  list(): readonly FieldUse[] {
    return [...this.#counts.values()].map(use => ({ ...use }))
  }
}
