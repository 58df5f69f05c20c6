import type { DefElem, Node } from 'libpg-query'
import type { CopyFormat } from './plan.ts'
import { Refusal } from './refusal.ts'
import { namesOf, offsetOf } from './tree.ts'

/** What the options of a COPY say, the lists of columns not yet matched with columns. */
export interface CopyOptions {
  readonly format: CopyFormat['kind']
  readonly delimiter: number
  readonly null: Buffer
  readonly header: boolean
  readonly quote: number
  readonly escape: number
  readonly forceQuote: ColumnList
  readonly forceNull: ColumnList
  readonly forceNotNull: ColumnList
  /** DEFAULT 'mark' is given. */
  readonly default: boolean
}

/** Names, or every column. */
export type ColumnList = 'all' | readonly string[]

/** They change neither how rows are written nor what becomes of a value. */
const harmless = new Set(['freeze', 'on_error', 'reject_limit', 'log_verbosity'])

function refuse(option: DefElem, why: string): Refusal {
  return new Refusal(
    'postgres.statement_refused',
    `option ${option.defname} of a COPY with protected columns ${why}`,
    'The guide lists what COPY may have: FORMAT text, csv or binary, and their options (docs/guide/sql.md)',
    offsetOf(option),
  )
}

function text(option: DefElem): string {
  const { arg } = option
  if (arg !== undefined && 'String' in arg) return arg.String.sval ?? ''
  throw refuse(option, 'is not understood')
}

function oneByte(option: DefElem): number {
  const bytes = Buffer.from(text(option))
  const [byte] = bytes
  // A backslash means something of its own in the data, in ways that differ between versions of the server.
  if (byte === undefined || bytes.length > 1 || byte === 10 || byte === 13) throw refuse(option, 'must be one byte')
  return byte
}

function notBackslash(option: DefElem): number {
  const byte = oneByte(option)
  if (byte === 0x5c) throw refuse(option, 'cannot be a backslash')
  return byte
}

/** As the server reads booleans, and `match`. */
function header(option: DefElem): boolean {
  const { arg } = option
  if (arg === undefined) return true
  if ('Boolean' in arg) return arg.Boolean.boolval === true
  const word = 'Integer' in arg ? String(arg.Integer.ival ?? 0) : text(option).toLowerCase()
  if (['1', 'true', 'on', 'match'].includes(word)) return true
  if (['0', 'false', 'off'].includes(word)) return false
  throw refuse(option, 'is not understood')
}

function list(option: DefElem): ColumnList {
  const { arg } = option
  if (arg !== undefined && 'A_Star' in arg) return 'all'
  const names = arg !== undefined && 'List' in arg ? namesOf(arg.List.items) : undefined
  if (names === undefined) throw refuse(option, 'is not understood')
  return names
}

/**
 * Reads the options of COPY. What the server would refuse may pass: it says so itself before any row.
 *
 * @throws {Refusal} for options that are not understood: they may change what the rows mean
 */
export function readCopyOptions(nodes: readonly Node[] | undefined): CopyOptions {
  let format: CopyFormat['kind'] = 'text'
  let [delimiter, nullMark, quote, escaping]: [number?, Buffer?, number?, number?] = []
  const read = {
    header: false,
    default: false,
    forceQuote: [] as ColumnList,
    forceNull: [] as ColumnList,
    forceNotNull: [] as ColumnList,
  }
  for (const node of nodes ?? []) {
    const option = 'DefElem' in node ? node.DefElem : {}
    const name = option.defname ?? ''
    if (harmless.has(name)) continue
    if (name === 'format') {
      const word = text(option)
      if (word !== 'text' && word !== 'csv' && word !== 'binary') throw refuse(option, `cannot be ${word}`)
      format = word
    } else if (name === 'delimiter') delimiter = notBackslash(option)
    else if (name === 'null') nullMark = Buffer.from(text(option))
    else if (name === 'header') read.header = header(option)
    else if (name === 'quote') quote = notBackslash(option)
    else if (name === 'escape') escaping = oneByte(option)
    else if (name === 'force_quote') read.forceQuote = list(option)
    else if (name === 'force_null') read.forceNull = list(option)
    else if (name === 'force_not_null') read.forceNotNull = list(option)
    else if (name === 'default') read.default = true
    else if (name === 'encoding') {
      if (!/^(?:utf-?8|unicode)$/i.test(text(option))) throw refuse(option, 'must be UTF8')
    } else throw refuse(option, 'is not understood')
  }
  const isCsv = format === 'csv'
  quote ??= 0x22
  return {
    format,
    delimiter: delimiter ?? (isCsv ? 0x2c : 0x09),
    null: nullMark ?? Buffer.from(isCsv ? '' : '\\N'),
    quote,
    escape: escaping ?? quote,
    ...read,
  }
}
