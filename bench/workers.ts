import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../packages/demo/src/listen.ts'
import { startPostgres } from '../packages/demo/src/postgres.ts'
import { median, treeCpuMicroseconds } from './processor-time.ts'

// Two workers beside one: processor time of the gateway per request at the HTTP door (API key, policy, audit line) and per transaction at
// the PostgreSQL door (pgbench -S, prepared). Slices are interleaved. Where load generator, upstream and both workers share two cores, the
// rate cannot grow; what a second worker costs shows in the processor time.

const rounds = Number(process.env['BENCH_ROUNDS'] ?? 6)
const sliceSeconds = 2
const connections = 64
/** Logging in is within the time of pgbench. */
const pgbenchSeconds = 6
const clients = 8
const body = JSON.stringify({ id: 17, items: 'x'.repeat(480) })
const path = `${process.env['PATH']}:/usr/sbin`

for (const [program, debianPackage] of [
  ['wrk', 'wrk'],
  ['nginx', 'nginx'],
  ['pgbench', 'postgresql-contrib'],
] as const) {
  try {
    execFileSync('sh', ['-c', `command -v ${program}`], { env: { ...process.env, PATH: path } })
  } catch {
    console.error(`bench/workers.ts needs ${program}: install the Debian package ${debianPackage}`)
    process.exit(1)
  }
}

const say = (text: string): void => void process.stderr.write(`${text}\n`)
const folder = mkdtempSync(join(tmpdir(), 'bawn-bench-'))
const children: ChildProcess[] = []
const key = `bawn_${randomBytes(32).toString('base64url')}`

function start(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  const child = spawn(command, args, { stdio: 'ignore', env: { ...process.env, PATH: path, ...env } })
  children.push(child)
  return child
}

async function startUpstream(): Promise<number> {
  const port = await freePort()
  const file = join(folder, 'nginx.conf')
  writeFileSync(
    file,
    `daemon off; pid ${folder}/nginx.pid; error_log /dev/null; worker_processes 1; events { worker_connections 512; }
http { access_log off; keepalive_requests 1000000000; server { listen 127.0.0.1:${port}; location / { default_type application/json; return 200 '${body}'; } } }
`,
  )
  start('nginx', ['-c', file, '-p', folder])
  return port
}

interface Side {
  readonly workers: number
  readonly web: number
  readonly sql: number
  readonly pid: number
  readonly http: Slice[]
  readonly postgres: Slice[]
}

interface Slice {
  /** µs of processor time. */
  readonly each: number
  readonly perSecond: number
}

async function startBawn(workers: number, upstream: number, postgres: { port: number; user: string }): Promise<Side> {
  const home = join(folder, String(workers))
  mkdirSync(join(home, 'keys'), { recursive: true, mode: 0o700 })
  const [web, sql] = [await freePort(), await freePort()]
  const config = join(home, 'bawn.yaml')
  const cli = join(import.meta.dirname, '../packages/bawn/bin/bawn.js')
  const env = { ...process.env, BAWN_MASTER_KEY: randomBytes(32).toString('base64'), SHOP_PASSWORD: password }
  const run = (args: readonly string[]): Buffer =>
    execFileSync(process.execPath, [cli, ...args, '--config', config], { env, input: `${userPassword}\n` })
  writeFileSync(
    config,
    `workers: ${workers}
listeners: { web: { door: http, address: "127.0.0.1:${web}" }, sql: { door: postgres, address: "127.0.0.1:${sql}" } }
upstreams: { items: { url: "http://127.0.0.1:${upstream}" } }
databases: { shop: { host: 127.0.0.1, port: ${postgres.port}, database: postgres, tls: off, login: { user: ${postgres.user}, password: env:SHOP_PASSWORD }, allow: [authenticated] } }
accounts: { staff: { kind: sqlite, path: accounts.db } }
mechanisms: { api-key: { keys: [{ name: wrk, hash: "sha256:${hashOf(key)}", roles: [staff] }] } }
host_rules: [{ door: http, use: [api-key] }, { door: postgres, use: [scram] }]
policies: { staff: { roles: [staff] } }
routes: [{ path: "/items/{id}", methods: [GET], upstream: items, allow: [staff], identity_headers: { id: X-User } }]
keys: { store: { kind: directory, path: keys }, master: env:BAWN_MASTER_KEY, client_id: bench }
audit: { file: audit.jsonl }
`,
  )
  run(['keys', 'generate', '--audit'])
  run(['accounts', 'add', 'bench', '--role', 'staff'])
  const child = start(process.execPath, [cli, 'start', '--config', config], env)
  return { workers, web, sql, pid: child.pid ?? 0, http: [], postgres: [] }
}

const hashOf = (text: string): string => execFileSync('sha256sum', { input: text }).toString().slice(0, 64)
const userPassword = randomBytes(12).toString('hex')

async function untilServes({ web }: Side): Promise<void> {
  const deadline = Date.now() + 120_000
  for (;;) {
    try {
      const answer = await fetch(`http://127.0.0.1:${web}/items/17`, { headers: { 'x-api-key': key } })
      if (answer.status === 200) return
      throw new Error(`status ${answer.status}`)
    } catch (error) {
      if (Date.now() > deadline) throw error
      await new Promise(resolve => setTimeout(resolve, 100))
    }
  }
}

async function output(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, PATH: path, ...env } })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', piece => (text += piece))
  await once(child, 'close')
  return text
}

async function httpSlice({ web, pid }: Side): Promise<Slice> {
  const before = treeCpuMicroseconds(pid)
  const url = `http://127.0.0.1:${web}/items/17`
  const said = await output('wrk', ['-t1', `-c${connections}`, `-d${sliceSeconds}s`, '-H', `X-API-Key: ${key}`, url])
  const requests = Number(/(\d+) requests in/.exec(said)?.[1])
  if (!(requests > 0) || /Non-2xx/.test(said)) throw new Error(`wrk: ${said}`)
  return { each: (treeCpuMicroseconds(pid) - before) / requests, perSecond: requests / sliceSeconds }
}

async function postgresSlice({ sql, pid }: Side): Promise<Slice> {
  const before = treeCpuMicroseconds(pid)
  const load = ['-n', '-S', '-M', 'prepared', '-c', String(clients), '-j', '1', '-T', String(pgbenchSeconds)]
  const where = ['-h', '127.0.0.1', '-p', String(sql), '-U', 'bench', 'shop']
  const said = await output('pgbench', [...load, ...where], { PGPASSWORD: userPassword })
  const done = Number(/actually processed: (\d+)/.exec(said)?.[1])
  if (!(done > 0) || /failed transactions: [1-9]/.test(said)) throw new Error(`pgbench: ${said}`)
  return { each: (treeCpuMicroseconds(pid) - before) / done, perSecond: done / pgbenchSeconds }
}

const postgres = await startPostgres({ settings: { max_connections: '80' } })
const { password } = postgres
try {
  const direct = ['-h', '127.0.0.1', '-p', String(postgres.port), '-U', postgres.user, postgres.database]
  await output('pgbench', ['-i', '-s', '1', '-q', ...direct], { PGPASSWORD: password })
  const upstream = await startUpstream()
  const sides: Side[] = []
  for (const workers of [1, 2]) sides.push(await startBawn(workers, upstream, postgres))
  for (const side of sides) {
    await untilServes(side)
    say(`warming ${side.workers}`)
    await httpSlice(side)
    await postgresSlice(side)
  }
  for (let round = 0; round < rounds; round++) {
    for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
      side.http.push(await httpSlice(side))
      side.postgres.push(await postgresSlice(side))
      const tell = (slice: Slice | undefined): string =>
        `${slice?.each.toFixed(1)} µs, ${slice?.perSecond.toFixed(0)}/s`
      say(
        `round ${round + 1}: ${side.workers}: HTTP ${tell(side.http.at(-1))}; PostgreSQL ${tell(side.postgres.at(-1))}`,
      )
    }
  }
  const [one, two] = sides
  console.log(
    `HTTP: ${connections} connections, an API key, policy, audit line. PostgreSQL: pgbench -S -M prepared, ${clients} clients. ${rounds} rounds of ${sliceSeconds} and ${pgbenchSeconds} s, interleaved; everything shares the machine's cores.\n`,
  )
  console.log(
    '| | one worker: CPU µs each, median (best) | two workers | two against one, median [least–most] | rate, two against one |',
  )
  console.log('|---|---|---|---|---|')
  for (const [name, of] of [
    ['HTTP request', (side: Side | undefined) => side?.http ?? []],
    ['PostgreSQL transaction', (side: Side | undefined) => side?.postgres ?? []],
  ] as const) {
    const each = (side: Side | undefined): string => {
      const values = of(side).map(slice => slice.each)
      return `${median(values).toFixed(1)} (${Math.min(...values).toFixed(1)})`
    }
    const ratios = of(two).map((slice, at) => slice.each / (of(one)[at]?.each ?? Number.NaN))
    const rates = of(two).map((slice, at) => slice.perSecond / (of(one)[at]?.perSecond ?? Number.NaN))
    console.log(
      `| ${name} | ${each(one)} | ${each(two)} | ${median(ratios).toFixed(2)} [${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)}] | ${median(rates).toFixed(2)} |`,
    )
  }
} finally {
  for (const child of children) child.kill('SIGTERM')
  await Promise.all(
    children.map(child => (child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined)),
  )
  await postgres.stop()
  rmSync(folder, { recursive: true, force: true })
}
