import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { largeBytes, loadCore, type Server, searchPath } from './http-servers.ts'
import { treeCpuMicroseconds } from './processor-time.ts'

// The clients of bench/http.ts: wrk and h2load on a core of their own, and connections that do nothing.

export const connections = 64

export interface Slice {
  /** µs of the server's processor time for each request. */
  readonly perRequest: number
  readonly perSecond: number
  readonly requests: number
}

async function run(program: string, args: readonly string[], isPinned = true): Promise<string> {
  const [command = '', ...rest] = isPinned ? ['taskset', '-c', `${loadCore}`, program, ...args] : [program, ...args]
  const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, PATH: searchPath } })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', piece => (text += piece))
  await once(child, 'close')
  return text
}

/** @param work does some requests, and says how many, and how many in a second */
async function measured(
  { pid }: Server,
  work: () => Promise<{ readonly requests: number; readonly perSecond: number }>,
): Promise<Slice> {
  const before = treeCpuMicroseconds(pid)
  const { requests, perSecond } = await work()
  return { perRequest: (treeCpuMicroseconds(pid) - before) / requests, perSecond, requests }
}

export interface WrkLoad {
  readonly path: string
  readonly seconds: number
  readonly headers?: readonly string[]
  readonly connections?: number
  /** A script in Lua. */
  readonly script?: string
  /** Where clients and servers share all cores. */
  readonly isFree?: boolean
}

/** HTTP/1.1, keep-alive, as fast as it is answered. @throws when an answer is not 2xx */
export function loadByWrk(server: Server, load: WrkLoad): Promise<Slice> {
  return measured(server, async () => {
    const said = await run(
      'wrk',
      [
        ...['-t1', `-c${load.connections ?? connections}`, `-d${load.seconds}s`, '--timeout', '10s'],
        ...(load.headers ?? []).flatMap(line => ['-H', line]),
        ...(load.script === undefined ? [] : ['-s', load.script]),
        `http://127.0.0.1:${server.port}${load.path}`,
      ],
      load.isFree !== true,
    )
    const requests = Number(/(\d+) requests in/.exec(said)?.[1])
    if (!(requests > 0) || /Non-2xx|Socket errors/.test(said)) throw new Error(`wrk ${load.path}: ${said}`)
    return { requests, perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(said)?.[1]) }
  })
}

/** 10 MB answers over 8 connections; `perSecond` is in bytes, `perRequest` for 10 MB. */
export async function loadLarge(server: Server, seconds: number): Promise<Slice> {
  const slice = await loadByWrk(server, { path: '/large', seconds, connections: 8 })
  return { ...slice, perSecond: slice.perSecond * largeBytes }
}

/**
 * Tokens that the server has not seen, or has forgotten since: there are more than its cache has room for, and they come in a round.
 *
 * @returns gives the load of the next slice, which begins where the last one ended
 */
export function freshTokens(
  folder: string,
  tokens: readonly string[],
): (seconds: number) => WrkLoad & { used(requests: number): void } {
  const file = join(folder, 'tokens')
  writeFileSync(file, `${tokens.join('\n')}\n`)
  const script = join(folder, 'tokens.lua')
  let next = 0
  return seconds => {
    writeFileSync(
      script,
      `local tokens = {}
for line in io.lines("${file}") do tokens[#tokens + 1] = line end
local at = ${next}
function request()
  at = at % #tokens + 1
  return "GET /items/17 HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nAuthorization: Bearer " .. tokens[at] .. "\\r\\n\\r\\n"
end\n`,
    )
    const used = (requests: number): void => {
      // Some were sent and not answered any more.
      next = (next + requests + connections) % tokens.length
    }
    return { path: '/items/17', seconds, script, used }
  }
}

export interface TlsLoad {
  readonly path: string
  /** h2load that is told a time instead may wait for HTTP/1.1 connections for ever. */
  readonly requests: number
  readonly headers: readonly string[]
  readonly http2: boolean
}

/** Over TLS: 64 requests under way, over 64 connections by HTTP/1.1 and over 16 by HTTP/2. @throws when an answer is not 2xx */
export function loadByTls(server: Server, { path, requests, headers, http2 }: TlsLoad): Promise<Slice> {
  return measured(server, async () => {
    const said = await run('h2load', [
      ...(http2 ? ['-c16', '-m4'] : ['--h1', `-c${connections}`]),
      ...['-n', `${requests}`, ...headers.flatMap(line => ['-H', line])],
      `https://localhost:${server.tlsPort}${path}`,
    ])
    return h2loadResult(said)
  })
}

function h2loadResult(said: string): { readonly requests: number; readonly perSecond: number } {
  const requests = Number(/status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx/.exec(said)?.[1])
  const perSecond = Number(/finished in [^,]+, ([\d.]+) req\/s/.exec(said)?.[1])
  if (!(requests > 0 && perSecond > 0)) throw new Error(`h2load: ${said}`)
  return { requests, perSecond }
}

/** ms until the answer for 99 of 100 requests that are sent at a steady rate. */
export async function steadyP99(server: Server, load: WrkLoad, perSecond: number, log: string): Promise<number> {
  writeFileSync(log, '')
  const said = await run('h2load', [
    ...[
      '--h1',
      `-c${connections}`,
      '-n',
      `${Math.ceil(perSecond * load.seconds)}`,
      `--rps=${(perSecond / connections).toFixed(2)}`,
    ],
    ...[`--log-file=${log}`, ...(load.headers ?? []).flatMap(line => ['-H', line])],
    `http://127.0.0.1:${server.port}${load.path}`,
  ])
  h2loadResult(said)
  // Start in µs, status, µs until the end.
  const times = readFileSync(log, 'utf8')
    .trim()
    .split('\n')
    .map(line => Number(line.split('\t')[2]))
    .sort((a, b) => a - b)
  return (times[Math.ceil(times.length * 0.99) - 1] ?? Number.NaN) / 1000
}

/** MB of memory that a server and all that it has started have for themselves. @param pids of the tree */
export function residentMegabytes(pids: readonly number[]): number {
  const kilobytes = pids.map(pid =>
    Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0),
  )
  return kilobytes.reduce((sum, each) => sum + each, 0) / 1024
}

/**
 * Opens connections, asks once on each, and leaves them open.
 *
 * @returns closes them
 */
export async function openIdle(
  { port }: Server,
  count: number,
  path: string,
  headers: readonly string[],
): Promise<() => void> {
  const sockets: Socket[] = []
  const head = [`GET ${path} HTTP/1.1`, 'Host: 127.0.0.1', ...headers, '', ''].join('\r\n')
  const open = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => socket.write(head))
      sockets.push(socket)
      socket.once('data', bytes => {
        if (bytes.toString('latin1', 0, 13).startsWith('HTTP/1.1 200')) resolve()
        else reject(new Error(`an idle connection got ${bytes.toString('latin1', 0, 60)}`))
      })
      socket.once('error', reject)
      socket.once('close', () => reject(new Error('an idle connection was closed')))
    })
  for (let at = 0; at < count; at += 100) {
    await Promise.all(Array.from({ length: Math.min(100, count - at) }, open))
  }
  return () => {
    for (const socket of sockets)
      socket
        .removeAllListeners('close')
        .on('error', () => {})
        .destroy()
  }
}
