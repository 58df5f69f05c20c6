import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { generateAuditKey } from '../../packages/bawn/src/keys/generate.ts'
import { startServer } from '../../packages/bawn/src/server.ts'

export const engines = ['llhttp', 'node-http'] as const
export type Engine = (typeof engines)[number]

/** What the trail says of a request. */
export interface Decided {
  readonly method: string
  /** The route. */
  readonly resource: string
  readonly decision: string
}

export interface Gateway {
  readonly ports: Readonly<Record<Engine, number>>
  /** By request id. */
  trail(): ReadonlyMap<string, Decided>
}

/**
 * A configuration with a listener for each engine, where `/admin` is nobody's and everything else anybody's.
 *
 * @param more keys of both listeners, and of the upstream
 * @returns its folder, which the caller removes
 */
export function writeConfiguration(
  upstreamPort: number,
  more: { readonly listener: string; readonly upstream: string },
): string {
  const folder = mkdtempSync(join(tmpdir(), 'bawn-smuggling-'))
  const path = (name: string): string => join(folder, name)
  const masterKey = randomBytes(32)
  writeFileSync(path('master'), masterKey.toString('base64'), { mode: 0o600 })
  generateAuditKey({ path: path('keys'), masterKey })
  const methods = 'methods: [GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS]'
  const listener = (engine: Engine): string =>
    `  ${engine}: { door: http, address: "127.0.0.1:0", engine: ${engine}, ${more.listener} }`
  writeFileSync(
    path('bawn.yaml'),
    `listeners:
${engines.map(listener).join('\n')}
upstreams: { main: { url: "http://127.0.0.1:${upstreamPort}", ${more.upstream} } }
policies: { nobody: { roles: [nobody] } }
host_rules: [{ door: http, use: [trust] }]
mechanisms: { trust: { user: guest, roles: [] } }
routes:
  - { path: /admin, ${methods}, upstream: main, allow: [nobody] }
  - { path: /admin/*, ${methods}, upstream: main, allow: [nobody] }
  - { path: /*, ${methods}, upstream: main, allow: [anyone] }
keys: { store: { kind: directory, path: keys }, master: file:master, client_id: tests }
audit: { file: audit.jsonl }
`,
  )
  return folder
}

/** Runs until the test is over. @param more keys of listeners and of the upstream; files, by name, that they mean */
export async function startGateway(
  t: TestContext,
  upstreamPort: number,
  {
    listener = '',
    upstream = '',
    files = {},
  }: { readonly listener?: string; readonly upstream?: string; readonly files?: Readonly<Record<string, string>> } = {},
): Promise<Gateway> {
  // One connection to the server, so that each request comes where the one before it has been.
  const folder = writeConfiguration(upstreamPort, { listener, upstream: `max_connections: 1, ${upstream}` })
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text, { mode: 0o600 })
  const path = (name: string): string => join(folder, name)
  const server = await startServer({ configPath: path('bawn.yaml'), log: () => {}, clock: Date.now })
  t.after(async () => {
    await server.close(0)
    rmSync(folder, { recursive: true, force: true })
  })
  const portOf = (engine: Engine): number => Number(server.addresses[engine]?.split(':').at(-1))
  return {
    ports: { llhttp: portOf('llhttp'), 'node-http': portOf('node-http') },
    trail: () => {
      const decided = new Map<string, Decided>()
      for (const line of readFileSync(path('audit.jsonl'), 'utf8').split('\n')) {
        if (line === '') continue
        const { kind, request, action, resource, decision } = JSON.parse(line)
        if (kind === 'request') decided.set(request, { method: action, resource, decision })
      }
      return decided
    },
  }
}

/** One answer. */
export interface Answer {
  readonly status: number
  readonly body: string
}

/** Sends bytes as they are. @param end the sending half is closed behind them @returns all that comes back, until the other side closes or that takes longer than `endMs` */
export async function exchange(port: number, text: string, end = false, endMs = 20_000): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  const pieces: Buffer[] = []
  socket.on('data', bytes => pieces.push(bytes))
  // A reset is an end as well.
  socket.on('error', () => {})
  const bytes = Buffer.from(text, 'latin1')
  if (end) socket.end(bytes)
  else socket.write(bytes)
  const timer = setTimeout(() => socket.destroy(), endMs)
  await new Promise(resolve => socket.once('close', resolve))
  clearTimeout(timer)
  return Buffer.concat(pieces).toString('latin1')
}

/** Cuts what came back into answers, as a client would. @param methods of the requests, in order; the last for all that follow */
export function answers(text: string, methods: readonly string[] = ['GET']): readonly Answer[] {
  const found: Answer[] = []
  let rest = text
  while (rest !== '') {
    const end = rest.indexOf('\r\n\r\n')
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(rest)?.[1])
    assert.ok(end !== -1 && status > 0, `no answer: ${JSON.stringify(rest.slice(0, 200))}`)
    const head = rest.slice(0, end)
    rest = rest.slice(end + 4)
    if (status < 200) continue
    let body = ''
    const method = methods[Math.min(found.length, methods.length - 1)]
    if (method !== 'HEAD' && /\r\ntransfer-encoding: chunked/i.test(head)) {
      for (let size = -1; size !== 0; ) {
        const line = rest.indexOf('\r\n')
        size = Number.parseInt(rest.slice(0, line), 16)
        assert.ok(size >= 0, 'a chunk of the answer')
        body += rest.slice(line + 2, line + 2 + size)
        rest = rest.slice(line + 4 + size)
      }
    } else if (method !== 'HEAD') {
      const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0)
      body = rest.slice(0, length)
      rest = rest.slice(length)
    }
    found.push({ status, body })
  }
  return found
}
