import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Postgres, startPostgres } from '@bawn/demo/postgres'
import type { TouredStore } from './account-tour.ts'

/** A PostgreSQL of its own for accounts, whose data survive it. No tests in here. */
export async function startPostgresAccounts(): Promise<TouredStore> {
  const dataDirectory = mkdtempSync(join(tmpdir(), 'bawn-accounts-data-'))
  const options = { dataDirectory, password: 'of the account database' }
  let server: Postgres = await startPostgres(options)
  const { port, user, password } = server
  return {
    store: secret =>
      `{ kind: postgres, host: 127.0.0.1, port: ${port}, database: postgres, tls: off, login: { user: ${user}, password: "file:${secret('accounts.password', password)}" } }`,
    password,
    async kill() {
      server.kill()
      await server.stop()
    },
    async again() {
      server = await startPostgres({ ...options, port })
    },
    async stop() {
      await server.stop()
      rmSync(dataDirectory, { recursive: true, force: true })
    },
  }
}
