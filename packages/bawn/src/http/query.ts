/** A parameter of a query; name and value decoded. */
export interface Parameter {
  readonly name: string
  readonly value: string
  /** As it came. */
  readonly text: string
}

/** @param query with its `?` */
export function everyParameter(query: string): readonly Parameter[] {
  const parameters: Parameter[] = []
  for (let start = 1; start <= query.length; ) {
    const next = query.indexOf('&', start)
    const end = next === -1 ? query.length : next
    const text = query.slice(start, end)
    const equals = text.indexOf('=')
    const name = decode(equals === -1 ? text : text.slice(0, equals))
    parameters.push({ name, value: equals === -1 ? '' : decode(text.slice(equals + 1)), text })
    start = end + 1
  }
  return parameters
}

/**
 * A query without the parameters of these names, however they are encoded; everything else as it came.
 *
 * @param query with its `?`, or empty
 */
export function withoutParameters(query: string, names: ReadonlySet<string>): string {
  if (query === '') return query
  const all = everyParameter(query)
  const kept = all.filter(({ name }) => !names.has(name))
  if (kept.length === all.length) return query
  return kept.length === 0 ? '' : `?${kept.map(({ text }) => text).join('&')}`
}

/**
 * A query with the parameters of these names only, as they came, but for `;`: some servers divide there too, and would find another name in
 * the value of one that is allowed.
 *
 * @param query with its `?`, or empty
 */
export function onlyParameters(query: string, names: ReadonlySet<string>): string {
  if (query === '') return query
  const kept = everyParameter(query).filter(({ name }) => names.has(name))
  return kept.length === 0 ? '' : `?${kept.map(({ text }) => text.replaceAll(';', '%3B')).join('&')}`
}

/** application/x-www-form-urlencoded. What is not UTF-8 stays as it is: it is nobody's name. */
function decode(text: string): string {
  if (!text.includes('%') && !text.includes('+')) return text
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return text
  }
}
