import type { DatabaseTls } from '../option.ts'
import { builtinPolicies } from '../policy/option.ts'
import type { DatabaseOptions } from '../postgres/option.ts'
import { doorsOf } from './check-host-rules.ts'
import type { Draft } from './draft.ts'
import type { ConfigPath } from './problem.ts'
import { checkNames, type Report } from './report.ts'

/** Where it is: one server, or several that are one cluster. */
function checkHosts(
  report: Report,
  path: ConfigPath,
  { host, port, hosts }: Pick<DatabaseOptions, 'host' | 'port' | 'hosts'>,
): void {
  if (hosts === undefined) {
    if (host === undefined) report('error', path, 'key', 'host is missing', 'add host: or, of several servers, hosts:')
    return
  }
  if (host !== undefined) {
    report('error', [...path, 'hosts'], 'key', 'host and hosts are two ways to say where it is', 'leave one out')
  }
  if (port !== undefined) {
    report('error', [...path, 'port'], 'key', 'port belongs to host: each of hosts has its own', 'leave it out')
  }
  for (const [index, one] of hosts.entries()) {
    if (hosts.indexOf(one) < index) report('error', [...path, 'hosts', index], 'value', `${one} is named twice`)
  }
}

/** How the gateway proves who it is to a server. */
function checkServer(
  report: Report,
  path: ConfigPath,
  {
    tls,
    login,
  }: {
    readonly tls: DatabaseTls
    readonly login: { readonly password?: string | undefined; readonly password_command?: object | undefined }
  },
): void {
  const password = login.password ?? login.password_command
  const shown = tls === 'off' ? undefined : tls.certificate
  if (tls !== 'off') {
    const missing = tls.certificate === undefined ? 'certificate' : 'key'
    const given = missing === 'key' ? 'certificate' : 'key'
    if ((tls.certificate === undefined) !== (tls.key === undefined)) {
      report('error', [...path, 'tls', given], 'key', `${given} needs ${missing}`, 'name both files, or neither')
    }
    if (tls.channel_binding === 'require' && password === undefined) {
      const message = 'channel binding is a part of logging in by password, and there is none'
      report('error', [...path, 'tls', 'channel_binding'], 'value', message, 'add login.password')
    }
  }
  if (login.password !== undefined && login.password_command !== undefined) {
    report('error', [...path, 'login', 'password_command'], 'key', 'there is password already: one of the two')
  }
  if (password === undefined && shown === undefined) {
    const suggestion =
      'add password: env:NAME or file:path, or password_command, or a certificate and its key under tls'
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

/** Users who log in as themselves have to prove it by what PostgreSQL can check. */
function checkKind(draft: Draft, report: Report, name: string, kind: 'verifier' | 'pass-through'): void {
  const path = ['databases', name, 'login', 'kind']
  const wanted = kind === 'verifier' ? 'scram' : kind
  if (kind === 'verifier' && draft.accounts.size === 0) {
    const suggestion = 'add accounts: { staff: { kind: postgres-roles, … } }'
    report('error', path, 'value', 'verifier needs an account store that has the verifiers of PostgreSQL', suggestion)
  }
  for (const index of rulesOf(draft, name)) {
    const use = draft.host_rules[index]?.use ?? []
    if (use.length === 0 || use.includes(wanted)) continue
    const message = `database ${name} takes logins by ${wanted} only: whom this rule identifies is refused there`
    report('warning', ['host_rules', index, 'use'], 'key', message, `use: [${wanted}] with database: [${name}]`)
  }
}

/** What sessions say of themselves to the database. */
function checkIdentity(
  report: Report,
  path: ConfigPath,
  kind: string,
  { set_role: role, setting, roles_setting: roles }: NonNullable<DatabaseOptions['identity']>,
): void {
  if (role === undefined && setting === undefined && roles === undefined) {
    report('error', path, 'key', 'identity needs set_role, setting or roles_setting')
  }
  if (role !== undefined && kind !== 'broker') {
    const message = `with login of kind ${kind} users have a role of their own already`
    report('error', [...path, 'set_role'], 'key', message, 'leave it out')
  }
  for (const [own, theirs] of Object.entries(typeof role === 'object' ? role : {})) {
    if (theirs.toLowerCase() !== 'none') continue
    report('error', [...path, 'set_role', own], 'value', 'none means no role at all', 'name a role of the database')
  }
  if (setting !== undefined && setting === roles) {
    report('error', [...path, 'roles_setting'], 'value', 'setting and roles_setting are the same')
  }
}

/** Rules of the firewall: whom they are for, and what they are called. */
function checkFirewall(
  report: Report,
  path: ConfigPath,
  { rules, columns, default: otherwise, learn, mode }: NonNullable<DatabaseOptions['firewall']>,
  policies: readonly string[],
): void {
  for (const [index, { name, for: who, action, ...conditions }] of rules.entries()) {
    const at = [...path, 'rules', index]
    if (rules.findIndex(other => other.name === name) < index || columns.some(other => other.name === name)) {
      report('error', [...at, 'name'], 'value', `two rules are called ${name}`, 'give each a name of its own')
    }
    if (who !== undefined) checkNames(report, [...at, 'for'], who, policies, 'policy')
    const isForAll = who === undefined && Object.values(conditions).every(value => value === undefined)
    if (isForAll && index < rules.length - 1) {
      const message = `rule ${name} has no condition: the rules behind it are never asked`
      report('warning', at, 'value', message, `put it last, or say default: ${action}`)
    }
  }
  for (const [index, { name, read, write }] of columns.entries()) {
    const at = [...path, 'columns', index]
    if (columns.findIndex(other => other.name === name) < index) {
      report('error', [...at, 'name'], 'value', `two rules are called ${name}`, 'give each a name of its own')
    }
    checkNames(report, [...at, 'read'], read, policies, 'policy')
    if (write !== undefined) checkNames(report, [...at, 'write'], write, policies, 'policy')
  }
  if (rules.length === 0 && otherwise === 'deny' && mode === 'enforce') {
    const message = 'a firewall without rules refuses every statement'
    const suggestion = learn === undefined ? 'add rules, or default: allow' : 'add mode: observe while it learns'
    report('warning', path, 'key', message, suggestion)
  }
}

/** Row filters rest on settings that the gateway makes, in sessions of its own login. */
function checkRowFilters(
  report: Report,
  path: ConfigPath,
  { row_filters: filters = [], identity, login }: DatabaseOptions,
  policies: readonly string[],
): void {
  const at = [...path, 'row_filters']
  if (identity?.setting === undefined || identity.roles_setting === undefined) {
    const suggestion = 'add identity: { setting: app.user, roles_setting: app.roles }'
    report('error', at, 'key', 'row_filters need identity with setting and roles_setting', suggestion)
  }
  if (login.kind !== 'broker') {
    const message = `with login of kind ${login.kind} users have a role of their own, which may go past a filter`
    report('error', at, 'key', message, 'use login: { kind: broker }, or write policies for these roles in PostgreSQL')
  }
  for (const [index, { name, rows, table }] of filters.entries()) {
    if (filters.findIndex(other => other.name === name) < index) {
      report('error', [...at, index, 'name'], 'value', `two row filters are called ${name}`)
    }
    if (filters.findIndex(other => other.table.schema === table.schema && other.table.name === table.name) < index) {
      report('error', [...at, index, 'table'], 'value', 'another filter is for this table: write them as one')
    }
    for (const [place, { for: who }] of rows.entries()) {
      checkNames(report, [...at, index, 'rows', place, 'for'], who, policies, 'policy')
    }
  }
}

/** A login can be passed on only where it is said where to, and nothing else can be asked for beside it. */
function checkPassThrough(draft: Draft, report: Report): void {
  for (const [index, rule] of draft.host_rules.entries()) {
    const place = rule?.use.indexOf('pass-through') ?? -1
    if (!rule || place < 0) continue
    const path = ['host_rules', index]
    if (rule.use.length > 1) {
      const message = 'pass-through leaves the question to PostgreSQL: no other mechanism can stand beside it'
      report('error', [...path, 'use'], 'value', message, 'write a rule of its own for the others')
    }
    if (rule.database === undefined) {
      const message = 'pass-through needs database: which server is to judge?'
      report('error', [...path, 'use', place], 'value', message, 'add database: the names whose logins are passed on')
    }
    for (const [at, name] of (rule.database ?? []).entries()) {
      const kind = draft.databases.get(name)?.login.kind
      if (kind === undefined || kind === 'pass-through') continue
      const message = `database ${name} takes logins of kind ${kind}`
      report(
        'error',
        [...path, 'database', at],
        'value',
        message,
        `say login: { kind: pass-through } at databases.${name}`,
      )
    }
  }
}

/** Databases, and account stores that are servers of PostgreSQL. */
export function checkDatabases(draft: Draft, report: Report): void {
  const policies = [...builtinPolicies, ...draft.policies.keys()]
  for (const [name, database] of draft.databases) {
    if (!database) continue
    checkNames(report, ['databases', name, 'allow'], database.allow, policies, 'policy')
    checkNames(report, ['databases', name, 'replication'], database.replication ?? [], policies, 'policy')
    if (database.replication !== undefined && database.identity !== undefined) {
      const message = 'replication is unread, so nothing would keep the identity that sessions have by identity'
      report('error', ['databases', name, 'replication'], 'key', message, 'make an entry of its own for replication')
    }
    checkHosts(report, ['databases', name], database)
    checkServer(report, ['databases', name], database)
    const { kind, roles } = database.login
    if (kind !== 'broker' && database.pool !== undefined) {
      const message = `with login of kind ${kind} each user has a login of their own, which nobody else may go on with`
      report('error', ['databases', name, 'pool'], 'key', message, 'leave pool out, or use login: { kind: broker }')
    }
    if (kind !== 'broker') checkKind(draft, report, name, kind)
    if (database.identity !== undefined) checkIdentity(report, ['databases', name, 'identity'], kind, database.identity)
    if (database.firewall !== undefined) {
      checkFirewall(report, ['databases', name, 'firewall'], database.firewall, policies)
    }
    if (database.row_filters !== undefined) checkRowFilters(report, ['databases', name], database, policies)
    if (kind !== 'pass-through' && roles !== undefined) {
      const message = `roles are for logins of kind pass-through: here they come with the ${kind === 'verifier' ? 'account' : 'identity'}`
      report('error', ['databases', name, 'login', 'roles'], 'key', message)
    }
    if (kind === 'pass-through' && (database.hosts ?? []).length > 1) {
      const message = 'which host is the primary shows after a login only, and a login that is passed on is had once'
      const suggestion = 'use login: { kind: verifier } or broker, or host: an address that follows the primary'
      report('error', ['databases', name, 'hosts'], 'key', message, suggestion)
    }
    if (kind === 'pass-through' && database.tls !== 'off' && database.tls.channel_binding === 'require') {
      const message = 'a login that is passed on is bound to the TLS of the client, if to any'
      report('error', ['databases', name, 'tls', 'channel_binding'], 'value', message, 'use login: { kind: verifier }')
    }
  }
  checkPassThrough(draft, report)
  for (const [name, store] of draft.accounts) {
    if (store?.kind === 'postgres-roles') checkHosts(report, ['accounts', name], store)
    if (store?.kind === 'postgres-roles' || store?.kind === 'postgres') checkServer(report, ['accounts', name], store)
  }
}
