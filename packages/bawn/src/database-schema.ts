import { randomBytes } from 'node:crypto'
import { createDatabaseQuery } from './database-query.ts'
import { createSchemaSource, type SchemaSource, type SchemaSourceOptions } from './postgres/sql/schema.ts'

/** Where gateways tell each other that a statement has changed the schema. Anybody may listen there, and say so; no privilege is needed. */
export const schemaChannel = 'bawn_schema'

/** Anybody may say it as often as they like: the schema is read again so often at most. */
const heedEveryMs = 1_000

export interface DatabaseSchema {
  readonly source: SchemaSource
  close(): Promise<void>
}

/**
 * What a database has, asked by a connection of the gateway's own, which other gateways tell of changes as long as it is open: while there
 * are statements. Where it cannot listen (a replica, a pooler between), changes of others are known when what is known has grown old.
 */
export function openDatabaseSchema(
  at: Parameters<typeof createDatabaseQuery>[0],
  options: Omit<SchemaSourceOptions, 'query' | 'announce'>,
): DatabaseSchema {
  const self = randomBytes(8).toString('hex')
  let heedAt = 0
  let timer: NodeJS.Timeout | undefined
  const heed = (): void => {
    timer = undefined
    heedAt = performance.now() + heedEveryMs
    source.outdate()
  }
  const asked = createDatabaseQuery(at, {
    channel: {
      name: schemaChannel,
      heard(payload) {
        // What this one has announced it knows.
        if (payload === self || timer !== undefined) return
        const waitMs = heedAt - performance.now()
        if (waitMs <= 0) heed()
        else timer = setTimeout(heed, waitMs).unref()
      },
    },
  })
  const source = createSchemaSource({
    ...options,
    query: asked.query,
    announce: () => void asked.query('SELECT pg_catalog.pg_notify($1, $2)', [schemaChannel, self]).catch(() => {}),
  })
  return {
    source,
    close() {
      clearTimeout(timer)
      return asked.close()
    },
  }
}
