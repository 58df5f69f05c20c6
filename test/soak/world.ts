import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { spawnCompanion } from '@bawn/demo/companion'
import { freePort } from '@bawn/demo/listen'
import { startPostgres } from '@bawn/demo/postgres'
import { apiKeyHash, generateApiKey } from '../../packages/bawn/src/authn/api-key.ts'
import { generateAuditKey, generateKeys } from '../../packages/bawn/src/keys/generate.ts'
import { startRedis } from '../clients/redis-server.ts'
import { bawn } from '../world.ts'

/** What can be killed, and comes back at the same place. */
export interface Part {
  readonly name: string
  kill(): Promise<void>
  start(): Promise<void>
}

export interface SoakWorld {
  readonly webPort: number
  readonly sqlPort: number
  readonly parts: readonly Part[]
  readonly apiKey: string
  /** A token of the issuer; claims are added to those that every token has. */
  token(claims: object, how?: 'forged' | 'unknown key'): string
  /** @returns whether the gateway has acknowledged it */
  revoke(jti: string): Promise<boolean>
  log(): string
  stop(): Promise<void>
}

/** Resolves when it has printed each of these. @param child whose standard error is read too */
async function printed(child: ChildProcess, ...texts: readonly RegExp[]): Promise<() => string> {
  let said = ''
  await new Promise<void>((resolve, reject) => {
    const read = (text: string): void => {
      said += text
      if (texts.every(one => one.test(said))) resolve()
    }
    child.stdout?.setEncoding('utf8').on('data', read)
    child.stderr?.setEncoding('utf8').on('data', read)
    child.once('close', () => reject(new Error(`it ended:\n${said}`)))
  })
  return () => said
}

async function killablePart(name: string, port: number, more: readonly string[] = []): Promise<Part> {
  let child: ChildProcess | undefined
  const args = [join(import.meta.dirname, 'part.ts'), String(port), name, ...more]
  const start = async (): Promise<void> => {
    const options = { atOurDeath: 'TERM', cwd: tmpdir(), env: process.env, stdout: 'pipe' } as const
    child = spawnCompanion(process.execPath, args, options)
    await printed(child, /ready/)
  }
  const kill = async (): Promise<void> => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'close')
    child.kill('SIGKILL')
    await ended
  }
  await start()
  return { name, kill, start }
}

/** A gateway in a process of its own, and around it real PostgreSQL and Redis, an upstream and an issuer of keys. */
export async function startSoakWorld(): Promise<SoakWorld> {
  const folder = mkdtempSync(join(tmpdir(), 'bawn-soak-'))
  const closing: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })]
  const stop = async (): Promise<void> => {
    for (const close of closing.splice(0).reverse()) await close()
  }
  try {
    const write = (name: string, text: string): void => writeFileSync(join(folder, name), text, { mode: 0o600 })
    const pair = generateKeyPairSync('ed25519')
    const forger = generateKeyPairSync('ed25519')
    const jwks = JSON.stringify({ keys: [{ ...pair.publicKey.export({ format: 'jwk' }), kid: 'one' }] })
    const upstreamPort = await freePort()
    const upstream = await killablePart('upstream', upstreamPort)
    closing.push(upstream.kill)
    const issuerPort = await freePort()
    const issuer = await killablePart('issuer', issuerPort, [jwks])
    closing.push(issuer.kill)
    const redisPassword = randomBytes(16).toString('hex')
    const redis = await startRedis(redisPassword)
    closing.push(redis.remove)
    const postgres = await startPostgres()
    closing.push(() => postgres.stop())
    const masterKey = randomBytes(32)
    generateAuditKey({ path: join(folder, 'keys'), masterKey })
    generateKeys({ path: join(folder, 'keys'), masterKey, clientId: 'soak-keys' })
    write('master', masterKey.toString('base64'))
    write('redis.password', redisPassword)
    write('postgres.password', postgres.password)
    const apiKey = generateApiKey()
    const iss = `http://127.0.0.1:${issuerPort}`
    const inRedis = `kind: redis, url: "redis://127.0.0.1:${redis.port}", password: file:redis.password`
    const identified = 'identity_headers: { id: X-User }, rate_limit: { per: client, rate: 1000000/s }'
    write(
      'bawn.yaml',
      `listeners:
  web: { door: http, address: 127.0.0.1:0 }
  sql: { door: postgres, address: 127.0.0.1:0 }
  desk: { door: admin, address: 127.0.0.1:0, token_file: desk.token }
databases:
  shop: { host: 127.0.0.1, port: ${postgres.port}, database: postgres, tls: off, login: { user: ${postgres.user}, password: file:postgres.password }, allow: [staff] }
upstreams: { api: { url: "http://127.0.0.1:${upstreamPort}" } }
issuers:
  corp: { issuer: "${iss}", audience: [shop], jwks: "${iss}/jwks", insecure_http: true, algorithms: [EdDSA], refresh: 1s, stale: 3s }
mechanisms: { jwt: {}, api-key: { keys: [{ name: nightly, hash: "${apiKeyHash(apiKey)}", roles: [staff] }] } }
host_rules:
  - { door: http, use: [jwt, api-key] }
  - { door: postgres, use: [jwt] }
policies:
  staff: { roles: [staff] }
  own: "identity.id == resource.path.customer"
routes:
  - { path: "/staff/{nonce}", methods: [GET], upstream: api, allow: [staff], ${identified} }
  - { path: "/own/{customer}/{nonce}", methods: [GET], upstream: api, allow: [own], ${identified} }
revocations: { ${inRedis}, stale_after: 3s }
rate_limits: { ${inRedis} }
keys: { store: { kind: directory, path: keys }, master: file:master, client_id: soak-keys }
audit: { file: audit.jsonl }
`,
    )
    const [program, ...first] = bawn
    const options = { atOurDeath: 'TERM', cwd: folder, env: process.env, stdout: 'pipe' } as const
    const gateway = spawnCompanion(program, [...first, 'start', '--drain', '1s'], options)
    closing.push(async () => {
      if (gateway.exitCode !== null || gateway.signalCode !== null) return
      const ended = once(gateway, 'close')
      gateway.kill('SIGTERM')
      await ended
    })
    const listening = ['web', 'sql', 'desk'].map(
      name => new RegExp(`^listening: ${name} \\(\\w+\\) on \\S+:(\\d+)\\n`, 'm'),
    )
    const log = await printed(gateway, ...listening)
    const [webPort = 0, sqlPort = 0, deskPort = 0] = listening.map(text => Number(text.exec(log())?.[1]))
    const desk = readFileSync(join(folder, 'desk.token'), 'utf8').trim()
    return {
      webPort,
      sqlPort,
      parts: [upstream, issuer, { name: 'redis', kill: redis.kill, start: redis.start }],
      apiKey,
      token(claims, how) {
        const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
        const now = Math.floor(Date.now() / 1000)
        const all = { iss, aud: 'shop', iat: now - 60, exp: now + 7_200, ...claims }
        const input = `${part({ alg: 'EdDSA', kid: how === 'unknown key' ? 'two' : 'one' })}.${part(all)}`
        const key = how === undefined ? pair.privateKey : forger.privateKey
        return `${input}.${sign(null, Buffer.from(input), key).toString('base64url')}`
      },
      async revoke(jti) {
        const headers = { authorization: `Bearer ${desk}` }
        const answer = await fetch(`http://127.0.0.1:${deskPort}/tokens/jti/${jti}`, { method: 'POST', headers })
        await answer.arrayBuffer()
        assert([200, 503].includes(answer.status), `revoke: ${answer.status}`)
        return answer.ok
      },
      log,
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}
