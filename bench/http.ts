import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import {
  connections,
  freshTokens,
  loadByTls,
  loadByWrk,
  loadLarge,
  openIdle,
  residentMegabytes,
  type Slice,
  steadyP99,
} from './http-load.ts'
import { apiKey, basic, body, issueToken, type Server, Stage, searchPath, verifyMicroseconds } from './http-servers.ts'
import { median, processTree } from './processor-time.ts'

// What requests through `bawn start` cost (token verified, policy, audit line, metrics) beside nginx proxy_pass, which does none of that,
// haproxy with jwt_verify, and KrakenD where BAWN_KRAKEND names its binary; all in front of the same nginx, on one core each. Slices are
// interleaved, so that whatever else the machine does hits all of them, and the figure is CPU time of the process tree per request:
// requests per second are capped by the load generator's core.

const rounds = Number(process.env['BENCH_ROUNDS'] ?? 4)
const seconds = Number(process.env['BENCH_SECONDS'] ?? 2)
const warmSeconds = 5
/** More than the cache of verified tokens has room for. */
const freshTokenCount = 12_000
const idleConnections = 10_000
const krakend = process.env['BAWN_KRAKEND']

for (const [program, debianPackage] of [
  ['wrk', 'wrk'],
  ['h2load', 'nghttp2-client'],
  ['nginx', 'nginx'],
  ['haproxy', 'haproxy'],
  ['taskset', 'util-linux'],
] as const) {
  try {
    execFileSync('sh', ['-c', `command -v ${program}`], { env: { ...process.env, PATH: searchPath } })
  } catch {
    console.error(
      `bench/http.ts needs ${program}: install the Debian package ${debianPackage} (apt-get install wrk nghttp2-client nginx haproxy util-linux)`,
    )
    process.exit(1)
  }
}

const say = (text: string): void => void process.stderr.write(`${text}\n`)
const range = (values: readonly number[], digits: number): string =>
  `${median(values).toFixed(digits)} [${Math.min(...values).toFixed(digits)}–${Math.max(...values).toFixed(digits)}]`

/** One kind of work at one server. */
interface Row {
  readonly name: string
  readonly work: () => Promise<Slice>
  readonly slices: Slice[]
}

const row = (name: string, work: () => Promise<Slice>): Row => ({ name, work, slices: [] })
const costs = ({ slices }: Row): readonly number[] => slices.map(({ perRequest }) => perRequest)
const rates = ({ slices }: Row): readonly number[] => slices.map(({ perSecond }) => perSecond)
const ratios = (values: readonly number[], references: readonly number[]): readonly number[] =>
  values.map((value, at) => value / (references[at] ?? Number.NaN))

async function measure(rows: readonly Row[], round: number): Promise<void> {
  for (const each of round % 2 === 0 ? rows : rows.toReversed()) {
    const slice = await each.work()
    each.slices.push(slice)
    say(`round ${round + 1}: ${each.name}: ${slice.perRequest.toFixed(1)} µs, ${slice.perSecond.toFixed(0)}/s`)
  }
}

async function untilServes(
  name: string,
  { port }: Server,
  headers: Record<string, string>,
  path = '/items/17',
): Promise<void> {
  const deadline = Date.now() + 60_000
  for (;;) {
    try {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`, { headers })
      if (answer.status === 200 && (await answer.text()) === body) return
      throw new Error(`status ${answer.status}`)
    } catch (error) {
      if (Date.now() > deadline) throw new Error(`${name} does not serve on port ${port}`, { cause: error })
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }
}

function printCosts(
  rows: readonly Row[],
  referenceOf: (row: Row) => Row | undefined,
  targets: ReadonlyMap<Row, string>,
): void {
  console.log(
    '| | CPU µs per request, median (best) | CPU against nginx, median [least–most] | best against best | requests/s, median (most) | target |\n|---|---|---|---|---|---|',
  )
  for (const each of rows) {
    const cpu = costs(each)
    const reference = referenceOf(each)
    const against = reference === undefined ? [] : ratios(cpu, costs(reference))
    const best = reference === undefined ? Number.NaN : Math.min(...cpu) / Math.min(...costs(reference))
    console.log(
      `| ${each.name} | ${median(cpu).toFixed(0)} (${Math.min(...cpu).toFixed(0)}) | ${range(against, 2)} | ${best.toFixed(2)} | ${median(rates(each)).toFixed(0)} (${Math.max(...rates(each)).toFixed(0)}) | ${targets.get(each) ?? ''} |`,
    )
  }
  console.log('')
}

/** Most memory that a server has while something is done. */
async function whilePeaking<Result>({ pid }: Server, work: () => Promise<Result>): Promise<[Result, number]> {
  let peak = 0
  const look = (): void => {
    peak = Math.max(peak, residentMegabytes(processTree(pid)))
  }
  const timer = setInterval(look, 200)
  try {
    const result = await work()
    look()
    return [result, peak]
  } finally {
    clearInterval(timer)
  }
}

/** So many files this process, and each of its children, may have open. */
function maxOpenFiles(): number {
  return Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? 1024)
}

const stage = new Stage()
try {
  say(`signing ${freshTokenCount} tokens; load average ${loadavg()[0]?.toFixed(1)}`)
  const tokens = await Promise.all(Array.from({ length: freshTokenCount }, (_, n) => issueToken(n)))
  const token = await issueToken(freshTokenCount)
  const bearer = `Authorization: Bearer ${token}`
  const upstream = await stage.startUpstream()
  const nginx = await stage.startNginx(upstream)
  const haproxy = await stage.startHaproxy(upstream, false)
  const haproxyJwt = await stage.startHaproxy(upstream, true)
  const krakendServer = krakend === undefined ? undefined : await stage.startKrakend(krakend, upstream)
  const bawn = await stage.startBawn('bawn', upstream)
  const onNode = await stage.startBawn('bawn-node-http', upstream, { engine: 'node-http' })
  const one = await stage.startBawn('bawn-one', upstream, { workers: 1, core: undefined })
  const two = await stage.startBawn('bawn-two', upstream, { workers: 2, core: undefined })
  const idle = await stage.startBawn('bawn-idle', upstream)
  const bareHttp2 = await stage.startBareHttp2(upstream)
  for (const [name, server] of Object.entries({
    upstream,
    nginx,
    haproxy,
    haproxyJwt,
    krakend: krakendServer,
    bawn,
    onNode,
    one,
    two,
    idle,
  })) {
    if (server !== undefined) await untilServes(name, server, { authorization: `Bearer ${token}` })
  }

  const items = { path: '/items/17', headers: [bearer] }
  const wrk =
    (server: Server, load: { readonly path: string; readonly headers?: readonly string[] } = items) =>
    () =>
      loadByWrk(server, { ...load, seconds })
  const fresh = freshTokens(stage.folder, tokens)
  const credentials = Buffer.from(`${basic.user}:${basic.password}`).toString('base64')

  const bare = row('nginx `proxy_pass`, no authentication', wrk(nginx))
  const warm = row('Bawn: RS256 token, policy, audit line, metrics', wrk(bawn))
  const cold = row('Bawn: the same, each token new', async () => {
    const load = fresh(seconds)
    const slice = await loadByWrk(bawn, load)
    load.used(slice.requests)
    return slice
  })
  const others = [
    row('Bawn: Basic, password checked before', async () => {
      // A password is hashed once a minute, and slices are further apart: in each, the hash would count for two seconds' requests.
      await untilServes('bawn', bawn, { authorization: `Basic ${credentials}` }, '/basic/17')
      return await wrk(bawn, { path: '/basic/17', headers: [`Authorization: Basic ${credentials}`] })()
    }),
    row('Bawn: API key', wrk(bawn, { path: '/key/17', headers: [`X-API-Key: ${apiKey}`] })),
    row('Bawn: no authentication', wrk(bawn, { path: '/anyone/17' })),
  ]
  const competitor = krakendServer && row('KrakenD: RS256 token, role, access log, metrics', wrk(krakendServer))
  const plain = [
    bare,
    row('haproxy, no authentication', wrk(haproxy)),
    row('haproxy `jwt_verify`, access log', wrk(haproxyJwt)),
    ...(competitor === undefined ? [] : [competitor]),
    warm,
    row('Bawn: the same with `engine: node-http`', wrk(onNode)),
    cold,
    ...others,
  ]
  const tls = (server: Server, http2: boolean): (() => Promise<Slice>) => {
    let perSecond = 1_000
    return async () => {
      const slice = await loadByTls(server, { ...items, requests: Math.ceil(perSecond * seconds), http2 })
      perSecond = slice.perSecond
      return slice
    }
  }
  const secureBare = row('nginx, TLS, HTTP/1.1', tls(nginx, false))
  const http2Bare = row('nginx, TLS, HTTP/2', tls(nginx, true))
  const http2OfNode = row('node:http2 in front of the same, nothing else', tls(bareHttp2, true))
  const secure = [
    row('Bawn: the same as above, TLS, HTTP/1.1', tls(bawn, false)),
    row('Bawn: TLS, HTTP/2', tls(bawn, true)),
  ]
  const large = [
    row('nginx', () => loadLarge(nginx, seconds)),
    row('haproxy', () => loadLarge(haproxy, seconds)),
    row('Bawn', () => loadLarge(bawn, seconds)),
  ]
  const workers = [
    row('one', () => loadByWrk(one, { ...items, seconds, isFree: true })),
    row('two', () => loadByWrk(two, { ...items, seconds, isFree: true })),
  ]
  const groups = [plain, [secureBare, http2Bare, http2OfNode, ...secure], large, workers]

  say('warming')
  for (const server of [bawn, onNode, one, two]) await loadByWrk(server, { ...items, seconds: warmSeconds })
  for (const each of groups.flat()) await each.work()
  const before = residentMegabytes(processTree(bawn.pid))
  let peak = 0
  let haproxyPeak = 0
  const verifying: number[] = []
  const steady: { readonly bawn: number; readonly nginx: number; readonly same: number }[] = []
  for (let round = 0; round < rounds; round++) {
    await measure(plain, round)
    verifying.push(verifyMicroseconds(tokens[round] ?? token))
    await measure([secureBare, http2Bare, http2OfNode, ...secure], round)
    const [[, most], haproxyMost] = await whilePeaking(haproxy, () => whilePeaking(bawn, () => measure(large, round)))
    peak = Math.max(peak, most)
    haproxyPeak = Math.max(haproxyPeak, haproxyMost)
    await measure(workers, round)
    const log = join(stage.folder, 'steady.log')
    const load = { ...items, seconds: seconds + 1 }
    const at = (each: Row): number => 0.7 * median(rates(each))
    const p99 = {
      bawn: await steadyP99(bawn, load, at(warm), log),
      nginx: await steadyP99(nginx, load, at(bare), log),
      same: await steadyP99(nginx, load, at(warm), log),
    }
    steady.push(p99)
    say(`round ${round + 1}: p99 ${JSON.stringify(p99)}`)
  }

  const count = Math.min(idleConnections, maxOpenFiles() - 500)
  const idleMegabytes: string[] = []
  for (const [name, server] of Object.entries({ Bawn: idle, nginx })) {
    const alone = residentMegabytes(processTree(server.pid))
    const close = await openIdle(server, count, '/items/17', [bearer])
    await new Promise(resolve => setTimeout(resolve, 2_000))
    const all = residentMegabytes(processTree(server.pid))
    close()
    idleMegabytes.push(
      `| ${name} | ${alone.toFixed(0)} | ${all.toFixed(0)} | ${name === 'Bawn' ? 'under 150 in all' : ''} |`,
    )
  }

  console.log(
    `${connections} connections, keep-alive, ${body.length}-byte answers, head with a JWT of ${token.length} bytes, one core each; ${rounds} rounds of ${seconds} s, interleaved, after ${warmSeconds} s of warming and a slice of each.${competitor === undefined ? ' BAWN_KRAKEND names no KrakenD.' : ''}\n`,
  )
  const targets = new Map<Row, string>([
    [warm, 'at most 2.2'],
    [cold, 'see below'],
    ...others.map(each => [each, 'at most 2.2'] as const),
    ...secure.map(each => [each, 'at most 2.5'] as const),
  ])
  printCosts(plain, () => bare, targets)
  const extra = costs(cold).map((cost, at) => cost - (costs(warm)[at] ?? Number.NaN))
  console.log(
    `A new token costs ${range(extra, 0)} µs more than a known one; \`crypto.verify\` alone ${range(verifying, 0)} µs: ${range(ratios(extra, verifying), 2)} of it, target at most 1.\n`,
  )
  if (competitor !== undefined) {
    console.log(
      `Requests per second against KrakenD's: ${range(ratios(rates(warm), rates(competitor)), 2)}, target at least 1.5; CPU per request ${range(ratios(costs(warm), costs(competitor)), 2)}.\n`,
    )
  }
  console.log('Over TLS 1.3, against nginx with the same protocol; HTTP/2 over 16 connections with 4 streams each:\n')
  printCosts(
    [secureBare, http2Bare, http2OfNode, ...secure],
    each => (each === secureBare || each === secure[0] ? secureBare : http2Bare),
    targets,
  )
  const [, largeHaproxy] = large
  console.log(
    '10 MB answers over 8 connections:\n\n| | MB/s, median (most) | bytes/s against haproxy | MB per CPU second, median (most) | of haproxy’s | target |\n|---|---|---|---|---|---|',
  )
  for (const each of large) {
    const megabytes = rates(each).map(bytes => bytes / 1e6)
    const perCpu = costs(each).map(cost => 10e6 / cost)
    const referenceRates = largeHaproxy === undefined ? [] : rates(largeHaproxy)
    const referenceCosts = largeHaproxy === undefined ? [] : costs(largeHaproxy)
    console.log(
      `| ${each.name} | ${median(megabytes).toFixed(0)} (${Math.max(...megabytes).toFixed(0)}) | ${range(ratios(rates(each), referenceRates), 2)} | ${median(perCpu).toFixed(0)} (${Math.max(...perCpu).toFixed(0)}) | ${range(ratios(referenceCosts, costs(each)), 2)} | ${each.name === 'Bawn' ? 'at least 0.7; memory flat' : ''} |`,
    )
  }
  console.log(
    `\nBawn had ${before.toFixed(0)} MB before the first of them, and ${peak.toFixed(0)} MB at the most; haproxy ${haproxyPeak.toFixed(0)} MB.\n`,
  )
  console.log(
    'ms until the answer for 99 of 100 requests, at a steady rate:\n\n| | p99, median [least–most] | against nginx’s | target |\n|---|---|---|---|',
  )
  const ownP99 = steady.map(each => each.nginx)
  for (const [name, values, target] of [
    ['nginx, at 70 % of its requests/s', ownP99, ''],
    ['nginx, at 70 % of Bawn’s', steady.map(each => each.same), ''],
    ['Bawn, at 70 % of its requests/s', steady.map(each => each.bawn), 'at most 2'],
  ] as const) {
    console.log(`| ${name} | ${range(values, 2)} | ${range(ratios(values, ownP99), 2)} | ${target} |`)
  }
  console.log(
    `\nMB of resident memory with ${count} idle keep-alive connections, one request asked on each:\n\n| | before | with them | target |\n|---|---|---|---|\n${idleMegabytes.join('\n')}\n`,
  )
  const [single, double] = workers
  if (single !== undefined && double !== undefined) {
    console.log(
      `Two workers against one, where clients, upstream and workers share the ${navigator.hardwareConcurrency} cores: requests per second ${range(ratios(rates(double), rates(single)), 2)}, target at least 1.8 where there are cores for it; CPU per request ${range(ratios(costs(double), costs(single)), 2)}, best against best ${(Math.min(...costs(double)) / Math.min(...costs(single))).toFixed(2)}, target at most 1.05.`,
    )
  }
} finally {
  await stage.close()
}
