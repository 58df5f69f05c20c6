import type { X509Certificate } from 'node:crypto'
import { expectTag, readDerElement, readDerElements, readOid, tags } from '../der.ts'
import { type Extensions, parseCertificate } from '../x509.ts'

/** What of a certificate its revocation is found out by (RFC 5280). */
export interface Revocable {
  readonly certificate: X509Certificate
  /** Big-endian without leading zeros, hex. */
  readonly serial: string
  /** DER. */
  readonly issuerName: Uint8Array
  readonly subjectName: Uint8Array
  /** The octets of the key, as CertID hashes them (RFC 6960 section 4.1.1). */
  readonly publicKey: Uint8Array
  readonly subjectKeyId: Uint8Array | undefined
  readonly ca: boolean
  /** Its key may sign lists: usage cRLSign, or no word on usage. */
  readonly signsLists: boolean
  readonly extendedKeyUsage: readonly string[]
  /** A responder's certificate that its issuer says not to ask about (id-pkix-ocsp-nocheck). */
  readonly isNotToBeChecked: boolean
  /** Where its issuer says to ask, in the certificate's order; nothing is verified of them. */
  readonly responderUrls: readonly string[]
  readonly listUrls: readonly string[]
}

const oids = {
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  crlDistributionPoints: '2.5.29.31',
  authorityInfoAccess: '1.3.6.1.5.5.7.1.1',
  ocsp: '1.3.6.1.5.5.7.48.1',
  ocspNoCheck: '1.3.6.1.5.5.7.48.1.5',
} as const

/** [6] IMPLICIT IA5String of GeneralName. */
const uriTag = 0x86

const known = new WeakMap<X509Certificate, Revocable>()

/** @throws {AuthnError} `authn.bad_certificate` */
export function revocableOf(certificate: X509Certificate): Revocable {
  const before = known.get(certificate)
  if (before !== undefined) return before
  const parts = parseCertificate(certificate.raw)
  const { extensions } = parts
  const revocable: Revocable = {
    certificate,
    serial: Buffer.from(parts.serial).toString('hex'),
    issuerName: parts.issuerName,
    subjectName: parts.subjectName,
    publicKey: parts.publicKey,
    subjectKeyId: readKeyId(extensions),
    ca: parts.ca,
    signsLists: mayUseFor(extensions, 6),
    extendedKeyUsage: parts.extendedKeyUsage,
    isNotToBeChecked: extensions.has(oids.ocspNoCheck),
    responderUrls: readResponderUrls(extensions),
    listUrls: readListUrls(extensions),
  }
  known.set(certificate, revocable)
  return revocable
}

function readKeyId(extensions: Extensions): Uint8Array | undefined {
  const value = extensions.get(oids.subjectKeyIdentifier)?.value
  return value && readDerElement(value, tags.octetString).content
}

/** @param bit of KeyUsage (RFC 5280 section 4.2.1.3): 6 is cRLSign */
function mayUseFor(extensions: Extensions, bit: number): boolean {
  const value = extensions.get(oids.keyUsage)?.value
  if (value === undefined) return true
  // The first octet counts unused bits.
  return (((readDerElement(value, tags.bitString).content[1 + (bit >> 3)] ?? 0) << (bit & 7)) & 0x80) !== 0
}

/** RFC 5280 section 4.2.2.1 */
function readResponderUrls(extensions: Extensions): readonly string[] {
  const value = extensions.get(oids.authorityInfoAccess)?.value
  if (value === undefined) return []
  return readDerElements(readDerElement(value, tags.sequence).content).flatMap(description => {
    const [method, location] = readDerElements(expectTag(description, tags.sequence).content)
    return readOid(method) === oids.ocsp && location?.tag === uriTag ? [uriOf(location.content)] : []
  })
}

/** RFC 5280 section 4.2.1.13. A point for some reasons only, or with another issuer's list, is none for us. */
function readListUrls(extensions: Extensions): readonly string[] {
  const value = extensions.get(oids.crlDistributionPoints)?.value
  if (value === undefined) return []
  return readDerElements(readDerElement(value, tags.sequence).content).flatMap(point => {
    const [name, ...more] = readDerElements(expectTag(point, tags.sequence).content)
    return name?.tag === 0xa0 && more.length === 0 ? readPointUris(name.content) : []
  })
}

/** URIs of a DistributionPointName. @param name as it stands inside its tag */
export function readPointUris(name: Uint8Array): readonly string[] {
  const [full] = readDerElements(name)
  // The other choice is a name relative to the issuer's, which nobody can fetch.
  if (full?.tag !== 0xa0) return []
  return readDerElements(full.content).flatMap(({ tag, content }) => (tag === uriTag ? [uriOf(content)] : []))
}

function uriOf(content: Uint8Array): string {
  return Buffer.from(content.buffer, content.byteOffset, content.length).toString('latin1')
}
