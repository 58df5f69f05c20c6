import type pg from 'pg'
import { databaseClient } from './database-client.ts'
import { PostgresError } from './postgres/failure.ts'
import type { CatalogueQuery } from './postgres/sql/schema.ts'
import type { UpstreamTarget } from './postgres/state.ts'
import { refuseRevokedServer } from './postgres/upstream-certificate.ts'

/** How long an unused connection is kept. */
const keepMs = 30_000

export interface DatabaseQuery {
  readonly query: CatalogueQuery
  close(): Promise<void>
}

/**
 * Runs the gateway's own catalogue queries over one connection with its own credential: opened when needed, closed when unused,
 * opened anew after a failure. Queries run one after the other.
 *
 * @param options.timeoutMs for a query to be answered
 */
export function createDatabaseQuery(
  target: Omit<UpstreamTarget, 'probeAfterMs'>,
  {
    applicationName = 'bawn: schema',
    timeoutMs = 30_000,
    searchPath,
  }: {
    readonly applicationName?: string
    readonly timeoutMs?: number
    readonly searchPath?: string
  } = {},
): DatabaseQuery {
  let open: Promise<pg.Client> | undefined
  let current: pg.Client | undefined
  let idle: NodeJS.Timeout | undefined

  const forget = (client: Promise<pg.Client>): void => {
    if (open === client) open = undefined
    client.then(
      ready => void ready.end().catch(() => {}),
      () => {},
    )
  }
  const Client = databaseClient(
    target,
    // As `openUpstream` has it: whoever answers in the server's place must not be handed the credential.
    what => new PostgresError('postgres.upstream_login', `PostgreSQL asks for ${what}, which the gateway refuses`),
    stream => refuseRevokedServer(target, stream),
  )
  const connect = async (): Promise<pg.Client> => {
    const client = new Client({
      query_timeout: timeoutMs,
      application_name: applicationName,
      ...(searchPath === undefined ? {} : { options: `-c search_path=${searchPath}` }),
    })
    client.on('error', () => {
      if (current === client) open = undefined
    })
    try {
      await client.connect()
      // Where the server asked for no password.
      await refuseRevokedServer(target, client.connection.stream)
    } catch (error) {
      client.end().catch(() => {})
      throw error
    }
    current = client
    return client
  }

  return {
    async query(sql, parameters) {
      clearTimeout(idle)
      open ??= connect()
      const client = open
      try {
        const result = await (await client).query(sql, [...parameters])
        return result.rows
      } catch (error) {
        forget(client)
        throw error
      } finally {
        clearTimeout(idle)
        idle = setTimeout(() => forget(client), keepMs)
        idle.unref()
      }
    },
    async close() {
      clearTimeout(idle)
      const client = open
      open = undefined
      if (client !== undefined) {
        await client.then(
          ready => ready.end(),
          () => undefined,
        )
      }
    },
  }
}
