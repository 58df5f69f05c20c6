import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { generateKeyPairSync, type KeyObject, randomBytes, sign, verify } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createAuthority } from '@bawn/demo/certificates'
import { apiKeyHash, generateApiKey } from '../packages/bawn/src/authn/api-key.ts'
import { freePort } from '../packages/demo/src/listen.ts'

// What bench/http.ts puts side by side: nginx, haproxy, KrakenD and `bawn start`, each configured for the same work, in front of one nginx.

export const body = JSON.stringify({ id: 17, items: 'x'.repeat(480) })
export const largeBytes = 10_000_000
export const gatewayCore = 0
export const loadCore = 1
/** Debian has nginx and haproxy where only root looks. */
export const searchPath = `${process.env['PATH']}:/usr/sbin`

export interface Server {
  readonly pid: number
  readonly port: number
  /** The same over TLS, where it was asked for. */
  readonly tlsPort: number
}

export const basic = { user: 'bench', password: randomBytes(12).toString('hex') }
export const apiKey = generateApiKey()
const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/** @param n of the token: no two are equal */
export async function issueToken(n: number): Promise<string> {
  const now = Math.floor(Date.now() / 1000)
  const claims = {
    iss: 'https://id.example',
    aud: 'bench',
    sub: 'wrk',
    roles: ['staff'],
    iat: now,
    exp: now + 7_200,
    jti: `${randomBytes(12).toString('hex')}-${n}`,
    email: 'wrk@example.org',
    name: 'Some Body of the Bench',
    groups: ['engineering', 'on-call'],
  }
  const signed = `${part({ alg: 'RS256', kid: 'k1', typ: 'JWT' })}.${part(claims)}`
  const signature = await new Promise<Buffer>((resolve, reject) =>
    // In the thread pool: thousands are made.
    sign('sha256', Buffer.from(signed), privateKey, (error, made) => (error ? reject(error) : resolve(made))),
  )
  return `${signed}.${signature.toString('base64url')}`
}

/** µs of processor time for what a token that was not seen before costs at the least: its signature. */
export function verifyMicroseconds(token: string, times = 400): number {
  const end = token.lastIndexOf('.')
  const data = Buffer.from(token.slice(0, end))
  const signature = Buffer.from(token.slice(end + 1), 'base64url')
  const begun = process.cpuUsage()
  for (let at = 0; at < times; at++) verify('sha256', data, publicKey, signature)
  const { user, system } = process.cpuUsage(begun)
  return (user + system) / times
}

/** A folder with everything that was started, until `close`. */
export class Stage {
  readonly folder = mkdtempSync(join(tmpdir(), 'bawn-bench-'))
  readonly #children: ChildProcess[] = []
  readonly #masterKey = { BAWN_MASTER_KEY: randomBytes(32).toString('base64') }
  #hasKeys = false
  readonly #server = createAuthority('bench').issue('localhost', 'server', ['localhost', '127.0.0.1'])

  constructor() {
    writeFileSync(join(this.folder, 'server.crt'), this.#server.certificate)
    writeFileSync(join(this.folder, 'server.key'), this.#server.key, { mode: 0o600 })
    writeFileSync(join(this.folder, 'server.pem'), `${this.#server.certificate}\n${this.#server.key}`, { mode: 0o600 })
    writeFileSync(join(this.folder, 'large'), randomBytes(largeBytes))
    const key = { ...publicKey.export({ format: 'jwk' }), kid: 'k1', use: 'sig', alg: 'RS256' }
    writeFileSync(join(this.folder, 'jwks.json'), JSON.stringify({ keys: [key] }))
    writeFileSync(join(this.folder, 'issuer.pem'), pemOf(publicKey))
    // nginx gives its worker to another user, who reads what it serves.
    for (const name of ['', 'large', 'jwks.json']) execFileSync('chmod', ['a+rX', join(this.folder, name)])
  }

  async close(): Promise<void> {
    for (const child of this.#children) child.kill('SIGTERM')
    await Promise.all(
      this.#children.map(child => (child.exitCode === null && child.signalCode === null ? once(child, 'exit') : null)),
    )
    rmSync(this.folder, { recursive: true, force: true })
  }

  /** @param core `undefined`: wherever the system puts it @param log gets what it prints */
  #start(core: number | undefined, command: readonly string[], env: NodeJS.ProcessEnv = {}, log?: string): number {
    const [program = '', ...args] = core === undefined ? command : ['taskset', '-c', `${core}`, ...command]
    const errors = process.env['BENCH_VERBOSE'] === undefined ? 'ignore' : 'inherit'
    const child = spawn(program, args, {
      stdio: ['ignore', log === undefined ? 'ignore' : openSync(log, 'a'), errors],
      env: { ...process.env, PATH: searchPath, ...env },
    })
    this.#children.push(child)
    return child.pid ?? 0
  }

  #home(name: string): string {
    const home = join(this.folder, name)
    mkdirSync(home, { recursive: true, mode: 0o755 })
    return home
  }

  async #nginx(name: string, core: number | undefined, http: string, listen: string, tlsPort = 0): Promise<Server> {
    const home = this.#home(name)
    const port = await freePort()
    const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    writeFileSync(
      join(home, 'nginx.conf'),
      `daemon off; worker_processes 1; worker_rlimit_nofile 65536; pid ${home}/pid; error_log ${home}/error.log warn;
events { worker_connections 20000; }
http { access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; ${kinds.map(kind => `${kind}_temp_path ${home}/${kind};`).join(' ')}
  ${http} server { listen 127.0.0.1:${port}; ${listen} } }\n`,
    )
    const args = ['-p', home, '-c', join(home, 'nginx.conf'), '-e', `${home}/error.log`]
    return { port, tlsPort, pid: this.#start(core, ['nginx', ...args]) }
  }

  /** What all of them stand in front of. */
  startUpstream(core: number | undefined = loadCore): Promise<Server> {
    const answer = `default_type application/json; return 200 '${body}';`
    const files = `location = /large { alias ${this.folder}/large; } location = /jwks.json { alias ${this.folder}/jwks.json; }`
    return this.#nginx('upstream', core, 'sendfile on;', `location / { ${answer} } ${files}`)
  }

  async startNginx(upstream: Server): Promise<Server> {
    const tlsPort = await freePort()
    const certificate = `ssl_certificate ${this.folder}/server.crt; ssl_certificate_key ${this.folder}/server.key;`
    const pass =
      'proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header X-Forwarded-For $remote_addr;'
    const back = `upstream back { server 127.0.0.1:${upstream.port}; keepalive 128; keepalive_requests 1000000000; }`
    const listen = `listen 127.0.0.1:${tlsPort} ssl http2; http2_max_requests 1000000000; ${certificate} location / { ${pass} }`
    return await this.#nginx('nginx', gatewayCore, back, listen, tlsPort)
  }

  /** HTTP/2 by node:http2 alone. */
  async startBareHttp2(upstream: Server): Promise<Server> {
    const tlsPort = await freePort()
    const program = join(import.meta.dirname, 'bare-http2.ts')
    const args = [`${tlsPort}`, `${upstream.port}`, this.folder]
    return { port: 0, tlsPort, pid: this.#start(gatewayCore, [process.execPath, program, ...args]) }
  }

  /** @param checksTokens verifies the RS256 token of each request, issuer, audience, expiry and role, and writes an access log */
  async startHaproxy(upstream: Server, checksTokens: boolean): Promise<Server> {
    const home = this.#home(checksTokens ? 'haproxy-jwt' : 'haproxy')
    const port = await freePort()
    const token = 'var(txn.bearer)'
    const checks = `
  http-request set-var(txn.bearer) http_auth_bearer
  http-request deny deny_status 401 unless { ${token},jwt_header_query('$.alg') -m str RS256 }
  http-request deny deny_status 401 unless { ${token},jwt_verify('RS256',"${this.folder}/issuer.pem") -m int 1 }
  http-request deny deny_status 401 unless { ${token},jwt_payload_query('$.iss') -m str https://id.example }
  http-request deny deny_status 401 unless { ${token},jwt_payload_query('$.aud') -m str bench }
  http-request set-var(txn.exp) ${token},jwt_payload_query('$.exp','int')
  http-request set-var(txn.now) date()
  http-request deny deny_status 401 unless { var(txn.exp),sub(txn.now) -m int gt 0 }
  http-request deny deny_status 403 unless { ${token},jwt_payload_query('$.roles[0]') -m str staff }
  http-request set-header X-User %[${token},jwt_payload_query('$.sub')]
  http-request del-header Authorization
  http-request set-header X-Request-Id %[uuid()]
  log stdout format raw local0
  option httplog`
    writeFileSync(
      join(home, 'haproxy.cfg'),
      `global
  nbthread 1
  maxconn 2000
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 60s
  option forwardfor
  http-reuse always
frontend front
  bind 127.0.0.1:${port}${checksTokens ? checks : ''}
  default_backend back
backend back
  server one 127.0.0.1:${upstream.port}\n`,
    )
    const pid = this.#start(
      gatewayCore,
      ['haproxy', '-db', '-f', join(home, 'haproxy.cfg')],
      {},
      join(home, 'access.log'),
    )
    return { port, tlsPort: 0, pid }
  }

  /** The same work as Bawn's: token (keys kept in memory), audience, issuer, role, claim to header, access log, metrics. */
  async startKrakend(program: string, upstream: Server): Promise<Server> {
    const home = this.#home('krakend')
    const [port, metricsPort] = [await freePort(), await freePort()]
    const validator = {
      alg: 'RS256',
      jwk_url: `http://127.0.0.1:${upstream.port}/jwks.json`,
      disable_jwk_security: true,
      cache: true,
      issuer: 'https://id.example',
      audience: ['bench'],
      roles_key: 'roles',
      roles: ['staff'],
      propagate_claims: [['sub', 'X-User']],
    }
    const configuration = {
      version: 3,
      address: '127.0.0.1',
      port,
      max_idle_connections_per_host: 128,
      extra_config: { 'telemetry/metrics': { listen_address: `127.0.0.1:${metricsPort}` } },
      endpoints: [
        {
          endpoint: '/items/{id}',
          output_encoding: 'no-op',
          input_headers: ['X-User'],
          extra_config: { 'auth/validator': validator },
          backend: [{ host: [`http://127.0.0.1:${upstream.port}`], url_pattern: '/items/{id}', encoding: 'no-op' }],
        },
      ],
    }
    writeFileSync(join(home, 'krakend.json'), JSON.stringify(configuration, undefined, 2))
    const command = [program, 'run', '-c', join(home, 'krakend.json')]
    const pid = this.#start(gatewayCore, command, { GOMAXPROCS: '1' }, join(home, 'access.log'))
    return { port, tlsPort: 0, pid }
  }

  /** @param core `undefined`: wherever the system puts it */
  async startBawn(
    name: string,
    upstream: Server,
    { engine = 'llhttp', workers = 1, core = gatewayCore as number | undefined } = {},
  ): Promise<Server> {
    const home = this.#home(name)
    const [port, tlsPort] = [await freePort(), await freePort()]
    const config = join(home, 'bawn.yaml')
    const tls = `tls: { certificate: ${this.folder}/server.crt, key: ${this.folder}/server.key }`
    const listener = `door: http, engine: ${engine}, max_connections: 20000, keep_alive_timeout: 10m`
    const route = (path: string, allow: string): string =>
      `  - { path: "${path}", methods: [GET], upstream: items, allow: [${allow}]${allow === 'anyone' ? '' : ', identity_headers: { id: X-User }'} }`
    writeFileSync(
      config,
      `workers: ${workers}
listeners:
  web: { ${listener}, address: 127.0.0.1:${port} }
  secure: { ${listener}, address: 127.0.0.1:${tlsPort}, ${tls} }
upstreams: { items: { url: "http://127.0.0.1:${upstream.port}" } }
issuers: { bench: { issuer: "https://id.example", audience: [bench], jwks: ${this.folder}/jwks.json } }
accounts: { staff: { kind: sqlite, path: ${this.folder}/accounts.db } }
mechanisms: { api-key: { keys: [{ name: wrk, hash: "${apiKeyHash(apiKey)}", roles: [staff] }] } }
host_rules:
  - { door: http, route: "/basic/{id}", use: [basic] }
  - { door: http, route: "/key/{id}", use: [api-key] }
  - { door: http, use: [jwt] }
policies: { staff: { roles: [staff] } }
routes:
${[
  route('/items/{id}', 'staff'),
  route('/basic/{id}', 'staff'),
  route('/key/{id}', 'staff'),
  route('/anyone/{id}', 'anyone'),
  route('/large', 'anyone'),
].join('\n')}
keys: { store: { kind: directory, path: ${this.folder}/keys }, master: env:BAWN_MASTER_KEY, client_id: bench }
audit: { file: audit.jsonl }
`,
    )
    const cli = join(import.meta.dirname, '../packages/bawn/bin/bawn.js')
    const env = this.#masterKey
    const run = (...args: readonly string[]): Buffer =>
      execFileSync(process.execPath, [cli, ...args, '--config', config], {
        env: { ...process.env, ...env },
        input: `${basic.password}\n`,
        stdio: ['pipe', 'ignore', 'inherit'],
      })
    if (!this.#hasKeys) {
      mkdirSync(join(this.folder, 'keys'), { mode: 0o700 })
      run('keys', 'generate', '--audit')
      run('accounts', 'add', basic.user, '--role', 'staff')
      this.#hasKeys = true
    }
    const pid = this.#start(core, [process.execPath, cli, 'start', '--config', config], env)
    return { port, tlsPort, pid }
  }
}

const pemOf = (key: KeyObject): string => String(key.export({ type: 'spki', format: 'pem' }))
