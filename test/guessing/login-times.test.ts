import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { deriveArgon2idVerifier } from '../../packages/bawn/src/accounts/argon2id.ts'
import { deriveDigestVerifiers, digestHash } from '../../packages/bawn/src/accounts/digest-verifier.ts'
import {
  defaultScramIterations,
  deriveScramKeys,
  deriveScramVerifier,
} from '../../packages/bawn/src/accounts/scram-verifier.ts'
import { openSqliteAccounts } from '../../packages/bawn/src/accounts/sqlite.ts'
import { digestResponse } from '../../packages/bawn/src/authn/digest.ts'
import { generateAuditKey, generateKeys } from '../../packages/bawn/src/keys/generate.ts'
import { type RedisServer, startRedis } from '../clients/redis-server.ts'
import { type Comparison, compareRounds, quantile, shuffled } from './comparison.ts'
import { createHttpClient, nonceOf, passwordLogin, scramLogin, TimedSocket } from './timed-client.ts'

// Can it be told from the time of a failed login whether the user exists? Some thousand tries of every kind, at both doors of a gateway in a
// process of its own: one of each kind a round, in random order, so that what else the machine does falls on all of them. Each kind is compared
// with a wrong password of a user who exists, and so is a second wrong password: that is the noise. Once where tries are counted in the process
// alone, and once where a real Redis counts them as well (`rate_limits.guess_key`; needs redis-server).
//
//   npm run test:guessing                              BAWN_GUESSING_ROUNDS=5000 for a closer look; the table is printed

const rounds = Number(process.env['BAWN_GUESSING_ROUNDS'] ?? 1_000)
/** A cheap hash hides less than a dear one: 1 MiB and one pass instead of 19 MiB and two. */
const cost = { memoryKib: 1_024, passes: 1, parallelism: 1 }
const realm = 'bawn'
const folder = mkdtempSync(join(tmpdir(), 'bawn-guessing-'))
const path = (name: string): string => join(folder, name)

const kinds = [
  'wrong password',
  'wrong password again',
  'unknown user',
  'locked user',
  'locked user, right password',
  'user without password',
] as const
type Kind = (typeof kinds)[number]

const warmUps = 20
/**
 * Each kind has names of its own, as many as tries, and takes them in this order. None is tried twice, for a failed guess is known for a while;
 * and not as they stand in the file, for the page of the one before would be at hand.
 */
const order = shuffled(Array.from({ length: rounds + warmUps }, (_, at) => String(at).padStart(5, '0')))
const prefixes: Readonly<Record<Kind, string>> = {
  'wrong password': 'user',
  'wrong password again': 'usea',
  'unknown user': 'usek',
  'locked user': 'lock',
  'locked user, right password': 'usem',
  'user without password': 'none',
}
const rightPassword = 'correct horse battery'
/** Of the same form: spaces and letters may take another way through what prepares a password. */
const wrongPassword = (): string =>
  rightPassword.replace(/[a-z]/g, () => String.fromCharCode(97 + Math.floor(Math.random() * 26)))
const salt = randomBytes(16)
const userOf = (kind: Kind, round: number): string => `${prefixes[kind]}-${order[round]}`
const passwordOf = (kind: Kind): string => (kind === 'locked user, right password' ? rightPassword : wrongPassword())

/** Where tries are counted. */
const places = ['the process', 'Redis'] as const
type Place = (typeof places)[number]
const gateways: ChildProcess[] = []
const ports = new Map<string, number>()
const portOf = (place: Place, door: 'http' | 'postgres'): number => ports.get(`${place} ${door}`) ?? 0
let redis: RedisServer | undefined

before(async () => {
  const masterKey = randomBytes(32)
  generateAuditKey({ path: path('keys'), masterKey })
  generateKeys({ path: path('keys'), masterKey, clientId: 'shop-fields' })
  const redisPassword = randomBytes(16).toString('hex')
  redis = await startRedis(redisPassword)
  // What it does with its disk would drown what is looked for.
  redis.command('CONFIG', 'SET', 'appendonly', 'no')
  const configuration = `listeners: { web: { door: http, address: "127.0.0.1:0" }, sql: { door: postgres, address: "127.0.0.1:0" } }
databases: { shop: { host: 127.0.0.1, port: 1, tls: off, login: { user: b, password: env:PASSWORD }, allow: [authenticated] } }
upstreams: { main: { url: "http://127.0.0.1:1" } }
accounts: { staff: { kind: sqlite, path: accounts.db } }
mechanisms: { digest: { realm: ${realm}, nonce_lifetime: 1h } }
host_rules:
  - { door: http, address: 127.0.0.2, use: [basic] }
  - { door: http, address: 127.0.0.3, use: [digest] }
  - { door: postgres, address: 127.0.0.4, use: [password] }
  - { door: postgres, address: 127.0.0.5, use: [scram] }
routes: [{ path: /who, methods: [GET], upstream: main, allow: [authenticated] }]
keys: { store: { kind: directory, path: keys }, master: env:MASTER, client_id: shop-fields }
audit: { file: audit.jsonl }
`
  const limits = `rate_limits: { kind: redis, url: "redis://127.0.0.1:${redis.port}", password: env:REDIS, guess_key: env:GUESS_KEY }\n`
  const store = openSqliteAccounts({ name: 'staff', path: path('accounts.db') })
  const hashed = await deriveArgon2idVerifier(rightPassword, cost)
  const scram = await deriveScramVerifier(rightPassword, salt)
  const others = {
    password: await deriveArgon2idVerifier('another', cost),
    scram: await deriveScramVerifier('another', randomBytes(16)),
  }
  const realms = { realm, algorithms: ['SHA-256'] } as const
  for (const at of order) {
    for (const kind of kinds) {
      if (kind === 'unknown user') continue
      const name = `${prefixes[kind]}-${at}`
      const isRight = kind === 'locked user, right password'
      const digest = deriveDigestVerifiers(name, isRight ? rightPassword : 'another', realms)
      const verifiers = isRight ? { password: hashed, scram, digest } : { ...others, digest }
      const none = { password: undefined, scram: undefined }
      const locked = prefixes[kind] === 'lock' || isRight
      await store.add({ name, roles: ['staff'], ...(prefixes[kind] === 'none' ? none : verifiers), locked })
    }
  }
  await store.close()

  const env = {
    ...{ ...process.env, MASTER: masterKey.toString('base64'), PASSWORD: 'x' },
    ...{ REDIS: redisPassword, GUESS_KEY: randomBytes(32).toString('base64') },
  }
  const fixture = join(import.meta.dirname, 'gateway.fixture.ts')
  for (const [at, place] of places.entries()) {
    const file = path(`bawn-${at}.yaml`)
    writeFileSync(file, place === 'Redis' ? configuration + limits : configuration)
    const gateway = spawn(process.execPath, [fixture, file], { env, stdio: ['ignore', 'pipe', 'inherit'] })
    gateways.push(gateway)
    for await (const line of createInterface({ input: gateway.stdout })) {
      if (line === 'ready') break
      const [door = '', port] = line.split(' ')
      ports.set(`${place} ${door}`, Number(port))
    }
  }
})

after(async () => {
  for (const gateway of gateways) gateway.kill()
  await redis?.remove()
  rmSync(folder, { recursive: true, force: true })
})

/** Tries each kind once a round. */
async function measure(attempt: (kind: Kind, round: number) => Promise<number>): Promise<Record<Kind, number[]>> {
  const times = Object.fromEntries(kinds.map(kind => [kind, [] as number[]])) as Record<Kind, number[]>
  for (let round = 0; round < 20; round += 1)
    for (const kind of shuffled(kinds)) await attempt(kind, rounds - 1 - round)
  for (let round = 0; round < rounds - 20; round += 1) {
    for (const kind of shuffled(kinds)) times[kind].push(await attempt(kind, round))
  }
  return times
}

/** Prints the table, and fails where a kind can be told. */
function judge(door: string, times: Record<Kind, readonly number[]>): void {
  const found = new Map<Kind, Comparison>()
  const rows: string[] = []
  for (const kind of kinds) {
    const compared = compareRounds(times['wrong password'], times[kind])
    if (kind !== 'wrong password') found.set(kind, compared)
    const columns = [0.05, 0.5, 0.95].map(part => quantile(times[kind], part).toFixed(3).padStart(9)).join('')
    const share =
      kind === 'wrong password'
        ? ''
        : `${(100 * compared.slower).toFixed(1).padStart(7)} %${compared.z.toFixed(1).padStart(7)}`
    rows.push(`${kind.padEnd(30)}${columns}${share}`)
  }
  const head = `${door}, ${times['wrong password'].length} rounds; ms`.padEnd(30)
  console.log(
    `${head}${'p5'.padStart(9)}${'median'.padStart(9)}${'p95'.padStart(9)}${'slower'.padStart(9)}${'z'.padStart(7)}`,
  )
  console.log(rows.join('\n'))
  for (const [kind, { slower, z }] of found) {
    // Four standard errors happen by chance once in 16,000 comparisons; what differs by less than that and is real is still less than
    // the limits of guessing let anybody see.
    assert(
      Math.abs(z) < 4 || Math.abs(slower - 0.5) < 0.02,
      `${door}: ${kind} is slower in ${(100 * slower).toFixed(1)} %`,
    )
  }
}

for (const place of places) {
  test(`HTTP, basic, tries counted in ${place}`, async () => {
    const socket = await TimedSocket.connect(portOf(place, 'http'), '127.0.0.2')
    const get = createHttpClient(socket)
    const times = await measure(async (kind, round) => {
      const pair = Buffer.from(`${userOf(kind, round)}:${passwordOf(kind)}`).toString('base64')
      const { ms, status } = await get(`Basic ${pair}`)
      assert.equal(status, 401)
      return ms
    })
    socket.destroy()
    judge(`HTTP, basic, ${place}`, times)
  })

  test(`HTTP, digest, tries counted in ${place}`, async () => {
    const socket = await TimedSocket.connect(portOf(place, 'http'), '127.0.0.3')
    const get = createHttpClient(socket)
    const nonce = nonceOf((await get(undefined)).answer)
    assert.notEqual(nonce, '')
    const times = await measure(async (kind, round) => {
      const user = userOf(kind, round)
      const of = { method: 'GET', uri: '/who', nonce, nc: '00000001', cnonce: randomBytes(8).toString('hex') }
      const ha1 = digestHash('SHA-256', `${user}:${realm}:${passwordOf(kind)}`)
      const response = digestResponse('SHA-256', ha1, of)
      const { ms, status } = await get(
        `Digest username="${user}", realm="${realm}", uri="/who", algorithm=SHA-256, nonce="${nonce}", nc=00000001, cnonce="${of.cnonce}", qop=auth, response="${response}"`,
      )
      assert.equal(status, 401)
      return ms
    })
    socket.destroy()
    judge(`HTTP, digest, ${place}`, times)
  })

  test(`PostgreSQL, password, tries counted in ${place}`, async () => {
    const times = await measure(async (kind, round) => {
      const socket = await TimedSocket.connect(portOf(place, 'postgres'), '127.0.0.4')
      const ms = await passwordLogin(socket, userOf(kind, round), passwordOf(kind))
      socket.destroy()
      return ms
    })
    judge(`PostgreSQL, password, ${place}`, times)
  })

  test(`PostgreSQL, SCRAM, tries counted in ${place}`, async () => {
    // The keys of those who are tried with the right password; for all others, whose salts differ, they are wrong ones.
    const keys = await deriveScramKeys(rightPassword, salt, defaultScramIterations)
    const times = await measure(async (kind, round) => {
      const socket = await TimedSocket.connect(portOf(place, 'postgres'), '127.0.0.5')
      const ms = await scramLogin(socket, userOf(kind, round), keys)
      socket.destroy()
      return ms
    })
    judge(`PostgreSQL, SCRAM, ${place}`, times)
  })
}

test('every try of the latter was counted in Redis', () => {
  const [, calls] = /^cmdstat_eval:calls=(\d+)/m.exec(redis?.command('INFO', 'commandstats') ?? '') ?? []
  assert.ok(Number(calls) >= 4 * rounds * kinds.length, `${calls} calls`)
})
