import { isObject } from './border.ts'

const maxValues = 1_000
const maxDepth = 16

/**
 * A copy of what a plug-in says are claims: JSON, bounded, frozen at every level, objects without a prototype.
 *
 * @returns `undefined` for anything else
 */
export function copyClaims(value: unknown): Readonly<Record<string, unknown>> | undefined {
  if (!isPlain(value)) return undefined
  try {
    let count = 0
    const copy = (from: unknown, depth: number): unknown => {
      count += 1
      if (count > maxValues || depth > maxDepth) throw new NotJson()
      if (from === null || typeof from === 'string' || typeof from === 'boolean') return from
      if (typeof from === 'number' && Number.isFinite(from)) return from
      if (Array.isArray(from) && from.length > maxValues) throw new NotJson()
      if (Array.isArray(from)) return Object.freeze(from.map(item => copy(item, depth + 1)))
      if (!isPlain(from)) throw new NotJson()
      return copyObject(from, inner => copy(inner, depth + 1))
    }
    return copyObject(value, inner => copy(inner, 1))
  } catch (error) {
    if (error instanceof NotJson) return undefined
    throw error
  }
}

class NotJson extends Error {}

function copyObject(from: Readonly<Record<string, unknown>>, copy: (value: unknown) => unknown) {
  const made: Record<string, unknown> = Object.create(null)
  for (const [name, value] of Object.entries(from)) if (value !== undefined) made[name] = copy(value)
  return Object.freeze(made)
}

function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  if (!isObject(value)) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
