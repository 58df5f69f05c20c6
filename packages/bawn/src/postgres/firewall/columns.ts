import type { Node } from 'libpg-query'
import type { Gate } from '../../policy/policy.ts'
import { truncated } from '../grants/collector.ts'
import type { DatabaseObjects } from '../sql/objects.ts'
import { everyStruct, isStruct, namesOf, type Struct, stringOf, unwrap } from '../sql/tree.ts'
import type { ColumnRuleOptions } from './option.ts'
import type { StatementClass } from './statement-class.ts'
import { spellings, type Touched, tableKey } from './touched.ts'

// Who may read and write a column. What a statement does with one is not worked out by following scopes: a column counts as read when its
// name stands anywhere in a statement that touches its table, and whatever could show it without its name (a star, a whole row, names
// that are given anew, a view, code that is not seen into) is refused. That errs in one direction only.

/** A rule about columns that was checked. */
export interface ColumnRule {
  readonly name: string
  readonly table: { readonly schema: string; readonly name: string }
  readonly columns: ReadonlySet<string>
  readonly read: Gate
  readonly write: Gate
}

export function compileColumnRule(
  { name, table, columns, read, write }: ColumnRuleOptions,
  gateOf: (allow: readonly string[]) => Gate,
): ColumnRule {
  return { name, table, columns: new Set(columns), read: gateOf(read), write: gateOf(write ?? read) }
}

/** What a statement does with columns, by its text alone. */
export interface ColumnFacts {
  /** Every name that may be a column's and is read. */
  readonly reads: ReadonlySet<string>
  readonly writes: ReadonlySet<string>
  /** Something that stands for columns without naming them; how to write it instead. */
  readonly unnamed: string | undefined
  /** An INSERT or COPY … FROM without a list of columns. */
  readonly writesAll: boolean
  /** It is about the table as such, and not about rows only. */
  readonly defines: boolean
}

/** Classes whose statements do with columns what stands in them, and nothing else. */
const plainClasses: ReadonlySet<StatementClass> = new Set([
  'SELECT',
  'INSERT',
  'UPDATE',
  'DELETE',
  'MERGE',
  'COPY',
  'EXPLAIN',
  'PREPARE',
  'CURSOR',
  'TRUNCATE',
  'LOCK',
  'MAINTENANCE',
] as const)

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

class Collector {
  readonly reads = new Set<string>()
  readonly writes = new Set<string>()
  unnamed: string | undefined
  writesAll = false
  /** What a row may be called: its table, an alias. */
  readonly #rows = new Set(['old', 'new', 'excluded'])
  /** Last names of references. */
  readonly #last: string[] = []

  visit(struct: Struct): void {
    const [kind, inner] = unwrap(struct) ?? []
    if (kind === undefined || inner === undefined) {
      this.#plain(struct)
      return
    }
    switch (kind) {
      case 'ColumnRef':
        this.#reference(listOf(inner['fields']))
        return
      case 'A_Indirection':
        this.#names(listOf(inner['indirection']))
        return
      case 'JoinExpr':
        this.#names(listOf(inner['usingClause']))
        if (inner['isNatural'] === true) this.unnamed ??= 'NATURAL JOIN'
        this.#alias(inner['alias'], true)
        this.#alias(inner['join_using_alias'], false)
        return
      case 'ReturningOption':
        if (typeof inner['value'] === 'string') this.#rows.add(truncated(inner['value']))
        return
      case 'IndexElem':
        if (typeof inner['name'] === 'string') this.reads.add(truncated(inner['name']))
        return
      case 'InsertStmt':
        this.#targets(inner['cols'])
        if (inner['cols'] === undefined && inner['selectStmt'] !== undefined) this.writesAll = true
        return
      case 'UpdateStmt':
        this.#targets(inner['targetList'])
        return
      case 'MergeWhenClause':
        this.#targets(inner['targetList'])
        if (inner['commandType'] === 'CMD_INSERT' && inner['targetList'] === undefined) this.writesAll = true
        return
      case 'CopyStmt':
        this.#copy(inner)
        return
      default:
    }
  }

  /** Structs that stand in others under the name of their place. */
  #plain(struct: Struct): void {
    const conflict = struct['onConflictClause']
    if (isStruct(conflict)) this.#targets(conflict['targetList'])
    if (typeof struct['relname'] !== 'string') return
    if (isStruct(struct['alias'])) this.#alias(struct['alias'], true)
    this.#rows.add(truncated(struct['relname']))
  }

  #alias(alias: unknown, renames: boolean): void {
    if (!isStruct(alias)) return
    if (typeof alias['aliasname'] === 'string') this.#rows.add(truncated(alias['aliasname']))
    if (renames && alias['colnames'] !== undefined) this.unnamed ??= 'an alias that gives columns other names'
  }

  #reference(fields: readonly unknown[]): void {
    this.#names(fields)
    const last = fields.at(-1)
    const name = last === undefined ? undefined : stringOf(last as Node)
    if (name !== undefined) this.#last.push(truncated(name))
  }

  #names(items: readonly unknown[]): void {
    for (const item of items) {
      if (isStruct(item) && 'A_Star' in item) this.unnamed ??= '*'
      const [name] = namesOf([item as Node]) ?? []
      if (name !== undefined) for (const one of spellings(truncated(name))) this.reads.add(one)
    }
  }

  #targets(targets: unknown): void {
    for (const target of listOf(targets)) {
      const name = unwrap(target)?.[1]['name']
      if (typeof name === 'string') for (const one of spellings(truncated(name))) this.writes.add(one)
    }
  }

  #copy(statement: Struct): void {
    if (statement['relation'] === undefined) return
    const columns = namesOf(listOf(statement['attlist']) as readonly Node[]) ?? []
    const isFrom = statement['is_from'] === true
    for (const name of columns.flatMap(spellings)) (isFrom ? this.writes : this.reads).add(truncated(name))
    if (columns.length > 0) return
    if (isFrom) this.writesAll = true
    else this.unnamed ??= 'COPY without a list of columns'
  }

  end(): void {
    const row = this.#last.find(name => this.#rows.has(name))
    if (row !== undefined) this.unnamed ??= `${row} as a whole row`
  }
}

export function columnFactsOf(statement: unknown, classes: ReadonlySet<StatementClass>): ColumnFacts {
  const into = new Collector()
  everyStruct(statement, struct => {
    into.visit(struct)
    return undefined
  })
  into.end()
  const { reads, writes, unnamed, writesAll } = into
  return { reads, writes, unnamed, writesAll, defines: ![...classes].every(one => plainClasses.has(one)) }
}

function firstOf(columns: ReadonlySet<string>, names: ReadonlySet<string>): string | undefined {
  return [...columns].find(column => names.has(column))
}

/**
 * What keeps a statement from going on under one rule, for somebody who may not do both; `undefined`: nothing.
 *
 * @param may what the rule permits them
 */
export function columnDenial(
  { table, columns }: ColumnRule,
  may: { readonly read: boolean; readonly write: boolean },
  facts: ColumnFacts,
  touched: Touched,
  objects: DatabaseObjects,
): string | undefined {
  const own = tableKey(table.schema, table.name)
  const named = `${table.schema}.${table.name}`
  const [first = ''] = columns
  const denied = (column: string): string => `permission denied for column ${column} of table ${named}`
  const doubtful = (why: string): string => `${denied(first)}: ${why}`
  if (touched.opaque !== undefined) return doubtful(`it cannot be told what ${touched.opaque} does`)
  if (!may.read && touched.revealing !== undefined) return doubtful(`${touched.revealing} shows what columns hold`)
  const reach = objects.reach?.get(own)
  const kinds = touched.tables.map(key => reach?.get(key) ?? (key === own ? 'table' : undefined))
  if (kinds.includes('view')) return doubtful('it cannot be told what a view or rule shows of it')
  if (!kinds.includes('table')) return undefined
  if (facts.defines) return doubtful('the statement is about the table itself')
  if (!may.read) {
    const column = firstOf(columns, facts.reads)
    if (column !== undefined) return denied(column)
    if (facts.unnamed !== undefined) return doubtful(`${facts.unnamed} may stand for it, name the columns`)
  }
  if (may.write) return undefined
  const column = firstOf(columns, facts.writes)
  if (column !== undefined) return denied(column)
  return facts.writesAll ? doubtful('without a list of columns all are written') : undefined
}
