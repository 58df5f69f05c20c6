import { type Grant, type GrantTarget, type Need, type Privilege, privileges } from './grant.ts'

// Targets as paths, from the widest name to the narrowest, and as text: `table shop.public.people`.

/** NAMEDATALEN - 1: PostgreSQL cuts longer names, and an entry on one would be about nothing. */
const maxNameBytes = 63
const maxDatabaseLength = 128

/** Names of a target: none of the cluster, up to three of a table. */
export function pathOf(target: GrantTarget): readonly string[] {
  switch (target.kind) {
    case 'cluster':
      return []
    case 'database':
      return [target.database]
    case 'schema':
      return [target.database, target.schema]
    case 'table':
      return [target.database, target.schema, target.table]
  }
}

/** The target that these names are the path of; `undefined` for more than three. */
export function targetAt([database, schema, table, ...more]: readonly string[]): GrantTarget | undefined {
  if (more.length > 0) return undefined
  if (database === undefined) return { kind: 'cluster' }
  if (schema === undefined) return { kind: 'database', database }
  return table === undefined ? { kind: 'schema', database, schema } : { kind: 'table', database, schema, table }
}

/** Whether its names could be those of a database of ours and of objects in PostgreSQL. */
export function isTarget(target: GrantTarget): boolean {
  const [database, ...objects] = pathOf(target)
  if (database !== undefined && (database === '' || database.length > maxDatabaseLength)) return false
  return objects.every(name => name !== '' && Buffer.byteLength(name) <= maxNameBytes) && isSound(pathOf(target))
}

const isSound = (path: readonly string[]): boolean => path.every(name => !name.includes('\0') && name.isWellFormed())

const plainDatabase = /^[A-Za-z0-9_][A-Za-z0-9_-]*$/
const plainObject = /^[a-z_\u0080-\uffff][a-z0-9_$\u0080-\uffff]*$/

/** The names with dots between them, in double quotes where SQL would want it. */
export function formatPath(target: GrantTarget): string {
  return pathOf(target)
    .map((name, at) => ((at === 0 ? plainDatabase : plainObject).test(name) ? name : `"${name.replaceAll('"', '""')}"`))
    .join('.')
}

/** `cluster`, `database shop`, `schema shop.public`, `table shop.public.people` */
export function formatTarget(target: GrantTarget): string {
  return target.kind === 'cluster' ? 'cluster' : `${target.kind} ${formatPath(target)}`
}

/** `DQL on table shop.public.people` */
export function formatNeed({ privilege, target }: Need): string {
  return `${privilege} on ${formatTarget(target)}`
}

/** An entry as the statement that would make it: `GRANT DQL ON TABLE shop.public.people TO support`, without `ON` for the cluster. */
export function formatGrant({ state, privilege, target, grantee }: Grant): string {
  const on = target.kind === 'cluster' ? '' : ` ON ${target.kind.toUpperCase()} ${formatPath(target)}`
  return `${state.toUpperCase()} ${privilege}${on} TO ${grantee}`
}

// SQL would fold an unquoted name of capital letters, and here it would mean itself: it has to be quoted, so that nobody guesses. The
// database goes first, by its name in the configuration, which may have capitals and dashes.
const databasePart = /"((?:[^"\0]|"")+)"|[A-Za-z0-9_][A-Za-z0-9_-]*/y
const objectPart = /"((?:[^"\0]|"")+)"|[a-z_\u0080-\uffff][a-z0-9_$\u0080-\uffff]*/y

function parsePath(text: string): readonly string[] | undefined {
  const names: string[] = []
  let at = 0
  while (at < text.length || names.length === 0) {
    if (names.length > 0 && text[at++] !== '.') return undefined
    const part = names.length === 0 ? databasePart : objectPart
    part.lastIndex = at
    const found = part.exec(text)
    if (found === null) return undefined
    names.push(found[1]?.replaceAll('""', '"') ?? found[0])
    at += found[0].length
  }
  return names
}

/** @returns `undefined` for anything that `formatTarget` would not write, but for quotes that need not be */
export function parseTarget(text: string): GrantTarget | undefined {
  const space = text.indexOf(' ')
  const kind = space < 0 ? text : text.slice(0, space)
  const path = space < 0 ? [] : parsePath(text.slice(space + 1))
  const target = path === undefined ? undefined : targetAt(path)
  return target?.kind === kind && space < 0 === (kind === 'cluster') && isTarget(target) ? target : undefined
}

export function isPrivilege(text: string): text is Privilege {
  return privileges.some(known => known === text)
}

/** Reads `DQL on table shop.public.people`. */
export function parseNeed(text: string): Need | undefined {
  const [, privilege = '', on = ''] = /^([A-Z]{2,3}) on (.+)$/s.exec(text) ?? []
  const target = parseTarget(on)
  return target !== undefined && isPrivilege(privilege) ? { privilege, target } : undefined
}
