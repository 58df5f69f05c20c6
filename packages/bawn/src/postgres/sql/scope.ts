import type { Field } from '../../fields/field.ts'
import { isTemporary } from './names.ts'
import type { ProtectedRelation } from './plan.ts'
import { Refusal } from './refusal.ts'

/** A column as seen from a query: of a table, or an output of a query below it. */
export interface Column {
  readonly name: string
  readonly field: Field | undefined
  /** `public.users.email`, for messages. */
  readonly origin: string
  /** Is it surely this column? Not where the name could mean another table's. Only what is certain is rewritten or copied. */
  readonly certain: boolean
  /** Where it comes from, for copies; absent for results of expressions. */
  readonly place?: Place | undefined
}

/** One table as one statement names it. */
export interface Place {
  /** Its schema is written and not a temporary one: no `search_path` and no temporary table can make it another. */
  readonly exact: boolean
}

/** What a query or a FROM item yields. */
export interface Shape {
  readonly columns: readonly Column[]
  /** Are the columns all of them, in order? */
  readonly ordered: boolean
  /** May there be others, unprotected, whose names we do not know? */
  readonly open: boolean
}

/** A FROM item that names can refer to. */
export interface Source extends Shape {
  /** Alias or table name. */
  readonly alias: string
  /** As written before the table's name; where it was not, any schema in a reference may mean it. */
  readonly schema: string | undefined
  readonly relation: ProtectedRelation | undefined
  /** `old`, `new`: never meant by an unqualified name. */
  readonly qualifiedOnly?: boolean
}

/** One query level; names not found here are looked for in `parent`. */
export interface Scope {
  readonly sources: readonly Source[]
  readonly parent: Scope | undefined
}

export type Resolved =
  | { readonly kind: 'plain' }
  | { readonly kind: 'protected'; readonly column: Column; readonly field: Field }
  /** A whole row that holds protected columns. */
  | { readonly kind: 'row'; readonly source: Source }

const plain: Resolved = { kind: 'plain' }
const systemColumns = new Set(['tableoid', 'xmin', 'cmin', 'xmax', 'cmax', 'ctid'])

export function isGuarded(shape: Shape): boolean {
  return shape.columns.some(column => column.field !== undefined)
}

/** Unprotected columns of unknown names. */
export const unknownShape: Shape = { columns: [], ordered: false, open: true }

function asProtected(column: Column, certain: boolean): Resolved {
  if (column.field === undefined) return plain
  return { kind: 'protected', field: column.field, column: { ...column, certain: column.certain && certain } }
}

function unqualified(name: string, scope: Scope): Resolved {
  // An inner table of unknown columns may have this one: then the outer match is only possible, not certain.
  let certain = true
  for (let level: Scope | undefined = scope; level !== undefined; level = level.parent) {
    const found = level.sources
      .filter(source => source.qualifiedOnly !== true)
      .flatMap(source => source.columns.filter(column => column.name === name))
    const guarded = found.find(column => column.field !== undefined)
    if (guarded !== undefined) return asProtected(guarded, certain && found.length === 1)
    if (found.length > 0) return plain
    if (level.sources.some(source => source.open)) certain = false
  }
  // No such column: a table's name alone is its whole row.
  for (let level: Scope | undefined = scope; level !== undefined; level = level.parent) {
    const row = level.sources.find(source => source.alias === name && isGuarded(source))
    if (row !== undefined) return { kind: 'row', source: row }
  }
  return plain
}

/** The FROM items that `qualifier` (`t` or `s.t`) may mean, of the innermost level that has one. */
export function sourcesNamed(qualifier: readonly string[], scope: Scope): readonly Source[] {
  const alias = qualifier.at(-1)
  const schema = qualifier.at(-2)
  for (let level: Scope | undefined = scope; level !== undefined; level = level.parent) {
    const found = level.sources.filter(
      source =>
        source.alias === alias && (schema === undefined || source.schema === undefined || source.schema === schema),
    )
    if (found.length > 0) return found
  }
  return []
}

function qualified(names: readonly string[], scope: Scope, offset: number | undefined): Resolved {
  const name = names.at(-1) ?? ''
  const sources = sourcesNamed(names.slice(0, -1), scope)
  const found = sources.flatMap(source => source.columns.filter(column => column.name === name))
  const guarded = found.find(column => column.field !== undefined)
  if (guarded !== undefined) return asProtected(guarded, sources.length === 1)
  if (found.length > 0 || systemColumns.has(name)) return plain
  const source = sources.find(item => isGuarded(item))
  if (source === undefined) return plain
  // `t.f` is `f(t)` where t has no column f, and the function then sees the whole row.
  throw new Refusal(
    'postgres.column_missing',
    `no column "${name}" of ${source.alias} is known to the gateway`,
    'Check the name, and name the columns of a sub-select instead of *; a column that was added just now is known after the next look at the schema',
    offset,
  )
}

/**
 * Which column a reference means, by PostgreSQL's rules where the tables are known and on the safe side where they are not.
 *
 * @throws {Refusal} for a qualified name that a protected table does not have
 */
export function resolve(names: readonly string[], scope: Scope, offset: number | undefined): Resolved {
  const [only] = names
  if (only !== undefined && names.length === 1) return unqualified(only, scope)
  return qualified(names, scope, offset)
}

/** `*` (no qualifier: this level only) or `t.*`. */
export function expandStar(qualifier: readonly string[], scope: Scope): Shape {
  const sources =
    qualifier.length === 0
      ? scope.sources.filter(source => source.qualifiedOnly !== true)
      : sourcesNamed(qualifier, scope)
  return {
    columns: sources.flatMap(source => source.columns),
    ordered: sources.length > 0 && sources.every(source => source.ordered),
    open: sources.length === 0 || sources.some(source => source.open),
  }
}

/** `AS t (a, b)`: the first columns get other names. */
export function rename(shape: Shape, names: readonly string[]): Shape {
  if (names.length === 0) return shape
  return {
    ...shape,
    columns: shape.columns.map((column, index) => ({ ...column, name: names[index] ?? column.name })),
  }
}

/** The FROM item of a protected table. */
export function tableSource(
  relation: ProtectedRelation,
  alias: string | undefined,
  schema: string | undefined,
  ambiguous: boolean,
): Source {
  const place: Place = { exact: schema !== undefined && !isTemporary(schema) }
  return {
    alias: alias ?? relation.name,
    schema,
    relation,
    columns: relation.columns.map(column => ({
      name: column.name,
      field: column.field,
      origin: `${relation.schema}.${relation.name}.${column.name}`,
      certain: !ambiguous,
      place,
    })),
    ordered: true,
    open: false,
  }
}
