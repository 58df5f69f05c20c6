import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Postgres, startPostgres } from '@bawn/demo/postgres'
import { generateAuditKey, generateKeys } from '../../packages/bawn/src/keys/generate.ts'
import { type RunningServer, startServer } from '../../packages/bawn/src/server.ts'

// An authority as many have it: `openssl ca` issues and revokes, `openssl ocsp` answers, and curl and psql show its certificates.

const folder = mkdtempSync(join(tmpdir(), 'bawn-openssl-'))
const path = (name: string): string => join(folder, name)
const openssl = (...args: readonly string[]): string =>
  execFileSync('openssl', args, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })

const settings = (url: string): string => `
[ca]
default_ca = own
[own]
dir = .
database = index.txt
serial = serial
crlnumber = crlnumber
new_certs_dir = .
certificate = ca.crt
private_key = ca.key
default_md = sha256
default_days = 30
default_crl_days = 1
policy = any
rand_serial = yes
unique_subject = no
[any]
commonName = supplied
[client]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
authorityKeyIdentifier = keyid
authorityInfoAccess = OCSP;URI:${url}
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
[responder]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = OCSPSigning
noCheck = ignored
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
`

function issue(name: string, extensions: 'client' | 'server' | 'responder'): void {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', `${name}.key`]
  openssl('req', ...key, '-out', `${name}.csr`, '-subj', `/CN=${name}`)
  openssl(
    'ca',
    '-batch',
    '-config',
    'ca.cnf',
    '-extensions',
    extensions,
    '-in',
    `${name}.csr`,
    '-out',
    `${name}.crt`,
    '-notext',
  )
}

function putList(): void {
  openssl('ca', '-config', 'ca.cnf', '-gencrl', '-crlexts', 'list', '-out', 'new.crl')
  renameSync(path('new.crl'), path('clients.crl'))
}

let responder: ChildProcess
let postgres: Postgres
let server: RunningServer
const upstream = createServer((asked, response) => response.end(String(asked.headers['x-user'])))

before(async () => {
  for (const program of ['openssl', 'curl', 'psql']) {
    const debian = program === 'psql' ? 'postgresql-client' : program
    assert.equal(
      spawnSync(program, [program === 'openssl' ? 'version' : '--version'], { stdio: 'ignore' }).status,
      0,
      `${program} is not installed; on Debian: apt-get install ${debian}`,
    )
  }
  upstream.listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  writeFileSync(path('index.txt'), '')
  writeFileSync(path('crlnumber'), '01\n')
  writeFileSync(path('ca.cnf'), settings('http://127.0.0.1/'))
  const own = ['-newkey', 'rsa:2048', '-nodes', '-keyout', 'ca.key', '-out', 'ca.crt', '-days', '30']
  openssl('req', '-x509', ...own, '-subj', '/CN=OpenSSL authority', '-config', 'ca.cnf', '-extensions', 'authority')
  issue('responder', 'responder')
  responder = spawn(
    'openssl',
    [
      'ocsp',
      '-port',
      '0',
      '-index',
      'index.txt',
      '-CA',
      'ca.crt',
      '-rsigner',
      'responder.crt',
      '-rkey',
      'responder.key',
      '-ndays',
      '1',
    ],
    { cwd: folder, stdio: ['ignore', 'pipe', 'ignore'] },
  )
  const url = `http://127.0.0.1:${await portOf(responder)}/`
  writeFileSync(path('ca.cnf'), `${settings(url)}\n[list]\nauthorityKeyIdentifier = keyid\n`)
  for (const name of ['billing', 'orders']) issue(name, 'client')
  issue('door', 'server')
  putList()

  postgres = await startPostgres()
  const masterKey = randomBytes(32)
  writeFileSync(path('master'), masterKey.toString('base64'), { mode: 0o600 })
  writeFileSync(path('password'), postgres.password, { mode: 0o600 })
  generateAuditKey({ path: path('keys'), masterKey })
  generateKeys({ path: path('keys'), masterKey, clientId: 'clients' })
  const { host } = new URL(url)
  const ocsp = `{ ocsp: { from_certificate: use, cache_time: 200ms }, hosts: ["${host}"] }`
  const crl = '{ crl: { file: clients.crl } }'
  const listener = (door: string, revocation: string) =>
    `{ door: ${door}, address: 127.0.0.1:0, tls: { certificate: door.crt, key: door.key, client_ca: ca.crt, client_certificate: required, revocation: ${revocation} } }`
  writeFileSync(
    path('bawn.yaml'),
    `listeners:
  web_ocsp: ${listener('http', ocsp)}
  web_crl: ${listener('http', crl)}
  sql_ocsp: ${listener('postgres', ocsp)}
  sql_crl: ${listener('postgres', crl)}
databases:
  postgres: { host: 127.0.0.1, port: ${postgres.port}, tls: "off", login: { user: postgres, password: file:password }, allow: [authenticated] }
upstreams: { api: { url: "http://127.0.0.1:${(upstream.address() as AddressInfo).port}" } }
services: { billing: { common_name: billing }, orders: { common_name: orders } }
host_rules: [{ use: [certificate] }]
routes: [{ path: /who, methods: [GET], upstream: api, allow: [authenticated], identity_headers: { id: X-User } }]
keys: { store: { kind: directory, path: keys }, master: file:master, client_id: clients }
audit: { file: audit.jsonl }
`,
  )
  server = await startServer({ configPath: path('bawn.yaml'), log: () => {}, clock: Date.now })
})
after(async () => {
  await server?.close(0)
  await postgres?.stop()
  responder?.kill()
  upstream.close()
  upstream.closeAllConnections()
  rmSync(folder, { recursive: true })
})

/** It says where it listens in its first line: `ACCEPT [::]:41369 PID=6016`. */
async function portOf({ stdout }: ChildProcess): Promise<number> {
  let said = ''
  for await (const chunk of stdout ?? []) {
    said += chunk
    const port = /^ACCEPT .*:([0-9]+) PID/m.exec(said)?.[1]
    if (port !== undefined) return Number(port)
  }
  throw new Error(`openssl ocsp did not start: ${said}`)
}

const portAt = (listener: string): string => server.addresses[listener]?.split(':')[1] ?? ''

/** What a client gets that shows this certificate; the gateway runs in this process, so nothing may wait for the client synchronously. */
async function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
  const child = spawn(program, args, { env: { PATH: process.env['PATH'], ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  child.stdout.on('data', chunk => {
    said += chunk
  })
  child.stderr.on('data', chunk => {
    said += chunk
  })
  await once(child, 'close')
  return said.trim()
}

const curl = (listener: string, name: string): Promise<string> =>
  run('curl', [
    ...['--silent', '--cacert', path('ca.crt'), '--cert', path(`${name}.crt`), '--key', path(`${name}.key`)],
    ...['--write-out', ' %{http_code}', `https://localhost:${portAt(listener)}/who`],
  ])

const psql = (listener: string, name: string): Promise<string> =>
  run('psql', ['-XAtqw', '-c', 'select $$let in$$'], {
    PGHOST: 'localhost',
    PGPORT: portAt(listener),
    PGUSER: name,
    PGDATABASE: 'postgres',
    PGSSLMODE: 'verify-full',
    PGSSLROOTCERT: path('ca.crt'),
    PGSSLCERT: path(`${name}.crt`),
    PGSSLKEY: path(`${name}.key`),
    PGPASSFILE: path('none'),
  })

const clients = [
  {
    name: 'curl',
    ask: curl,
    listeners: ['web_ocsp', 'web_crl'],
    good: /^billing 200$/,
    revoked: /"authn\.failed".* 401$/s,
  },
  {
    name: 'psql',
    ask: psql,
    listeners: ['sql_ocsp', 'sql_crl'],
    good: /^let in$/,
    revoked: /certificate authentication failed for user "billing"/,
  },
] as const

/** OpenSSL's responder looks at its index between two questions, and the gateway at a file once a second: so until it is so. */
async function until(
  wanted: RegExp,
  ask: (typeof clients)[number]['ask'],
  listener: string,
  name: string,
): Promise<void> {
  const begunAt = performance.now()
  let said = ''
  while (!wanted.test(said)) {
    assert(performance.now() - begunAt < 10_000, `${listener}: ${wanted} is awaited, and it is ${said}`)
    said = await ask(listener, name)
  }
}

test('OpenSSL’s authority: who is revoked is refused by responder and by list, others are not', async () => {
  for (const { ask, listeners, good } of clients) {
    for (const listener of listeners) await until(good, ask, listener, 'billing')
  }
  openssl('ca', '-config', 'ca.cnf', '-revoke', 'billing.crt')
  putList()
  for (const { ask, listeners, revoked } of clients) {
    for (const listener of listeners) {
      await until(revoked, ask, listener, 'billing')
      assert.doesNotMatch(await ask(listener, 'orders'), /failed|401/, listener)
    }
  }
})

test('OpenSSL’s responder is away: nobody gets in, and nobody is told that a certificate is bad', async () => {
  responder.kill()
  await once(responder, 'close')
  issue('fresh', 'client')
  assert.match(await curl('web_ocsp', 'fresh'), /"authn\.revocation_undecided".* 503$/s)
  assert.match(await psql('sql_ocsp', 'fresh'), /the identity cannot be verified at this time/)
})
