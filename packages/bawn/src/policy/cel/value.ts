import { noOverload, raise, tooManySteps } from './fault.ts'

// Values of CEL: null, boolean, bigint (int), number (double), string, Uint8Array, array, object without a class (JSON) or CelMap (a map
// that the expression writes), Timestamp, Duration.

/** Nanoseconds since 1970. */
export class Timestamp {
  readonly ns: bigint
  constructor(ns: bigint) {
    this.ns = ns
  }
}

/** Nanoseconds. */
export class Duration {
  readonly ns: bigint
  constructor(ns: bigint) {
    this.ns = ns
  }
}

/** A map that an expression writes; keys are normalised: 1 and 1.0 are the same one. */
export class CelMap {
  readonly entries: ReadonlyMap<unknown, unknown>
  constructor(entries: ReadonlyMap<unknown, unknown>) {
    this.entries = entries
  }
}

/** What one evaluation may still do: an element looked at, or some bytes of a text, is a step. */
export interface Budget {
  steps: number
}

/** @throws {CelFault} when there is nothing left */
export function spend(budget: Budget, steps: number): void {
  budget.steps -= steps
  if (budget.steps < 0) raise(tooManySteps)
}

/** Looking at a text costs less than looking at an element. */
export const stepsOf = (text: string): number => 1 + (text.length >> 6)

export type JsonObject = Readonly<Record<string, unknown>>

export function isObject(value: unknown): value is JsonObject {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Timestamp || value instanceof Duration || value instanceof CelMap || value instanceof Uint8Array)
  )
}

export const isList = (value: unknown): value is readonly unknown[] => Array.isArray(value)

export const isNumber = (value: unknown): value is bigint | number =>
  typeof value === 'bigint' || typeof value === 'number'

/** A key as maps hold it. */
export function keyOf(value: unknown): unknown {
  if (typeof value === 'string' || typeof value === 'boolean' || typeof value === 'bigint') return value
  if (typeof value === 'number' && Number.isInteger(value)) return BigInt(value)
  return undefined
}

/** @returns undefined when there is none; a value of JSON is never undefined */
export function lookUp(map: unknown, key: unknown): unknown {
  if (map instanceof CelMap) return map.entries.get(keyOf(key))
  if (isObject(map)) return typeof key === 'string' && Object.hasOwn(map, key) ? map[key] : undefined
  return raise(noOverload)
}

/** Keys of a map, elements of a list. */
export function elementsOf(value: unknown): readonly unknown[] {
  if (isList(value)) return value
  if (value instanceof CelMap) return [...value.entries.keys()]
  if (isObject(value)) return Object.keys(value)
  return raise(noOverload)
}

export function equal(left: unknown, right: unknown, budget: Budget): boolean {
  if (left === right) return true
  if (isNumber(left) && isNumber(right)) {
    // Exact also between the two: 2^53 + 1 is no double.
    // biome-ignore lint/suspicious/noDoubleEquals: between a bigint and a number nothing else compares values
    return left == right
  }
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null) return false
  if (left instanceof Timestamp) return right instanceof Timestamp && left.ns === right.ns
  if (left instanceof Duration) return right instanceof Duration && left.ns === right.ns
  if (left instanceof Uint8Array) return right instanceof Uint8Array && Buffer.compare(left, right) === 0
  if (isList(left)) {
    if (!isList(right) || left.length !== right.length) return false
    spend(budget, left.length)
    return left.every((item, at) => equal(item, right[at], budget))
  }
  if (isList(right) || right instanceof Timestamp || right instanceof Duration || right instanceof Uint8Array)
    return false
  const keys = elementsOf(left)
  if (keys.length !== elementsOf(right).length) return false
  spend(budget, keys.length)
  return keys.every(key => {
    const other = lookUp(right, key)
    return other !== undefined && equal(lookUp(left, key), other, budget)
  })
}

export function contains(container: unknown, value: unknown, budget: Budget): boolean {
  if (isList(container)) {
    spend(budget, container.length >> 3)
    if (typeof value === 'string') return container.includes(value)
    return container.some(item => equal(item, value, budget))
  }
  if (keyOf(value) === undefined && (typeof container !== 'object' || typeof value !== 'number')) raise(noOverload)
  return lookUp(container, value) !== undefined
}

/** @returns below, at or above 0; NaN where one is not a number */
export function compare(left: unknown, right: unknown): number {
  if (isNumber(left) && isNumber(right)) {
    // biome-ignore lint/suspicious/noDoubleEquals: between a bigint and a number nothing else compares values
    return left < right ? -1 : left > right ? 1 : left == right ? 0 : Number.NaN
  }
  if (typeof left === 'string' && typeof right === 'string') return compareTexts(left, right)
  if (typeof left === 'boolean' && typeof right === 'boolean') return Number(left) - Number(right)
  if (left instanceof Timestamp && right instanceof Timestamp) return compare(left.ns, right.ns)
  if (left instanceof Duration && right instanceof Duration) return compare(left.ns, right.ns)
  if (left instanceof Uint8Array && right instanceof Uint8Array) return Buffer.compare(left, right)
  return raise(noOverload)
}

const surrogate = /[\ud800-\udfff]/

/** By code points, as CEL has it: units of UTF-16 have another order above U+FFFF. */
function compareTexts(left: string, right: string): number {
  if (surrogate.test(left) || surrogate.test(right)) return Buffer.compare(Buffer.from(left), Buffer.from(right))
  return left < right ? -1 : left > right ? 1 : 0
}

/** In code points. */
export function lengthOf(text: string): bigint {
  if (!surrogate.test(text)) return BigInt(text.length)
  let length = 0n
  for (const _ of text) length++
  return length
}
