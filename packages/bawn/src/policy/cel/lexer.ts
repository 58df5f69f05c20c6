import { CelError } from './fault.ts'

// The lexis of CEL (language definition, "Syntax"). What it cannot read stops the start, so nothing here guesses.

export type Token =
  | { readonly kind: 'name'; readonly text: string; readonly start: number; readonly end: number }
  /** A name in backquotes: only behind a dot. */
  | { readonly kind: 'quoted'; readonly text: string; readonly start: number; readonly end: number }
  | { readonly kind: 'symbol'; readonly text: string; readonly start: number; readonly end: number }
  | { readonly kind: 'string'; readonly value: string; readonly start: number; readonly end: number }
  | { readonly kind: 'bytes'; readonly value: Uint8Array; readonly start: number; readonly end: number }
  | { readonly kind: 'int'; readonly value: bigint; readonly start: number; readonly end: number }
  | { readonly kind: 'double'; readonly value: number; readonly start: number; readonly end: number }
  | { readonly kind: 'end'; readonly start: number; readonly end: number }

const space = /[\t\n\f\r ]+|\/\/[^\n]*/y
const word = /[A-Za-z_][A-Za-z0-9_]*/y
const quotedName = /`[A-Za-z0-9_.\-/ ]+`/y
const number = /0x[0-9A-Fa-f]+|(?:[0-9]+\.[0-9]+|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|[0-9]+/y
const stringStart = /([rR]?[bB]?|[bB][rR])("""|'''|"|')/y
const symbol = /&&|\|\||<=|>=|==|!=|[-+*/%!<>?:.,()[\]{}]/y

const simpleEscapes: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  '?': '?',
  '"': '"',
  "'": "'",
  '`': '`',
}

/** @throws {CelError} at the first character that begins nothing */
export function tokenize(text: string): readonly Token[] {
  const tokens: Token[] = []
  let at = 0
  const match = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at
    return pattern.exec(text)
  }
  while (at < text.length) {
    const start = at
    const blank = match(space)
    if (blank !== null) {
      at += blank[0].length
      continue
    }
    const opening = match(stringStart)
    if (opening !== null) {
      const token = readString(text, start, opening[1] ?? '', opening[2] ?? '"')
      tokens.push(token)
      at = token.end
      continue
    }
    const digits = match(number)
    if (digits !== null) {
      at += digits[0].length
      tokens.push(readNumber(digits[0], start, at, text))
      continue
    }
    const found = match(word) ?? match(quotedName) ?? match(symbol)
    if (found === null) {
      const character = String.fromCodePoint(text.codePointAt(at) ?? 0)
      const hint =
        character === '=' ? 'compare with ==' : character === '&' || character === '|' ? 'write && or ||' : undefined
      throw new CelError(`${JSON.stringify(character)} means nothing here`, { start, end: at + 1 }, hint)
    }
    const [piece] = found
    at += piece.length
    if (piece.startsWith('`')) tokens.push({ kind: 'quoted', text: piece.slice(1, -1), start, end: at })
    else tokens.push({ kind: /^[A-Za-z_]/.test(piece) ? 'name' : 'symbol', text: piece, start, end: at })
  }
  tokens.push({ kind: 'end', start: at, end: at })
  return tokens
}

function readNumber(digits: string, start: number, end: number, text: string): Token {
  const next = text.charAt(end)
  if (next === 'u' || next === 'U') {
    throw new CelError('unsigned numbers are not used here', { start, end: end + 1 }, `write ${digits}`)
  }
  if (/[A-Za-z0-9_]/.test(next)) throw new CelError('a number ends at its digits', { start, end: end + 1 })
  if (!digits.startsWith('0x') && /[.eE]/.test(digits)) return { kind: 'double', value: Number(digits), start, end }
  // One more than the largest: only behind a minus, which the parser sees to.
  const value = digits.length > 40 ? 1n << 64n : BigInt(digits)
  if (value > 1n << 63n) throw new CelError('this number does not fit in 64 bits', { start, end })
  return { kind: 'int', value, start, end }
}

function readString(text: string, start: number, prefix: string, quote: string): Token {
  const isRaw = /r/i.test(prefix)
  const isBytes = /b/i.test(prefix)
  let at = start + prefix.length + quote.length
  let value = ''
  const bytes: number[] = []
  const put = (piece: string): void => {
    if (isBytes) bytes.push(...Buffer.from(piece))
    else value += piece
  }
  while (!text.startsWith(quote, at)) {
    const code = text.codePointAt(at)
    const isLineEnd = code === 0x0a || code === 0x0d
    if (code === undefined || (isLineEnd && quote.length === 1)) {
      throw new CelError('this string has no end', { start, end: Math.min(at, text.length) })
    }
    const character = String.fromCodePoint(code)
    if (character !== '\\' || isRaw) {
      if (isRaw && character === '\\' && quote.length === 1 && text.charAt(at + 1) === '\\') {
        put('\\\\')
        at += 2
        continue
      }
      put(character)
      at += character.length
      continue
    }
    const escaped = readEscape(text, at, isBytes)
    if (escaped.byte !== undefined) bytes.push(escaped.byte)
    else put(escaped.text)
    at += escaped.length
  }
  const end = at + quote.length
  if (isBytes) return { kind: 'bytes', value: Uint8Array.from(bytes), start, end }
  return { kind: 'string', value, start, end }
}

const codeEscape = /\\(?:[xX]([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-3][0-7]{2}))/y

function readEscape(
  text: string,
  at: number,
  isBytes: boolean,
): { readonly text: string; readonly byte: number | undefined; readonly length: number } {
  const simple = simpleEscapes[text.charAt(at + 1)]
  if (simple !== undefined) return { text: simple, byte: undefined, length: 2 }
  codeEscape.lastIndex = at
  const match = codeEscape.exec(text)
  const bad = (): CelError => new CelError('no such escape', { start: at, end: at + 2 }, 'write \\\\ for a backslash')
  if (match === null) throw bad()
  const [whole, hex, short, long, octal] = match
  const code = octal === undefined ? Number.parseInt(hex ?? short ?? long ?? '', 16) : Number.parseInt(octal, 8)
  if (isBytes) {
    if (short !== undefined || long !== undefined) throw bad()
    return { text: '', byte: code, length: whole.length }
  }
  if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) throw bad()
  return { text: String.fromCodePoint(code), byte: undefined, length: whole.length }
}
