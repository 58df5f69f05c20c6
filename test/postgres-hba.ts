import { chownSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Postgres } from '@bawn/demo/postgres'
import pg from 'pg'

// Changes of a server's pg_hba.conf while it runs. No tests in here.

async function asOwner<Result>(postgres: Postgres, work: (client: pg.Client) => Promise<Result>): Promise<Result> {
  const { host, port, user, password } = postgres
  const client = new pg.Client({ host, port, user, password, database: 'postgres' })
  client.on('error', () => {})
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/**
 * Puts these lines before those that let the superuser in, and waits until the server goes by them.
 *
 * @param ca PEM: whose client certificates the server believes
 */
export async function useHba(postgres: Postgres, lines: readonly string[], ca?: string): Promise<void> {
  const folder = postgres.dataDirectory
  const { uid, gid } = statSync(join(folder, 'PG_VERSION'))
  const text = ['host all postgres 127.0.0.1/32 scram-sha-256', ...lines, '']
  writeFileSync(join(folder, 'pg_hba.conf'), text.join('\n'))
  if (ca !== undefined) {
    writeFileSync(join(folder, 'clients.crt'), ca)
    chownSync(join(folder, 'clients.crt'), uid, gid)
  }
  await asOwner(postgres, async client => {
    const loadedAt = async (): Promise<unknown> =>
      (await client.query('select pg_conf_load_time()::text as at')).rows[0]?.at
    if (ca !== undefined) await client.query(`alter system set ssl_ca_file = 'clients.crt'`)
    const before = await loadedAt()
    await client.query('select pg_reload_conf()')
    // Each question is an event of the server's own: its processes have the new file when they say another time.
    while ((await loadedAt()) === before);
  })
}
