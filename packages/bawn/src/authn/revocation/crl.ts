import { setImmediate as nextTurn } from 'node:timers/promises'
import {
  type DerElement,
  expectTag,
  isTrue,
  readBits,
  readDerElement,
  readDerElementAt,
  readDerElements,
  readTime,
  tags,
} from '../der.ts'
import { AuthnError } from '../error.ts'
import { type Extensions, readAlgorithm, readExtensions, type SignatureAlgorithm } from '../x509.ts'
import { clockLeewayMs } from './ocsp.ts'
import { type Revocable, readPointUris } from './revocable.ts'
import { isSignedBy } from './signature.ts'

// Certificate revocation lists (RFC 5280 section 5), complete ones of their own issuer. Delta lists, lists of other issuers' certificates
// and lists for some reasons only are refused: by them alone, nobody can tell that a certificate is good.

/** A list, read. Whose signature it bears is not verified yet. */
export interface RevocationList {
  /** DER. */
  readonly issuerName: Uint8Array
  /** ms since 1970. */
  readonly thisUpdate: number
  /** ms since 1970: from then on it says nothing. */
  readonly validUntil: number
  /** Grows with every list of an issuer; `undefined` where the issuer does not count. */
  readonly number: bigint | undefined
  readonly authorityKeyId: Uint8Array | undefined
  readonly scope: Scope
  /** Serial numbers, big-endian without leading zeros, hex. */
  readonly revoked: ReadonlySet<string>
  readonly algorithm: SignatureAlgorithm
  readonly signed: Uint8Array
  readonly signature: Uint8Array
}

/** Which of its issuer's certificates a list is about (IssuingDistributionPoint). */
export interface Scope {
  readonly certificates: 'all' | 'users' | 'authorities' | 'none'
  /** Where its issuer splits the list: it is about certificates that name one of these. Empty: not split. */
  readonly points: readonly string[]
}

const oids = {
  authorityKeyIdentifier: '2.5.29.35',
  crlNumber: '2.5.29.20',
  issuingDistributionPoint: '2.5.29.28',
  reason: '2.5.29.21',
} as const

/** Entries that are read before others get their turn: a millisecond or two. */
const entriesPerTurn = 500

/**
 * Reads a list in DER or PEM. Large ones are read in many turns.
 *
 * @throws {AuthnError} `authn.bad_certificate` when it is none, or of a kind that does not tell who is good
 */
export async function parseRevocationList(bytes: Uint8Array): Promise<RevocationList> {
  const [list, algorithmField, signature, ...rest] = readDerElements(
    readDerElement(derOf(bytes), tags.sequence).content,
  )
  if (rest.length > 0) throw refused('it is malformed')
  const signed = expectTag(list, tags.sequence)
  const fields = [...readDerElements(signed.content)]
  // Version 1 has no extensions, so it could not say what it leaves out.
  const version = expectTag(fields.shift(), tags.integer)
  if (version.content.length !== 1 || version.content[0] !== 1) throw refused('it is of another version than 2')
  const algorithm = expectTag(fields.shift(), tags.sequence)
  if (Buffer.compare(algorithm.raw, expectTag(algorithmField, tags.sequence).raw) !== 0) {
    throw refused('it names two signature algorithms')
  }
  const issuerName = expectTag(fields.shift(), tags.sequence).raw
  const thisUpdate = readTime(fields.shift())
  // RFC 5280 section 5.1.2.5: it is always there.
  const validUntil = readTime(fields.shift())
  const entries = fields[0]?.tag === tags.sequence ? fields.shift() : undefined
  const extensions = readExtensions(fields[0]?.tag === 0xa0 ? fields.shift()?.content : undefined)
  if (fields.length > 0) throw refused('it is malformed')
  refuseCritical(extensions, [oids.authorityKeyIdentifier, oids.crlNumber, oids.issuingDistributionPoint])
  return {
    issuerName,
    thisUpdate,
    validUntil,
    number: readNumber(extensions.get(oids.crlNumber)?.value),
    authorityKeyId: readAuthorityKeyId(extensions.get(oids.authorityKeyIdentifier)?.value),
    scope: readScope(extensions.get(oids.issuingDistributionPoint)?.value),
    revoked: await readEntries(entries?.content ?? new Uint8Array()),
    algorithm: readAlgorithm(algorithmField),
    signed: signed.raw,
    signature: readBits(signature),
  }
}

/** Is it the issuer's, whole and in force? @returns why not; `undefined` when it is */
export async function whyUnusable(list: RevocationList, issuer: Revocable, now: number): Promise<string | undefined> {
  if (Buffer.compare(list.issuerName, issuer.subjectName) !== 0) return 'it is another issuer’s'
  const { authorityKeyId: wanted } = list
  if (wanted && issuer.subjectKeyId && Buffer.compare(wanted, issuer.subjectKeyId) !== 0) {
    return 'it is signed with another key of the issuer'
  }
  if (!issuer.signsLists) return 'its issuer may not sign lists'
  if (list.thisUpdate > now + clockLeewayMs) return 'it is from the future'
  if (list.validUntil <= now) return 'it is outdated'
  const isSigned = await isSignedBy(issuer.certificate.publicKey, list.algorithm, list.signed, list.signature)
  return isSigned ? undefined : 'its signature is wrong'
}

/** Does the list speak of certificates like this one of its issuer? */
export function isAbout({ scope }: RevocationList, subject: Revocable): boolean {
  if (scope.points.length > 0 && !scope.points.some(point => subject.listUrls.includes(point))) return false
  switch (scope.certificates) {
    case 'all':
      return true
    case 'users':
      return !subject.ca
    case 'authorities':
      return subject.ca
    case 'none':
      return false
  }
}

const pemBegin = '-----BEGIN X509 CRL-----'

function derOf(bytes: Uint8Array): Uint8Array {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  if (buffer[0] === tags.sequence) return buffer
  const text = buffer.toString('latin1')
  const begin = text.indexOf(pemBegin)
  const end = text.indexOf('-----END X509 CRL-----', begin)
  if (begin < 0 || end < 0) throw refused('it is neither DER nor PEM of a list')
  if (text.indexOf(pemBegin, end) >= 0) throw refused('there are several lists in one file')
  return Buffer.from(text.slice(begin + pemBegin.length, end), 'base64')
}

async function readEntries(content: Uint8Array): Promise<ReadonlySet<string>> {
  const revoked = new Set<string>()
  let count = 0
  for (let at = 0; at < content.length; ) {
    const entry = expectTag(readDerElementAt(content, at), tags.sequence)
    at += entry.raw.length
    const serial = expectTag(readDerElementAt(entry.content, 0), tags.integer)
    const date = readDerElementAt(entry.content, serial.raw.length)
    if (date.tag !== tags.utcTime && date.tag !== tags.generalizedTime) throw refused('it is malformed')
    const behind = serial.raw.length + date.raw.length
    // `certificateIssuer` is critical: entries of other issuers are none of this list.
    if (behind < entry.content.length) refuseCritical(readExtensions(entry.content.subarray(behind)), [oids.reason])
    revoked.add(serialOf(serial))
    if (++count % entriesPerTurn === 0) await nextTurn()
  }
  return revoked
}

/** Some authorities have numbers of 0, or write a zero too many; their certificates are found all the same. */
function serialOf({ content }: DerElement): string {
  let from = 0
  while (from < content.length - 1 && content[from] === 0) from += 1
  return Buffer.from(content.buffer, content.byteOffset + from, content.length - from).toString('hex')
}

function refuseCritical(extensions: Extensions, known: readonly string[]): void {
  for (const [oid, { critical }] of extensions) {
    if (critical && !known.includes(oid)) throw refused(`it has the critical extension ${oid}`)
  }
}

function readNumber(value: Uint8Array | undefined): bigint | undefined {
  if (value === undefined) return undefined
  const { content } = readDerElement(value, tags.integer)
  // RFC 5280 section 5.2.3: at most 20 octets, and not negative.
  if (content.length === 0 || content.length > 20 || (content[0] ?? 0) >= 0x80) throw refused('its number is none')
  return BigInt(`0x${Buffer.from(content).toString('hex')}`)
}

function readAuthorityKeyId(value: Uint8Array | undefined): Uint8Array | undefined {
  if (value === undefined) return undefined
  return readDerElements(readDerElement(value, tags.sequence).content).find(({ tag }) => tag === 0x80)?.content
}

function readScope(value: Uint8Array | undefined): Scope {
  if (value === undefined) return { certificates: 'all', points: [] }
  const fields = new Map(
    readDerElements(readDerElement(value, tags.sequence).content).map(element => [element.tag, element]),
  )
  const flag = (tag: number): boolean => {
    const field = fields.get(tag)
    return field !== undefined && isTrue(field)
  }
  if (fields.has(0x83)) throw refused('it is for some reasons only')
  if (flag(0x84)) throw refused('it is indirect: with certificates of other issuers')
  const name = fields.get(0xa0)
  const points = name === undefined ? [] : readPointUris(name.content)
  // A part whose name says nothing to us: about which certificates it is cannot be told.
  if (name !== undefined && points.length === 0) throw refused('it is a part of a list, by a name that is no URI')
  const kinds = [flag(0x81) && 'users', flag(0x82) && 'authorities', flag(0x85) && 'none'] as const
  const named = kinds.filter(kind => kind !== false)
  if (named.length > 1) throw refused('it is about two kinds of certificates only')
  return { certificates: named[0] ?? 'all', points }
}

function refused(detail: string): AuthnError {
  return new AuthnError('authn.bad_certificate', detail)
}
