import type { FuncCall, Node } from 'libpg-query'
import { asWord, type Names } from './names.ts'
import { Refusal } from './refusal.ts'
import { literalOf } from './settings.ts'
import { offsetOf } from './tree.ts'

// Functions of PostgreSQL, and of what comes with it, that read tables which no FROM names: they are given SQL, or a table, in a text.

/** They run SQL. `ts_rewrite` does so with two arguments, the second of them a query. */
const executing = /^(?:query_to_xml.*|ts_stat|ts_rewrite|dblink.*|crosstab.*|connectby|xpath_table)$/

/** They read tables, or what a cursor reads. */
const exporting = /^(?:table|schema|database|cursor)_to_xml/

/** Does the text of a statement's tree, as JSON, name one of them? */
export function runsText(json: string): boolean {
  return /"sval":"(?:(?:query|cursor|table|schema|database)_to_xml|ts_stat|ts_rewrite|dblink|crosstab|connectby|xpath_table)/.test(
    json,
  )
}

/** In a text that is run: a name that statements are examined for, or one that is spelt so that it cannot be found. */
export function namedInText(text: string, names: Names): boolean {
  return /u&"/i.test(text) || names.all.some(name => asWord(name).test(text))
}

function refusal(what: string, hint: string, offset: number | undefined): Refusal {
  return new Refusal('postgres.statement_refused', what, hint, offset)
}

/** @throws {Refusal} when a call may read a protected table unseen */
export function refuseText(
  name: string,
  call: FuncCall,
  { context: { names } }: { readonly context: { readonly names: Names } },
): void {
  if (names.all.length === 0) return
  const offset = offsetOf(call)
  if (exporting.test(name)) {
    throw refusal(
      `${name}() may read any table, and the gateway cannot tell which`,
      'Send a SELECT of what is wanted, and build XML in the application',
      offset,
    )
  }
  const args: readonly Node[] = call.args ?? []
  if (!executing.test(name) || (name === 'ts_rewrite' && args.length !== 2)) return
  const texts = args.map(literalOf)
  if (texts.includes(undefined) && !isNamed(args)) {
    throw refusal(
      `${name}() runs SQL in a text that may name any table`,
      'Send the statement itself, or write its text as a literal',
      offset,
    )
  }
  if (namedInText(JSON.stringify(args), names) || texts.some(text => text !== undefined && namedInText(text, names))) {
    throw refusal(
      `${name}() runs SQL in a string, and the string names a protected table`,
      'Send the statement itself',
      offset,
    )
  }
}

/** `f(a => 'x')`, every value a literal. */
function isNamed(args: readonly Node[]): boolean {
  return args.every(node => ('NamedArgExpr' in node ? literalOf(node.NamedArgExpr.arg) : literalOf(node)) !== undefined)
}

/** `x.f` may be `f(x)`. @throws {Refusal} */
export function refuseTextField(path: readonly string[], names: Names, offset: number | undefined): void {
  const name = path.at(-1) ?? ''
  if (names.all.length === 0 || !(executing.test(name) || exporting.test(name))) return
  throw refusal(`.${name} may be a call of ${name}(), which runs SQL in a text`, 'Send the statement itself', offset)
}
