import type { BackendOptions } from './backend-option.ts'
import { isJsonObject } from './exact-json.ts'

/** Members by name, and what below them is meant; empty: all of it. */
interface Members extends ReadonlyMap<string, Members> {}

type JsonMembers = Readonly<Record<string, unknown>>

/** What of a backend's answer goes into the answer of the route. @returns what is wrong with the document, in words */
export type AnswerShape = (document: unknown) => Shaped | string

export interface Shaped {
  readonly members: JsonMembers
  /** The member that `target` names, or all of it, before anything was taken away: for backends that are asked later. */
  readonly target: unknown
}

/** @property group the member that is this backend's alone */
export interface AnswerPart {
  readonly members: JsonMembers | undefined
  readonly group: string | undefined
}

/** Compiles target, collection, allow and deny, mapping and group, which are applied in this order. */
export function compileAnswerShape(option: BackendOptions): AnswerShape {
  const target = option.target?.split('.') ?? []
  const allow = option.allow && membersOf(option.allow)
  const deny = option.deny && membersOf(option.deny)
  const mapping = new Map(Object.entries(option.mapping))
  return document => {
    let value = document
    for (const member of target) {
      if (!isJsonObject(value) || !Object.hasOwn(value, member)) return `it has no ${option.target}`
      value = value[member]
    }
    const whole = value
    if (option.collection) {
      if (!Array.isArray(value)) return 'it is no list'
      value = objectOf([['collection', value]])
    }
    if (!isJsonObject(value)) return Array.isArray(value) ? 'it is a list: say collection: true' : 'it is no object'
    const taken = allow === undefined ? value : only(value, allow)
    const renamed = rename(deny === undefined ? taken : without(taken, deny), mapping)
    return { members: option.group === undefined ? renamed : objectOf([[option.group, renamed]]), target: whole }
  }
}

/**
 * One answer of several, in the order of the configuration: of two members of one name the later counts, but where both are objects they become
 * one, by the same rule. What has the name of a group comes from the backend with that group, or not at all.
 */
export function mergeAnswers(parts: readonly AnswerPart[]): Buffer {
  const groups = new Set(parts.flatMap(({ group }) => group ?? []))
  let merged = objectOf([])
  for (const { members, group } of parts) {
    if (members === undefined) continue
    const isOwn = (name: string): boolean => group !== undefined || !groups.has(name)
    merged = merge(merged, objectOf(Object.entries(members).filter(([name]) => isOwn(name))))
  }
  return Buffer.from(JSON.stringify(merged))
}

/** No deeper than what `parseExact` lets in. */
function merge(first: JsonMembers, second: JsonMembers): JsonMembers {
  const made: Record<string, unknown> = Object.create(null)
  for (const [name, value] of Object.entries(first)) made[name] = value
  for (const [name, value] of Object.entries(second)) {
    const before = made[name]
    made[name] = isJsonObject(before) && isJsonObject(value) ? merge(before, value) : value
  }
  return made
}

/** Without a prototype: `__proto__` is a member like any other. */
function objectOf(members: Iterable<readonly [string, unknown]>): JsonMembers {
  const made: Record<string, unknown> = Object.create(null)
  for (const [name, value] of members) made[name] = value
  return made
}

function membersOf(paths: readonly string[]): Members {
  interface Branch extends Map<string, Branch> {}
  const root: Branch = new Map()
  // Shorter ones first: below what is meant as a whole nothing is looked at.
  const whole = new Set<Branch>()
  for (const path of [...paths].sort((a, b) => a.length - b.length)) {
    let branch = root
    for (const name of path.split('.')) {
      if (whole.has(branch)) break
      const next: Branch = branch.get(name) ?? new Map()
      branch.set(name, next)
      branch = next
    }
    if (branch.size === 0) whole.add(branch)
  }
  return root
}

function only(value: JsonMembers, members: Members): JsonMembers {
  const kept: [string, unknown][] = []
  for (const [name, inner] of Object.entries(value)) {
    const below = members.get(name)
    if (below?.size === 0) kept.push([name, inner])
    else if (below !== undefined && isBranch(inner)) kept.push([name, inEach(inner, item => only(item, below), true)])
  }
  return objectOf(kept)
}

function without(value: JsonMembers, members: Members): JsonMembers {
  const kept: [string, unknown][] = []
  for (const [name, inner] of Object.entries(value)) {
    const below = members.get(name)
    if (below === undefined) kept.push([name, inner])
    else if (below.size > 0) kept.push([name, inEach(inner, item => without(item, below), false)])
  }
  return objectOf(kept)
}

const isBranch = (value: unknown): boolean => Array.isArray(value) || isJsonObject(value)

/** For an object itself, and for those in a list. @param onlyObjects what else stands in a list goes */
function inEach(value: unknown, change: (value: JsonMembers) => JsonMembers, onlyObjects: boolean): unknown {
  if (isJsonObject(value)) return change(value)
  if (!Array.isArray(value)) return value
  const items = onlyObjects ? value.filter(isBranch) : value
  return items.map(item => inEach(item, change, onlyObjects))
}

/** What gets another name goes before what has it already. */
function rename(value: JsonMembers, mapping: ReadonlyMap<string, string>): JsonMembers {
  const members = Object.entries(value)
  if (mapping.size === 0) return value
  const same = members.filter(([name]) => !mapping.has(name))
  const others = members.flatMap(([name, inner]): [string, unknown][] => {
    const other = mapping.get(name)
    return other === undefined ? [] : [[other, inner]]
  })
  return objectOf([...same, ...others])
}
