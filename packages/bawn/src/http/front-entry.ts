import { createServer, type Server, type Socket } from 'node:net'
import { plainAddress } from '../authn/address.ts'
import { createProxyProtocol } from '../authn/proxy-protocol.ts'
import type { FrontHandlers, FrontLimits } from './engine.ts'

/** Where connections come in: at the front's own server, or at one before it that reads PROXY headers first. */
export interface FrontEntry {
  /** To listen with; its connections are the front's. */
  readonly server: Server
  /** The client's address on a connection of the front's, TLS or not; empty: it cannot be had any more. */
  addressOf(socket: Socket): string
  /** Takes no more connections, and cuts what is still to say who it is. @param closed when the last one has ended */
  close(closed?: () => void): void
}

/** A TCP connection is told from every other live one by its ends; a TLS server hands back the wrapped socket only. */
const endsOf = (socket: Socket): string =>
  [socket.remoteAddress, socket.remotePort, socket.localAddress, socket.localPort].join(' ')

/** @param front the server that the front has made; behind PROXY headers it does not listen itself */
export function createFrontEntry(front: Server, limits: FrontLimits, handlers: FrontHandlers): FrontEntry {
  if (limits.proxyProtocol === undefined) {
    front.maxConnections = limits.maxConnections
    return {
      server: front,
      addressOf: socket => plainAddress(socket.remoteAddress),
      close: closed => {
        front.close(closed)
      },
    }
  }
  const proxies = createProxyProtocol(limits.proxyProtocol, {
    timeoutMs: limits.headerTimeoutMs,
    maxWaiting: limits.maxConnections,
    // What protocol the client would have spoken is not known, so nothing is said; the trail has its line.
    refused: peer => {
      handlers.refuse('http.bad_forwarding', peer)
    },
  })
  const addresses = new Map<string, string>()
  const server = createServer({ allowHalfOpen: true, noDelay: true }, socket => {
    proxies.accept(socket, address => {
      const ends = endsOf(socket)
      addresses.set(ends, address)
      socket.once('close', () => addresses.delete(ends))
      front.emit('connection', socket)
    })
  })
  server.maxConnections = limits.maxConnections
  return {
    server,
    addressOf: socket => addresses.get(endsOf(socket)) ?? '',
    close: closed => {
      proxies.close()
      server.close(closed)
    },
  }
}
