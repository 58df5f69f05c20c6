import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { startAccountGateways } from '../account-gateway.ts'
import { logInWithPrograms, requirePrograms } from '../account-programs.ts'
import { startPostgresAccounts } from '../postgres-accounts.ts'

// curl and psql log in with accounts of each store that npm can bring; MongoDB is in npm run test:mongo.

const folder = mkdtempSync(join(tmpdir(), 'bawn-stores-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const stores = {
  sqlite: async () => ({ store: () => `{ kind: sqlite, path: ${join(folder, 'accounts.db')} }`, stop: async () => {} }),
  postgres: startPostgresAccounts,
}

for (const [kind, start] of Object.entries(stores)) {
  test(`${kind}: curl and psql log in with an account that was added at the command line`, async t => {
    requirePrograms()
    const toured = await start()
    t.after(() => toured.stop())
    const gateways = await startAccountGateways(toured.store, 1)
    t.after(() => gateways.stop())
    await logInWithPrograms(gateways, ['scram', 'password'])
  })
}
