import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { createServer as createSecureServer, type ServerOptions } from 'node:https'
import type { Socket } from 'node:net'
import { listening } from '../listening.ts'
import type { Front, FrontHandlers, FrontLimits, FrontTls } from './engine.ts'
import { lastAnswer, lingerMs } from './front-answer.ts'
import { createFrontEntry } from './front-entry.ts'
import { asksForCertificates, certificateOf, renewableChoice, showsBadCertificate, tlsOptions } from './front-peer.ts'
import { type AnswerContext, NodeAnswer } from './node-answer.ts'
import { nodeBody } from './node-body.ts'
import type { HttpCode, Problem } from './problem.ts'

/** Requests of one connection that may be under way at once. */
const maxPipelined = 16

/**
 * The front on node:http: llhttp in its strict mode settles message framing; what it lets through is checked by
 * request-head.ts. Whatever is no request is answered with a problem document and a closed connection.
 */
export function createNodeFront(limits: FrontLimits, tls: FrontTls | undefined, handlers: FrontHandlers): Front {
  const choice = renewableChoice(tls)
  const options: ServerOptions = {
    insecureHTTPParser: false,
    // The check for Host is the door's: node's own answers without a problem document.
    requireHostHeader: false,
    maxHeaderSize: limits.maxHeaderBytes,
    headersTimeout: Math.min(limits.headerTimeoutMs, limits.requestTimeoutMs),
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    // How often node looks for requests that are over their time.
    connectionsCheckingInterval: Math.max(20, Math.min(1_000, limits.headerTimeoutMs / 4)),
    noDelay: true,
    ...(tls === undefined ? {} : { ...tlsOptions(tls), ...choice.options }),
  }
  let draining = false
  /** Connections whose client was refused: what still comes in on them is nobody's. */
  const refused = new WeakSet<Socket>()
  /** Connections that have not asked for anything yet: node does not count them as idle. */
  const silent = new Set<Socket>()
  /** With the answers that are not complete, oldest first; several when a client pipelines. */
  const contexts = new WeakMap<Socket, AnswerContext>()
  const contextOf = (socket: Socket): AnswerContext => ({
    writeTimeoutMs: limits.writeTimeoutMs,
    remoteAddress: entry.addressOf(socket),
    unanswered: new Set(),
    refuse: problem => close(socket, problem),
    commit: () => handlers.commit(),
    isDraining: () => draining,
    // Node knows the connection as idle only when it has done its own part of the end.
    over: () => draining && setImmediate(() => server.closeIdleConnections()),
  })
  const upgrades = new WeakSet<IncomingMessage>()
  // After a request that asks for an upgrade, node drops what was pipelined behind it: so nothing may come behind it.
  options.shouldUpgradeCallback = request => {
    upgrades.add(request)
    return false
  }

  const serve = (request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): void => {
    const socket = request.socket
    if (refused.has(socket)) return
    let context = contexts.get(socket)
    if (context === undefined) {
      silent.delete(socket)
      context = contextOf(socket)
      contexts.set(socket, context)
    }
    if (context.unanswered.size >= maxPipelined) {
      refuse('http.bad_request', socket)
      return
    }
    const answer = new NodeAnswer(request, response, context, expectsContinue)
    if (upgrades.has(request)) answer.closeAfterwards()
    handlers.request(
      {
        method: request.method ?? '',
        target: request.url ?? '',
        httpVersion: request.httpVersion,
        rawHeaders: request.rawHeaders,
        secure: tls !== undefined,
        remoteAddress: context.remoteAddress,
        ...(asksForCertificates(tls) ? { clientCertificate: () => certificateOf(socket) } : {}),
        body: nodeBody(request, expectsContinue ? () => answer.begun || response.writeContinue() : undefined),
      },
      answer,
    )
  }

  /** Answers past node's own bookkeeping, and takes nothing more from this connection. */
  const close = (socket: Socket, problem: Problem): void => {
    refused.add(socket)
    // In the middle of an answer, ours would be read as a part of it.
    if (!socket.writable || [...(contexts.get(socket)?.unanswered ?? [])].some(answer => answer.begun)) {
      socket.destroy()
      return
    }
    socket.end(lastAnswer(problem))
    // A reset would take the answer from the client, and comes at once when unread bytes are thrown away with the socket.
    const timer = setTimeout(() => socket.destroy(), lingerMs).unref()
    socket.once('close', () => clearTimeout(timer))
  }

  const refuse = (code: HttpCode, socket: Socket): void => {
    if (refused.has(socket)) return
    const open = [...(contexts.get(socket)?.unanswered ?? [])]
    const known = open.find(answer => answer.isReceiving)
    for (const answer of open) answer.lost(answer.isReceiving ? code : undefined)
    close(socket, handlers.refuse(code, known ? undefined : entry.addressOf(socket), known?.requestId))
  }

  const onRequest: RequestListener = (request, response) => serve(request, response, false)
  const server: Server = tls === undefined ? createServer(options, onRequest) : createSecureServer(options, onRequest)
  // request-head.ts counts them, and refuses; node would drop those above its own limit silently.
  server.maxHeadersCount = 0
  const entry = createFrontEntry(server, limits, handlers)
  server.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => {
    // Without an address it has been reset, and what it sent before is still here: nobody could tell whom it comes from.
    if (showsBadCertificate(socket, tls) || entry.addressOf(socket) === '') {
      refused.add(socket)
      socket.destroy()
      return
    }
    silent.add(socket)
    socket.once('close', () => silent.delete(socket))
  })
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => serve(request, response, true))
  server.on('checkExpectation', onRequest)
  server.on('connect', (_request: IncomingMessage, socket: Socket) => refuse('http.bad_request', socket))
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    // A client that left needs no answer.
    if (error.code === 'ECONNRESET' || error.code === 'EPIPE' || socket.destroyed) {
      socket.destroy()
      return
    }
    if (error.code === 'HPE_HEADER_OVERFLOW') refuse('http.header_too_large', socket)
    else if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') refuse('http.request_timeout', socket)
    else refuse('http.bad_request', socket)
  })
  // Port scans and clients that do not trust us: TLS has told them already.
  server.on('tlsClientError', (_error: Error, socket: Socket) => socket.destroy())

  return {
    listen: (host, port, reusePort) => listening(entry.server, { host, port }, reusePort),
    renewTls: next => {
      if ('setSecureContext' in server && typeof server.setSecureContext === 'function') {
        server.setSecureContext(tlsOptions(next))
      }
      choice.renew(next)
    },
    drain: () =>
      new Promise(resolve => {
        draining = true
        entry.close(() => resolve())
        server.closeIdleConnections()
        for (const socket of silent) if (socket.bytesRead === 0 || tls !== undefined) socket.destroy()
      }),
    close: () => {
      entry.close()
      server.closeAllConnections()
    },
  }
}
