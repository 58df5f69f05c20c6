import { CelFault, raise } from './fault.ts'
import { Duration, Timestamp } from './value.ts'

// Timestamps and durations of CEL: nanoseconds, years 1 to 9999 (google.protobuf.Timestamp).

const badTime = new CelFault('this is no time')
const badZone = new CelFault('no such time zone')
const outOfRange = new CelFault('a time out of range')

const second = 1_000_000_000n
const earliest = -62_135_596_800n * second
const latest = 253_402_300_799n * second + 999_999_999n
const longest = 315_576_000_000n * second

export function timestamp(ns: bigint): Timestamp {
  return ns < earliest || ns > latest ? raise(outOfRange) : new Timestamp(ns)
}

export function duration(ns: bigint): Duration {
  return ns < -longest || ns > longest ? raise(outOfRange) : new Duration(ns)
}

const rfc3339 = /^(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(Z|[+-]\d{2}:\d{2})$/

/** RFC 3339. */
export function parseTimestamp(text: string): Timestamp {
  const match = rfc3339.exec(text)
  if (match === null) return raise(badTime)
  const [, day, time, fraction = '', zone = 'Z'] = match
  const utc = new Date(`${day}T${time}Z`)
  // The 30th of February would be taken for a day in March.
  if (Number.isNaN(utc.getTime()) || utc.toISOString().slice(0, 19) !== `${day}T${time}`) return raise(badTime)
  const offset = zone === 'Z' ? 0 : offsetOf(zone)
  return timestamp(BigInt(utc.getTime() - offset * 60_000) * 1_000_000n + BigInt(fraction.padEnd(9, '0')))
}

/** Minutes of `+hh:mm`. */
function offsetOf(zone: string): number {
  const [hours = 0, minutes = 0] = zone.slice(1).split(':').map(Number)
  if (hours > 23 || minutes > 59) return raise(badTime)
  return (zone.startsWith('-') ? -1 : 1) * (hours * 60 + minutes)
}

export function formatTimestamp({ ns }: Timestamp): string {
  const { ms, rest } = split(ns)
  const text = new Date(ms).toISOString().slice(0, 19)
  const nanos = BigInt(ms % 1000 < 0 ? (ms % 1000) + 1000 : ms % 1000) * 1_000_000n + rest
  return `${text}${fractionOf(nanos)}Z`
}

const fractionOf = (nanos: bigint): string => {
  const digits = nanos.toString().padStart(9, '0').replace(/0+$/, '')
  return digits === '' ? '' : `.${digits}`
}

/** Whole milliseconds, rounded down, and what is left. */
function split(ns: bigint): { readonly ms: number; readonly rest: bigint } {
  const rest = ((ns % 1_000_000n) + 1_000_000n) % 1_000_000n
  return { ms: Number((ns - rest) / 1_000_000n), rest }
}

const unitNs: Readonly<Record<string, bigint>> = {
  h: 3_600n * second,
  m: 60n * second,
  s: second,
  ms: 1_000_000n,
  us: 1_000n,
  µs: 1_000n,
  ns: 1n,
}

/** `1h30m`, `-1.5s`, as Go writes it. */
export function parseDuration(text: string): Duration {
  if (text.length > 64 || !/^[+-]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:h|ms|m|s|us|µs|ns))+)$/.test(text))
    return raise(badTime)
  let ns = 0n
  for (const [, whole = '', fraction = '', unit = ''] of text.matchAll(/(\d*)\.?(\d*)(h|ms|m|s|us|µs|ns)/g)) {
    const size = unitNs[unit] ?? 0n
    ns += BigInt(whole === '' ? 0 : whole) * size
    if (fraction !== '') ns += (BigInt(fraction) * size) / 10n ** BigInt(fraction.length)
  }
  return duration(text.startsWith('-') ? -ns : ns)
}

export function formatDuration({ ns }: Duration): string {
  const size = ns < 0n ? -ns : ns
  return `${ns < 0n ? '-' : ''}${size / second}${fractionOf(size % second)}s`
}

type Part = 'year' | 'month' | 'day' | 'weekday' | 'hour' | 'minute' | 'second'

/** Names of zones come from configurations and, at worst, from callers: a few are kept. */
const formats = new Map<string, Intl.DateTimeFormat>()
const maxFormats = 64

function formatIn(zone: string): Intl.DateTimeFormat {
  const known = formats.get(zone)
  if (known !== undefined) return known
  let format: Intl.DateTimeFormat
  try {
    format = new Intl.DateTimeFormat('en-US', {
      ...{ timeZone: zone, hourCycle: 'h23', calendar: 'gregory' },
      ...{ year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric', second: 'numeric' },
    })
  } catch {
    return raise(badZone)
  }
  if (formats.size < maxFormats) formats.set(zone, format)
  return format
}

/** The same wall clock, read in UTC. */
function shifted(ms: number, zone: string | undefined): Date {
  if (zone === undefined || zone === 'UTC' || zone === 'Z') return new Date(ms)
  const fixed = /^([+-]?)(\d{2}:\d{2})$/.exec(zone)
  if (fixed !== null) return new Date(ms + offsetOf(`${fixed[1] === '-' ? '-' : '+'}${fixed[2]}`) * 60_000)
  const parts = new Map(
    formatIn(zone)
      .formatToParts(new Date(ms))
      .map(({ type, value }) => [type, Number(value)]),
  )
  const of = (part: Exclude<Part, 'weekday'>): number => parts.get(part) ?? 0
  const date = new Date(0)
  date.setUTCFullYear(of('year'), of('month') - 1, of('day'))
  date.setUTCHours(of('hour'), of('minute'), of('second'), ((ms % 1000) + 1000) % 1000)
  return date
}

/** Parts of a time, by the name of CEL's function: months, days of the year and of the month count from 0, dates from 1. */
const parts = {
  getFullYear: date => date.getUTCFullYear(),
  getMonth: date => date.getUTCMonth(),
  getDate: date => date.getUTCDate(),
  getDayOfMonth: date => date.getUTCDate() - 1,
  getDayOfWeek: date => date.getUTCDay(),
  getDayOfYear: date => {
    const start = new Date(date)
    start.setUTCMonth(0, 1)
    return Math.round((date.getTime() - start.getTime()) / 86_400_000)
  },
  getHours: date => date.getUTCHours(),
  getMinutes: date => date.getUTCMinutes(),
  getSeconds: date => date.getUTCSeconds(),
  getMilliseconds: date => date.getUTCMilliseconds(),
} as const satisfies Record<string, (date: Date) => number>

export type TimePart = keyof typeof parts
export const timeParts: readonly TimePart[] = Object.keys(parts).filter((name): name is TimePart => name in parts)

/** @param zone `+02:00` or a name of the IANA's; UTC without it */
export function partOf(part: TimePart, { ns }: Timestamp, zone?: string): bigint {
  return BigInt(parts[part](shifted(split(ns).ms, zone)))
}
const wholeUnits = {
  getHours: unitNs['h'] ?? 1n,
  getMinutes: unitNs['m'] ?? 1n,
  getSeconds: second,
} as const
export type DurationPart = keyof typeof wholeUnits | 'getMilliseconds'

/** A duration in whole hours, minutes or seconds; its milliseconds are those beyond the second. */
export function durationPart(part: DurationPart, { ns }: Duration): bigint {
  return part === 'getMilliseconds' ? (ns % second) / 1_000_000n : ns / wholeUnits[part]
}
