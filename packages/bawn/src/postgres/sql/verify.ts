import type { RawStmt } from 'libpg-query'
import { type Context, type Expected, placeholder } from './context.ts'
import type { Edit } from './plan.ts'
import { isStruct } from './tree.ts'

/** Where things stand in the text, which edits move. */
const positions = new Set([
  'location',
  'stmt_location',
  'stmt_len',
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

/** Are the trees equal but for positions, with the expected nodes at the places of the edits? */
function same(before: unknown, after: unknown, expected: Expected, lists: Lists): boolean {
  if (Array.isArray(before)) {
    return (
      Array.isArray(after) &&
      before.length === after.length &&
      before.every((item, index) => same(item, after[index], expected, lists))
    )
  }
  if (!isStruct(before)) return before === after
  if (!isStruct(after)) return false
  const keys = Object.keys(before).filter(key => !positions.has(key))
  const [kind] = keys
  const inner = kind === undefined ? undefined : before[kind]
  if (kind !== undefined && keys.length === 1 && isStruct(inner)) {
    const wanted = expected.get(`${kind}@${typeof inner['location'] === 'number' ? inner['location'] : 0}`)
    if (wanted !== undefined && /^[A-Z]/.test(kind)) return same(wanted, after, nowhere, noLists)
  }
  const relation = before['relation']
  const list =
    isStruct(relation) && 'selectStmt' in before && !('cols' in before)
      ? lists.get(numberOf(relation['location']))
      : undefined
  const rest = Object.keys(after).filter(key => !positions.has(key) && !(list !== undefined && key === 'cols'))
  if (rest.length !== keys.length) return false
  if (
    list !== undefined &&
    !same(
      list.map(name => ({ ResTarget: { name } })),
      after['cols'],
      nowhere,
      noLists,
    )
  )
    return false
  return keys.every(key => key in after && same(before[key], after[key], expected, lists))
}

function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : 0
}

/** Does the edited statement mean what the edits say, and nothing else? */
export function meansTheSame(before: readonly RawStmt[], after: readonly RawStmt[], context: Context): boolean {
  return same(before, after, context.expected, context.columnLists)
}
