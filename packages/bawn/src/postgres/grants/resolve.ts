import { type GrantTarget, type Need, type Privilege, privileges } from '../../accounts/grant.ts'
import { isReadableCatalogue } from '../../policy/system-objects.ts'
import type { DatabaseObjects, KnownRelation, RelationKind } from '../sql/objects.ts'
import { harmlessFunctions } from './builtin-functions.ts'
import type { Noun, Reference } from './reading.ts'

/** What one reference needs. All of it: where a name may mean several things, the privilege is needed on each. */
export interface Demand {
  readonly needs: readonly Need[]
  /** `table`, `schema`, `function` …, for the message. */
  readonly noun: string
  /** As it stands in the statement. */
  readonly written: string
  /** Without its schema, as PostgreSQL's messages have it. */
  readonly name: string
  /** A relation that has to exist: who may not see it is told that it does not. */
  readonly relation: { readonly noun: Noun; readonly offset: number | undefined; readonly known: boolean } | undefined
}

export interface Resolution {
  readonly demands: readonly Demand[]
  readonly needs: readonly Need[]
  /** A name that is not among the objects: somebody may just have made it. */
  readonly unknown: boolean
  /** Rests on what the session made, so it is no other session's. */
  readonly personal: boolean
}

/** Whether a schema is the server's own. */
function isSystemSchema(schema: string): boolean {
  return schema === 'information_schema' || schema.startsWith('pg_')
}

/** What a session made and others cannot see. */
export interface OwnObjects {
  /** `solid`: the server said so, and nothing was sent since that could have taken it away. */
  temporary(name: string): 'solid' | 'sent' | undefined
  /** Schemas in which the session made a relation of this name, in a transaction that may still be open. */
  created(name: string): readonly string[]
}

const nouns: { readonly [kind in RelationKind]: string } = {
  r: 'table',
  p: 'table',
  f: 'foreign table',
  v: 'view',
  m: 'materialized view',
  S: 'sequence',
  i: 'index',
  I: 'index',
}

class Resolver {
  readonly demands: Demand[] = []
  unknown = false
  personal = false
  readonly #database: string
  readonly #objects: DatabaseObjects
  readonly #own: OwnObjects

  constructor(database: string, objects: DatabaseObjects, own: OwnObjects) {
    this.#database = database
    this.#objects = objects
    this.#own = own
  }

  resolve(reference: Reference): void {
    switch (reference.kind) {
      case 'relation':
        this.#relation(reference)
        return
      case 'creation':
        this.#creation(reference.schema, reference.name)
        return
      case 'new-name':
        this.#newName(reference)
        return
      case 'object':
        this.#schemas(reference.schema, ['DDL'], 'schema')
        return
      case 'schema':
        this.#schemas(reference.schema, reference.privileges, 'schema')
        return
      case 'contents':
        this.#contents(reference)
        return
      case 'database':
        this.#demand(reference.what, 'database', [this.#need(reference.privilege, this.#whole())])
        return
      case 'function':
        this.#function(reference)
        return
      case 'restricted':
        this.#restricted(reference.what)
        return
    }
  }

  #need(privilege: Privilege, target: GrantTarget): Need {
    return { privilege, target }
  }

  #whole(): GrantTarget {
    return { kind: 'database', database: this.#database }
  }

  #schema(schema: string): GrantTarget {
    return { kind: 'schema', database: this.#database, schema }
  }

  #table(schema: string, table: string): GrantTarget {
    return { kind: 'table', database: this.#database, schema, table }
  }

  #demand(written: string, noun: string, needs: readonly Need[], more: Partial<Demand> = {}): void {
    if (needs.length > 0) this.demands.push({ needs, noun, written, name: written, relation: undefined, ...more })
  }

  /** Whatever it does, somebody may do it who may do everything. */
  #restricted(what: string): void {
    const needs = privileges.map(privilege =>
      this.#need(privilege, privilege === 'AL' ? { kind: 'cluster' } : this.#whole()),
    )
    this.#demand(what, 'restricted', needs)
  }

  /** Relations that a name may mean. Letters outside ASCII may be folded by a server whose encoding is not UTF-8. */
  #named(name: string): readonly KnownRelation[] {
    const exact = this.#objects.relations.get(name) ?? []
    const folded = /[^\p{ASCII}]/u.test(name) ? name.toLowerCase() : name
    return folded === name ? exact : [...exact, ...(this.#objects.relations.get(folded) ?? [])]
  }

  #relation(reference: Extract<Reference, { readonly kind: 'relation' }>): void {
    const { schema, name, privileges: wanted, noun, offset } = reference
    const written = schema === undefined ? name : `${schema}.${name}`
    // The session's own temporary schema; `pg_temp_3` may be another's.
    if (schema === 'pg_temp') return
    if (schema !== undefined && isSystemSchema(schema)) {
      this.#catalog(schema, name, wanted)
      return
    }
    const defines = wanted.includes('DDL')
    const candidates = this.#named(name).filter(one => {
      if (schema !== undefined) return one.schema === schema
      return defines || (one.kind !== 'i' && one.kind !== 'I')
    })
    for (const { schema: system } of candidates) if (isSystemSchema(system)) this.#catalog(system, name, wanted)
    const ours = candidates.filter(one => !isSystemSchema(one.schema))
    const tables = ours.map(one => one.table ?? one)
    const targets = tables.map(one => this.#table(one.schema, one.name))
    if (candidates.length === 0) targets.push(...this.#unknownRelation(schema, name))
    const needs = targets.flatMap(target => wanted.map(privilege => this.#need(privilege, target)))
    const [first] = ours
    const relation = { noun, offset, known: first !== undefined }
    this.#demand(written, first === undefined ? 'table' : nouns[first.kind], needs, { name, relation })
  }

  #unknownRelation(schema: string | undefined, name: string): readonly GrantTarget[] {
    const temporary = schema === undefined ? this.#own.temporary(name) : undefined
    this.personal = true
    if (temporary === 'solid') return []
    this.unknown = true
    if (temporary === 'sent') return []
    if (schema !== undefined) return [this.#table(schema, name)]
    const created = this.#own.created(name)
    const places = created.length > 0 ? created : [...this.#objects.schemas.keys()]
    return places.length > 0 ? places.map(place => this.#table(place, name)) : [{ kind: 'cluster' }]
  }

  /** Definitions are read by everybody; for the rest there may be an entry on the very table. To change any of it needs everything. */
  #catalog(schema: string, name: string, wanted: readonly Privilege[]): void {
    const isRead = wanted.every(privilege => privilege === 'DQL')
    if (!isRead || schema.startsWith('pg_temp')) this.#restricted(`${schema}.${name}`)
    else if (!isReadableCatalogue(schema, name)) {
      this.#demand(`${schema}.${name}`, 'table', [this.#need('DQL', this.#table(schema, name))], { name })
    }
  }

  #creation(schema: string | undefined, name: string): void {
    if (schema === 'pg_temp') return
    if (schema !== undefined && isSystemSchema(schema)) {
      this.#restricted(`CREATE in ${schema}`)
      return
    }
    const places = schema === undefined ? [...this.#objects.schemas.keys()] : [schema]
    if (places.length === 0) this.#restricted('CREATE without a schema')
    const needs = places.map(place => this.#need('DDL', this.#table(place, name)))
    this.#demand(schema ?? places.join(', '), 'schema', needs)
  }

  #newName(reference: Extract<Reference, { readonly kind: 'new-name' }>): void {
    const { schema, name, newName } = reference
    if (schema === 'pg_temp') return
    const known = this.#named(name).map(one => one.schema)
    const places = schema === undefined ? (known.length > 0 ? known : [...this.#objects.schemas.keys()]) : [schema]
    const needs = places.map(place => this.#need('DDL', this.#table(place, newName)))
    this.personal ||= known.length === 0
    if (schema === undefined && known.length === 0 && this.#own.temporary(name) !== undefined) return
    this.#demand(places.join(', '), 'schema', needs)
  }

  /** A schema by its name; without one every schema may be meant. */
  #schemas(schema: string | undefined, wanted: readonly Privilege[], noun: string, written?: string): void {
    if (schema === 'pg_temp') return
    if (schema !== undefined && isSystemSchema(schema)) {
      this.#restricted(`${noun} ${schema}`)
      return
    }
    const places = schema === undefined ? [...this.#objects.schemas.keys()] : [schema]
    if (places.length === 0) this.#restricted('CREATE without a schema')
    const needs = places.flatMap(place => wanted.map(privilege => this.#need(privilege, this.#schema(place))))
    this.#demand(written ?? schema ?? places.join(', '), noun, needs)
  }

  #contents(reference: Extract<Reference, { readonly kind: 'contents' }>): void {
    const { schema, privileges: wanted } = reference
    for (const relations of this.#objects.relations.values()) {
      for (const one of relations) {
        if (one.schema !== schema || one.table !== undefined) continue
        const needs = wanted.map(privilege => this.#need(privilege, this.#table(schema, one.name)))
        this.#demand(`${schema}.${one.name}`, nouns[one.kind], needs, { name: one.name })
      }
    }
  }

  #function(reference: Extract<Reference, { readonly kind: 'function' }>): void {
    const { schema, name, attribute } = reference
    if (schema === 'information_schema') return
    const found = (this.#objects.functions.get(name) ?? []).filter(
      one => (schema === undefined || one.schema === schema) && (!attribute || one.unary),
    )
    for (const one of found) {
      if (one.schema === 'pg_catalog') {
        if (!harmlessFunctions.has(name)) this.#restricted(`function ${name}`)
      } else if (isSystemSchema(one.schema)) this.#restricted(`function ${one.schema}.${name}`)
      else this.#schemas(one.schema, ['DQL'], 'function', name)
    }
    if (attribute || found.length > 0) return
    if (schema === undefined || schema === 'pg_catalog') this.unknown ||= !this.#objects.pure.has(name)
    else if (isSystemSchema(schema)) this.#restricted(`function ${schema}.${name}`)
    else this.#schemas(schema, ['DQL'], 'function', `${schema}.${name}`)
  }
}

/** What references need in one database, with the objects that are there now. */
export function resolve(
  references: readonly Reference[],
  database: string,
  objects: DatabaseObjects,
  own: OwnObjects,
): Resolution {
  const resolver = new Resolver(database, objects, own)
  for (const reference of references) resolver.resolve(reference)
  const { demands, unknown, personal } = resolver
  return { demands, needs: demands.flatMap(demand => demand.needs), unknown, personal }
}
