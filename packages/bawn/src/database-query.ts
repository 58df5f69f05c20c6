import { checkServerIdentity } from 'node:tls'
import pg from 'pg'
import { PostgresError } from './postgres/failure.ts'
import type { CatalogueQuery } from './postgres/sql/schema.ts'
import type { UpstreamTarget } from './postgres/state.ts'
import { refuseRevokedServer } from './postgres/upstream.ts'

/** How long an unused connection is kept. */
const keepMs = 30_000

export interface DatabaseQuery {
  readonly query: CatalogueQuery
  close(): Promise<void>
}

/** The driver names the dialled host to the server, whatever `servername` says; who it must be is checked here. */
function identityOf(serverName: string | undefined): pg.ClientConfig['ssl'] & object {
  if (serverName === undefined) return {}
  return {
    servername: serverName,
    checkServerIdentity: (_host, certificate) => checkServerIdentity(serverName, certificate),
  }
}

/**
 * Runs the gateway's own catalogue queries over one connection with its own credential: opened when needed, closed when unused,
 * opened anew after a failure. Queries run one after the other.
 */
export function createDatabaseQuery(target: UpstreamTarget): DatabaseQuery {
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
  const connect = async (): Promise<pg.Client> => {
    let refused: string | undefined
    const client = new pg.Client({
      host: target.host,
      port: target.port,
      database: target.database,
      user: target.user,
      // Asked for when the server has said how it wants it.
      password: async () => {
        await refuseRevokedServer(target, client.connection.stream)
        if (refused === undefined) return target.password
        throw new PostgresError('postgres.upstream_login', `PostgreSQL asks for ${refused}, which the gateway refuses`)
      },
      connectionTimeoutMillis: target.connectTimeoutMs,
      query_timeout: 30_000,
      application_name: 'bawn: schema',
      ssl:
        target.tls === undefined
          ? false
          : {
              rejectUnauthorized: true,
              ...(target.tls.ca === undefined ? {} : { ca: target.tls.ca }),
              ...identityOf(target.tls.serverName),
            },
    })
    client.on('error', () => {
      if (current === client) open = undefined
    })
    // As `openUpstream` has it: whoever answers in the server's place must not be handed the credential.
    client.connection.once('authenticationMD5Password', () => {
      refused = 'md5'
    })
    client.connection.once('authenticationCleartextPassword', () => {
      if (target.tls === undefined) refused = 'the password in clear without TLS'
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
