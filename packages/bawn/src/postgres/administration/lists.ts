import type { Grant, GrantSnapshot, Principal } from '../../accounts/grant.ts'
import { formatPath } from '../../accounts/grant-target.ts'
import { typeOid } from '../wire/message.ts'
import type { AccountStatement, ListName } from './statement.ts'

export interface Column {
  readonly name: string
  readonly typeOid: number
}

export interface ListContext {
  readonly snapshot: GrantSnapshot
  readonly principals: readonly Principal[]
  readonly isSuperuser: (name: string) => boolean
  /** Only entries of these. */
  readonly grantees: ReadonlySet<string> | undefined
}

type Row = readonly (string | undefined)[]

const text = (name: string): Column => ({ name, typeOid: typeOid.text })

/** What CrateDB shows in place of a password that there is. */
const hidden = '********'

const columns: { readonly [list in ListName]: readonly Column[] } = {
  users: [text('name'), text('granted_roles'), text('password'), text('superuser'), text('locked')],
  roles: [text('name'), text('granted_roles')],
  privileges: ['class', 'grantee', 'grantor', 'ident', 'state', 'type'].map(text),
}

function userRow({ name, roles, hasPassword, locked }: Principal, { isSuperuser }: ListContext): Row {
  return [name, roles.join(', '), hasPassword ? hidden : undefined, String(isSuperuser(name)), String(locked)]
}

function entryRow({ target, grantee, grantor, state, privilege }: Grant): Row {
  const ident = target.kind === 'cluster' ? undefined : formatPath(target)
  return [target.kind.toUpperCase(), grantee, grantor, ident, state.toUpperCase(), privilege]
}

/** A list with its columns, as CrateDB's `sys.users`, `sys.roles` and `sys.privileges` have them; every value as text. */
export function listOf(
  list: ListName,
  context: ListContext,
): { readonly columns: readonly Column[]; readonly rows: readonly Row[] } {
  switch (list) {
    case 'users':
      return {
        columns: columns.users,
        rows: context.principals.filter(({ kind }) => kind === 'user').map(one => userRow(one, context)),
      }
    case 'roles':
      return {
        columns: columns.roles,
        rows: context.principals
          .filter(({ kind }) => kind === 'role')
          .map(({ name, roles }) => [name, roles.join(', ')]),
      }
    case 'privileges': {
      const entries = [...context.snapshot.grants]
        .filter(([grantee]) => context.grantees?.has(grantee) !== false)
        .flatMap(([, grants]) => grants)
      return { columns: columns.privileges, rows: entries.map(entryRow) }
    }
  }
}

/** The columns of a statement's result; none of one that yields no rows, or that will be refused for a column which there is not. */
export function columnsOf(statement: AccountStatement): readonly Column[] {
  if (statement.kind !== 'list') return []
  const all = columns[statement.list]
  return statement.columns?.flatMap(name => all.find(column => column.name === name) ?? []) ?? all
}
