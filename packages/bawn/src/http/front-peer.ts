import type { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { TLSSocket, type TlsOptions } from 'node:tls'
import type { FrontTls } from './engine.ts'

// What the fronts share about who is at the other end of a socket.

export function asksForCertificates(tls: FrontTls | undefined): boolean {
  return tls?.clientCertificate === 'optional' || tls?.clientCertificate === 'required'
}

/** Shows a certificate that nobody we trust has issued: `optional` lets TLS come about, and the front closes. */
export function showsBadCertificate(socket: Socket, tls: FrontTls | undefined): boolean {
  return (
    socket instanceof TLSSocket &&
    !socket.authorized &&
    socket.getPeerX509Certificate() !== undefined &&
    asksForCertificates(tls)
  )
}

/** By connection: the certificate does not change on it, and reading it costs more than a request. */
const certificates = new WeakMap<Socket, X509Certificate>()

export function certificateOf(socket: Socket): X509Certificate | undefined {
  const known = certificates.get(socket)
  if (known !== undefined) return known
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined
  const certificate = socket.getPeerX509Certificate()
  if (certificate !== undefined) certificates.set(socket, certificate)
  return certificate
}

export function tlsOptions(tls: FrontTls): TlsOptions {
  return {
    cert: tls.certificate,
    key: tls.key,
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['http/1.1'],
    handshakeTimeout: 10_000,
    requestCert: asksForCertificates(tls),
    // `optional` admits who shows none; who shows a bad one is dropped by `showsBadCertificate`.
    rejectUnauthorized: tls.clientCertificate === 'required',
    ...(tls.clientCa === undefined ? {} : { ca: tls.clientCa }),
  }
}

/** `::ffff:10.0.0.1` is 10.0.0.1 on a socket that takes both families; rules and logs speak of the latter. */
export function plainAddress(address: string | undefined): string {
  if (address === undefined) return ''
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address
}
