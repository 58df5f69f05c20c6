import type { GrantTarget } from '../../accounts/grant.ts'
import type { DatabaseObjects, KnownRelation } from '../sql/objects.ts'
import type { ObjectChange } from './reading.ts'

/** What is to happen to entries of grants. */
export type EntryChange =
  | { readonly kind: 'forget'; readonly target: GrantTarget }
  | { readonly kind: 'rename'; readonly from: GrantTarget; readonly to: GrantTarget }

function byOid(objects: DatabaseObjects): ReadonlyMap<string, KnownRelation> {
  return new Map([...objects.relations.values()].flat().map(relation => [relation.oid, relation]))
}

/**
 * What drops and renames that were carried out mean for entries. Objects are recognised by OID: what was rolled back is where it was,
 * and a new table of an old name is another one.
 *
 * @param before when the first of the statements was sent
 * @param after when the last of them was committed or rolled back
 */
export function entryChanges(
  database: string,
  changes: readonly ObjectChange[],
  before: DatabaseObjects,
  after: DatabaseObjects,
): readonly EntryChange[] {
  const now = byOid(after)
  const schemasNow = new Map([...after.schemas].map(([name, oid]) => [oid, name]))
  const found = new Map<string, EntryChange>()
  const table = ({ schema, name }: { readonly schema: string; readonly name: string }): GrantTarget => ({
    kind: 'table',
    database,
    schema,
    table: name,
  })
  const schemaTarget = (schema: string): GrantTarget => ({ kind: 'schema', database, schema })
  const compare = (relation: KnownRelation): void => {
    const later = now.get(relation.oid)
    if (later === undefined) found.set(relation.oid, { kind: 'forget', target: table(relation) })
    else if (later.name !== relation.name || later.schema !== relation.schema) {
      found.set(relation.oid, { kind: 'rename', from: table(relation), to: table(later) })
    }
  }
  const compareSchema = (schema: string): void => {
    const oid = before.schemas.get(schema)
    if (oid === undefined) return
    const later = schemasNow.get(oid)
    if (later === undefined) found.set(`schema ${oid}`, { kind: 'forget', target: schemaTarget(schema) })
    else if (later !== schema) {
      found.set(`schema ${oid}`, { kind: 'rename', from: schemaTarget(schema), to: schemaTarget(later) })
    }
  }

  for (const change of changes) {
    if (change.kind === 'drop-schema' || change.kind === 'move-schema') compareSchema(change.schema)
    else {
      for (const relation of before.relations.get(change.name) ?? []) {
        if (change.schema === undefined || change.schema === relation.schema) compare(relation)
      }
    }
    // CASCADE drops what is built on it, wherever that is.
    if ((change.kind === 'drop' || change.kind === 'drop-schema') && change.cascade) {
      for (const relation of byOid(before).values()) if (!now.has(relation.oid)) compare(relation)
    }
  }
  return inOrder([...found.values()])
}

function pathKey(target: GrantTarget): string {
  return JSON.stringify(target)
}

/** A name that no object has, for the time in between. */
function between(target: GrantTarget, index: number): GrantTarget {
  const name = `bawn, on its way ${index}`
  if (target.kind === 'table') return { ...target, table: name }
  return target.kind === 'schema' ? { ...target, schema: name } : target
}

/** Drops first. Names that are given and taken at once, as when two tables change places, go by a third one. */
function inOrder(changes: readonly EntryChange[]): readonly EntryChange[] {
  const drops = changes.filter(change => change.kind === 'forget')
  const renames = changes.filter(change => change.kind === 'rename')
  const sources = new Set(renames.map(({ from }) => pathKey(from)))
  if (!renames.some(({ to }) => sources.has(pathKey(to)))) return [...drops, ...renames]
  const away = renames.map(({ from }, index): EntryChange => ({ kind: 'rename', from, to: between(from, index) }))
  const back = renames.map(({ from, to }, index): EntryChange => ({ kind: 'rename', from: between(from, index), to }))
  return [...drops, ...away, ...back]
}
