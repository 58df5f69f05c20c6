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

/**
 * @param clientCa PEM of the authorities whose client certificates are believed: a context brings its own
 * @throws {Error} OpenSSL's, where a certificate and its key do not fit
 */
export function chooseByServerName(
  { certificates, unknownName, fallback }: ServerNames,
  clientCa: string | Buffer | undefined,
): ChooseCertificate {
  const contexts = new Map<string, SecureContext>()
  for (const { names, certificate, key } of certificates) {
    const context = createSecureContext({
      cert: certificate,
      key,
      minVersion: 'TLSv1.2',
      ...(clientCa === undefined ? {} : { ca: clientCa }),
    })
    for (const name of names) contexts.set(name.toLowerCase(), context)
  }
  return (serverName, done) => {
    const name = serverName.toLowerCase()
    const context = contexts.get(name) ?? contexts.get(`*${name.slice(name.indexOf('.'))}`)
    if (context === undefined && unknownName === 'refuse' && !isNameOf(fallback, name)) {
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
