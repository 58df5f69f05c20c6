import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beThePeer, choice, option, rotated, run, startPeers, type Target } from './postgres-peers.ts'
import { cpuMicroseconds, median } from './processor-time.ts'

// pgbench -S through Bawn, straight at PostgreSQL, and through others: rounds interleaved, on one machine, in one run. The figure to look
// at is the proxy's own CPU time per transaction: on a machine that others use as well, transactions per second say little.
// Each run is a number of transactions, not a time: pgbench counts time from before its logins, and on a busy machine nothing is left of it.
// `--transactions 80000 --rounds 5` for a longer run; `--only prepared,tls --clients 1,8` for some of the rows (simple, extended, prepared, pipeline,
// tls, logins); `--profile FOLDER` for a CPU profile of the door. Large results are measured by postgres-results.ts, idle sessions
// and the search for plans by postgres-sessions.ts.

interface Measured {
  /** Of pgbench: transactions each second. */
  readonly tps: number
  /** µs of the proxy's CPU time per transaction. */
  readonly cpu: number
  /** ms from a statement to its answer, on the average. */
  readonly latency: number
}

type Figures = ReadonlyMap<string, readonly Measured[]>

/** A pipeline's are this many, and one client waits for each. */
const queriesPiped = 16

const transactions = option('--transactions', 16_000)
const rounds = option('--rounds', 3)
const only = choice('--only')
const clientNumbers = choice('--clients')

if (!(await beThePeer('create table people (id int primary key, email bytea, photo bytea)'))) await measure()

function isWanted(part: string, clients?: number): boolean {
  if (clients !== undefined && clientNumbers?.includes(`${clients}`) === false) return false
  return only === undefined || only.includes(part)
}

async function measure(): Promise<void> {
  const pipeline = join(tmpdir(), `bawn-pipeline-${process.pid}.sql`)
  const select = '\\set aid random(1, 100000 * :scale)\nSELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n'
  writeFileSync(pipeline, `\\startpipeline\n${select.repeat(queriesPiped)}\\endpipeline\n`)
  const peers = await startPeers(import.meta.filename)
  try {
    await run('pgbench', ['-i', '-q', '-s', '5'], { env: peers.direct })
    for (const target of [...peers.targets, ...peers.secure]) {
      process.stderr.write(`warming ${target.name}\n`)
      for (const mode of ['simple', 'extended', 'prepared']) {
        await benchOnce(target, ['-S', '-M', mode, '-c', '8', '-t', '1000'], 0)
      }
    }
    const logins = await measureLogins(peers.targets, '')
    const secureLogins = await measureLogins(peers.secure, ', TLS 1.3')
    printLogins([...logins, ...secureLogins])

    console.log(
      `pgbench -S, scale 5, ${transactions} transactions a run (half of it with one client, twice with 200), median of ${rounds} interleaved rounds, no protected column touched. µs are the proxy's own CPU time per transaction, without its logins; ratios are medians of those of each round.\n`,
    )
    const heads = ['direct tps', 'Bawn, of direct', 'of PgBouncer', 'PgBouncer µs', 'haproxy µs', 'pipe µs', 'Bawn µs']
    const ratios = ['Bawn / PgBouncer', 'Bawn / pipe', 'added ms', 'of PgBouncer’s']
    console.log(`| protocol, clients | ${[...heads, ...ratios].join(' | ')} |`)
    console.log(`|---${'|---'.repeat(heads.length + ratios.length)}|`)
    const row = async (title: string, isSecure: boolean, clients: number, args: readonly string[]): Promise<void> => {
      // The logins of many are a large part of a short run, and only their usual cost is taken off.
      const wanted = clients > 64 ? 2 * transactions : transactions
      const each = Math.ceil(wanted / (args.includes('-f') ? queriesPiped / 4 : 1) / Math.max(2, clients))
      const figures = await alternate(title, isSecure ? peers.secure : peers.targets, target =>
        benchOnce(
          target,
          [...args, '-c', `${clients}`, '-t', `${each}`],
          clients * loginCost(isSecure ? secureLogins : logins, target),
        ),
      )
      printRow(title, figures)
    }
    for (const mode of ['simple', 'extended', 'prepared']) {
      for (const clients of [1, 8, 32, 200]) {
        if (isWanted(mode, clients)) await row(`${mode}, ${clients}`, false, clients, ['-S', '-M', mode])
      }
    }
    for (const mode of ['extended', 'prepared']) {
      if (!isWanted('pipeline', 8)) continue
      await row(`${mode}, ${queriesPiped} in a pipeline, 8`, false, 8, ['-f', pipeline, '-s', '5', '-M', mode])
    }
    for (const mode of ['simple', 'prepared']) {
      for (const clients of [1, 8, 32, 200]) {
        if (isWanted('tls', clients)) await row(`${mode}, ${clients}, TLS 1.3`, true, clients, ['-S', '-M', mode])
      }
    }
  } finally {
    await peers.stop()
  }
}

/** One measurement of each target, in another order each round. */
async function alternate(
  title: string,
  targets: readonly Target[],
  once: (target: Target) => Promise<Measured>,
): Promise<Figures> {
  const figures = new Map<string, Measured[]>(targets.map(({ name }) => [name, []]))
  for (let round = 0; round < rounds; round += 1) {
    for (const target of rotated(targets, round)) {
      process.stderr.write(`${title}: ${target.name}\n`)
      figures.get(target.name)?.push(await once(target))
    }
  }
  return figures
}

interface LoginRow {
  readonly name: string
  readonly title: string
  /** µs of the proxy's CPU time for a login, one statement and the end. */
  readonly cpu: number
  readonly tps: number
}

/** A login goes through code that statements do not warm. Where only an estimate is wanted, it is one of few. */
async function measureLogins(targets: readonly Target[], suffix: string): Promise<readonly LoginRow[]> {
  const each = Math.ceil(transactions / (isWanted('logins') ? 100 : 400))
  const logIn = (target: Target): Promise<Measured> => {
    return benchOnce(target, ['-S', '-C', '-c', '4', '-t', `${each}`], 0)
  }
  if (isWanted('logins')) {
    for (const target of targets) {
      process.stderr.write(`warming${suffix} ${target.name}\n`)
      await logIn(target)
    }
  }
  const figures = await alternate(`logins${suffix}`, targets, logIn)
  return targets.map(({ name }) => {
    const all = figures.get(name) ?? []
    return {
      name,
      title: `${name}${name === 'direct' ? '' : suffix}`,
      cpu: median(all.map(({ cpu }) => cpu)),
      tps: median(all.map(({ tps }) => tps)),
    }
  })
}

function loginCost(logins: readonly LoginRow[], target: Target): number {
  return logins.find(({ name }) => name === target.name)?.cpu ?? 0
}

function printLogins(logins: readonly LoginRow[]): void {
  if (!isWanted('logins')) return
  console.log(
    'Logins by SCRAM-SHA-256, each with one statement (pgbench -S -C), 4 at a time. PgBouncer has a connection to PostgreSQL ready; Bawn logs in there too, each time, by keys that it has derived once; haproxy and pipe hand on what they are sent.\n',
  )
  console.log('| | logins a second | µs of CPU time a login | a second of CPU time |')
  console.log('|---|---|---|---|')
  const seen = new Set<string>()
  for (const { title, cpu, tps } of logins) {
    if (seen.has(title)) continue
    seen.add(title)
    const own = cpu > 0 ? `${cpu.toFixed(0)} | ${(1e6 / cpu).toFixed(0)}` : '– | –'
    console.log(`| ${title} | ${tps.toFixed(0)} | ${own} |`)
  }
  console.log('')
}

function printRow(title: string, figures: Figures): void {
  const of = (name: string, figure: keyof Measured): number => {
    return median((figures.get(name) ?? []).map(measured => measured[figure]))
  }
  /** Of what was measured within the same seconds. */
  const ratio = (one: string, other: string, figure: (measured: Measured, round: number) => number): string => {
    const others = figures.get(other)
    const ratios = (figures.get(one) ?? []).flatMap((measured, round) => {
      const against = others?.[round]
      return against === undefined ? [] : [figure(measured, round) / figure(against, round)]
    })
    return ratios.length === 0 ? '–' : median(ratios).toFixed(2)
  }
  const cpu = (name: string): string => (figures.has(name) ? of(name, 'cpu').toFixed(1) : '–')
  const added = (name: string): number => of(name, 'latency') - of('direct', 'latency')
  console.log(
    `| ${[
      title,
      of('direct', 'tps').toFixed(0),
      ratio('Bawn', 'direct', ({ tps }) => tps),
      ratio('Bawn', 'PgBouncer', ({ tps }) => tps),
      ...['PgBouncer', 'haproxy', 'pipe', 'Bawn'].map(cpu),
      ratio('Bawn', 'PgBouncer', measured => measured.cpu),
      ratio('Bawn', 'pipe', measured => measured.cpu),
      added('Bawn').toFixed(3),
      (added('Bawn') / added('PgBouncer')).toFixed(2),
    ].join(' | ')} |`,
  )
}

/** @param spent µs of the proxy's CPU time on other things than transactions */
async function benchOnce(target: Target, args: readonly string[], spent: number): Promise<Measured> {
  const before = target.pid === undefined ? 0 : cpuMicroseconds(target.pid)
  const { stdout } = await run('pgbench', ['-n', '-j', '2', ...args], { env: target.environment })
  const used = target.pid === undefined ? 0 : cpuMicroseconds(target.pid) - before
  const number = (pattern: RegExp): number => {
    const value = Number(pattern.exec(stdout)?.[1])
    if (!(value > 0)) throw new Error(`pgbench ${args.join(' ')} through ${target.name} tells nothing:\n${stdout}`)
    return value
  }
  return {
    tps: number(/tps = ([\d.]+)/),
    cpu: (used - spent) / number(/processed: (\d+)/),
    latency: number(/latency average = ([\d.]+)/),
  }
}
