import type { Identity } from '../authn/identity.ts'
import { PostgresError } from './failure.ts'
import type { PoolOptions } from './pool/option.ts'
import type { IdentityGuard } from './sql/identity-guard.ts'
import type { LoginMode, SessionMarks } from './state.ts'

/** Longer names are cut by the server, and may then be somebody else's. In bytes. */
const maxNameBytes = 63

/** Settings that a session begins with, for who it is; or why there are none for this identity. */
export function marksOf(
  marks: SessionMarks | undefined,
  identity: Pick<Identity, 'id' | 'roles'>,
): readonly (readonly [name: string, value: string])[] | PostgresError {
  if (marks === undefined) return []
  const { role, setting, rolesSetting } = marks
  if (identity.id.includes('\0')) return unmapped('the name of the identity holds a character that PostgreSQL has not')
  const settings: [string, string][] = []
  if (role !== undefined) {
    const name = role === 'id' ? identity.id : identity.roles.flatMap(own => role.get(own) ?? [])[0]
    if (name === undefined) return unmapped('no role of the identity stands for one of the database')
    // For SET ROLE it means "no role at all".
    if (name === '' || name.toLowerCase() === 'none' || Buffer.byteLength(name) > maxNameBytes) {
      return unmapped('the name of the identity cannot be that of a role in the database')
    }
    settings.push(['role', name])
  }
  if (setting !== undefined) settings.push([setting, identity.id])
  if (rolesSetting !== undefined) settings.push([rolesSetting, identity.roles.join(',')])
  return settings
}

/**
 * What nobody in such a session may set. Where users come in as the gateway, its roles are not theirs to choose from, whatever the rules in
 * the database go by; where they come in as themselves, `SET ROLE` leads to roles that they have.
 */
export function guardOf(marks: SessionMarks, login: LoginMode['kind'], pool?: PoolOptions['mode']): IdentityGuard {
  const roles = login === 'broker' ? ['role', 'session_authorization'] : []
  const settings = [...roles, marks.setting, marks.rolesSetting].filter(name => name !== undefined)
  return { settings: new Set(settings), role: marks.role !== undefined, resettable: pool !== 'transaction' }
}

/** Asks for the values of settings, in order. @param names ours, from the configuration */
export function marksQuestion(names: readonly string[]): string {
  return `SELECT ${names.map(name => `pg_catalog.current_setting('${name}', true)`).join(', ')}`
}

function unmapped(message: string): PostgresError {
  return new PostgresError('postgres.identity_unmapped', message)
}
