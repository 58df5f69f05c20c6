import { keepExact, withExactIntegers } from '../authn/exact-claims.ts'
import type { Identity } from '../authn/identity.ts'
import { isObject } from './border.ts'

const maxValues = 1_000
const maxDepth = 16

/**
 * A copy of what a plug-in says are claims: JSON, in which an integer may be a bigint, bounded, frozen at every level, objects without a prototype.
 *
 * @returns `undefined` for anything else
 */
export function copyClaims(value: unknown): Readonly<Record<string, unknown>> | undefined {
  if (!isPlain(value)) return undefined
  try {
    let count = 0
    const copy = (from: unknown, depth: number, holder: object, place: string | number): unknown => {
      count += 1
      if (count > maxValues || depth > maxDepth) throw new NotJson()
      if (from === null || typeof from === 'string' || typeof from === 'boolean') return from
      if (typeof from === 'number' && Number.isFinite(from)) return from
      if (typeof from === 'bigint') return integer(from, holder, place)
      if (Array.isArray(from)) {
        if (from.length > maxValues) throw new NotJson()
        const items: unknown[] = []
        for (const [at, item] of from.entries()) items.push(copy(item, depth + 1, items, at))
        return Object.freeze(items)
      }
      if (!isPlain(from)) throw new NotJson()
      return copyObject(from, (inner, made, name) => copy(inner, depth + 1, made, name))
    }
    return copyObject(value, (inner, made, name) => copy(inner, 1, made, name))
  } catch (error) {
    if (error instanceof NotJson) return undefined
    throw error
  }
}

/** As the reader of JSON keeps them: a number, and beside it which one exactly, where a double does not hold it. */
function integer(from: bigint, holder: object, place: string | number): number {
  const number = Number(from)
  if (!Number.isFinite(number)) throw new NotJson()
  if (!Number.isSafeInteger(number)) keepExact(holder, place, String(from))
  return number
}

class NotJson extends Error {}

function copyObject(
  from: Readonly<Record<string, unknown>>,
  copy: (value: unknown, made: object, name: string) => unknown,
) {
  const made: Record<string, unknown> = Object.create(null)
  for (const [name, value] of Object.entries(from)) if (value !== undefined) made[name] = copy(value, made, name)
  return Object.freeze(made)
}

function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  if (!isObject(value)) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** As a plug-in gets them: integers beyond 2^53 are bigints. */
export function exactIdentity(identity: Identity): Identity {
  const claims = withExactIntegers(identity.claims) as Identity['claims']
  return claims === identity.claims ? identity : Object.freeze({ ...identity, claims })
}
