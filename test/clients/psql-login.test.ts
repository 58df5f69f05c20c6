import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { type Kit, password, rules, startKit } from '../postgres-kit.ts'

// psql against the mechanisms that ask for more or less than SCRAM does; npm cannot install it: npm run test:clients

const run = promisify(execFile)
let kit: Kit
let folder: string
before(async () => {
  const { status } = spawnSync('psql', ['--version'], { stdio: 'ignore' })
  assert.equal(status, 0, 'psql is not installed; on Debian: apt-get install postgresql-client')
  folder = mkdtempSync(join(tmpdir(), 'bawn-login-'))
  kit = await startKit('create table people (id int primary key, name text, email bytea, photo bytea)')
  writeFileSync(join(folder, 'ca.pem'), kit.authority.certificate)
})
after(async () => {
  await kit?.stop()
  rmSync(folder, { recursive: true, force: true })
})

test('psql: password and trust over TLS, require_auth as it should be', async () => {
  const psql = async (user: string, more: NodeJS.ProcessEnv): Promise<string> => {
    const env = {
      PATH: process.env['PATH'],
      PGHOST: 'localhost',
      PGPORT: String(kit.door.address.port),
      PGUSER: user,
      PGDATABASE: 'shop',
      PGSSLMODE: 'verify-full',
      PGSSLROOTCERT: join(folder, 'ca.pem'),
      PGPASSFILE: join(folder, 'none'),
      ...more,
    }
    return (await run('psql', ['-XAtqw', '-c', 'select 1'], { env })).stdout
  }
  rules.set('hasher', { kind: 'matched', rule: 'test', use: ['password'] })
  assert.equal(await psql('hasher', { PGPASSWORD: password }), '1\n')
  await assert.rejects(psql('hasher', { PGPASSWORD: 'wrong' }), /password authentication failed for user "hasher"/)
  await assert.rejects(psql('hasher', { PGPASSWORD: password, PGCHANNELBINDING: 'require' }))
  kit.events.length = 0
  // It closes the connection when it is asked and has no password: no failed login.
  await assert.rejects(psql('hasher', {}), /no password supplied/)
  assert.deepEqual(kit.events, [])
  rules.set('sue', { kind: 'matched', rule: 'test', use: ['trust'] })
  assert.equal(await psql('sue', {}), '1\n')
})
