import { z } from 'zod'
import { parseJsonPath } from '../json-path.ts'
import { databaseLogin, databaseTls, type Frozen, hostAddress, name, secretReference, timeLimit } from '../option.ts'
import { maxBcryptCost } from './bcrypt.ts'

/** A member of a document at its root. */
const member = z.string().regex(/^[^.$\0][^.\0]*$/, 'must be the name of a member: no ".", no "$" at its beginning')

const rolePath = z.string().superRefine((text, context) => {
  const parsed = parseJsonPath(text)
  if (parsed.kind === 'fault') {
    context.addIssue({ code: 'custom', message: `character ${parsed.position}: ${parsed.fault}` })
  }
})

const connections = z.int().min(1).max(1_000).default(10).describe('at once; who finds none free waits')

export const postgresStoreOptions = z.strictObject({
  kind: z.literal('postgres'),
  host: z.string().min(1).describe('where PostgreSQL listens: the primary, standbys are behind'),
  port: z.int().min(1).max(65_535).default(5432).describe('of that host'),
  database: z.string().min(1).describe('its name on that server'),
  schema: z
    .string()
    .regex(/^(?!pg_|public$|information_schema$)[a-z_][a-z0-9_]{0,62}$/, 'must be a schema of its own: a-z, 0-9, "_"')
    .default('bawn_accounts')
    .describe('for the tables; made when it is not there'),
  tls: databaseTls,
  login: databaseLogin,
  connect_timeout: timeLimit.default(5_000).describe('until it is connected and logged in, or a connection is free'),
  statement_timeout: timeLimit.default(5_000).describe('until a question is answered'),
  max_connections: connections,
})

/** What a URL of MongoDB may say besides where it is: everything else has an option of ours, or would weaken what we ask for. */
const urlOptions: Readonly<Record<string, RegExp>> = {
  replicaset: /^.+$/,
  authsource: /^.+$/,
  authmechanism: /^(SCRAM-SHA-256|SCRAM-SHA-1|MONGODB-X509)$/,
  directconnection: /^(true|false)$/,
  loadbalanced: /^(true|false)$/,
  srvservicename: /^.+$/,
  srvmaxhosts: /^[0-9]+$/,
}

/** What of a URL cannot be had, in words without its password; `undefined` when it is good. */
export function mongoUrlFault(url: string): string | undefined {
  if (!/^mongodb(\+srv)?:\/\/[^/?#\s]+(\/[^/?#\s]*)?(\?[^#\s]*)?$/.test(url))
    return 'it is no mongodb:// or mongodb+srv:// URL'
  const [, query = ''] = /\?(.*)$/.exec(url) ?? []
  for (const [option, value] of new URLSearchParams(query)) {
    const known = Object.hasOwn(urlOptions, option.toLowerCase()) ? urlOptions[option.toLowerCase()] : undefined
    if (known === undefined) return `the option ${option.slice(0, 40)} is not for the URL`
    if (!known.test(value)) return `the option ${option} cannot have this value`
  }
  return undefined
}

const mongoTls = z
  .union([
    z.literal('off'),
    z.strictObject({
      ca: z.string().optional().describe('PEM file of authorities, instead of the system ones'),
      certificate: z.string().optional().describe('PEM file: our certificate, where the server wants one'),
      key: z.string().optional().describe('PEM file: its private key'),
    }),
  ])
  .default({})
  .describe('verified by default; off is for a server on the same machine')

export const mongoStoreOptions = z.strictObject({
  kind: z.literal('mongo'),
  url: z
    .string()
    .regex(
      /^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+|mongodb(\+srv)?:\/\/[^@]+)$/,
      'must be mongodb://host:port without a password, or env:NAME or file:path where the whole of it is',
    )
    .superRefine((url, context) => {
      const fault = url.startsWith('mongodb') ? mongoUrlFault(url) : undefined
      if (fault !== undefined) context.addIssue({ code: 'custom', message: fault })
    })
    .describe('mongodb://host:port/?replicaSet=…, mongodb+srv://host; a secret reference where it has a password'),
  user: z.string().min(1).optional().describe('who the gateway is there'),
  password: secretReference.optional().describe('of the gateway there'),
  tls: mongoTls,
  database: z.string().min(1).max(63).default('restheart').describe('that has the collection'),
  collection: z.string().min(1).max(120).default('users').describe('a document each user'),
  property_id: z
    .string()
    .regex(/^[^.$\0][^.\0]*(\.[^.$\0][^.\0]*)*$/, 'must be a.b: no "$" at the beginning of a name')
    .default('_id')
    .describe('the name of the user; another one than _id needs a unique index'),
  property_password: member.default('password').describe('the hash of the password'),
  property_locked: member.default('locked').describe('true: locked, by bawn accounts lock'),
  property_scram: member.default('scram').describe('SCRAM verifier, with hash: argon2id'),
  json_path_roles: rolePath.default('$.roles').describe('a list of names; what is no name there is passed over'),
  hash: z
    .enum(['bcrypt', 'argon2id'])
    .default('bcrypt')
    .describe(
      'of new passwords: bcrypt is what RESTHeart reads; argon2id adds SCRAM, and makes others anew at a login',
    ),
  bcrypt_complexity: z.int().min(10).max(maxBcryptCost).default(12).describe('cost of new bcrypt hashes'),
  insecure_clear_passwords: z
    .boolean()
    .default(false)
    .describe('believe what is no hash as the password itself (RESTHeart’s bcrypt-hashed-password: false)'),
  first_user: z
    .strictObject({
      name: z.string().min(1).max(128).describe('of the user'),
      password: secretReference.describe('of the user'),
      roles: z.array(name).min(1).describe('of the user'),
    })
    .optional()
    .describe('made when the collection is empty, and said aloud'),
  cache: z
    .strictObject({
      size: z.int().min(1).max(1_000_000).default(1_000).describe('users'),
      ttl: timeLimit.default(60_000).describe('after which changes that others made are seen'),
      expire: z
        .enum(['after_write', 'after_read'])
        .default('after_write')
        .describe('ttl since it was read from the database, or since it was used, up to ten times ttl'),
    })
    .optional()
    .describe('of users, in memory; without it every login asks the database. All nodes need the same'),
  timeout: timeLimit.default(2_000).describe('until a question is answered, finding a server included'),
  max_connections: connections,
})

export const sqliteStoreOptions = z.strictObject({
  kind: z.literal('sqlite'),
  path: z.string().min(1).describe('SQLite file; made when it is not there, mode 0600'),
})
export const fileStoreOptions = z.strictObject({
  kind: z.literal('file'),
  path: z.string().min(1).describe('file of users that somebody else writes; read again when it changes'),
  format: z.enum(['users_yml', 'htpasswd']).describe('RESTHeart’s users.yml, or Apache’s htpasswd'),
  roles: z.array(name).default([]).describe('of everybody in an htpasswd file, which has none of its own'),
})

export const postgresRolesOptions = z.strictObject({
  kind: z.literal('postgres-roles'),
  host: z.string().min(1).optional().describe('where PostgreSQL listens; this or hosts'),
  port: z.int().min(1).max(65_535).optional().describe('of host; default: 5432'),
  hosts: z
    .array(hostAddress)
    .min(1)
    .max(16)
    .optional()
    .describe('host:port of each server of one cluster, instead of host: the primary is asked'),
  database: z.string().min(1).describe('its name on that server: where the function is'),
  tls: databaseTls,
  login: databaseLogin,
  connect_timeout: timeLimit.default(5_000).describe('until it is connected and logged in'),
  query_timeout: timeLimit.default(5_000).describe('until a question is answered'),
  function: z
    .string()
    .regex(/^[a-z_][a-z0-9_]{0,62}\.[a-z_][a-z0-9_]{0,62}$/, 'must be schema.name: a-z, 0-9, "_"')
    .default('bawn.scram_verifier')
    .describe('given the name of a role, returns its verifier out of pg_authid'),
  memberships: z.boolean().default(true).describe('roles that it is a member of there are its roles here'),
  roles: z.array(name).default([]).describe('what everybody in it has besides'),
})

/** An account store; which kinds there are stands in `builtin.ts` as well. */
export const accountStoreOptions = z.discriminatedUnion('kind', [
  sqliteStoreOptions,
  postgresStoreOptions,
  mongoStoreOptions,
  fileStoreOptions,
  postgresRolesOptions,
])
export type AccountStoreOptions = Frozen<z.output<typeof accountStoreOptions>>

/** Whether a store of this kind keeps roles and grants. */
export function holdsGrants(kind: AccountStoreOptions['kind']): boolean {
  return kind === 'sqlite' || kind === 'postgres'
}

/** Without its kind, as whoever opens a store is given it. */
export type StoreOptionsOf<Kind extends AccountStoreOptions['kind']> = Omit<
  Extract<AccountStoreOptions, { readonly kind: Kind }>,
  'kind'
>
