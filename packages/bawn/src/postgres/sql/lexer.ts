/**
 * PostgreSQL's lexical rules (manual section 4.1) over bytes, for two purposes: to know how deep a statement nests before the real
 * parser sees it, and to know where a token ends, which the real parser does not tell. It need not judge: what it lets through
 * wrongly the real parser refuses, and every edit made with its help is parsed again (`verify.ts`).
 */

export type TokenKind = 'word' | 'quoted' | 'string' | 'number' | 'parameter' | 'operator' | 'mark'

export interface Token {
  readonly kind: TokenKind
  /** Byte offsets; a string ends after its last continuation on a following line. */
  readonly start: number
  readonly end: number
}

export interface LexerLimits {
  readonly tokens: number
  /** Of parentheses and brackets within each other. */
  readonly nesting: number
  /** Operators, casts, joins, set operations and CASE that may lie within each other, summed along the nesting. */
  readonly chain: number
}

export type Lexed =
  | { readonly kind: 'tokens'; readonly tokens: readonly Token[] }
  | { readonly kind: 'unterminated'; readonly offset: number }
  | { readonly kind: 'too_complex'; readonly offset: number; readonly what: 'tokens' | 'nesting' | 'operators' }

const space = 1
const digit = 2
const letter = 4
const operator = 8

/** Class of each byte; a letter may also be any byte over 127. */
const classes = new Uint8Array(256)
for (const byte of [9, 10, 11, 12, 13, 32]) classes[byte] = space
for (let byte = 48; byte <= 57; byte++) classes[byte] = digit
for (let byte = 65; byte <= 90; byte++) {
  classes[byte] = letter
  classes[byte + 32] = letter
}
for (let byte = 128; byte <= 255; byte++) classes[byte] = letter
classes[95] = letter
for (const character of '~!@#^&|`?+-*/%<>=') classes[character.charCodeAt(0)] = operator

/** Words that put one expression, join or query within another without a parenthesis. AND and OR do not: the parser makes lists of them. */
const chaining = new Set(
  `NOT IS ISNULL NOTNULL IN LIKE ILIKE SIMILAR BETWEEN COLLATE AT CASE UNION INTERSECT EXCEPT JOIN OVERLAPS ESCAPE`.split(
    ' ',
  ),
)

const quote = 39
const doubleQuote = 34
const dollar = 36
const backslash = 92

/** @param each gets the tokens one by one; they are then not collected */
export function lex(text: Uint8Array, limits: LexerLimits, each?: (token: Token) => void): Lexed {
  const tokens: Token[] = []
  const length = text.length
  /** Chain weight of each open level; their sum is `weight`. */
  const levels: number[] = [0]
  let weight = 0
  let at = 0

  const classOf = (offset: number): number => classes[text[offset] ?? 0] ?? 0
  const isWordPart = (offset: number): boolean =>
    offset < length && ((classOf(offset) & (letter | digit)) !== 0 || text[offset] === dollar)

  /** @returns offset after the closing quote, or -1 */
  const closing = (from: number, mark: number, escapes: boolean): number => {
    for (let offset = from; offset < length; offset++) {
      const byte = text[offset]
      if (byte === backslash && escapes) offset++
      else if (byte === mark) {
        if (text[offset + 1] !== mark) return offset + 1
        offset++
      }
    }
    return -1
  }

  /** Offset of what follows white space and comments, or -1 when a comment does not end. */
  const skip = (from: number): number => {
    let offset = from
    for (;;) {
      while (offset < length && classOf(offset) === space) offset++
      if (text[offset] === 45 && text[offset + 1] === 45) {
        while (offset < length && text[offset] !== 10 && text[offset] !== 13) offset++
      } else if (text[offset] === 47 && text[offset + 1] === 42) {
        let depth = 1
        offset += 2
        while (depth > 0) {
          if (offset >= length) return -1
          if (text[offset] === 47 && text[offset + 1] === 42) {
            depth++
            offset += 2
          } else if (text[offset] === 42 && text[offset + 1] === 47) {
            depth--
            offset += 2
          } else offset++
        }
      } else return offset
    }
  }

  /** A string goes on where only white space with a line end, and line comments, lie between two quotes. */
  const continued = (from: number): number => {
    let offset = from
    let lineEnd = false
    for (;;) {
      const byte = text[offset]
      if (offset < length && classOf(offset) === space) {
        if (byte === 10 || byte === 13) lineEnd = true
        offset++
      } else if (byte === 45 && text[offset + 1] === 45) {
        while (offset < length && text[offset] !== 10 && text[offset] !== 13) offset++
      } else return lineEnd && byte === quote ? offset : -1
    }
  }

  const stringEnd = (open: number, escapes: boolean): number => {
    let end = closing(open + 1, quote, escapes)
    while (end >= 0) {
      const next = continued(end)
      if (next < 0) return end
      end = closing(next + 1, quote, escapes)
    }
    return -1
  }

  const dollarQuoteEnd = (from: number): number => {
    let tagEnd = from + 1
    if ((classOf(tagEnd) & letter) !== 0) while ((classOf(tagEnd) & (letter | digit)) !== 0 && tagEnd < length) tagEnd++
    if (text[tagEnd] !== dollar) return 0
    const found = Buffer.from(text.buffer, text.byteOffset, length).indexOf(text.subarray(from, tagEnd + 1), tagEnd + 1)
    return found < 0 ? -1 : found + (tagEnd + 1 - from)
  }

  const operatorEnd = (from: number): number => {
    let end = from
    while (end < length && classOf(end) === operator) {
      const next = text[end + 1]
      if (end > from && ((text[end] === 45 && next === 45) || (text[end] === 47 && next === 42))) break
      end++
    }
    // Manual section 4.1.3: a longer operator ends in + or - only when it holds one of ~ ! @ # % ^ & | ` ?
    while (end > from + 1 && (text[end - 1] === 43 || text[end - 1] === 45)) {
      if (/[~!@#%^&|`?]/.test(Buffer.from(text.subarray(from, end)).toString('latin1'))) break
      end--
    }
    return end
  }

  const numberEnd = (from: number): number => {
    let end = from
    while (isWordPart(end) || (text[end] === 46 && text[end + 1] !== 46)) {
      const exponent = text[end] === 101 || text[end] === 69
      end++
      if (exponent && (text[end] === 43 || text[end] === 45) && (classOf(end + 1) & digit) !== 0) end++
    }
    return end
  }

  const chainLink = (): boolean => {
    levels[levels.length - 1] = (levels[levels.length - 1] ?? 0) + 1
    weight++
    return weight <= limits.chain
  }

  for (;;) {
    const start = skip(at)
    if (start < 0) return { kind: 'unterminated', offset: at }
    if (start >= length) return { kind: 'tokens', tokens }
    if (tokens.length >= limits.tokens) return { kind: 'too_complex', offset: start, what: 'tokens' }
    const byte = text[start] ?? 0
    const next = text[start + 1]
    let kind: TokenKind = 'mark'
    let end = start + 1

    if (byte === quote) {
      kind = 'string'
      end = stringEnd(start, false)
    } else if (byte === doubleQuote) {
      kind = 'quoted'
      end = closing(start + 1, doubleQuote, false)
    } else if ((classOf(start) & letter) !== 0) {
      const prefix = byte | 32
      if (next === quote && (prefix === 101 || prefix === 98 || prefix === 120 || prefix === 110)) {
        kind = 'string'
        end = stringEnd(start + 1, prefix === 101)
      } else if (prefix === 117 && next === 38 && text[start + 2] === quote) {
        kind = 'string'
        end = stringEnd(start + 2, false)
      } else if (prefix === 117 && next === 38 && text[start + 2] === doubleQuote) {
        kind = 'quoted'
        end = closing(start + 3, doubleQuote, false)
      } else {
        kind = 'word'
        while (isWordPart(end)) end++
        if (end - start <= 9 && chaining.has(Buffer.from(text.subarray(start, end)).toString('latin1').toUpperCase())) {
          if (!chainLink()) return { kind: 'too_complex', offset: start, what: 'operators' }
        }
      }
    } else if (byte === dollar) {
      end = (classes[next ?? 0] ?? 0) === digit ? 0 : dollarQuoteEnd(start)
      if (end === 0) {
        kind = 'parameter'
        end = start + 1
        while (isWordPart(end)) end++
      } else kind = 'string'
    } else if ((classOf(start) & digit) !== 0 || (byte === 46 && (classes[next ?? 0] ?? 0) === digit)) {
      kind = 'number'
      end = numberEnd(start)
    } else if (classOf(start) === operator) {
      kind = 'operator'
      end = operatorEnd(start)
      if (!chainLink()) return { kind: 'too_complex', offset: start, what: 'operators' }
    } else if (byte === 58 && (next === 58 || next === 61)) {
      kind = 'operator'
      end = start + 2
      if (!chainLink()) return { kind: 'too_complex', offset: start, what: 'operators' }
    } else if (byte === 40 || byte === 91) {
      levels.push(0)
      if (levels.length > limits.nesting) return { kind: 'too_complex', offset: start, what: 'nesting' }
    } else if (byte === 41 || byte === 93) {
      if (levels.length > 1) weight -= levels.pop() ?? 0
    } else if (byte === 44 || byte === 59) {
      weight -= levels[levels.length - 1] ?? 0
      levels[levels.length - 1] = 0
    }
    if (end < 0) return { kind: 'unterminated', offset: start }
    if (each === undefined) tokens.push({ kind, start, end })
    else each({ kind, start, end })
    at = end
  }
}
