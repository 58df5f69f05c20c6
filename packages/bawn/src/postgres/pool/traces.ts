import { lex } from '../sql/lexer.ts'
import type { Leftover } from './connection.ts'
import type { SettingChange } from './profile.ts'
import type { Resets } from './session-settings.ts'

/** What a text leaves behind in the session that runs it, as far as its words tell. Errs towards leaving something. */
export interface Traces {
  readonly leftover: Leftover
  /** What it leaves is meant to be found again: the session keeps its connection. */
  readonly pins: boolean
  /** It goes by what an earlier text left (`currval`, `lastval`). */
  readonly recalls: boolean
  /** DISCARD ALL, alone. */
  readonly discards: boolean
  /** SET or RESET of settings that go along from connection to connection. */
  readonly setting: SettingChange | undefined
  /** Settings that it leads back to what the session began with. */
  readonly resets: Resets | undefined
  /** DEALLOCATE, alone: of this name, or `all`, also among others. */
  readonly deallocates: { readonly name: string } | 'all' | undefined
  /** How many statements of the text come before `DEALLOCATE ALL`. */
  readonly before: number
  /** Among others, one that takes prepared statements off. */
  readonly clears: boolean
  /** DEALLOCATE of one name, among others: by the place of the statement in the text. */
  readonly frees: readonly Freed[]
}

/** @see Traces.frees */
export interface Freed {
  readonly at: number
  /** As the protocol has names. */
  readonly name: string
}

const nothing: Traces = {
  leftover: 'nothing',
  pins: false,
  recalls: false,
  discards: false,
  setting: undefined,
  resets: undefined,
  deallocates: undefined,
  before: 0,
  clears: false,
  frees: [],
}

const words = (list: string): ReadonlySet<string> => new Set(list.trim().split(/\s+/))

/** Statements that leave nothing, but for what is called in them. */
const fleeting =
  words(`select with values table insert update delete merge begin start commit end rollback abort savepoint release
  show fetch move close copy lock notify explain`)
/** Statements that begin and end transactions, whole or in part. */
const controlling = words('begin start commit end rollback abort savepoint release')
/** What a SET begins with that ends with its transaction. */
const local = words('local transaction constraints')

/** Functions of PostgreSQL that leave nothing, and words that stand before a parenthesis without being called. */
const harmless =
  words(`abs acos age all and any array array_agg array_append array_length array_position array_remove array_to_string
  as asin atan avg between bit bool_and bool_or btrim by cardinality case cast ceil ceiling char char_length character
  chr clock_timestamp coalesce concat concat_ws conflict convert_from cos count cume_dist current_database current_schema
  current_setting current_user date date_part date_trunc decimal decode default dense_rank distinct div do else encode except exists
  exp extract filter first_value float floor format from generate_series gen_random_uuid greatest group having if ilike in initcap
  intersect interval into is json_agg json_array_elements json_build_array json_build_object json_object_agg jsonb_agg
  jsonb_array_elements jsonb_build_array jsonb_build_object jsonb_object_agg jsonb_set jsonb_typeof key lag last_value lateral lead least
  left length like limit ln log lower lpad ltrim make_date make_interval max md5 min mod not now nth_value ntile nullif numeric
  octet_length offset on only or over overlaps overlay partition percent_rank percentile_cont percentile_disc pg_advisory_xact_lock
  pg_advisory_xact_lock_shared pg_backend_pid pg_sleep pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared pi
  position pow power quote_ident quote_literal random range rank regexp_match regexp_replace regexp_split_to_array repeat replace returning
  reverse right round row row_number row_to_json rows rpad rtrim select set sha256 sign sin some split_part sqrt starts_with
  statement_timestamp stddev string_agg string_to_array strpos substr substring sum tan then time timestamp timestamptz
  to_char to_date to_json to_jsonb to_number to_timestamp to_tsquery to_tsvector transaction_timestamp translate trim trunc txid_current
  union unnest upper using values varchar variance version when where width_bucket with within`)

/** Functions whose traces are meant to be found again. */
const advisory = /^pg_(?:try_)?advisory_lock(?:_shared)?$/
/** What DISCARD ALL leaves as it is: connections of extensions, the state of random(), backups, slots that end with the session. */
const indelible =
  /^(?:dblink.*|setseed|load|pg_backup_start|pg_start_backup|pg_(?:create|copy)_.*slot|pg_replication_origin_session.*|pg_logical_.*)$/
/** The same as they may stand in a text that a text holds, as the body of DO does. */
const indelibleInside =
  /u&["']|dblink|setseed|\bset\s+(?:session\s+)?"?seed\b|pg_backup_start|pg_start_backup|pg_(?:create|copy)_\w*slot|pg_replication_origin_session|pg_logical_/i
const beforeTemporary = words('into create replace local global')

const unlimited = { tokens: 1_000_000, nesting: 1_000_000, chain: Number.POSITIVE_INFINITY }

/** Settings that a session can take along: no text is read otherwise by them, and they say nothing of who it is. */
const movable: ReadonlySet<string> =
  words(`application_name bytea_output client_min_messages datestyle default_transaction_isolation
  default_transaction_read_only extra_float_digits geqo idle_in_transaction_session_timeout intervalstyle jit lock_timeout
  statement_timeout timezone`)
const longestSetting = 300
const setText =
  /^\s*set\s+(?:session\s+)?(?:time\s+(zone)|([a-z_]+)\s*(?:=|\sto\s))\s*(?:'((?:[^'\\]|'')*)'|([a-z_][a-z0-9_]*|-?[0-9]+))\s*;?\s*$/i
const setConfigText =
  /^\s*select\s+(?:pg_catalog\.)?set_config\s*\(\s*'([a-z_]+)'\s*,\s*'((?:[^'\\]|'')*)'\s*,\s*false\s*\)\s*;?\s*$/i
/** The gateway lets no other value of these through. */
const fixedText = /^\s*set\s+(?:session\s+)?(?:client_encoding|standard_conforming_strings|names)\b[^;]*;?\s*$/i
const localConfig = /set_config\s*\([^()]*,\s*(?:true|'t(?:rue)?'|'on')\s*\)/gi
const resetText = /^\s*reset\s+([a-z_]+)\s*;?\s*$/i
const deallocateText = /^\s*deallocate\s+(?:prepare\s+)?(?:([a-z_][a-z0-9_$]*)|"((?:[^"]|"")+)")\s*;?\s*$/i

/** What running a text leaves behind. */
export function tracesOf(text: Uint8Array): Traces {
  const start = Buffer.from(text.buffer, text.byteOffset, Math.min(text.length, longestSetting + 1)).toString('utf8')
  if (text.length <= longestSetting) {
    const special = alone(start)
    if (special !== undefined) return special
  }
  return scanned(text)
}

function alone(text: string): Traces | undefined {
  if (fixedText.test(text)) return nothing
  const set = setText.exec(text)
  if (set !== null) return moved(set[1] === undefined ? (set[2] ?? '') : 'timezone', set[3], set[4])
  const config = setConfigText.exec(text)
  if (config !== null) return moved(config[1] ?? '', config[2], undefined)
  if (/^\s*discard\s+all\s*;?\s*$/i.test(text)) return { ...nothing, leftover: 'state', resets: 'all', discards: true }
  const reset = resetText.exec(text)?.[1]?.toLowerCase()
  if (reset === 'all') return { ...nothing, leftover: 'state', setting: 'none', resets: 'all' }
  if (reset !== undefined) return moved(reset, undefined, 'default')
  const deallocate = deallocateText.exec(text)
  if (deallocate === null) return undefined
  const [, plain, quoted] = deallocate
  const deallocates =
    plain?.toLowerCase() === 'all' ? 'all' : { name: plain?.toLowerCase() ?? (quoted ?? '').replaceAll('""', '"') }
  return { ...nothing, leftover: 'state', deallocates }
}

function moved(name: string, literal: string | undefined, word: string | undefined): Traces | undefined {
  const key = name.toLowerCase()
  if (!movable.has(key) || (key === 'timezone' && word?.toLowerCase() === 'local')) return undefined
  if (word?.toLowerCase() === 'default')
    return { ...nothing, leftover: 'state', setting: [key, undefined], resets: [key] }
  return { ...nothing, leftover: 'state', setting: [key, literal?.replaceAll("''", "'") ?? word?.toLowerCase() ?? ''] }
}

/** A name as SQL has it, in the form in which it is looked up. */
function nameIn(token: string): string {
  return token.startsWith('"') ? token.slice(1, -1).replaceAll('""', '"').toLowerCase() : token.toLowerCase()
}

/** The identifier that a token is, its bytes as latin1; `undefined`: it is none, or one with escapes. */
function identifierIn(token: string): string | undefined {
  if (/^[a-z_\x80-\xff]/i.test(token) && !/^u&/i.test(token)) {
    return token.replace(/[A-Z]+/g, letters => letters.toLowerCase())
  }
  return /^".+"$/s.test(token) ? token.slice(1, -1).replaceAll('""', '"') : undefined
}

function scanned(text: Uint8Array): Traces {
  let leaves = false
  let pins = false
  let unfit = false
  let recalls = false
  let advances = false
  let first = ''
  let position = 0
  let before = ''
  let last = ''
  let lastKind = 'mark'
  /** The name of a table is read, behind INTO: a list of columns may follow. */
  let names = false
  let configs = 0
  /** Text within the text, and quoted names, that may say what the words do not. */
  let hides = false
  let clears = false
  let statements = 0
  /** As `Traces.before`. */
  let deallocatesAt = -1
  let controls = false
  const resets: string[] = []
  const frees: Freed[] = []
  const bytes = Buffer.from(text.buffer, text.byteOffset, text.length)
  const lexed = lex(text, unlimited, ({ kind, start, end }) => {
    const token =
      kind === 'word' || kind === 'mark' ? bytes.toString('latin1', start, Math.min(end, start + 64)).toLowerCase() : ''
    if (kind !== 'word' && kind !== 'mark') hides = true
    if (token === '(' && kind === 'mark' && (lastKind === 'quoted' || (lastKind === 'word' && !harmless.has(last)))) {
      const isList = names || before === 'as' || (position === 2 && first === 'with')
      if (!isList && last !== first) leaves = true
    } else if (token === '(' && lastKind === 'word' && before === '.') leaves = true
    if (kind === 'word') {
      if (position === 0) {
        first = token
        if (!fleeting.has(token)) leaves = true
        if (controlling.has(token)) controls = true
        if (token === 'deallocate' || token === 'discard') clears = true
        if (token === 'listen' || token === 'execute' || token === 'load') pins = true
      }
      if (token === 'set_config') configs += 1
      if (advisory.test(token)) pins = true
      if ((token === 'temp' || token === 'temporary') && beforeTemporary.has(last)) pins = true
      if (token.startsWith('pg_temp')) pins = true
      if (token === 'hold' && last === 'with') pins = true
      if (token === 'currval' || token === 'lastval') recalls = true
      if (token === 'insert' || token === 'nextval') advances = true
      if (indelible.test(token) || (token === 'seed' && first === 'set')) unfit = true
    }
    if (position === 1 && first === 'set' && !local.has(token)) pins = true
    if (first === 'deallocate' && token === 'all' && (position === 1 || (position === 2 && last === 'prepare')))
      deallocatesAt = statements
    if (first === 'deallocate' && token !== 'all' && position === (last === 'prepare' ? 2 : 1) && token !== 'prepare') {
      const name = identifierIn(bytes.toString('latin1', start, end))
      if (name !== undefined) frees.push({ at: statements, name })
    }
    if (position === 1 && first === 'reset') resets.push(nameIn(bytes.toString('latin1', start, end)))
    if (position === 1 && first === 'prepare' && token !== 'transaction') pins = true
    if (token === ';' && kind === 'mark') {
      if (position > 0) statements += 1
      position = 0
    } else if (kind !== 'mark' || position > 0) position += 1
    if (kind === 'word' && token === 'into') names = true
    else if (names && kind !== 'word' && kind !== 'quoted' && token !== '.') names = false
    before = last
    last = token
    lastKind = kind
  })
  if (lexed.kind !== 'tokens') return { ...nothing, leftover: 'state', pins: true }
  if (configs > 0 && bytes.toString('latin1').match(localConfig)?.length !== configs) pins = true
  if (hides && leaves && indelibleInside.test(bytes.toString('latin1'))) unfit = true
  const isAll = resets.includes('all')
  const [freed] = frees
  const isSingle = freed !== undefined && statements + (position > 0 ? 1 : 0) === 1
  // One that a transaction in the text may take back, or that nobody takes along, is kept with its connection.
  if (resets.length > 0 && (controls || (!isAll && resets.some(name => movable.has(name))))) pins = true
  return {
    ...nothing,
    clears,
    ...(deallocatesAt < 0 ? {} : { deallocates: 'all', before: deallocatesAt }),
    ...(isSingle ? { deallocates: { name: Buffer.from(freed.name, 'latin1').toString() }, clears: false } : { frees }),
    setting: isAll && !pins ? 'none' : undefined,
    resets: isAll ? 'all' : resets.length > 0 ? resets : undefined,
    leftover: unfit ? 'unfit' : leaves || pins ? 'state' : 'nothing',
    pins: pins || unfit,
    recalls: recalls && !advances,
  }
}
