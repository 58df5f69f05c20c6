import { readBasic } from './basic-credentials.ts'
import type { CertificateMechanism } from './certificate.ts'
import type { HttpMechanism } from './http-mechanism.ts'

/**
 * The certificate of the TLS handshake, at the HTTP door. It is the connection's, so every request on it is this client's. Where a request
 * names somebody besides (Basic), it must be the same one.
 */
export function createHttpCertificateMechanism(mechanism: CertificateMechanism): HttpMechanism {
  return {
    name: 'certificate',
    carries: { headers: [], query: [] },
    authenticate(credentials) {
      const { certificate } = credentials
      if (certificate === undefined) return { kind: 'absent' }
      const basic = readBasic(credentials)
      const stated = basic === undefined || basic === 'malformed' ? undefined : basic.user
      return mechanism.authenticate(certificate, stated, credentials.now)
    },
    // TLS has asked already.
    challenge: () => undefined,
  }
}
