import type { Token } from './lexer.ts'
import { Refusal } from './refusal.ts'

/** Finds by tokens what the parser's tree does not say: where things end. Whatever it gets wrong, `verify.ts` refuses. */
export class Tokens {
  readonly #text: Uint8Array
  readonly #tokens: readonly Token[]

  constructor(text: Uint8Array, tokens: readonly Token[]) {
    this.#text = text
    this.#tokens = tokens
  }

  /** Index of the token that starts at a byte offset. */
  at(offset: number): number {
    let low = 0
    let high = this.#tokens.length - 1
    while (low <= high) {
      const middle = (low + high) >> 1
      const start = this.#tokens[middle]?.start ?? 0
      if (start === offset) return middle
      if (start < offset) low = middle + 1
      else high = middle - 1
    }
    throw new Refusal(
      'postgres.statement_refused',
      'the gateway cannot tell where a value in this statement begins',
      'Write the statement in a simpler form, or pass the value as a parameter',
      offset,
    )
  }

  get(index: number): Token | undefined {
    return this.#tokens[index]
  }

  start(index: number): number {
    return this.#tokens[index]?.start ?? this.#text.length
  }

  end(index: number): number {
    return this.#tokens[index]?.end ?? this.#text.length
  }

  /** A word or mark, in lower case; empty where there is none. */
  word(index: number): string {
    const token = this.#tokens[index]
    if (token === undefined || token.end - token.start > 20) return ''
    return Buffer.from(this.#text.subarray(token.start, token.end)).toString('latin1').toLowerCase()
  }

  /** A string's last token: `U&'…' UESCAPE '!'` has three. */
  literalEnd(index: number): number {
    const negative = this.word(index) === '-' ? index + 1 : index
    return this.word(negative + 1) === 'uescape' ? negative + 2 : negative
  }

  /** @returns byte offset after `a.b.c`, of `parts` names */
  referenceEnd(start: number, parts: number): number {
    return this.end(this.#namesEnd(this.at(start), parts))
  }

  /** @returns byte offset after a table's name and, where it has one, its alias (`AS` is required there) */
  tableEnd(start: number, parts: number, aliased: boolean): number {
    const last = this.#namesEnd(this.at(start), parts)
    return this.end(aliased ? this.#uescape(last + 2) : last)
  }

  /**
   * Where a name stands in a list of names, `(a, b)`.
   *
   * @param offset of the parenthesis
   * @throws {Refusal} when anything but names, commas and the parentheses is there
   */
  listed(offset: number, index: number, count: number): readonly [number, number] {
    let at = this.at(offset)
    let found: readonly [number, number] | undefined
    for (let item = 0; item < count; item++) {
      const name = at + 1
      if (item === index) found = [this.start(name), this.end(this.#uescape(name))]
      at = this.#uescape(name) + 1
      if (this.word(at) === (item === count - 1 ? ')' : ',')) continue
      throw new Refusal(
        'postgres.statement_refused',
        'the gateway cannot tell where a column in a list ends',
        'Write the names of the columns alone, without collation or operator class',
        offset,
      )
    }
    return found ?? [offset, offset]
  }

  #namesEnd(first: number, parts: number): number {
    let index = this.#uescape(first)
    for (let part = 1; part < parts; part++) index = this.#uescape(index + 2)
    return index
  }

  #uescape(index: number): number {
    return this.word(index + 1) === 'uescape' ? index + 2 : index
  }
}
