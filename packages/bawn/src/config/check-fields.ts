import type { FieldOptions } from '../fields/option.ts'
import { suggest } from '../nearest.ts'
import type { Draft } from './draft.ts'
import type { ConfigPath } from './problem.ts'
import type { Report } from './report.ts'

/**
 * May some request path be of both: of a field's place and of a route? `{name}` is any one segment, `*` at the end any more of them.
 * What the HTTP door makes of the two is its own affair; this finds the place that no route can ever have.
 */
function mayMeet(place: string, route: string): boolean {
  const [ours, theirs] = [place.split('/'), route.split('/')]
  for (let at = 0; at < Math.max(ours.length, theirs.length); at++) {
    const [one, other] = [ours[at], theirs[at]]
    if (one === '*' || other === '*') return true
    if (one === undefined || other === undefined) return false
    if (one !== other && !one.startsWith('{') && !other.startsWith('{')) return false
  }
  return true
}

function checkColumns(draft: Draft, report: Report, field: FieldOptions, path: ConfigPath): void {
  if (field.database !== undefined && !draft.databases.has(field.database)) {
    const suggestion = suggest(field.database, [...draft.databases.keys()])
    report('error', [...path, 'database'], 'value', `no database is called "${field.database}"`, suggestion)
  }
  if (field.columns.length === 0) return
  if (draft.databases.size === 0)
    report('error', [...path, 'columns'], 'key', 'columns need a database, and there is none')
  if (draft.databases.size > 1 && field.database === undefined) {
    const names = [...draft.databases.keys()].join(', ')
    report(
      'error',
      [...path, 'columns'],
      'key',
      'which database are these columns in?',
      `add database: one of ${names}`,
    )
  }
  if (field.protect.encrypt === undefined) {
    const message = 'columns of a field must be encrypted: in the database they hold containers'
    report('error', [...path, 'columns'], 'key', message, 'add protect: { encrypt: acrablock }')
  }
}

function checkPlaces(draft: Draft, report: Report, field: FieldOptions, path: ConfigPath): void {
  const known = draft.routes.includes(undefined)
  for (const [index, place] of field.json.entries()) {
    const here = [...path, 'json', index]
    if (!known && !draft.routes.some(route => route && mayMeet(place.route, route.path))) {
      const suggestion = suggest(
        place.route,
        draft.routes.flatMap(route => (route ? [route.path] : [])),
      )
      report('error', [...here, 'route'], 'value', `no route has the path ${place.route}`, suggestion)
    }
    if (place.carries === 'sealed' && field.protect.encrypt === undefined) {
      const message = 'the upstream cannot hold this field sealed: it is not encrypted'
      report('error', [...here, 'route'], 'key', message, 'say carries: plain, or add protect: { encrypt: acrablock }')
    }
  }
}

function checkProtection(report: Report, field: FieldOptions, path: ConfigPath): void {
  if (field.protect.searchable && field.protect.encrypt === undefined) {
    const message = 'searchable needs encrypt: the search hash stands before the container'
    report('error', [...path, 'protect', 'searchable'], 'key', message)
  }
  for (const [role, seen] of Object.entries(field.reveal)) {
    if (field.type === 'bytes' && typeof seen === 'object') {
      report(
        'error',
        [...path, 'reveal', role],
        'key',
        'masks are for text; this field is of type bytes',
        'use plain or nothing',
      )
    }
  }
  if (field.reveal.default === 'plain') {
    const message = `everybody sees ${field.name} plain unless a role of theirs is named here`
    report('warning', [...path, 'reveal', 'default'], 'key', message, 'default: nothing is the safe choice')
  }
}

/** Fields that contradict themselves, each other, or what the rest of the file offers. */
export function checkFields(draft: Draft, report: Report): void {
  const names = new Map<string, number>()
  const places = new Map<string, string>()
  const claim = (key: string, what: string, field: FieldOptions, path: ConfigPath): void => {
    const owner = places.get(key)
    if (owner !== undefined) report('error', path, 'value', `field ${owner} has ${what} already`)
    else places.set(key, field.name)
  }
  for (const [index, field] of draft.fields.entries()) {
    if (!field) continue
    const path: ConfigPath = ['fields', index]
    const first = names.get(field.name)
    if (first !== undefined)
      report('error', [...path, 'name'], 'value', `fields[${first}] is called "${field.name}" already`)
    names.set(field.name, first ?? index)
    if (field.columns.length === 0 && field.json.length === 0) {
      report('error', [...path, 'name'], 'value', `field ${field.name} is nowhere`, 'give it columns, json, or both')
    }
    checkColumns(draft, report, field, path)
    checkPlaces(draft, report, field, path)
    checkProtection(report, field, path)
    for (const [at, column] of field.columns.entries()) {
      claim(JSON.stringify([field.database, column]), `column ${column}`, field, [...path, 'columns', at])
    }
    for (const [at, place] of field.json.entries()) {
      claim(JSON.stringify([place.route, place.path]), `${place.path} of ${place.route}`, field, [
        ...path,
        'json',
        at,
        'path',
      ])
    }
  }
}
