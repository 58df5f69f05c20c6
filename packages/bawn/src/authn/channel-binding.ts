import { hash } from 'node:crypto'
import { expectTag, readDerElement, readDerElements, tags } from './der.ts'
import { parseCertificate, readAlgorithm, type SignatureAlgorithm } from './x509.ts'

type HashName = 'sha224' | 'sha256' | 'sha384' | 'sha512'

const rsaPss = '1.2.840.113549.1.1.10'

// RFC 5929 section 4.1: the hash of the signature algorithm, SHA-256 in place of MD5 and SHA-1.
const hashOfSignature: Readonly<Record<string, HashName>> = {
  '1.2.840.113549.1.1.2': 'sha256', // md2WithRSAEncryption
  '1.2.840.113549.1.1.4': 'sha256', // md5WithRSAEncryption
  '1.2.840.113549.1.1.5': 'sha256', // sha1WithRSAEncryption
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
  '1.2.840.113549.1.1.14': 'sha224',
  '1.2.840.10040.4.3': 'sha256', // dsa-with-sha1
  '2.16.840.1.101.3.4.3.1': 'sha224', // dsa-with-sha224
  '2.16.840.1.101.3.4.3.2': 'sha256',
  '1.2.840.10045.4.1': 'sha256', // ecdsa-with-SHA1
  '1.2.840.10045.4.3.1': 'sha224',
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
}

const hashes: Readonly<Record<string, HashName>> = {
  '1.3.14.3.2.26': 'sha256', // SHA-1
  '2.16.840.1.101.3.4.2.4': 'sha224',
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
}

/**
 * What `tls-server-end-point` binds to: the hash of the server's certificate.
 *
 * @param certificateDer the leaf certificate that the server shows
 * @returns `undefined` where RFC 5929 defines none: Ed25519 and others that sign without a hash of their own
 * @throws {AuthnError} `authn.bad_certificate`
 * @see RFC 5929 section 4.1
 */
export function serverEndPointHash(certificateDer: Uint8Array): Uint8Array | undefined {
  const { signatureAlgorithm } = parseCertificate(certificateDer)
  const name =
    signatureAlgorithm.oid === rsaPss ? hashOfPss(signatureAlgorithm) : hashOfSignature[signatureAlgorithm.oid]
  return name === undefined ? undefined : hash(name, certificateDer, 'buffer')
}

/** RFC 4055 section 3.1: hashAlgorithm is [0] EXPLICIT, and SHA-1 where it is missing. */
function hashOfPss({ parameters }: SignatureAlgorithm): HashName | undefined {
  const [first] = readDerElements(expectTag(parameters, tags.sequence).content)
  if (first?.tag !== 0xa0) return 'sha256'
  return hashes[readAlgorithm(readDerElement(first.content, tags.sequence)).oid]
}
