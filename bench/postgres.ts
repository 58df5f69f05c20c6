import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { freePort } from '../packages/demo/src/listen.ts'
import { password, startKit } from '../test/postgres-kit.ts'

// pgbench -S through Bawn, straight at PostgreSQL, and through PgBouncer in session mode: rounds interleaved, on one machine, in one run.
// The figure to look at is the proxy's own CPU time per transaction: on a machine that others use as well, transactions per second say
// little. `--seconds 5 --rounds 5` for a longer run.

const run = promisify(execFile)

interface Target {
  readonly name: 'direct' | 'PgBouncer' | 'Bawn'
  readonly environment: NodeJS.ProcessEnv
  /** Whose CPU time is counted. */
  readonly pid: number | undefined
}

interface Measured {
  readonly tps: number
  /** µs of the proxy's CPU time per transaction. */
  readonly cpu: number | undefined
}

/** What the process of the door tells the one that measures. */
interface Ready {
  readonly door: number
  readonly port: number
  readonly password: string
}

if (process.argv.includes('--door')) await serve()
else await measure()

/** A process of its own for the door, so that its CPU time is its own. */
async function serve(): Promise<void> {
  const kit = await startKit('create table people (id int primary key, email bytea, photo bytea)')
  const shop = kit.state.databases.get('shop')
  if (shop === undefined) throw new Error('no database')
  // In clear on both sides, as the peers.
  const plain = { ...shop, upstream: { ...shop.upstream, tls: undefined } }
  const door = await kit.listen({ max_connections: 200 }, { databases: new Map([['shop', plain]]) })
  const ready: Ready = { door: door.address.port, port: kit.postgres.port, password: kit.postgres.password }
  console.log(JSON.stringify(ready))
  process.stdin.resume().once('end', async () => {
    await kit.stop()
    process.exit()
  })
}

async function measure(): Promise<void> {
  for (const [program, debian] of [
    ['/usr/bin/pgbench', 'postgresql-contrib'],
    ['/usr/sbin/pgbouncer', 'pgbouncer'],
  ] as const) {
    if (!existsSync(program)) throw new Error(`${program} is not installed; on Debian: apt-get install ${debian}`)
  }
  const seconds = option('--seconds', 2)
  const rounds = option('--rounds', 2)
  const door = spawn(process.execPath, [import.meta.filename, '--door'], { stdio: ['pipe', 'pipe', 'inherit'] })
  const folder = mkdtempSync(join(tmpdir(), 'bawn-bench-'))
  let bouncer: Bouncer | undefined
  try {
    const lines = createInterface({ input: door.stdout })
    const [line]: string[] = await once(lines, 'line')
    const ready: Ready = JSON.parse(line ?? '')
    const base = { PATH: process.env['PATH'], PGHOST: '127.0.0.1', PGSSLMODE: 'disable' }
    const direct = {
      ...base,
      PGPORT: `${ready.port}`,
      PGUSER: 'postgres',
      PGPASSWORD: ready.password,
      PGDATABASE: 'postgres',
    }
    await run('pgbench', ['-i', '-q', '-s', '5'], { env: direct })
    bouncer = await startBouncer(folder, ready)
    const targets: readonly Target[] = [
      { name: 'direct', environment: direct, pid: undefined },
      {
        name: 'PgBouncer',
        environment: { ...direct, PGPORT: `${bouncer.port}`, PGDATABASE: 'shop' },
        pid: bouncer.pid,
      },
      {
        name: 'Bawn',
        environment: { ...base, PGPORT: `${ready.door}`, PGUSER: 'billy', PGPASSWORD: password, PGDATABASE: 'shop' },
        pid: door.pid,
      },
    ]
    console.log(
      `pgbench -S, scale 5, ${seconds} s a run, median of ${rounds} interleaved rounds, no TLS, no protected column touched.\n`,
    )
    console.log(
      '| protocol, clients | direct tps | PgBouncer, of direct | Bawn, of direct | PgBouncer µs/tx | Bawn µs/tx | Bawn / PgBouncer |',
    )
    console.log('|---|---|---|---|---|---|---|')
    for (const mode of ['simple', 'extended', 'prepared'] as const) {
      for (const clients of [1, 8, 32]) console.log(await row(mode, clients, targets, seconds, rounds))
    }
  } finally {
    bouncer?.stop()
    door.stdin.end()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function row(
  mode: string,
  clients: number,
  targets: readonly Target[],
  seconds: number,
  rounds: number,
): Promise<string> {
  const results = new Map<Target['name'], Measured[]>(targets.map(target => [target.name, []]))
  for (let round = 0; round < rounds; round += 1) {
    // Another order each round: whoever is first meets a cold cache.
    const order = targets
      .map((_, index) => targets[(index + round) % targets.length])
      .filter(target => target !== undefined)
    for (const target of order) results.get(target.name)?.push(await benchOnce(target, mode, clients, seconds))
  }
  const tps = (name: Target['name']) => median((results.get(name) ?? []).map(result => result.tps))
  const cpu = (name: Target['name']) => median((results.get(name) ?? []).map(result => result.cpu ?? 0))
  const direct = tps('direct')
  return `| ${[
    `${mode}, ${clients}`,
    direct.toFixed(0),
    (tps('PgBouncer') / direct).toFixed(2),
    (tps('Bawn') / direct).toFixed(2),
    cpu('PgBouncer').toFixed(0),
    cpu('Bawn').toFixed(0),
    (cpu('Bawn') / cpu('PgBouncer')).toFixed(2),
  ].join(' | ')} |`
}

async function benchOnce(target: Target, mode: string, clients: number, seconds: number): Promise<Measured> {
  process.stderr.write(`${mode} ${clients} ${target.name}\n`)
  const before = target.pid === undefined ? 0 : cpuMicroseconds(target.pid)
  const args = ['-n', '-S', '-M', mode, '-c', `${clients}`, '-j', '2', '-T', `${seconds}`]
  const { stdout } = await run('pgbench', args, { env: target.environment })
  const used = target.pid === undefined ? 0 : cpuMicroseconds(target.pid) - before
  const transactions = Number(/processed: (\d+)/.exec(stdout)?.[1])
  const tps = Number(/tps = ([\d.]+)/.exec(stdout)?.[1])
  return { tps, cpu: target.pid === undefined ? undefined : used / transactions }
}

/** CPU time of all threads of a process so far. */
function cpuMicroseconds(pid: number): number {
  const folder = `/proc/${pid}/task`
  return readdirSync(folder).reduce((sum, task) => {
    try {
      return sum + Number(readFileSync(`${folder}/${task}/schedstat`, 'utf8').split(' ')[0]) / 1000
    } catch {
      return sum
    }
  }, 0)
}

interface Bouncer {
  readonly port: number
  readonly pid: number
  stop(): void
}

async function startBouncer(folder: string, ready: Ready): Promise<Bouncer> {
  const port = await freePort()
  const file = join(folder, 'pgbouncer.ini')
  const database = `host=127.0.0.1 port=${ready.port} dbname=postgres user=postgres password=${ready.password}`
  const settings = [
    ...['[databases]', `shop = ${database}`, '[pgbouncer]', `listen_port = ${port}`, 'listen_addr = 127.0.0.1'],
    ...[
      'unix_socket_dir =',
      'auth_type = any',
      'pool_mode = session',
      'default_pool_size = 50',
      'max_client_conn = 200',
    ],
  ]
  writeFileSync(file, `${settings.join('\n')}\n`)
  // It refuses to run as root.
  const root = process.getuid?.() === 0
  if (root) await run('chown', ['-R', '65534:65534', folder])
  const child = spawn('/usr/sbin/pgbouncer', ['-q', file], {
    stdio: 'ignore',
    ...(root ? { uid: 65_534, gid: 65_534 } : {}),
  })
  if (child.pid === undefined) throw new Error('PgBouncer does not start')
  const environment = {
    PGHOST: '127.0.0.1',
    PGPORT: `${port}`,
    PGUSER: 'postgres',
    PGDATABASE: 'shop',
    PGSSLMODE: 'disable',
  }
  for (let attempt = 0; ; attempt += 1) {
    try {
      await run('psql', ['-XAtc', 'select 1'], { env: { ...environment, PATH: process.env['PATH'] } })
      break
    } catch (error) {
      if (attempt === 50 || child.exitCode !== null) throw error
      await new Promise(resolve => setTimeout(resolve, 100))
    }
  }
  return { port, pid: child.pid, stop: () => child.kill() }
}

function option(name: string, otherwise: number): number {
  const at = process.argv.indexOf(name)
  return at === -1 ? otherwise : Number(process.argv[at + 1])
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  return ((sorted[Math.floor(middle)] ?? 0) + (sorted[Math.ceil(middle) - 1] ?? 0)) / 2
}
