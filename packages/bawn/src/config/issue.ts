import type { z } from 'zod'
import { nearest, suggest } from '../nearest.ts'
import { isDuration, type JsonSchema, schemasAt } from './json-schema.ts'
import type { ConfigPath } from './problem.ts'

// From what zod says to what an operator can use: which key, what is wrong with it in plain words, what would fit.

type Issue = z.core.$ZodIssue

/** One problem in words, before it has a line. */
export interface Finding {
  readonly path: ConfigPath
  readonly at: 'key' | 'value'
  readonly message: string
  readonly suggestion?: string | undefined
  /** The key that is missing, or the known key that an unknown one was probably meant to be. */
  readonly meant?: string | undefined
  readonly kind?: 'missing' | 'unknown'
}

/** `routes[0].upstream`, or `the file`. */
export function pathText(path: ConfigPath): string {
  if (path.length === 0) return 'the file'
  return path.map((step, index) => (typeof step === 'number' ? `[${step}]` : index === 0 ? step : `.${step}`)).join('')
}

/** The file that an issue is about. */
interface Top {
  /** As parsed from YAML. */
  readonly value: unknown
  readonly schema: JsonSchema
}

const valueAt = ({ value }: Top, path: ConfigPath): unknown =>
  path.reduce<unknown>(
    (here, step) => (typeof here === 'object' && here !== null ? Reflect.get(here, step) : undefined),
    value,
  )

const schemasOf = (path: ConfigPath, { value, schema }: Top): readonly JsonSchema[] => schemasAt(path, value, schema)

const kindOf = (value: unknown): string => {
  if (value === null) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a set of keys'
  if (typeof value === 'string') return 'text'
  return `the ${typeof value === 'boolean' ? 'truth value' : 'number'} ${String(value)}`
}

const typeWords: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'a set of keys',
  record: 'a set of keys',
  array: 'a list',
}

const asPath = (path: readonly PropertyKey[]): ConfigPath =>
  path.map(step => (typeof step === 'number' ? step : String(step)))

const quoted = (words: readonly unknown[]): string => words.map(word => String(word)).join(', ')

const isSecret = (schemas: readonly JsonSchema[]): boolean =>
  schemas.some(schema => schema.pattern?.includes('env:') ?? false)

function unknownKey(key: string, path: ConfigPath, top: Top): Finding {
  const known = schemasOf(path, top).flatMap(schema => Object.keys(schema.properties ?? {}))
  const message = `unknown key "${key}" ${path.length === 0 ? 'at the top level' : `in ${pathText(path)}`}`
  const meant = nearest(key, known)
  const place = { path: [...path, key], at: 'key', message, kind: 'unknown', meant } as const
  const finding = (suggestion: string | undefined): Finding => ({ ...place, suggestion })
  if (meant !== undefined) return finding(suggest(key, known))
  for (const inner of known) {
    const below = schemasOf([...path, inner], top).flatMap(schema => Object.keys(schema.properties ?? {}))
    if (below.includes(key)) return finding(`"${key}" belongs under ${inner}`)
  }
  for (let up = path.length - 1; up >= 0; up--) {
    const above = schemasOf(path.slice(0, up), top).flatMap(schema => Object.keys(schema.properties ?? {}))
    const where = up === 0 ? 'at the top level' : `in ${pathText(path.slice(0, up))}`
    if (above.includes(key)) return finding(`"${key}" belongs ${where}`)
  }
  return finding(suggest(key, known))
}

function wrongType(issue: Extract<Issue, { code: 'invalid_type' }>, path: ConfigPath, top: Top): Finding {
  const value = valueAt(top, path)
  const key = path.at(-1)
  const schemas = schemasOf(path, top)
  const description = schemas.find(schema => schema.description !== undefined)?.description
  if (value === undefined && typeof key === 'string') {
    const message = `missing key "${key}" in ${pathText(path.slice(0, -1))}`
    const suggestion = description && `${key}: ${description}`
    return { path: path.slice(0, -1), at: 'key', message, suggestion, kind: 'missing', meant: key }
  }
  const wanted = typeWords[issue.expected] ?? issue.expected
  if (value === null) {
    return { path, at: 'key', message: `${pathText(path)} has no value: give it ${wanted}, or leave the key out` }
  }
  if (typeof value === 'number' && schemas.some(isDuration)) {
    return { path, at: 'value', message: `${pathText(path)} needs a unit`, suggestion: `write ${value}s or ${value}ms` }
  }
  const quote = issue.expected === 'string' && typeof value !== 'object' && !isSecret(schemas)
  const kind = isSecret(schemas) && typeof value !== 'object' ? `a ${typeof value}` : kindOf(value)
  return {
    path,
    at: 'value',
    message: `${pathText(path)} must be ${wanted}, and is ${kind}`,
    suggestion: quote ? `in quotes it is text: "${String(value)}"` : description,
  }
}

function notAmong(values: readonly unknown[], path: ConfigPath, top: Top, besides = ''): Finding {
  const value = valueAt(top, path)
  const known = values.filter(item => typeof item === 'string')
  if (typeof value === 'string' && value.length <= 60) {
    const best = nearest(value, known)
    const message = `"${value}" is not one of: ${quoted(values)}${besides}`
    return { path, at: 'value', message, suggestion: best && `did you mean "${best}"?` }
  }
  if (value === undefined) {
    const key = String(path.at(-1) ?? '')
    const message = `missing key "${key}" in ${pathText(path.slice(0, -1))}: one of ${quoted(values)}${besides}`
    return { path: path.slice(0, -1), at: 'key', message }
  }
  return {
    path,
    at: 'value',
    message: `${pathText(path)} must be one of: ${quoted(values)}${besides}, and is ${kindOf(value)}`,
  }
}

function union(issue: Extract<Issue, { code: 'invalid_union' }>, path: ConfigPath, top: Top): Finding[] {
  if ('options' in issue && Array.isArray(issue.options)) return [notAmong(issue.options, path, top)]
  // A member that went further than its first look is the one that was meant; say what is wrong inside it.
  const members = issue.errors.filter(
    errors =>
      !errors.some(one => one.path.length === 0 && (one.code === 'invalid_type' || one.code === 'invalid_value')),
  )
  const meant = [...members].sort((a, b) => a.length - b.length)[0]
  if (meant) return meant.flatMap(inner => explainIssue({ ...inner, path: [...path, ...inner.path] }, top))
  const flat = issue.errors.flat()
  const literals = flat.flatMap(one => (one.code === 'invalid_value' ? one.values : []))
  const types = flat.flatMap(one => (one.code === 'invalid_type' ? [typeWords[one.expected] ?? one.expected] : []))
  if (literals.length > 0) {
    const besides = types.length > 0 ? `, or ${[...new Set(types)].join(', or ')}` : ''
    return [notAmong([...new Set(literals)], path, top, besides)]
  }
  const wanted = [...new Set(types)].join(' or ')
  return [{ path, at: 'value', message: `${pathText(path)} must be ${wanted}, and is ${kindOf(valueAt(top, path))}` }]
}

function outOfBounds(issue: Extract<Issue, { code: 'too_small' | 'too_big' }>, path: ConfigPath): Finding {
  const bound = issue.code === 'too_small' ? issue.minimum : issue.maximum
  const most = issue.code === 'too_small' ? 'at least' : 'at most'
  const isEmpty = issue.code === 'too_small' && Number(bound) === 1
  const name = pathText(path)
  if (issue.origin === 'string') {
    return { path, at: 'value', message: isEmpty ? `${name} is empty` : `${name} may have ${most} ${bound} characters` }
  }
  if (issue.origin === 'array') {
    return {
      path,
      at: 'value',
      message: isEmpty ? `${name} needs at least one entry` : `${name} may have ${most} ${bound} entries`,
    }
  }
  return { path, at: 'value', message: `${name} must be ${most} ${bound}` }
}

function wrongFormat(issue: Extract<Issue, { code: 'invalid_format' }>, path: ConfigPath, top: Top): Finding {
  const description = schemasOf(path, top).find(schema => schema.description !== undefined)?.description
  const own = issue.message.startsWith('must ') ? issue.message : undefined
  if (issue.format === 'starts_with' && 'prefix' in issue) {
    return {
      path,
      at: 'value',
      message: `${pathText(path)} must start with "${String(issue.prefix)}"`,
      suggestion: description,
    }
  }
  const pattern =
    'pattern' in issue && typeof issue.pattern === 'string' ? `must match ${issue.pattern}` : 'is not well formed'
  return {
    path,
    at: 'value',
    message: `${pathText(path)} ${own ?? pattern}`,
    suggestion: own === undefined ? description : undefined,
  }
}

const isText = (value: unknown): boolean => typeof value === 'string'

/** Messages of ours go on from the path (`needs …`, `must …`); others explain themselves after a colon. */
export function aboutPath(path: ConfigPath, message: string): string {
  return `${pathText(path)}${/^(needs|must|is|has|may) /.test(message) ? ' ' : ': '}${message}`
}

/**
 * All issues in words. A missing key whose misspelling is there too is one mistake, and is reported once.
 *
 * @param value of the whole file, as parsed from YAML
 */
export function explainIssues(issues: readonly Issue[], value: unknown, schema: JsonSchema): Finding[] {
  const top = { value, schema }
  const findings = issues.flatMap(issue => explainIssue(issue, top))
  const parentOf = (finding: Finding): string =>
    JSON.stringify([finding.kind === 'unknown' ? finding.path.slice(0, -1) : finding.path, finding.meant])
  const misspelt = new Set(findings.filter(finding => finding.kind === 'unknown').map(parentOf))
  return findings.filter(finding => finding.kind !== 'missing' || !misspelt.has(parentOf(finding)))
}

/** Says in plain words what one issue is about. Values appear only where they are no secrets. */
function explainIssue(issue: Issue, top: Top): Finding[] {
  const path = asPath(issue.path)
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map(key => unknownKey(key, path, top))
    case 'invalid_type':
      return [wrongType(issue, path, top)]
    case 'invalid_value':
      return [notAmong(issue.values, path, top)]
    case 'invalid_union':
      return union(issue, path, top)
    case 'too_small':
    case 'too_big':
      return [outOfBounds(issue, path)]
    case 'invalid_format':
      return [wrongFormat(issue, path, top)]
    case 'invalid_key':
      return [
        {
          path,
          at: 'key',
          message: `the name "${String(path.at(-1))}" ${issue.issues[0]?.message ?? 'is not allowed'}`,
        },
      ]
    case 'custom':
      // What is wrong with a text is in the text; what is wrong with a set of keys is said at its name.
      return [
        {
          path,
          at: isText(valueAt(top, path)) ? 'value' : 'key',
          message: aboutPath(path, issue.message),
        },
      ]
    case 'not_multiple_of':
    case 'invalid_element':
      return [{ path, at: 'value', message: `${pathText(path)}: ${issue.message}` }]
  }
}
