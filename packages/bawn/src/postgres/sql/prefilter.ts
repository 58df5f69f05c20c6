import { lex } from './lexer.ts'
import type { Names } from './names.ts'
import type { SchemaSnapshot } from './plan.ts'

/**
 * Tells by one scan of the bytes which statements need no parsing. A protected relation can be named only by its letters (any case:
 * unquoted identifiers are folded), by `U&"…"`, or inside a string that is executed (`DO`); identifiers cannot be split by comments
 * or escapes otherwise. Errs in one direction: a match costs a parse, a miss never happens.
 *
 * The text is read as latin1, one character a byte; letters over 127 match themselves and, harmlessly, each other's other case.
 */
export type Prefilter = (latin1: string) => boolean

/** What makes a statement worth a parse whatever it names; whole words. */
const words = [
  // results that may be protected although the text names nothing
  'execute',
  'fetch',
  // and whose errors may be
  'move',
  // names of statements
  'prepare',
  'deallocate',
  'discard',
  // names of cursors
  'declare',
  // the schema may change
  'create',
  'alter',
  'drop',
  'call',
  'do(?!\\s+(?:nothing|update)\\b)',
  'import',
  // SQL in a string, or tables by what a string says
  '(?:query|cursor|table|schema|database)_to_xml\\w*',
  'ts_stat',
  'ts_rewrite',
  'dblink\\w*',
  'crosstab\\w*',
  'connectby',
  'xpath_table',
  // how the server reads strings and encodes text
  'names',
  'set_config',
]
const anywhere = ['standard_conforming_strings', 'client_encoding', 'pg_settings', 'u&"']

/** Of the bytes of a text; a quote within a quoted identifier is doubled. */
function pattern(text: string): string {
  const bytes = Buffer.from(text).toString('latin1')
  return bytes.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')
}

/** Of what is protected, or stands over it. */
function namesIn(snapshot: SchemaSnapshot): readonly string[] {
  const names = new Set([
    ...snapshot.relations.map(relation => relation.name),
    ...snapshot.dependents.map(dependent => dependent.name),
    ...snapshot.problems.map(problem => problem.table),
  ])
  return [...names].map(name => name.replaceAll('"', '""'))
}

/** @returns a test that is true when a text may name something protected, be it in a string, or bring a password, or a value for what was prepared */
export function createMentions(snapshot: SchemaSnapshot): Prefilter {
  const named = [...namesIn(snapshot), 'u&"', 'password'].map(pattern)
  // What is prepared may be called `function`: only a trigger's goes on with a name.
  const otherwise = String.raw`\bexecute\b(?!\s+(?:function|procedure)\s+["\w]|\s*(?:[0-9;]|$))`
  const expression = new RegExp(`${named.join('|')}|${otherwise}`, 'i')
  return text => expression.test(text)
}

/** @returns a test that is true when the statement has to be parsed */
export function createPrefilter(snapshot: SchemaSnapshot): Prefilter {
  const named = [...namesIn(snapshot), ...anywhere].map(pattern)
  const expression = new RegExp(`${named.join('|')}|\\b(?:${words.join('|')})\\b`, 'i')
  return text => expression.test(text)
}

/** Words a statement may begin with and mean more than its tables tell, and words that mean so anywhere. */
const beginnings = new Set('execute explain fetch move create alter drop call do import set prepare declare'.split(' '))
const insides =
  /^(?:set_config|pg_settings|(?:query|cursor|table|schema|database)_to_xml.*|ts_stat|ts_rewrite|dblink.*|crosstab.*|connectby|xpath_table)$/

const unlimited = {
  tokens: Number.POSITIVE_INFINITY,
  nesting: Number.POSITIVE_INFINITY,
  chain: Number.POSITIVE_INFINITY,
}

/** The server cuts identifiers at 63 bytes, and not within a character. */
function isCutFrom(identifier: string, name: string): boolean {
  return Buffer.byteLength(name) >= 60 && identifier.startsWith(name)
}

/**
 * The second look, for a text that was too long, too deep or wrong to be parsed: by tokens. A table is always named by an
 * identifier, so names within strings do not count, but for statements that execute strings.
 */
export function isHarmless(text: Uint8Array, names: Names): boolean {
  let harmless = true
  let begins = true
  const lexed = lex(text, unlimited, ({ kind, start, end }) => {
    if (!harmless) return
    const first = text[start]
    if (kind === 'word' || kind === 'quoted') {
      const raw = Buffer.from(text.subarray(start, end)).toString()
      // Unquoted identifiers are folded in ASCII only.
      const name =
        kind === 'word'
          ? raw.replace(/[A-Z]+/g, letters => letters.toLowerCase())
          : raw.slice(1, -1).replaceAll('""', '"')
      if (kind === 'quoted' && first !== 34) harmless = false
      if (begins && beginnings.has(name)) harmless = false
      if (insides.test(name) || names.isKnown(name)) harmless = false
      if (end - start >= 60 && names.all.some(known => isCutFrom(name, known))) harmless = false
    }
    begins = kind === 'mark' && first === 59
  })
  return harmless && lexed.kind === 'tokens'
}
