import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { deriveScramVerifier } from '../packages/bawn/src/accounts/scram-verifier.ts'
import type { AccountStore, ScramVerifier } from '../packages/bawn/src/accounts/store.ts'
import { createScramMechanism } from '../packages/bawn/src/authn/scram-mechanism.ts'
import type { Certificate } from '../packages/demo/src/certificates.ts'
import { freePort, listen } from '../packages/demo/src/listen.ts'
import { password, startKit } from '../test/postgres-kit.ts'

// What stands between a client and PostgreSQL in the benchmarks of the PostgreSQL door, each in a process of its own, so that its CPU
// time is its own: the door, PgBouncer in session mode, haproxy on TCP, and the least that Node can do, one socket piped into another.

export const run = promisify(execFile)

export type TargetName = 'direct' | 'PgBouncer' | 'haproxy' | 'pipe' | 'Bawn'

export interface Target {
  readonly name: TargetName
  /** For libpq's programs. */
  readonly environment: NodeJS.ProcessEnv
  readonly port: number
  /** Whose CPU time is counted. */
  readonly pid: number | undefined
}

export interface Peers {
  readonly targets: readonly Target[]
  /** The same over TLS towards the client, which verifies the server; none for the bare relays, which hand TLS on. */
  readonly secure: readonly Target[]
  /** Straight at the server, as superuser. */
  readonly direct: NodeJS.ProcessEnv
  stop(): Promise<void>
}

/** Of the passwords of clients, who alone pay for more. With the usual 4,096 two hundred clients would log in for longer than they are measured. */
const scramRounds = 64

/** What the process of the door tells the one that measures. */
interface Ready {
  readonly door: number
  readonly secure: number
  readonly port: number
  readonly password: string
  readonly authority: string
  /** What PgBouncer checks the password of its clients by, of as many rounds as the door does. */
  readonly verifier: string
  /** For PgBouncer; of the same kind as the door's. */
  readonly certificate: Certificate
}

/** Runs in the process that is started with `--door` or `--pipe`; does not return in the one that measures. */
export async function beThePeer(setup: string, fields: readonly unknown[] = []): Promise<boolean> {
  if (process.argv.includes('--door')) {
    await serve(setup, fields)
    return true
  }
  if (process.argv.includes('--pipe')) {
    await relay(Number(process.argv.at(-1)))
    return true
  }
  return false
}

async function serve(setup: string, fields: readonly unknown[]): Promise<void> {
  const kit = await startKit(setup, fields, undefined, { max_connections: '600' })
  const shop = kit.state.databases.get('shop')
  if (shop === undefined) throw new Error('no database')
  // In clear towards the server, as the peers.
  const databases = new Map([['shop', { ...shop, upstream: { ...shop.upstream, tls: undefined } }]])
  // PgBouncer logs in with what its clients have proved.
  const scram = await deriveScramVerifier(password, randomBytes(16), scramRounds)
  const verifier = verifierText(scram)
  await kit.direct(`create role billy superuser login password '${verifier}'`)
  const limits = { max_connections: 10_000, max_frame_bytes: 64 * 1024 * 1024 }
  const roles = new Map([
    ['billy', ['billing']],
    ['sue', ['support']],
  ])
  const store: AccountStore = {
    name: 'staff',
    find: async name => {
      const has = roles.get(name)
      return has && { name, roles: has, scram, locked: false }
    },
    list: async () => [],
    add: async () => {},
    setVerifier: async () => {},
    close: async () => {},
  }
  const [secret, decoyIterations] = [randomBytes(32), scramRounds]
  const state = {
    databases,
    scram: createScramMechanism({ stores: [store], decoySecret: async () => secret, decoyIterations }),
  }
  const door = await kit.listen({ ...limits, tls: undefined }, state)
  const secure = await kit.listen(limits, state)
  const ready: Ready = {
    door: door.address.port,
    secure: secure.address.port,
    port: kit.postgres.port,
    password: kit.postgres.password,
    authority: kit.authority.certificate,
    verifier,
    certificate: kit.authority.issue('PgBouncer', 'server', ['localhost', '127.0.0.1']),
  }
  console.log(JSON.stringify(ready))
  process.stdin.resume().once('end', async () => {
    await kit.stop()
    process.exit()
  })
}

/** As PostgreSQL and PgBouncer keep it. */
function verifierText({ iterations, salt, storedKey, serverKey }: ScramVerifier): string {
  const [salted, stored, server] = [salt, storedKey, serverKey].map(bytes => Buffer.from(bytes).toString('base64'))
  return `SCRAM-SHA-256$${iterations}:${salted}$${stored}:${server}`
}

async function relay(port: number): Promise<void> {
  const server = createServer(client => {
    const upstream = connect({ host: '127.0.0.1', port, noDelay: true })
    client.setNoDelay(true)
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      from.pipe(to)
      from.on('error', () => to.destroy())
      from.on('close', () => to.destroy())
    }
  })
  console.log(await listen(server, 0))
  process.stdin.resume().once('end', () => process.exit())
}

/** @param file the benchmark, which calls `beThePeer` */
export async function startPeers(file: string): Promise<Peers> {
  for (const [program, debian] of [
    ['/usr/bin/pgbench', 'postgresql-contrib'],
    ['/usr/sbin/pgbouncer', 'pgbouncer'],
    ['/usr/sbin/haproxy', 'haproxy'],
  ] as const) {
    if (!existsSync(program)) throw new Error(`${program} is not installed; on Debian: apt-get install ${debian}`)
  }
  const folder = mkdtempSync(join(tmpdir(), 'bawn-bench-'))
  const children: ChildProcess[] = []
  const stop = async (): Promise<void> => {
    for (const child of children.reverse()) {
      const ended = once(child, 'close')
      if (child.stdin === null) child.kill()
      else child.stdin.end()
      await ended
    }
    rmSync(folder, { recursive: true, force: true })
  }
  const own = async (role: string, ...more: string[]): Promise<{ readonly pid: number; readonly line: string }> => {
    const profile = role === '--door' ? process.argv.indexOf('--profile') : -1
    const flags = profile === -1 ? [] : ['--cpu-prof', `--cpu-prof-dir=${process.argv[profile + 1]}`]
    const child = spawn(process.execPath, [...flags, file, role, ...more], { stdio: ['pipe', 'pipe', 'inherit'] })
    children.push(child)
    const [line]: unknown[] = await Promise.race([
      once(createInterface({ input: child.stdout }), 'line'),
      once(child, 'close'),
    ])
    if (typeof line !== 'string') throw new Error(`${role} ended`)
    return { pid: child.pid ?? 0, line }
  }
  try {
    const door = await own('--door')
    const ready: Ready = JSON.parse(door.line)
    writeFileSync(join(folder, 'ca.pem'), ready.authority)
    const pipe = await own('--pipe', `${ready.port}`)
    const bouncer = await startBouncer(folder, ready)
    children.push(bouncer.child)
    const haproxy = await startHaproxy(folder, ready.port)
    children.push(haproxy.child)
    const plain = { PATH: process.env['PATH'], PGHOST: '127.0.0.1', PGSSLMODE: 'disable' }
    const root = { PGUSER: 'postgres', PGPASSWORD: ready.password, PGDATABASE: 'postgres' }
    const at = (name: TargetName, port: number, pid: number | undefined, more: NodeJS.ProcessEnv): Target => ({
      name,
      port,
      pid,
      environment: { ...plain, ...more, PGPORT: `${port}` },
    })
    const ours = { PGUSER: 'billy', PGPASSWORD: password, PGDATABASE: 'shop' }
    const tls = {
      PGHOST: 'localhost',
      PGHOSTADDR: '127.0.0.1',
      PGSSLMODE: 'verify-full',
      PGSSLROOTCERT: join(folder, 'ca.pem'),
    }
    const direct = at('direct', ready.port, undefined, { ...ours, PGDATABASE: root.PGDATABASE })
    return {
      targets: [
        direct,
        at('PgBouncer', bouncer.port, bouncer.child.pid, ours),
        at('haproxy', haproxy.port, haproxy.child.pid, direct.environment),
        at('pipe', Number(pipe.line), pipe.pid, direct.environment),
        at('Bawn', ready.door, door.pid, ours),
      ],
      secure: [
        direct,
        at('PgBouncer', bouncer.port, bouncer.child.pid, { ...ours, ...tls }),
        at('Bawn', ready.secure, door.pid, { ...ours, ...tls }),
      ],
      direct: { ...direct.environment, ...root },
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

interface Peer {
  readonly port: number
  readonly child: ChildProcess
}

async function startBouncer(folder: string, ready: Ready): Promise<Peer> {
  const port = await freePort()
  const file = join(folder, 'pgbouncer.ini')
  writeFileSync(join(folder, 'users.txt'), `"billy" "${ready.verifier}"\n`, { mode: 0o600 })
  writeFileSync(join(folder, 'bouncer.crt'), ready.certificate.certificate)
  writeFileSync(join(folder, 'bouncer.key'), ready.certificate.key, { mode: 0o600 })
  writeFileSync(
    file,
    `[databases]
shop = host=127.0.0.1 port=${ready.port} dbname=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${folder}/users.txt
pool_mode = session
default_pool_size = 210
max_client_conn = 400
client_tls_sslmode = allow
client_tls_cert_file = ${folder}/bouncer.crt
client_tls_key_file = ${folder}/bouncer.key
`,
  )
  // It refuses to run as root.
  const root = process.getuid?.() === 0
  if (root) await run('chown', ['-R', '65534:65534', folder])
  const child = spawn('/usr/sbin/pgbouncer', ['-q', file], {
    stdio: 'ignore',
    ...(root ? { uid: 65_534, gid: 65_534 } : {}),
  })
  await untilAnswers(child, port)
  return { port, child }
}

async function startHaproxy(folder: string, upstream: number): Promise<Peer> {
  const port = await freePort()
  const file = join(folder, 'haproxy.cfg')
  const times = 'timeout connect 5s\n  timeout client 1h\n  timeout server 1h'
  writeFileSync(
    file,
    `global
  nbthread 1
defaults
  mode tcp
  ${times}
listen postgres
  bind 127.0.0.1:${port}
  server one 127.0.0.1:${upstream}
`,
  )
  const child = spawn('/usr/sbin/haproxy', ['-q', '-db', '-f', file], { stdio: 'ignore' })
  await untilAnswers(child, port)
  return { port, child }
}

async function untilAnswers(child: ChildProcess, port: number): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const socket = connect({ host: '127.0.0.1', port })
      await once(socket, 'connect')
      socket.destroy()
      return
    } catch (error) {
      if (attempt === 50 || child.exitCode !== null) throw error
      await new Promise(resolve => setTimeout(resolve, 100))
    }
  }
}

/** Another order each round: whoever is first meets a cold cache. */
export function rotated<Item>(items: readonly Item[], round: number): Item[] {
  const at = round % items.length
  return [...items.slice(at), ...items.slice(0, at)]
}

/** A number of the command line. */
export function option(name: string, otherwise: number): number {
  const at = process.argv.indexOf(name)
  if (at === -1) return otherwise
  const value = Number(process.argv[at + 1])
  if (!(value > 0)) throw new Error(`${name} wants a number`)
  return value
}

/** What the command line says behind a name, between commas; `undefined`: nothing. */
export function choice(name: string): readonly string[] | undefined {
  const at = process.argv.indexOf(name)
  return at === -1 ? undefined : (process.argv[at + 1] ?? '').split(',')
}
