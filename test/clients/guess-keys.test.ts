import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { generateAuditKey, generateKeys } from '../../packages/bawn/src/keys/generate.ts'
import { eventually } from '../revocations-kit.ts'
import { bawn } from '../world.ts'
import { type RedisServer, startRedis } from './redis-server.ts'

// Nodes that count guesses in one Redis under different keys count apart: they say so. npm cannot install redis-server: npm run test:clients

const password = 'a password for the test'
let redis: RedisServer
let folder: string
const masterKey = randomBytes(32)
before(async () => {
  redis = await startRedis(password)
  folder = mkdtempSync(join(tmpdir(), 'bawn-guess-keys-'))
  generateAuditKey({ path: join(folder, 'keys'), masterKey })
  generateKeys({ path: join(folder, 'keys'), masterKey, clientId: 'gateway' })
})
after(() => {
  redis?.remove()
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
})

interface Started {
  log(): string
  stop(): Promise<void>
}

let count = 0
/** @param guessKey `undefined`: the node has none */
async function start(t: TestContext, prefix: string, guessKey: string | undefined, workers = 1): Promise<Started> {
  const file = join(folder, `bawn${count}.yaml`)
  const key = guessKey === undefined ? '' : ', guess_key: env:GUESS_KEY'
  writeFileSync(
    file,
    `workers: ${workers}
listeners: { web: { door: http, address: "127.0.0.1:0" } }
rate_limits: { kind: redis, url: "redis://127.0.0.1:${redis.port}/1", password: env:REDIS_PASSWORD, prefix: ${prefix}${key} }
upstreams: { none: { url: "http://127.0.0.1:1" } }
host_rules: [{ door: http, use: [] }]
routes: [{ path: /, methods: [GET], upstream: none, allow: [anyone] }]
keys: { store: { kind: directory, path: keys }, master: env:MASTER, client_id: gateway }
audit: { file: audit${count++}.jsonl }
`,
  )
  const [program, ...args] = bawn
  const env = { ...process.env, GUESS_KEY: guessKey, REDIS_PASSWORD: password, MASTER: masterKey.toString('base64') }
  const child: ChildProcess = spawn(program, [...args, 'start', '--config', file], {
    ...{ env, stdio: ['ignore', 'pipe', 'pipe'] },
  })
  let said = ''
  const listens = Promise.withResolvers<void>()
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (piece: string) => {
      said += piece
      if (/^listening: web /m.test(said)) listens.resolve()
    })
  child.once('close', () => listens.reject(new Error(`the gateway ended:\n${said}`)))
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'close')
    child.kill('SIGTERM')
    await ended
  }
  t.after(stop)
  await listens.promise
  return { log: () => said, stop }
}

/** Check values that are known in Redis. */
const marks = (prefix: string): number => Number(redis.command('-n', '1', 'ZCARD', `{${prefix}}:guess-keys`).trim())

const [one, other] = [randomBytes(32).toString('base64'), randomBytes(32).toString('base64')]
const differ = /"code":"gateway\.guess_keys_differ"/g

test('nodes with one key say nothing, workers neither', async t => {
  const nodes = [await start(t, 'same', one), await start(t, 'same', one, 2)]
  await eventually('both are known', async () => marks('same') === 1)
  for (const node of nodes) await node.stop()
  for (const node of nodes) assert.doesNotMatch(node.log(), differ)
  assert.equal(marks('same'), 0, 'who has left is not missed by a node with another key')
})

for (const [what, second] of [
  ['with another key', other],
  ['without one', undefined],
] as const) {
  test(`a node ${what} says so once, and nothing of the key`, async t => {
    const prefix = `differ${second === undefined}`
    const first = await start(t, prefix, one)
    await eventually('the first is known', async () => marks(prefix) === 1)
    const late = await start(t, prefix, second)
    await eventually('it is said', async () => differ.test(late.log()))
    assert.equal(late.log().match(differ)?.length, 1)
    const line =
      late
        .log()
        .split('\n')
        .find(text => text.includes('guess_keys_differ')) ?? ''
    assert.equal(JSON.parse(line).level, 'warn')
    assert.match(line, /count guesses apart/)
    for (const secret of [one, other]) assert(!late.log().includes(secret))
    assert.doesNotMatch(first.log(), /Redis does not answer/)
  })
}
