import { holdsGrants } from '../accounts/option.ts'
import { suggest } from '../nearest.ts'
import { otherSources } from './check-tokens.ts'
import type { Draft } from './draft.ts'
import { checkNames, type Report } from './report.ts'

/** The section itself: where the grants are, what they are about, and who needs none. */
function checkSection(draft: Draft, report: Report): void {
  const { options } = draft.grants
  if (options === undefined) return
  const { accounts, databases, superusers } = options
  const path = ['grants', 'accounts']
  const store = draft.accounts.get(accounts)
  if (!draft.accounts.has(accounts)) {
    const suggestion = suggest(accounts, [...draft.accounts.keys()])
    report('error', path, 'value', `no account store is called "${accounts}"`, suggestion)
  } else if (store !== undefined && (store.kind === 'plugin' || !holdsGrants(store.kind))) {
    const suggestion = 'use a store of kind sqlite or postgres; bawn accounts import takes users of files over'
    const kind = store.kind === 'plugin' ? store.name : store.kind
    report('error', path, 'value', `${accounts} is of kind ${kind}, which holds no grants`, suggestion)
  }
  // Who an account is, is said by the name of its store alone: somebody else's users would have its grants.
  const other = draft.issuers.has(accounts)
    ? `issuers.${accounts}`
    : otherSources.includes(accounts)
      ? `mechanism ${accounts}`
      : undefined
  if (other !== undefined) {
    const message = `an account of accounts.${accounts} cannot be told from somebody of ${other}`
    report('error', path, 'value', message, 'give the account store another name')
  }
  checkNames(report, ['grants', 'databases'], databases ?? [], [...draft.databases.keys()], 'database')
  for (const [index, name] of superusers.entries()) {
    const message = `${name} of accounts.${accounts} needs no grant, and no DENY holds for them`
    report('warning', ['grants', 'superusers', index], 'value', message)
  }
}

/** Grants against the rest of the file. */
export function checkGrants(draft: Draft, report: Report): void {
  checkSection(draft, report)
  const databases = [...draft.databases.keys()]
  for (const [name, policy] of draft.policies) {
    if (policy?.grant === undefined) continue
    const path = ['policies', name, 'grant']
    if (!draft.grants.configured) {
      const suggestion = 'add grants: { accounts: … }, with the name of an account store'
      report('error', path, 'key', 'a grant needs the section grants', suggestion)
    }
    for (const { target } of policy.grant) {
      if (target.kind === 'cluster' || databases.includes(target.database)) continue
      const suggestion = suggest(target.database, databases)
      report('error', path, 'value', `no database is called "${target.database}"`, suggestion)
    }
  }
}
