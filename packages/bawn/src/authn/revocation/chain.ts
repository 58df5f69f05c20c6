import { X509Certificate } from 'node:crypto'
import { AuthnError } from '../error.ts'

/** Authorities that are believed, as TLS was given them. */
export interface Authorities {
  /** They sign themselves: a chain ends here, and nobody can revoke them. */
  readonly roots: readonly X509Certificate[]
  readonly intermediates: readonly X509Certificate[]
}

const pem = /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[^-]+-----END (?:TRUSTED |X509 )?CERTIFICATE-----/g

/**
 * @param pems texts in PEM, of any number of certificates each
 * @throws {AuthnError} `authn.bad_certificate` when one cannot be read
 */
export function parseAuthorities(pems: readonly string[]): Authorities {
  const certificates = pems.flatMap(text => text.match(pem) ?? []).map(parse)
  const roots = certificates.filter(certificate => isIssuerOf(certificate, certificate))
  return { roots, intermediates: certificates.filter(certificate => !roots.includes(certificate)) }
}

/**
 * A server's certificate with its issuers, as TLS shows them. Where a text has one certificate alone, OpenSSL looks for them among the
 * authorities that are believed, and verifies what it finds, at each handshake; here that is done once, with the same outcome.
 *
 * @param authorities PEM
 * @param now ms since 1970
 * @returns PEM; the same text where it has a chain already, or none is found
 * @throws {AuthnError} `authn.bad_certificate`
 */
export function withIssuers(certificate: string, authorities: string | undefined, now: number): string {
  const [leaf, ...others] = certificate.match(pem) ?? []
  if (leaf === undefined || others.length > 0 || authorities === undefined) return certificate
  const issuers = chainOf(parse(leaf), parseAuthorities([authorities]), now)?.slice(1) ?? []
  return issuers.length === 0 ? certificate : [leaf, ...issuers.map(issuer => issuer.toString())].join('\n')
}

/** A chain longer than any that is in use: whoever made it wants to be followed. */
const maxLength = 8

/**
 * The way from a certificate to an authority that signs itself, by name, key and signature; both ends included. What the peer sent may stand
 * on the way.
 *
 * TLS has verified that there is a way. Node keeps what a client sent to itself (nodejs/node#65579): at a listener, intermediate
 * authorities have to be among those that are believed.
 *
 * @param now ms since 1970
 */
export function chainOf(
  leaf: X509Certificate,
  { roots, intermediates }: Authorities,
  now: number,
): readonly X509Certificate[] | undefined {
  const candidates = [...roots, ...intermediates, ...sentWith(leaf)]
  const isInForce = (certificate: X509Certificate): boolean =>
    certificate.validFromDate.getTime() <= now && certificate.validToDate.getTime() > now

  const extend = (chain: readonly X509Certificate[], last: X509Certificate): readonly X509Certificate[] | undefined => {
    if (roots.some(root => root.raw.equals(last.raw))) return chain
    if (chain.length >= maxLength) return undefined
    for (const candidate of candidates) {
      if (chain.includes(candidate) || !isInForce(candidate) || !isIssuerOf(candidate, last)) continue
      const found = extend([...chain, candidate], candidate)
      if (found !== undefined) return found
    }
    return undefined
  }
  return extend([leaf], leaf)
}

function sentWith(leaf: X509Certificate): readonly X509Certificate[] {
  const sent: X509Certificate[] = []
  let at = leaf.issuerCertificate
  while (at !== undefined && sent.length < maxLength) {
    sent.push(at)
    at = at.issuerCertificate
  }
  return sent
}

/** An authority, of that name and key, that signed it; `checkIssued` looks at names, key identifiers and key usage. */
function isIssuerOf(authority: X509Certificate, certificate: X509Certificate): boolean {
  return authority.ca && certificate.checkIssued(authority) && certificate.verify(authority.publicKey)
}

function parse(text: string): X509Certificate {
  try {
    return new X509Certificate(text)
  } catch (cause) {
    throw new AuthnError('authn.bad_certificate', 'an authority cannot be read', { cause })
  }
}
