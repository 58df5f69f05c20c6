import type { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { TLSSocket, type TlsOptions } from 'node:tls'
import { type ChooseCertificate, chooseByServerName, withoutResumption } from '../server-names.ts'
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

/** @param http2 whether HTTP/2 is offered, before HTTP/1.1 */
export function tlsOptions(tls: FrontTls, http2 = false): TlsOptions {
  return {
    cert: tls.certificate,
    key: tls.key,
    minVersion: 'TLSv1.2',
    ALPNProtocols: http2 ? ['h2', 'http/1.1'] : ['http/1.1'],
    handshakeTimeout: 10_000,
    requestCert: asksForCertificates(tls),
    // `optional` admits who shows none; who shows a bad one is dropped by `showsBadCertificate`.
    rejectUnauthorized: tls.clientCertificate === 'required',
    ...(tls.clientCa === undefined ? {} : { ca: tls.clientCa }),
    ...(tls.serverNames === undefined ? {} : withoutResumption),
  }
}

/**
 * The certificate by the name that a client asks for; `renew` has it choose from others from then on: a server takes its callback once.
 *
 * @returns nothing for the server where all are shown the same
 */
export function renewableChoice(tls: FrontTls | undefined): {
  readonly options: Pick<TlsOptions, 'SNICallback'>
  readonly renew: (tls: FrontTls) => void
} {
  const choiceOf = ({ serverNames, clientCa }: FrontTls): ChooseCertificate | undefined =>
    serverNames && chooseByServerName(serverNames, clientCa)
  let choose = tls && choiceOf(tls)
  return {
    options:
      choose === undefined
        ? {}
        : { SNICallback: (name, done) => (choose === undefined ? done(null) : choose(name, done)) },
    renew: next => {
      choose = choiceOf(next)
    },
  }
}
