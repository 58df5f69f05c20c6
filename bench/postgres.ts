import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beThePeer, option, rotated, run, startPeers, type Target } from './postgres-peers.ts'
import { cpuMicroseconds, median } from './processor-time.ts'

// pgbench -S through Bawn, straight at PostgreSQL, and through others: rounds interleaved, on one machine, in one run. The figure to look
// at is the proxy's own CPU time per transaction: on a machine that others use as well, transactions per second say little.
// `--seconds 5 --rounds 5` for a longer run.

interface Measured {
  readonly tps: number
  /** µs of the proxy's CPU time per transaction. */
  readonly cpu: number
  /** ms from a statement to its answer, on the average. */
  readonly latency: number
}

if (!(await beThePeer('create table people (id int primary key, email bytea, photo bytea)'))) await measure()

async function measure(): Promise<void> {
  const seconds = option('--seconds', 2)
  const rounds = option('--rounds', 3)
  const pipeline = join(tmpdir(), `bawn-pipeline-${process.pid}.sql`)
  const select = '\\set aid random(1, 100000 * :scale)\nSELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n'
  writeFileSync(pipeline, `\\startpipeline\n${select.repeat(16)}\\endpipeline\n`)
  const peers = await startPeers(import.meta.filename)
  try {
    await run('pgbench', ['-i', '-q', '-s', '5'], { env: peers.direct })
    console.log(
      `pgbench -S, scale 5, ${seconds} s a run, median of ${rounds} interleaved rounds, no protected column touched. CPU time is the proxy's own per transaction.\n`,
    )
    for (const target of [...peers.targets, ...peers.secure]) {
      process.stderr.write(`warming ${target.name}\n`)
      for (const mode of ['simple', 'prepared']) await benchOnce(target, ['-S', '-M', mode, '-c', '8', '-T', '2'])
    }
    const heads = ['direct tps', 'Bawn, of direct', 'PgBouncer µs', 'haproxy µs', 'pipe µs', 'Bawn µs']
    const ratios = ['Bawn / PgBouncer', 'Bawn / pipe', 'added ms, of PgBouncer’s']
    console.log(`| protocol, clients | ${[...heads, ...ratios].join(' | ')} |`)
    console.log(`|---${'|---'.repeat(heads.length + ratios.length)}|`)
    const row = (title: string, targets: readonly Target[], args: readonly string[]) =>
      printRow(title, targets, [...args, '-T', `${seconds}`], rounds)
    for (const mode of ['simple', 'extended', 'prepared']) {
      for (const clients of [1, 8, 32, 200]) {
        await row(`${mode}, ${clients}`, peers.targets, ['-S', '-M', mode, '-c', `${clients}`])
      }
    }
    const piped = ['-f', pipeline, '-s', '5', '-M', 'prepared']
    await row('prepared, 16 in a pipeline, 8', peers.targets, [...piped, '-c', '8'])
    for (const [mode, clients] of [
      ['simple', 8],
      ['prepared', 1],
      ['prepared', 32],
    ] as const) {
      await row(`${mode}, ${clients}, TLS 1.3`, peers.secure, ['-S', '-M', mode, '-c', `${clients}`])
    }
  } finally {
    await peers.stop()
  }
}

async function printRow(
  title: string,
  targets: readonly Target[],
  args: readonly string[],
  rounds: number,
): Promise<void> {
  const results = new Map<string, Measured[]>(targets.map(({ name }) => [name, []]))
  for (let round = 0; round < rounds; round += 1) {
    for (const target of rotated(targets, round)) {
      process.stderr.write(`${title}: ${target.name}\n`)
      results.get(target.name)?.push(await benchOnce(target, args))
    }
  }
  const of = (name: string, figure: keyof Measured): number | undefined => {
    const all = results.get(name)
    return all && median(all.map(measured => measured[figure]))
  }
  const ratio = (one: number | undefined, other: number | undefined, digits = 2): string =>
    one === undefined || other === undefined ? '–' : (one / other).toFixed(digits)
  const added = (name: string): number | undefined => {
    const [through, direct] = [of(name, 'latency'), of('direct', 'latency')]
    return through === undefined || direct === undefined ? undefined : through - direct
  }
  const cpu = (name: string): string => of(name, 'cpu')?.toFixed(0) ?? '–'
  console.log(
    `| ${[
      title,
      of('direct', 'tps')?.toFixed(0),
      ratio(of('Bawn', 'tps'), of('direct', 'tps')),
      ...['PgBouncer', 'haproxy', 'pipe', 'Bawn'].map(cpu),
      ratio(of('Bawn', 'cpu'), of('PgBouncer', 'cpu')),
      ratio(of('Bawn', 'cpu'), of('pipe', 'cpu')),
      ratio(added('Bawn'), added('PgBouncer')),
    ].join(' | ')} |`,
  )
}

async function benchOnce(target: Target, args: readonly string[]): Promise<Measured> {
  const before = target.pid === undefined ? 0 : cpuMicroseconds(target.pid)
  const { stdout } = await run('pgbench', ['-n', '-j', '2', ...args], { env: target.environment })
  const used = target.pid === undefined ? 0 : cpuMicroseconds(target.pid) - before
  const number = (pattern: RegExp): number => Number(pattern.exec(stdout)?.[1])
  return {
    tps: number(/tps = ([\d.]+)/),
    cpu: used / number(/processed: (\d+)/),
    latency: number(/latency average = ([\d.]+)/),
  }
}
