import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, get, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout } from 'node:timers/promises'
import { type Postgres, startPostgres } from '@bawn/demo/postgres'
import pg from 'pg'
import { apiKeyHash, generateApiKey } from '../packages/bawn/src/authn/api-key.ts'
import { generateAuditKey, generateKeys } from '../packages/bawn/src/keys/generate.ts'
import { bawn } from './world.ts'

// Gateways as processes of their own that believe the tokens of one issuer, and keep revocations in one place. No tests in here.

export interface IssuedGateways {
  readonly nodes: readonly IssuedNode[]
  /** A token of the issuer; claims are added to those that every token has. */
  token(claims: object): string
  readonly issuer: string
  readonly apiKey: string
  /** Of the same name. */
  readonly secondKey: string
  /** Runs a command with the configuration of a node; `input` is its standard input. */
  run(node: number, ...args: readonly string[]): Promise<{ readonly status: number; readonly output: string }>
  runWith(
    input: string,
    node: number,
    ...args: readonly string[]
  ): Promise<{ readonly status: number; readonly output: string }>
  /** Everything that gateways have written, audit trails and stores. */
  written(): string
  stop(): Promise<void>
}

export interface IssuedNode {
  readonly desk: string
  readonly web: string
  /** `SIGKILL`, and a new process with the same configuration. */
  kill(): Promise<void>
  restart(): Promise<void>
  reload(): Promise<void>
  trail(): string
  log(): string
  /** Status of `/who`. */
  ask(headers: Readonly<Record<string, string>>, path?: string): Promise<Response>
  /** An answer that goes on until it is cut. */
  listen(headers: Readonly<Record<string, string>>): Promise<IncomingMessage>
  /** A session at the PostgreSQL door, by a token of the issuer, or of ours where `login` says so. */
  connect(
    user: string,
    token: string,
    login?: 'jwt' | 'token',
  ): Promise<{ readonly client: pg.Client; readonly ended: Promise<string> }>
  /** The admin door, with its token. */
  admin(method: string, path: string): Promise<{ readonly status: number; readonly body: Record<string, unknown> }>
}

/** Bearer, as a header. */
export const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` })

/** Until it holds; what does not within ten seconds fails. @returns ms that it took */
export async function eventually(what: string, holds: () => Promise<boolean>): Promise<number> {
  const from = performance.now()
  while (!(await holds())) {
    if (performance.now() - from > 10_000) assert.fail(`not within ten seconds: ${what}`)
    await setTimeout(10)
  }
  return performance.now() - from
}

/** @param extra further sections, or lines, of each node's configuration; `route` goes into the route `/who`, `routes` are lines behind it */
export async function startIssuedGateways(
  extra: (
    folder: string,
    node: number,
  ) => {
    readonly sections: string
    readonly route?: string
    readonly routes?: string
    readonly sql?: string
    readonly tokens?: string
  },
  count = 2,
): Promise<IssuedGateways> {
  const folder = mkdtempSync(join(tmpdir(), 'bawn-issued-'))
  const closing: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })]
  const stop = async (): Promise<void> => {
    for (const close of closing.splice(0).reverse()) await close()
  }
  try {
    const write = (name: string, value: string): void => writeFileSync(join(folder, name), value, { mode: 0o600 })
    const pair = generateKeyPairSync('ed25519')
    const jwk = { ...pair.publicKey.export({ format: 'jwk' }), kid: 'one' }
    const idp = createServer((_request, response) => response.end(JSON.stringify({ keys: [jwk] })))
    const upstream = createServer((request, response) => {
      if (request.url?.startsWith('/events') !== true) return void response.end(String(request.headers['x-user']))
      response.write('begun\n')
    })
    const ports: number[] = []
    for (const server of [idp, upstream]) {
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      const at = server.address()
      assert(at !== null && typeof at === 'object')
      ports.push(at.port)
      closing.push(() => {
        server.close()
        server.closeAllConnections()
      })
    }
    const [idpPort, upstreamPort] = ports
    const issuer = `http://127.0.0.1:${idpPort}`
    const masterKey = randomBytes(32)
    write('master', masterKey.toString('base64'))
    generateAuditKey({ path: join(folder, 'keys'), masterKey })
    generateKeys({ path: join(folder, 'keys'), masterKey, clientId: 'shop-keys' })
    const shop: Postgres = await startPostgres()
    closing.push(() => shop.stop())
    write('shop.password', shop.password)
    const [apiKey, secondKey] = [generateApiKey(), generateApiKey()]
    const keys = [apiKey, secondKey].map(key => `{ name: nightly, hash: "${apiKeyHash(key)}", roles: [] }`)

    const configuration = (node: number): string => {
      const {
        sections,
        route = '',
        routes = '',
        sql = '',
        tokens = '{ kind: sqlite, path: tokens.db }',
      } = extra(folder, node)
      return `listeners:
  web: { door: http, address: 127.0.0.1:0 }
  sql: { door: postgres, address: 127.0.0.1:0${sql} }
  desk: { door: admin, address: 127.0.0.1:0, token_file: desk${node}.token }
databases:
  shop: { host: 127.0.0.1, port: ${shop.port}, database: postgres, tls: off, login: { user: ${shop.user}, password: file:shop.password }, allow: [authenticated] }
upstreams: { who: { url: "http://127.0.0.1:${upstreamPort}" } }
issuers:
  corp: { issuer: "${issuer}", audience: [shop], jwks: "${issuer}/jwks", insecure_http: true, algorithms: [EdDSA] }
mechanisms: { jwt: {}, api-key: { keys: [${keys.join(', ')}] } }
host_rules:
  - { door: http, use: [token, jwt, api-key] }
  - { door: postgres, use: [jwt, token] }
tokens: ${tokens}
routes:
  - { path: /who, methods: [GET], upstream: who, allow: [authenticated], identity_headers: { id: X-User }${route} }
  - { path: /events, methods: [GET], upstream: who, allow: [authenticated] }
${routes}keys: { store: { kind: directory, path: keys }, master: file:master, client_id: shop-keys }
audit: { file: audit${node}.jsonl }
${sections}
`
    }
    const nodes: IssuedNode[] = []
    for (let n = 0; n < count; n++) {
      write(`bawn${n}.yaml`, configuration(n))
      const node = await startNode(folder, n)
      closing.push(node.stop)
      nodes.push(node)
    }
    const runWith: IssuedGateways['runWith'] = async (input, node, ...args) => {
      const [program, ...first] = bawn
      const desk = nodes[node]?.desk ?? assert.fail()
      const config = ['--config', join(folder, `bawn${node}.yaml`), '--address', desk]
      const child = spawn(program, [...first, ...args, ...config], { stdio: ['pipe', 'pipe', 'pipe'] })
      child.stdin.on('error', () => {}).end(input)
      const [out, err, [status]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
      return { status, output: out + err }
    }
    return {
      nodes,
      issuer,
      apiKey,
      secondKey,
      token(claims) {
        const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
        const now = Math.floor(Date.now() / 1000)
        const payload = { iss: issuer, aud: 'shop', sub: 'jane', iat: now - 60, exp: now + 3_600, ...claims }
        const input = `${part({ alg: 'EdDSA', kid: 'one' })}.${part(payload)}`
        return `${input}.${sign(null, Buffer.from(input), pair.privateKey).toString('base64url')}`
      },
      run: (node, ...args) => runWith('', node, ...args),
      runWith,
      written: () =>
        readdirSync(folder)
          .filter(name => /\.(db|db-wal|jsonl)$/.test(name))
          .map(name => readFileSync(join(folder, name), 'latin1'))
          .join('') + nodes.map(node => node.log()).join(''),
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function startNode(folder: string, n: number): Promise<IssuedNode & { stop(): Promise<void> }> {
  let child: ChildProcess
  let said = ''
  let addresses = new Map<string, string>()
  const start = async (): Promise<void> => {
    const from = said.length
    const [program, ...first] = bawn
    child = spawn(program, [...first, 'start', '--drain', '1s', '--config', join(folder, `bawn${n}.yaml`)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    addresses = new Map()
    await new Promise<void>((resolve, reject) => {
      const read = (piece: string): void => {
        said += piece
        for (const [, name = '', address = ''] of said.slice(from).matchAll(/^listening: (\w+) \(\w+\) on (.*)$/gm)) {
          addresses.set(name, address)
        }
        if (addresses.size === 3) resolve()
      }
      child.stdout?.setEncoding('utf8').on('data', read)
      child.stderr?.setEncoding('utf8').on('data', read)
      child.once('close', () => reject(new Error(`the gateway ended:\n${said}`)))
    })
  }
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'close')
    child.kill(signal)
    await ended
  }
  await start()
  const at = (name: string): string => addresses.get(name) ?? assert.fail(name)
  return {
    get desk() {
      return at('desk')
    },
    get web() {
      return at('web')
    },
    kill: () => end('SIGKILL'),
    restart: start,
    stop: () => end('SIGTERM'),
    async reload() {
      const from = said.length
      child.kill('SIGHUP')
      await eventually('a reload', async () => /^reloaded:/m.test(said.slice(from)))
    },
    trail: () => readFileSync(join(folder, `audit${n}.jsonl`), 'utf8'),
    log: () => said,
    // Each by a connection of its own: with workers, at any of them.
    ask: (headers, path = '/who') =>
      fetch(`http://${at('web')}${path}`, { headers: { ...headers, connection: 'close' } }),
    async listen(headers) {
      const request = get(`http://${at('web')}/events`, { headers, agent: false })
      const [answer] = (await once(request, 'response')) as [IncomingMessage]
      assert.equal(answer.statusCode, 200)
      await once(answer, 'data')
      return answer
    },
    async connect(user, token, login = 'jwt') {
      const [host, port] = at('sql').split(':')
      const client = new pg.Client({
        ...{ host, port: Number(port), database: 'shop', user, password: token },
        options: `-c bawn.login=${login}`,
      })
      const ended = new Promise<string>(resolve => {
        client.on('error', error => resolve('code' in error ? String(error.code) : error.message))
      })
      await client.connect()
      return { client, ended }
    },
    async admin(method, path) {
      const token = readFileSync(join(folder, `desk${n}.token`), 'utf8').trim()
      const answer = await fetch(`http://${at('desk')}${path}`, { method, headers: bearer(token) })
      return { status: answer.status, body: (await answer.json()) as Record<string, unknown> }
    },
  }
}
