import type { RawStmt } from 'libpg-query'
import { type Context, type Expected, placeholder } from './context.ts'
import type { Edit } from './plan.ts'
import { isStruct, type Struct } from './tree.ts'

/** Where things stand in the text, which edits move. */
export const positions: ReadonlySet<string> = new Set([
  'location',
  'stmt_location',
  'stmt_len',
  'name_location',
  'list_start',
  'list_end',
  'rexpr_list_start',
  'rexpr_list_end',
])

/** The text with its edits made, values replaced by a placeholder; `undefined` when edits overlap. */
export function editedText(text: Uint8Array, edits: readonly Edit[]): Uint8Array | undefined {
  const parts: Uint8Array[] = []
  let at = 0
  for (const edit of edits) {
    if (edit.start < at || edit.end < edit.start || edit.end > text.length) return undefined
    parts.push(text.subarray(at, edit.start), Buffer.from(edit.kind === 'text' ? edit.text : placeholder))
    at = edit.end
  }
  parts.push(text.subarray(at))
  return Buffer.concat(parts)
}

type Lists = Context['columnLists']
const nowhere: Expected = new Map()
const noLists: Lists = new Map()

/** Kinds of node that edits replace. */
const replaced = new Set(['A_Const', 'TypeCast', 'ColumnRef'])

/** Are the trees equal but for positions, with the expected nodes at the places of the edits? */
function same(before: unknown, after: unknown, expected: Expected, lists: Lists): boolean {
  if (typeof before !== 'object' || typeof after !== 'object') return before === after
  if (Array.isArray(before)) {
    if (!Array.isArray(after) || before.length !== after.length) return false
    for (let index = 0; index < before.length; index++) {
      if (!same(before[index], after[index], expected, lists)) return false
    }
    return true
  }
  if (!isStruct(before) || !isStruct(after)) return false
  const list = listOf(before, lists)
  if (list !== undefined && !same(list.nodes, after[list.key], nowhere, noLists)) return false
  let keys = list === undefined ? 0 : 1
  for (const key in before) {
    if (positions.has(key)) continue
    keys++
    const inner = before[key]
    if (replaced.has(key) && isStruct(inner)) {
      const wanted = expected.get(`${key}@${numberOf(inner['location'])}`)
      if (wanted !== undefined) return same(wanted, after, nowhere, noLists)
    }
    if (!(key in after) || !same(inner, after[key], expected, lists)) return false
  }
  for (const key in after) if (!positions.has(key)) keys--
  return keys === 0
}

/** The columns that are written into this INSERT or COPY. */
function listOf(
  struct: Struct,
  lists: Lists,
): { readonly key: 'cols' | 'attlist'; readonly nodes: readonly Struct[] } | undefined {
  const { relation } = struct
  if (lists.size === 0 || !isStruct(relation)) return undefined
  const names = lists.get(numberOf(relation['location']))
  if (names === undefined) return undefined
  if ('selectStmt' in struct && !('cols' in struct)) {
    return { key: 'cols', nodes: names.map(name => ({ ResTarget: { name } })) }
  }
  // The planner makes lists for these two kinds of statement only.
  if ('selectStmt' in struct || 'attlist' in struct) return undefined
  return { key: 'attlist', nodes: names.map(name => ({ String: { sval: name } })) }
}

function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : 0
}

/** Does the edited statement mean what the edits say, and nothing else? */
export function meansTheSame(before: readonly RawStmt[], after: readonly RawStmt[], context: Context): boolean {
  return same(before, after, context.expected, context.columnLists)
}
