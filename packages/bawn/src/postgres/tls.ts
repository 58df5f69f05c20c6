import { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { createServer, DEFAULT_CIPHERS, type Server, type TLSSocket } from 'node:tls'
import { serverEndPointHash } from '../authn/channel-binding.ts'
import { withIssuers } from '../authn/revocation/chain.ts'
import type { RevocationCheck } from '../authn/revocation/revocation-check.ts'
import {
  certificatesByName,
  chooseByServerName,
  type NamedCertificate,
  type ServerNames,
  withoutResumption,
} from '../server-names.ts'

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
  /** @returns hash of the certificate that was shown there, for SCRAM-SHA-256-PLUS; `undefined` where its algorithm defines none */
  shownBinding(socket: TLSSocket): Uint8Array | undefined
}

/**
 * Those of Node, with AES-128 before AES-256. Nothing that is guarded becomes weaker: 128 bits are what the key exchange and the certificate of
 * such a connection have, and SHA-384, which comes with AES-256, is a tenth of a handshake.
 */
const ciphers = DEFAULT_CIPHERS.split(':')
  .sort((one, other) => Number(other === 'TLS_AES_128_GCM_SHA256') - Number(one === 'TLS_AES_128_GCM_SHA256'))
  .join(':')

/**
 * TLS 1.2 and 1.3 with ALPN `postgresql`. With `optional`, a certificate that does not verify counts as none.
 *
 * @param handshakeTimeoutMs after which a silent client is dropped
 */
export function createTlsFront(tls: DoorTls, handshakeTimeoutMs: number): TlsFront {
  const { serverNames } = tls
  // OpenSSL would look for the issuers and verify them anew for each client.
  const complete = (certificate: string): string => withIssuers(certificate, tls.clientCa, Date.now())
  const names = serverNames && {
    ...serverNames,
    certificates: serverNames.certificates.map(named => ({ ...named, certificate: complete(named.certificate) })),
  }
  const server: Server = createServer({
    cert: complete(tls.certificate),
    key: tls.key,
    ciphers,
    ...(tls.clientCa === undefined ? {} : { ca: tls.clientCa }),
    requestCert: tls.clientCertificate !== 'off',
    rejectUnauthorized: tls.clientCertificate === 'required',
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['postgresql'],
    // PostgreSQL resumes no sessions either. Each login is bound to a certificate that was shown and proves one that was asked for.
    ...withoutResumption,
    ...(names === undefined ? {} : { SNICallback: chooseByServerName(names, tls.clientCa, ciphers) }),
    handshakeTimeout: handshakeTimeoutMs,
  })
  const find = names && certificatesByName(names.certificates)
  /** Of each certificate once; `undefined` is the listener's own. */
  const bindings = new Map<NamedCertificate | undefined, Uint8Array | undefined>()
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
    shownBinding({ servername }) {
      // What a server has of the name is `false` where the client did not ask for one.
      const named = typeof servername === 'string' ? find?.(servername) : undefined
      if (!bindings.has(named)) {
        const { certificate } = named ?? tls
        bindings.set(named, serverEndPointHash(new X509Certificate(certificate).raw))
      }
      return bindings.get(named)
    },
  }
}

/** @returns the client's certificate when its chain was verified, else `undefined` */
export function verifiedCertificate(socket: TLSSocket | undefined): X509Certificate | undefined {
  return socket?.authorized === true ? socket.getPeerX509Certificate() : undefined
}

function endOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`
}
