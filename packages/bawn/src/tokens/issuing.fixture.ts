import { createRandomTokens } from './random.ts'
import { openSqliteTokens } from './sqlite.ts'

// The process that manager.test.ts kills: issues tokens for ever, ends every second one, and says what it has done when it is done.

const [, , path = '', round = ''] = process.argv
const limits = { perSubject: 10, inAll: 1_000_000 }
const options = { name: 'sqlite', ttlMs: 900_000, renew: false, lifetimeMs: 900_000, limits }
const manager = createRandomTokens(options, openSqliteTokens(path, Date.now()), Date.now)
for (let count = 0; ; count++) {
  const id = `user-${round}-${count}`
  const { token } = await manager.issue({ id, roles: [], source: undefined, clientId: undefined, notAfter: undefined })
  process.stdout.write(`issued ${token}\n`)
  if (count % 2 === 0) process.stdout.write('kept\n')
  else {
    await manager.revoke(id)
    process.stdout.write('revoked\n')
  }
  await new Promise(resolve => setImmediate(resolve))
}
