import type { Config } from './load.ts'
import { plainSchema } from './schema.ts'

const { recordSections, listSections } = plainSchema

const same = (left: unknown, right: unknown): boolean => JSON.stringify(left) === JSON.stringify(right)

/** What a reload changes, one sentence each, in order of the sections; empty when both say the same. Never a value: a name is enough. */
export function describeChanges(before: Config, after: Config): readonly string[] {
  const changes: string[] = []
  for (const section of Object.keys(recordSections) as (keyof typeof recordSections)[]) {
    const [old, next]: readonly Readonly<Record<string, unknown>>[] = [before[section], after[section]]
    for (const name of new Set([...Object.keys(old ?? {}), ...Object.keys(next ?? {})])) {
      const verb = old?.[name] === undefined ? 'added' : next?.[name] === undefined ? 'removed' : 'changed'
      if (!same(old?.[name], next?.[name])) changes.push(`${section}.${name} ${verb}`)
    }
  }
  for (const section of Object.keys(listSections) as (keyof typeof listSections)[]) {
    if (same(before[section], after[section])) continue
    const [old, next] = [before[section].length, after[section].length]
    changes.push(old === next ? `${section} changed` : `${section}: ${next} entries, ${old} before`)
  }
  for (const section of [
    'mechanisms',
    'tokens',
    'revocations',
    'grants',
    'keys',
    'audit',
    'access_log',
    'workers',
  ] as const) {
    if (!same(before[section], after[section])) changes.push(`${section} changed`)
  }
  return changes
}

/** Listeners that one of the two does not have, or has otherwise: what is bound cannot be changed by a reload. */
export function listenersThatDiffer(before: Config, after: Config): readonly string[] {
  const names = new Set([...Object.keys(before.listeners), ...Object.keys(after.listeners)])
  return [...names].filter(name => !same(before.listeners[name], after.listeners[name]))
}
