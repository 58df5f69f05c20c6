import { readFileSync } from 'node:fs'
import { databaseTarget } from '../database-target.ts'
import type { StoreOptionsOf } from './option.ts'
import type { WritableAccountStore } from './store.ts'

// The stores in databases, from their options. A database is asked when somebody is looked for, not before: it may be away. The drivers
// cost time and memory, and are loaded where a configuration names their database.

export interface StoreSurroundings {
  /** Of the store, in the configuration. */
  readonly name: string
  /** What a secret reference stands for. */
  readonly secret: (reference: string) => string
  /** Milliseconds since 1970. */
  readonly clock: () => number
  /** Told what an operator has to know, without secrets. */
  readonly log: (level: 'warn', message: string) => void
  /** May make what is not there yet: tables, the first user. */
  readonly create: boolean
}

export async function openPostgresStore(
  options: StoreOptionsOf<'postgres'>,
  { name, secret, clock, create }: StoreSurroundings,
): Promise<WritableAccountStore> {
  const { openPostgresAccounts } = await import('./postgres.ts')
  return openPostgresAccounts({
    name,
    login: databaseTarget(`account store ${name}`, options, secret),
    schema: options.schema,
    statementTimeoutMs: options.statement_timeout,
    maxConnections: options.max_connections,
    create,
    clock,
  })
}

/** @throws {AccountError} `accounts.bad_url` */
export async function openMongoStore(
  options: StoreOptionsOf<'mongo'>,
  { name, secret, log, create }: StoreSurroundings,
): Promise<WritableAccountStore> {
  const { openMongoAccounts } = await import('./mongo.ts')
  const { tls, first_user: first } = options
  return openMongoAccounts({
    name,
    options,
    target: {
      url: options.url.startsWith('mongodb') ? options.url : secret(options.url),
      user: options.user,
      password: options.password === undefined ? undefined : secret(options.password),
      tls:
        tls === 'off' ? undefined : { ca: fileOf(tls.ca), certificate: fileOf(tls.certificate), key: fileOf(tls.key) },
      database: options.database,
      timeoutMs: options.timeout,
      maxConnections: options.max_connections,
    },
    firstPassword: first === undefined || !create ? undefined : secret(first.password),
    notice: message => log('warn', message),
    now: () => performance.now(),
  })
}

function fileOf(path: string | undefined): string | undefined {
  return path === undefined ? undefined : readFileSync(path, 'utf8')
}
