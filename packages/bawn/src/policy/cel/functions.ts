import { RE2JS } from '@bufbuild/re2'
import { CelFault, noOverload, raise } from './fault.ts'
import {
  duration,
  durationPart,
  formatDuration,
  formatTimestamp,
  parseDuration,
  parseTimestamp,
  partOf,
  timeParts,
  timestamp,
} from './time.ts'
import { listOf, mapOf, type Type } from './type.ts'
import { type Budget, Duration, elementsOf, isList, lengthOf, spend, stepsOf, Timestamp } from './value.ts'

/** One overload of a function. Arguments were evaluated; what does not fit the types, `run` refuses with a fault. */
export interface CelFunction {
  readonly name: string
  /** `a.f(b)`: the first argument stands before the dot. */
  readonly isMethod: boolean
  readonly args: readonly Type[]
  readonly result: Type
  run(args: readonly unknown[], budget: Budget): unknown
}

const badNumber = new CelFault('this is no number')
export const overflow: CelFault = new CelFault('a number out of range')
const badText = new CelFault('this is no UTF-8')
const badBool = new CelFault('this is neither true nor false')

const text = (value: unknown): string => (typeof value === 'string' ? value : raise(noOverload))
const bytes = (value: unknown): Uint8Array => (value instanceof Uint8Array ? value : raise(noOverload))
const int = (value: unknown): bigint => (typeof value === 'bigint' ? value : raise(noOverload))
const double = (value: unknown): number => (typeof value === 'number' ? value : raise(noOverload))
const time = (value: unknown): Timestamp => (value instanceof Timestamp ? value : raise(noOverload))
const span = (value: unknown): Duration => (value instanceof Duration ? value : raise(noOverload))

/** The 64 bits of an int. */
export const int64 = (value: bigint): bigint => (BigInt.asIntN(64, value) === value ? value : raise(overflow))

/** Whether an overload is for this value. */
export function fits(value: unknown, type: Type): boolean {
  switch (type) {
    case 'dyn':
      return true
    case 'bool':
      return typeof value === 'boolean'
    case 'int':
      return typeof value === 'bigint'
    case 'double':
      return typeof value === 'number'
    case 'string':
      return typeof value === 'string'
    case 'null':
      return value === null
    case 'bytes':
      return value instanceof Uint8Array
    case 'timestamp':
      return value instanceof Timestamp
    case 'duration':
      return value instanceof Duration
  }
  if (type.kind === 'list') return isList(value)
  const isScalar = typeof value !== 'object' || value === null
  return !isScalar && !isList(value) && !(['bytes', 'timestamp', 'duration'] as const).some(one => fits(value, one))
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function decode(value: Uint8Array): string {
  try {
    return decoder.decode(value)
  } catch {
    return raise(badText)
  }
}

function intOf(value: string): bigint {
  return /^[+-]?[0-9]{1,19}$/.test(value) ? int64(BigInt(value.replace(/^\+/, ''))) : raise(badNumber)
}

function doubleOf(value: string): number {
  const named = { NaN: Number.NaN, Infinity, '-Infinity': -Infinity }[value]
  if (named !== undefined) return named
  return /^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$/.test(value) ? Number(value) : raise(badNumber)
}

function truncated(value: number): bigint {
  const whole = Math.trunc(value)
  // -2^63 itself is refused too: by then a double no longer tells its neighbours apart.
  return Number.isFinite(whole) && Math.abs(whole) < 2 ** 63 ? BigInt(whole) : raise(overflow)
}

function boolOf(value: string): boolean {
  if (['1', 't', 'T', 'true', 'TRUE', 'True'].includes(value)) return true
  return ['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(value) ? false : raise(badBool)
}

function split(value: string, separator: string, budget: Budget): readonly string[] {
  spend(budget, value.length)
  return separator === '' ? Array.from(value) : value.split(separator)
}

const blank = /^\p{White_Space}$/u

/** Character by character: a pattern would go back over every run of blanks. */
function trim(value: string): string {
  let [start, end] = [0, value.length]
  while (start < end && blank.test(value.charAt(start))) start++
  while (end > start && blank.test(value.charAt(end - 1))) end--
  return value.slice(start, end)
}

const plain = (name: string, args: readonly Type[], result: Type, run: CelFunction['run']): CelFunction => ({
  ...{ name, isMethod: false, args, result, run },
})
const method = (name: string, args: readonly Type[], result: Type, run: CelFunction['run']): CelFunction => ({
  ...{ name, isMethod: true, args, result, run },
})
/** As a function and as a method. */
const both = (name: string, args: readonly Type[], result: Type, run: CelFunction['run']): readonly CelFunction[] => [
  plain(name, args, result, run),
  method(name, args, result, run),
]

const onTexts = (name: string, run: (value: string, other: string) => boolean): CelFunction =>
  method(name, ['string', 'string'], 'bool', ([value, other], budget) => {
    const subject = text(value)
    spend(budget, stepsOf(subject))
    return run(subject, text(other))
  })

export const functions: readonly CelFunction[] = [
  ...both('size', ['string'], 'int', ([value], budget) => {
    spend(budget, stepsOf(text(value)))
    return lengthOf(text(value))
  }),
  ...both('size', ['bytes'], 'int', ([value]) => BigInt(bytes(value).length)),
  ...both('size', [listOf('dyn')], 'int', ([value]) => BigInt(isList(value) ? value.length : raise(noOverload))),
  ...both('size', [mapOf('dyn', 'dyn')], 'int', ([value]) => BigInt(elementsOf(value).length)),
  onTexts('startsWith', (value, other) => value.startsWith(other)),
  onTexts('endsWith', (value, other) => value.endsWith(other)),
  onTexts('contains', (value, other) => value.includes(other)),
  method('lowerAscii', ['string'], 'string', ([value], budget) => {
    spend(budget, stepsOf(text(value)))
    return text(value).replace(/[A-Z]+/g, upper => upper.toLowerCase())
  }),
  method('upperAscii', ['string'], 'string', ([value], budget) => {
    spend(budget, stepsOf(text(value)))
    return text(value).replace(/[a-z]+/g, lower => lower.toUpperCase())
  }),
  method('trim', ['string'], 'string', ([value], budget) => {
    spend(budget, text(value).length)
    return trim(text(value))
  }),
  method('split', ['string', 'string'], listOf('string'), ([value, separator], budget) =>
    split(text(value), text(separator), budget),
  ),
  plain('dyn', ['dyn'], 'dyn', ([value]) => value),
  plain('bool', ['bool'], 'bool', ([value]) => (typeof value === 'boolean' ? value : raise(noOverload))),
  plain('bool', ['string'], 'bool', ([value]) => boolOf(text(value))),
  plain('int', ['int'], 'int', ([value]) => int(value)),
  plain('int', ['double'], 'int', ([value]) => truncated(double(value))),
  plain('int', ['string'], 'int', ([value]) => intOf(text(value))),
  plain('int', ['timestamp'], 'int', ([value]) => {
    const { ns } = time(value)
    return (ns - (((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n)) / 1_000_000_000n
  }),
  plain('double', ['double'], 'double', ([value]) => double(value)),
  plain('double', ['int'], 'double', ([value]) => Number(int(value))),
  plain('double', ['string'], 'double', ([value]) => doubleOf(text(value))),
  plain('string', ['string'], 'string', ([value]) => text(value)),
  plain('string', ['bool'], 'string', ([value]) => (typeof value === 'boolean' ? String(value) : raise(noOverload))),
  plain('string', ['int'], 'string', ([value]) => String(int(value))),
  plain('string', ['double'], 'string', ([value]) => String(double(value))),
  plain('string', ['bytes'], 'string', ([value]) => decode(bytes(value))),
  plain('string', ['timestamp'], 'string', ([value]) => formatTimestamp(time(value))),
  plain('string', ['duration'], 'string', ([value]) => formatDuration(span(value))),
  plain('bytes', ['bytes'], 'bytes', ([value]) => bytes(value)),
  plain('bytes', ['string'], 'bytes', ([value]) => Buffer.from(text(value))),
  plain('timestamp', ['timestamp'], 'timestamp', ([value]) => time(value)),
  plain('timestamp', ['string'], 'timestamp', ([value]) => parseTimestamp(text(value))),
  plain('timestamp', ['int'], 'timestamp', ([value]) => timestamp(int(value) * 1_000_000_000n)),
  plain('duration', ['duration'], 'duration', ([value]) => span(value)),
  plain('duration', ['string'], 'duration', ([value]) => parseDuration(text(value))),
  ...timeParts.flatMap(part => [
    method(part, ['timestamp'], 'int', ([value]) => partOf(part, time(value))),
    method(part, ['timestamp', 'string'], 'int', ([value, zone]) => partOf(part, time(value), text(zone))),
  ]),
  ...(['getHours', 'getMinutes', 'getSeconds', 'getMilliseconds'] as const).map(part =>
    method(part, ['duration'], 'int', ([value]) => durationPart(part, span(value))),
  ),
]

/** Operators that are functions of two values of these types. */
export const sums: readonly CelFunction[] = [
  plain('+', ['int', 'int'], 'int', ([left, right]) => int64(int(left) + int(right))),
  plain('+', ['double', 'double'], 'double', ([left, right]) => double(left) + double(right)),
  plain('+', ['string', 'string'], 'string', ([left, right], budget) => {
    const sum = text(left) + text(right)
    spend(budget, stepsOf(sum))
    return sum
  }),
  plain('+', ['bytes', 'bytes'], 'bytes', ([left, right], budget) => {
    spend(budget, bytes(left).length + bytes(right).length)
    return Buffer.concat([bytes(left), bytes(right)])
  }),
  plain('+', [listOf('dyn'), listOf('dyn')], listOf('dyn'), ([left, right], budget) => {
    if (!isList(left) || !isList(right)) return raise(noOverload)
    spend(budget, left.length + right.length)
    return [...left, ...right]
  }),
  plain('+', ['timestamp', 'duration'], 'timestamp', ([at, by]) => timestamp(time(at).ns + span(by).ns)),
  plain('+', ['duration', 'timestamp'], 'timestamp', ([by, at]) => timestamp(time(at).ns + span(by).ns)),
  plain('+', ['duration', 'duration'], 'duration', ([left, right]) => duration(span(left).ns + span(right).ns)),
  plain('-', ['int', 'int'], 'int', ([left, right]) => int64(int(left) - int(right))),
  plain('-', ['double', 'double'], 'double', ([left, right]) => double(left) - double(right)),
  plain('-', ['timestamp', 'timestamp'], 'duration', ([left, right]) =>
    duration(int64(time(left).ns - time(right).ns)),
  ),
  plain('-', ['timestamp', 'duration'], 'timestamp', ([at, by]) => timestamp(time(at).ns - span(by).ns)),
  plain('-', ['duration', 'duration'], 'duration', ([left, right]) => duration(span(left).ns - span(right).ns)),
  plain('*', ['int', 'int'], 'int', ([left, right]) => int64(int(left) * int(right))),
  plain('*', ['double', 'double'], 'double', ([left, right]) => double(left) * double(right)),
  plain('/', ['int', 'int'], 'int', ([left, right]) =>
    int(right) === 0n ? raise(overflow) : int64(int(left) / int(right)),
  ),
  plain('/', ['double', 'double'], 'double', ([left, right]) => double(left) / double(right)),
  plain('%', ['int', 'int'], 'int', ([left, right]) => (int(right) === 0n ? raise(overflow) : int(left) % int(right))),
]

/** A pattern of RE2, in time linear to the text. @throws {Error} for what is no pattern of RE2 */
export function compilePattern(pattern: string): (subject: unknown, budget: Budget) => boolean {
  const compiled = RE2JS.compile(pattern)
  return (subject, budget) => {
    const value = text(subject)
    spend(budget, 1 + (value.length >> 2))
    return compiled.test(value)
  }
}
