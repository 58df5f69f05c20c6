import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startPostgres } from '@bawn/demo/postgres'
import pg from 'pg'
import { generateAuditKey, generateKeys } from '../../packages/bawn/src/keys/generate.ts'
import { bawn } from '../world.ts'

// Where a suite runs: straight at a PostgreSQL of its own, or at a gateway before one, with the same user, password and database.

export const ways = ['direct', 'door', 'door with a protected column'] as const
export type Way = (typeof ways)[number]

/** For suites that take long. */
export const longWays: readonly Way[] = ['direct', 'door with a protected column']

/** What a suite connects to. */
export interface Target {
  readonly host: '127.0.0.1'
  readonly port: number
  /** A superuser of the database, and the account of the gateway of the same name. */
  readonly user: string
  readonly password: string
  readonly database: string
}

/** A table that no suite knows. It is there on every way, for some suites list what there is. */
const table = 'create schema bawn; create table bawn.sealed (id int primary key, secret bytea)'
const fields = `fields:
  - { name: secret, columns: [bawn.sealed.secret], protect: { encrypt: acrablock }, reveal: { staff: plain, default: nothing } }
`

export async function startWay(
  way: Way,
  database: string,
  setup: string,
): Promise<Target & { stop(): Promise<void>; log(): string }> {
  const settings = { max_prepared_transactions: '10', max_connections: '150', wal_level: 'logical' }
  const server = await startPostgres({ database, settings })
  const target: Target = {
    host: server.host,
    port: server.port,
    user: server.user,
    password: server.password,
    database,
  }
  const client = new pg.Client(target)
  await client.connect()
  await client.query(table)
  if (setup !== '') await client.query(setup)
  await client.end()
  if (way === 'direct') return { ...target, stop: () => server.stop(), log: () => '' }
  try {
    const gateway = await startGateway(target, way !== 'door')
    return {
      ...target,
      port: gateway.port,
      log: gateway.log,
      async stop() {
        await gateway.stop()
        await server.stop()
      },
    }
  } catch (error) {
    await server.stop()
    throw error
  }
}

async function startGateway(target: Target, isProtected: boolean) {
  const folder = mkdtempSync(join(tmpdir(), 'bawn-suite-'))
  const file = join(folder, 'bawn.yaml')
  const secret = (name: string, value: string) => writeFileSync(join(folder, name), value, { mode: 0o600 })
  const masterKey = randomBytes(32)
  secret('master', masterKey.toString('base64'))
  generateAuditKey({ path: join(folder, 'keys'), masterKey })
  generateKeys({ path: join(folder, 'keys'), masterKey, clientId: 'suite' })
  secret('password', target.password)
  secret(
    'bawn.yaml',
    `listeners:
  sql: { door: postgres, address: 127.0.0.1:0 }
databases:
  ${target.database}: { host: 127.0.0.1, port: ${target.port}, database: ${target.database}, tls: off, login: { user: ${target.user}, password: file:password }, allow: [staff] }
accounts:
  people: { kind: sqlite, path: accounts.db }
host_rules:
  - { door: postgres, use: [scram] }
policies: { staff: { roles: [staff] } }
keys: { store: { kind: directory, path: keys }, master: file:master, client_id: suite }
audit: { file: audit.jsonl }
${isProtected ? fields : ''}`,
  )
  await run(['accounts', 'add', target.user, '--role', 'staff', '--config', file], `${target.password}\n`)
  const [program, ...first] = bawn
  const child = spawn(program, [...first, 'start', '--drain', '1s', '--config', file], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = once(child, 'close')
  let said = ''
  const port = await new Promise<number>((resolve, reject) => {
    const read = (piece: string): void => {
      said = (said + piece).slice(-200_000)
      const found = /^listening: sql \(\w+\) on \S*:([0-9]+)$/m.exec(said)?.[1]
      if (found !== undefined) resolve(Number(found))
    }
    child.stdout?.setEncoding('utf8').on('data', read)
    child.stderr?.setEncoding('utf8').on('data', read)
    child.once('close', () => reject(new Error(`the gateway ended:\n${said}`)))
  })
  return {
    port,
    log: () => said,
    async stop() {
      child.kill('SIGTERM')
      await ended
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function run(args: readonly string[], stdin: string): Promise<void> {
  const [program, ...first] = bawn
  const child: ChildProcess = spawn(program, [...first, ...args], { stdio: ['pipe', 'pipe', 'pipe'] })
  let said = ''
  child.stdout?.on('data', piece => (said += piece))
  child.stderr?.on('data', piece => (said += piece))
  child.stdin?.end(stdin)
  const [status] = await once(child, 'close')
  assert.equal(status, 0, `bawn ${args.join(' ')}\n${said}`)
}
