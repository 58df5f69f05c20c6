/** A path, or what is wrong with it. */
export type ParsedJsonPath =
  | { readonly kind: 'path'; readonly path: readonly string[] }
  /** `position` counts characters from 1. */
  | { readonly kind: 'fault'; readonly position: number; readonly fault: string }

/** Deeper than this a body is not walked. */
const maxSteps = 64

const shorthand = /[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*/y
const escapes: Readonly<Record<string, string>> = {
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  '/': '/',
  '\\': '\\',
  "'": "'",
  '"': '"',
}

/**
 * Parses the part of JSONPath that says where values stand: `$.a.b`, `$['a b']`, `$.items[*].email`, `$[*].x`. Anything that searches, counts or
 * filters is refused: what is protected, or what gives somebody a role, has to be clear from the path alone.
 *
 * @returns steps; `*` stands for every element of an array, which is why a member of that name cannot be written
 * @see RFC 9535 sections 2.3.1 and 2.5
 */
export function parseJsonPath(text: string): ParsedJsonPath {
  const fault = (at: number, words: string): ParsedJsonPath => ({ kind: 'fault', position: at + 1, fault: words })
  if (text[0] !== '$') return fault(0, 'a path begins with $')
  const path: string[] = []
  let at = 1
  while (at < text.length) {
    const step = parseStep(text, at)
    if (step.kind === 'fault') return fault(step.at, step.fault)
    path.push(step.name)
    at = step.end
    if (path.length > maxSteps) return fault(at, `a path has at most ${maxSteps} steps`)
  }
  return path.length === 0 ? fault(1, 'a path names a member, for example $.email') : { kind: 'path', path }
}

type Step =
  | { readonly kind: 'step'; readonly name: string; readonly end: number }
  | { readonly kind: 'fault'; readonly at: number; readonly fault: string }

function parseStep(text: string, at: number): Step {
  if (text[at] === '.') {
    if (text[at + 1] === '.')
      return { kind: 'fault', at, fault: '.. searches and is not supported; write the whole path' }
    if (text[at + 1] === '*')
      return { kind: 'fault', at, fault: '.* is not supported; the elements of an array are [*]' }
    shorthand.lastIndex = at + 1
    const name = shorthand.exec(text)?.[0]
    if (name === undefined)
      return { kind: 'fault', at: at + 1, fault: "a name is expected; other names are written ['a name']" }
    const end = at + 1 + name.length
    if (text[end] !== undefined && text[end] !== '.' && text[end] !== '[') {
      return { kind: 'fault', at: end, fault: "this character cannot be in a name; write ['a name']" }
    }
    return { kind: 'step', name, end }
  }
  if (text[at] !== '[') return { kind: 'fault', at, fault: '. or [ is expected' }
  if (text.startsWith('[*]', at)) return { kind: 'step', name: '*', end: at + 3 }
  const quote = text[at + 1]
  if (quote !== "'" && quote !== '"') {
    return { kind: 'fault', at: at + 1, fault: "only [*] and ['name'] are supported; no index, slice or filter" }
  }
  return parseQuoted(text, at + 2, quote)
}

function parseQuoted(text: string, start: number, quote: string): Step {
  let name = ''
  let at = start
  for (; text[at] !== quote; at++) {
    const character = text[at]
    if (character === undefined) return { kind: 'fault', at: start - 2, fault: 'this bracket is not closed' }
    if (character < ' ') return { kind: 'fault', at, fault: 'a control character is written \\n, \\t or \\u0000' }
    if (character !== '\\') {
      name += character
      continue
    }
    const next = text[at + 1] ?? ''
    const hex = next === 'u' ? /^[0-9A-Fa-f]{4}/.exec(text.slice(at + 2, at + 6))?.[0] : undefined
    if (hex !== undefined) {
      name += String.fromCharCode(Number.parseInt(hex, 16))
      at += 5
    } else if (Object.hasOwn(escapes, next)) {
      name += escapes[next]
      at += 1
    } else {
      return { kind: 'fault', at, fault: 'an escape that JSON does not know' }
    }
  }
  if (text[at + 1] !== ']') return { kind: 'fault', at: at + 1, fault: '] is expected' }
  if (name === '*') return { kind: 'fault', at: start, fault: 'a member named * is not supported' }
  return { kind: 'step', name, end: at + 2 }
}
