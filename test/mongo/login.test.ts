import { test } from 'node:test'
import { startAccountGateways } from '../account-gateway.ts'
import { logInWithPrograms, requirePrograms } from '../account-programs.ts'
import { accountStoreTour, type TouredStore } from '../account-tour.ts'
import { startMongo } from './ferretdb.ts'

// Two gateways over accounts in MongoDB, from the command line to the two doors: npm run test:mongo

async function startMongoAccounts(more = 'bcrypt_complexity: 10'): Promise<TouredStore> {
  const { port, user, password, kill, again, stop } = await startMongo()
  return {
    store: secret =>
      `{ kind: mongo, url: "mongodb://127.0.0.1:${port}", user: ${user}, password: "file:${secret('mongo.password', password)}", tls: off, ${more} }`,
    ...{ password, kill, again, stop },
  }
}

accountStoreTour({ kind: 'mongo', scram: false, holdsGrants: false, start: startMongoAccounts })

for (const [hash, by] of [
  ['bcrypt', ['password']],
  ['argon2id', ['scram', 'password']],
] as const) {
  test(`mongo, ${hash}: curl and psql log in with an account that was added at the command line`, async t => {
    requirePrograms()
    const toured = await startMongoAccounts(`hash: ${hash}`)
    t.after(() => toured.stop())
    const gateways = await startAccountGateways(toured.store, 1)
    t.after(() => gateways.stop())
    await logInWithPrograms(gateways, by)
  })
}
