import { z } from 'zod'
import { duration } from '../option.ts'
import { type ConfigSchema, plainSchema } from './schema.ts'

/** The part of JSON Schema (draft 2020-12) that zod makes of our options. */
export interface JsonSchema {
  readonly type?: string
  readonly description?: string
  readonly default?: unknown
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly pattern?: string
  readonly format?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: JsonSchema | boolean
  readonly items?: JsonSchema
  readonly anyOf?: readonly JsonSchema[]
  readonly oneOf?: readonly JsonSchema[]
}

const durationPattern = z.toJSONSchema(duration, { io: 'input' }).pattern

/** Is it an option written with a unit: `5s`? */
export function isDuration(schema: JsonSchema): boolean {
  return schema.pattern !== undefined && schema.pattern === durationPattern
}

/** Milliseconds as the shortest text that `duration` reads back: 90000 is `90s`, 3600000 is `1h`. */
export function formatDuration(milliseconds: number): string {
  const units = [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1000],
  ] as const
  for (const [unit, size] of units) {
    if (milliseconds >= size && milliseconds % size === 0) return `${milliseconds / size}${unit}`
  }
  return `${milliseconds}ms`
}

const made = new WeakMap<ConfigSchema, JsonSchema>()

/**
 * JSON Schema of bawn.yaml, for editors and for our own words about it: known keys, descriptions, defaults.
 *
 * @param schema with what plug-ins add; of their options it says nothing
 */
export function configJsonSchema(schema: ConfigSchema = plainSchema): JsonSchema {
  const known = made.get(schema)
  if (known !== undefined) return known
  const json: JsonSchema = {
    ...(z.toJSONSchema(schema.options, {
      io: 'input',
      target: 'draft-2020-12',
      // Defaults of options with a unit are milliseconds, as they come *out*; an editor offers what goes *in*.
      override: ({ zodSchema, jsonSchema }) => {
        const { def } = zodSchema._zod
        if (def.type !== 'default' || !isDuration(jsonSchema as JsonSchema)) return
        jsonSchema.default = formatDuration(Number(def.defaultValue))
      },
    }) as JsonSchema),
    ...{ title: 'bawn.yaml', description: 'Configuration of the Bawn gateway' },
  }
  made.set(schema, json)
  return json
}

/** The members of a union, nested ones flattened; the schema itself when it is none. */
export function alternatives(schema: JsonSchema): readonly JsonSchema[] {
  const members = schema.anyOf ?? schema.oneOf
  return members ? members.flatMap(alternatives) : [schema]
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Could the value be meant for this member? Literals that it states (`door: http`) must agree. */
function fits(member: JsonSchema, value: unknown): boolean {
  if (!isRecord(value)) return member.type !== 'object'
  if (member.type !== 'object') return false
  return Object.entries(member.properties ?? {}).every(
    ([key, property]) => property.const === undefined || value[key] === undefined || value[key] === property.const,
  )
}

/**
 * The schemas that apply at a path of a file, chosen by the values on the way where a union offers several.
 *
 * @param value the file's value at the top
 * @param root of the whole file
 */
export function schemasAt(
  path: readonly (string | number)[],
  value: unknown,
  root: JsonSchema = configJsonSchema(),
): readonly JsonSchema[] {
  let schemas: readonly JsonSchema[] = [root]
  let here = value
  const choose = (): void => {
    const members = schemas.flatMap(alternatives)
    const fitting = members.filter(member => fits(member, here))
    schemas = fitting.length > 0 ? fitting : members
  }
  choose()
  for (const step of path) {
    schemas = schemas.flatMap(schema => {
      if (typeof step === 'number') return schema.items ? [schema.items] : []
      const property = schema.properties?.[step]
      if (property) return [property]
      return typeof schema.additionalProperties === 'object' ? [schema.additionalProperties] : []
    })
    here = isRecord(here) || Array.isArray(here) ? Reflect.get(here, step) : undefined
    choose()
  }
  return schemas
}
