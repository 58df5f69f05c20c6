import type { Node } from 'libpg-query'
import type { ProtectedRelation, RelationColumn } from './plan.ts'
import { namesOf } from './tree.ts'

// PostgreSQL writes through a view that reads one table. What an INSERT leaves out there gets the default of the table's column, and of a
// protected column the server would store that in clear.

/** A view, as it is named. */
interface Named {
  readonly schema: string
  readonly name: string
}

const hidden =
  'a protected column beneath it has a default and is no column of the view, so that INSERT would store it unencrypted'

/** Which defaults of protected columns an INSERT into a table or view may have the server store. */
export class ViewDefaults {
  /** By schema and name: the columns with one; `undefined` where it has no name there. */
  readonly #columns = new Map<string, readonly (string | undefined)[]>()

  constructor(relations: readonly ProtectedRelation[]) {
    for (const relation of relations)
      this.#note(
        relation,
        hazardous(relation).map(({ name }) => name),
      )
  }

  /**
   * What is so for a view that has been followed: to be asked for the views beneath it first.
   *
   * @param definition its query
   * @param columns of the view
   * @returns its columns, those with a default of the table's among them; and the reason where nothing may be written into it
   */
  follow(
    view: Named,
    definition: Node,
    columns: readonly RelationColumn[],
  ): { readonly columns: readonly RelationColumn[]; readonly unwritable?: string } {
    const select = 'SelectStmt' in definition ? definition.SelectStmt : {}
    const [from, ...more] = select.fromClause ?? []
    const base = from !== undefined && 'RangeVar' in from && more.length === 0 ? from.RangeVar : undefined
    const beneath = this.#columns.get(keyOf({ schema: base?.schemaname ?? '', name: base?.relname ?? '' })) ?? []
    if (beneath.length === 0) return { columns }
    const shown = (select.targetList ?? []).map(columnOf)
    const places = beneath.map(name => (name === undefined ? -1 : shown.indexOf(name)))
    this.#note(
      view,
      places.map(place => columns[place]?.name),
    )
    const all = columns.map((column, place) => (places.includes(place) ? { ...column, hasDefault: true } : column))
    return places.includes(-1) ? { columns: all, unwritable: hidden } : { columns: all }
  }

  #note(named: Named, columns: readonly (string | undefined)[]): void {
    if (columns.length > 0) this.#columns.set(keyOf(named), columns)
  }
}

/** Protected columns with a default. */
export function hazardous({ columns }: Pick<ProtectedRelation, 'columns'>): readonly RelationColumn[] {
  return columns.filter(({ field, hasDefault }) => field !== undefined && hasDefault)
}

/** The column that an output is, and nothing but that. */
function columnOf(target: Node): string | undefined {
  const { val } = 'ResTarget' in target ? target.ResTarget : {}
  return val !== undefined && 'ColumnRef' in val ? namesOf(val.ColumnRef.fields)?.at(-1) : undefined
}

function keyOf({ schema, name }: Named): string {
  return JSON.stringify([schema, name])
}
