import assert from 'node:assert/strict'
import type { Grant, GrantSnapshot } from '../accounts/grant.ts'
import { isPrivilege, parseTarget } from '../accounts/grant-target.ts'

/**
 * A snapshot from statements with `;` between them: `GRANT DQL ON TABLE d.s.t TO u`, `DENY DML TO r`, and `ROLE r TO u`. What has
 * entries or was granted is a role where its name begins with `r`, else a user.
 */
export function snapshotOf(statements: string, version = 1): GrantSnapshot {
  const grants = new Map<string, Grant[]>()
  const roles = new Map<string, string[]>()
  const roleNames = new Set<string>()
  const add = <T>(to: Map<string, T[]>, key: string, value: T) => to.set(key, [...(to.get(key) ?? []), value])
  for (const statement of statements.split(';').map(text => text.trim())) {
    if (statement === '') continue
    const [, verb = '', what = '', , kind = 'cluster', path = '', grantee = ''] =
      /^(GRANT|DENY|ROLE) (\S+)( ON (\w+) (\S+))? TO (\S+)$/.exec(statement) ?? []
    assert(verb !== '', statement)
    for (const name of [grantee, ...(verb === 'ROLE' ? [what] : [])]) if (name.startsWith('r')) roleNames.add(name)
    if (verb === 'ROLE') {
      add(roles, grantee, what)
      continue
    }
    const target = parseTarget(path === '' ? kind : `${kind.toLowerCase()} ${path}`)
    assert(target !== undefined && isPrivilege(what), statement)
    add(grants, grantee, {
      grantee,
      privilege: what,
      target,
      state: verb === 'GRANT' ? 'grant' : 'deny',
      grantor: 'operator',
    })
  }
  return { version, grants, roles, roleNames }
}
