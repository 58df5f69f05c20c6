/** The type of an expression, as far as it is known before it runs; `dyn` is what only a value tells. */
export type Type =
  | 'bool'
  | 'int'
  | 'double'
  | 'string'
  | 'bytes'
  | 'null'
  | 'timestamp'
  | 'duration'
  | 'dyn'
  | { readonly kind: 'list'; readonly of: Type }
  | { readonly kind: 'map'; readonly key: Type; readonly value: Type }

export const listOf = (of: Type): Type => ({ kind: 'list', of })
export const mapOf = (key: Type, value: Type): Type => ({ kind: 'map', key, value })

export function formatType(type: Type): string {
  if (typeof type === 'string') return type
  return type.kind === 'list'
    ? `list(${formatType(type.of)})`
    : `map(${formatType(type.key)}, ${formatType(type.value)})`
}

/** Whether a value of the one may be one of the other. */
export function agrees(left: Type, right: Type): boolean {
  if (left === 'dyn' || right === 'dyn') return true
  if (typeof left === 'string' || typeof right === 'string') return left === right
  if (left.kind === 'list') return right.kind === 'list' && agrees(left.of, right.of)
  return right.kind === 'map' && agrees(left.key, right.key) && agrees(left.value, right.value)
}

export const isNumeric = (type: Type): boolean => type === 'int' || type === 'double'

/** What both may be; `dyn` where they are not the same, as in `[1, 'a']`. */
export function join(left: Type, right: Type): Type {
  if (!agrees(left, right)) return 'dyn'
  if (left === 'dyn' || right === 'dyn') return 'dyn'
  if (typeof left === 'string' || typeof right === 'string') return left
  if (left.kind === 'list' && right.kind === 'list') return listOf(join(left.of, right.of))
  if (left.kind === 'map' && right.kind === 'map')
    return mapOf(join(left.key, right.key), join(left.value, right.value))
  return 'dyn'
}
