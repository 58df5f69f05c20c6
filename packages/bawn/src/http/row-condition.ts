import type { RowsOptions } from './hint-option.ts'

// A condition of `hints.rows`: a text, in which values are named, or JSON, in which they are put. No value ever becomes part of a text.

/** What may stand for a value. */
export type Bound = string | number | boolean | readonly Bound[]

/** As a backend gets it. */
export type RowCondition =
  /** @property values by the names in the text, without @; those that stand there and no others */
  | { readonly where: string; readonly values: Readonly<Record<string, Bound>> }
  /** JSON, with the values in their places. */
  | { readonly where: unknown }

/** Strings, quoted names and comments, which are left alone; then names. `@@` is an operator. */
const pieces =
  /[Ee]'(?:[^'\\]|''|\\[\s\S])*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|\$([A-Za-z_]*)\$[\s\S]*?\$\1\$|--[^\n\r]*|\/\*[\s\S]*?\*\/|(?<![@\w])@([A-Za-z_]\w*)/g

/** Of the values that a condition needs. */
export function namesIn(where: RowsOptions['where']): ReadonlySet<string> {
  const names = new Set<string>()
  if (typeof where === 'string') {
    for (const [, , name] of where.matchAll(pieces)) if (name !== undefined) names.add(name)
  } else {
    fill(where, name => {
      names.add(name)
      return name
    })
  }
  return names
}

/** @param value called for each name in the condition */
export function bindCondition(where: RowsOptions['where'], value: (name: string) => Bound): RowCondition {
  if (typeof where !== 'string') return { where: fill(where, value) }
  return { where, values: Object.fromEntries(Array.from(namesIn(where), name => [name, value(name)])) }
}

/** Only a whole text is a name: in a longer one a value could not be told from what is around it. */
function fill(part: unknown, value: (name: string) => Bound): unknown {
  if (typeof part === 'string') return part.startsWith('@') ? value(part.slice(1)) : part
  if (Array.isArray(part)) return part.map(item => fill(item, value))
  if (typeof part !== 'object' || part === null) return part
  return Object.fromEntries(Object.entries(part).map(([key, member]) => [key, fill(member, value)]))
}
