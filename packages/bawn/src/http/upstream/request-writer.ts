import type { Socket } from 'node:net'
import type { RelayOutput } from '../../socket-fast-path.ts'
import type { BodySource } from '../engine.ts'
import type { UpstreamRequest } from './upstream.ts'

/** Which server it is. */
export interface UpstreamOrigin {
  /** Host header: name and, where it is not the scheme's own, port. */
  readonly host: string
  /** What stands before every path: empty, or `/prefix` without a slash at its end. */
  readonly prefix: string
  /** It reads every body of a method that has one, whatever it answers: `false` makes each such request the last on its connection. */
  readonly readsBodies: boolean
}

export interface RequestProgress {
  /** Who has to do something before more can be written. */
  waiting(on: 'client' | 'upstream'): void
  sent(): void
  failed(cause: Error): void
}

/** One write for a head with a body of at most this many bytes: a second write is a second system call, and with small ones a second packet. */
const maxJoined = 65_536
const methodsWithBody: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH'])

/** After 101: what comes from the client leaves as it is. @returns stops it */
export function writeRaw(socket: Socket, source: BodySource, failed: () => void): () => void {
  const drained = (): void => source.resume()
  const stop = (): void => {
    socket.off('drain', drained)
    source.cancel()
  }
  socket.on('drain', drained)
  source.start({ chunk: bytes => socket.write(bytes), end: () => socket.end(), fail: failed })
  return stop
}

/**
 * Whether it has a body of a method for which none is usual (RFC 9110 sections 9.3.1, 9.3.2, 9.3.5, 9.3.7), or any body for a server that
 * may leave it unread. It would take that for the next request on the connection: it is told beforehand that there is none.
 */
export function isLastOnConnection({ readsBodies }: UpstreamOrigin, { method, body }: UpstreamRequest): boolean {
  return (body.kind === 'bytes' || body.kind === 'stream') && !(readsBodies && methodsWithBody.has(method))
}

/**
 * Writes a request. A body that streams is taken as fast as the upstream takes it.
 *
 * @returns stops a streaming body; `undefined` when everything is written already
 */
export function writeRequest(
  socket: Socket,
  output: RelayOutput,
  origin: UpstreamOrigin,
  request: UpstreamRequest,
  progress: RequestProgress,
): (() => void) | undefined {
  const { body } = request
  const start = `${request.method} ${origin.prefix}${request.target} HTTP/1.1\r\nHost: ${origin.host}\r\n`
  const head = `${start}${isLastOnConnection(origin, request) ? 'Connection: close\r\n' : ''}${request.head}`
  if (body.kind === 'none') {
    // RFC 9110 section 8.6: a method that anticipates content says that there is none.
    output.writeText(methodsWithBody.has(request.method) ? `${head}Content-Length: 0\r\n\r\n` : `${head}\r\n`)
    return undefined
  }
  if (body.kind === 'upgrade') {
    socket.write(`${head}${body.lines}\r\n`, 'latin1')
    return undefined
  }
  if (body.kind === 'bytes') {
    const text = `${head}Content-Length: ${body.bytes.length}\r\n\r\n`
    if (body.bytes.length <= maxJoined) {
      output.write(Buffer.concat([Buffer.from(text, 'latin1'), body.bytes]))
    } else {
      socket.write(text, 'latin1')
      socket.write(body.bytes)
    }
    return undefined
  }

  const { source, length } = body
  let count = 0
  let blocked = false
  let stopped = false
  const drained = (): void => {
    blocked = false
    progress.waiting('client')
    source.resume()
  }
  const stop = (): void => {
    if (stopped) return
    stopped = true
    socket.off('drain', drained)
    source.cancel()
  }
  // Corked for this turn: a body that came with its head leaves in one piece with it.
  socket.cork()
  socket.write(
    length === undefined ? `${head}Transfer-Encoding: chunked\r\n\r\n` : `${head}Content-Length: ${length}\r\n\r\n`,
    'latin1',
  )
  progress.waiting('client')
  source.start({
    chunk: bytes => {
      if (stopped || bytes.length === 0) return true
      count += bytes.length
      let free: boolean
      if (length === undefined) {
        socket.cork()
        socket.write(`${bytes.length.toString(16)}\r\n`, 'latin1')
        socket.write(bytes)
        free = socket.write('\r\n', 'latin1')
        socket.uncork()
      } else {
        free = socket.write(bytes)
      }
      if (!free && !blocked) {
        blocked = true
        progress.waiting('upstream')
        socket.once('drain', drained)
      }
      return free
    },
    end: () => {
      if (stopped) return
      stopped = true
      if (length !== undefined && count !== length) {
        progress.failed(new Error(`a body of ${count} bytes where ${length} were promised`))
        return
      }
      if (length === undefined) socket.write('0\r\n\r\n', 'latin1')
      progress.sent()
    },
    fail: cause => {
      if (stopped) return
      stopped = true
      progress.failed(cause)
    },
  })
  process.nextTick(() => socket.uncork())
  return stop
}
