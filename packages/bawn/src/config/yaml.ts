import { type Document, isAlias, isMap, isNode, isPair, isScalar, isSeq, LineCounter, parseDocument } from 'yaml'
import { type ConfigPath, continuesSecret, excerptOf, type Problem } from './problem.ts'

/** Largest configuration file, in bytes. */
export const maxConfigBytes = 1_048_576
/** How many times aliases may expand anchors, all together. */
const maxAliasCount = 100
const tooManyAliases = `aliases (*name) are used too often: at most ${maxAliasCount} expansions`
/** Deeper nesting is no configuration of ours, and recursion has an end. */
const maxDepth = 64

/** Where a piece of the file stands. */
export interface Span {
  /** Offset in the text, in UTF-16 units. */
  readonly start: number
  readonly end: number
}

/** A parsed file: plain values, and the place of each of them. */
export interface Source {
  readonly file: string
  /** The bytes of it. */
  readonly bytes: Uint8Array
  /** Plain objects, arrays, strings, numbers, booleans and null. */
  readonly value: unknown
  /** Place of a key or value; of the nearest enclosing value when the path is not in the file. */
  locate(path: ConfigPath, at: 'key' | 'value'): Span
  /** Place of a piece of a text, however it is written: in quotes, in a block, over several lines. */
  locateWithin(path: ConfigPath, piece: Span): Span
  problem(level: Problem['level'], span: Span, path: ConfigPath, message: string, suggestion?: string): Problem
}

export type ParsedSource =
  | { readonly kind: 'ok'; readonly source: Source }
  | { readonly kind: 'invalid'; readonly problems: readonly Problem[] }

type ProblemMaker = Source['problem']

/** No secret is written over more lines; without an end, many problems in a long list would take their number squared. */
const maxSecretLines = 200

/** The lines above one, the nearest first. @param line from 1 */
function* linesAbove(text: string, lines: LineCounter, line: number): Iterable<string> {
  for (let at = line - 1; at >= Math.max(1, line - maxSecretLines); at--)
    yield text.slice(lines.lineStarts[at - 1], lines.lineStarts[at])
}

function problemMaker(file: string, text: string, lines: LineCounter): ProblemMaker {
  return (level, span, path, message, suggestion) => {
    const { line, col } = lines.linePos(Math.min(span.start, text.length))
    const lineStart = lines.lineStarts[line - 1] ?? 0
    const lineEnd = lines.lineStarts[line] ?? text.length + 1
    const end = Math.min(span.end, lineEnd - 1)
    const shown = text.slice(lineStart, lineEnd - 1).replace(/\r$/, '')
    return {
      level,
      file,
      line: Math.max(1, line),
      column: Math.max(1, col),
      length: Math.max(1, end - span.start),
      path: path.join('.'),
      message,
      suggestion,
      excerpt: continuesSecret(shown, linesAbove(text, lines, line)) ? '********' : excerptOf(shown),
    }
  }
}

const spanOf = (node: unknown): Span | undefined => {
  if (!isNode(node) || !node.range) return undefined
  return { start: node.range[0], end: node.range[1] }
}

/** Plain words for the parser's errors. Its own messages quote the file, which may hold a secret that somebody wrote there. */
const syntaxWords: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'a tab indents this line: YAML wants spaces',
  MULTIPLE_DOCS: 'a second document starts here: one file holds one configuration',
  BAD_ALIAS: 'an alias (*name) needs a name',
  BAD_DIRECTIVE: 'a directive (%…) that is not known',
  BAD_DQ_ESCAPE: 'no such escape in double quotes: write single quotes, or \\\\ for a backslash',
  BAD_INDENT: 'the indentation does not fit the lines around it',
  BAD_SCALAR_START: 'a value cannot start with this character: put it in quotes',
  MISSING_CHAR: 'something is missing here: a quote, a bracket, a colon or a space',
  BLOCK_AS_IMPLICIT_KEY: 'a key and a block below it do not fit on one line: is a line break or a quote missing?',
  MULTILINE_IMPLICIT_KEY: 'a key must end on its line: is a quote or a colon missing?',
  TAG_RESOLVE_FAILED: 'tags (!name) are not used here',
  UNEXPECTED_TOKEN: 'this is not expected here: does the indentation fit, is a quote missing?',
}

/** What plain values can no longer tell: repeated keys, keys that are no words, excessive nesting. */
function treeProblems(doc: Document, make: ProblemMaker): Problem[] {
  const problems: Problem[] = []
  let aliases = 0
  const visit = (node: unknown, path: ConfigPath, depth: number): void => {
    if (depth > maxDepth) {
      problems.push(make('error', spanOf(node) ?? { start: 0, end: 1 }, path, `nested deeper than ${maxDepth} levels`))
      return
    }
    if (isAlias(node)) {
      // Resolving one searches the document: they are counted first.
      aliases += 1
      const span = spanOf(node) ?? { start: 0, end: 1 }
      if (aliases === maxAliasCount + 1) problems.push(make('error', span, path, tooManyAliases))
      if (aliases <= maxAliasCount && !node.resolve(doc)) {
        problems.push(make('error', span, path, `there is no anchor &${node.source} before this alias`))
      }
    }
    if (isSeq(node)) for (const [index, item] of node.items.entries()) visit(item, [...path, index], depth + 1)
    if (!isMap(node)) return
    // The parser's own test for repeated keys compares each with each; a set stays fast on any file.
    const seen = new Map<string, Span>()
    for (const pair of node.items) {
      const span = spanOf(pair.key) ?? spanOf(node) ?? { start: 0, end: 1 }
      if (!isScalar(pair.key) || pair.key.value === null || typeof pair.key.value === 'object') {
        problems.push(make('error', span, path, 'a key must be a plain word'))
        continue
      }
      const key = String(pair.key.value)
      const first = seen.get(key)
      if (key === '__proto__') problems.push(make('error', span, path, 'a key cannot be called "__proto__"'))
      if (first) {
        const line = make('error', first, path, '').line
        problems.push(
          make('error', span, [...path, key], `key "${key}" stands here twice`, `the first is in line ${line}`),
        )
      }
      seen.set(key, span)
      visit(pair.value, [...path, key], depth + 1)
    }
  }
  visit(doc.contents, [], 0)
  return problems
}

function locator(doc: Document, text: string): Source['locate'] {
  const whole: Span = { start: 0, end: Math.min(text.length, 1) }
  const follow = (node: unknown): unknown => (isAlias(node) ? node.resolve(doc) : node)
  return (path, at) => {
    let node: unknown = doc.contents
    let key: Span | undefined
    let value = spanOf(node) ?? whole
    for (const step of path) {
      node = follow(node)
      if (isMap(node)) {
        const pair = node.items.find(item => isScalar(item.key) && String(item.key.value) === String(step))
        if (!pair || !isPair(pair)) break
        key = spanOf(pair.key)
        node = pair.value
        value = spanOf(node) ?? key ?? value
      } else if (isSeq(node) && typeof step === 'number' && step < node.items.length) {
        node = node.items[step]
        key = undefined
        value = spanOf(node) ?? value
      } else break
    }
    // An empty value (`routes:`) has no width: its key is the better place.
    if (at === 'key' || value.start === value.end) return key ?? value
    return value
  }
}

function textAt(value: unknown, path: ConfigPath): string {
  const found = path.reduce<unknown>(
    (here, step) => (typeof here === 'object' && here !== null ? Reflect.get(here, step) : undefined),
    value,
  )
  return typeof found === 'string' ? found : ''
}

/** Follows a text through the way it is written: whatever is not of the text is a quote, an indentation, a line break. */
function pieceOf(source: string, whole: Span, value: string, piece: Span): Span {
  let at = whole.start
  let start = whole.start
  for (let index = 0; index < Math.min(piece.end, value.length); index++) {
    const isSpace = /\s/.test(value.charAt(index))
    const isIt = (): boolean => source[at] === value[index] || (isSpace && /\s/.test(source.charAt(at)))
    while (at < whole.end && !isIt()) at++
    if (index <= piece.start) start = at
    if (at < whole.end) at++
  }
  // At the end of the text something is missing: behind its last character.
  if (piece.start >= value.length) start = at
  return { start, end: Math.max(at, start + 1) }
}

/** Reads YAML 1.2 (core schema: `on`, `off`, `yes`, `no` are strings) into plain values that know their place. Never throws. */
export function parseYaml(file: string, bytes: Uint8Array): ParsedSource {
  const lines = new LineCounter()
  lines.addNewLine(0)
  const nothing: Span = { start: 0, end: 1 }
  if (bytes.length > maxConfigBytes) {
    const make = problemMaker(file, '', lines)
    const message = `the file has ${bytes.length} bytes; more than ${maxConfigBytes} are not read`
    return { kind: 'invalid', problems: [make('error', nothing, [], message)] }
  }
  const text = new TextDecoder().decode(bytes)
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) lines.addNewLine(at + 1)
  const make = problemMaker(file, text, lines)
  const invalid = (...problems: Problem[]): ParsedSource => ({ kind: 'invalid', problems })

  const replaced = text.indexOf('\ufffd')
  if (replaced >= 0) {
    const span = { start: replaced, end: replaced + 1 }
    return invalid(make('error', span, [], 'the file is not UTF-8 text here'))
  }
  try {
    const doc = parseDocument(text, {
      schema: 'core',
      version: '1.2',
      uniqueKeys: false,
      prettyErrors: false,
      stringKeys: false,
    })
    const faults = [...doc.errors, ...doc.warnings]
    if (faults.length > 0) {
      return invalid(
        ...faults.map(fault => {
          const words = syntaxWords[fault.code] ?? `not valid YAML (${fault.code})`
          return make('error', { start: fault.pos[0], end: fault.pos[1] }, [], words)
        }),
      )
    }
    if (doc.directives?.yaml.explicit && doc.directives.yaml.version !== '1.2') {
      return invalid(make('error', nothing, [], 'the file asks for another YAML version; only 1.2 is read'))
    }
    const problems = treeProblems(doc, make)
    if (problems.length > 0) return invalid(...problems)
    const value: unknown = doc.toJS({ maxAliasCount })
    const locate = locator(doc, text)
    const locateWithin = (path: ConfigPath, piece: Span): Span =>
      pieceOf(text, locate(path, 'value'), textAt(value, path), piece)
    return { kind: 'ok', source: { file, bytes, value, locate, locateWithin, problem: make } }
  } catch (cause) {
    // The parser throws on too many aliases (ReferenceError) and on nesting that ends the stack (RangeError).
    const message =
      cause instanceof RangeError
        ? 'the file is nested too deep to be read'
        : cause instanceof ReferenceError
          ? tooManyAliases
          : 'the file cannot be read as YAML'
    return invalid(make('error', nothing, [], message))
  }
}
