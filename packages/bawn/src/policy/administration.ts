import type { Administration } from '../accounts/grant.ts'
import { AccountError } from '../accounts/store.ts'

export interface DoorAdministrationOptions {
  readonly administration: Administration
  /** Out of reach: whoever may administer accounts would become a superuser by giving one a new password. */
  readonly superusers: ReadonlySet<string>
  /** Waits until decisions rest on what was changed. */
  readonly changed: () => Promise<void>
  /** What answers instead once another configuration serves. */
  readonly successor: () => Administration | undefined
}

/** The administration of a store as doors get it: what is acknowledged holds for the next statement. */
export function administrationAtDoors(options: DoorAdministrationOptions): Administration {
  const { administration, superusers, changed, successor } = options
  const now = (): Administration => successor() ?? administration

  /** @param names whose account, entries or roles it changes */
  const change = async <Result>(
    names: readonly string[],
    work: (on: Administration) => Promise<Result>,
  ): Promise<Result> => {
    const other = successor()
    if (other !== undefined) return work(other)
    const superuser = names.find(name => superusers.has(name))
    if (superuser !== undefined) throw new AccountError('accounts.superuser', `${superuser} is a superuser`)
    const result = await work(administration)
    await changed()
    return result
  }
  const granteesOf = (entries: readonly { readonly grantee: string }[]) => entries.map(({ grantee }) => grantee)

  return Object.freeze<Administration>({
    get store() {
      return now().store
    },
    create: principal => change([principal.name], on => on.create(principal)),
    setPassword: (name, password) => change([name], on => on.setPassword(name, password)),
    drop: name => change([name], on => on.drop(name)),
    grant: entries => change(granteesOf(entries), on => on.grant(entries)),
    revoke: entries => change(granteesOf(entries), on => on.revoke(entries)),
    grantRoles: (roles, grantees) => change(grantees, on => on.grantRoles(roles, grantees)),
    revokeRoles: (roles, grantees) => change(grantees, on => on.revokeRoles(roles, grantees)),
    forget: target => change([], on => on.forget(target)),
    rename: (from, to) => change([], on => on.rename(from, to)),
    principals: async () => now().principals(),
    snapshot: async () => now().snapshot(),
    version: async () => now().version(),
  })
}
