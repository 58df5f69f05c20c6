import type { CreateFunctionStmt, DefElem, DoStmt, Node } from 'libpg-query'
import type { Context } from './context.ts'
import { refuseOutputs } from './expression.ts'
import { type LexerLimits, lex } from './lexer.ts'
import type { Names } from './names.ts'
import { statementShape } from './query.ts'
import { Refusal } from './refusal.ts'
import { namedInText, runsText } from './running-text.ts'
import { type Struct, stringOf, unwrap } from './tree.ts'

// What DO runs, and what a function will. SQL is examined as if it were sent; PL/pgSQL is looked at as text; other languages are not read.

const limits: LexerLimits = { tokens: 40_000, nesting: 200, chain: 1_000 }

function refuse(message: string, hint: string): Refusal {
  return new Refusal('postgres.statement_refused', message, hint)
}

function option(nodes: readonly Node[] | undefined, name: string): DefElem | undefined {
  return (nodes ?? []).flatMap(node => ('DefElem' in node ? [node.DefElem] : [])).find(item => item.defname === name)
}

/** The texts after AS: one, or two for C. */
function texts(as: DefElem | undefined): readonly string[] {
  const { arg } = as ?? {}
  if (arg === undefined) return []
  const items = 'List' in arg ? (arg.List.items ?? []) : [arg]
  return items.flatMap(item => stringOf(item) ?? [])
}

/** `EXECUTE` of a text; not of `EXECUTE FUNCTION f(`, as in CREATE TRIGGER, and not the privilege, `EXECUTE ON`. */
const executes = /\bexecute\b(?!\s+(?:function|procedure)\s+[\w."]+\s*\()(?!\s+on\b)/i

function examinePlpgsql(what: string, text: string, names: Names, hint: string): void {
  if (namedInText(text, names)) {
    throw refuse(
      `${what} whose body names a protected table would read and write ciphertext, unseen by the gateway`,
      hint,
    )
  }
  if (executes.test(text) || runsText(`"sval":"${text.replace(/[^\w]+/g, '","sval":"')}"`)) {
    throw refuse(`${what} whose body runs SQL that it puts together may name any table`, hint)
  }
}

/** Statements of a body: nothing protected comes out of them, is computed with, or goes in. */
function examineSql(statements: readonly Node[], context: Context): void {
  for (const node of statements) {
    const [kind, statement] = unwrap(node) ?? []
    if (kind === undefined || statement === undefined || !concernsBody(statement, context)) continue
    const query = kind === 'ReturnStmt' ? asQuery(statement) : node
    if (!/^(?:Select|Insert|Update|Delete|Merge)Stmt$/.test(Object.keys(query).join())) {
      throw refuse('a function whose body defines or copies a protected table is not understood', inDatabase)
    }
    const shape = statementShape(query, context, undefined, new Map())
    refuseOutputs(shape.columns, 'a function', undefined)
    if (context.edits.length > 0 || context.parameters.length > 0) {
      throw refuse(
        'a function whose body writes or searches protected values: they would have to be sealed when it is called',
        'Send the statement itself',
      )
    }
  }
}

/** `RETURN expression` */
function asQuery(statement: Struct): Node {
  return { SelectStmt: { targetList: [{ ResTarget: { val: statement['returnval'] as Node } }] } }
}

function concernsBody(statement: Struct, { names }: Context): boolean {
  const text = JSON.stringify(statement)
  return runsText(text) || names.all.some(name => text.includes(JSON.stringify(name)))
}

const inDatabase = 'Create it with a login of its own at the database, or leave the table out of it'

/** @throws {Refusal} when the function could read, write or compute with a protected column unseen */
export function examineFunction(statement: CreateFunctionStmt, context: Context): void {
  const { names } = context
  if (names.all.length === 0) return
  const { sql_body: body, options } = statement
  const language = stringOf(option(options, 'language')?.arg)?.toLowerCase()
  if (body !== undefined) {
    const lists = 'List' in body ? (body.List.items ?? []) : [body]
    examineSql(
      lists.flatMap(item => ('List' in item ? (item.List.items ?? []) : [item])),
      context.within(),
    )
    return
  }
  const written = texts(option(options, 'as'))
  const [text = ''] = written
  if (language === 'plpgsql') examinePlpgsql('a function', text, names, inDatabase)
  else if (language === 'sql') {
    const inner = parsed(text, context)
    if (inner === undefined) {
      if (namedInText(text, names)) throw refuse('the body of a function cannot be read', inDatabase)
      return
    }
    examineSql(inner.statements, inner.context)
  } else throw refuse(`a function in the language ${language ?? '?'} may name any table`, inDatabase)
}

function parsed(
  text: string,
  context: Context,
): { readonly statements: readonly Node[]; readonly context: Context } | undefined {
  const bytes = Buffer.from(text)
  const lexed = lex(bytes, limits)
  const result = lexed.kind === 'tokens' ? context.parse?.(bytes) : undefined
  if (lexed.kind !== 'tokens' || result?.kind !== 'parsed') return undefined
  return {
    statements: result.statements.flatMap(statement => statement.stmt ?? []),
    context: context.within({ text: bytes, tokens: lexed.tokens }),
  }
}

/** @throws {Refusal} when it could read, write or compute with a protected column unseen */
export function examineDo(statement: DoStmt, { names }: Context): void {
  if (names.all.length === 0) return
  const language = stringOf(option(statement.args, 'language')?.arg)?.toLowerCase() ?? 'plpgsql'
  const hint = 'Send its statements one by one'
  if (language !== 'plpgsql') throw refuse(`DO in the language ${language} may name any table`, hint)
  examinePlpgsql('DO', texts(option(statement.args, 'as')).join(' '), names, hint)
}
