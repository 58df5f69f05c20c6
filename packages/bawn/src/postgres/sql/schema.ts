import type { Field } from '../../fields/field.ts'
import { type DatabaseObjects, loadObjects } from './objects.ts'
import { createParser } from './parser.ts'
import type { Dependent, ProtectedRelation, RelationColumn, SchemaProblem, SchemaSnapshot } from './plan.ts'
import { type Declared, type Found, type FoundColumn, problemsOf } from './schema-problems.ts'
import {
  columnsQuery,
  definitionsQuery,
  dependentsQuery,
  eventTriggersQuery,
  homonymsQuery,
  relationsQuery,
  rewritesQuery,
  tablesQuery,
} from './schema-queries.ts'
import { hazardous } from './view-defaults.ts'
import { type Defined, type Followed, followViews } from './views.ts'

/** Runs one query with the gateway's own login; rows by column name. */
export type CatalogueQuery = (
  sql: string,
  parameters: readonly unknown[],
) => Promise<readonly Readonly<Record<string, unknown>>[]>

export interface SchemaSourceOptions {
  readonly query: CatalogueQuery
  readonly fields: readonly Field[]
  /** Name of the configured database: fields of others are not looked at. */
  readonly database: string
  /** Whether snapshots tell everything that statements can name, which grants need; asked at each load. */
  readonly objects?: () => boolean
  /** Asks whether row filters are in place, at each load. */
  readonly missingFilters?: (query: CatalogueQuery) => Promise<readonly string[]>
  /** Tables of which objects then tell by which other names their rows are reached; asked at each load. */
  readonly watched?: () => readonly { readonly schema: string; readonly name: string }[]
  /** Tells other gateways at the database of a change. Never throws. */
  readonly announce?: () => void
  /** Milliseconds, monotonic. */
  readonly now?: () => number
}

/**
 * Keeps the meaning of the catalogue in one database up to date.
 *
 * A change through the gateway is known by `schemaChange` of its plan: call `refresh` when the transaction it was in has ended,
 * committed or rolled back. A change beside the gateway is not announced by anything: call `fresh` before planning, with the age
 * that you accept, or `refresh` on an interval. Until then statements are planned by the old state, which is safe for columns (the
 * server goes by names, results by OID and attnum) but does not know a new child of a protected table.
 */
export interface SchemaSource {
  /** The last one loaded. */
  readonly current: SchemaSnapshot | undefined
  /** Loads what is true after this call began, where anything of it is needed. The same snapshot, with the same epoch, when nothing changed. */
  refresh(): Promise<SchemaSnapshot>
  /** The current snapshot when it is at most `maxAgeMs` old, otherwise a refreshed one; rejects when the database cannot be asked. */
  fresh(maxAgeMs: number): SchemaSnapshot | Promise<SchemaSnapshot>
  /** As `fresh`, and asks the database whether anything of the schema is needed or not. */
  look(maxAgeMs: number): SchemaSnapshot | Promise<SchemaSnapshot>
  /**
   * A statement is sent that changes the schema. @returns whether what is known must be read again when its transaction has ended
   */
  isChangedBy(plan: { readonly apart?: boolean | undefined }): boolean
  /** A change that `isChangedBy` told of is over, committed or rolled back: others may want to look. */
  announce(): void
  /** A change is over: what was read before this call is fresh no more, and whoever needs it reads it again. */
  doubt(): void
  /** Something was made that everybody has to know: what was read before this call is fresh no more, and is read again. */
  outdate(): void
}

/** Process-wide, so that snapshots of several databases never share one. */
let lastEpoch = 0

function text(row: Readonly<Record<string, unknown>>, name: string): string {
  const value = row[name]
  if (typeof value !== 'string') throw new TypeError(`the database answered ${name} as ${typeof value}, not as text`)
  return value
}

function named(row: Readonly<Record<string, unknown>>): { readonly schema: string; readonly name: string } {
  return { schema: text(row, 'schema'), name: text(row, 'name') }
}

type CatalogueRow = Readonly<Record<string, unknown>>

function foundColumn(row: CatalogueRow): FoundColumn {
  return {
    name: text(row, 'name'),
    attnum: Number(text(row, 'attnum')),
    typeOid: Number(text(row, 'type')),
    typeName: text(row, 'type_name'),
    hasDefault: row['has_default'] === true,
    generated: row['generated'] === true,
  }
}

function plainColumn({ name, attnum, typeOid, hasDefault, generated }: FoundColumn): RelationColumn {
  return { name, attnum, typeOid, hasDefault, generated, field: undefined }
}

/** For fingerprints: a field is known by its name. */
function nameOfField(key: string, value: unknown): unknown {
  return key === 'field' && typeof value === 'object' && value !== null && 'name' in value ? value.name : value
}

const empty: Omit<SchemaSnapshot, 'epoch'> = {
  ...{ relations: [], columns: new Map(), dependents: [], homonyms: [], problems: [] },
}

class DatabaseSchema implements SchemaSource {
  readonly #query: CatalogueQuery
  readonly #now: () => number
  readonly #declared: readonly Declared[]
  readonly #wantsObjects: () => boolean
  #followed: { readonly fingerprint: string; readonly result: Followed } | undefined
  readonly #watched: SchemaSourceOptions['watched']
  readonly #missingFilters: SchemaSourceOptions['missingFilters']
  readonly #announce: SchemaSourceOptions['announce']
  #objects: { readonly objects: DatabaseObjects; readonly fingerprint: string } | undefined
  #current: SchemaSnapshot | undefined
  #fingerprint = ''
  #loadedAt = 0
  /** Calls of `outdate`, and those of them that what runs and `#current` came after. */
  #outdated = 0
  #runningAfter = 0
  #loadedAfter = 0
  #running: Promise<SchemaSnapshot> | undefined
  /** Where nothing of a schema is needed. */
  readonly #nothing: SchemaSnapshot
  #next: Promise<SchemaSnapshot> | undefined

  constructor(options: SchemaSourceOptions) {
    this.#query = options.query
    this.#now = options.now ?? (() => performance.now())
    this.#wantsObjects = options.objects ?? (() => false)
    this.#watched = options.watched
    this.#missingFilters = options.missingFilters
    this.#announce = options.announce
    lastEpoch++
    this.#nothing = Object.freeze({ ...empty, epoch: lastEpoch })
    this.#declared = options.fields.flatMap(field =>
      field.columns.filter(column => column.database === options.database).map(column => ({ ...column, field })),
    )
  }

  get current(): SchemaSnapshot | undefined {
    return this.#current
  }

  /** No field, no filter, and nobody who asks for objects; grants may come with a reload. */
  get #isNeeded(): boolean {
    return this.#declared.length > 0 || this.#missingFilters !== undefined || this.#wantsObjects()
  }

  fresh(maxAgeMs: number): SchemaSnapshot | Promise<SchemaSnapshot> {
    return this.#isNeeded ? this.look(maxAgeMs) : this.#nothing
  }

  isChangedBy({ apart = false }: { readonly apart?: boolean | undefined }): boolean {
    if (!this.#isNeeded) {
      // Whoever needs it later reads it first.
      this.#outdated += 1
      return false
    }
    // Objects are everything that has a name, and filters are on tables that need not be protected.
    if (!apart || this.#wantsObjects() || this.#missingFilters !== undefined) return true
    return this.#current?.eventTriggers !== false
  }

  look(maxAgeMs: number): SchemaSnapshot | Promise<SchemaSnapshot> {
    const isCurrent = this.#loadedAfter === this.#outdated && this.#now() - this.#loadedAt <= maxAgeMs
    if (this.#current !== undefined && isCurrent) return this.#current
    // One that runs is recent enough here; `refresh` would wait for another after it.
    return this.#running !== undefined && this.#runningAfter === this.#outdated ? this.#running : this.#again()
  }

  announce(): void {
    this.#announce?.()
  }

  doubt(): void {
    this.#outdated += 1
  }

  outdate(): void {
    this.doubt()
    // Who needs it asks again, and learns then why it failed.
    this.refresh().catch(() => {})
  }

  async refresh(): Promise<SchemaSnapshot> {
    return this.#isNeeded ? await this.#again() : this.#nothing
  }

  #again(): Promise<SchemaSnapshot> {
    if (this.#running === undefined) return this.#start()
    // What runs may have asked before the caller's change: one more, shared by all who come until it begins.
    this.#next ??= this.#running.then(
      () => this.#start(),
      () => this.#start(),
    )
    return this.#next
  }

  #start(): Promise<SchemaSnapshot> {
    this.#next = undefined
    this.#runningAfter = this.#outdated
    const running = this.#load().finally(() => {
      if (this.#running === running) this.#running = undefined
    })
    this.#running = running
    return running
  }

  async #load(): Promise<SchemaSnapshot> {
    const startedAt = this.#now()
    this.#objects = this.#wantsObjects() ? await loadObjects(this.#query, this.#objects, this.#watched?.()) : undefined
    const objects = this.#objects?.objects
    const missingFilters = await this.#missingFilters?.(this.#query)
    const byTable = [...Map.groupBy(this.#declared, item => JSON.stringify([item.schema, item.table])).values()]
    const schemas = byTable.map(([item]) => item?.schema)
    const tables = byTable.map(([item]) => item?.table)
    const found = (await this.#query(relationsQuery, [schemas, tables])).map(
      (row): Found => ({ ...named(row), root: text(row, 'root'), oid: text(row, 'oid'), kind: text(row, 'kind') }),
    )
    const oids = [...new Set(found.map(item => item.oid))]
    const columns = Map.groupBy(await this.#query(columnsQuery, [oids]), row => text(row, 'relation'))
    const columnsOf = (oid: string): readonly FoundColumn[] => (columns.get(oid) ?? []).map(foundColumn)

    const problems: SchemaProblem[] = []
    const missing = byTable.some(([item]) => !found.some(one => one.schema === item?.schema && one.name === item.table))
    const known = missing ? (await this.#query(tablesQuery, [])).map(named).map(one => `${one.schema}.${one.name}`) : []
    const fieldsOf = new Map<string, Map<string, Field>>()
    for (const declared of byTable) {
      const [item] = declared
      const root = found.find(one => one.root === one.oid && one.schema === item?.schema && one.name === item.table)
      const wrong = problemsOf(declared, root, root === undefined ? [] : columnsOf(root.oid), known)
      problems.push(...wrong)
      if (root === undefined || wrong.length > 0) continue
      for (const one of found.filter(child => child.root === root.oid)) {
        const fields = fieldsOf.get(one.oid) ?? new Map<string, Field>()
        fieldsOf.set(one.oid, fields)
        for (const { column, field } of declared) {
          const other = fields.get(column)
          if (other !== undefined && other !== field) {
            const what = `${one.schema}.${one.name}.${column} already belongs to field ${other.name}, through its parent table`
            problems.push({
              code: 'postgres.column_missing',
              schema: one.schema,
              table: one.name,
              column,
              message: `field ${field.name}: ${what}`,
              hint: 'Declare the column of the parent table only',
            })
          }
          fields.set(column, field)
        }
      }
    }

    const relations = [...fieldsOf].flatMap(([oid, fields]): readonly ProtectedRelation[] => {
      const item = found.find(one => one.oid === oid)
      if (item === undefined) return []
      const own = columnsOf(oid).map(column => ({ ...plainColumn(column), field: fields.get(column.name) }))
      const isDeclared = this.#declared.some(one => one.schema === item.schema && one.table === item.name)
      const relation = { oid: Number(oid), schema: item.schema, name: item.name, columns: own }
      return [isDeclared ? relation : { ...relation, derived: 'child' }]
    })
    const guarded = relations.flatMap(relation =>
      // Through a view without the column too, INSERT would have a default stored in clear.
      relation.columns
        .filter(column => column.field !== undefined || hazardous(relation).length > 0)
        .map(column => ({ oid: relation.oid, attnum: column.attnum })),
    )
    const dependents = await this.#query(dependentsQuery, [
      guarded.map(item => item.oid),
      guarded.map(item => item.attnum),
    ])
    const followed = await this.#follow(relations, problems, dependents)
    const [triggers] = await this.#query(eventTriggersQuery, [])
    const homonyms = await this.#query(homonymsQuery, [followed.relations.map(relation => relation.oid)])
    return this.#keep(
      {
        relations: followed.relations,
        columns: new Map(
          followed.relations.map(relation => [
            relation.oid,
            new Map(
              relation.columns.flatMap(({ attnum, field }) => (field === undefined ? [] : [[attnum, field] as const])),
            ),
          ]),
        ),
        dependents: followed.dependents,
        homonyms: homonyms.map(named),
        problems,
        eventTriggers: triggers?.['any'] !== false,
        temporary: dependents.filter(row => row['temporary'] === true).map(row => text(row, 'name')),
        objects,
        missingFilters,
      },
      startedAt,
    )
  }

  /** Views and rules, analysed again only when one of them or a table beneath has changed. */
  async #follow(
    relations: readonly ProtectedRelation[],
    problems: readonly SchemaProblem[],
    rows: readonly CatalogueRow[],
  ): Promise<Followed> {
    const lasting = rows.filter(row => row['temporary'] !== true)
    const views = lasting.filter(row => row['above'] !== true)
    const above = lasting
      .filter(row => row['above'] === true)
      .map(
        (row): Dependent => ({
          ...named(row),
          reason: 'one of its partitions or children is protected, and it is not',
        }),
      )
    const viewOids = views.map(row => text(row, 'oid'))
    const oids = [...relations.map(relation => String(relation.oid)), ...viewOids]
    const rewrites = oids.length === 0 ? [] : await this.#query(rewritesQuery, [oids])
    const columns = viewOids.length === 0 ? [] : await this.#query(columnsQuery, [viewOids])
    const fingerprint = JSON.stringify([relations, problems, rows, rewrites, columns], nameOfField)
    if (this.#followed?.fingerprint === fingerprint) return this.#followed.result
    const found =
      rewrites.length === 0 ? [] : await this.#query(definitionsQuery, [rewrites.map(row => text(row, 'oid'))])
    const definitions = new Map(found.map(row => [text(row, 'oid'), String(row['definition'] ?? '')]))
    const rules = Map.groupBy(rewrites, row => text(row, 'relation'))
    const byRelation = Map.groupBy(columns, row => text(row, 'relation'))
    // What was dropped a moment ago has none: an empty text is not understood, and so refused.
    const definition = (row: CatalogueRow): string => definitions.get(text(row, 'oid')) ?? ''
    const define = (
      oid: string,
      item: { readonly schema: string; readonly name: string },
      isView: boolean,
    ): Defined => ({
      oid: Number(oid),
      schema: item.schema,
      name: item.name,
      columns: (byRelation.get(oid) ?? []).map(row => plainColumn(foundColumn(row))),
      query: isView
        ? (rules.get(oid) ?? [])
            .filter(row => row['event'] === '1')
            .map(definition)
            .join('')
        : undefined,
      rules: (rules.get(oid) ?? []).filter(row => row['event'] !== '1').map(definition),
    })
    const defined = [
      ...relations.map(relation => define(String(relation.oid), relation, false)),
      ...views.map(row => define(text(row, 'oid'), named(row), row['kind'] === 'v' || row['kind'] === 'm')),
    ]
    let result: Followed = { relations, dependents: above }
    if (rewrites.length > 0) {
      const parser = await createParser()
      try {
        result = await followViews({ relations, problems, dependents: above, homonyms: [] }, defined, parser)
      } finally {
        parser.close()
      }
    }
    this.#followed = { fingerprint, result }
    return result
  }

  #keep(loaded: Omit<SchemaSnapshot, 'epoch'>, startedAt: number): SchemaSnapshot {
    // Columns follow from relations, and objects do not move the epoch.
    const fingerprint = JSON.stringify({ ...loaded, columns: undefined, objects: undefined }, nameOfField)
    this.#loadedAt = startedAt
    this.#loadedAfter = this.#runningAfter
    if (this.#current === undefined || fingerprint !== this.#fingerprint) {
      this.#fingerprint = fingerprint
      lastEpoch++
      this.#current = Object.freeze({ epoch: lastEpoch, ...loaded })
    } else if (this.#current.objects !== loaded.objects) {
      this.#current = Object.freeze({ ...this.#current, objects: loaded.objects })
    }
    return this.#current
  }
}

/** A source that has not asked yet: call `refresh` before the first statement. */
export function createSchemaSource(options: SchemaSourceOptions): SchemaSource {
  return new DatabaseSchema(options)
}
