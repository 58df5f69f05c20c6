import type { PrincipalKind, Privilege } from '../../accounts/grant.ts'

/** What a statement about accounts is about; a table's schema, and the database of both, may be left out. */
export type WrittenTarget =
  | { readonly kind: 'cluster' }
  | { readonly kind: 'database'; readonly database: string }
  | { readonly kind: 'schema'; readonly database: string | undefined; readonly schema: string }
  | {
      readonly kind: 'table'
      readonly database: string | undefined
      readonly schema: string | undefined
      readonly table: string
    }

/** Names that have to be quoted, so that a forgotten name is not made of the word behind it. */
export const reserved: ReadonlySet<string> = new Set(
  `ALL AND AS CURRENT_ROLE CURRENT_USER DENY EXISTS FOR FROM GRANT IF IN NOT NULL ON OR PASSWORD RESET REVOKE SELECT SESSION_USER
  SET TABLE TO USER USING WITH`.split(/\s+/),
)

/** Somebody by name, or whoever sends the statement. */
export type Somebody = { readonly name: string } | 'self'

/** Lists that can be read, by the names of CrateDB's tables. */
export const listNames = ['users', 'roles', 'privileges'] as const
export type ListName = (typeof listNames)[number]

/** A statement about accounts, as CrateDB has them: it is answered by the gateway and never reaches the database. */
export type AccountStatement =
  | {
      readonly kind: 'create'
      readonly principal: PrincipalKind
      readonly name: string
      readonly ifNotExists: boolean
      readonly password: string | undefined
    }
  /** `password` undefined takes it away. */
  | { readonly kind: 'alter'; readonly who: Somebody; readonly password: string | undefined }
  | { readonly kind: 'drop'; readonly principal: PrincipalKind; readonly name: string; readonly ifExists: boolean }
  | {
      readonly kind: 'privileges'
      readonly verb: 'grant' | 'deny' | 'revoke'
      /** `ALL`: every one that there is on the target. */
      readonly privileges: readonly Privilege[] | 'all'
      readonly targets: readonly WrittenTarget[]
      readonly grantees: readonly string[]
    }
  | {
      readonly kind: 'roles'
      readonly verb: 'grant' | 'revoke'
      readonly roles: readonly string[]
      readonly grantees: readonly string[]
    }
  | {
      readonly kind: 'list'
      readonly list: ListName
      /** Only what was granted to one. */
      readonly of: Somebody | undefined
      /** Of the list's columns; all of them where it is left out. */
      readonly columns: readonly string[] | undefined
      /** Of `SELECT` the number of rows is told, of `SHOW` not. */
      readonly verb: 'SHOW' | 'SELECT'
    }

/** What a text is, seen as a statement about accounts. */
export type AccountReading =
  | { readonly kind: 'account'; readonly statement: AccountStatement }
  /** It begins like one and is none: never forwarded, for it may hold a password, or mean PostgreSQL's own roles. */
  | { readonly kind: 'misread'; readonly message: string; readonly hint: string; readonly offset: number | undefined }

/** `CREATE USER`, for the trail and the command tag. */
export function verbOf(statement: AccountStatement): string {
  switch (statement.kind) {
    case 'create':
    case 'drop':
      return `${statement.kind} ${statement.principal}`.toUpperCase()
    case 'alter':
      return 'ALTER USER'
    case 'privileges':
    case 'roles':
      return statement.verb.toUpperCase()
    case 'list':
      return statement.verb
  }
}

function quoted(name: string): string {
  const isWord = reserved.has(name.toUpperCase()) || /^(?:dql|dml|ddl|al|public|sys)$/.test(name)
  return /^[a-z_][a-z0-9_]*$/.test(name) && !isWord ? name : `"${name.replaceAll('"', '""')}"`
}

function list(names: readonly string[]): string {
  return names.map(quoted).join(', ')
}

function targetText(target: WrittenTarget): string {
  switch (target.kind) {
    case 'cluster':
      return 'CLUSTER'
    case 'database':
      return `DATABASE ${quoted(target.database)}`
    case 'schema':
      return `SCHEMA ${path([target.database, target.schema])}`
    case 'table':
      return `TABLE ${path([target.database, target.schema, target.table])}`
  }
}

function path(names: readonly (string | undefined)[]): string {
  return names.flatMap(name => (name === undefined ? [] : [/^public$/.test(name) ? name : quoted(name)])).join('.')
}

/** The statement for the trail: spelt in one way, and without its password. */
export function withoutSecret(statement: AccountStatement): string {
  const verb = verbOf(statement)
  switch (statement.kind) {
    case 'create':
      return `${verb} ${quoted(statement.name)}${statement.password === undefined ? '' : ' WITH (password = ***)'}`
    case 'alter': {
      const who = statement.who === 'self' ? 'CURRENT_USER' : quoted(statement.who.name)
      return `${verb} ${who} ${statement.password === undefined ? 'RESET (password)' : 'SET (password = ***)'}`
    }
    case 'drop':
      return `${verb} ${quoted(statement.name)}`
    case 'privileges': {
      const { privileges, targets, grantees } = statement
      const what = privileges === 'all' ? 'ALL' : privileges.join(', ')
      const on = targets.map(targetText).join(', ')
      return `${verb} ${what} ON ${on} ${statement.verb === 'revoke' ? 'FROM' : 'TO'} ${list(grantees)}`
    }
    case 'roles':
      return `${verb} ${list(statement.roles)} ${statement.verb === 'revoke' ? 'FROM' : 'TO'} ${list(statement.grantees)}`
    case 'list': {
      const { of } = statement
      if (verb === 'SELECT') return `SELECT FROM sys.${statement.list}`
      const one = of === undefined ? '' : ` FOR ${of === 'self' ? 'CURRENT_USER' : quoted(of.name)}`
      return `SHOW ${statement.list === 'privileges' ? 'GRANTS' : statement.list.toUpperCase()}${one}`
    }
  }
}
