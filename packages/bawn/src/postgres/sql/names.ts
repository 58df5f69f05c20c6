import type { ProtectedRelation, SchemaProblem, SchemaSnapshot } from './plan.ts'

/** What a table name in a statement may mean. */
export type Meaning =
  | { readonly kind: 'other' }
  | {
      readonly kind: 'protected'
      /** Several where the name is unqualified and the relations of that name agree in columns and fields. */
      readonly relation: ProtectedRelation
      /** An unqualified name that other relations have too. */
      readonly ambiguous: boolean
    }
  /** Unqualified, and the protected relations of this name differ. */
  | { readonly kind: 'conflict'; readonly name: string }
  | { readonly kind: 'dependent'; readonly name: string; readonly reason: string; readonly readable: boolean }
  | { readonly kind: 'problem'; readonly problem: SchemaProblem }

/** Looks names up as PostgreSQL would, but for `search_path`, which is not known here: an unqualified name means every schema's. */
export interface Names {
  meaning(schema: string | undefined, name: string): Meaning
  /** Is the name, with or without schema, one that statements are examined for? Problems and dependents included. */
  isKnown(name: string): boolean
  /** Does the schema hold a protected table? */
  isKnownSchema(schema: string): boolean
  /** Every name to look for in the text of a statement. */
  readonly all: readonly string[]
}

function agree(one: ProtectedRelation, other: ProtectedRelation): boolean {
  return (
    one.columns.length === other.columns.length &&
    one.columns.every((column, index) => {
      const match = other.columns[index]
      return match?.name === column.name && match.field === column.field && match.hasDefault === column.hasDefault
    })
  )
}

/** `pg_temp`, the session's own, or `pg_temp_3`. */
export function isTemporary(schema: string): boolean {
  return schema.startsWith('pg_temp')
}

/** Finds a name as an identifier in a text, quoted or not; the server may have cut what is beyond 63 bytes of it. */
export function asWord(name: string): RegExp {
  const isLong = Buffer.byteLength(name) >= 60
  const start = isLong ? name.slice(0, 15) : name
  const letter = '[\\w$\\u{80}-\\u{10ffff}]'
  const escaped = start.replaceAll('"', '""').replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
  return new RegExp(`(?<!${letter})${escaped}${isLong ? '' : `(?!${letter})`}`, 'iu')
}

function groupBy<T>(items: readonly T[], key: (item: T) => string): ReadonlyMap<string, readonly T[]> {
  return Map.groupBy(items, key)
}

export function createNames(snapshot: SchemaSnapshot): Names {
  const relations = groupBy(snapshot.relations, relation => relation.name)
  const dependents = groupBy(snapshot.dependents, dependent => dependent.name)
  const homonyms = new Set(snapshot.homonyms.map(homonym => homonym.name))
  const problems = groupBy(snapshot.problems, problem => problem.table)
  const known = new Set([...relations.keys(), ...dependents.keys(), ...problems.keys()])

  const schemas = new Set(snapshot.relations.map(relation => relation.schema))
  return {
    all: [...known],
    isKnown: name => known.has(name),
    isKnownSchema: schema => schemas.has(schema),
    meaning(written, name) {
      if (!known.has(name)) return { kind: 'other' }
      // A temporary table is found without its schema too, before the protected one: by either name it is taken for that.
      const schema = written !== undefined && isTemporary(written) ? undefined : written
      const here = (item: { readonly schema: string }): boolean => schema === undefined || item.schema === schema
      const problem = problems.get(name)?.find(here)
      if (problem !== undefined) return { kind: 'problem', problem }
      const dependent = dependents.get(name)?.find(here)
      if (dependent !== undefined) {
        const { reason, readable = false } = dependent
        return { kind: 'dependent', name: `${dependent.schema}.${dependent.name}`, reason, readable }
      }
      const [first, ...rest] = (relations.get(name) ?? []).filter(here)
      if (first === undefined) return { kind: 'other' }
      if (!rest.every(relation => agree(first, relation))) return { kind: 'conflict', name }
      return {
        kind: 'protected',
        relation: first,
        ambiguous: schema === undefined && (written !== undefined || homonyms.has(name)),
      }
    },
  }
}
