import { createHmac, createSecretKey } from 'node:crypto'
import { decoyScramVerifier, parseScramVerifier } from './scram-verifier.ts'
import { type Account, AccountError, type AccountStore, isAccountName, isRoleName } from './store.ts'

export interface ServerRolesOptions {
  readonly name: string
  /** Asks with the gateway's own credential, on a connection that no client has a say in, `search_path` pg_catalog. Rejects when it cannot be had. */
  readonly query: (sql: string, parameters: readonly unknown[]) => Promise<readonly Readonly<Record<string, unknown>>[]>
  /** `schema.name` of a function from a role's name to its verifier, both text. */
  readonly function: string
  readonly memberships: boolean
  /** What everybody has. */
  readonly roles: readonly string[]
  /** What decoys are derived from: the same at every node, known to nobody outside. */
  readonly secret: string
  readonly close: () => Promise<void>
}

/** What the server keeps for new passwords where it does not say (before version 16). */
const usualIterations = 4_096

/**
 * What we decide by is asked of the catalogue itself, not of the function: whether the role may log in, and whether its password is still
 * valid (CVE-2025-2291 was a pooler that did not ask). The function is called for unknown names too, so that they take as long.
 *
 * $1 name. Every name is qualified, and the value is a parameter: nothing that a client says becomes SQL (CVE-2025-12819).
 */
function findQuery(quoted: string): string {
  return `
WITH RECURSIVE asked (name) AS (
  SELECT $1::pg_catalog.text
), above (oid) AS (
  SELECT r.oid FROM pg_catalog.pg_roles r JOIN asked a ON r.rolname::pg_catalog.text = a.name
  UNION
  SELECT m.roleid FROM pg_catalog.pg_auth_members m JOIN above a ON m.member = a.oid
)
SELECT r.rolname::pg_catalog.text AS name, ${quoted}(a.name) AS verifier,
  r.rolcanlogin AND NOT r.rolsuper AND NOT r.rolreplication
    AND (r.rolvaliduntil IS NULL OR r.rolvaliduntil > pg_catalog.now()) AS open,
  pg_catalog.current_setting('scram_iterations', true) AS iterations,
  ARRAY (
    SELECT o.rolname::pg_catalog.text FROM pg_catalog.pg_roles o JOIN above ON o.oid = above.oid
    WHERE o.rolname::pg_catalog.text <> a.name
  ) AS memberships
FROM asked a LEFT JOIN pg_catalog.pg_roles r ON r.rolname::pg_catalog.text = a.name`
}

const listQuery = `
SELECT r.rolname::pg_catalog.text AS name, NULL AS verifier,
  (r.rolvaliduntil IS NULL OR r.rolvaliduntil > pg_catalog.now()) AND NOT r.rolreplication AS open,
  ARRAY (
    SELECT o.rolname::pg_catalog.text FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles o ON o.oid = m.roleid
    WHERE m.member = r.oid
  ) AS memberships
FROM pg_catalog.pg_roles r WHERE r.rolcanlogin AND NOT r.rolsuper ORDER BY 1`

/**
 * The login roles of a PostgreSQL server as accounts, asked for at each login: a password that was changed there holds at once. Superusers
 * and roles for replication are locked here: what they may do goes past every rule of the gateway.
 *
 * `list` tells direct memberships, and no verifiers.
 */
export function openServerRoles(options: ServerRolesOptions): AccountStore {
  const { name, query, secret } = options
  const sql = findQuery(
    options.function
      .split('.')
      .map(part => `"${part}"`)
      .join('.'),
  )
  const decoySecret = createHmac('sha256', createSecretKey(Buffer.from(secret)))
    .update(`bawn decoys ${name}`)
    .digest()
  let iterations = usualIterations

  const asked = async (text: string, parameters: readonly unknown[]) => {
    try {
      return await query(text, parameters)
    } catch (cause) {
      throw new AccountError('accounts.unavailable', `account store ${name}: PostgreSQL cannot be asked`, { cause })
    }
  }
  const accountOf = (row: Readonly<Record<string, unknown>>): Account | undefined => {
    const role = row['name']
    if (typeof role !== 'string' || !isAccountName(role)) return undefined
    const memberships = options.memberships && Array.isArray(row['memberships']) ? row['memberships'] : []
    const verifier = row['verifier']
    return {
      name: role,
      // What is no name of ours can be in no rule.
      roles: [...options.roles, ...memberships.filter(one => typeof one === 'string' && isRoleName(one))],
      scram: typeof verifier === 'string' ? parseScramVerifier(verifier) : undefined,
      locked: row['open'] !== true,
    }
  }
  const readOnly = () =>
    Promise.reject(new AccountError('accounts.read_only', `account store ${name} is the roles of a PostgreSQL server`))

  return {
    name,
    decoySecret: async () => decoySecret,
    async find(user) {
      // No text of PostgreSQL holds it, and a driver would refuse or cut it.
      if (user.includes('\0')) return undefined
      const [row] = await asked(sql, [user])
      if (row === undefined) throw new AccountError('accounts.unavailable', `account store ${name} got no answer`)
      const stated = Number(row['iterations'])
      iterations = Number.isInteger(stated) && stated > 0 ? stated : usualIterations
      return accountOf(row)
    },
    // As the server itself answers for a name that it does not know: with the rounds that a new password would have.
    decoy: async user => ({
      name: 'nobody',
      roles: [],
      scram: decoyScramVerifier(decoySecret, user, iterations),
      locked: true,
    }),
    list: async () => (await asked(listQuery, [])).flatMap(row => accountOf(row) ?? []),
    add: readOnly,
    setVerifier: readOnly,
    close: options.close,
  }
}
