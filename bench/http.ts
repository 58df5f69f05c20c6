import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../packages/demo/src/listen.ts'
import { median, treeCpuMicroseconds } from './processor-time.ts'

// Requests with a JWT through `bawn start` (token verified, policy, audit line, metrics) beside nginx proxy_pass, which does none of
// that; both in front of the same nginx, on one core each. Slices are interleaved, so that whatever else the machine does hits both,
// and the figure is CPU time of the process tree per request: requests per second are capped by the load generator's core.

const rounds = 4
const sliceSeconds = 2
const connections = 64
const body = JSON.stringify({ id: 17, items: 'x'.repeat(480) })

for (const [program, debianPackage] of [
  ['wrk', 'wrk'],
  ['nginx', 'nginx'],
  ['taskset', 'util-linux'],
] as const) {
  try {
    execFileSync('sh', ['-c', `command -v ${program}`], {
      env: { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin` },
    })
  } catch {
    console.error(
      `bench/http.ts needs ${program}: install the Debian package ${debianPackage} (apt-get install wrk nginx util-linux)`,
    )
    process.exit(1)
  }
}

const say = (text: string): void => void process.stderr.write(`${text}\n`)
const folder = mkdtempSync(join(tmpdir(), 'bawn-bench-'))
const children: ChildProcess[] = []

function start(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  const path = `${process.env['PATH']}:/usr/sbin`
  const child = spawn(command, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, PATH: path, ...env },
  })
  child.stderr?.on('data', text => {
    if (process.env['BENCH_VERBOSE'] !== undefined) process.stderr.write(text)
  })
  children.push(child)
  return child
}

async function untilServes(port: number, authorization: string): Promise<void> {
  const deadline = Date.now() + 20_000
  for (;;) {
    try {
      const answer = await fetch(`http://127.0.0.1:${port}/items/17`, { headers: { authorization } })
      if (answer.status === 200 && (await answer.text()) === body) return
      throw new Error(`status ${answer.status}`)
    } catch (error) {
      if (Date.now() > deadline) throw new Error(`port ${port} does not serve`, { cause: error })
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }
}

/** An nginx in a folder of its own; `location` is what it does with /items/. */
async function startNginx(
  name: string,
  core: number,
  location: string,
  more = '',
): Promise<{ port: number; child: ChildProcess }> {
  const home = join(folder, name)
  mkdirSync(home)
  const port = await freePort()
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map(path => `${path}_temp_path ${home}/${path};`)
    .join(' ')
  writeFileSync(
    join(home, 'nginx.conf'),
    `daemon off; worker_processes 1; pid ${home}/pid; error_log ${home}/error.log warn;
events { worker_connections 1024; }
http { access_log off; keepalive_requests 1000000000; ${paths} ${more}
  server { listen 127.0.0.1:${port}; location /items/ { ${location} } } }\n`,
  )
  const child = start('taskset', [
    '-c',
    String(core),
    'nginx',
    '-p',
    home,
    '-c',
    join(home, 'nginx.conf'),
    '-e',
    `${home}/error.log`,
  ])
  return { port, child }
}

const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

function token(): string {
  const now = Math.floor(Date.now() / 1000)
  const claims = {
    iss: 'https://id.example',
    aud: 'bench',
    sub: 'wrk',
    roles: ['staff'],
    iat: now,
    exp: now + 3600,
    jti: randomBytes(16).toString('hex'),
    email: 'wrk@example.org',
  }
  const signed = `${part({ alg: 'RS256', kid: 'k1', typ: 'JWT' })}.${part(claims)}`
  return `${signed}.${sign('sha256', Buffer.from(signed), privateKey).toString('base64url')}`
}

async function startBawn(
  engine: string,
  core: number,
  upstream: number,
): Promise<{ port: number; child: ChildProcess }> {
  const home = join(folder, engine)
  mkdirSync(join(home, 'keys'), { recursive: true, mode: 0o700 })
  const port = await freePort()
  writeFileSync(
    join(home, 'jwks.json'),
    JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'k1', use: 'sig', alg: 'RS256' }] }),
  )
  const config = join(home, 'bawn.yaml')
  writeFileSync(
    config,
    `listeners: { web: { door: http, address: 127.0.0.1:${port}, engine: ${engine} } }
upstreams: { items: { url: "http://127.0.0.1:${upstream}" } }
issuers: { bench: { issuer: "https://id.example", audience: [bench], jwks: jwks.json } }
host_rules: [{ door: http, use: [jwt] }]
policies: { staff: { roles: [staff] } }
routes: [{ path: "/items/{id}", methods: [GET], upstream: items, allow: [staff], identity_headers: { id: X-User } }]
keys: { store: { kind: directory, path: keys }, master: env:BAWN_MASTER_KEY, client_id: bench }
audit: { file: audit.jsonl }
`,
  )
  const cli = join(import.meta.dirname, '../packages/bawn/bin/bawn.js')
  const env = { BAWN_MASTER_KEY: randomBytes(32).toString('base64') }
  execFileSync(process.execPath, [cli, 'keys', 'generate', '--config', config, '--audit'], {
    env: { ...process.env, ...env },
    stdio: 'ignore',
  })
  const child = start('taskset', ['-c', String(core), process.execPath, cli, 'start', '--config', config], env)
  return { port, child }
}

interface Slice {
  readonly perRequest: number
  readonly perSecond: number
}

async function slice(port: number, pid: number, authorization: string, core: number): Promise<Slice> {
  const before = treeCpuMicroseconds(pid)
  const args = [
    '-c',
    String(core),
    'wrk',
    '-t1',
    `-c${connections}`,
    `-d${sliceSeconds}s`,
    '-H',
    `Authorization: ${authorization}`,
    `http://127.0.0.1:${port}/items/17`,
  ]
  const wrk = spawn('taskset', args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  wrk.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  await once(wrk, 'close')
  const requests = Number(/(\d+) requests in/.exec(output)?.[1])
  if (!(requests > 0) || /Non-2xx/.test(output)) throw new Error(`wrk: ${output}`)
  return {
    perRequest: (treeCpuMicroseconds(pid) - before) / requests,
    perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(output)?.[1]),
  }
}

try {
  const authorization = `Bearer ${token()}`
  const upstream = await startNginx('upstream', 1, `default_type application/json; return 200 '${body}';`)
  const proxy = await startNginx(
    'proxy',
    0,
    'proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header X-Forwarded-For $remote_addr;',
    `upstream back { server 127.0.0.1:${upstream.port}; keepalive 128; keepalive_requests 1000000000; }`,
  )
  const bawn = await startBawn('llhttp', 0, upstream.port)
  const onNode = await startBawn('node-http', 0, upstream.port)
  const sides = [
    { name: 'nginx `proxy_pass`, no authentication', ...proxy, slices: [] as Slice[] },
    { name: 'Bawn: RS256 token, policy, audit line, metrics', ...bawn, slices: [] as Slice[] },
    { name: 'the same with `engine: node-http`', ...onNode, slices: [] as Slice[] },
  ]
  await untilServes(upstream.port, authorization)
  for (const side of sides) {
    await untilServes(side.port, authorization)
    say(`warming ${side.name}`)
    await slice(side.port, side.child.pid ?? 0, authorization, 1)
  }
  for (let round = 0; round < rounds; round++) {
    for (const side of round % 2 === 0 ? sides : [...sides].reverse()) {
      const measured = await slice(side.port, side.child.pid ?? 0, authorization, 1)
      side.slices.push(measured)
      say(`round ${round + 1}: ${side.name}: ${measured.perRequest.toFixed(1)} µs, ${measured.perSecond.toFixed(0)}/s`)
    }
  }
  const reference = sides[0]?.slices ?? []
  console.log(
    `${connections} connections, keep-alive, ${body.length}-byte answers, head with a JWT of ${authorization.length - 7} bytes, one core each; ${rounds} rounds of ${sliceSeconds} s, interleaved.\n`,
  )
  console.log(
    '| | CPU µs per request, median (best) | CPU against nginx, median [least–most] | requests/s, median (most) |',
  )
  console.log('|---|---|---|---|')
  for (const { name, slices } of sides) {
    const cpu = slices.map(each => each.perRequest)
    const ratios = slices.map((each, at) => each.perRequest / (reference[at]?.perRequest ?? Number.NaN))
    const rates = slices.map(each => each.perSecond)
    console.log(
      `| ${name} | ${median(cpu).toFixed(0)} (${Math.min(...cpu).toFixed(0)}) | ${median(ratios).toFixed(2)} [${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)}] | ${median(rates).toFixed(0)} (${Math.max(...rates).toFixed(0)}) |`,
    )
  }
} finally {
  for (const child of children) child.kill('SIGTERM')
  await Promise.all(
    children.map(child => (child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined)),
  )
  rmSync(folder, { recursive: true, force: true })
}
