import { isAscii } from 'node:buffer'
import { latin1 } from '../latin1.ts'
import { keepExact } from './exact-claims.ts'

/** A value of JSON as `parseJson` makes it: objects have no prototype, everything is frozen. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject
export interface JsonObject {
  readonly [member: string]: Json
}

const maxDepth = 32
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * JSON (RFC 8259) for what an attacker may have written: tokens and key sets. Against `JSON.parse`: two members of one name are
 * refused, for another reader would take the other one; `__proto__` is a member like any other; depth is limited; bytes that are not
 * UTF-8, halves of a surrogate pair (RFC 7493 section 2.1), a byte order mark and numbers beyond a double are refused.
 *
 * @returns `undefined` for anything that is not exactly one value
 */
export function parseJson(bytes: Uint8Array): Json | undefined {
  try {
    return new Reader(textOf(bytes)).whole()
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return undefined
    throw error
  }
}

/** @throws {TypeError} for what is not UTF-8 */
function textOf(bytes: Uint8Array): string {
  return Buffer.isBuffer(bytes) && isAscii(bytes) ? latin1(bytes) : decoder.decode(bytes)
}

export function isJsonObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

// Sticky: each matches at `lastIndex` or not at all. None of them can match one text in two ways.
// biome-ignore lint/suspicious/noControlCharactersInRegex: RFC 8259 section 7 forbids them in a string
const stringToken = /"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})[^"\\\x00-\x1f]*)*"/y
const numberToken = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
const wordToken = /true|false|null/y

const code = {
  tab: 0x09,
  lineFeed: 0x0a,
  return: 0x0d,
  space: 0x20,
  quote: 0x22,
  comma: 0x2c,
  colon: 0x3a,
  bracket: 0x5b,
  backslash: 0x5c,
  bracketEnd: 0x5d,
  f: 0x66,
  n: 0x6e,
  t: 0x74,
  brace: 0x7b,
  braceEnd: 0x7d,
} as const

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
    this.#skipBlank()
    const value = this.#bare(depth)
    this.#skipBlank()
    return value
  }

  #bare(depth: number): Json {
    switch (this.#text.charCodeAt(this.#at)) {
      case code.brace:
        return this.#object(depth)
      case code.bracket:
        return this.#array(depth)
      case code.quote:
        return this.#string()
      case code.t:
      case code.f:
      case code.n: {
        const word = this.#take(wordToken)
        return word === 'null' ? null : word === 'true'
      }
      default:
        return this.#number()
    }
  }

  #number(): number {
    const text = this.#take(numberToken)
    const number = Number(text)
    if (!Number.isFinite(number)) throw new SyntaxError('a number beyond a double')
    if (Number.isInteger(number) && !Number.isSafeInteger(number) && /^-?[0-9]+$/.test(text)) this.#inexact = text
    return number
  }

  #object(depth: number): JsonObject {
    const members: Record<string, Json> = Object.create(null)
    this.#at++
    this.#skipBlank()
    if (this.#text.charCodeAt(this.#at) === code.braceEnd) {
      this.#at++
      return Object.freeze(members)
    }
    for (;;) {
      this.#skipBlank()
      const name = this.#string()
      if (name in members) throw new SyntaxError('a member twice')
      this.#skipBlank()
      this.#expect(code.colon)
      members[name] = this.#value(depth + 1)
      this.#keepExact(members, name)
      if (this.#text.charCodeAt(this.#at) === code.braceEnd) break
      this.#expect(code.comma)
    }
    this.#at++
    return Object.freeze(members)
  }

  #array(depth: number): readonly Json[] {
    const items: Json[] = []
    this.#at++
    this.#skipBlank()
    if (this.#text.charCodeAt(this.#at) === code.bracketEnd) {
      this.#at++
      return Object.freeze(items)
    }
    for (;;) {
      items.push(this.#value(depth + 1))
      this.#keepExact(items, items.length - 1)
      if (this.#text.charCodeAt(this.#at) === code.bracketEnd) break
      this.#expect(code.comma)
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
    const text = this.#text
    const start = this.#at + 1
    if (text.charCodeAt(this.#at) === code.quote) {
      // Hardly any has an escape.
      for (let at = start; at < text.length; at++) {
        const next = text.charCodeAt(at)
        if (next === code.quote) {
          this.#at = at + 1
          return text.slice(start, at)
        }
        if (next === code.backslash || next < code.space) break
      }
    }
    const whole: unknown = JSON.parse(this.#take(stringToken))
    // What is half a character here becomes U+FFFD on its way out: two names would be one.
    if (typeof whole !== 'string' || !whole.isWellFormed()) throw new SyntaxError('not a string of characters')
    return whole
  }

  #take(token: RegExp): string {
    token.lastIndex = this.#at
    const [found] = token.exec(this.#text) ?? []
    if (found === undefined) throw new SyntaxError('another token')
    this.#at += found.length
    return found
  }

  #skipBlank(): void {
    for (;;) {
      const next = this.#text.charCodeAt(this.#at)
      if (next !== code.space && next !== code.lineFeed && next !== code.return && next !== code.tab) return
      this.#at++
    }
  }

  #expect(character: number): void {
    if (this.#text.charCodeAt(this.#at) !== character) throw new SyntaxError(`not ${String.fromCharCode(character)}`)
    this.#at++
  }
}
