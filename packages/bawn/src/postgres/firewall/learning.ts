import { appendFileSync, closeSync, fstatSync, openSync, readSync } from 'node:fs'
import type { StatementMatch } from './rules.ts'
import { type StatementClass, statementClasses } from './statement-class.ts'

/** One line of the file that shapes are collected in. Never holds a value. */
export interface LearnedShape {
  /** Of who sent it, sorted. */
  readonly roles: readonly string[]
  readonly classes: readonly StatementClass[]
  /** As a pattern for `queries`; `undefined` where only its class and its tables can be told. */
  readonly query: string | undefined
  /** `schema.name` or `name`, as written; empty where `query` tells. */
  readonly tables: readonly string[]
}

function isTextList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(item => typeof item === 'string')
}

/** One line of the file; `undefined` when it is none, as after a crash in the middle of one. */
export function parseShape(line: string): LearnedShape | undefined {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  const { roles, classes, query, tables }: Record<string, unknown> = { ...value }
  if (!isTextList(roles) || !isTextList(classes) || !isTextList(tables)) return undefined
  if (query !== undefined && typeof query !== 'string') return undefined
  const known = statementClasses.filter(one => classes.includes(one))
  return known.length === classes.length ? { roles, classes: known, query, tables } : undefined
}

/** Every shape of a file, each once. */
export function parseShapes(text: string): readonly LearnedShape[] {
  const lines = new Set(text.split('\n'))
  return [...lines].flatMap(line => parseShape(line) ?? [])
}

function shapeLine(roles: readonly string[], statement: StatementMatch): string {
  const { classes, shape, references } = statement
  const written = references.flatMap(one =>
    one.kind === 'relation' ? [one.schema === undefined ? one.name : `${one.schema}.${one.name}`] : [],
  )
  const tables = shape === undefined ? [...new Set(written)].sort() : []
  return JSON.stringify({ roles, classes: [...classes], query: shape, tables })
}

/** Where shapes of statements go. */
export interface Learning {
  /** Remembers a shape that is new. @param roles of who sent it */
  note(roles: readonly string[], statement: StatementMatch): void
}

export interface LearningOptions {
  readonly file: string
  readonly maxShapes: number
  /** Told once when the file cannot be written, and once when it is full. */
  readonly onProblem: (message: string, cause: unknown) => void
}

/**
 * Appends new shapes to a file; what is in it already is known, whoever has written it. A line is written once for each shape and list of
 * roles, so rarely: what other workers and other nodes have appended since is read before each. One that two of them find at the same moment
 * stands there twice, and is read as one.
 */
export function openLearning({ file, maxShapes, onProblem }: LearningOptions): Learning {
  const known = new Set<string>()
  /** By object, so that a statement whose match is kept costs no line of JSON. */
  const seen = new WeakMap<StatementMatch, Set<string>>()
  /** Bytes of the file that were read. */
  let read = 0
  let told = false
  const tell = (message: string, cause: unknown): void => {
    if (!told) onProblem(message, cause)
    told = true
  }
  /** What is there behind what was read: whole lines alone. */
  const readOn = (): void => {
    try {
      const fd = openSync(file, 'r')
      try {
        const { size } = fstatSync(fd)
        // Emptied, or another file: what is known stays known.
        if (size < read) read = 0
        const bytes = Buffer.alloc(size - read)
        const length = readSync(fd, bytes, 0, bytes.length, read)
        const end = bytes.subarray(0, length).lastIndexOf(0x0a) + 1
        for (const line of bytes.toString('utf8', 0, end).split('\n'))
          if (line !== '' && known.size < maxShapes) known.add(line)
        read += end
      } finally {
        closeSync(fd)
      }
    } catch (cause) {
      const isMissing = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT'
      if (!isMissing) tell(`${file} cannot be read`, cause)
    }
  }
  readOn()
  return {
    note(roles, statement) {
      const who = roles.join(',')
      const before = seen.get(statement)
      if (before?.has(who) === true) return
      seen.set(statement, (before ?? new Set()).add(who))
      const line = shapeLine(roles, statement)
      if (known.has(line)) return
      readOn()
      if (known.has(line)) return
      if (known.size >= maxShapes) {
        tell(`${file} has ${maxShapes} shapes: no more are collected`, undefined)
        return
      }
      known.add(line)
      try {
        appendFileSync(file, `${line}\n`, { mode: 0o600 })
      } catch (cause) {
        tell(`${file} cannot be written`, cause)
      }
    },
  }
}
