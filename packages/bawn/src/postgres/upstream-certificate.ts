import type { X509Certificate } from 'node:crypto'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'
import { serverEndPointHash } from '../authn/channel-binding.ts'
import type { Standing } from '../authn/revocation/revocation-check.ts'
import { PostgresError } from './failure.ts'
import type { UpstreamTarget } from './state.ts'

/**
 * Looks up the server's certificate where the configuration wants that, before anything is said to the server.
 *
 * @throws {PostgresError} `postgres.upstream_unreachable`, when it was revoked, and when that cannot be told
 */
export async function refuseRevokedServer({ tls }: Pick<UpstreamTarget, 'tls'>, socket: Duplex): Promise<void> {
  if (tls?.revocation === undefined) return
  const certificate = peerCertificate(socket)
  if (certificate === undefined)
    throw new PostgresError('postgres.upstream_unreachable', 'PostgreSQL has no certificate')
  let standing: Standing
  try {
    standing = await tls.revocation.check(certificate)
  } catch (cause) {
    const message = 'whether the certificate of PostgreSQL was revoked cannot be told'
    throw new PostgresError('postgres.upstream_unreachable', message, { cause })
  }
  if (standing.kind === 'good') return
  const what = standing.kind === 'revoked' ? 'was revoked' : 'is unknown to the responder'
  throw new PostgresError('postgres.upstream_unreachable', `the certificate of PostgreSQL ${what}`)
}

/** Of connections that we opened: Node takes a certificate off the chain each time it is asked (nodejs/node#65579). */
const certificates = new WeakMap<Duplex, X509Certificate>()

function peerCertificate(socket: Duplex): X509Certificate | undefined {
  const known = certificates.get(socket)
  if (known !== undefined || !(socket instanceof TLSSocket)) return known
  const certificate = socket.getPeerX509Certificate()
  if (certificate !== undefined) certificates.set(socket, certificate)
  return certificate
}

/** Hash of the certificate that the other side of a TLS connection has shown (RFC 5929 section 4). */
export function peerBinding(socket: Duplex): Uint8Array | undefined {
  const certificate = peerCertificate(socket)
  return certificate === undefined ? undefined : serverEndPointHash(certificate.raw)
}
