import pg from 'pg'
import type { CatalogueQuery } from './postgres/sql/schema.ts'
import type { UpstreamTarget } from './postgres/state.ts'

/** How long an unused connection is kept. */
const keepMs = 30_000

export interface DatabaseQuery {
  readonly query: CatalogueQuery
  close(): Promise<void>
}

/**
 * Runs the gateway's own catalogue queries over one connection with its own credential: opened when needed, closed when unused,
 * opened anew after a failure. Queries run one after the other.
 */
export function createDatabaseQuery(target: UpstreamTarget): DatabaseQuery {
  let open: Promise<pg.Client> | undefined
  let idle: NodeJS.Timeout | undefined

  const forget = (client: Promise<pg.Client>): void => {
    if (open === client) open = undefined
    client.then(
      ready => void ready.end().catch(() => {}),
      () => {},
    )
  }
  const connect = async (): Promise<pg.Client> => {
    const client = new pg.Client({
      host: target.host,
      port: target.port,
      database: target.database,
      user: target.user,
      password: target.password,
      connectionTimeoutMillis: target.connectTimeoutMs,
      query_timeout: 30_000,
      application_name: 'bawn: schema',
      ssl:
        target.tls === undefined
          ? false
          : {
              rejectUnauthorized: true,
              ...(target.tls.ca === undefined ? {} : { ca: target.tls.ca }),
              ...(target.tls.serverName === undefined ? {} : { servername: target.tls.serverName }),
            },
    })
    client.on('error', () => {
      open = undefined
    })
    await client.connect()
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
