import type { Privilege } from '../../accounts/grant.ts'
import { isStruct, namesOf, offsetOf, type Struct } from '../sql/tree.ts'
import type { Declaration, Noun, ObjectChange, Reading, Reference } from './reading.ts'

/** The server keeps 63 bytes of a name (NAMEDATALEN), and not half a character. */
export function truncated(name: string): string {
  if (name.length <= 21 || Buffer.byteLength(name) <= 63) return name
  const bytes = Buffer.from(name)
  let end = 63
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end--
  return bytes.toString('utf8', 0, end)
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? truncated(value) : undefined
}

/** `schema.name` out of two or one; a third before them is the database, which must be this one. */
export function qualified(names: readonly string[]): { readonly schema: string | undefined; readonly name: string } {
  return { schema: textOf(names.at(-2)), name: truncated(names.at(-1) ?? '') }
}

/** What a `RangeVar` names. */
export function rangeName(range: Struct): { readonly schema: string | undefined; readonly name: string } {
  return { schema: textOf(range['schemaname']), name: textOf(range['relname']) ?? '' }
}

export function namesIn(value: unknown): readonly string[] {
  if (isStruct(value) && isStruct(value['List'])) return namesIn(value['List']['items'])
  if (isStruct(value) && isStruct(value['TypeName'])) return namesIn(value['TypeName']['names'])
  if (isStruct(value) && isStruct(value['ObjectWithArgs'])) return namesIn(value['ObjectWithArgs']['objname'])
  if (Array.isArray(value)) return namesOf(value) ?? []
  return isStruct(value) ? (namesOf([value as never]) ?? []) : []
}

interface Relation {
  readonly schema: string | undefined
  readonly name: string
  readonly privileges: Set<Privilege>
  readonly noun: Noun
  readonly offset: number | undefined
}

/** Gathers what the statements of one text touch; the same thing named twice is kept once. */
export class Collector {
  readonly #relations = new Map<string, Relation>()
  readonly #others = new Map<string, Reference>()
  readonly declarations: Declaration[] = []
  readonly uses: Reading['uses'][number][] = []
  readonly temporary: string[] = []
  readonly created: { readonly schema: string | undefined; readonly name: string }[] = []
  readonly changes: ObjectChange[] = []

  get references(): readonly Reference[] {
    const relations = [...this.#relations.values()].map(
      (relation): Reference => ({ ...relation, kind: 'relation', privileges: [...relation.privileges] }),
    )
    return [...relations, ...this.#others.values()]
  }

  /** A relation by its `RangeVar`. */
  range(range: unknown, privileges: readonly Privilege[], noun: Noun = 'relation', positioned = false): void {
    if (!isStruct(range)) return
    const { schema, name } = rangeName(range)
    this.relation(schema, name, privileges, noun, positioned ? offsetOf(range) : undefined)
  }

  /** A relation by a list of names. */
  named(names: readonly string[], privileges: readonly Privilege[], noun: Noun = 'relation'): void {
    const { schema, name } = qualified(names)
    this.relation(schema, name, privileges, noun, undefined)
  }

  relation(
    schema: string | undefined,
    name: string,
    privileges: readonly Privilege[],
    noun: Noun,
    offset: number | undefined,
  ): void {
    const key = JSON.stringify([schema, name])
    const known = this.#relations.get(key)
    if (known === undefined) {
      this.#relations.set(key, { schema, name, privileges: new Set(privileges), noun, offset })
    } else for (const privilege of privileges) known.privileges.add(privilege)
  }

  /** A relation that is made; a temporary one is nobody else's. */
  creation(range: unknown): void {
    if (!isStruct(range)) return
    const { schema, name } = rangeName(range)
    if (range['relpersistence'] === 't' || schema === 'pg_temp') {
      this.temporary.push(name)
      return
    }
    this.add({ kind: 'creation', schema, name })
    this.created.push({ schema, name })
  }

  /** A type, domain, collation or function that is made, altered or dropped. */
  object(names: readonly string[]): void {
    const { schema, name } = qualified(names)
    if (name === '') this.restricted('this statement')
    else this.add({ kind: 'object', schema, name })
  }

  restricted(what: string): void {
    this.add({ kind: 'restricted', what })
  }

  add(reference: Reference): void {
    this.#others.set(JSON.stringify(reference), reference)
  }
}
