import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createSecureServer, type ServerHttp2Session } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { createAuthority } from '@bawn/demo/certificates'
import { generateAuditKey } from '../../packages/bawn/src/keys/generate.ts'
import { startServer } from '../../packages/bawn/src/server.ts'
import { buildH2spec } from './build-h2spec.ts'

// h2spec at the HTTP door, and at a bare node:http2 beside it: what fails there as well is nghttp2's, or Node's.

/** What fails, and fails at a bare node:http2 too; docs/strictness.md says why. */
const known: readonly string[] = [
  'http2/5.1: closed: Sends a DATA frame after sending RST_STREAM frame',
  'http2/5.1: closed: Sends a HEADERS frame after sending RST_STREAM frame',
  'http2/5.1: closed: Sends a DATA frame',
  'http2/5.1: closed: Sends a HEADERS frame',
  'http2/5.1.1: Sends stream identifier that is numerically smaller than previous',
  'http2/5.3.1: Sends PRIORITY frame that depend on itself',
  'http2/6.3: Sends a PRIORITY frame with 0x0 stream identifier',
  'http2/6.7: Sends a PING frame with ACK',
  'http2/6.9.1: Sends multiple WINDOW_UPDATE frames increasing the flow control window to above 2^31-1 on a stream',
]
/** It depends on which comes first, the answer's end or the frame. */
const sometimes: readonly string[] = ['http2/5.1: half closed (remote): Sends a DATA frame']

const run = promisify(execFile)
const folder = mkdtempSync(join(tmpdir(), 'bawn-h2spec-'))
const issued = createAuthority('the tests').issue('localhost', 'server', ['localhost', '127.0.0.1'])
const closing: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })]
let program: string

before(async () => {
  program = await buildH2spec()
})
after(async () => {
  for (const close of closing.reverse()) await close()
})

/** @returns what failed, and how many cases there were */
async function h2spec(
  port: number,
  name: string,
): Promise<{ readonly failed: readonly string[]; readonly cases: number }> {
  const report = join(folder, `${name}.xml`)
  // A long time-out: it is what a failure takes, and a loaded machine is no failure.
  const args = ['-t', '-k', '-h', '127.0.0.1', '-p', String(port), '-o', '5', '-j', report]
  const ended = await run(program, args, { maxBuffer: 16_777_216 }).catch((error: Error) => error)
  if (ended instanceof Error && !('stdout' in ended)) throw ended
  const text = readFileSync(report, 'utf8')
  const failed: string[] = []
  let cases = 0
  for (const [, suite = '', tests = ''] of text.matchAll(
    /<testsuite [^>]*package="([^"]+)"[^>]*>(.*?)<\/testsuite>/gs,
  )) {
    for (const [, title = '', more = ''] of tests.matchAll(
      /<testcase [^>]*classname="([^"]+)"[^>]*>(.*?)<\/testcase>/gs,
    )) {
      cases++
      if (/<(?:failure|error)/.test(more)) failed.push(`${suite}: ${title}`)
    }
  }
  return { failed, cases }
}

async function startGateway(): Promise<number> {
  const upstream = createServer((request, response) => {
    request.resume()
    response.end('hello')
  }).listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  closing.push(() => {
    upstream.close()
    upstream.closeAllConnections()
  })
  const masterKey = randomBytes(32)
  const path = (name: string): string => join(folder, name)
  writeFileSync(path('master'), masterKey.toString('base64'), { mode: 0o600 })
  writeFileSync(path('web.pem'), issued.certificate)
  writeFileSync(path('web.key'), issued.key, { mode: 0o600 })
  generateAuditKey({ path: path('keys'), masterKey })
  writeFileSync(
    path('bawn.yaml'),
    `listeners:
  web: { door: http, address: "127.0.0.1:0", tls: { certificate: web.pem, key: web.key } }
upstreams: { main: { url: "http://127.0.0.1:${(upstream.address() as AddressInfo).port}" } }
host_rules: [{ door: http, use: [trust] }]
mechanisms: { trust: { user: guest, roles: [] } }
routes: [{ path: /*, methods: [GET, HEAD, POST], upstream: main, allow: [anyone] }]
keys: { store: { kind: directory, path: keys }, master: file:master, client_id: tests }
audit: { file: audit.jsonl }
`,
  )
  const server = await startServer({ configPath: path('bawn.yaml'), log: () => {}, clock: Date.now })
  closing.push(() => server.close(0))
  return Number(server.addresses['web']?.split(':').at(-1))
}

async function startNode(): Promise<number> {
  const sessions = new Set<ServerHttp2Session>()
  const server = createSecureServer({ cert: issued.certificate, key: issued.key }, (request, response) => {
    request.resume()
    response.end('hello')
  })
  server.on('session', session => {
    sessions.add(session)
    session.once('close', () => sessions.delete(session))
  })
  server.on('sessionError', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closing.push(() => {
    server.close()
    for (const session of sessions) session.destroy()
  })
  return (server.address() as AddressInfo).port
}

test('the HTTP door fails in nothing of h2spec but what node:http2 fails in', { timeout: 900_000 }, async () => {
  const ours = await h2spec(await startGateway(), 'bawn')
  const bare = await h2spec(await startNode(), 'node')
  assert.equal(ours.cases, bare.cases)
  assert.ok(ours.cases >= 145, `${ours.cases} cases`)
  console.log(`h2spec: ${ours.failed.length} of ${ours.cases} fail at Bawn, ${bare.failed.length} at node:http2`)
  const unknown = ours.failed.filter(title => !known.includes(title) && !sometimes.includes(title))
  assert.deepEqual(unknown, [])
  const onlyOurs = ours.failed.filter(title => !bare.failed.includes(title) && !sometimes.includes(title))
  assert.deepEqual(onlyOurs, [], 'what node:http2 passes')
  const page = readFileSync(join(import.meta.dirname, '../../docs/strictness.md'), 'utf8')
  for (const title of [...known, ...sometimes]) assert.ok(page.includes(`\`${title}\``), `docs/strictness.md: ${title}`)
})
