import { hash, X509Certificate } from 'node:crypto'
import {
  type DerElement,
  encodeDer,
  expectTag,
  readBits,
  readDerElement,
  readDerElements,
  readOid,
  readPositiveInteger,
  readTime,
  tags,
} from '../der.ts'
import { AuthnError } from '../error.ts'
import { type Extensions, readAlgorithm, readExtensions } from '../x509.ts'
import { type Revocable, revocableOf } from './revocable.ts'
import { isSignedBy } from './signature.ts'

// OCSP (RFC 6960): bytes from a question, and an answer from bytes. Nothing here opens a connection.

/** What a responder said, signed by whom it must be, about the certificate that it was asked about. */
export interface OcspAnswer {
  readonly status: 'good' | 'revoked' | 'unknown'
  /** ms since 1970. */
  readonly thisUpdate: number
  /** ms since 1970: it says nothing from then on. */
  readonly validUntil: number
  /** The responder that the issuer delegated to, where somebody has yet to say that it is not revoked itself. */
  readonly unvouched: Revocable | undefined
}

/** Of a nonce that we send (RFC 9654 section 2.1). */
export const nonceBytes = 32
/** How far a clock may be ahead of ours. */
export const clockLeewayMs = 60_000
/** An answer that does not say when there is a newer one: there always is (RFC 6960 section 2.4), so it counts as new for so long. */
const undatedMs = 300_000
/** Certificates of responders that an answer may bring. */
const maxSigners = 8

const oids = {
  basic: '1.3.6.1.5.5.7.48.1.1',
  nonce: '1.3.6.1.5.5.7.48.1.2',
  ocspSigning: '1.3.6.1.5.5.7.3.9',
} as const

const certIdHashes: Readonly<Record<string, string>> = {
  '1.3.14.3.2.26': 'sha1',
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
}
/** AlgorithmIdentifier of SHA-1. In a CertID it names an issuer and protects nothing; responders of RFC 5019 know no other. */
const sha1 = Buffer.from('300906052b0e03021a0500', 'hex')

/** DER of an OCSPRequest. @param nonce `undefined`: none is sent */
export function buildOcspRequest(subject: Revocable, issuer: Revocable, nonce: Uint8Array | undefined): Buffer {
  const serial = Buffer.from(subject.serial, 'hex')
  const isPositive = (serial[0] ?? 0) < 0x80
  const certId = sequence(
    sha1,
    octets(hash('sha1', issuer.subjectName, 'buffer')),
    octets(hash('sha1', issuer.publicKey, 'buffer')),
    encodeDer(tags.integer, isPositive ? serial : Buffer.concat([Buffer.of(0), serial])),
  )
  const list = sequence(sequence(certId))
  if (nonce === undefined) return sequence(sequence(list))
  const extension = sequence(Buffer.from('06092b0601050507300102', 'hex'), octets(octets(nonce)))
  return sequence(sequence(list, encodeDer(0xa2, sequence(extension))))
}

/**
 * Reads what a responder answered and verifies it: signed by the issuer, or by whom the issuer lets sign answers; about this certificate;
 * of now.
 *
 * @param nonce what was sent; an answer that brings another is refused. `required`: one that brings none too
 * @param now ms since 1970
 * @throws {AuthnError} `authn.bad_certificate` when it says nothing that we may believe
 */
export async function readOcspAnswer(
  bytes: Uint8Array,
  asked: {
    readonly subject: Revocable
    readonly issuer: Revocable
    readonly nonce: Uint8Array | undefined
    readonly isNonceRequired: boolean
  },
  now: number,
): Promise<OcspAnswer> {
  const [data, algorithm, signature, brought] = readDerElements(readBasicResponse(bytes))
  const response = readResponseData(expectTag(data, tags.sequence))
  checkNonce(response.extensions, asked.nonce, asked.isNonceRequired)
  if (response.producedAt > now + clockLeewayMs) throw refused('it is from the future')
  const single = findSingle(response.responses, asked.subject, asked.issuer)
  if (single.thisUpdate > now + clockLeewayMs) throw refused('it is from the future')
  const validUntil = single.nextUpdate ?? single.thisUpdate + undatedMs
  if (validUntil <= now) throw refused('it is outdated')

  const signer = findSigner(response.responder, asked.issuer, brought, now)
  const bits = readBits(signature)
  const { certificate } = signer
  if (!(await isSignedBy(certificate.publicKey, readAlgorithm(algorithm), response.raw, bits))) {
    throw refused('its signature is wrong')
  }
  const isDelegate = signer !== asked.issuer
  return {
    status: single.status,
    thisUpdate: single.thisUpdate,
    validUntil: isDelegate ? Math.min(validUntil, certificate.validToDate.getTime()) : validUntil,
    unvouched: isDelegate && !signer.isNotToBeChecked ? signer : undefined,
  }
}

const failures: Readonly<Record<number, string>> = {
  1: 'malformedRequest',
  2: 'internalError',
  3: 'tryLater',
  5: 'sigRequired',
  6: 'unauthorized',
}

/** Content of the BasicOCSPResponse (RFC 6960 section 4.2.1). */
function readBasicResponse(bytes: Uint8Array): Uint8Array {
  const [statusField, body, ...more] = readDerElements(readDerElement(bytes, tags.sequence).content)
  const [status = -1, ...others] = expectTag(statusField, tags.enumerated).content
  if (others.length > 0 || more.length > 0) throw refused('it is malformed')
  if (status !== 0) throw refused(`it says ${failures[status] ?? `status ${status}`}`)
  const [type, response] = readDerElements(readDerElement(expectTag(body, 0xa0).content, tags.sequence).content)
  if (readOid(type) !== oids.basic) throw refused('it is of another type than basic')
  return readDerElement(expectTag(response, tags.octetString).content, tags.sequence).content
}

interface ResponseData {
  /** What is signed. */
  readonly raw: Uint8Array
  /** byName [1] or byKey [2]. */
  readonly responder: DerElement
  readonly producedAt: number
  readonly responses: readonly DerElement[]
  readonly extensions: Extensions
}

function readResponseData({ raw, content }: DerElement): ResponseData {
  const fields = [...readDerElements(content)]
  // version [0] EXPLICIT DEFAULT v1: what is of another version is for other readers.
  if (fields[0]?.tag === 0xa0) throw refused('it is of another version than 1')
  const [responder, producedAt, list, last, ...more] = fields
  if (responder === undefined || more.length > 0 || (last !== undefined && last.tag !== 0xa1)) {
    throw refused('it is malformed')
  }
  return {
    raw,
    responder,
    producedAt: readTime(expectTag(producedAt, tags.generalizedTime)),
    responses: readDerElements(expectTag(list, tags.sequence).content),
    extensions: knownOnly(readExtensions(last?.content)),
  }
}

/** What is critical and unknown changes the meaning of everything else (RFC 5280 section 4.2). */
function knownOnly(extensions: Extensions): Extensions {
  for (const [oid, { critical }] of extensions) {
    if (critical && oid !== oids.nonce) throw refused(`it has the critical extension ${oid}`)
  }
  return extensions
}

function checkNonce(extensions: Extensions, sent: Uint8Array | undefined, isRequired: boolean): void {
  const value = extensions.get(oids.nonce)?.value
  if (value === undefined) {
    if (isRequired) throw refused('it has no nonce')
    return
  }
  // One that we did not ask for was made for somebody else, and is as good as one without.
  if (sent === undefined) return
  if (Buffer.compare(readDerElement(value, tags.octetString).content, sent) !== 0) throw refused('it has another nonce')
}

interface Single {
  readonly status: OcspAnswer['status']
  readonly thisUpdate: number
  readonly nextUpdate: number | undefined
}

function findSingle(responses: readonly DerElement[], subject: Revocable, issuer: Revocable): Single {
  const found = responses.flatMap(response => {
    const [id, ...rest] = readDerElements(expectTag(response, tags.sequence).content)
    return isAbout(expectTag(id, tags.sequence), subject, issuer) ? [rest] : []
  })
  const [fields, ...others] = found
  if (fields === undefined) throw refused('it is about other certificates')
  // Two that differ would leave the choice to us.
  if (others.length > 0) throw refused('it says twice what the certificate is')
  const [status, thisUpdate, ...more] = fields
  const next = more.find(({ tag }) => tag === 0xa0)
  const extensions = more.find(({ tag }) => tag === 0xa1)
  if (more.length !== (next ? 1 : 0) + (extensions ? 1 : 0)) throw refused('it is malformed')
  knownOnly(readExtensions(extensions?.content))
  return {
    status: readStatus(status),
    thisUpdate: readTime(expectTag(thisUpdate, tags.generalizedTime)),
    nextUpdate: next && readTime(readDerElement(next.content, tags.generalizedTime)),
  }
}

function readStatus(status: DerElement | undefined): OcspAnswer['status'] {
  if (status?.tag === 0x80 && status.content.length === 0) return 'good'
  if (status?.tag === 0x82 && status.content.length === 0) return 'unknown'
  if (status?.tag === 0xa1) return 'revoked'
  throw refused('it is malformed')
}

/** Is this CertID the certificate's? All of it counts: serial numbers are unique for one issuer only. */
function isAbout(certId: DerElement, subject: Revocable, issuer: Revocable): boolean {
  const [algorithm, name, key, serial] = readDerElements(certId.content)
  const hashName = certIdHashes[readAlgorithm(algorithm).oid]
  if (hashName === undefined) return false
  const same = (element: DerElement | undefined, of: Uint8Array): boolean =>
    Buffer.compare(expectTag(element, tags.octetString).content, hash(hashName, of, 'buffer')) === 0
  return (
    Buffer.from(readPositiveInteger(serial)).toString('hex') === subject.serial &&
    same(name, issuer.subjectName) &&
    same(key, issuer.publicKey)
  )
}

/**
 * Whose signature the answer has to bear: the issuer's own, or that of a certificate which the same issuer made for signing answers
 * (RFC 6960 section 4.2.2.2).
 */
function findSigner(responder: DerElement, issuer: Revocable, brought: DerElement | undefined, now: number): Revocable {
  const isNamed = (candidate: Revocable): boolean => {
    if (responder.tag === 0xa1) return Buffer.compare(responder.content, candidate.subjectName) === 0
    if (responder.tag !== 0xa2) throw refused('it is malformed')
    const keyHash = readDerElement(responder.content, tags.octetString).content
    return Buffer.compare(keyHash, hash('sha1', candidate.publicKey, 'buffer')) === 0
  }
  if (isNamed(issuer)) return issuer
  if (brought === undefined) throw refused('it is signed by somebody whose certificate is not there')
  const certificates = readDerElements(readDerElement(expectTag(brought, 0xa0).content, tags.sequence).content)
  if (certificates.length > maxSigners) throw refused(`it brings more than ${maxSigners} certificates`)
  for (const { raw } of certificates) {
    const candidate = revocableOf(parse(raw))
    if (isNamed(candidate) && isDelegate(candidate, issuer, now)) return candidate
  }
  throw refused('it is signed by somebody whom the issuer did not let')
}

function isDelegate({ certificate, extendedKeyUsage }: Revocable, issuer: Revocable, now: number): boolean {
  return (
    // anyExtendedKeyUsage is not enough: every server's certificate of this authority could speak for it then.
    extendedKeyUsage.includes(oids.ocspSigning) &&
    certificate.validFromDate.getTime() <= now + clockLeewayMs &&
    certificate.validToDate.getTime() > now &&
    certificate.checkIssued(issuer.certificate) &&
    certificate.verify(issuer.certificate.publicKey)
  )
}

function parse(der: Uint8Array): X509Certificate {
  try {
    return new X509Certificate(der)
  } catch (cause) {
    throw new AuthnError('authn.bad_certificate', 'it brings a certificate that cannot be read', { cause })
  }
}

const sequence = (...parts: readonly Uint8Array[]): Buffer => encodeDer(tags.sequence, ...parts)
const octets = (bytes: Uint8Array): Buffer => encodeDer(tags.octetString, bytes)

function refused(detail: string): AuthnError {
  return new AuthnError('authn.bad_certificate', detail)
}
