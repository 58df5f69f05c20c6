import type { Node, RawStmt } from 'libpg-query'
import { everyStruct, isStruct, namesOf, type Struct, stringOf, unwrap } from '../sql/tree.ts'
import { positions } from '../sql/verify.ts'

// A pattern is a statement in which some places are left open. Its text is made one that PostgreSQL's grammar takes, by writing the open
// places as quoted names; then trees are compared. Positions do not count, nor does anything else that the parser does not keep: white
// space, comments, the case of keywords and of names without quotes, the way a string is written.

export const placeholders = ['VALUE', 'LIST_OF_VALUES', 'COLUMN', 'WHERE', 'SUBQUERY'] as const
type Placeholder = (typeof placeholders)[number]

/** What a quoted name stands for. */
const named = new Map<string, Placeholder>(placeholders.map(name => [`%%${name}%%`, name]))

const replacements: Readonly<Record<Placeholder, string>> = {
  VALUE: '"%%VALUE%%"',
  LIST_OF_VALUES: '"%%LIST_OF_VALUES%%"',
  COLUMN: '"%%COLUMN%%"',
  WHERE: 'WHERE "%%WHERE%%"',
  SUBQUERY: 'SELECT "%%SUBQUERY%%"',
}

/** A pattern's text cannot be used; the message says why. */
export class PatternError extends Error {}

/** Strings, quoted names and comments, which are left alone; then what is looked for. */
const pieces = /'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n\r]*|\/\*[\s\S]*?\*\/|%%([A-Za-z_]+)%%/g

/** @returns a text for the parser @throws {PatternError} */
export function parseableText(pattern: string): string {
  return pattern.replace(pieces, (piece: string, name: string | undefined) => {
    if (name === undefined) return piece
    const known = placeholders.find(one => one === name.toUpperCase())
    if (known !== undefined) return replacements[known]
    const list = placeholders.map(one => `%%${one}%%`).join(', ')
    throw new PatternError(
      `${piece} is no placeholder; there are ${list}. For a class of statements write statements: [SELECT]`,
    )
  })
}

function placeholderOf(node: unknown): Placeholder | undefined {
  const ref = isStruct(node) ? node['ColumnRef'] : undefined
  if (!isStruct(ref) || !Array.isArray(ref['fields']) || ref['fields'].length !== 1) return undefined
  return named.get(stringOf(ref['fields'][0] as Node) ?? '')
}

function isSubqueryPlaceholder(pattern: Struct): boolean {
  const select = pattern['SelectStmt']
  if (!isStruct(select) || !Array.isArray(select['targetList']) || select['targetList'].length !== 1) return false
  const target = unwrap(select['targetList'][0])
  return target !== undefined && placeholderOf(target[1]['val']) === 'SUBQUERY'
}

/** A constant, a parameter, an array of those, with any sign or cast. */
export function isValue(node: unknown): boolean {
  const [kind, inner] = unwrap(node) ?? []
  switch (kind) {
    case 'A_Const':
    case 'ParamRef':
      return true
    case 'TypeCast':
      return isValue(inner?.['arg'])
    case 'A_ArrayExpr': {
      const elements = inner?.['elements']
      return Array.isArray(elements) ? elements.every(isValue) : true
    }
    case 'A_Expr': {
      const sign = namesOf(inner?.['name'] as readonly Node[] | undefined)?.join('.')
      return inner?.['lexpr'] === undefined && (sign === '-' || sign === '+') && isValue(inner?.['rexpr'])
    }
    default:
      return false
  }
}

function isColumn(node: unknown): boolean {
  const [kind, inner] = unwrap(node) ?? []
  return kind === 'ColumnRef' && namesOf(inner?.['fields'] as readonly Node[] | undefined) !== undefined
}

/** A condition over the columns at hand: without sub-selects, which read other tables, and functions, which may do anything. */
function isPlainCondition(node: unknown): boolean {
  let plain = true
  everyStruct(node, struct => {
    if (isStruct(struct['SubLink']) || isStruct(struct['FuncCall'])) plain = false
    return plain
  })
  return plain
}

/** How much an open condition may hold: `plain` where a rule permits, `any` where one refuses. */
export type Breadth = 'plain' | 'any'

function matchesPlaceholder(placeholder: Placeholder, node: unknown, breadth: Breadth): boolean {
  switch (placeholder) {
    case 'VALUE':
    case 'LIST_OF_VALUES':
      return isValue(node)
    case 'COLUMN':
      return isColumn(node)
    case 'WHERE':
      return isStruct(node) && (breadth === 'any' || isPlainCondition(node))
    case 'SUBQUERY':
      return false
  }
}

function itemsOf(row: unknown): readonly unknown[] {
  const list = unwrap(row)
  return list?.[0] === 'List' && Array.isArray(list[1]['items']) ? list[1]['items'] : []
}

const isOpenList = (list: readonly unknown[]): boolean =>
  list.length === 1 && placeholderOf(list[0]) === 'LIST_OF_VALUES'

/** Is `node` what `pattern` says? Both are trees of the parser. */
export function matches(pattern: unknown, node: unknown, breadth: Breadth): boolean {
  if (Array.isArray(pattern)) {
    if (!Array.isArray(node)) return false
    if (isOpenList(pattern)) return node.length > 0 && node.every(isValue)
    const [row] = pattern
    // One open row stands for any number of rows.
    if (pattern.length === 1 && isOpenList(itemsOf(row)))
      return node.length > 0 && node.every(one => matches(row, one, breadth))
    return pattern.length === node.length && pattern.every((item, index) => matches(item, node[index], breadth))
  }
  if (!isStruct(pattern)) return pattern === node
  if (!isStruct(node)) return false
  const placeholder = placeholderOf(pattern)
  if (placeholder !== undefined) return matchesPlaceholder(placeholder, node, breadth)
  if (isSubqueryPlaceholder(pattern))
    return isStruct(node['SelectStmt']) && node['SelectStmt']['intoClause'] === undefined
  let left = 0
  for (const key in pattern) {
    if (positions.has(key)) continue
    if (!(key in node) || !matches(pattern[key], node[key], breadth)) return false
    left++
  }
  for (const key in node) if (!positions.has(key)) left--
  return left === 0
}

/** Whether the trees of two texts say the same. */
export function sameStatements(one: readonly RawStmt[], other: readonly RawStmt[]): boolean {
  return matches(one, other, 'any')
}

/** Checks what `matches` relies on. @throws {PatternError} */
export function checkPattern(statement: Node): void {
  everyStruct(statement, struct => {
    for (const value of Object.values(struct)) {
      if (!Array.isArray(value) || value.length < 2) continue
      if (!value.some(item => placeholderOf(item) === 'LIST_OF_VALUES')) continue
      throw new PatternError('%%LIST_OF_VALUES%% stands for a whole list: nothing may stand beside it')
    }
    return undefined
  })
}
