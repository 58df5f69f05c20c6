import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import pg from 'pg'
import { type Login, serve } from './lines.ts'

const { version }: { readonly version: string } = createRequire(import.meta.url)('pg/package.json')

await serve(`node-postgres ${version}, Node ${process.versions.node}`, async login => {
  const client = new pg.Client({
    host: login['host'],
    port: Number(login['port']),
    database: login['database'],
    user: login['user'],
    password: login['password'],
    ssl: tls(login),
    enableChannelBinding: login['binding'] === 'require',
    connectionTimeoutMillis: 10_000,
    ...(login['negotiation'] === 'direct' ? { sslnegotiation: 'direct' } : {}),
  })
  client.on('error', () => {})
  const chosen = saslMechanism(client)
  await client.connect()
  try {
    const text = 'select current_user::text as who, $1::text as said, $2::int + 1 as next'
    const { rows } = await client.query<Record<string, unknown>>(text, [login['said'], 41])
    return { ...rows[0], sasl: chosen() }
  } finally {
    await client.end()
  }
})

function tls(login: Login): pg.ClientConfig['ssl'] {
  if (login['tls'] === 'off') return false
  const read = (name: string): object => {
    const path = login[name]
    return path === undefined ? {} : { [{ certificate: 'cert' }[name] ?? name]: readFileSync(path, 'utf8') }
  }
  const verified = login['tls'] === 'verify-full' ? read('ca') : { rejectUnauthorized: false }
  return { ...verified, ...read('certificate'), ...read('key') }
}

/** Watches which SASL mechanism is chosen: it binds where it can, and has no option to insist. */
function saslMechanism(client: pg.Client): () => string {
  let chosen = ''
  const { connection } = client as unknown as {
    readonly connection: { sendSASLInitialResponseMessage(mechanism: string, message: string): void }
  }
  const send = connection.sendSASLInitialResponseMessage
  connection.sendSASLInitialResponseMessage = (mechanism, message) => {
    chosen = mechanism
    send.call(connection, mechanism, message)
  }
  return () => chosen
}
