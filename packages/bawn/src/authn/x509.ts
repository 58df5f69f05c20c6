import {
  type DerElement,
  expectTag,
  readBits,
  readBoolean,
  readDerElement,
  readDerElements,
  readOid,
  readPositiveInteger,
  readString,
  tags,
} from './der.ts'
import { AuthnError } from './error.ts'

/** One attribute of a distinguished name, decoded. */
export interface NameAttribute {
  /** Dotted. */
  readonly oid: string
  readonly value: string
}

/** What identities need of a certificate and `node:crypto` does not give (RFC 5280 section 4.1). */
export interface CertificateParts {
  /** Big-endian, without leading zeros. */
  readonly serial: Uint8Array
  /** In the certificate's order. */
  readonly subject: readonly NameAttribute[]
  readonly ca: boolean
  /** Key usage digitalSignature; false too where the extension is missing. */
  readonly digitalSignature: boolean
  /** Dotted; empty where the extension is missing. */
  readonly extendedKeyUsage: readonly string[]
  readonly signatureAlgorithm: SignatureAlgorithm
  /** DER of the names, byte for byte: by these, issuers are compared and hashed. */
  readonly issuerName: Uint8Array
  readonly subjectName: Uint8Array
  /** The key itself: the octets inside SubjectPublicKeyInfo's bit string. */
  readonly publicKey: Uint8Array
  readonly extensions: Extensions
}

/** By OID, dotted. */
export type Extensions = ReadonlyMap<string, Extension>

export interface Extension {
  readonly critical: boolean
  /** Content of extnValue. */
  readonly value: Uint8Array
}

export interface SignatureAlgorithm {
  readonly oid: string
  /** RSASSA-PSS names its hash here, others nothing. */
  readonly parameters: DerElement | undefined
}

const known = { keyUsage: '2.5.29.15', basicConstraints: '2.5.29.19', extendedKeyUsage: '2.5.29.37' } as const

/** @param der the whole certificate @throws {AuthnError} `authn.bad_certificate` */
export function parseCertificate(der: Uint8Array): CertificateParts {
  const [toBeSigned, algorithm] = readDerElements(readDerElement(der, tags.sequence).content)
  const fields = [...readDerElements(expectTag(toBeSigned, tags.sequence).content)]
  // version [0] EXPLICIT is there in every version but the first.
  if (fields[0]?.tag === 0xa0) fields.shift()
  const [serial, , issuer, , subject, publicKey] = fields
  const extensions = readExtensions(fields.find(field => field.tag === 0xa3)?.content)
  const value = (oid: string) => extensions.get(oid)?.value
  return {
    serial: readPositiveInteger(serial),
    subject: readName(expectTag(subject, tags.sequence)),
    ca: isAuthority(value(known.basicConstraints)),
    digitalSignature: hasDigitalSignature(value(known.keyUsage)),
    extendedKeyUsage: readUsages(value(known.extendedKeyUsage)),
    signatureAlgorithm: readAlgorithm(algorithm),
    issuerName: expectTag(issuer, tags.sequence).raw,
    subjectName: expectTag(subject, tags.sequence).raw,
    publicKey: readBits(readDerElements(expectTag(publicKey, tags.sequence).content)[1]),
    extensions,
  }
}

export function readAlgorithm(element: DerElement | undefined): SignatureAlgorithm {
  const [oid, parameters] = readDerElements(expectTag(element, tags.sequence).content)
  return { oid: readOid(oid), parameters }
}

function readName(name: DerElement): readonly NameAttribute[] {
  return readDerElements(name.content).flatMap(set =>
    readDerElements(expectTag(set, tags.set).content).map(attribute => {
      const [oid, value, ...more] = readDerElements(expectTag(attribute, tags.sequence).content)
      if (value === undefined || more.length > 0) throw malformed('a name attribute without a value')
      return { oid: readOid(oid), value: readString(value) }
    }),
  )
}

const noExtensions: Extensions = new Map()

/**
 * @param extensions DER of `Extensions`, as it stands inside its explicit tag; `undefined` where there are none
 * @throws {AuthnError} `authn.bad_certificate`
 */
export function readExtensions(extensions: Uint8Array | undefined): Extensions {
  if (extensions === undefined) return noExtensions
  const found = new Map<string, Extension>()
  for (const extension of readDerElements(readDerElement(extensions, tags.sequence).content)) {
    const [id, second, ...more] = readDerElements(expectTag(extension, tags.sequence).content)
    const oid = readOid(id)
    // RFC 5280 section 4.2: one instance of each. Of two, readers take different ones.
    if (found.has(oid)) throw malformed(`two extensions ${oid}`)
    const marked = second?.tag === tags.boolean
    const [value, ...rest] = marked ? more : [second, ...more]
    if (rest.length > 0) throw malformed('an extension with something behind it')
    found.set(oid, { critical: marked && readBoolean(second), value: expectTag(value, tags.octetString).content })
  }
  return found
}

function isAuthority(basicConstraints: Uint8Array | undefined): boolean {
  if (basicConstraints === undefined) return false
  const [first] = readDerElements(readDerElement(basicConstraints, tags.sequence).content)
  return first?.tag === tags.boolean && first.content[0] !== 0
}

function hasDigitalSignature(keyUsage: Uint8Array | undefined): boolean {
  // The first octet counts unused bits; digitalSignature is bit 0, the highest of the next (RFC 5280 section 4.2.1.3).
  return keyUsage !== undefined && ((readDerElement(keyUsage, tags.bitString).content[1] ?? 0) & 0x80) !== 0
}

function readUsages(extendedKeyUsage: Uint8Array | undefined): readonly string[] {
  if (extendedKeyUsage === undefined) return []
  return readDerElements(readDerElement(extendedKeyUsage, tags.sequence).content).map(readOid)
}

function malformed(detail: string): AuthnError {
  return new AuthnError('authn.bad_certificate', `not a certificate in DER: ${detail}`)
}
