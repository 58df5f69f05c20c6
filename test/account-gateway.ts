import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout } from 'node:timers/promises'
import { createAuthority } from '@bawn/demo/certificates'
import { startPostgres } from '@bawn/demo/postgres'
import pg from 'pg'
import { generateAuditKey, generateKeys } from '../packages/bawn/src/keys/generate.ts'
import { bawn, workersLine } from './world.ts'

// Gateways as processes of their own, over one account store: both doors, and the door for operators. No tests in here.

export interface AccountGateways {
  /** `node bin/bawn.js start`, as often as asked for. */
  readonly nodes: readonly Node[]
  /** Writes a secret beside the configuration. @returns its path */
  secret(name: string, value: string): string
  /** Configuration of the first node, as a file. */
  readonly configuration: string
  /** Runs a command with the configuration of the first node; ends with status 0 or fails. */
  run(args: readonly string[], stdin?: string): Promise<string>
  /** A further node. */
  start(): Promise<Node>
  stop(): Promise<void>
}

export interface Node {
  /** URL of a route for role `staff`, whose upstream says who it is. */
  readonly url: string
  readonly ready: string
  /** What the door for operators says at `/metrics`. */
  metrics(): Promise<string>
  /** Of the PostgreSQL door, with `database: shop`. */
  readonly port: number
  /** PEM file of the doors' authority. */
  readonly ca: string
  /** What it has said so far. */
  log(): string
  /** Reads its configuration again (SIGHUP); fails when that is refused. */
  reload(): Promise<void>
}

/**
 * @param store the account store, in the form of YAML in one line; made when the folder for its secrets is there
 * @param holdsGrants whether it keeps grants: then `/granted` is for whoever was granted DQL on database shop
 * @param tokens the token manager, likewise; its tokens are then taken at both doors
 * @param more further sections
 */
export async function startAccountGateways(
  store: (secret: AccountGateways['secret']) => string,
  count: number,
  holdsGrants = false,
  tokens?: (secret: AccountGateways['secret']) => string,
  more: (secret: AccountGateways['secret']) => string = () => '',
): Promise<AccountGateways> {
  const folder = mkdtempSync(join(tmpdir(), 'bawn-accounts-'))
  const closing: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })]
  const stop = async (): Promise<void> => {
    for (const close of closing.splice(0).reverse()) await close()
  }
  try {
    const secret = (name: string, value: string): string => {
      writeFileSync(join(folder, name), value, { mode: 0o600 })
      return join(folder, name)
    }
    const authority = createAuthority('the tests')
    const server = authority.issue('localhost', 'server', ['localhost', '127.0.0.1'])
    secret('server.pem', server.certificate)
    secret('server.key', server.key)
    const ca = secret('ca.pem', authority.certificate)
    const masterKey = randomBytes(32)
    secret('master', masterKey.toString('base64'))
    generateAuditKey({ path: join(folder, 'keys'), masterKey })
    generateKeys({ path: join(folder, 'keys'), masterKey, clientId: 'shop-keys' })

    const shop = await startPostgres()
    closing.push(() => shop.stop())
    secret('shop.password', shop.password)
    const upstream = createServer((request, response) => response.end(String(request.headers['x-user'])))
    upstream.listen(0, '127.0.0.1')
    await once(upstream, 'listening')
    closing.push(() => {
      upstream.close()
      upstream.closeAllConnections()
    })
    const at = upstream.address()
    assert(at !== null && typeof at === 'object')

    const tls = '{ certificate: server.pem, key: server.key }'
    const configuration = (node: number): string => `${workersLine}listeners:
  web: { door: http, address: 127.0.0.1:0, tls: ${tls} }
  sql: { door: postgres, address: 127.0.0.1:0, tls: ${tls} }
  desk: { door: admin, address: 127.0.0.1:0, token_file: desk${node}.token }
databases:
  shop: { host: 127.0.0.1, port: ${shop.port}, database: postgres, tls: off, login: { user: ${shop.user}, password: file:shop.password }, allow: [staff] }
upstreams: { who: { url: "http://127.0.0.1:${at.port}" } }
accounts:
  people: ${store(secret)}
${tokens ? `tokens: ${tokens(secret)}` : ''}
host_rules:
  - { door: http, use: [${tokens ? 'token, ' : ''}basic] }
  - { door: postgres, use: [scram, password${tokens ? ', token' : ''}] }
${holdsGrants ? 'grants: { accounts: people }' : ''}
policies: { staff: { roles: [staff] }${holdsGrants ? ', granted: { grant: DQL on database shop }' : ''} }
routes:
  - { path: /who, methods: [GET], upstream: who, allow: [staff], identity_headers: { id: X-User } }
${holdsGrants ? '  - { path: /granted, methods: [GET], upstream: who, allow: [granted], identity_headers: { id: X-User } }' : ''}
keys: { store: { kind: directory, path: keys }, master: file:master, client_id: shop-keys }
audit: { file: audit${node}.jsonl }
${more(secret)}`
    const nodes: Node[] = []
    const run = async (args: readonly string[], stdin = ''): Promise<string> => {
      const [program, ...first] = bawn
      const child = spawn(program, [...first, ...args, '--config', join(folder, 'bawn0.yaml')], { stdio: 'pipe' })
      child.stdin.on('error', () => {}).end(stdin)
      const [out, err, [status]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
      assert.equal(status, 0, `bawn ${args.join(' ')}\n${out}${err}`)
      return out + err
    }
    const start = async (): Promise<Node> => {
      const file = secret(`bawn${nodes.length}.yaml`, configuration(nodes.length))
      const [program, ...first] = bawn
      const child = spawn(program, [...first, 'start', '--drain', '1s', '--config', file], {
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      const ended = once(child, 'close')
      closing.push(async () => {
        child.kill('SIGTERM')
        await ended
      })
      const { addresses, log } = await listening(child)
      const portOf = (name: string): number => Number(addresses.get(name)?.split(':').at(-1))
      const node: Node = {
        url: `https://localhost:${portOf('web')}/who`,
        ready: `http://127.0.0.1:${portOf('desk')}/readyz`,
        metrics: async () => (await fetch(`http://127.0.0.1:${portOf('desk')}/metrics`)).text(),
        port: portOf('sql'),
        ca,
        log,
        async reload() {
          const said = log().length
          const deadline = AbortSignal.timeout(30_000)
          child.kill('SIGHUP')
          while (!/^reloaded:/m.test(log().slice(said))) {
            assert.doesNotMatch(log().slice(said), /^error:/m)
            await setTimeout(20, undefined, { signal: deadline })
          }
        },
      }
      nodes.push(node)
      return node
    }
    for (let n = 0; n < count; n++) await start()
    return { nodes, secret, configuration: join(folder, 'bawn0.yaml'), run, start, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function listening(child: ChildProcess) {
  let said = ''
  const addresses = new Map<string, string>()
  await new Promise<void>((resolve, reject) => {
    const read = (piece: string): void => {
      said += piece
      for (const [, name = '', address = ''] of said.matchAll(/^listening: (\w+) \(\w+\) on (.*)$/gm)) {
        addresses.set(name, address)
      }
      if (addresses.size === 3) resolve()
    }
    child.stdout?.setEncoding('utf8').on('data', read)
    child.stderr?.setEncoding('utf8').on('data', read)
    child.once('close', () => reject(new Error(`the gateway ended:\n${said}`)))
  })
  return { addresses, log: () => said }
}

/** How a login ended: `200` or `401` or `503` at the HTTP door, `ok` or a SQLSTATE at the other. */
export async function logIn(
  node: Node,
  user: string,
  password: string,
): Promise<{ readonly http: number; readonly scram: string; readonly password: string }> {
  // One after the other: of one user from one address only a few tries may be under way.
  const http = await askHttp(node, user, password)
  const scram = await askPostgres(node, user, password, 'scram')
  return { http, scram, password: await askPostgres(node, user, password, 'password') }
}

/** The status of the answer, whose body is the user where it is 200. */
export async function askHttp(node: Node, user: string, password: string, path = '/who'): Promise<number> {
  const call = request(new URL(path, node.url), {
    auth: `${user}:${password}`,
    ca: readFileSync(node.ca),
    agent: false,
  }).end()
  const [answer] = await once(call, 'response')
  const body = await text(answer)
  if (answer.statusCode === 200) assert.equal(body, user)
  return answer.statusCode
}

/** A client that is logged in. */
export async function connectAs(
  node: Node,
  user: string,
  password: string,
  by: 'scram' | 'password' | 'token',
): Promise<pg.Client> {
  const client = new pg.Client({
    ...{ host: 'localhost', port: node.port, database: 'shop', user, password },
    ssl: { ca: readFileSync(node.ca, 'utf8') },
    options: `-c bawn.login=${by}`,
  })
  client.on('error', () => {})
  await client.connect()
  return client
}

async function askPostgres(node: Node, user: string, password: string, by: 'scram' | 'password'): Promise<string> {
  try {
    const client = await connectAs(node, user, password, by)
    const { rows } = await client.query('select 1 as one')
    assert.equal(rows[0].one, 1)
    await client.end()
    return 'ok'
  } catch (error) {
    if (error instanceof Error && 'code' in error) return String(error.code)
    throw error
  }
}
