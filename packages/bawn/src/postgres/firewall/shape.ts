import type { Node, RawStmt } from 'libpg-query'
import type { Token } from '../sql/lexer.ts'
import type { Parser } from '../sql/parser.ts'
import { everyStruct, isStruct, offsetOf } from '../sql/tree.ts'
import { checkPattern, matches, PatternError, parseableText } from './pattern.ts'
import { classesOf, type StatementClass } from './statement-class.ts'

/** Statements whose every constant stands in the tree as one; what others hold as text may be anything, a password among it. */
const shapeable: ReadonlySet<StatementClass> = new Set([
  'SELECT',
  'INSERT',
  'UPDATE',
  'DELETE',
  'MERGE',
  'EXPLAIN',
  'CURSOR',
] as const)

/** Longer shapes say little, and rules are read by people. */
const maxShapeBytes = 16 * 1024

interface Places {
  /** Where constants and parameters begin. */
  readonly values: Set<number>
  /** `date '2026-01-01'`: where the type begins, and where its constant does. */
  readonly typed: Map<number, number>
  /** Numbers that belong to a type: `numeric(10, 2)`. */
  readonly ofTypes: Set<number>
}

function offsetIn(node: unknown): number | undefined {
  return isStruct(node) ? offsetOf(node) : undefined
}

function findPlaces(value: unknown, into: Places): Places {
  everyStruct(value, struct => {
    const found = offsetIn(struct['A_Const'] ?? struct['ParamRef'])
    if (found !== undefined) into.values.add(found)
    const type = struct['typeName'] ?? struct['TypeName']
    if (!isStruct(type)) return undefined
    for (const number of findPlaces(type['typmods'], emptyPlaces()).values) into.ofTypes.add(number)
    const { typeName: _, TypeName: __, ...beside } = struct
    findPlaces(beside, into)
    const [begins, constant] = [
      offsetIn(type),
      isStruct(struct['arg']) ? offsetIn(struct['arg']['A_Const']) : undefined,
    ]
    if (struct['location'] === -1 && begins !== undefined && constant !== undefined && begins < constant)
      into.typed.set(begins, constant)
    return false
  })
  return into
}

const emptyPlaces = (): Places => ({ values: new Set(), typed: new Map(), ofTypes: new Set() })

const row = String.raw`\((?:%%VALUE%%, ?)*%%VALUE%%\)`
const valueLists: readonly (readonly [RegExp, string])[] = [
  [new RegExp(String.raw`\b(IN) ?${row}`, 'gi'), '$1 (%%LIST_OF_VALUES%%)'],
  [new RegExp(String.raw`\b(VALUES) ?${row}(?: ?, ?${row})*(?! ?,)`, 'gi'), '$1 (%%LIST_OF_VALUES%%)'],
]

/**
 * A statement with its values taken out, as a pattern that matches it and its like; `undefined` where that cannot be done without doubt.
 *
 * @param text the message that it stands in, with its tokens
 */
export function shapeOf(text: Uint8Array, tokens: readonly Token[], raw: RawStmt, parser: Parser): string | undefined {
  const { stmt: statement, stmt_location: start = 0, stmt_len: length = 0 } = raw
  if (statement === undefined || ![...classesOf(statement)].every(one => shapeable.has(one))) return undefined
  const end = length === 0 ? text.length : start + length
  const { values, typed, ofTypes } = findPlaces(statement, emptyPlaces())
  const parts: string[] = []
  let before = -1
  const own = tokens.filter(token => token.start >= start && token.end <= end)
  const wordAt = (index: number): string => {
    const token = own[index]
    return token === undefined ? '' : Buffer.from(text.subarray(token.start, token.end)).toString()
  }
  for (let index = 0; index < own.length; index++) {
    const token = own[index]
    if (token === undefined || wordAt(index) === ';') continue
    if (before >= 0 && token.start > before) parts.push(' ')
    const constant = typed.get(token.start)
    if (constant !== undefined) while (index < own.length && own[index]?.start !== constant) index++
    if (constant !== undefined || values.has(token.start)) {
      parts.push('%%VALUE%%')
      // `-5` has one position for both, and `U&'…' UESCAPE '!'` is one string.
      if (token.kind === 'operator') index++
      if (wordAt(index + 1).toLowerCase() === 'uescape') index += 2
    } else if (token.kind === 'string' || (token.kind === 'number' && !ofTypes.has(token.start))) return undefined
    else parts.push(wordAt(index))
    before = own[index]?.end ?? end
  }
  let shape = parts.join('')
  for (const [list, open] of valueLists) shape = shape.replace(list, open)
  return Buffer.byteLength(shape) <= maxShapeBytes && isShapeOf(shape, statement, parser) ? shape : undefined
}

/** The pattern is read again, as a rule would be: it has to match what it was made of. */
function isShapeOf(shape: string, statement: Node, parser: Parser): boolean {
  try {
    const parsed = parser.parse(Buffer.from(parseableText(shape)))
    // The parser is being made anew: the next statement of this shape will be collected.
    if (parsed instanceof Promise || parsed.kind !== 'parsed') return false
    const [pattern] = parsed.statements
    if (pattern?.stmt === undefined || parsed.statements.length !== 1) return false
    checkPattern(pattern.stmt)
    return matches(pattern.stmt, statement, 'plain')
  } catch (error) {
    if (error instanceof PatternError) return false
    throw error
  }
}
