import type { Reading } from './reading.ts'
import type { OwnObjects } from './resolve.ts'

/** So many names are remembered; a session that makes more has to name their schemas. */
const maxNames = 1_000

/** Relations that a session made, temporary ones and those of a transaction that may still be open. */
export class SessionObjects implements OwnObjects {
  readonly #temporary = new Map<string, 'solid' | 'sent'>()
  readonly #created = new Map<string, Set<string>>()

  temporary(name: string): 'solid' | 'sent' | undefined {
    return this.#temporary.get(name)
  }

  created(name: string): readonly string[] {
    return [...(this.#created.get(name) ?? [])]
  }

  /** A statement is sent. */
  note(reading: Reading): void {
    if (reading.unsettles) for (const name of this.#temporary.keys()) this.#temporary.set(name, 'sent')
    for (const name of reading.temporary) {
      if (this.#temporary.size < maxNames && !this.#temporary.has(name)) this.#temporary.set(name, 'sent')
    }
    for (const { schema, name } of reading.created) {
      if (schema === undefined || this.#created.size >= maxNames) continue
      const schemas = this.#created.get(name) ?? new Set()
      this.#created.set(name, schemas.add(schema))
    }
  }

  /** The server has said that it was carried out. */
  confirm(reading: Reading): void {
    for (const name of reading.temporary) if (this.#temporary.has(name)) this.#temporary.set(name, 'solid')
  }
}
