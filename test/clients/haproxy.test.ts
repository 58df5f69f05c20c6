import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import pg from 'pg'
import { tls } from '../../packages/bawn/src/http/http2-kit.fixture.ts'
import { type Kit as HttpKit, startDoor, startUpstream } from '../../packages/bawn/src/http/kit.test.ts'
import type { PostgresListener } from '../../packages/bawn/src/postgres/listener.ts'
import { type Kit, startKit } from '../postgres-kit.ts'

// HAProxy in front of both doors, with both versions of the PROXY protocol. Clients come from a loopback address of their own, so that
// theirs is another than HAProxy's.

const run = promisify(execFile)
const folder = mkdtempSync(join(tmpdir(), 'bawn-haproxy-'))
const closing: (() => unknown)[] = [() => rmSync(folder, { recursive: true })]
const suite = { after: (work: () => unknown) => void closing.push(work) } as never
const from = { proxy_protocol: { from: ['127.0.0.1'] } }
const client = '127.7.7.7'
let kit: Kit
let web: HttpKit
let sql: PostgresListener
let haproxy: ChildProcess
let ports: { http1: number; http2: number; sql1: number; sql2: number }

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

before(async () => {
  assert.equal(spawnSync('haproxy', ['-v']).status, 0, 'haproxy is not installed; on Debian: apt-get install haproxy')
  const upstream = await startUpstream(suite, (request, response) =>
    response.end(String(request.headers['x-forwarded-for'])),
  )
  web = await startDoor(suite, { upstream, listener: from, tls })
  kit = await startKit('')
  closing.push(() => kit.stop())
  sql = await kit.listen(from)
  const [http1, http2, sql1, sql2] = [await freePort(), await freePort(), await freePort(), await freePort()]
  ports = { http1, http2, sql1, sql2 }
  const listen = (name: string, port: number, to: number, how: string): string =>
    `listen ${name}\n  bind 127.0.0.1:${port}\n  server bawn 127.0.0.1:${to} check inter 200ms ${how}\n`
  writeFileSync(
    join(folder, 'haproxy.cfg'),
    [
      'global\n  maxconn 100\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n',
      listen('web1', http1, web.port, 'send-proxy'),
      listen('web2', http2, web.port, 'send-proxy-v2'),
      listen('sql1', sql1, sql.address.port, 'send-proxy'),
      listen('sql2', sql2, sql.address.port, 'send-proxy-v2'),
    ].join('\n'),
  )
  haproxy = spawn('haproxy', ['-db', '-f', join(folder, 'haproxy.cfg')], { stdio: ['ignore', 'ignore', 'inherit'] })
  closing.push(() => haproxy.kill())
  for (const port of [http1, http2, sql1, sql2]) await reachable(port)
})

after(async () => {
  for (const work of closing.reverse()) await work()
})

async function reachable(port: number): Promise<void> {
  const end = performance.now() + 10_000
  for (;;) {
    const socket = connect(port, '127.0.0.1')
    const [outcome] = await Promise.race([once(socket, 'connect').then(() => ['open']), once(socket, 'error')])
    socket.destroy()
    if (outcome === 'open') return
    assert.ok(performance.now() < end, `HAProxy listens on ${port}`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

test('HTTP/1.1 and HTTP/2 over TLS through HAProxy: the client’s address counts', async () => {
  assert.equal(spawnSync('curl', ['--version']).status, 0, 'curl is not installed; on Debian: apt-get install curl')
  for (const port of [ports.http1, ports.http2]) {
    for (const version of ['--http1.1', '--http2']) {
      const args = ['--silent', '--insecure', '--max-time', '10', '--interface', client, version]
      const { stdout } = await run('curl', [...args, `https://127.0.0.1:${port}/`])
      assert.equal(stdout, client)
      assert.equal(web.events.findLast(({ kind }) => kind === 'request')?.address, client)
    }
  }
  // Its checks of our health are connections of its own, and no requests.
  assert.deepEqual([...new Set(web.events.map(({ code }) => code))], [undefined])
})

test('PostgreSQL through HAProxy: the client’s address counts', async () => {
  for (const port of [ports.sql1, ports.sql2]) {
    const user = new pg.Client({
      ...kit.client('gus', { port, host: '127.0.0.1' }),
      stream: () => {
        const socket = connect({ port, host: '127.0.0.1', localAddress: client })
        socket.connect = () => socket
        return socket
      },
    })
    await user.connect()
    assert.deepEqual(
      sql.sessions().map(({ address }) => address),
      [client],
    )
    await user.end()
    const end = performance.now() + 10_000
    while (sql.sessions().length > 0) {
      assert.ok(performance.now() < end, 'the session ends')
      await new Promise(resolve => setTimeout(resolve, 10))
    }
  }
})
