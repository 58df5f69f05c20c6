import pg from 'pg'
import { databaseClient } from './database-client.ts'
import { GatewayError } from './error.ts'
import { PostgresError } from './postgres/failure.ts'
import { type DatabaseHosts, isForNow, type Reached, standingOf, standingQuestion } from './postgres/hosts.ts'
import type { CatalogueQuery } from './postgres/sql/schema.ts'
import type { UpstreamTarget } from './postgres/state.ts'
import { refuseRevokedServer } from './postgres/upstream-certificate.ts'

/** How long an unused connection is kept. */
const keepMs = 30_000

type QueryTarget = Omit<UpstreamTarget, 'probeAfterMs'>

export interface DatabaseQuery {
  readonly query: CatalogueQuery
  close(): Promise<void>
}

/**
 * Runs the gateway's own catalogue queries over one connection with its own credential: opened when needed, closed when unused,
 * opened anew after a failure. Queries run one after the other. Of several hosts it is the primary, and follows it.
 *
 * @param options.timeoutMs for a query to be answered
 */
export function createDatabaseQuery(
  at: QueryTarget | DatabaseHosts<QueryTarget>,
  {
    applicationName = 'bawn: schema',
    timeoutMs = 30_000,
    searchPath,
    channel,
  }: {
    readonly applicationName?: string
    readonly timeoutMs?: number
    readonly searchPath?: string
    /** Listened to as long as the connection is open, where the server lets it: a lower-case name. */
    readonly channel?: { readonly name: string; heard(payload: string | undefined): void }
  } = {},
): DatabaseQuery {
  let open: Promise<pg.Client> | undefined
  let current: Connection | undefined
  let idle: NodeJS.Timeout | undefined

  const forget = (client: Promise<pg.Client>): void => {
    if (open === client) {
      open = undefined
      current = undefined
    }
    client.then(
      ready => void ready.end().catch(() => {}),
      () => {},
    )
  }
  const connectTo = async (target: QueryTarget): Promise<pg.Client> => {
    const Client = databaseClient(
      target,
      // As `openUpstream` has it: whoever answers in the server's place must not be handed the credential.
      what => new PostgresError('postgres.upstream_login', `PostgreSQL asks for ${what}, which the gateway refuses`),
      stream => refuseRevokedServer(target, stream),
    )
    // Before anything is timed: a program may take longer than a login.
    await target.fetched?.get()
    const client = new Client({
      query_timeout: timeoutMs,
      application_name: applicationName,
      ...(searchPath === undefined ? {} : { options: `-c search_path=${searchPath}` }),
    })
    client.on('error', () => {
      if (current?.client !== client) return
      open = undefined
      current = undefined
    })
    try {
      await client.connect()
      // Where the server asked for no password.
      await refuseRevokedServer(target, client.connection.stream)
    } catch (error) {
      client.end().catch(() => {})
      throw error
    }
    return client
  }
  const tryAt = async (target: QueryTarget): Promise<Reached<Connection>> => {
    let client: pg.Client
    try {
      client = await connectTo(target)
    } catch (cause) {
      if (!isElsewhere(cause)) throw cause
      return { kind: 'unreachable', cause }
    }
    const close = (): void => void client.end().catch(() => {})
    try {
      const { rows } = await client.query<string[]>({ text: standingQuestion, rowMode: 'array' })
      return { kind: 'reached', standing: standingOf(rows[0] ?? []), opened: { client, target }, close }
    } catch (cause) {
      close()
      return { kind: 'unreachable', cause }
    }
  }
  const connect = async (): Promise<pg.Client> => {
    const opened = isSeveral(at) ? await at.open('primary', tryAt) : { client: await connectTo(at), target: at }
    current = opened
    if (channel !== undefined) {
      opened.client.on('notification', ({ payload }) => channel.heard(payload))
      // Not by every server: a replica cannot.
      opened.client.query(`LISTEN ${channel.name}`).catch(() => {})
    }
    return opened.client
  }
  // Somebody has found the primary elsewhere: nothing is to be waited for here any more.
  if (isSeveral(at)) {
    at.onPrimary(primary => {
      if (current === undefined || current.target === primary) return
      const { client } = current
      open = undefined
      current = undefined
      client.connection.stream.destroy()
    })
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

interface Connection {
  readonly client: pg.Client
  readonly target: QueryTarget
}

function isSeveral(at: QueryTarget | DatabaseHosts<QueryTarget>): at is DatabaseHosts<QueryTarget> {
  return 'targets' in at
}

/** Whether another host may do better: what a server that answers says against the login, all of them would say. */
function isElsewhere(cause: unknown): boolean {
  if (cause instanceof pg.DatabaseError) return isForNow(cause.code)
  return !(cause instanceof GatewayError) || cause.code === 'postgres.upstream_unreachable'
}
