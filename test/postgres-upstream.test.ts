import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Authority, createAuthority } from '@bawn/demo/certificates'
import { type Postgres, startPostgres } from '@bawn/demo/postgres'
import pg from 'pg'
import { createScramCredential } from '../packages/bawn/src/authn/scram-client.ts'
import type { DatabaseLoginTls } from '../packages/bawn/src/database-client.ts'
import { createDatabaseQuery } from '../packages/bawn/src/database-query.ts'
import type { UpstreamTarget } from '../packages/bawn/src/postgres/state.ts'
import { openUpstream } from '../packages/bawn/src/postgres/upstream.ts'
import { useHba } from './postgres-hba.ts'

// How the gateway itself logs in, by each of its two connections: sessions (upstream.ts) and its own questions (database-query.ts).

const password = 'of the gateway'
let authority: Authority
let stranger: Authority
let postgres: Postgres
before(async () => {
  authority = createAuthority('database authority')
  stranger = createAuthority('another authority')
  postgres = await startPostgres({ tls: authority.issue('db', 'server', ['localhost', '127.0.0.1']) })
  const { host, port, user } = postgres
  const client = new pg.Client({ host, port, user, password: postgres.password, database: 'postgres' })
  await client.connect()
  await client.query(`
    create role gateway login password '${password}';
    create role shown login;
    create role cleartext login password '${password}';
    create role nothing login;
    set password_encryption = 'md5';
    create role old login password '${password}';`)
  await client.end()
  await useHba(
    postgres,
    [
      'hostssl all shown 127.0.0.1/32 cert',
      'hostssl all gateway 127.0.0.1/32 scram-sha-256 clientcert=verify-ca',
      'host all cleartext 127.0.0.1/32 password',
      'host all nothing 127.0.0.1/32 trust',
      'host all old 127.0.0.1/32 md5',
    ],
    authority.certificate,
  )
})
after(() => postgres.stop())

const target = (
  user: string,
  tls: Partial<DatabaseLoginTls> | undefined,
  given: string | undefined,
): UpstreamTarget => ({
  host: '127.0.0.1',
  port: postgres.port,
  database: 'postgres',
  tls: tls && { ca: authority.certificate, serverName: undefined, ...tls },
  user,
  password: given,
  connectTimeoutMs: 5_000,
  probeAfterMs: 30_000,
})

const own = (commonName: string, by = authority): Pick<DatabaseLoginTls, 'client'> => ({
  client: by.issue(commonName, 'client'),
})

/** The server's answer to who it is that has logged in, by both connections; what it came to where it fails. */
async function logIn(at: UpstreamTarget): Promise<readonly [session: string, question: string]> {
  const { user, password: given } = at
  const codeOf = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : 'failed')
  let session: string
  try {
    const scram = given === undefined ? undefined : createScramCredential(given)
    const upstream = await openUpstream(at, { user, scram, password: given }, [])
    session = upstream.parameters.get('session_authorization') ?? ''
    upstream.socket.destroy()
  } catch (error) {
    session = codeOf(error)
  }
  const asked = createDatabaseQuery(at)
  try {
    const [row] = await asked.query('select session_user::text as name', [])
    return [session, String(row?.['name'])]
  } catch {
    return [session, 'refused']
  } finally {
    await asked.close()
  }
}

const entered: readonly {
  readonly name: string
  readonly at: () => UpstreamTarget
  readonly user: string
}[] = [
  { name: 'a certificate alone (cert)', at: () => target('shown', own('shown'), undefined), user: 'shown' },
  {
    name: 'a certificate and a password (clientcert=verify-ca)',
    at: () => target('gateway', own('anything'), password),
    user: 'gateway',
  },
  {
    name: 'channel binding that is required',
    at: () => target('gateway', { ...own('gateway'), channelBinding: 'require' }, password),
    user: 'gateway',
  },
  {
    name: 'TLS from the first byte',
    at: () => target('gateway', { ...own('gateway'), direct: true, channelBinding: 'require' }, password),
    user: 'gateway',
  },
  { name: 'a password in clear, inside TLS', at: () => target('cleartext', {}, password), user: 'cleartext' },
]

for (const row of entered) {
  test(`logged in by ${row.name}`, async () => {
    assert.deepEqual(await logIn(row.at()), [row.user, row.user])
  })
}

const login = 'postgres.upstream_login'
const unreachable = 'postgres.upstream_unreachable'
const refused: readonly {
  readonly name: string
  readonly at: () => UpstreamTarget
  readonly code: string
}[] = [
  { name: 'a certificate of somebody else', at: () => target('shown', own('gateway'), undefined), code: login },
  { name: 'no certificate where one is needed', at: () => target('gateway', {}, password), code: login },
  {
    name: 'a certificate of an authority that the server does not know',
    at: () => target('gateway', own('gateway', stranger), password),
    code: unreachable,
  },
  { name: 'a password that we do not have', at: () => target('gateway', own('gateway'), undefined), code: login },
  { name: 'the password in clear without TLS', at: () => target('cleartext', undefined, password), code: login },
  { name: 'md5', at: () => target('old', {}, password), code: login },
  {
    name: 'the password in clear where channel binding is required',
    at: () => target('cleartext', { channelBinding: 'require' }, password),
    code: login,
  },
  {
    name: 'nothing at all where channel binding is required',
    at: () => target('nothing', { channelBinding: 'require' }, password),
    code: login,
  },
  {
    name: 'a certificate alone where channel binding is required',
    at: () => target('shown', { ...own('shown'), channelBinding: 'require' }, password),
    code: login,
  },
  {
    name: 'a server of an authority that we do not know',
    at: () => target('gateway', { ...own('gateway'), ca: stranger.certificate }, password),
    code: unreachable,
  },
  {
    name: 'a server of another name, from the first byte',
    at: () => target('gateway', { ...own('gateway'), serverName: 'db.internal', direct: true }, password),
    code: unreachable,
  },
]

for (const row of refused) {
  test(`not logged in: ${row.name}`, async () => {
    assert.deepEqual(await logIn(row.at()), [row.code, 'refused'])
  })
}
