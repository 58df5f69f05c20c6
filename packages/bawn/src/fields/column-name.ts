/** `schema.table.column` as the database's catalogue spells it. */
export interface ColumnPath {
  readonly schema: string
  readonly table: string
  readonly column: string
}

/** NAMEDATALEN - 1: PostgreSQL cuts longer names, and two could become one. */
const maxNameBytes = 63
// An unquoted name of capital letters means the folded one in SQL and would mean itself here: it has to be quoted, so that nobody guesses.
const part = /"((?:[^"\0]|"")+)"|([a-z_\u0080-\uffff][a-z0-9_$\u0080-\uffff]*)/y

/** @returns `undefined` for anything but three names, each in double quotes unless SQL would take it as it is */
export function parseColumnPath(text: string): ColumnPath | undefined {
  const names: string[] = []
  let at = 0
  while (names.length < 3) {
    if (names.length > 0 && text[at++] !== '.') return undefined
    part.lastIndex = at
    const match = part.exec(text)
    const name = match?.[1]?.replaceAll('""', '"') ?? match?.[2]
    if (match === null || name === undefined || Buffer.byteLength(name) > maxNameBytes) return undefined
    names.push(name)
    at += match[0].length
  }
  const [schema, table, column] = names
  if (at !== text.length || schema === undefined || table === undefined || column === undefined) return undefined
  return { schema, table, column }
}
