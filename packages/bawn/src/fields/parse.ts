import { parseJsonPath } from '../json-path.ts'
import { nearest } from '../nearest.ts'
import { parseColumnPath } from './column-name.ts'
import { FieldError } from './error.ts'
import type { ColumnName, Field, JsonPlace } from './field.ts'
import type { FieldOptions } from './option.ts'

/**
 * Checks what a schema cannot see and makes the declared field.
 *
 * @param databases names of the configured databases
 * @throws {FieldError} `fields.invalid`
 */
export function parseField(options: FieldOptions, databases: readonly string[]): Field {
  const { name, protect } = options
  const database = databaseOf(options, databases)
  const columns = options.columns.map(text => parseColumn(name, text, database))
  const json = options.json.map(place => parsePlace(name, place))
  if (columns.length + json.length === 0) throw invalid(name, 'has neither columns nor json: it protects nothing')
  if (protect.encrypt === undefined) {
    // A view, a function, a trigger or a cast reads a column where no gateway sees it; only what is not there cannot leak.
    if (columns.length > 0)
      throw invalid(
        name,
        'has columns and no protect.encrypt: a column that is only masked leaks through views and functions',
      )
    if (protect.searchable) throw invalid(name, 'is searchable and has no protect.encrypt')
    const sealed = json.find(place => place.carries === 'sealed')
    if (sealed !== undefined) {
      throw invalid(
        name,
        `carries sealed values on ${sealed.route} and has no protect.encrypt; write carries: plain if the upstream holds the value itself`,
      )
    }
  }
  if (options.type === 'bytes') {
    for (const [role, view] of Object.entries(options.reveal)) {
      if (typeof view !== 'string') throw invalid(name, `is of type bytes and masks it for ${role}: masks are for text`)
    }
  }
  return Object.freeze({
    name,
    columns: Object.freeze(columns),
    json: Object.freeze(json),
    type: options.type,
    encrypt: protect.encrypt,
    searchable: protect.searchable,
  })
}

/** Two fields may not speak of one place: which of them protects it would be chance. @throws {FieldError} `fields.invalid` */
export function refuseDuplicates(fields: readonly Field[]): void {
  const seen = new Map<string, string>()
  const claim = (field: Field, place: string, words: string) => {
    const other = seen.get(place)
    if (other !== undefined) throw invalid(field.name, `names ${words}, which field ${other} names already`)
    seen.set(place, field.name)
  }
  for (const field of fields) {
    claim(field, JSON.stringify(['name', field.name]), `the name ${field.name}`)
    for (const { database, schema, table, column } of field.columns) {
      claim(
        field,
        JSON.stringify(['column', database, schema, table, column]),
        `column ${schema}.${table}.${column} of ${database}`,
      )
    }
    for (const { route, path } of field.json) {
      claim(field, JSON.stringify(['json', route, path]), `${path.join('.')} of ${route}`)
    }
  }
}

function databaseOf(options: FieldOptions, databases: readonly string[]): string | undefined {
  const { name, database, columns } = options
  if (database !== undefined) {
    if (databases.includes(database)) return database
    const near = nearest(database, databases)
    throw invalid(
      name,
      `names database ${database}, which is not configured${near === undefined ? '' : `; did you mean ${near}?`}`,
    )
  }
  if (columns.length === 0 || databases.length === 1) return databases[0]
  throw invalid(
    name,
    databases.length === 0
      ? 'has columns, and no database is configured'
      : `needs database, one of: ${databases.join(', ')}`,
  )
}

function parseColumn(name: string, text: string, database: string | undefined): ColumnName {
  const path = parseColumnPath(text)
  if (path === undefined || database === undefined) throw invalid(name, `column ${text} is not schema.table.column`)
  return Object.freeze({ database, ...path })
}

function parsePlace(name: string, place: FieldOptions['json'][number]): JsonPlace {
  const parsed = parseJsonPath(place.path)
  if (parsed.kind === 'fault') {
    throw invalid(name, `path ${place.path}, character ${parsed.position}: ${parsed.fault}`)
  }
  return Object.freeze({ route: place.route, path: Object.freeze(parsed.path), carries: place.carries })
}

/** `fields.invalid` with the field's name in front. */
export function invalid(name: string, words: string): FieldError {
  return new FieldError('fields.invalid', `field ${name} ${words}`)
}
