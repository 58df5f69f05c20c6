import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createRawServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { generateAuditKey } from './keys/generate.ts'
import { startServer } from './server.ts'

const master = randomBytes(32)
process.env['BAWN_TEST_MASTER'] = master.toString('base64')

interface Home {
  readonly configPath: string
  /** @param route of the only route @param more further sections */
  write(route: string, more?: string, address?: string): void
}

const all = mkdtempSync(join(tmpdir(), 'bawn-server-'))
// Not after each test: hooks run in order, and the trail is closed in a later one.
after(() => rmSync(all, { recursive: true, force: true }))

function home(): Home {
  const folder = mkdtempSync(join(all, 'home-'))
  mkdirSync(join(folder, 'keys'), { mode: 0o700 })
  generateAuditKey({ path: join(folder, 'keys'), masterKey: master, clock: Date.now })
  const configPath = join(folder, 'bawn.yaml')
  const write: Home['write'] = (route, more = '', address = '127.0.0.1:0') =>
    writeFileSync(
      configPath,
      `listeners: { web: { door: http, address: "${address}" } }
upstreams: { none: { url: "http://127.0.0.1:1" } }
host_rules: [{ door: http, use: [] }]
routes: [{ path: ${route}, methods: [GET], upstream: none, allow: [anyone] }]
keys: { store: { kind: directory, path: keys }, master: env:BAWN_TEST_MASTER, client_id: tests }
audit: { file: audit.jsonl }
${more}
`,
    )
  return { configPath, write }
}

const issuer = (port: number): string =>
  `issuers: { slow: { issuer: a, audience: [b], jwks: "http://127.0.0.1:${port}/", insecure_http: true } }`

test('of two reloads at once, the file as it is now is in force at the end', async t => {
  const { configPath, write } = home()
  write('/first')
  const server = await startServer({ configPath, log: () => {}, clock: Date.now })
  t.after(() => server.close(1_000))
  const { promise: wasAsked, resolve: asked } = Promise.withResolvers<void>()
  const { promise: mayAnswer, resolve: finish } = Promise.withResolvers<void>()
  const keys = createServer((_request, response) => {
    asked()
    void mayAnswer.then(() => response.end('{"keys":[]}'))
  })
  keys.listen(0, '127.0.0.1')
  await once(keys, 'listening')
  t.after(() => {
    keys.close()
    keys.closeAllConnections()
  })
  write('/second', issuer((keys.address() as AddressInfo).port))
  const second = server.reload()
  await wasAsked
  write('/third')
  const third = server.reload()
  // Whatever can be done without the key set is done by then.
  for (let turns = 0; turns < 200; turns++) await new Promise(resolve => setImmediate(resolve))
  finish()
  assert.deepEqual([(await second).kind, (await third).kind], ['reloaded', 'reloaded'])
  const status = async (path: string): Promise<number> =>
    (await fetch(`http://${server.addresses['web']}${path}`)).status
  assert.deepEqual([await status('/second'), await status('/third')], [404, 502])
})

test('a gateway that stops does not reload any more', async () => {
  const { configPath, write } = home()
  write('/first')
  const server = await startServer({ configPath, log: () => {}, clock: Date.now })
  const closed = server.close(0)
  assert.equal((await server.reload()).kind, 'refused')
  await closed
})

test('a port that is taken stops the start, with words', async t => {
  const other = createRawServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.after(() => other.close())
  const { configPath, write } = home()
  write('/first', '', `127.0.0.1:${(other.address() as AddressInfo).port}`)
  await assert.rejects(startServer({ configPath, log: () => {}, clock: Date.now }), { code: 'gateway.listen' })
})
