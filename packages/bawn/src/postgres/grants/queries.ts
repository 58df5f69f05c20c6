import type { Privilege } from '../../accounts/grant.ts'
import { everyStruct, isStruct, namesOf, type Struct, unwrap } from '../sql/tree.ts'
import { type Collector, namesIn, qualified, rangeName, truncated } from './collector.ts'
import { isHarmlessSetting } from './settings.ts'

/**
 * Names of `WITH` queries that hide tables here. A name that hides nothing in the database but hides something here would be a way
 * round: so a query is in scope only where PostgreSQL puts it (`transformWithClause`).
 */
export type Hidden = ReadonlySet<string>
export const nothingHidden: Hidden = new Set()

const read: readonly Privilege[] = ['DQL']
const write: readonly Privilege[] = ['DML']
const readAndWrite: readonly Privilege[] = ['DQL', 'DML']

function withQueries(clause: unknown, into: Collector, around: Hidden): Hidden {
  if (!isStruct(clause)) return around
  const hidden = new Set(around)
  const list = Array.isArray(clause['ctes']) ? clause['ctes'] : []
  const queries = list.flatMap(node => (isStruct(node) && isStruct(node['CommonTableExpr']) ? [node] : []))
  const nameOf = (node: Struct): string => {
    const cte = node['CommonTableExpr']
    return isStruct(cte) && typeof cte['ctename'] === 'string' ? truncated(cte['ctename']) : ''
  }
  // Of WITH RECURSIVE every query sees every other; otherwise those before it.
  if (clause['recursive'] === true) for (const node of queries) hidden.add(nameOf(node))
  for (const node of queries) {
    walk(node['CommonTableExpr'], into, hidden)
    hidden.add(nameOf(node))
  }
  return hidden
}

/** `FOR UPDATE` and the like: the rows that are locked cannot be written by others. */
function locking(select: Struct, into: Collector, hidden: Hidden): void {
  const clauses = select['lockingClause']
  if (!Array.isArray(clauses)) return
  const from = select['fromClause']
  for (const node of clauses) {
    const clause = isStruct(node) ? node['LockingClause'] : undefined
    const wanted = isStruct(clause) && Array.isArray(clause['lockedRels']) ? clause['lockedRels'] : []
    const names = wanted.flatMap(item =>
      isStruct(item) && isStruct(item['RangeVar']) ? [rangeName(item['RangeVar']).name] : [],
    )
    const items = names.map(name => fromItemsNamed(from, name))
    const locked = names.length === 0 || items.some(found => found.length === 0) ? [from] : items
    everyStruct(locked, struct => {
      const range = struct['RangeVar']
      if (isStruct(range)) relation(range, into, hidden, write)
      return undefined
    })
  }
}

/** The items of a FROM clause that have this alias, or this name and no alias; not within sub-selects. */
function fromItemsNamed(from: unknown, name: string): readonly Struct[] {
  const found: Struct[] = []
  everyStruct(from, struct => {
    const unwrapped = unwrap(struct)
    if (unwrapped === undefined) return undefined
    const [kind, inner] = unwrapped
    const alias = inner['alias']
    const called = isStruct(alias) ? alias['aliasname'] : kind === 'RangeVar' ? inner['relname'] : undefined
    if (typeof called === 'string' && truncated(called) === name) found.push(struct)
    return kind !== 'RangeSubselect'
  })
  return found
}

function relation(range: Struct, into: Collector, hidden: Hidden, privileges: readonly Privilege[]): void {
  const { schema, name } = rangeName(range)
  if (schema === undefined && hidden.has(name)) return
  into.range(range, privileges, 'relation', true)
}

/** Does an expression read a column, or anything at all but constants, parameters and defaults? */
function readsColumns(value: unknown): boolean {
  let found = false
  everyStruct(value, struct => {
    if (isStruct(struct['ColumnRef']) || isStruct(struct['SubLink'])) found = true
    return !found
  })
  return found
}

function insert(statement: Struct, into: Collector, around: Hidden): void {
  const hidden = withQueries(statement['withClause'], into, around)
  const reads = statement['onConflictClause'] !== undefined || statement['returningClause'] !== undefined
  into.range(statement['relation'], reads ? readAndWrite : write, 'relation', true)
  walkRest(statement, into, hidden, ['withClause', 'relation'])
}

function update(statement: Struct, into: Collector, around: Hidden): void {
  const hidden = withQueries(statement['withClause'], into, around)
  const reads =
    statement['whereClause'] !== undefined ||
    statement['returningClause'] !== undefined ||
    statement['fromClause'] !== undefined ||
    statement['usingClause'] !== undefined ||
    readsColumns(statement['targetList'])
  into.range(statement['relation'], reads ? readAndWrite : write, 'relation', true)
  walkRest(statement, into, hidden, ['withClause', 'relation'])
}

function merge(statement: Struct, into: Collector, around: Hidden): void {
  const hidden = withQueries(statement['withClause'], into, around)
  into.range(statement['relation'], readAndWrite, 'relation', true)
  walkRest(statement, into, hidden, ['withClause', 'relation'])
}

function select(statement: Struct, into: Collector, around: Hidden): void {
  const hidden = withQueries(statement['withClause'], into, around)
  const { intoClause } = statement
  if (isStruct(intoClause)) into.creation(intoClause['rel'])
  // As PostgreSQL looks names up: FROM before everything else, so that the first one missing is the first one told.
  walk(statement['fromClause'], into, hidden)
  for (const side of [statement['larg'], statement['rarg']]) if (isStruct(side)) select(side, into, hidden)
  walkRest(statement, into, hidden, ['withClause', 'intoClause', 'fromClause', 'larg', 'rarg', 'lockingClause'])
  locking(statement, into, hidden)
}

function literal(node: unknown): string | undefined {
  let inner = unwrap(node)
  while (inner?.[0] === 'TypeCast') inner = unwrap(inner[1]['arg'])
  const value = inner?.[0] === 'A_Const' ? inner[1]['sval'] : undefined
  if (!isStruct(value)) return undefined
  return typeof value['sval'] === 'string' ? value['sval'] : ''
}

/** `'"Schema".name'` as regclass reads it; `undefined` when it is anything else. */
export function relationInText(text: string): readonly string[] | undefined {
  const match =
    /^\s*(?:"((?:[^"]|"")+)"|([\p{L}_][\p{L}\p{N}_$]*))(?:\s*\.\s*(?:"((?:[^"]|"")+)"|([\p{L}_][\p{L}\p{N}_$]*)))?\s*$/u.exec(
      text,
    )
  if (match === null) return undefined
  const [, ...parts] = match
  const part = (quoted: string | undefined, word: string | undefined): string[] => {
    if (quoted !== undefined) return [quoted.replaceAll('""', '"')]
    return word === undefined ? [] : [word.replace(/[A-Z]+/g, letters => letters.toLowerCase())]
  }
  return [...part(parts[0], parts[1]), ...part(parts[2], parts[3])]
}

/** Functions whose effect depends on what is in their arguments. @returns whether it is one of them */
function special(name: string, args: unknown, into: Collector): boolean {
  const [first] = Array.isArray(args) ? args : []
  switch (name) {
    case 'set_config': {
      const setting = literal(first)
      if (setting === undefined) into.restricted('set_config() of a setting that is no literal')
      else if (!isHarmlessSetting(setting)) into.restricted(`setting ${setting.toLowerCase()}`)
      return true
    }
    case 'nextval':
    case 'setval': {
      const sequence = literal(first)
      const names = sequence === undefined ? undefined : relationInText(sequence)
      if (names === undefined) into.add({ kind: 'database', privilege: 'DML', what: `${name}() of what is no literal` })
      else into.named(names, write, 'sequence')
      return true
    }
    default:
      return false
  }
}

function functionCall(call: Struct, into: Collector, hidden: Hidden): void {
  const { schema, name } = qualified(namesIn(call['funcname']))
  const builtin = schema === undefined || schema === 'pg_catalog'
  if (!builtin || !special(name, call['args'], into)) into.add({ kind: 'function', schema, name, attribute: false })
  walkRest(call, into, hidden, ['funcname'])
}

/** `x.f`: a column, or a call of `f(x)`. */
function attribute(name: string | undefined, into: Collector): void {
  if (name === undefined || name === '') return
  into.add({ kind: 'function', schema: undefined, name: truncated(name), attribute: true })
}

const visitors: { readonly [kind: string]: ((struct: Struct, into: Collector, hidden: Hidden) => void) | undefined } = {
  SelectStmt: select,
  InsertStmt: insert,
  UpdateStmt: update,
  DeleteStmt: update,
  MergeStmt: merge,
  FuncCall: functionCall,
  RangeVar: (range, into, hidden) => relation(range, into, hidden, read),
  ColumnRef: (ref, into) => {
    const fields = Array.isArray(ref['fields']) ? ref['fields'] : []
    if (fields.length > 1) attribute(namesOf(fields.slice(-1))?.[0], into)
  },
  A_Indirection: (struct, into, hidden) => {
    const indirection = Array.isArray(struct['indirection']) ? struct['indirection'] : []
    for (const item of indirection) attribute(namesOf([item])?.[0], into)
    walkRest(struct, into, hidden, [])
  },
}

function walkRest(struct: Struct, into: Collector, hidden: Hidden, done: readonly string[]): void {
  for (const key in struct) {
    if (done.includes(key)) continue
    const inner = struct[key]
    if (typeof inner === 'object' && inner !== null) walkKey(key, inner, into, hidden)
  }
}

function walkKey(key: string, inner: unknown, into: Collector, hidden: Hidden): void {
  const visitor = visitors[key]
  if (visitor !== undefined && isStruct(inner)) visitor(inner, into, hidden)
  // A foreign key tells which values its table has, and keeps rows of it from being deleted.
  else if (key === 'pktable') into.range(inner, readAndWrite)
  else walk(inner, into, hidden)
}

/** Gathers what a query, an expression, or any tree that holds some, touches. What is not known is taken for a table that is read. */
export function walk(value: unknown, into: Collector, hidden: Hidden): void {
  if (Array.isArray(value)) {
    for (const item of value) walk(item, into, hidden)
    return
  }
  if (!isStruct(value)) return
  if (typeof value['relname'] === 'string') relation(value, into, hidden, read)
  walkRest(value, into, hidden, [])
}
