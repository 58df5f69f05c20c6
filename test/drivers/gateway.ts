import { spawn } from 'node:child_process'
import { createHash, createPrivateKey, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { json } from 'node:stream/consumers'
import { createAuthority } from '@bawn/demo/certificates'
import { startOpenId } from '@bawn/demo/openid'
import { startPostgres } from '@bawn/demo/postgres'
import pg from 'pg'
import { openSqliteAccounts } from '../../packages/bawn/src/accounts/sqlite.ts'
import { deriveVerifiers } from '../../packages/bawn/src/accounts/verifier.ts'
import { apiKeyHash, generateApiKey } from '../../packages/bawn/src/authn/api-key.ts'
import { generateAuditKey, generateKeys } from '../../packages/bawn/src/keys/generate.ts'
import { useHba } from '../postgres-hba.ts'
import { bawn } from '../world.ts'
import { httpMechanisms } from './matrix.ts'

// One gateway with both doors and every mechanism, before a real PostgreSQL and a real provider of tokens. No tests in here.

export interface DriverGateway {
  /** Of its listeners. */
  readonly ports: { readonly web: number; readonly sql: number }
  /** Path of a file beside the configuration. */
  path(name: string): string
  /** Where clients learn how to get a token. */
  readonly discovery: string
  /** Of jo, olga or carol, by their provider. */
  readonly jwt: Readonly<Record<'jo' | 'olga' | 'carol', string>>
  /** Of the gateway's own, for alice. */
  readonly token: string
  readonly apiKey: string
  /** Lines of the trail since the last call. */
  trail(): readonly TrailLine[]
  stop(): Promise<void>
}

export interface TrailLine {
  readonly kind: string
  readonly door: string
  readonly decision: string
  readonly code?: string
  readonly claimedName?: string
  readonly identity?: { readonly id: string; readonly mechanism: string }
}

/** Everybody's, wherever a password is asked for: clients differ in how they quote and encode it. */
export const password = 'cor"rect h\'orse: bät%tery'

/** Which mechanism an HTTP request may use goes by the network that it comes from; each client has an address in it. */
export const httpSource = (mechanism: string, client: number): string =>
  httpNetwork(mechanism).replace('0/24', `${client}`)
const httpNetwork = (mechanism: string): string =>
  `127.1.${httpMechanisms.findIndex(({ id }) => id === mechanism)}.0/24`

const rules = `
  - { door: postgres, user: [trusty, nobody], use: [trust] }
  - { door: postgres, user: petra, tls: required, use: [password] }
  - { door: postgres, user: [billing-service, sales-service], tls: required, use: [certificate] }
  - { door: postgres, user: jo, tls: required, use: [jwt] }
  - { door: postgres, user: olga, tls: required, use: [oauthbearer] }
  - { door: postgres, database: passed, tls: required, use: [pass-through] }
  - { door: postgres, user: open, tls: "off", use: [scram] }
  - { door: postgres, user: [ada, vera], tls: required, use: [scram] }`

export async function startDriverGateway(): Promise<DriverGateway> {
  const folder = mkdtempSync(join(tmpdir(), 'bawn-drivers-'))
  const closing: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })]
  const stop = async (): Promise<void> => {
    for (const close of closing.splice(0).reverse()) await close()
  }
  try {
    const path = (name: string): string => join(folder, name)
    const write = (name: string, value: string | Buffer): void => writeFileSync(path(name), value, { mode: 0o600 })
    const authority = createAuthority('the tests')
    for (const [name, issued] of [
      ['server', authority.issue('localhost', 'server', ['localhost', '127.0.0.1'])],
      ['client', authority.issue('billing-service', 'client')],
      ['stranger', createAuthority('somebody else').issue('billing-service', 'client')],
    ] as const) {
      write(`${name}.pem`, issued.certificate)
      write(`${name}.key`, issued.key)
      // pgjdbc wants it in DER.
      write(`${name}.key.pk8`, createPrivateKey(issued.key).export({ type: 'pkcs8', format: 'der' }))
    }
    write('ca.pem', authority.certificate)
    write('other-ca.pem', createAuthority('somebody else').certificate)
    const masterKey = randomBytes(32)
    write('master', masterKey.toString('base64'))
    generateAuditKey({ path: path('keys'), masterKey })
    generateKeys({ path: path('keys'), masterKey, clientId: 'shop-keys' })

    const server = await startPostgres({ tls: authority.issue('db', 'server', ['127.0.0.1']) })
    closing.push(() => server.stop())
    write('gateway.password', 'of the gateway')
    await prepareRoles(server)
    await useHba(server, [
      'hostssl all phoebe 127.0.0.1/32 md5',
      'hostssl all paula 127.0.0.1/32 password',
      'hostssl all all 127.0.0.1/32 scram-sha-256',
    ])
    const provider = await startOpenId({
      audience: 'shop',
      people: ['jo', 'olga', 'carol'].map(id => ({ id, roles: ['staff'], secret: `of ${id}` })),
    })
    closing.push(() => provider.close())
    const upstream = createServer((asked, answer) => answer.end(String(asked.headers['x-user'])))
    upstream.listen(0, '127.0.0.1')
    await once(upstream, 'listening')
    closing.push(() => upstream.close())
    const upstreamAddress = upstream.address()
    if (upstreamAddress === null || typeof upstreamAddress === 'string') throw new TypeError('no port')

    const accounts = openSqliteAccounts({ name: 'people', path: path('accounts.db') })
    const verifiers = await deriveVerifiers(password)
    for (const name of ['alice', 'ada', 'open', 'trusty']) {
      await accounts.add({ name, roles: ['staff'], locked: false, ...verifiers })
    }
    // No SCRAM verifier: the password has to come in clear.
    await accounts.add({ name: 'petra', roles: ['staff'], locked: false, ...verifiers, scram: undefined })
    await accounts.close()
    write('dora.ha1', createHash('sha256').update(`dora:bawn:${password}`).digest('hex'))
    const apiKey = generateApiKey()

    const at = `host: 127.0.0.1, port: ${server.port}, database: postgres, tls: { ca: ca.pem }`
    const login = 'user: gateway, password: file:gateway.password'
    const passed = '{ paul: [staff], phoebe: [staff], paula: [staff] }'
    const tls = '{ certificate: server.pem, key: server.key, client_ca: ca.pem, client_certificate: optional }'
    const forHttp = httpMechanisms.map(
      ({ id, use }) => `  - { door: http, address: ${httpNetwork(id)}, use: [${use}] }`,
    )
    write(
      'bawn.yaml',
      `listeners:
  web: { door: http, address: 127.0.0.1:0, tls: ${tls} }
  sql: { door: postgres, address: 127.0.0.1:0, tls: ${tls} }
databases:
  shop: { ${at}, login: { ${login} }, allow: [staff] }
  own: { ${at}, login: { kind: verifier, ${login} }, allow: [staff] }
  passed: { ${at}, login: { kind: pass-through, ${login}, roles: ${passed} }, allow: [staff] }
upstreams: { shop: { url: "http://127.0.0.1:${upstreamAddress.port}" } }
accounts:
  people: { kind: sqlite, path: accounts.db }
  roles: { kind: postgres-roles, ${at}, login: { ${login} } }
tokens: { kind: sqlite, path: tokens.db }
issuers: { corp: { issuer: "${provider.issuer}", audience: [shop], jwks: "${provider.jwksUrl}", insecure_http: true, scope: openid } }
services:
  billing: { common_name: billing-service, roles: [staff] }
  sales: { common_name: sales-service, roles: [staff] }
mechanisms:
  digest: { users: { dora: { ha1_sha256: file:dora.ha1, roles: [staff] } } }
  api-key: { basic: true, keys: [{ name: robot, hash: "${apiKeyHash(apiKey)}", roles: [staff] }] }
  trust: { user: guest, roles: [staff] }
host_rules:${rules}
${forHttp.join('\n')}
  - { door: http, use: [basic] }
policies: { staff: { roles: [staff] } }
routes:
  - { path: /orders, methods: [GET], upstream: shop, allow: [staff], identity_headers: { id: X-User } }
keys: { store: { kind: directory, path: keys }, master: file:master, client_id: shop-keys }
audit: { file: audit.jsonl }
`,
    )
    const ports = await startGateway(path('bawn.yaml'), closing)
    let read = 0
    const trail = (): readonly TrailLine[] => {
      const text = readFileSync(path('audit.jsonl'), 'utf8')
      const lines = text.slice(read).split('\n').slice(0, -1)
      read = text.length
      return lines.map(line => JSON.parse(line) as TrailLine)
    }
    return {
      ...{ ports, path, apiKey, trail, stop },
      discovery: `${provider.issuer}/.well-known/openid-configuration`,
      jwt: { jo: await provider.token('jo'), olga: await provider.token('olga'), carol: await provider.token('carol') },
      token: await ownToken(ports.web, readFileSync(path('ca.pem'), 'utf8')),
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Roles of PostgreSQL, for users who work there as themselves. */
async function prepareRoles(server: {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
}) {
  const { host, port, user } = server
  const client = new pg.Client({ host, port, user, password: server.password, database: 'postgres' })
  await client.connect()
  const guide = readFileSync(new URL('../../docs/guide/databases.md', import.meta.url), 'utf8')
  const blocks = [...guide.matchAll(/```sql\n([\s\S]*?)```/g)].map(([, text = '']) => text)
  const verifierFunction = blocks.find(text => text.includes('FUNCTION bawn.scram_verifier'))
  const secret = pg.escapeLiteral(password)
  try {
    await client.query(`
      create role staff;
      create role gateway noinherit login password 'of the gateway';
      create role vera login password ${secret} in role staff;
      create role paul login password ${secret};
      create role paula login password ${secret};
      set password_encryption = 'md5';
      create role phoebe login password ${secret};
      ${verifierFunction}`)
  } finally {
    await client.end()
  }
}

async function startGateway(configuration: string, closing: (() => unknown)[]): Promise<DriverGateway['ports']> {
  const [program, ...first] = bawn
  const child = spawn(program, [...first, 'start', '--drain', '0s', '--config', configuration], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = once(child, 'close')
  closing.push(async () => {
    child.kill('SIGTERM')
    await ended
  })
  let said = ''
  const found = new Map<string, number>()
  return new Promise((resolve, reject) => {
    ended.then(() => reject(new Error(`the gateway ended:\n${said}`)), reject)
    for (const stream of [child.stdout, child.stderr]) {
      createInterface(stream).on('line', line => {
        said += `${line}\n`
        const [, name = '', port] = /^listening: (\w+) .* on 127\.0\.0\.1:([0-9]+)/.exec(line) ?? []
        if (port !== undefined) found.set(name, Number(port))
        const [web, sql] = [found.get('web'), found.get('sql')]
        if (web !== undefined && sql !== undefined) resolve({ web, sql })
      })
    }
  })
}

/** A token of the gateway's own, as any client gets one. */
async function ownToken(port: number, ca: string): Promise<string> {
  const asked = request({
    host: 'localhost',
    port,
    path: '/token',
    method: 'POST',
    ca,
    auth: `alice:${password}`,
    agent: false,
  })
  asked.end()
  const [answer] = await once(asked, 'response')
  const body: unknown = await json(answer)
  if (body instanceof Object && 'access_token' in body) return String(body.access_token)
  throw new Error(`no token: ${JSON.stringify(body)}`)
}
