import pg from 'pg'
import { type DatabaseLogin, databaseClient } from '../database-client.ts'
import { onDisk, prepareTables } from './postgres-schema.ts'
import { AccountError } from './store.ts'

export interface PostgresTarget {
  /** Of the store. */
  readonly name: string
  readonly login: DatabaseLogin
  /** Where the tables are: letters, digits and `_`. */
  readonly schema: string
  /** Until a statement has answered. */
  readonly statementTimeoutMs: number
  readonly maxConnections: number
  /** Makes tables that are missing; without it they are a store that failed. */
  readonly create: boolean
}

/** Questions that wait for a connection; one more is told to come back. */
const maxWaiting = 1_000
/** An unused connection is kept this long. */
const keepMs = 60_000
/** A connection is made anew after this: behind one name there may be another server by now. */
const lifetimeSeconds = 3_600
/** How much longer than the server the client waits for an answer. */
const graceMs = 500

/** A statement of a transaction. */
export type Ask = (sql: string, values?: readonly unknown[]) => Promise<pg.QueryResult>

/** The tables of one store. Every method rejects with an `AccountError` for whatever fails. */
export interface PostgresTables {
  /** Asked again over a new connection where the old one turns out to be lost. */
  read(sql: string, values: readonly unknown[]): Promise<pg.QueryResult>
  /** Several questions that see one state of the tables; asked again as one is. */
  readAtOneMoment<Result>(work: (ask: Ask) => Promise<Result>): Promise<Result>
  /** One transaction, on the disk when it returns. Its outcome is not known where it rejects. */
  change<Result>(work: (ask: Ask) => Promise<Result>): Promise<Result>
  close(): Promise<void>
}

/**
 * Connections to the tables, made when they are needed and made again whenever they are lost; the tables are made at the first question.
 */
export function connectPostgres(options: PostgresTarget): PostgresTables {
  const { name, login, schema, statementTimeoutMs } = options
  const refused = (what: string): AccountError =>
    new AccountError('accounts.unavailable', `PostgreSQL asks for ${what}, which the gateway refuses`)
  const pool = new pg.Pool({
    Client: databaseClient(login, refused),
    max: options.maxConnections,
    connectionTimeoutMillis: login.connectTimeoutMs,
    idleTimeoutMillis: keepMs,
    maxLifetimeSeconds: lifetimeSeconds,
    allowExitOnIdle: true,
    keepAlive: true,
    application_name: 'bawn: accounts',
    options: '-c search_path=pg_catalog',
    statement_timeout: statementTimeoutMs,
    lock_timeout: statementTimeoutMs,
    idle_in_transaction_session_timeout: statementTimeoutMs,
    query_timeout: statementTimeoutMs + graceMs,
    onConnect: refuseStandby,
  })
  // Whoever asks is told; a connection that is lost while it is unused, or between two questions, is nobody's.
  pool.on('error', () => {})
  pool.on('connect', client => client.on('error', () => {}))

  const guarded = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    if (pool.waitingCount >= maxWaiting) throw new AccountError('accounts.busy', `${maxWaiting} questions wait already`)
    try {
      return await work()
    } catch (error) {
      if (error instanceof AccountError) throw error
      const where = `${login.host}:${login.port}/${login.database}`
      throw new AccountError('accounts.unavailable', `account store ${name} (${where}) failed: ${withoutRow(error)}`)
    }
  }
  const withClient = async <Result>(work: (client: pg.PoolClient) => Promise<Result>): Promise<Result> => {
    const client = await pool.connect()
    try {
      const result = await work(client)
      client.release()
      return result
    } catch (error) {
      // Whatever failed on it, the next question begins on another.
      client.release(true)
      throw error
    }
  }
  let prepared: Promise<void> | undefined
  const prepare = (): Promise<void> => {
    prepared ??= withClient(client => prepareTables(client, { store: name, schema, create: options.create })).catch(
      error => {
        prepared = undefined
        throw error
      },
    )
    return prepared
  }

  return {
    read: (sql, values) =>
      guarded(async () => {
        await again(prepare, options.maxConnections)
        return again(() => withClient(client => client.query(sql, [...values])), options.maxConnections)
      }),
    readAtOneMoment: work =>
      guarded(async () => {
        await again(prepare, options.maxConnections)
        const begin = 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY'
        return again(() => withClient(client => between(client, [begin], work)), options.maxConnections)
      }),
    change: work =>
      guarded(async () => {
        await prepare()
        return withClient(client => between(client, ['BEGIN', onDisk], work))
      }),
    close: async () => {
      if (!pool.ending) await pool.end()
    },
  }
}

/** A transaction. One that fails takes its connection along, and is rolled back by that. */
async function between<Result>(
  client: pg.ClientBase,
  begin: readonly string[],
  work: (ask: Ask) => Promise<Result>,
): Promise<Result> {
  for (const statement of begin) await client.query(statement)
  const result = await work((sql, values = []) => client.query(sql, [...values]))
  await client.query('COMMIT')
  return result
}

/** A standby is behind: whoever was locked a moment ago would still get in. */
async function refuseStandby(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query('SELECT pg_is_in_recovery() AS standby')
  if (rows[0]?.standby === false) return
  throw new AccountError('accounts.unavailable', 'the PostgreSQL of an account store is a standby')
}

/** Did the connection end before the question was answered? Shut down, crashed, reset. */
function isLost(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const code = 'code' in error ? error.code : undefined
  if (['57P01', '57P02', 'ECONNRESET', 'EPIPE'].includes(String(code))) return true
  // The driver has no code for it.
  return error.message === 'Connection terminated unexpectedly' || error.message.endsWith(' and is not queryable')
}

/** Every connection of the pool may be lost, and not all of them may have told yet. */
async function again<Result>(ask: () => Promise<Result>, times: number): Promise<Result> {
  try {
    return await ask()
  } catch (error) {
    if (times === 0 || !isLost(error)) throw error
    return again(ask, times - 1)
  }
}

/** The driver hangs rows and parameters on an error: verifiers that belong in no log. Data and constraints (22, 23) are in messages too. */
function withoutRow(error: unknown): string {
  if (!(error instanceof Error)) return 'no answer'
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined
  if (code === undefined) return error.message
  return /^2[23]/.test(code) ? `SQLSTATE ${code}` : `${error.message} (${code})`
}
