/** Integers that a double does not hold, by the object or list of `parseJson` in which they stand. */
const exact = new WeakMap<object, Map<string | number, bigint>>()
const views = new WeakMap<object, unknown>()
/** Nobody knows any more which number it was. */
const lost: unique symbol = Symbol('lost')

/** For whoever parses. @param text of an integer, as it was written */
export function keepExact(holder: object, place: string | number, text: string): void {
  let kept = exact.get(holder)
  if (kept === undefined) {
    kept = new Map()
    exact.set(holder, kept)
  }
  kept.set(place, BigInt(text))
}

/** For whoever copies a member. @param from and `to`: the objects or lists that have the value at `place` */
export function copyExact(from: object, to: object, place: string | number): void {
  const known = exact.get(from)?.get(place)
  if (known !== undefined) keepExact(to, place, String(known))
}

/**
 * A document of JSON as policies compare it: integers beyond 2^53 are bigints, exactly as they were written, for as doubles they equal their neighbours. Where it is
 * not known any more how one was written, the member that has it is not there: a policy that asks for it has no answer, and denies.
 *
 * @returns the same, where it has none of these
 */
export function withExactIntegers(document: unknown): unknown {
  if (typeof document !== 'object' || document === null) return document
  if (views.has(document)) return views.get(document)
  const view = exactly(document, undefined, '')
  const known = view === lost ? undefined : view
  views.set(document, known)
  return known
}

function exactly(value: unknown, holder: object | undefined, place: string | number): unknown {
  if (typeof value === 'number') {
    if (!Number.isInteger(value) || Number.isSafeInteger(value)) return value
    return (holder && exact.get(holder)?.get(place)) ?? lost
  }
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) {
    const items = value.map((item, at) => exactly(item, value, at))
    if (items.includes(lost)) return lost
    return items.every((item, at) => item === value[at]) ? value : Object.freeze(items)
  }
  let changed = false
  const made: Record<string, unknown> = Object.create(null)
  for (const [name, inner] of Object.entries(value)) {
    const found = exactly(inner, value, name)
    changed ||= found !== inner
    if (found !== lost) made[name] = found
  }
  return changed ? Object.freeze(made) : value
}
