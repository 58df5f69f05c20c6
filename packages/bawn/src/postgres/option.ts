import { z } from 'zod'
import { proxyProtocolOptions } from '../authn/option.ts'
import { rateLimitOptions } from '../limits/option.ts'
import {
  databaseLogin,
  databaseTlsOptions,
  type Frozen,
  hostAddress,
  listenAddress,
  name,
  revocationOptions,
  serverTls,
  timeLimit,
} from '../option.ts'
import { firewallOptions } from './firewall/option.ts'
import { poolOptions } from './pool/option.ts'
import { rowFilterOptions } from './row-filters/option.ts'

export const postgresListenerOptions = z.strictObject({
  door: z.literal('postgres'),
  address: listenAddress.describe('host:port to listen on; port 0 takes a free one'),
  tls: serverTls.optional().describe('without it statements and rows cross in clear'),
  databases: z.array(name).optional().describe('which databases may be reached here; default: all'),
  proxy_protocol: proxyProtocolOptions
    .optional()
    .describe('whose connections begin with a PROXY header, which says where the client is'),
  authentication_timeout: timeLimit.default(60_000).describe('until a client has logged in'),
  keepalive: timeLimit.default(60_000).describe('of silence: then TCP asks whether the client is still there'),
  write_timeout: timeLimit
    .default(60_000)
    .describe('a client that takes nothing of what waits for it is dropped after this long'),
  max_connections: z.int().min(1).default(1_000).describe('of clients; more are told that there are too many'),
  rate_limit: rateLimitOptions.optional().describe('connections to this listener, before TLS and login'),
  max_frame_bytes: z
    .int()
    .min(65_536)
    .max(1_073_741_823)
    .default(67_108_864)
    .describe('of a message that has to be opened; others are streamed'),
  max_pending: z.int().min(1).default(10_000).describe('statements sent ahead whose answers are outstanding'),
  max_prepared: z.int().min(1).default(5_000).describe('prepared statements and portals of one session'),
})
export type PostgresListenerOptions = Frozen<z.output<typeof postgresListenerOptions>>

const settingName = z
  .string()
  .regex(/^[a-z_][a-z0-9_]{0,30}\.[a-z_][a-z0-9_]{0,30}$/, 'must be prefix.name: a-z, 0-9, "_"')

const sessionLimitOptions = {
  sessions: z.int().min(1).max(100_000).optional().describe('at once'),
  sessions_per_identity: z.int().min(1).max(100_000).optional().describe('of one identity at once'),
  idle_session: timeLimit.optional().describe('without a transaction and without a statement; then it ends, 57P05'),
  idle_in_transaction: timeLimit.optional().describe('in a transaction, without a statement; then it ends, 25P03'),
  session_lifetime: timeLimit.optional().describe('then it ends, as soon as no transaction is open, 57P01'),
  statement_timeout: timeLimit
    .optional()
    .describe('then it is cancelled, 57014; sessions begin with it, and no SET of theirs lifts it'),
  transaction_timeout: timeLimit.optional().describe('from its first answer to its end; then the session ends, 25P04'),
  lock_timeout: timeLimit.optional().describe('sessions begin with it, and may set another'),
}

const databaseLimitOptions = z.strictObject({
  ...sessionLimitOptions,
  sessions: sessionLimitOptions.sessions.describe('at once, of everybody; more wait for a place. Default: any number'),
  queue_length: z.int().min(0).max(100_000).default(1_000).describe('how many may wait for a place'),
  queue_timeout: timeLimit.default(10_000).describe('how long; then they are told 53300'),
  by_role: z
    .array(
      z.strictObject({
        roles: z.array(name).min(1).describe('for whoever has one of these'),
        ...sessionLimitOptions,
        sessions: sessionLimitOptions.sessions.describe(
          'at once, of all to whom this entry applies together; more are refused',
        ),
      }),
    )
    .default([])
    .describe(
      'other limits by role: the first entry that fits decides; where it is silent, those of the database hold',
    ),
})

export const databaseOptions = z.strictObject({
  host: z.string().min(1).optional().describe('where PostgreSQL listens; this or hosts'),
  port: z.int().min(1).max(65_535).optional().describe('of host; default: 5432'),
  hosts: z
    .array(hostAddress)
    .min(1)
    .max(16)
    .optional()
    .describe(
      'host:port of each server of one cluster, instead of host: the one that is the primary is found by asking them; sessions with bawn.target=replica go to a standby',
    ),
  database: z.string().min(1).optional().describe('its name on that server; default: the key'),
  tls: z
    .union([
      z.literal('off'),
      databaseTlsOptions.extend({
        revocation: revocationOptions
          .optional()
          .describe('how it is found out that its certificate was revoked; default: nobody is asked'),
      }),
    ])
    .prefault({})
    .describe('verify-full by default; off is for a server on the same machine'),
  login: databaseLogin
    .extend({
      kind: z
        .enum(['broker', 'verifier', 'pass-through'])
        .default('broker')
        .describe(
          'as whom users work there: broker as user of this login; verifier as themselves, by the SCRAM verifier that PostgreSQL and the account store share; pass-through as themselves, by what PostgreSQL asks of them. In every case the gateway reads the schema as user',
        ),
      roles: z
        .record(z.string().min(1).max(63), z.array(name))
        .optional()
        .describe(
          'with pass-through: roles of users, by name; whoever is not in it has those of the account of the same name',
        ),
    })
    .describe('the gateway’s own credential, which users never hold, and as whom they log in'),
  identity: z
    .strictObject({
      set_role: z
        .union([z.literal(true), z.record(name, z.string().min(1).max(63))])
        .optional()
        .describe(
          'sessions work as the role of the database that is called as who is asking (true), or by a role that one has here (name: role of the database; of several, that of the first in the order of the alphabet)',
        ),
      setting: settingName.optional().describe('setting with the id of who is asking, for example app.user'),
      roles_setting: settingName.optional().describe('setting with the roles of who is asking, separated by commas'),
    })
    .optional()
    .describe(
      'by what the database itself knows who is asking, for row-level security; statements that would change it are refused',
    ),
  allow: z.array(name).min(1).describe('policies; one that permits may connect'),
  replication: z
    .array(name)
    .min(1)
    .optional()
    .describe(
      'policies; who may connect and is permitted by one may open replication connections, which are passed through unread: they show every table as it is stored, and with replication=database run any statement. Default: nobody',
    ),
  limits: databaseLimitOptions.prefault({}).describe('of sessions, counted at this gateway'),
  pool: poolOptions
    .optional()
    .describe('connections to PostgreSQL that clients have one after the other; default: each client has its own'),
  firewall: firewallOptions.optional().describe('which statements go on; without it every statement does'),
  row_filters: z
    .array(rowFilterOptions)
    .min(1)
    .optional()
    .describe(
      'which rows of tables are whose, by row-level security of PostgreSQL: bawn rls prints its policies, and no statement goes on while they are not in place',
    ),
  connect_timeout: timeLimit
    .default(5_000)
    .describe(
      'until it is connected and logged in; of several hosts at each, and after twice as long none is tried any more',
    ),
  probe_after: timeLimit
    .default(30_000)
    .describe(
      'of silence while an answer is awaited: then another connection asks whether PostgreSQL is there, and without an answer the session ends, 08006; idle connections are looked after by TCP keepalive as often',
    ),
})
export type DatabaseOptions = Frozen<z.output<typeof databaseOptions>>
