import type { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import { serverEndPointHash } from '../authn/channel-binding.ts'
import type { RevocationCheck } from '../authn/revocation/revocation-check.ts'
import { chooseByServerName, type ServerNames, withoutResumption } from '../server-names.ts'

/** PEM texts of a listener's TLS. */
export interface DoorTls {
  readonly certificate: string
  readonly key: string
  readonly clientCa: string | undefined
  readonly clientCertificate: 'off' | 'optional' | 'required'
  /** `undefined`: everybody is shown the same certificate. */
  readonly serverNames?: ServerNames | undefined
  /** Whether those certificates were revoked; `undefined`: nobody is asked. */
  readonly revocation?: RevocationCheck | undefined
}

/** Shakes hands on sockets that were accepted elsewhere, after the protocol's own first bytes. */
export interface TlsFront {
  /** Resolves with `undefined` when the handshake fails; the socket is closed then. */
  start(socket: Socket): Promise<TLSSocket | undefined>
}

/**
 * TLS 1.2 and 1.3 with ALPN `postgresql`. With `optional`, a certificate that does not verify counts as none.
 *
 * @param handshakeTimeoutMs after which a silent client is dropped
 */
export function createTlsFront(tls: DoorTls, handshakeTimeoutMs: number): TlsFront {
  const server: Server = createServer({
    cert: tls.certificate,
    key: tls.key,
    ...(tls.clientCa === undefined ? {} : { ca: tls.clientCa }),
    requestCert: tls.clientCertificate !== 'off',
    rejectUnauthorized: tls.clientCertificate === 'required',
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['postgresql'],
    ...(tls.serverNames === undefined
      ? {}
      : { ...withoutResumption, SNICallback: chooseByServerName(tls.serverNames, tls.clientCa) }),
    handshakeTimeout: handshakeTimeoutMs,
  })
  // A TCP connection is told from every other live one by its remote end; the server hands back the wrapped socket only.
  const waiting = new Map<string, (socket: TLSSocket | undefined) => void>()
  const settle = (key: string, socket: TLSSocket | undefined): void => {
    const resolve = waiting.get(key)
    waiting.delete(key)
    resolve?.(socket)
  }
  server.on('secureConnection', socket => {
    socket.on('error', () => {})
    settle(endOf(socket), socket)
  })
  server.on('tlsClientError', (_, socket) => socket.destroy())
  return {
    start(socket) {
      return new Promise(resolve => {
        const key = endOf(socket)
        waiting.set(key, resolve)
        socket.once('close', () => settle(key, undefined))
        server.emit('connection', socket)
      })
    },
  }
}

/** @returns hash of the certificate that was shown there, for SCRAM-SHA-256-PLUS; `undefined` where its algorithm defines none */
export function shownBinding(socket: TLSSocket | undefined): Uint8Array | undefined {
  const shown = socket?.getX509Certificate()
  return shown && serverEndPointHash(shown.raw)
}

/** @returns the client's certificate when its chain was verified, else `undefined` */
export function verifiedCertificate(socket: TLSSocket | undefined): X509Certificate | undefined {
  return socket?.authorized === true ? socket.getPeerX509Certificate() : undefined
}

function endOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`
}
