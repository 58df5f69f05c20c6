import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Installed } from './install.ts'

// Real servers. Each answers a request with `{ id, target }` as it saw them, and says what it has seen.

/** What a server took for a request. Texts in Latin-1. */
export interface Seen {
  /** X-Request-Id; `undefined`, or empty: there was none. */
  readonly id: string | undefined
  readonly method: string
  readonly target: string
  /** As the server decodes and normalises it. */
  readonly path: string
  readonly body: string
  /** The body came to its end; what breaks off is no request that anybody carries out. */
  readonly whole: boolean
}

export interface Server {
  readonly port: number
  readonly seen: readonly Seen[]
  /** Bodies of methods for which none is usual are not read: what is left of them it takes for the next request. */
  readonly leavesBodies?: boolean
  stop(): Promise<void>
}

export type Start = () => Promise<Server>

export function servers(installed: Installed): Readonly<Record<string, Start>> {
  const python = (...args: readonly string[]): Start => {
    return () => startProgram(port => [installed.python, args.map(text => text.replace('PORT', String(port)))])
  }
  const uvicorn = ['-m', 'uvicorn', 'servers:asgi', '--port', 'PORT', '--log-level', 'critical']
  const gunicorn = ['-m', 'gunicorn', '--bind', '127.0.0.1:PORT', '--worker-class', 'gthread', '--threads', '8']
  return {
    node: startNode,
    go: () => startProgram(port => [installed.go, [String(port)]]),
    nginx: () => startNginx(installed.nginx),
    haproxy: () => startHaproxy(installed.haproxy),
    'python http.server': python('servers.py', 'PORT'),
    'python http.server that leaves bodies of GET unread': async () => ({
      ...(await python('servers.py', 'PORT', 'unusual')()),
      leavesBodies: true,
    }),
    gunicorn: python(...gunicorn, '--keep-alive', '60', '--log-level', 'critical', 'servers:wsgi'),
    'uvicorn with h11': python(...uvicorn, '--http', 'h11', '--timeout-keep-alive', '60'),
    'uvicorn with httptools': python(...uvicorn, '--http', 'httptools', '--timeout-keep-alive', '60'),
    hypercorn: python(
      '-m',
      'hypercorn',
      'servers:asgi',
      '--bind',
      '127.0.0.1:PORT',
      '--log-level',
      'CRITICAL',
      '--workers',
      '0',
    ),
  }
}

/** It answers without having looked at any body, and goes on reading where the head has ended. */
export function startUnread({ python }: Installed): Promise<Server> {
  return startProgram(port => [python, ['servers.py', String(port), 'all']])
}

/** node:http with its own defaults, which are llhttp's strict ones. */
export async function startNode(seen: Seen[] = []): Promise<Server> {
  const server = createHttpServer((request, response) => {
    const { method = '', url: target = '', headers } = request
    const id = headers['x-request-id']?.toString()
    let body = ''
    request.setEncoding('latin1').on('data', text => {
      body += text
    })
    request.on('error', () => seen.push({ id, method, target, path: target, body, whole: false }))
    request.on('end', () => {
      seen.push({ id, method, target, path: target, body, whole: true })
      response.end(JSON.stringify({ id, target }))
    })
  })
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    // Of what breaks off, the request itself says so.
    if (error.code !== 'ECONNRESET' && error.code !== 'HPE_INVALID_EOF_STATE')
      seen.push({ id: undefined, method: 'unreadable', target: '', path: '', body: '', whole: true })
    socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')
  })
  server.keepAliveTimeout = 60_000
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  assert(address !== null && typeof address === 'object')
  return {
    port: address.port,
    seen,
    stop: async () => {
      server.close()
      server.closeAllConnections()
    },
  }
}

function startNginx(program: string): Promise<Server> {
  return startProgram((port, folder) => {
    const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
      .map(path => `${path}_temp_path ${folder}/${path};`)
      .join(' ')
    const variables = { id: 'http_x_request_id', method: 'request_method', target: 'request_uri', path: 'uri' }
    const members = Object.entries({ ...variables, text: 'request_body', status: 'status' })
    const format = members.map(([name, variable]) => `"${name}":"$${variable}"`).join(',')
    writeFileSync(
      join(folder, 'nginx.conf'),
      `daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/error.log crit;
events { worker_connections 512; }
http {
  ${paths} keepalive_requests 1000000; client_body_buffer_size 64k; client_max_body_size 64k; merge_slashes on;
  log_format seen escape=json '{${format}}';
  server {
    listen 127.0.0.1:${port}; access_log /dev/stdout seen;
    location / { proxy_pass http://unix:${folder}/behind; proxy_set_header X-Target $request_uri; }
  }
  server {
    listen unix:${folder}/behind; access_log off; default_type application/json;
    location / { return 200 '{"id":"$http_x_request_id","target":"$http_x_target"}'; }
  }
}\n`,
    )
    const args = ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', join(folder, 'error.log')]
    // nginx opens the file /dev/stdout, which has to be a pipe; of Node it would be a socket.
    return ['sh', ['-c', '"$0" "$@" | cat', program, ...args]]
  })
}

/** In front of node:http, which sees what haproxy has made of it; haproxy says itself what it could not read. */
async function startHaproxy(program: string): Promise<Server> {
  const seen: Seen[] = []
  const behind = await startNode(seen)
  const haproxy = await startProgram((port, folder) => {
    writeFileSync(
      join(folder, 'haproxy.cfg'),
      `global
  log stdout format raw local0
defaults
  mode http
  timeout client 30s
  timeout connect 5s
  timeout server 30s
  timeout http-request 30s
  timeout http-keep-alive 60s
  option dontlognull
  http-reuse always
listen front
  bind 127.0.0.1:${port}
  log global
  log-format {\\"method\\":\\"%HM\\",\\"target\\":\\"\\",\\"status\\":\\"200\\",\\"answered\\":%ST}
  http-request set-log-level silent
  server node 127.0.0.1:${behind.port}\n`,
    )
    return [program, ['-db', '-f', join(folder, 'haproxy.cfg')]]
  }, seen)
  const stop = async (): Promise<void> => {
    await haproxy.stop()
    await behind.stop()
  }
  return { ...haproxy, stop }
}

/** A program that writes what it sees to its standard output. */
async function startProgram(
  command: (port: number, folder: string) => readonly [string, readonly string[]],
  seen: Seen[] = [],
): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), 'bawn-server-'))
  mkdirSync(join(folder, 'home'))
  const port = await freePort()
  const [program, args] = command(port, folder)
  const child = spawn(program, args, {
    cwd: import.meta.dirname,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  let rest = ''
  child.stdout.setEncoding('latin1').on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) if (line.startsWith('{')) seen.push(parseSeen(line))
  })
  let complaints = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaints = (complaints + text).slice(-4_096)
  })
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit')
      // With the processes that it has started.
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
      await ended
    }
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    await answers(port, child)
  } catch (cause) {
    await stop()
    throw new Error(`${program} does not serve: ${complaints}`, { cause })
  }
  return { port, seen, stop }
}

function parseSeen(line: string): Seen {
  const { id, method, target, path, body, text, whole, status } = JSON.parse(line)
  const undefinedId = id === '' || id === '-' || id === null
  return {
    id: undefinedId ? undefined : id,
    method: String(method),
    target: String(target),
    path: String(path ?? target),
    body: text === undefined ? Buffer.from(body === '-' ? '' : (body ?? ''), 'base64').toString('latin1') : text,
    whole: status === undefined ? whole : status === '200',
  }
}

async function answers(port: number, child: ChildProcess): Promise<void> {
  for (const deadline = Date.now() + 60_000; ; ) {
    const socket = connect(port, '127.0.0.1')
    const open = await new Promise<boolean>(resolve => {
      socket.once('connect', () => resolve(true))
      socket.once('error', () => resolve(false))
    })
    socket.destroy()
    if (open) return
    if (child.exitCode !== null || Date.now() > deadline) throw new Error(`nothing listens on port ${port}`)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const address = probe.address()
  probe.close()
  await once(probe, 'close')
  assert(address !== null && typeof address === 'object')
  return address.port
}
