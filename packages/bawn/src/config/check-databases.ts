import type { DatabaseTls } from '../option.ts'
import { builtinPolicies } from '../policy/option.ts'
import { doorsOf } from './check-host-rules.ts'
import type { Draft } from './draft.ts'
import type { ConfigPath } from './problem.ts'
import { checkNames, type Report } from './report.ts'

/** How the gateway proves who it is to a server. */
function checkServer(
  report: Report,
  path: ConfigPath,
  { tls, login }: { readonly tls: DatabaseTls; readonly login: { readonly password?: string | undefined } },
): void {
  const shown = tls === 'off' ? undefined : tls.certificate
  if (tls !== 'off') {
    const missing = tls.certificate === undefined ? 'certificate' : 'key'
    const given = missing === 'key' ? 'certificate' : 'key'
    if ((tls.certificate === undefined) !== (tls.key === undefined)) {
      report('error', [...path, 'tls', given], 'key', `${given} needs ${missing}`, 'name both files, or neither')
    }
    if (tls.channel_binding === 'require' && login.password === undefined) {
      const message = 'channel binding is a part of logging in by password, and there is none'
      report('error', [...path, 'tls', 'channel_binding'], 'value', message, 'add login.password')
    }
  }
  if (login.password === undefined && shown === undefined) {
    const suggestion = 'add password: env:NAME or file:path, or a certificate and its key under tls'
    report('error', [...path, 'login'], 'key', 'there is nothing to log in with', suggestion)
  }
}

/** Which rules may decide over logins to this database, in order, to the first that holds for all of them. */
function rulesOf(draft: Draft, database: string): readonly number[] {
  const found: number[] = []
  for (const [index, rule] of draft.host_rules.entries()) {
    if (!rule || !doorsOf(rule).includes('postgres')) continue
    if (rule.database !== undefined && !rule.database.includes(database)) continue
    found.push(index)
    if (!rule.user && !rule.address && !rule.tls) break
  }
  return found
}

/** Users who log in as themselves have to prove it by what PostgreSQL can check once more. */
function checkVerifier(draft: Draft, report: Report, name: string): void {
  const path = ['databases', name, 'login', 'kind']
  if (draft.accounts.size === 0) {
    const suggestion = 'add accounts: { staff: { kind: postgres-roles, … } }'
    report('error', path, 'value', 'verifier needs an account store that has the verifiers of PostgreSQL', suggestion)
  }
  for (const index of rulesOf(draft, name)) {
    const use = draft.host_rules[index]?.use ?? []
    if (use.length === 0 || use.includes('scram')) continue
    const message = `database ${name} takes logins by scram only: whom this rule identifies is refused there`
    report('warning', ['host_rules', index, 'use'], 'key', message, `use: [scram] with database: [${name}]`)
  }
}

/** Databases, and account stores that are servers of PostgreSQL. */
export function checkDatabases(draft: Draft, report: Report): void {
  const policies = [...builtinPolicies, ...draft.policies.keys()]
  for (const [name, database] of draft.databases) {
    if (!database) continue
    checkNames(report, ['databases', name, 'allow'], database.allow, policies, 'policy')
    checkServer(report, ['databases', name], database)
    if (database.login.kind === 'verifier') checkVerifier(draft, report, name)
  }
  for (const [name, store] of draft.accounts) {
    if (store?.kind === 'postgres-roles' || store?.kind === 'postgres') checkServer(report, ['accounts', name], store)
  }
}
