import type pg from 'pg'
import {
  newCredential,
  nobodyColumns,
  parseAccountColumns,
  requireAccountName,
  roleColumn,
  verifierColumns,
} from './account-row.ts'
import { nameTaken } from './administration-rules.ts'
import { hashedNames } from './digest-verifier.ts'
import type { Administration } from './grant.ts'
import { type Ask, connectPostgres, type PostgresTarget } from './postgres-connection.ts'
import { createPostgresAdministration } from './postgres-grants.ts'
import { createPostgresHierarchy, grantsVersion, lockGrants } from './postgres-roles.ts'
import { quoteSchema, refuseNewer } from './postgres-schema.ts'
import type { RoleHierarchy } from './role-hierarchy.ts'
import { AccountError, isAccountName, type StoredAccount, type WritableAccountStore } from './store.ts'
import { deriveVerifiers } from './verifier.ts'

export interface PostgresAccountsOptions extends PostgresTarget {
  /** Milliseconds since 1970. */
  readonly clock: () => number
}

/** A store that also keeps grants. */
export interface PostgresAccountStore extends WritableAccountStore {
  readonly administration: Administration
}

/**
 * Accounts in PostgreSQL, for any number of nodes: each `find` asks the primary and sees what was committed before. What is acknowledged
 * is on its disk. Nothing is asked when it is opened: a database that is away is "cannot decide" until it is back, and connections
 * are made anew by themselves.
 */
export function openPostgresAccounts(options: PostgresAccountsOptions): PostgresAccountStore {
  const { name, clock } = options
  const schema = quoteSchema(options.schema)
  const tables = connectPostgres(options)
  const hierarchyOf = createPostgresHierarchy(name, schema, tables)
  const nobodyCredential = newCredential()
  const columns = `name, scram, password, roles, locked, created::float8 AS created, password_changed::float8 AS password_changed,
    digest, credential, ${grantsVersion(schema)} AS version`

  const changed = (user: string, { rowCount }: pg.QueryResult): void => {
    if (rowCount === 0)
      throw new AccountError('accounts.not_found', `account store ${name} has no such account: ${JSON.stringify(user)}`)
  }
  const parse = (row: Readonly<Record<string, unknown>>, hierarchy: RoleHierarchy): StoredAccount => {
    const { name: user, scram, password, digest, credential, roles, locked, created } = row
    return parseAccountColumns(
      name,
      {
        name: user,
        scram,
        password,
        digest,
        credential,
        roles,
        locked,
        created,
        passwordChanged: row['password_changed'],
      },
      hierarchy,
    )
  }
  /** Rows, with the roles that those of each have in turn. */
  const accounts = async (sql: string, values: readonly unknown[]): Promise<readonly StoredAccount[]> => {
    const { rows, hierarchy } = await hierarchyOf(async () => {
      const found = await tables.read(sql, values)
      return { rows: found.rows, version: found.rows[0]?.version }
    })
    return rows.map(row => parse(row, hierarchy))
  }
  const change = async (user: string, sql: string, values: readonly unknown[]): Promise<void> =>
    changed(user, await tables.change(ask => ask(sql, values)))
  /** What users and roles are called, and who has which, is changed by one after the other. */
  const changeRoles = <Result>(work: (ask: Ask) => Promise<Result>): Promise<Result> =>
    tables.change(async ask => {
      await ask(lockGrants(schema))
      return work(ask)
    })

  /** Within a transaction. */
  const setHashedNames = async (ask: Ask, user: string, digest: string | undefined): Promise<void> => {
    await ask(`DELETE FROM ${schema}.hashed_name WHERE name = $1`, [user])
    const hashes = hashedNames(user, digest)
    if (hashes.length === 0) return
    await ask(`INSERT INTO ${schema}.hashed_name (hash, name) SELECT unnest($1::text[]), $2 ON CONFLICT DO NOTHING`, [
      hashes,
      user,
    ])
  }

  let secret: Uint8Array | undefined
  const store: WritableAccountStore = {
    name,
    async decoySecret() {
      if (secret !== undefined) return secret
      const { rows } = await tables.read(`SELECT value FROM ${schema}.secret WHERE name = 'decoy'`, [])
      const value: unknown = rows[0]?.value
      if (!(value instanceof Uint8Array) || value.length !== 32) {
        throw new AccountError('accounts.unavailable', `account store ${name} has lost its secret row`)
      }
      secret = value
      return value
    },
    derive: deriveVerifiers,
    async find(user) {
      const wanted = searchName(user)
      // The account, else the one after it, else nobody: one row is read to its end for every name. What is read of an account only
      // shows in the time of a failed login.
      const { rows, hierarchy } = await hierarchyOf(async () => {
        const found = await tables.read(
          `(SELECT ${columns}, 1 AS place, (SELECT oldest FROM ${schema}.edition) AS oldest
              FROM ${schema}.account WHERE name >= $1 ORDER BY name LIMIT 1)
           UNION ALL
           SELECT '', '${nobodyColumns.scram}', '${nobodyColumns.password}', '{${nobodyColumns.role}}', true, 0, 0,
             '${nobodyColumns.digest}', '${nobodyCredential}', ${grantsVersion(schema)}, 2, (SELECT oldest FROM ${schema}.edition)
           ORDER BY place LIMIT 1`,
          [wanted],
        )
        refuseNewer(name, found.rows[0]?.oldest)
        return { rows: found.rows, version: found.rows[0]?.version }
      })
      const [row] = rows
      const isFound = row?.name === wanted && wanted !== ''
      try {
        const account = parse(row, hierarchy)
        return isFound ? account : undefined
      } catch (error) {
        // Somebody else's row that cannot be read is not about this name.
        if (!isFound) return undefined
        throw error
      }
    },
    async decoy(user) {
      // The next in the order of names that has a password, as chance as the name itself.
      const hasPassword = '(password IS NOT NULL OR scram IS NOT NULL)'
      const [account] = await accounts(
        `(SELECT ${columns}, 1 AS place FROM ${schema}.account WHERE name > $1 AND ${hasPassword} ORDER BY name LIMIT 1)
         UNION ALL
         (SELECT ${columns}, 2 AS place FROM ${schema}.account WHERE ${hasPassword} ORDER BY name LIMIT 1)
         ORDER BY place LIMIT 1`,
        [searchName(user)],
      )
      return account
    },
    async findHashed({ hash }) {
      // A row for every hash, and no account is called nothing: as much work where it is nobody's.
      const { rows } = await tables.read(
        `SELECT name, 1 AS place FROM ${schema}.hashed_name WHERE hash = $1 UNION ALL SELECT '', 2 ORDER BY place LIMIT 1`,
        [hash],
      )
      const user: unknown = rows[0]?.name
      return store.find(typeof user === 'string' ? user : '')
    },
    list: () => accounts(`SELECT ${columns} FROM ${schema}.account ORDER BY name`, []),
    async add(account) {
      requireAccountName(account.name)
      const [scram, password, digest] = verifierColumns(account)
      const roles = roleColumn(account.roles)
      await changeRoles(async ask => {
        const { rowCount } = await ask(
          `INSERT INTO ${schema}.account (name, scram, password, roles, locked, created, password_changed, digest, credential)
           SELECT $1::text, $2, $3, $4, $5, $6, $6, $7, $8 WHERE NOT EXISTS (SELECT FROM ${schema}.role WHERE name = $1)
           ON CONFLICT DO NOTHING`,
          [account.name, scram, password, roles, account.locked, clock(), digest, newCredential()],
        )
        if (rowCount === 0) throw nameTaken(account.name)
        await setHashedNames(ask, account.name, account.digest)
      })
    },
    async setVerifier(user, verifiers) {
      const sql = `UPDATE ${schema}.account SET scram = $2, password = $3, digest = $4, password_changed = $5, credential = $6
        WHERE name = $1`
      await tables.change(async ask => {
        changed(user, await ask(sql, [searchName(user), ...verifierColumns(verifiers), clock(), newCredential()]))
        await setHashedNames(ask, user, verifiers.digest)
      })
    },
    async upgrade(account, verifiers) {
      const [before, after] = [verifierColumns(account), verifierColumns(verifiers)]
      return tables.change(async ask => {
        const { rowCount } = await ask(
          `UPDATE ${schema}.account SET scram = $2, password = $3, digest = $4 WHERE name = $1
           AND scram IS NOT DISTINCT FROM $5 AND password IS NOT DISTINCT FROM $6 AND digest IS NOT DISTINCT FROM $7`,
          [account.name, ...after, ...before],
        )
        if (rowCount !== 1) return false
        await setHashedNames(ask, account.name, verifiers.digest)
        return true
      })
    },
    async setRoles(user, roles) {
      const values = [searchName(user), roleColumn(roles)]
      const sql = `UPDATE ${schema}.account SET roles = $2 WHERE name = $1`
      changed(user, await changeRoles(ask => ask(sql, values)))
    },
    async setLocked(user, locked) {
      const sql = `UPDATE ${schema}.account SET locked = $2, credential = CASE WHEN $2 THEN $3 ELSE credential END WHERE name = $1`
      await change(user, sql, [searchName(user), locked, newCredential()])
    },
    async remove(user) {
      changed(
        user,
        await changeRoles(async ask => {
          const gone = await ask(`DELETE FROM ${schema}.account WHERE name = $1`, [searchName(user)])
          // Of a role of this name, they stay.
          if (gone.rowCount === 1) await ask(`DELETE FROM ${schema}.privilege WHERE grantee = $1`, [user])
          return gone
        }),
      )
    },
    close: () => tables.close(),
  }
  const administration = createPostgresAdministration({ store, schema, tables, changeRoles, clock })
  return { ...store, administration }
}

/** What no account is called is looked for as the empty name: a NUL or a lone surrogate would not cross as itself. */
function searchName(user: string): string {
  return isAccountName(user) ? user : ''
}
