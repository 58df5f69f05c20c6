import type { ColumnRef, Node } from 'libpg-query'

/** A node's struct, where the code does not care which. The parser leaves out what is zero, false, empty or absent. */
export type Struct = Readonly<Record<string, unknown>>

export function isStruct(value: unknown): value is Struct {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** `{ SelectStmt: {…} }` → `['SelectStmt', {…}]`; node wrappers have one key, and it begins with a capital letter. */
export function unwrap(value: unknown): readonly [string, Struct] | undefined {
  if (!isStruct(value)) return undefined
  const keys = Object.keys(value)
  const [key] = keys
  if (keys.length !== 1 || key === undefined || !/^[A-Z]/.test(key)) return undefined
  const inner = value[key]
  return isStruct(inner) ? [key, inner] : undefined
}

export function stringOf(node: Node | undefined): string | undefined {
  return node !== undefined && 'String' in node ? (node.String.sval ?? '') : undefined
}

/** `[String, String]` → names; `undefined` when something else is among them. */
export function namesOf(nodes: readonly Node[] | undefined): readonly string[] | undefined {
  const names: string[] = []
  for (const node of nodes ?? []) {
    const name = stringOf(node)
    if (name === undefined) return undefined
    names.push(name)
  }
  return names
}

/** Zero is left out by the parser; absent is -1. */
export function offsetOf(struct: { readonly location?: number }): number | undefined {
  const location = struct.location ?? 0
  return location < 0 ? undefined : location
}

/** `a.b.c` → its names; `star` when it ends in `.*`. Subscripts and the like give `undefined`. */
export function reference(ref: ColumnRef): { readonly names: readonly string[]; readonly star: boolean } | undefined {
  const fields = ref.fields ?? []
  const last = fields.at(-1)
  const star = last !== undefined && 'A_Star' in last
  const names = namesOf(star ? fields.slice(0, -1) : fields)
  return names === undefined || (names.length === 0 && !star) ? undefined : { names, star }
}

/** Calls `visit` for every object in a tree, wrappers and structs alike; `false` keeps it from going deeper there. */
export function everyStruct(value: unknown, visit: (struct: Struct) => boolean | undefined): void {
  if (Array.isArray(value)) {
    for (const item of value) everyStruct(item, visit)
  } else if (isStruct(value)) {
    if (visit(value) === false) return
    for (const key in value) {
      const inner = value[key]
      if (typeof inner === 'object') everyStruct(inner, visit)
    }
  }
}
