import {
  type DerElement,
  expectTag,
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
}

export interface SignatureAlgorithm {
  readonly oid: string
  /** RSASSA-PSS names its hash here, others nothing. */
  readonly parameters: DerElement | undefined
}

const extensions = { keyUsage: '2.5.29.15', basicConstraints: '2.5.29.19', extendedKeyUsage: '2.5.29.37' } as const

/** @param der the whole certificate @throws {AuthnError} `authn.bad_certificate` */
export function parseCertificate(der: Uint8Array): CertificateParts {
  const [toBeSigned, algorithm] = readDerElements(readDerElement(der, tags.sequence).content)
  const fields = [...readDerElements(expectTag(toBeSigned, tags.sequence).content)]
  // version [0] EXPLICIT is there in every version but the first.
  if (fields[0]?.tag === 0xa0) fields.shift()
  const [serial, , , , subject] = fields
  const found = readExtensions(fields.find(field => field.tag === 0xa3))
  return {
    serial: readPositiveInteger(serial),
    subject: readName(expectTag(subject, tags.sequence)),
    ca: isAuthority(found.get(extensions.basicConstraints)),
    digitalSignature: hasDigitalSignature(found.get(extensions.keyUsage)),
    extendedKeyUsage: readUsages(found.get(extensions.extendedKeyUsage)),
    signatureAlgorithm: readAlgorithm(algorithm),
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

/** Content of each extnValue by OID. */
function readExtensions(explicit: DerElement | undefined): ReadonlyMap<string, Uint8Array> {
  const found = new Map<string, Uint8Array>()
  if (explicit === undefined) return found
  for (const extension of readDerElements(readDerElement(explicit.content, tags.sequence).content)) {
    const parts = readDerElements(expectTag(extension, tags.sequence).content)
    const oid = readOid(parts[0])
    // RFC 5280 section 4.2: one instance of each. Of two, readers take different ones.
    if (found.has(oid)) throw malformed(`two extensions ${oid}`)
    found.set(oid, expectTag(parts.at(-1), tags.octetString).content)
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
