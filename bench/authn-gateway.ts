import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync, type KeyObject, randomBytes, sign as signBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createAuthority } from '@bawn/demo/certificates'
import { digestHash } from '../packages/bawn/src/accounts/digest-verifier.ts'
import { openSqliteAccounts } from '../packages/bawn/src/accounts/sqlite.ts'
import { deriveVerifiers } from '../packages/bawn/src/accounts/verifier.ts'
import { apiKeyHash, generateApiKey } from '../packages/bawn/src/authn/api-key.ts'
import { generateAuditKey, generateKeys } from '../packages/bawn/src/keys/generate.ts'

// What bench/authn.ts asks: `bawn start` with every mechanism, each on a route and for a user of its own, and the credentials for it.

export const password = 'correct horse'
/** Accounts that log in by Basic for the first time, once each. */
export const coldUsers = Array.from({ length: 1_000 }, (_, n) => `cold${n}`)
export const apiKey = generateApiKey()
export const opaqueToken = randomBytes(24).toString('base64url')

/** Routes by their mechanism: `/anyone` is public, the others need what they are called. */
export const routes = {
  anyone: 'jwt',
  jwt: 'jwt',
  identity: 'identity',
  'api-key': 'api-key',
  basic: 'basic',
  digest: 'digest',
  'auth-token': 'token',
  certificate: 'certificate',
  introspection: 'introspection',
} as const

const authority = createAuthority('bench')
export const tls = {
  ca: authority.certificate,
  server: authority.issue('localhost', 'server', ['localhost', '127.0.0.1']),
  client: authority.issue('bench-client', 'client'),
}

/** An issuer of tokens, and how it signs. */
export interface Signer {
  readonly algorithm: 'RS256' | 'ES256' | 'EdDSA' | 'HS256'
  readonly privateKey: KeyObject | undefined
  readonly publicKey: KeyObject | undefined
  sign(bytes: Buffer): Buffer
}

export const hmacSecret = randomBytes(32)
export const signers: readonly Signer[] = [
  asymmetric('RS256', generateKeyPairSync('rsa', { modulusLength: 2048 })),
  asymmetric('ES256', generateKeyPairSync('ec', { namedCurve: 'P-256' })),
  asymmetric('EdDSA', generateKeyPairSync('ed25519')),
]

function asymmetric(
  algorithm: Signer['algorithm'],
  pair: { readonly privateKey: KeyObject; readonly publicKey: KeyObject },
): Signer {
  const digest = algorithm === 'EdDSA' ? null : 'sha256'
  return {
    algorithm,
    ...pair,
    sign: bytes => signBytes(digest, bytes, { key: pair.privateKey, dsaEncoding: 'ieee-p1363' }),
  }
}

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/** A new token: no two are equal. */
export function issueToken({ algorithm, sign }: Pick<Signer, 'algorithm' | 'sign'>, seconds = 7_200): string {
  const now = Math.floor(Date.now() / 1000)
  const claims = {
    iss: `https://${algorithm}.example`,
    aud: 'bench',
    sub: 'bench-user',
    roles: ['staff'],
    iat: now,
    exp: now + seconds,
    jti: randomBytes(16).toString('hex'),
    email: 'bench@example.org',
  }
  const signed = `${part({ alg: algorithm, kid: algorithm, typ: 'JWT' })}.${part(claims)}`
  return `${signed}.${sign(Buffer.from(signed)).toString('base64url')}`
}

export interface Gateway {
  readonly pid: number
  readonly web: number
  readonly secure: number
  readonly sql: number
  readonly stop: () => Promise<void>
}

export interface GatewayNeeds {
  readonly folder: string
  /** `taskset` keeps it on this one. */
  readonly core: number
  /** Of 127.0.0.1. */
  readonly upstreamPort: number
  readonly introspectionPort: number
  readonly postgres: { readonly port: number; readonly user: string; readonly password: string }
  /** The `tokens` of the configuration, but for what all kinds have. */
  readonly tokens: string
  /** Put before `node`'s own arguments, such as `--cpu-prof`. */
  readonly nodeArguments: readonly string[]
}

/** Keys, accounts and key sets that every gateway of the run reads. */
export async function prepareFolder(folder: string, postgresPassword: string): Promise<void> {
  const secret = (name: string, value: string): void => writeFileSync(join(folder, name), value, { mode: 0o600 })
  const masterKey = randomBytes(32)
  secret('master', masterKey.toString('base64'))
  secret('hs.secret', hmacSecret.toString('base64'))
  secret('client.secret', 'between us')
  secret('postgres.password', postgresPassword)
  secret('dora.ha1', digestHash('SHA-256', `dora:bawn:${password}`))
  secret('server.crt', tls.server.certificate)
  secret('server.key', tls.server.key)
  secret('ca.crt', tls.ca)
  const signed = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' })
  secret('tokens.pem', String(signed))
  for (const { algorithm, publicKey } of signers) {
    const key = { ...publicKey?.export({ format: 'jwk' }), kid: algorithm, use: 'sig', alg: algorithm }
    writeFileSync(join(folder, `${algorithm}.json`), JSON.stringify({ keys: [key] }))
  }
  mkdirSync(join(folder, 'keys'), { mode: 0o700 })
  generateAuditKey({ path: join(folder, 'keys'), masterKey })
  generateKeys({ path: join(folder, 'keys'), masterKey, clientId: 'bench' })

  const store = openSqliteAccounts({ name: 'staff', path: join(folder, 'accounts.db') })
  // One hash for all of them: making a thousand would take longer than the benchmark.
  const verifiers = await deriveVerifiers(password)
  for (const name of ['wanda', ...coldUsers]) {
    await store.add({ name, roles: ['staff'], locked: false, ...verifiers })
  }
  await store.close()
}

/** @throws when it ends before it listens, with what it said */
export async function startGateway(needs: GatewayNeeds): Promise<Gateway> {
  const { folder, core, nodeArguments } = needs
  const name = /kind: (\w+)/.exec(needs.tokens)?.[1] ?? 'none'
  const file = join(folder, `${name}.yaml`)
  writeFileSync(file, configuration(name, needs))
  const cli = join(import.meta.dirname, '../packages/bawn/bin/bawn.js')
  const args = [process.execPath, ...nodeArguments, cli, 'start', '--drain', '1s', '--config', file]
  const child = spawn('taskset', ['-c', `${core}`, ...args], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = once(child, 'close')
  const ports = await listening(child)
  return {
    pid: child.pid ?? 0,
    web: ports.get('web') ?? 0,
    secure: ports.get('secure') ?? 0,
    sql: ports.get('sql') ?? 0,
    async stop() {
      child.kill('SIGTERM')
      await ended
    },
  }
}

async function listening(child: ChildProcess): Promise<ReadonlyMap<string, number>> {
  let said = ''
  const ports = new Map<string, number>()
  await new Promise<void>((resolve, reject) => {
    const read = (piece: string): void => {
      if (ports.size === 3) return
      said += piece
      for (const [, name = '', port] of said.matchAll(/^listening: (\w+) \(\w+\) on \S*:(\d+)$/gm)) {
        ports.set(name, Number(port))
      }
      if (ports.size === 3) resolve()
    }
    child.stdout?.setEncoding('utf8').on('data', read)
    child.stderr?.setEncoding('utf8').on('data', read)
    child.once('error', reject)
    child.once('close', () => reject(new Error(`the gateway ended:\n${said}`)))
  })
  return ports
}

function configuration(name: string, { upstreamPort, introspectionPort, postgres, tokens }: GatewayNeeds): string {
  const asked = Object.entries(routes)
  return `listeners:
  web: { door: http, address: 127.0.0.1:0 }
  secure: { door: http, address: 127.0.0.1:0, tls: { certificate: server.crt, key: server.key, client_ca: ca.crt, client_certificate: optional } }
  sql: { door: postgres, address: 127.0.0.1:0, tls: { certificate: server.crt, key: server.key, client_ca: ca.crt, client_certificate: optional } }
databases:
  shop: { host: 127.0.0.1, port: ${postgres.port}, database: postgres, tls: off, login: { user: ${postgres.user}, password: file:postgres.password }, allow: [staff] }
upstreams: { items: { url: "http://127.0.0.1:${upstreamPort}" } }
accounts: { staff: { kind: sqlite, path: accounts.db } }
services: { program: { common_name: bench-client, roles: [staff] } }
issuers:
${signers.map(({ algorithm }) => `  ${algorithm}: { issuer: "https://${algorithm}.example", audience: [bench], jwks: ${algorithm}.json }`).join('\n')}
  HS256: { issuer: "https://HS256.example", audience: [bench], secret: file:hs.secret }
mechanisms:
  identity: { user: tester, roles: [staff] }
  api-key: { keys: [{ name: program, hash: "${apiKeyHash(apiKey)}", roles: [staff] }] }
  digest: { nonce_lifetime: 1h, users: { dora: { ha1_sha256: file:dora.ha1, roles: [staff] } } }
  introspection: { url: "http://127.0.0.1:${introspectionPort}", insecure_http: true, client_id: bench, client_secret: file:client.secret, roles_claim: roles, cache: 1h }
tokens: { ${tokens}, headers: false, ttl: 2h }
host_rules:
${asked.map(([path, use]) => `  - { door: http, route: /${path}, use: [${use}] }`).join('\n')}
  - { door: http, use: [basic] }
  - { door: postgres, user: wanda, database: shop, use: [trust, password, scram] }
  - { door: postgres, user: [bench-user, bench-client], use: [certificate, jwt] }
policies: { staff: { roles: [staff] } }
routes:
${asked.map(([path]) => `  - { path: /${path}, methods: [GET], upstream: items, allow: [${path === 'anyone' ? path : 'staff'}], identity_headers: { id: X-User } }`).join('\n')}
keys: { store: { kind: directory, path: keys }, master: file:master, client_id: bench }
audit: { file: audit-${name}.jsonl }
`
}
