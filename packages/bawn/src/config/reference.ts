import { alternatives, configJsonSchema, isDuration, type JsonSchema } from './json-schema.ts'

// The reference part of docs/guide/configuration.md, made from the schema: each default and description is written once.

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ')
const code = (text: string): string => `\`${text}\``

/** Our own patterns, said in words; a reader should not have to read them. */
function textWords(schema: JsonSchema): string {
  if (isDuration(schema)) return 'duration: `250ms`, `5s`, `10m`, `1h`, `1d`'
  if (schema.pattern?.includes('mongodb')) return '`mongodb://…`, `env:NAME` or `file:path`'
  if (schema.pattern?.includes('env:')) return '`env:NAME` or `file:path`'
  if (schema.pattern?.includes(':[0-9]{1,5}$')) return '`host:port`'
  return 'text'
}

/** What may be written for an option, in a few words. */
function typeWords(schema: JsonSchema): string {
  const members = alternatives(schema)
  if (members.length > 1) {
    const words = members.map(typeWords)
    const objects = members.filter(member => member.properties)
    // The forms of an object are told apart by their literal: { mask: keep_first, … }.
    const forms = objects.map(member =>
      code(
        `{ ${Object.keys(member.properties ?? {})
          .map(key => formOf(member, key))
          .join(', ')} }`,
      ),
    )
    return [...new Set([...words.filter(word => word !== 'keys below'), ...forms])].join(' or ')
  }
  if (schema.const !== undefined) return code(String(schema.const))
  if (schema.enum) return schema.enum.map(value => code(String(value))).join(', ')
  if (schema.type === 'array') return `list of ${schema.items ? typeWords(schema.items) : 'anything'}`
  if (schema.type === 'object') return 'keys below'
  if (schema.type === 'string') return textWords(schema)
  if (schema.type === 'boolean') return '`true` or `false`'
  if (schema.type === undefined) return 'anything'
  const { minimum, maximum } = schema
  const isReal = (bound: number | undefined): bound is number =>
    bound !== undefined && Math.abs(bound) < Number.MAX_SAFE_INTEGER
  const range = [isReal(minimum) ? `from ${minimum}` : '', isReal(maximum) ? `to ${maximum}` : '']
    .filter(Boolean)
    .join(' ')
  return range === '' ? 'number' : `number ${range}`
}

function formOf(member: JsonSchema, key: string): string {
  const property = member.properties?.[key]
  return property?.const === undefined ? `${key}: …` : `${key}: ${String(property.const)}`
}

function defaultWords(schema: JsonSchema, required: boolean): string {
  if (schema.default === undefined) return required ? '**required**' : '–'
  return code(JSON.stringify(schema.default).replaceAll('"', ''))
}

/** Rows of one object's keys, those of objects inside it below, with a dotted name. */
function rowsOf(schema: JsonSchema, prefix: string): string[] {
  const rows: string[] = []
  for (const [key, property] of Object.entries(schema.properties ?? {})) {
    const required = schema.required?.includes(key) ?? false
    const cells = [
      code(prefix + key),
      cell(typeWords(property)),
      defaultWords(property, required && property.default === undefined),
      cell(property.description ?? ''),
    ]
    rows.push(`| ${cells.join(' | ')} |`)
    const entry = property.type === 'array' ? property.items : property
    const suffix = property.type === 'array' ? '[].' : '.'
    const objects = entry ? alternatives(entry).filter(member => member.properties) : []
    // Forms of a union are spelled out in the row itself; one object gets rows of its own.
    if (objects.length === 1 && objects[0]) rows.push(...rowsOf(objects[0], `${prefix}${key}${suffix}`))
  }
  const other = schema.additionalProperties
  if (typeof other === 'object' && schema.properties) {
    rows.push(`| ${code(`${prefix}<name>`)} | ${cell(typeWords(other))} | – | any other name |`)
  }
  return rows
}

const head = ['| key | value | default | |', '|---|---|---|---|']

function sectionOf(name: string, section: JsonSchema, required: boolean): string {
  // A union at the top: one set of keys, in one of several forms.
  const isOne = section.properties !== undefined || alternatives(section).length > 1
  const entry = section.type === 'array' ? section.items : isOne ? section : section.additionalProperties
  const shape = section.type === 'array' ? 'a list' : isOne ? 'one set of keys' : '`name:` then the keys below'
  const intro = `${section.description ?? ''}${required ? '. Required' : ''}. Written as ${shape}.`
  const parts = [`### \`${name}\``, '', intro, '']
  if (typeof entry !== 'object') return parts.join('\n')
  for (const member of alternatives(entry)) {
    const literal = Object.entries(member.properties ?? {}).find(([, property]) => property.const !== undefined)
    if (literal && alternatives(entry).length > 1)
      parts.push(`With \`${literal[0]}: ${String(literal[1].const)}\`:`, '')
    if (member.properties === undefined) parts.push(`Or ${typeWords(member)}: ${member.description ?? ''}`, '')
    else parts.push(...head, ...rowsOf(member, ''), '')
  }
  return parts.join('\n')
}

/** Markdown: a heading per section of the file, a table of its keys. Ends in a line feed. */
export function configReference(): string {
  const schema = configJsonSchema()
  const sections = Object.entries(schema.properties ?? {}).map(([name, section]) =>
    sectionOf(name, section, schema.required?.includes(name) ?? false),
  )
  return `${sections.join('\n').trimEnd()}\n`
}
