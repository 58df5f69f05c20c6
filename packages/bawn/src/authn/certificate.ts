import type { X509Certificate } from 'node:crypto'
import { type AccountStore, findAccount } from '../accounts/store.ts'
import { type ClientIdSource, clientIdOf } from './client-id.ts'
import { AuthnError } from './error.ts'
import { createIdentity, noClaims, type Outcome } from './identity.ts'
import type { ServiceOptions } from './option.ts'
import { type CertificateParts, parseCertificate } from './x509.ts'

/**
 * Clients that prove themselves in the TLS handshake. The caller passes only certificates whose chain the TLS layer verified
 * (`socket.authorized`); everything else about them is looked at here.
 */
export interface CertificateMechanism {
  /**
   * @param peer the leaf certificate
   * @param statedUser the name that the client gave besides (PostgreSQL always does, HTTP with Basic): the service's name or the CN,
   *   or the login is refused
   * @param now ms since 1970
   * @throws what an account store throws: it cannot be decided who this is
   */
  authenticate(peer: X509Certificate, statedUser: string | undefined, now: number): Outcome | Promise<Outcome>
}

const clientAuth = '1.3.6.1.5.5.7.3.2'
const commonName = '2.5.4.3'

/** The subject's CN; `undefined` when there is none or more than one, as then it says nothing for sure. */
export function commonNameOf(certificate: X509Certificate): string | undefined {
  return onlyCommonName(parseCertificate(certificate.raw))
}

/**
 * @param services by name, from the configuration; roles come from there
 * @param stores where a CN that is no service's is looked up; the first that knows it decides
 * @throws {AuthnError} `authn.bad_service` when two services could be the same certificate
 */
export function createCertificateMechanism(
  services: Readonly<Record<string, ServiceOptions>>,
  stores: readonly AccountStore[] = [],
  clientIdSource: ClientIdSource = 'distinguished_name',
): CertificateMechanism {
  const byClientId = new Map<string, Service>()
  const byCommonName = new Map<string, Service>()
  for (const [name, service] of Object.entries(services)) {
    const [index, key] =
      service.client_id !== undefined ? [byClientId, service.client_id] : [byCommonName, service.common_name ?? '']
    const other = index.get(key)
    if (other !== undefined) {
      throw new AuthnError('authn.bad_service', `services ${other.name} and ${name} have the same certificate`)
    }
    index.set(key, { name, commonName: service.common_name, roles: service.roles })
  }

  /** By certificate of a connection: what it says does not change, and reading it costs more than a request. */
  const readings = new WeakMap<X509Certificate, Reading>()
  return {
    authenticate(peer, statedUser, now) {
      const read = readings.get(peer) ?? readPeer(peer, clientIdSource)
      if (read === undefined) return rejected('malformed')
      readings.set(peer, read)
      const { parts, clientId, validFrom, validTo } = read
      if (!mayIdentify(parts)) return rejected('untrusted')
      if (now < validFrom) return rejected('not-yet-valid')
      if (now > validTo) return rejected('expired')

      const cn = onlyCommonName(parts)
      const proof = {
        claims: noClaims,
        clientId,
        mechanism: 'certificate',
        expiresAt: validTo,
      } as const
      const named = byClientId.get(clientId)
      // A client id stands for the whole subject; where a service names its CN too, both must be right.
      const service = named?.commonName === undefined || named.commonName === cn ? named : undefined
      const known = service ?? (cn === undefined ? undefined : byCommonName.get(cn))
      if (known !== undefined) {
        if (statedUser !== undefined && statedUser !== known.name && statedUser !== cn) return rejected('name-mismatch')
        const identity = createIdentity({ ...proof, id: cn ?? known.name, roles: known.roles, source: 'certificate' })
        return { kind: 'identified', identity }
      }
      if (cn === undefined) return rejected('unknown-user')
      if (statedUser !== undefined && statedUser !== cn) return rejected('name-mismatch')
      if (stores.length === 0) return rejected('unknown-user')
      return findAccount(stores, cn).then(found => {
        if (found === undefined) return rejected('unknown-user')
        if (found.account.locked) return rejected('locked')
        const { roles, credential } = found.account
        const identity = createIdentity({ ...proof, id: cn, roles, source: found.source, credential })
        return { kind: 'identified', identity }
      })
    },
  }
}

interface Service {
  readonly name: string
  readonly commonName: string | undefined
  readonly roles: readonly string[]
}

interface Reading {
  readonly parts: CertificateParts
  readonly clientId: string
  /** ms since 1970 */
  readonly validFrom: number
  readonly validTo: number
}

function readPeer(peer: X509Certificate, source: ClientIdSource): Reading | undefined {
  try {
    const [validFrom, validTo] = [peer.validFromDate.getTime(), peer.validToDate.getTime()]
    return { parts: parseCertificate(peer.raw), clientId: clientIdOf(peer, source), validFrom, validTo }
  } catch (error) {
    if (error instanceof AuthnError) return undefined
    throw error
  }
}

/** Acra's rules for a client: no authority, and made for signing or for client authentication. */
function mayIdentify(parts: CertificateParts): boolean {
  return !parts.ca && (parts.digitalSignature || parts.extendedKeyUsage.includes(clientAuth))
}

function onlyCommonName({ subject }: CertificateParts): string | undefined {
  const [first, ...more] = subject.filter(attribute => attribute.oid === commonName)
  return more.length > 0 || first?.value === '' ? undefined : first?.value
}

function rejected(reason: Extract<Outcome, { kind: 'rejected' }>['reason']): Outcome {
  return { kind: 'rejected', reason }
}
