import { randomBytes } from 'node:crypto'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createAuthority } from '@bawn/demo/certificates'
import { freePort } from '@bawn/demo/listen'
import { startPostgres } from '@bawn/demo/postgres'
import { importPublicKey, sealAcraStruct } from '@bawn/envelope'
import pg from 'pg'
import { openSqliteAccounts, type SqliteAccountStore } from '../../packages/bawn/src/accounts/sqlite.ts'
import { deriveVerifiers } from '../../packages/bawn/src/accounts/verifier.ts'
import { apiKeyHash, generateApiKey } from '../../packages/bawn/src/authn/api-key.ts'
import { generateAuditKey, generateKeys } from '../../packages/bawn/src/keys/generate.ts'
import { type RedisServer, startRedis } from '../clients/redis-server.ts'
import { bawn } from '../world.ts'
import { configuration } from './configuration.ts'
import { type HeldToken, type Issuer, startIssuer } from './issuer.ts'
import { type Part, startOwnPart, startPart } from './processes.ts'

export interface Killable {
  kill(): Promise<void>
  start(): Promise<void>
}

export interface Node {
  readonly name: 'first' | 'second'
  readonly part: Part
  readonly configPath: string
  readonly trailPath: string
  readonly webPort: number
  /** TLS: HTTP/1.1 and HTTP/2. */
  readonly securePort: number
  readonly sqlPort: number
  /** The admin door, with its token. @returns status */
  admin(method: string, path: string): Promise<number>
}

export interface Person {
  readonly id: number
  /** Nobody but `billing` may see it. */
  readonly email: string
  readonly card: string
}

export interface SoakWorld {
  /** The first is never killed. */
  readonly nodes: readonly [Node, Node]
  /** Who has issued the certificate of both, PEM. */
  readonly ca: string
  readonly upstream: Part
  readonly issuer: Issuer
  readonly redis: RedisServer
  readonly database: Killable
  readonly people: readonly Person[]
  readonly accounts: SqliteAccountStore
  /** By name: `nightly`, and those that are taken back one by one. */
  readonly apiKeys: ReadonlyMap<string, string>
  readonly password: string
  /** Straight at PostgreSQL. */
  direct(sql: string, parameters?: readonly unknown[]): Promise<Record<string, unknown>[]>
  stop(): Promise<void>
}

/** Staff by name `user0`…; nobody with a role that opens anything is `mallory`, who sees the real values is `billing`. */
export const staff: readonly string[] = Array.from({ length: 20 }, (_, at) => `user${at}`)
/** With a password. `holder` has PostgreSQL sessions, `leaver…` give their tokens back, `locked…` are locked one by one. */
export const members: readonly string[] = Array.from({ length: 4 }, (_, at) => `member${at}`)
export const leavers: readonly string[] = Array.from({ length: 4 }, (_, at) => `leaver${at}`)
export const locked: readonly string[] = Array.from({ length: 12 }, (_, at) => `locked${at}`)

/** In every value that is protected: where it shows up, and the reader is not `billing`, something has leaked. */
export const canary = 'canary'

/** Two gateways as processes of their own, with two workers each; around them real PostgreSQL and Redis, an OpenID provider and an upstream. */
export async function startSoakWorld(): Promise<SoakWorld> {
  const folder = mkdtempSync(join(tmpdir(), 'bawn-soak-'))
  // PostgreSQL may be another user, and has to pass through.
  chmodSync(folder, 0o711)
  const closing: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })]
  const stop = async (): Promise<void> => {
    for (const close of closing.splice(0).reverse()) await close()
  }
  const path = (name: string): string => join(folder, name)
  const write = (name: string, text: string): void => writeFileSync(path(name), text, { mode: 0o600 })
  try {
    const authority = createAuthority('the soak')
    const server = authority.issue('gate', 'server', ['127.0.0.1'])
    write('server.pem', server.certificate)
    write('server.key', server.key)
    const masterKey = randomBytes(32)
    write('master', masterKey.toString('base64'))
    generateKeys({ path: path('keys'), masterKey, clientId: 'soak-keys' })
    generateAuditKey({ path: path('keys'), masterKey })
    const people = Array.from(
      { length: 50 },
      (_, id): Person => ({
        ...{ id, email: `p${id}.${canary}@example.com`, card: `${canary}-4000-${String(id).padStart(4, '0')}` },
      }),
    )
    const publicKey = importPublicKey(readFileSync(path('keys/soak-keys_storage.pub')))
    const sealed = (text: string): string =>
      Buffer.from(sealAcraStruct(publicKey, Buffer.from(text))).toString('base64')
    write('people.json', JSON.stringify(people.map(person => ({ ...person, card: sealed(person.card) }))))

    const upstreamPort = await freePort()
    const upstream = await startOwnPart(folder, 'upstream', String(upstreamPort), path('people.json'))
    closing.push(upstream.stop)
    const issuer = await startIssuer(folder, [
      ...staff.map(id => ({ id, roles: ['staff'] })),
      { id: 'mallory', roles: [] },
      { id: 'gone', roles: ['staff'] },
      { id: 'billing', roles: ['billing'] },
    ])
    closing.push(issuer.stop)
    const redisPassword = randomBytes(16).toString('hex')
    const redis = await startRedis(redisPassword)
    closing.push(redis.remove)
    write('redis.password', redisPassword)
    const database = await startDatabase(path('postgres'))
    closing.push(database.stop)
    write('postgres.password', database.password)

    const password = randomBytes(12).toString('hex')
    const accounts = openSqliteAccounts({ name: 'people', path: path('accounts.db') })
    closing.push(() => accounts.close())
    for (const name of ['holder', ...members, ...leavers, ...locked]) {
      await accounts.add({ name, roles: ['staff'], ...(await deriveVerifiers(password)), locked: false })
    }
    const apiKeys = new Map(
      ['nightly', ...Array.from({ length: 40 }, (_, at) => `key${at}`)].map(name => [name, generateApiKey()]),
    )
    const start = async (name: Node['name']): Promise<Node> => {
      const ports = { web: await freePort(), secure: await freePort(), sql: await freePort(), desk: await freePort() }
      write(
        `${name}.yaml`,
        configuration({
          ...{ name, ports, upstreamPort, issuer: issuer.url, redisPort: redis.port, databasePort: database.port },
          apiKeys: [...apiKeys].map(([key, secret]) => ({ name: key, hash: apiKeyHash(secret) })),
        }),
      )
      const configPath = path(`${name}.yaml`)
      const command = [...bawn, 'start', '--drain', '1s', '--config', configPath] as const
      const listening = ['web', 'secure', 'sql', 'desk'].map(door => new RegExp(`^listening: ${door} `, 'm'))
      const [program, ...args] = command
      const part = await startPart([program, ...args], folder, listening)
      closing.push(part.stop)
      return {
        ...{ name, part, configPath, trailPath: path(`${name}.jsonl`), webPort: ports.web },
        ...{ securePort: ports.secure, sqlPort: ports.sql },
        async admin(method, target) {
          const authorization = `Bearer ${readFileSync(path(`${name}.token`), 'utf8').trim()}`
          const answer = await fetch(`http://127.0.0.1:${ports.desk}${target}`, { method, headers: { authorization } })
          await answer.arrayBuffer()
          return answer.status
        },
      }
    }
    const nodes = [await start('first'), await start('second')] as const
    await fill(nodes[0], await issuer.fetchToken('billing'), people)
    const { direct } = database
    const { certificate: ca } = authority
    return { nodes, ca, upstream, issuer, redis, database, people, accounts, apiKeys, password, direct, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

interface Database extends Killable {
  readonly port: number
  readonly password: string
  direct: SoakWorld['direct']
  stop(): Promise<void>
}

/** PostgreSQL that keeps its data when it is killed. */
async function startDatabase(dataDirectory: string): Promise<Database> {
  const password = randomBytes(18).toString('base64url')
  const port = await freePort()
  const options = { dataDirectory, password, port, settings: { max_connections: '200' } }
  let server = await startPostgres(options)
  const direct: SoakWorld['direct'] = async (sql, parameters = []) => {
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', password, database: 'postgres' })
    client.on('error', () => {})
    await client.connect()
    try {
      return (await client.query(sql, [...parameters])).rows
    } finally {
      await client.end()
    }
  }
  await direct('create table people (id int primary key, email bytea)')
  await direct('create table notes (tag text not null)')
  return {
    ...{ port, password, direct },
    async kill() {
      // All its processes end at once, as in a crash; they are gone when this resolves.
      server.kill()
      await server.stop()
    },
    async start() {
      server = await startPostgres(options)
    },
    stop: () => server.stop(),
  }
}

/** By the door, which seals what is protected. */
async function fill(node: Node, token: HeldToken, people: readonly Person[]): Promise<void> {
  const client = new pg.Client({
    ...{ host: '127.0.0.1', port: node.sqlPort, database: 'shop', user: token.user, password: token.text },
    options: '-c bawn.login=jwt',
  })
  await client.connect()
  for (const { id, email } of people) {
    await client.query('insert into people (id, email) values ($1, $2)', [id, email])
  }
  await client.end()
}
