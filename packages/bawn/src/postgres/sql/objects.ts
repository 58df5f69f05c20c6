import type { CatalogueQuery } from './schema.ts'
import { reachQuery } from './schema-queries.ts'

/** Kinds of relation as `pg_class.relkind` has them: tables, partitioned and foreign ones, views, sequences, indexes. */
export const relationKinds = ['r', 'p', 'f', 'v', 'm', 'S', 'i', 'I'] as const
export type RelationKind = (typeof relationKinds)[number]

export interface KnownRelation {
  readonly oid: string
  readonly schema: string
  readonly name: string
  readonly kind: RelationKind
  /** The table that an index is on, or that a sequence is owned by: privileges on it are those on the table. */
  readonly table: { readonly schema: string; readonly name: string } | undefined
}

/** Functions, aggregates and procedures of one name in one schema, whatever their arguments. */
export interface KnownFunction {
  readonly schema: string
  readonly name: string
  /** One of them may be called with one argument: then also as `x.name`. */
  readonly unary: boolean
}

/** What statements can name in one database. Replaced whole when anything of it changed. */
export interface DatabaseObjects {
  /** By name. Temporary ones are left out: they are their session's own. */
  readonly relations: ReadonlyMap<string, readonly KnownRelation[]>
  /** OID by name; system schemas are left out. */
  readonly schemas: ReadonlyMap<string, string>
  /** By name; without those of `pure` and of information_schema. */
  readonly functions: ReadonlyMap<string, readonly KnownFunction[]>
  /** Names of functions of pg_catalog of which every variant came with the server and is immutable: they only compute. */
  readonly pure: ReadonlySet<string>
  /**
   * By `schema\0table` as they were asked for: itself, partitions, children, parents and views, by whose names rows of it are touched too.
   * `table` is one with its columns under their own names, `view` a view or a table with a rule.
   */
  /** The tables that `reach` was asked for, as they were given. */
  readonly watched?: readonly { readonly schema: string; readonly name: string }[]
  readonly reach?: ReadonlyMap<string, ReadonlyMap<string, 'table' | 'view'>>
}

const relationsQuery = `
SELECT c.oid::pg_catalog.text AS oid, n.nspname::pg_catalog.text AS schema, c.relname::pg_catalog.text AS name,
  c.relkind::pg_catalog.text AS kind,
  (SELECT d.refobjid FROM pg_catalog.pg_depend d
   WHERE c.relkind = 'S' AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
     AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i') LIMIT 1)::pg_catalog.text AS owner,
  i.indrelid::pg_catalog.text AS indexed
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S', 'i', 'I') AND c.relpersistence <> 't'
  AND (n.nspname !~ '^pg_' OR n.nspname = 'pg_catalog' AND c.relkind IN ('r', 'v'))
ORDER BY c.oid`

const schemasQuery = `
SELECT n.oid::pg_catalog.text AS oid, n.nspname::pg_catalog.text AS name
FROM pg_catalog.pg_namespace n
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY n.nspname`

/** OIDs below 16384 are those that the server came with. */
const functionsQuery = `
SELECT n.nspname::pg_catalog.text AS schema, p.proname::pg_catalog.text AS name,
  pg_catalog.bool_or(p.pronargs >= 1 AND p.pronargs - p.pronargdefaults <= 1 OR p.provariadic <> 0) AS is_unary,
  pg_catalog.bool_and(n.nspname = 'pg_catalog' AND p.provolatile = 'i' AND p.oid < 16384) AS is_pure
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_temp_'
GROUP BY n.nspname, p.proname
ORDER BY n.nspname, p.proname`

const nothing: readonly never[] = []

type Row = Readonly<Record<string, unknown>>

function text(row: Row, name: string): string {
  const value = row[name]
  if (typeof value !== 'string') throw new TypeError(`the database answered ${name} as ${typeof value}, not as text`)
  return value
}

function kindOf(row: Row): RelationKind {
  const kind = relationKinds.find(known => known === row['kind'])
  if (kind === undefined) throw new TypeError('the database answered an unknown kind of relation')
  return kind
}

/**
 * Loads what there is now.
 *
 * @param known what was loaded before: returned again when nothing changed
 * @param watched tables whose `reach` is wanted; the name `*` is all of a schema
 */
export async function loadObjects(
  query: CatalogueQuery,
  known: { readonly objects: DatabaseObjects; readonly fingerprint: string } | undefined,
  watched: readonly { readonly schema: string; readonly name: string }[] = nothing,
): Promise<{ readonly objects: DatabaseObjects; readonly fingerprint: string }> {
  const relationRows = await query(relationsQuery, [])
  const schemaRows = await query(schemasQuery, [])
  const functionRows = await query(functionsQuery, [])
  const reachRows =
    watched.length === 0 ? [] : await query(reachQuery, [watched.map(one => one.schema), watched.map(one => one.name)])
  const fingerprint = JSON.stringify([relationRows, schemaRows, functionRows, reachRows])
  if (known?.fingerprint === fingerprint && known.objects.watched === watched) return known

  const byOid = new Map(relationRows.map(row => [text(row, 'oid'), row]))
  const relations = relationRows.map((row): KnownRelation => {
    const table = byOid.get(String(row['owner'] ?? row['indexed']))
    return {
      oid: text(row, 'oid'),
      schema: text(row, 'schema'),
      name: text(row, 'name'),
      kind: kindOf(row),
      table: table === undefined ? undefined : { schema: text(table, 'schema'), name: text(table, 'name') },
    }
  })
  const functions = functionRows
    .filter(row => row['is_pure'] !== true)
    .map(
      (row): KnownFunction => ({
        schema: text(row, 'schema'),
        name: text(row, 'name'),
        unary: row['is_unary'] === true,
      }),
    )
  const key = (schema: string, name: string): string => `${schema}\0${name}`
  const reach = new Map<string, Map<string, 'table' | 'view'>>()
  for (const row of reachRows) {
    const of = key(text(row, 'of_schema'), text(row, 'of_name'))
    const names = reach.get(of) ?? new Map<string, 'table' | 'view'>()
    names.set(key(text(row, 'schema'), text(row, 'name')), row['same_columns'] === true ? 'table' : 'view')
    reach.set(of, names)
  }
  const objects: DatabaseObjects = {
    reach,
    watched,
    relations: Map.groupBy(relations, relation => relation.name),
    schemas: new Map(schemaRows.map(row => [text(row, 'name'), text(row, 'oid')])),
    functions: Map.groupBy(functions, one => one.name),
    pure: new Set(functionRows.filter(row => row['is_pure'] === true).map(row => text(row, 'name'))),
  }
  return { objects, fingerprint }
}
