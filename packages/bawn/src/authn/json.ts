import { keepExact } from './exact-claims.ts'

/** A value of JSON as `parseJson` makes it: objects have no prototype, everything is frozen. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject
export interface JsonObject {
  readonly [member: string]: Json
}

const maxDepth = 32

/**
 * JSON (RFC 8259) for what an attacker may have written: tokens and key sets. Against `JSON.parse`: two members of one name are
 * refused, for another reader would take the other one; `__proto__` is a member like any other; depth is limited; bytes that are not
 * UTF-8, halves of a surrogate pair (RFC 7493 section 2.1), a byte order mark and numbers beyond a double are refused.
 *
 * @returns `undefined` for anything that is not exactly one value
 */
export function parseJson(bytes: Uint8Array): Json | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    return new Reader(text).whole()
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return undefined
    throw error
  }
}

export function isJsonObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

// Sticky: each matches at `lastIndex` or not at all. None of them can match one text in two ways.
const blank = /[ \t\n\r]*/y
// biome-ignore lint/suspicious/noControlCharactersInRegex: RFC 8259 section 7 forbids them in a string
const stringToken = /"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})[^"\\\x00-\x1f]*)*"/y
const numberToken = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
const wordToken = /true|false|null/y

class Reader {
  readonly #text: string
  #at = 0
  /** The text of the last number, where that is an integer which a double does not hold. */
  #inexact: string | undefined

  constructor(text: string) {
    this.#text = text
  }

  whole(): Json {
    const value = this.#value(0)
    if (this.#at !== this.#text.length) throw new SyntaxError('something follows')
    return value
  }

  #value(depth: number): Json {
    if (depth > maxDepth) throw new SyntaxError('too deep')
    this.#take(blank)
    const value = this.#bare(depth)
    this.#take(blank)
    return value
  }

  #bare(depth: number): Json {
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object(depth)
      case '[':
        return this.#array(depth)
      case '"':
        return this.#string()
      case 't':
      case 'f':
      case 'n': {
        const word = this.#take(wordToken)
        return word === 'null' ? null : word === 'true'
      }
      default: {
        const text = this.#take(numberToken)
        const number = Number(text)
        if (!Number.isFinite(number)) throw new SyntaxError('a number beyond a double')
        if (Number.isInteger(number) && !Number.isSafeInteger(number) && /^-?[0-9]+$/.test(text)) this.#inexact = text
        return number
      }
    }
  }

  #object(depth: number): JsonObject {
    const members: Record<string, Json> = Object.create(null)
    this.#at++
    this.#take(blank)
    if (this.#text[this.#at] === '}') {
      this.#at++
      return Object.freeze(members)
    }
    for (;;) {
      this.#take(blank)
      const name = this.#string()
      if (name in members) throw new SyntaxError('a member twice')
      this.#take(blank)
      this.#expect(':')
      members[name] = this.#value(depth + 1)
      this.#keepExact(members, name)
      if (this.#text[this.#at] === '}') break
      this.#expect(',')
    }
    this.#at++
    return Object.freeze(members)
  }

  #array(depth: number): readonly Json[] {
    const items: Json[] = []
    this.#at++
    this.#take(blank)
    if (this.#text[this.#at] === ']') {
      this.#at++
      return Object.freeze(items)
    }
    for (;;) {
      items.push(this.#value(depth + 1))
      this.#keepExact(items, items.length - 1)
      if (this.#text[this.#at] === ']') break
      this.#expect(',')
    }
    this.#at++
    return Object.freeze(items)
  }

  #keepExact(holder: object, place: string | number): void {
    if (this.#inexact === undefined) return
    keepExact(holder, place, this.#inexact)
    this.#inexact = undefined
  }

  #string(): string {
    const token = this.#take(stringToken)
    if (!token.includes('\\')) return token.slice(1, -1)
    const text: unknown = JSON.parse(token)
    // What is half a character here becomes U+FFFD on its way out: two names would be one.
    if (typeof text !== 'string' || !text.isWellFormed()) throw new SyntaxError('not a string of characters')
    return text
  }

  #take(token: RegExp): string {
    token.lastIndex = this.#at
    const [found] = token.exec(this.#text) ?? []
    if (found === undefined) throw new SyntaxError('another token')
    this.#at += found.length
    return found
  }

  #expect(character: string): void {
    if (this.#text[this.#at] !== character) throw new SyntaxError(`not ${character}`)
    this.#at++
  }
}
