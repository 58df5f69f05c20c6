import { isReadableCatalogue } from '../../policy/system-objects.ts'
import { harmlessFunctions } from '../grants/builtin-functions.ts'
import type { Reference } from '../grants/reading.ts'
import type { DatabaseObjects, KnownRelation } from '../sql/objects.ts'
import type { NamedTable } from './option.ts'

/** What a statement may touch, as the database is now. */
export interface Touched {
  /** `tableKey` of each table, view, sequence …; where a name may mean several, all of them. */
  readonly tables: readonly string[]
  /** Why it may touch any table at all; `undefined` when it cannot. */
  readonly opaque: string | undefined
  /** A name is not known: somebody may just have made what it means. */
  readonly unknown: boolean
  /** Tables without a schema that are not known. */
  readonly missing: readonly string[]
  /** A catalogue that shows what tables hold, or what others send: `pg_stats` has the most common values of each column. */
  readonly revealing: string | undefined
}

/** Names may hold dots: nothing else can be taken for this separator. */
export function tableKey(schema: string, name: string): string {
  return `${schema}\0${name}`
}

/** A list of tables of a rule. */
export class TableSet {
  readonly names: readonly NamedTable[]
  readonly #keys = new Set<string>()
  readonly #schemas = new Set<string>()

  constructor(names: readonly NamedTable[]) {
    this.names = names
    for (const { schema, name } of names) {
      if (name === '*') this.#schemas.add(schema)
      else this.#keys.add(tableKey(schema, name))
    }
  }

  has(key: string): boolean {
    return this.#keys.has(key) || this.#schemas.has(key.slice(0, key.indexOf('\0')))
  }
}

/** Letters outside ASCII may be folded by a server whose encoding is not UTF-8. */
export function spellings(name: string): readonly string[] {
  const folded = /[^\p{ASCII}]/u.test(name) ? name.toLowerCase() : name
  return folded === name ? [name] : [name, folded]
}

class Resolver {
  readonly tables = new Set<string>()
  opaque: string | undefined
  unknown = false
  readonly missing: string[] = []
  revealing: string | undefined
  readonly #objects: DatabaseObjects
  readonly #trusted: TableSet

  constructor(objects: DatabaseObjects, trusted: TableSet) {
    this.#objects = objects
    this.#trusted = trusted
  }

  resolve(reference: Reference): void {
    switch (reference.kind) {
      case 'relation':
        this.#relation(reference.schema, reference.name)
        return
      case 'creation':
        this.#creation(reference.schema, reference.name)
        return
      case 'new-name':
        this.#creation(reference.schema, reference.newName)
        return
      case 'function':
        this.#function(reference)
        return
      case 'object':
        this.opaque ??= `${reference.name} may be what tables are made of`
        return
      case 'schema':
      case 'contents':
        this.opaque ??= `schema ${reference.schema} as a whole`
        return
      case 'database':
      case 'restricted':
        this.opaque ??= reference.what
        return
    }
  }

  #add(relation: KnownRelation): void {
    this.tables.add(tableKey(relation.schema, relation.name))
    // An index or a sequence tells of its table.
    if (relation.table !== undefined) this.tables.add(tableKey(relation.table.schema, relation.table.name))
  }

  #relation(schema: string | undefined, name: string): void {
    const found = spellings(name)
      .flatMap(spelling => this.#objects.relations.get(spelling) ?? [])
      .filter(one => schema === undefined || spellings(schema).includes(one.schema))
    for (const one of found) {
      this.#add(one)
      this.#reveals(one.schema, one.name)
    }
    if (found.length > 0) return
    if (schema !== undefined) this.#reveals(schema, name)
    this.tables.add(tableKey(schema ?? '', name))
    if (schema === undefined) this.missing.push(name)
    if (schema === undefined || !/^(?:pg_|information_schema$)/.test(schema)) this.unknown = true
  }

  #reveals(schema: string, name: string): void {
    const isSystem = schema === 'information_schema' || (schema.startsWith('pg_') && schema !== 'pg_temp')
    if (isSystem && !isReadableCatalogue(schema, name)) this.revealing ??= `${schema}.${name}`
  }

  #creation(schema: string | undefined, name: string): void {
    const places = schema === undefined ? [...this.#objects.schemas.keys()] : [schema]
    for (const place of places) this.tables.add(tableKey(place, name))
  }

  #function({ schema, name, attribute }: Extract<Reference, { readonly kind: 'function' }>): void {
    const found = (this.#objects.functions.get(name) ?? []).filter(
      one => (schema === undefined || one.schema === schema) && (!attribute || one.unary),
    )
    for (const one of found) {
      const known =
        one.schema === 'pg_catalog' ? harmlessFunctions.has(name) : this.#trusted.has(tableKey(one.schema, one.name))
      if (!known) this.opaque ??= `function ${name}()`
    }
    if (attribute || found.length > 0 || schema === 'information_schema') return
    if ((schema === undefined || schema === 'pg_catalog') && this.#objects.pure.has(name)) return
    this.unknown = true
    this.opaque ??= `function ${name}()`
  }
}

/** What references may mean. Functions of `trusted` touch nothing. */
export function touchedBy(references: readonly Reference[], objects: DatabaseObjects, trusted: TableSet): Touched {
  const resolver = new Resolver(objects, trusted)
  for (const reference of references) resolver.resolve(reference)
  const { tables, opaque, unknown, missing, revealing } = resolver
  return { tables: [...tables], opaque, unknown, missing, revealing }
}
