import { createServer, type Socket } from 'node:net'
import { createServer as createSecureServer, TLSSocket } from 'node:tls'
import { listening } from '../listening.ts'
import type { Front, FrontHandlers, FrontLimits, FrontTls } from './engine.ts'
import { createFrontEntry } from './front-entry.ts'
import { asksForCertificates, renewableChoice, showsBadCertificate, tlsOptions } from './front-peer.ts'
import { Http2Connection } from './http2-connection.ts'
import { type ConnectionContext, type FrontConnection, RawConnection } from './raw-connection.ts'
import type { RawOutput } from './raw-output.ts'

/** Connections whose answers leave together: one call for so many lines costs next to nothing, and the first need not wait for many. */
const maxHolding = 8

/**
 * The front on bare sockets: llhttp in its strict mode settles message framing, and nothing else stands between the bytes and the door.
 * What it saves against node:http: bench/http.ts, decision 0021. Over TLS, ALPN says which connections speak HTTP/2.
 */
export function createRawFront(limits: FrontLimits, tls: FrontTls | undefined, handlers: FrontHandlers): Front {
  const connections = new Set<FrontConnection>()
  let draining = false
  let drained: (() => void) | undefined
  let now = performance.now()
  /** Whole answers that were given in this turn of the event loop: the lines of all of them are written by one call. */
  const holding: RawOutput[] = []
  const releaseAll = (): void => {
    for (const output of holding) output.release()
    holding.length = 0
  }
  const context: ConnectionContext = {
    limits,
    handlers,
    secure: tls !== undefined,
    asksForCertificates: asksForCertificates(tls),
    now: () => now,
    isDraining: () => draining,
    releaseLater: output => {
      const count = holding.push(output)
      if (count === 1) setImmediate(releaseAll)
      else if (count >= maxHolding) releaseAll()
    },
    closed: connection => {
      connections.delete(connection)
      if (draining && connections.size === 0) drained?.()
    },
  }
  const accept = (socket: Socket): void => {
    if (showsBadCertificate(socket, tls)) {
      socket.destroy()
      return
    }
    const address = entry.addressOf(socket)
    // It has been reset, and what it sent before is still here: rules about addresses would not know whom it comes from.
    if (address === '') {
      socket.destroy()
      return
    }
    const speaksHttp2 = socket instanceof TLSSocket && socket.alpnProtocol === 'h2'
    connections.add(new (speaksHttp2 ? Http2Connection : RawConnection)(socket, address, context))
  }
  const options = { allowHalfOpen: true, noDelay: true }
  const choice = renewableChoice(tls)
  const secure = tls && createSecureServer({ ...options, ...tlsOptions(tls, limits.http2), ...choice.options }, accept)
  const entry = createFrontEntry(secure ?? createServer(options, accept), limits, handlers)
  // Port scans and clients that do not trust us: TLS has told them already.
  secure?.on('tlsClientError', (_error: Error, socket: Socket) => socket.destroy())

  // One timer for all connections: setting and clearing one for each request would cost more than the request's head.
  const every = Math.max(10, Math.min(1_000, limits.headerTimeoutMs / 8, limits.keepAliveTimeoutMs / 4))
  const timer = setInterval(() => {
    now = performance.now()
    for (const connection of connections) connection.sweep(now)
  }, every)
  timer.unref()
  // When the last connection has ended.
  entry.server.once('close', () => clearInterval(timer))

  return {
    listen: (host, port, reusePort) => listening(entry.server, { host, port }, reusePort),
    renewTls: next => {
      secure?.setSecureContext(tlsOptions(next, limits.http2))
      choice.renew(next)
    },
    drain: () =>
      new Promise(resolve => {
        draining = true
        drained = resolve
        entry.close()
        for (const connection of connections) connection.drain()
        if (connections.size === 0) drained()
      }),
    close: () => {
      entry.close()
      for (const connection of connections) connection.destroy()
    },
  }
}
