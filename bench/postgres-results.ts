import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import pg from 'pg'
import { buildQuery } from '../packages/bawn/src/postgres/wire/parse.ts'
import { createBlockKey, openAcraBlock, sealAcraBlock } from '../packages/envelope/src/index.ts'
import { beThePeer, option, rotated, startPeers, type Target } from './postgres-peers.ts'
import { cpuMicroseconds, median } from './processor-time.ts'

// Large results: a proxy's own CPU time to hand on a million rows of four columns, a COPY, and one large cell; by Bawn also with a column
// that is masked or encrypted. `--rows`, `--sealed`, `--copy-mb` and `--rounds` change the sizes.

const setup = `
create table people (id int primary key, email bytea, photo bytea);
create table plain (id int, name text, city text, mail text);
create table hidden (id int, name text, city text, mail bytea);
create table sealed (id int, name text, city text, mail bytea);
create table wide (id int, cell text)`
const fields = [
  { name: 'hidden_mail', columns: ['public.hidden.mail'], protect: { encrypt: 'acrablock' }, reveal: {} },
  {
    name: 'sealed_mail',
    columns: ['public.sealed.mail'],
    protect: { encrypt: 'acrablock' },
    reveal: { billing: 'plain', support: { mask: 'keep_first', characters: 1 } },
  },
]
const row = `i, 'name of number ' || i, 'Baile Átha Cliath ' || i % 100, 'somebody' || i || '@example.org'`

interface Work {
  readonly title: string
  readonly sql: string
  readonly targets: readonly Target[]
  /** What the figure is divided by. */
  readonly per: number
}

if (!(await beThePeer(setup, fields))) await measure()

async function measure(): Promise<void> {
  const rows = option('--rows', 1_000_000)
  const sealed = option('--sealed', 100_000)
  const copyMb = option('--copy-mb', 1_000)
  const rounds = option('--rounds', 3)
  const peers = await startPeers(import.meta.filename)
  try {
    const owner = await connect({ environment: peers.direct })
    await owner.query(`insert into plain select ${row} from generate_series(1, ${rows}) i`)
    await owner.query(
      `insert into hidden select i, n, c, convert_to(m, 'UTF8') from (select ${row} from generate_series(1, ${rows}) i) r (i, n, c, m)`,
    )
    await owner.query(`alter table wide alter cell set storage external`)
    await owner.query(`insert into wide select 1, repeat('x', 40000000)`)
    const [, , , , bawn] = peers.targets
    if (bawn === undefined) throw new Error('no door')
    const writer = await connect(bawn)
    for (let from = 1; from <= sealed; from += 500) {
      const values = Array.from({ length: 500 }, (_, at) => {
        const i = from + at
        return `(${i}, 'name of number ${i}', 'Baile Átha Cliath', 'somebody${i}@example.org')`
      })
      await writer.query(`insert into sealed values ${values.join(', ')}`)
    }
    await writer.end()
    await owner.query('vacuum analyze')
    await owner.end()

    const works: readonly Work[] = [
      {
        title: `${million(rows)} rows, nothing protected`,
        sql: 'select * from plain',
        targets: peers.targets,
        per: rows,
      },
      { title: `${million(rows)} rows, one column withheld`, sql: 'select * from hidden', targets: [bawn], per: rows },
      {
        title: `${million(sealed)} rows, one column opened`,
        sql: 'select * from sealed',
        targets: [bawn],
        per: sealed,
      },
      {
        title: `${million(sealed)} rows, one column opened and masked`,
        sql: 'select * from sealed',
        targets: [{ ...bawn, environment: { ...bawn.environment, PGUSER: 'sue' } }],
        per: sealed,
      },
      {
        title: `COPY of ${copyMb} MB`,
        sql: `copy (select repeat('x', 999) from generate_series(1, ${copyMb * 1000}))  to stdout`,
        targets: peers.targets,
        per: copyMb * 1000,
      },
      { title: 'one cell of 40 MB', sql: 'select cell from wide', targets: peers.targets, per: 1 },
    ]
    console.log(
      `µs of the proxy's CPU time per row (of 1 kB for COPY), median of ${rounds} interleaved rounds; no TLS.\n`,
    )
    const names = peers.targets.filter(({ pid }) => pid !== undefined).map(({ name }) => name)
    console.log(`| work | ${names.join(' | ')} | Bawn / PgBouncer | Bawn / pipe |`)
    console.log(`|---${'|---'.repeat(names.length + 2)}|`)
    let opened = 0
    for (const work of works) {
      const found = await drainAll(work, rounds)
      const bawns = found.get('Bawn') ?? 0
      if (work.title.endsWith('opened')) opened = bawns
      const against = (name: string): string => (found.has(name) ? (bawns / (found.get(name) ?? 0)).toFixed(2) : '–')
      const cells = names.map(name => found.get(name)?.toPrecision(3) ?? '–')
      console.log(`| ${work.title} | ${cells.join(' | ')} | ${against('PgBouncer')} | ${against('pipe')} |`)
    }
    const bare = openBare(20_000)
    console.log(
      `\nOpening one value of 22 bytes takes ${bare.toFixed(1)} µs where nothing is around it: ${(bare / opened).toFixed(2)} of what the row with it takes.`,
    )
    const alone = await besides(bawn, undefined)
    const beside = await besides(bawn, 'select * from sealed')
    console.log(
      `\nA neighbour's \`select 1\`, through the same process: median ${alone.median.toFixed(2)} ms and 99th percentile ${alone.p99.toFixed(2)} ms by itself; ${beside.median.toFixed(2)} and ${beside.p99.toFixed(2)} ms, at most ${beside.most.toFixed(1)} ms, while ${million(sealed)} rows are opened for somebody else.`,
    )
  } finally {
    await peers.stop()
  }
}

/** ms that a small statement takes, while somebody else reads. @param sql what is read; undefined: nothing, for three seconds */
async function besides(target: Target, sql: string | undefined) {
  const [small, large] = [await connect(target), await connect(target)]
  try {
    let isOver = false
    const work = sql === undefined ? new Promise(resolve => setTimeout(resolve, 3_000)) : drain(large, sql)
    const over = work.then(() => {
      isOver = true
    })
    const times: number[] = []
    while (!isOver) {
      const began = performance.now()
      await small.query({ name: 'one', text: 'select 1' })
      times.push(performance.now() - began)
    }
    await over
    const sorted = times.toSorted((a, b) => a - b)
    const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
    return { median: at(0.5), p99: at(0.99), most: at(1) }
  } finally {
    await Promise.all([small.end(), large.end()])
  }
}

async function drainAll({ title, sql, targets, per }: Work, rounds: number): Promise<Map<string, number>> {
  const found = new Map<string, number[]>()
  for (let round = -1; round < rounds; round += 1) {
    for (const target of rotated(targets, Math.max(round, 0))) {
      process.stderr.write(`${title}: ${target.name}\n`)
      if (target.pid === undefined) continue
      const client = await connect(target)
      const before = cpuMicroseconds(target.pid)
      await drain(client, sql)
      const used = (cpuMicroseconds(target.pid) - before) / per
      await client.end()
      // The first one warms.
      if (round >= 0) found.set(target.name, [...(found.get(target.name) ?? []), used])
    }
  }
  return new Map([...found].map(([name, figures]) => [name, median(figures)]))
}

async function connect({ environment }: Pick<Target, 'environment'>): Promise<pg.Client> {
  const client = new pg.Client({
    host: '127.0.0.1',
    port: Number(environment['PGPORT']),
    user: environment['PGUSER'] ?? '',
    password: environment['PGPASSWORD'] ?? '',
    database: environment['PGDATABASE'] ?? '',
  })
  await client.connect()
  return client
}

/** Asks, and throws away what comes until ReadyForQuery: a client that costs next to nothing. */
function drain(client: pg.Client, sql: string): Promise<void> {
  const { stream } = client.connection as unknown as { readonly stream: Socket }
  const readers = stream.rawListeners('data') as ((chunk: Buffer) => void)[]
  stream.removeAllListeners('data')
  return new Promise((resolve, reject) => {
    let tail: Buffer = Buffer.alloc(0)
    const look = (chunk: Buffer): void => {
      tail = Buffer.concat([tail, chunk.subarray(-6)]).subarray(-6)
      if (tail.toString('latin1') !== 'Z\0\0\0\x05I') return
      stream.off('data', look)
      for (const reader of readers) stream.on('data', reader)
      resolve()
    }
    stream.on('data', look)
    stream.once('error', reject)
    stream.write(buildQuery(Buffer.from(sql)))
  })
}

/** µs of CPU time to open one value. */
function openBare(count: number): number {
  const key = createBlockKey(randomBytes(32))
  const sealed = Array.from({ length: count }, (_, at) => sealAcraBlock(key, Buffer.from(`somebody${at}@example.org`)))
  for (const value of sealed) openAcraBlock([key], value)
  const before = process.cpuUsage()
  for (const value of sealed) openAcraBlock([key], value)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / count
}

function million(count: number): string {
  return count.toLocaleString('en')
}
