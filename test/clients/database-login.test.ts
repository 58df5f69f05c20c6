import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { createAuthority } from '@bawn/demo/certificates'
import { type Postgres, startPostgres } from '@bawn/demo/postgres'
import pg from 'pg'
import { generateAuditKey, generateKeys } from '../../packages/bawn/src/keys/generate.ts'
import { useHba } from '../postgres-hba.ts'
import { bawn } from '../world.ts'

// psql, the gateway as its own process, and PostgreSQL with TLS and roles: docs/guide/databases.md as it stands there.

const run = promisify(execFile)
const folder = mkdtempSync(join(tmpdir(), 'bawn-database-login-'))
let server: Postgres
let gateway: ChildProcess | undefined
let port: string
let log = ''

/** The SQL of the guide that makes the function, as it is printed there. */
function sqlOfGuide(): string {
  const guide = readFileSync(new URL('../../docs/guide/databases.md', import.meta.url), 'utf8')
  const blocks = [...guide.matchAll(/```sql\n([\s\S]*?)```/g)].map(([, text = '']) => text)
  const found = blocks.find(text => text.includes('FUNCTION bawn.scram_verifier'))
  assert.ok(found !== undefined)
  return found
}

async function owner(sql: string): Promise<readonly Record<string, unknown>[]> {
  const { host, port: at, user, password } = server
  const client = new pg.Client({ host, port: at, user, password, database: 'postgres' })
  await client.connect()
  try {
    const result: unknown = await client.query(sql)
    return result instanceof Object && 'rows' in result && Array.isArray(result.rows) ? result.rows : []
  } finally {
    await client.end()
  }
}

const secret = (name: string, value: string): void => writeFileSync(join(folder, name), value, { mode: 0o600 })

before(async () => {
  const { status } = spawnSync('psql', ['--version'], { stdio: 'ignore' })
  assert.equal(status, 0, 'psql is not installed; on Debian: apt-get install postgresql-client')
  const authority = createAuthority('the tests')
  const door = authority.issue('gateway', 'server', ['localhost'])
  const shown = authority.issue('gateway', 'client')
  secret('door.crt', door.certificate)
  secret('door.key', door.key)
  secret('gateway.crt', shown.certificate)
  secret('gateway.key', shown.key)
  secret('ca.pem', authority.certificate)
  const masterKey = randomBytes(32)
  secret('master', masterKey.toString('base64'))
  generateAuditKey({ path: join(folder, 'keys'), masterKey })
  generateKeys({ path: join(folder, 'keys'), masterKey, clientId: 'shop-keys' })

  server = await startPostgres({ tls: authority.issue('db', 'server', ['localhost', '127.0.0.1']) })
  secret('gateway.password', 'of the gateway')
  await owner(`
    create role staff;
    create role gateway noinherit login password 'of the gateway';
    create role alice login password 'alice wonder' in role staff;
    create role bob login password 'builder bob';
    grant alice, bob to gateway;
    create table notes (owner text, text text);
    insert into notes values ('alice', 'of alice'), ('bob', 'of bob');
    alter table notes enable row level security;
    create policy own on notes using (owner = current_user);
    grant select on notes to alice, bob;`)
  await owner(sqlOfGuide())
  await useHba(
    server,
    [
      'hostssl all gateway 127.0.0.1/32 scram-sha-256 clientcert=verify-full',
      'hostssl all all 127.0.0.1/32 scram-sha-256',
    ],
    authority.certificate,
  )
  const shows = 'ca: ca.pem, certificate: gateway.crt, key: gateway.key'
  const tls = `{ ${shows}, channel_binding: require, negotiation: direct }`
  const login = 'user: gateway, password: file:gateway.password'
  const at = `host: 127.0.0.1, port: ${server.port}, database: postgres`
  secret(
    'bawn.yaml',
    `listeners:
  sql: { door: postgres, address: 127.0.0.1:0, tls: { certificate: door.crt, key: door.key } }
databases:
  own: { ${at}, tls: ${tls}, login: { kind: verifier, ${login} }, allow: [staff] }
  passed: { ${at}, tls: { ${shows} }, login: { kind: pass-through, ${login}, roles: { alice: [staff] } }, allow: [staff] }
  broker: { ${at}, tls: ${tls}, login: { ${login} }, identity: { set_role: true }, allow: [staff] }
accounts:
  roles: { kind: postgres-roles, ${at}, tls: ${tls}, login: { ${login} } }
host_rules:
  - { door: postgres, database: passed, use: [pass-through] }
  - { door: postgres, use: [scram] }
policies: { staff: { roles: [staff] } }
keys: { store: { kind: directory, path: keys }, master: file:master, client_id: shop-keys }
audit: { file: audit.jsonl }
`,
  )
  const [program, ...first] = bawn
  const child = spawn(program, [...first, 'start', '--drain', '1s', '--config', join(folder, 'bawn.yaml')], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  gateway = child
  port = await new Promise((resolve, reject) => {
    child.once('close', () => reject(new Error(`the gateway ended:\n${log}`)))
    for (const stream of [child.stdout, child.stderr]) {
      createInterface(stream).on('line', line => {
        log += `${line}\n`
        const found = /^listening: sql .* on 127\.0\.0\.1:([0-9]+)/.exec(line)?.[1]
        if (found !== undefined) resolve(found)
      })
    }
  })
})
after(async () => {
  if (gateway?.exitCode === null) {
    gateway.kill('SIGTERM')
    await once(gateway, 'close')
  }
  await server?.stop()
  rmSync(folder, { recursive: true, force: true })
})

async function psql(user: string, password: string, database: string, sql: string, more: NodeJS.ProcessEnv = {}) {
  const env = {
    PATH: process.env['PATH'],
    PGHOST: 'localhost',
    PGPORT: port,
    PGUSER: user,
    PGDATABASE: database,
    PGPASSWORD: password,
    PGSSLMODE: 'verify-full',
    PGSSLROOTCERT: join(folder, 'ca.pem'),
    ...more,
  }
  return (await run('psql', ['-XAtqw', '-c', sql], { env })).stdout
}

const who = "select session_user || ' ' || current_user || ' ' || (select string_agg(text, ',') from notes)"

test('verifier: psql binds to the gateway, the gateway to the server, and the session is the user’s own', async () => {
  const bound = { PGCHANNELBINDING: 'require' }
  assert.equal(await psql('alice', 'alice wonder', 'own', who, bound), 'alice alice of alice\n')
  await assert.rejects(psql('alice', 'wrong', 'own', who, bound), /password authentication failed for user "alice"/)
  await assert.rejects(psql('bob', 'builder bob', 'own', who, bound), /permission denied for database "own"/)
  await owner(`grant staff to bob; alter role bob password 'another one'`)
  await assert.rejects(psql('bob', 'builder bob', 'own', who), /password authentication failed/)
  assert.equal(await psql('bob', 'another one', 'own', who), 'bob bob of bob\n')
  await owner(`alter role bob valid until '2001-01-01'`)
  await assert.rejects(psql('bob', 'another one', 'own', who), /password authentication failed/)
})

test('pass-through: psql is told to switch channel binding off, and then is who PostgreSQL says', async () => {
  await assert.rejects(psql('alice', 'alice wonder', 'passed', who), /wants to bind SCRAM to TLS/)
  const unbound = { PGCHANNELBINDING: 'disable' }
  assert.equal(await psql('alice', 'alice wonder', 'passed', who, unbound), 'alice alice of alice\n')
  for (const user of ['alice', 'nobody']) {
    const refused = new RegExp(`password authentication failed for user "${user}"`)
    await assert.rejects(psql(user, 'wrong', 'passed', who, unbound), refused)
  }
})

test('set_role: psql works as its user in a session of the gateway, and stays it', async () => {
  assert.equal(await psql('alice', 'alice wonder', 'broker', who), 'gateway alice of alice\n')
  const attempt = psql('alice', 'alice wonder', 'broker', 'set role bob; select 1')
  await assert.rejects(attempt, /role says who this session is/)
})

test('the gateway’s password is changed in the server and in the file, and nothing is restarted', async () => {
  await owner(`alter role gateway password 'a newer one'`)
  await assert.rejects(psql('alice', 'alice wonder', 'broker', who), /cannot log in to PostgreSQL/)
  secret('next', 'a newer one')
  renameSync(join(folder, 'next'), join(folder, 'gateway.password'))
  assert.equal(await psql('alice', 'alice wonder', 'broker', who), 'gateway alice of alice\n')
})

test('neither the log nor the trail holds a password or a part of a verifier', async () => {
  const [row] = await owner(`select rolpassword as text from pg_authid where rolname = 'alice'`)
  const verifier = String(row?.['text']).split(/[$:]/).slice(2)
  assert.equal(verifier.length, 3)
  const told = log + readFileSync(join(folder, 'audit.jsonl'), 'utf8')
  assert.match(told, /pass-through/)
  for (const word of ['alice wonder', 'another one', 'a newer one', 'of the gateway', ...verifier]) {
    assert.ok(!told.includes(word), word)
  }
})
