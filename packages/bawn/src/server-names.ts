import { constants, type X509Certificate } from 'node:crypto'
import { createSecureContext, type SecureContext } from 'node:tls'
import type { ServerTls } from './option.ts'

/** A certificate that is shown to clients who ask for one of these names. */
export interface NamedCertificate {
  /** As the configuration has them: `api.example.org`, or `*.example.org` for exactly one label more. */
  readonly names: readonly string[]
  /** PEM. */
  readonly certificate: string
  /** PEM. */
  readonly key: string
}

/** Which certificate a listener shows, by the name that a client asks for (SNI, RFC 6066 section 3). */
export interface ServerNames {
  /** At least one; the listener's own certificate is for everybody else. */
  readonly certificates: readonly NamedCertificate[]
  readonly unknownName: ServerTls['unknown_name']
  /** The listener's own certificate, which answers to the names in it. */
  readonly fallback: X509Certificate
}

/**
 * Of a server that chooses: no session is resumed. A resumed one has no certificate, so that nobody would be asked for the choice, and may
 * be of another name, which RFC 6066 section 3 forbids; what SCRAM is bound to would not be known.
 */
export const withoutResumption = { secureOptions: constants.SSL_OP_NO_TICKET } as const

/** What `tls.createServer` takes as `SNICallback`. It is not asked for clients that name nobody. */
export type ChooseCertificate = (
  serverName: string,
  done: (error: Error | null, context?: SecureContext) => void,
) => void

/** Which of them a client is shown that asks for a name; `undefined`: none. */
export function certificatesByName(
  certificates: readonly NamedCertificate[],
): (serverName: string) => NamedCertificate | undefined {
  const byName = new Map(certificates.flatMap(one => one.names.map(name => [name.toLowerCase(), one])))
  return serverName => {
    const name = serverName.toLowerCase()
    return byName.get(name) ?? byName.get(`*${name.slice(name.indexOf('.'))}`)
  }
}

/**
 * @param clientCa PEM of the authorities whose client certificates are believed: a context brings its own
 * @param ciphers as the server has them
 * @throws {Error} OpenSSL's, where a certificate and its key do not fit
 */
export function chooseByServerName(
  { certificates, unknownName, fallback }: ServerNames,
  clientCa: string | Buffer | undefined,
  ciphers?: string,
): ChooseCertificate {
  const find = certificatesByName(certificates)
  const contexts = new Map(
    certificates.map(one => {
      const { certificate, key } = one
      const context = createSecureContext({
        cert: certificate,
        key,
        minVersion: 'TLSv1.2',
        ...(ciphers === undefined ? {} : { ciphers }),
        ...(clientCa === undefined ? {} : { ca: clientCa }),
      })
      return [one, context]
    }),
  )
  return (serverName, done) => {
    const named = find(serverName)
    const context = named && contexts.get(named)
    if (context === undefined && unknownName === 'refuse' && !isNameOf(fallback, serverName.toLowerCase())) {
      done(new Error('no certificate of the listener has the name that the client asks for'))
    } else {
      done(null, context)
    }
  }
}

/** Whether a certificate is good for a name, or says itself that it is for `*.…`. The subject's CN does not count (RFC 9525). */
export function isNameOf(certificate: X509Certificate, name: string): boolean {
  if (!name.startsWith('*.')) {
    return certificate.checkHost(name, { subject: 'never', partialWildcards: false }) !== undefined
  }
  const alternatives = certificate.subjectAltName?.split(', ') ?? []
  return alternatives.some(alternative => alternative.toLowerCase() === `dns:${name.toLowerCase()}`)
}
