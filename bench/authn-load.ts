import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { connect as connectTcp, createServer, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import type { ScramCredential } from '../packages/bawn/src/authn/scram-client.ts'
import { MessageBuilder } from '../packages/bawn/src/postgres/wire/builder.ts'
import { authentication, back, front } from '../packages/bawn/src/postgres/wire/message.ts'
import { buildStartupMessage } from '../packages/bawn/src/postgres/wire/startup.ts'
import { listen } from '../packages/demo/src/listen.ts'

// The other side of bench/authn.ts: clients that ask as fast as they are answered, and servers that answer at once. On plain sockets, so
// that one core is enough to keep a gateway on another core busy.

export interface Stand {
  readonly port: number
  close(): void
}

/** Answers every request with a body of 500 bytes. */
export async function startUpstream(): Promise<Stand> {
  const body = JSON.stringify({ id: 17, items: 'x'.repeat(480) })
  const answer = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  const server = createServer({ noDelay: true }, socket => {
    let rest = ''
    socket.on('error', () => {}).setEncoding('latin1')
    socket.on('data', (chunk: string) => {
      const heads = (rest + chunk).split('\r\n\r\n')
      rest = heads.pop() ?? ''
      if (heads.length > 0) socket.write(answer.repeat(heads.length))
    })
  })
  return { port: await listen(server, 0), close: () => server.close() }
}

/** An introspection endpoint (RFC 7662) that knows every token. */
export async function startIntrospection(): Promise<Stand> {
  const server = createHttpServer(async (request, response) => {
    await text(request)
    const exp = Math.floor(Date.now() / 1000) + 7_200
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ active: true, sub: 'bench-user', roles: ['staff'], exp }))
  })
  return { port: await listen(server, 0), close: () => server.close() }
}

export interface HttpLoad {
  readonly port: number
  readonly path: string
  /** Over TLS with these. */
  readonly tls?: ConnectionOptions
  readonly connections: number
  readonly requests: number
  /** Header lines of the next request, each with its end. @param connection which of them sends it */
  readonly headers: (connection: number) => string
}

/** Sends all of them over connections that stay open, one at a time on each. @throws when an answer is not 200 */
export async function loadHttp(load: HttpLoad): Promise<void> {
  let left = load.requests
  const head = `GET ${load.path} HTTP/1.1\r\nHost: localhost\r\n`
  const run = (connection: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const { port, tls } = load
      const socket = tls === undefined ? connectTcp(port, '127.0.0.1') : connectTls({ ...tls, port, host: '127.0.0.1' })
      const next = (): void => {
        if (left === 0) {
          socket.end(resolve)
          return
        }
        left -= 1
        socket.write(`${head}${load.headers(connection)}\r\n`)
      }
      let answer = ''
      socket.setNoDelay(true).setEncoding('latin1')
      socket.on('error', reject)
      socket.once(tls === undefined ? 'connect' : 'secureConnect', next)
      socket.on('data', (chunk: string) => {
        answer += chunk
        const end = answer.indexOf('\r\n\r\n')
        if (end === -1) return
        const length = Number(/\r\nContent-Length: *(\d+)/i.exec(answer)?.[1])
        if (answer.length < end + 4 + length) return
        if (!answer.startsWith('HTTP/1.1 200 ')) {
          reject(new Error(`${load.path}: ${answer}`))
          return
        }
        answer = ''
        next()
      })
      socket.once('close', () => reject(new Error(`${load.path}: the connection was closed`)))
    })
  await Promise.all(Array.from({ length: Math.min(load.connections, load.requests) }, (_, n) => run(n)))
}

/** The nonce of the digest challenge that a request without a credential gets. */
export async function askForNonce(port: number, path: string): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`)
  await answer.text()
  const nonce = /nonce="([^"]+)"/.exec(answer.headers.get('www-authenticate') ?? '')?.[1]
  if (answer.status !== 401 || nonce === undefined) throw new Error(`${path} asks for no digest: ${answer.status}`)
  return nonce
}

export interface LoginLoad {
  readonly port: number
  readonly user: string
  /** As in `-c bawn.login=`. */
  readonly by?: 'scram' | 'password' | 'jwt'
  readonly tls?: ConnectionOptions
  readonly password?: string
  /** Keeps the keys of the password: the client's own hash is not what is measured. */
  readonly scram?: ScramCredential
  readonly logins: number
  readonly connections: number
}

/** Logs in and leaves, that often. @throws when one fails, with the server's message */
export async function loadLogins(load: LoginLoad): Promise<void> {
  let left = load.logins
  const run = async (): Promise<void> => {
    while (left > 0) {
      left -= 1
      await logInOnce(load)
    }
  }
  await Promise.all(Array.from({ length: load.connections }, run))
}

function logInOnce({ port, tls, user, by, password = '', scram }: LoginLoad): Promise<void> {
  const socket: Socket =
    tls === undefined
      ? connectTcp(port, '127.0.0.1')
      : connectTls({ ...tls, port, host: '127.0.0.1', ALPNProtocols: ['postgresql'] })
  const ended = once(socket, 'close')
  const exchange = scram?.start({
    offered: ['SCRAM-SHA-256'],
    tls: tls !== undefined,
    channelBinding: undefined,
    nonce: randomBytes(18).toString('base64'),
  })
  const say = (): MessageBuilder => new MessageBuilder().begin(front.password)
  const options = by === undefined ? [] : [['options', `-c bawn.login=${by}`] as const]
  socket.once(tls === undefined ? 'connect' : 'secureConnect', () => {
    socket.write(buildStartupMessage([['user', user], ['database', 'shop'], ...options]))
  })
  const settle = async (type: number, body: Buffer): Promise<'on' | 'in'> => {
    if (type === back.readyForQuery) return 'in'
    if (type === back.error) throw new Error(`${user}, ${by}: ${body.toString('latin1').replaceAll('\0', ' ')}`)
    if (type !== back.authentication) return 'on'
    switch (body.readInt32BE(0)) {
      case authentication.cleartext:
        socket.write(say().cstring(password).end().take())
        break
      case authentication.sasl: {
        const first = exchange?.first ?? Buffer.alloc(0)
        socket.write(say().cstring('SCRAM-SHA-256').int32(first.length).bytes(first).end().take())
        break
      }
      case authentication.saslContinue: {
        const final = await exchange?.respond(body.subarray(4))
        socket.write(
          say()
            .bytes(final ?? Buffer.alloc(0))
            .end()
            .take(),
        )
        break
      }
      case authentication.saslFinal:
        exchange?.finish(body.subarray(4))
        break
    }
    return 'on'
  }
  return new Promise((resolve, reject) => {
    let received: Buffer = Buffer.alloc(0)
    let done = false
    const read = async (): Promise<void> => {
      while (!done && received.length >= 5 && received.length >= received.readInt32BE(1) + 1) {
        const size = received.readInt32BE(1) + 1
        const [type, body] = [received.readUInt8(0), received.subarray(5, size)]
        received = received.subarray(size)
        if ((await settle(type, body)) === 'in') {
          done = true
          socket.end(Buffer.from([front.terminate, 0, 0, 0, 4]))
        }
      }
    }
    let reading = Promise.resolve()
    socket.on('data', chunk => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk])
      reading = reading.then(read).catch(error => {
        socket.destroy()
        reject(error)
      })
    })
    socket.on('error', reject)
    ended.then(() => (done ? resolve() : reject(new Error(`${user}, ${by}: the door closed the connection`))), reject)
  })
}
