import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type Postgres, startPostgres } from '@bawn/demo/postgres'
import pg from 'pg'
import { openSqliteAccounts, type SqliteAccountStore } from '../../packages/bawn/src/accounts/sqlite.ts'
import { deriveVerifiers } from '../../packages/bawn/src/accounts/verifier.ts'
import { generateAuditKey, generateKeys } from '../../packages/bawn/src/keys/generate.ts'
import { bawn } from '../world.ts'

// A gateway with several workers, as a process of its own, before a real PostgreSQL and an API. No tests in here.

export const password = 'correct horse'

export interface WorkersWorld {
  readonly postgres: Postgres
  readonly accounts: SqliteAccountStore
  path(name: string): string
  /** Writes bawn.yaml: what every test has, and `more`. */
  configure(more?: string, workers?: number | 'auto'): void
  start(): Promise<Gateway>
  run(...args: readonly string[]): Promise<{ readonly status: number; readonly output: string }>
  stop(): Promise<void>
}

export interface Gateway {
  /** `host:port` by name of the listener. */
  readonly addresses: ReadonlyMap<string, string>
  readonly child: ChildProcess
  readonly ended: Promise<unknown>
  log(): string
  /** Resolves to what follows once the log has such a text behind the first `from` characters. */
  logged(wanted: RegExp, from?: number): Promise<string>
  /** As `pg.Client` takes it. */
  client(user: string, more?: pg.ClientConfig): WorkerConfig
  /** Asks the HTTP door by a connection of its own. */
  ask(path: string, headers?: Readonly<Record<string, string>>): Promise<{ status: number; body: string }>
  /** Asks the door for operators. */
  desk(path: string): Promise<{ status: number; body: string }>
}

/** As `pg.Client` takes it, and at which worker a session of it is. */
export interface WorkerConfig extends pg.ClientConfig {
  /** With a pool for transactions a session has no process at PostgreSQL: then it is told by its application name, or is the last that began. */
  workerOf(processId: number, applicationName: string | undefined): Promise<number>
}

/** Who answers, ends and fails as it is told: says in which worker it is, throws where nobody catches, allocates without end. */
const plugin = `import { workerData } from 'node:worker_threads'
const kept = []
const answer = credentials => {
  const [order] = credentials.header('x-order')
  if (order === undefined) return { kind: 'absent' }
  if (order === 'throw') setImmediate(() => { throw new Error('as ordered') })
  if (order === 'hang') setImmediate(() => { for (;;) kept.length = 0 })
  if (order === 'allocate') setImmediate(() => { for (;;) kept.push(new Array(100_000).fill(kept.length)) })
  return { kind: 'identified', identity: { id: 'worker-' + workerData?.index, roles: ['staff'] } }
}
const options = { '~standard': { version: 1, vendor: 'order', validate: value => ({ value }) } }
const order = {
  kind: 'order', doors: ['http'], options, carries: () => ({ headers: ['x-order'] }),
  create({ fails }) {
    if (fails === workerData?.index) throw new Error('as configured')
    return { http: { authenticate: answer, challenge: () => 'Order' } }
  },
}
export default { name: 'order', api: 1, mechanisms: [order] }
`

export async function startWorkersWorld(): Promise<WorkersWorld> {
  const folder = mkdtempSync(join(tmpdir(), 'bawn-workers-'))
  const path = (name: string): string => join(folder, name)
  const masterKey = randomBytes(32)
  const postgres = await startPostgres({ settings: { max_connections: '60' } })
  const upstream = createServer((request, response) => {
    if (request.url?.startsWith('/stream') === true) response.write('begun\n')
    else response.end(String(request.headers['x-user']))
  }).listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  const at = upstream.address()
  assert(at !== null && typeof at === 'object')
  writeFileSync(path('master'), masterKey.toString('base64'), { mode: 0o600 })
  writeFileSync(path('shop.password'), postgres.password, { mode: 0o600 })
  writeFileSync(path('order.js'), plugin)
  generateAuditKey({ path: path('keys'), masterKey })
  generateKeys({ path: path('keys'), masterKey, clientId: 'shop-keys' })
  const accounts = openSqliteAccounts({ name: 'people', path: path('accounts.db') })
  for (const name of ['alice', 'bob', 'carol', 'dora'])
    await accounts.add({ name, roles: ['staff'], ...(await deriveVerifiers(password)), locked: false })
  const children: { readonly child: ChildProcess; readonly ended: Promise<unknown> }[] = []
  const shop = `host: 127.0.0.1, port: ${postgres.port}, database: postgres, tls: off, login: { user: ${postgres.user}, password: file:shop.password }, allow: [staff]`
  return {
    postgres,
    accounts,
    path,
    configure(more = '', workers = 2) {
      writeFileSync(
        path('bawn.yaml'),
        `workers: ${workers}
listeners:
  web: { door: http, address: "127.0.0.1:0" }
  slow: { door: http, address: "127.0.0.1:0", rate_limit: { rate: 20/h, burst: 20 } }
  sql: { door: postgres, address: "127.0.0.1:0" }
  desk: { door: admin, address: "127.0.0.1:0", token_file: desk.token }
databases:
  shop: { ${shop} }
  small: { ${shop}, limits: { sessions: 4, sessions_per_identity: 3, queue_length: 1, queue_timeout: 60s } }
  pooled: { ${shop}, pool: { mode: transaction, size: 4 }, limits: { queue_length: 100, queue_timeout: 60s } }
  tight: { ${shop}, pool: { mode: transaction, size: 2 }, limits: { queue_length: 1, queue_timeout: 300ms } }
upstreams: { api: { url: "http://127.0.0.1:${at.port}" } }
accounts: { people: { kind: sqlite, path: accounts.db } }
tokens: { kind: memory, ttl: 1h }
plugins: { order: { module: ./order.js } }
mechanisms: { order: { fails: -1 }, basic: {} }
host_rules:
  - { door: http, use: [order, token, basic] }
  - { door: postgres, use: [scram] }
policies: { staff: { roles: [staff] } }
routes:
  - { path: "/*", methods: [GET], upstream: api, allow: [staff], identity_headers: { id: X-User } }
keys: { store: { kind: directory, path: keys }, master: file:master, client_id: shop-keys }
audit: { file: audit.jsonl, statements: all }
${more}`,
      )
    },
    async start() {
      return startGateway(path, started => children.push(started))
    },
    async run(...args) {
      const [program, ...first] = bawn
      const child = spawn(program, [...first, ...args, '--config', path('bawn.yaml')], {
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      const [out, err, [status]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
      return { status: Number(status), output: out + err }
    },
    async stop() {
      for (const { child, ended } of children) {
        child.kill('SIGKILL')
        await ended
      }
      await accounts.close()
      await postgres.stop()
      upstream.close()
      upstream.closeAllConnections()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function startGateway(
  path: (name: string) => string,
  started: (gateway: Pick<Gateway, 'child' | 'ended'>) => void,
): Promise<Gateway> {
  const [program, ...first] = bawn
  const args = [...first, 'start', '--drain', '5s', '--config', path('bawn.yaml')]
  // So that a worker is out of memory before the machine is.
  const env = { ...process.env, NODE_OPTIONS: '--max-old-space-size=96' }
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env })
  const ended = once(child, 'close')
  started({ child, ended })
  let said = ''
  let changed = Promise.withResolvers<void>()
  const wake = (): void => {
    const { resolve } = changed
    changed = Promise.withResolvers()
    resolve()
  }
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (piece: string) => {
      said += piece
      wake()
    })
  }
  void ended.then(wake)
  const logged = async (wanted: RegExp, from = 0): Promise<string> => {
    const timer = setTimeout(wake, 90_000)
    const deadline = Date.now() + 90_000
    try {
      while (true) {
        const found = wanted.exec(said.slice(from))
        if (found !== null) return said.slice(from + found.index)
        assert.ok(child.exitCode === null && child.signalCode === null, `the gateway ended:\n${said}`)
        assert.ok(Date.now() < deadline, `nothing like ${wanted} was said:\n${said}`)
        await changed.promise
      }
    } finally {
      clearTimeout(timer)
    }
  }
  await logged(/^listening: desk /m)
  const addresses = new Map(
    [...said.matchAll(/^listening: (\w+) \(\w+\) on (.*)$/gm)].map(([, name = '', address = '']) => [name, address]),
  )
  const get = async (url: string, headers: Readonly<Record<string, string>>) => {
    const answer = await fetch(url, { headers: { ...headers, connection: 'close' } })
    return { status: answer.status, body: await answer.text() }
  }
  const desk: Gateway['desk'] = target =>
    get(`http://${addresses.get('desk')}${target}`, {
      authorization: `Bearer ${readFileSync(path('desk.token'), 'utf8').trim()}`,
    })
  const workerOf: WorkerConfig['workerOf'] = async (processId, applicationName) => {
    const { sessions } = JSON.parse((await desk('/sessions')).body) as {
      readonly sessions: readonly {
        readonly server_pid: number | null
        readonly application_name: string
        readonly since: string
        readonly worker: number
      }[]
    }
    const named = sessions.filter(({ application_name: name }) => name === (applicationName ?? ''))
    const last = named.toSorted((one, other) => (one.since < other.since ? -1 : 1)).at(-1)
    const found = sessions.find(({ server_pid: pid }) => pid === processId) ?? last
    assert.ok(found !== undefined, `no session has the process id ${processId}`)
    return found.worker - 1
  }
  return {
    addresses,
    child,
    ended,
    log: () => said,
    logged,
    client: (user, more = {}) => ({
      ...{ host: '127.0.0.1', port: Number(addresses.get('sql')?.split(':').at(-1)) },
      ...{ user, password, database: 'shop', ...more },
      workerOf,
    }),
    ask: (target, headers = {}) => get(`http://${addresses.get('web')}${target}`, headers),
    desk,
  }
}

/** A connected client, which worker it is at, and the error that ends it. */
export interface Session {
  readonly client: pg.Client
  readonly worker: number
  readonly ended: Promise<Error>
}

export async function connect(config: WorkerConfig): Promise<Session> {
  const client = new pg.Client(config)
  const ended = new Promise<Error>(resolve => client.on('error', resolve))
  await client.connect()
  const { processID } = client as unknown as { readonly processID: number }
  return { client, worker: await config.workerOf(processID, config.application_name), ended }
}

/** Sessions until each of two workers has one. Those beyond the two are ended. */
export async function oneEach(config: WorkerConfig): Promise<readonly [Session, Session]> {
  const first = await connect(config)
  const more: Session[] = []
  for (let tries = 0; tries < 100; tries++) {
    const next = await connect(config)
    if (next.worker !== first.worker) {
      for (const { client } of more) await client.end()
      return first.worker === 0 ? [first, next] : [next, first]
    }
    more.push(next)
  }
  throw new Error('a hundred sessions are all at one worker')
}

/** Until a condition holds: thirty seconds at most. */
export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + 30_000
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, `not within thirty seconds: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}
