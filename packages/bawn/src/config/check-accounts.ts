import type { StoreOptionsOf } from '../accounts/option.ts'
import { parseJsonPath } from '../json-path.ts'
import type { Draft } from './draft.ts'
import type { Report } from './report.ts'

/** Hosts of a URL that stands in the file; `undefined` where it is a secret, or found by DNS. */
export function mongoHosts(url: string): readonly string[] | undefined {
  const hosts = /^mongodb:\/\/([^/?]+)/.exec(url)?.[1]
  return hosts?.split(',').map(host => host.replace(/:[0-9]+$/, '').replace(/^\[|\]$/g, ''))
}

/** Account stores: what no single option can tell. */
export function checkAccounts(draft: Draft, report: Report): void {
  for (const [name, store] of draft.accounts) {
    if (store?.kind === 'file' && store.format === 'users_yml' && store.roles.length > 0) {
      report('error', ['accounts', name, 'roles'], 'key', 'users_yml has roles of its own')
    }
    if (store?.kind === 'mongo') checkMongo(store, ['accounts', name], report)
  }
}

function checkMongo(store: StoreOptionsOf<'mongo'>, path: readonly string[], report: Report): void {
  if ((store.user === undefined) !== (store.password === undefined)) {
    const given = store.user === undefined ? 'password' : 'user'
    report('error', [...path, given], 'key', 'user and password belong together')
  }
  if (store.tls !== 'off' && (store.tls.certificate === undefined) !== (store.tls.key === undefined)) {
    report('error', [...path, 'tls'], 'key', 'certificate and key belong together')
  }
  const roles = parseJsonPath(store.json_path_roles)
  const places: readonly (readonly [key: string, member: string | undefined])[] = [
    ['property_id', store.property_id.split('.')[0]],
    ['property_password', store.property_password],
    ['property_locked', store.property_locked],
    ['property_scram', store.property_scram],
    ['json_path_roles', roles.kind === 'path' ? roles.path[0] : undefined],
  ]
  const taken = new Map<string, string>()
  for (const [key, member] of places) {
    if (member === undefined) continue
    const other = taken.get(member)
    // Of one object the name and the roles may be two members.
    const isShared = key === 'json_path_roles' && other === 'property_id' && store.property_id.includes('.')
    if (other !== undefined && !isShared) report('error', [...path, key], 'key', `${other} is "${member}" already`)
    taken.set(member, other ?? key)
  }
  if (roles.kind === 'path' && roles.path.includes('*') && store.first_user !== undefined) {
    const message = 'roles at a path with [*] cannot be written'
    report('error', [...path, 'first_user'], 'key', message, 'make the first user by hand')
  }
}
