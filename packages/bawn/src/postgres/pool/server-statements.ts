import { randomBytes } from 'node:crypto'

/** Of prepared statements on one connection; the one that was not used for longest goes first. */
const maxStatements = 200

/** What nobody who writes a client can guess, so that no name of a client's is one of ours. */
const prefix = `bawn_${randomBytes(8).toString('hex')}_`

/** Whether a name can only have been read where the server lists them. */
export function isServerName(name: string): boolean {
  return name.startsWith(prefix)
}

/** A name that no statement has. */
export const nobodysName = `${prefix}0`

/** What is prepared on one connection, as it will be once everything sent has been carried out. */
export class ServerStatements {
  /** By what was prepared; the one used last is at the end. */
  readonly #names = new Map<string, string>()
  #last = 0
  /** Which one the unnamed statement is; `undefined`: nobody knows, or none. */
  unnamed: object | undefined

  get(key: string): string | undefined {
    const name = this.#names.get(key)
    if (name === undefined) return undefined
    this.#names.delete(key)
    this.#names.set(key, name)
    return name
  }

  /** @returns its name, and of one that has to go for it; `undo` forgets it, `keep` has the one that had to go again */
  add(key: string): {
    readonly name: string
    readonly evicted: string | undefined
    readonly undo: () => void
    readonly keep: () => void
  } {
    let evicted: string | undefined
    let keep = (): void => {}
    const [oldest] = this.#names
    if (oldest !== undefined && this.#names.size >= maxStatements) {
      this.#names.delete(oldest[0])
      evicted = oldest[1]
      keep = () => this.put(...oldest)
    }
    this.#last += 1
    const name = `${prefix}${this.#last}`
    this.#names.set(key, name)
    return { name, evicted, undo: () => void (this.#names.get(key) === name && this.#names.delete(key)), keep }
  }

  /** It was not taken off after all. */
  put(key: string, name: string): void {
    if (!this.#names.has(key)) this.#names.set(key, name)
  }

  forget(key: string): void {
    this.#names.delete(key)
  }

  /** They were taken off. Names are not used again: whoever still means an old one must not get a new one. */
  clear(): void {
    this.#names.clear()
    this.unnamed = undefined
  }
}
