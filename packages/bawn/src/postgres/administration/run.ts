import type { Administration, Grant, GrantSnapshot, Need, Privilege } from '../../accounts/grant.ts'
import { createIdentity, type Identity, isAccountOf, noClaims } from '../../authn/identity.ts'
import type { ErrorCode } from '../../error.ts'
import type { GrantGate } from '../../policy/grants.ts'
import type { DatabaseObjects } from '../sql/objects.ts'
import { type Column, listOf } from './lists.ts'
import { type AccountStatement, type Somebody, verbOf } from './statement.ts'
import { resolveTargets } from './targets.ts'

/** What a statement about accounts is carried out with. */
export interface AdministrationContext {
  readonly gate: GrantGate
  readonly administration: Administration
  readonly identity: Identity
  /** The session's database, by its name in the configuration. */
  readonly database: string
  readonly isDatabase: (name: string) => boolean
  /** What there is in the session's database, as it is now. */
  readonly objects: () => Promise<DatabaseObjects | undefined>
}

export interface AccountAnswer {
  /** For CommandComplete. */
  readonly tag: string
  readonly columns: readonly Column[]
  readonly rows: readonly (readonly (string | undefined)[])[]
  /** The statement as it was carried out, where names were completed: for the trail. */
  readonly carriedOut?: AccountStatement
}

/** Why a statement is not carried out; `rule` is what decided, for the trail. */
export interface AccountRefusal {
  readonly code: ErrorCode
  readonly message: string
  readonly hint?: string | undefined
  readonly rule?: string | undefined
}

class Refused extends Error {
  readonly refusal: AccountRefusal

  constructor(refusal: AccountRefusal) {
    super(refusal.message)
    this.refusal = refusal
  }
}

const administer: readonly Need[] = [{ privilege: 'AL', target: { kind: 'cluster' } }]

function isSelf(who: Somebody, { identity, administration }: AdministrationContext): boolean {
  if (!isAccountOf(identity, administration.store)) return who === 'self'
  return who === 'self' || who.name === identity.id
}

function denied(message: string, hint: string, rule: string): Refused {
  return new Refused({ code: 'postgres.permission_denied', message, hint, rule })
}

/** Everything but the own password and the own grants is for who has AL. @returns the rule that decided, for the trail */
function demandRight(statement: AccountStatement, context: AdministrationContext): string {
  if (statement.kind === 'alter' && isSelf(statement.who, context)) return 'own account'
  if (statement.kind === 'list' && statement.of !== undefined && isSelf(statement.of, context)) return 'own account'
  const decision = context.gate.decide(context.identity, administer)
  if (decision.kind === 'permit') return decision.rule
  const own = statement.kind === 'list' ? '; SHOW GRANTS FOR CURRENT_USER shows your own' : ''
  throw denied(`permission denied: ${verbOf(statement)}`, `It needs AL on the cluster${own}`, decision.rule)
}

/** Whether a statement may be sent at all, for Parse: the same is asked again when it runs. */
export function refusalOf(statement: AccountStatement, context: AdministrationContext): AccountRefusal | undefined {
  try {
    demandRight(statement, context)
    return undefined
  } catch (thrown) {
    if (thrown instanceof Refused) return thrown.refusal
    throw thrown
  }
}

/** Roles with the roles that they have in turn. */
export function withTheirRoles(names: Iterable<string>, { roles, roleNames }: GrantSnapshot): ReadonlySet<string> {
  const found = new Set<string>()
  const open = [...names]
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (found.has(name)) continue
    found.add(name)
    if (roleNames.has(name)) open.push(...(roles.get(name) ?? []))
  }
  return found
}

function ownRoles({ identity, administration }: AdministrationContext, snapshot: GrantSnapshot): ReadonlySet<string> {
  const granted = isAccountOf(identity, administration.store) ? (snapshot.roles.get(identity.id) ?? []) : []
  return withTheirRoles([...identity.roles, ...granted], snapshot)
}

/** Nobody gives or takes what they have not: otherwise who may administer would have everything, by way of another account. */
function demandHeld(needs: readonly Need[], what: string, context: AdministrationContext): void {
  for (const need of needs) {
    const decision = context.gate.decide(context.identity, [need])
    if (decision.kind === 'permit') continue
    const hint = `You do not have ${need.privilege} there yourself, so you cannot give, deny or take it`
    throw denied(`permission denied: ${what}`, hint, decision.rule)
  }
}

function demandRoles(
  roles: Iterable<string>,
  what: string,
  context: AdministrationContext,
  snapshot: GrantSnapshot,
): void {
  if (context.gate.isSuperuser(context.identity)) return
  const own = ownRoles(context, snapshot)
  for (const role of roles) {
    if (own.has(role)) continue
    // What a role means for fields and policies is not to be seen here.
    const hint = `You do not have role ${role} yourself: only a superuser gives and takes it`
    throw denied(`permission denied: ${what}`, hint, `role ${role} is not held`)
  }
}

function entriesOf(names: Iterable<string>, state: Grant['state'], snapshot: GrantSnapshot): readonly Grant[] {
  return [...names].flatMap(name => (snapshot.grants.get(name) ?? []).filter(entry => entry.state === state))
}

async function alter(
  statement: Extract<AccountStatement, { readonly kind: 'alter' }>,
  context: AdministrationContext,
): Promise<AccountAnswer> {
  const { administration, identity } = context
  const { who, password } = statement
  if (who === 'self' && !isAccountOf(identity, administration.store)) {
    throw denied('permission denied: ALTER USER', `You are no account of ${administration.store}`, 'no such account')
  }
  const name = who === 'self' ? identity.id : who.name
  if (!isSelf(who, context)) {
    const snapshot = await administration.snapshot()
    const roles = withTheirRoles(snapshot.roles.get(name) ?? [], snapshot)
    demandRoles(roles, 'ALTER USER', context, snapshot)
    demandHeld(entriesOf([name, ...roles], 'grant', snapshot), 'ALTER USER', context)
  }
  await administration.setPassword(name, password)
  return plain('ALTER ROLE')
}

async function dropPrincipal(
  statement: Extract<AccountStatement, { readonly kind: 'drop' }>,
  context: AdministrationContext,
): Promise<AccountAnswer> {
  const { administration } = context
  const { name, principal, ifExists } = statement
  const found = (await administration.principals()).find(one => one.name === name)
  if (found === undefined && ifExists) return plain('DROP ROLE')
  if (found !== undefined && found.kind !== principal) {
    const message = `"${name}" is a ${found.kind}`
    throw new Refused({ code: 'accounts.invalid', message, hint: `DROP ${found.kind.toUpperCase()} drops it` })
  }
  if (principal === 'role') {
    const snapshot = await administration.snapshot()
    // Who has the role by a token would be rid of its denials.
    demandHeld(entriesOf([name], 'deny', snapshot), 'DROP ROLE', context)
  }
  await administration.drop(name)
  return plain('DROP ROLE')
}

async function createPrincipal(
  statement: Extract<AccountStatement, { readonly kind: 'create' }>,
  { administration }: AdministrationContext,
): Promise<AccountAnswer> {
  const { name, principal, ifNotExists, password } = statement
  if (ifNotExists && (await administration.principals()).some(one => one.name === name)) return plain('CREATE ROLE')
  await administration.create({ name, kind: principal, ...(password === undefined ? {} : { password }) })
  return plain('CREATE ROLE')
}

const onCluster: readonly Privilege[] = ['DQL', 'DML', 'DDL', 'AL']
const elsewhere: readonly Privilege[] = ['DQL', 'DML', 'DDL']

async function changePrivileges(
  statement: Extract<AccountStatement, { readonly kind: 'privileges' }>,
  context: AdministrationContext,
): Promise<AccountAnswer> {
  const { verb, privileges, grantees } = statement
  const resolved = resolveTargets(statement.targets, {
    database: context.database,
    isDatabase: context.isDatabase,
    objects: await context.objects(),
    // What is no more can still be taken away.
    mustExist: verb !== 'revoke',
  })
  if ('refusal' in resolved) throw new Refused(resolved.refusal)
  const needs = resolved.targets.flatMap(target => {
    const all = target.kind === 'cluster' ? onCluster : elsewhere
    const wanted = privileges === 'all' ? all : [...new Set(privileges)]
    if (wanted.includes('AL') && target.kind !== 'cluster') {
      throw new Refused({
        code: 'accounts.invalid',
        message: 'AL is a privilege on the cluster',
        hint: `Leave ON … out: ${verb.toUpperCase()} AL`,
      })
    }
    return wanted.map((privilege): Need => ({ privilege, target }))
  })
  demandHeld(needs, verb.toUpperCase(), context)
  const entries = grantees.flatMap(grantee => needs.map(need => ({ ...need, grantee })))
  const { administration, identity } = context
  const state = verb === 'deny' ? 'deny' : 'grant'
  const count =
    verb === 'revoke'
      ? await administration.revoke(entries)
      : await administration.grant(entries.map(entry => ({ ...entry, state, grantor: identity.id })))
  return { ...plain(`${verb.toUpperCase()} ${count}`), carriedOut: { ...statement, targets: resolved.targets } }
}

async function changeRoles(
  statement: Extract<AccountStatement, { readonly kind: 'roles' }>,
  context: AdministrationContext,
): Promise<AccountAnswer> {
  const { verb, roles, grantees } = statement
  const { administration } = context
  const what = verb.toUpperCase()
  const snapshot = await administration.snapshot()
  demandRoles(roles, what, context, snapshot)
  const all = withTheirRoles(roles, snapshot)
  // Who is denied something by a role does not get rid of it by revoking the role.
  demandHeld(entriesOf(all, verb === 'grant' ? 'grant' : 'deny', snapshot), what, context)
  const count = await (verb === 'grant'
    ? administration.grantRoles(roles, grantees)
    : administration.revokeRoles(roles, grantees))
  return plain(`${what} ${count}`)
}

async function show(
  statement: Extract<AccountStatement, { readonly kind: 'list' }>,
  context: AdministrationContext,
): Promise<AccountAnswer> {
  const { administration, gate, identity } = context
  const snapshot = await administration.snapshot()
  const { of } = statement
  let grantees: ReadonlySet<string> | undefined
  if (of !== undefined && isSelf(of, context)) {
    const own = isAccountOf(identity, administration.store) ? [identity.id] : []
    grantees = new Set([...own, ...ownRoles(context, snapshot)])
  } else if (of !== undefined && of !== 'self') {
    grantees = new Set([of.name, ...withTheirRoles(snapshot.roles.get(of.name) ?? [], snapshot)])
  }
  const found = listOf(statement.list, {
    snapshot,
    principals: statement.list === 'privileges' ? [] : await administration.principals(),
    isSuperuser: name => gate.isSuperuser(accountNamed(name, administration.store)),
    grantees,
  })
  const chosen = statement.columns ?? found.columns.map(column => column.name)
  const indices = chosen.map(name => found.columns.findIndex(column => column.name === name))
  const missing = chosen.find((_, index) => indices[index] === -1)
  if (missing !== undefined) {
    const hint = `sys.${statement.list} has ${found.columns.map(column => column.name).join(', ')}`
    throw new Refused({ code: 'postgres.account_statement', message: `column "${missing}" does not exist`, hint })
  }
  const rows = found.rows.map(row => indices.map(index => row[index]))
  return {
    tag: statement.verb === 'SHOW' ? 'SHOW' : `SELECT ${rows.length}`,
    columns: indices.flatMap(index => found.columns[index] ?? []),
    rows,
  }
}

function accountNamed(id: string, source: string): Identity {
  const rest = {
    roles: [],
    claims: noClaims,
    clientId: undefined,
    mechanism: 'password',
    expiresAt: undefined,
  } as const
  return createIdentity({ ...rest, id, source })
}

function plain(tag: string): AccountAnswer {
  return { tag, columns: [], rows: [] }
}

/**
 * Carries a statement about accounts out: who may is decided here, the rest is the store's.
 *
 * @throws {AccountError} whatever the store refuses or cannot do
 */
export async function runAccountStatement(
  statement: AccountStatement,
  context: AdministrationContext,
): Promise<{ readonly answer: AccountAnswer; readonly rule: string } | { readonly refusal: AccountRefusal }> {
  try {
    const rule = demandRight(statement, context)
    return { answer: await carryOut(statement, context), rule }
  } catch (thrown) {
    if (thrown instanceof Refused) return { refusal: thrown.refusal }
    throw thrown
  }
}

function carryOut(statement: AccountStatement, context: AdministrationContext): Promise<AccountAnswer> {
  switch (statement.kind) {
    case 'create':
      return createPrincipal(statement, context)
    case 'alter':
      return alter(statement, context)
    case 'drop':
      return dropPrincipal(statement, context)
    case 'privileges':
      return changePrivileges(statement, context)
    case 'roles':
      return changeRoles(statement, context)
    case 'list':
      return show(statement, context)
  }
}
