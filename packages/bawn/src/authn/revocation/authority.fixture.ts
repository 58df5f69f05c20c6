import {
  constants,
  createHash,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from 'node:crypto'
import * as ocsp from '@peculiar/asn1-ocsp'
import { AsnConvert, AsnSerializer, OctetString } from '@peculiar/asn1-schema'
import * as x509 from '@peculiar/asn1-x509'

// A public key infrastructure of somebody else's making: the schemas of @peculiar/asn1 write the certificates, lists and answers that the
// tests read, and read what we write. For tests only: nothing here is careful.

/** A certificate with its key. */
export interface Issued {
  readonly certificate: X509Certificate
  /** PEM. */
  readonly pem: string
  /** PEM, PKCS #8. */
  readonly key: string
  readonly privateKey: KeyObject
  readonly parsed: x509.Certificate
}

export type KeyKind = 'p256' | 'p384' | 'ed25519' | 'rsa' | 'rsa1024'
export type SignatureKind = 'plain' | 'pss' | 'pss-mixed' | 'sha1' | 'sha384' | 'sha512'

export interface IssueOptions {
  readonly usage?: 'client' | 'server' | 'ocsp' | 'any' | 'authority'
  readonly ocsp?: readonly string[]
  readonly crl?: readonly string[]
  /** id-pkix-ocsp-nocheck */
  readonly noCheck?: boolean
  /** keyCertSign alone, without cRLSign. */
  readonly signsNoLists?: boolean
  readonly hosts?: readonly string[]
  readonly notBefore?: Date
  readonly notAfter?: Date
  readonly serial?: Uint8Array
  readonly key?: KeyKind
  /** Further ones. */
  readonly extensions?: readonly x509.Extension[]
  /** In the name of the issuer and with another key: a forgery. */
  readonly signWith?: KeyObject
}

export interface ListOptions {
  readonly revoked?: readonly Uint8Array[]
  readonly number?: number | undefined
  readonly thisUpdate?: Date
  readonly nextUpdate?: Date | undefined
  readonly authorityKeyId?: Uint8Array | undefined
  readonly extensions?: readonly x509.Extension[]
  readonly entryExtensions?: readonly x509.Extension[]
  readonly signWith?: KeyObject
  readonly signature?: SignatureKind
  readonly version?: number | undefined
  readonly issuer?: TestAuthority
  /** Names another signature algorithm inside than outside. */
  readonly namesAnother?: boolean
}

export interface AnswerOptions {
  readonly status?: 'good' | 'revoked' | 'unknown'
  /** Of whom the answer is said to be, and who signs. Default: the authority. */
  readonly signer?: Issued
  readonly byKey?: boolean
  /** Certificates that are sent along; default: the signer's, where it is not the authority. */
  readonly brings?: readonly Issued[]
  readonly signWith?: KeyObject
  readonly signature?: SignatureKind
  readonly certIdHash?: 'sha1' | 'sha256' | 'sha512' | 'md5'
  readonly serial?: Uint8Array
  /** Whose certificate it is said to be about; default: the authority's. */
  readonly about?: TestAuthority
  readonly thisUpdate?: Date
  readonly nextUpdate?: Date | undefined
  readonly producedAt?: Date
  readonly nonce?: Uint8Array | undefined
  readonly extensions?: readonly x509.Extension[]
  readonly singleExtensions?: readonly x509.Extension[]
  /** A second answer about the same certificate. */
  readonly twice?: 'good' | 'revoked'
}

export const day = 86_400_000
const hour = 3_600_000
/** RFC 5280 section 4.1.2.5.2: no fractions, which the schemas would write. */
const second = (date: Date | number): Date => new Date(Math.floor(Number(date) / 1000) * 1000)
const buffer = (bytes: Uint8Array): ArrayBuffer => new Uint8Array(bytes).buffer
const bits = (...bytes: readonly number[]): Buffer => Buffer.from([0x03, bytes.length, ...bytes])
/** 16 bytes, positive, without a leading zero. */
export const newSerial = (): Buffer => {
  const serial = randomBytes(16)
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40
  return serial
}

/** @param value DER, or what the schemas make DER of */
export function extension(oid: string, value: Uint8Array | object, critical = false): x509.Extension {
  const der = value instanceof Uint8Array ? buffer(value) : AsnConvert.serialize(value)
  return new x509.Extension({ extnID: oid, critical, extnValue: new OctetString(der) })
}
export const issuingDistributionPoint = (content: string): x509.Extension => {
  const fields = Buffer.from(content, 'hex')
  return extension('2.5.29.28', Buffer.concat([Buffer.of(0x30, fields.length), fields]), true)
}

function pemOf(label: string, der: Uint8Array): string {
  const lines = Buffer.from(der)
    .toString('base64')
    .replace(/.{1,64}/g, '$&\n')
  return `-----BEGIN ${label}-----\n${lines}-----END ${label}-----\n`
}
export const listPem = (der: Uint8Array): string => pemOf('X509 CRL', der)

function nameOf(commonName: string): x509.Name {
  const value = new x509.AttributeValue({ utf8String: commonName })
  const attribute = new x509.AttributeTypeAndValue({ type: '2.5.4.3', value })
  return new x509.Name([new x509.RelativeDistinguishedName([attribute])])
}

function newKey(kind: KeyKind): { readonly publicKey: KeyObject; readonly privateKey: KeyObject } {
  switch (kind) {
    case 'p256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' })
    case 'p384':
      return generateKeyPairSync('ec', { namedCurve: 'P-384' })
    case 'ed25519':
      return generateKeyPairSync('ed25519')
    case 'rsa':
      return generateKeyPairSync('rsa', { modulusLength: 2048 })
    case 'rsa1024':
      return generateKeyPairSync('rsa', { modulusLength: 1024 })
  }
}

// RSASSA-PSS-params (RFC 4055 section 3.1), SHA-256 throughout with a salt of 32, and with SHA-1 in MGF1.
const pss =
  '3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120'
const mixed = '3030a00f300d06096086480165030402010500a118301606092a864886f70d010108300906052b0e03021a0500a203020120'

function algorithmOf(key: KeyObject, kind: SignatureKind): x509.AlgorithmIdentifier {
  const nothing = { algorithm: '', parameters: null }
  if (kind === 'pss' || kind === 'pss-mixed') {
    const parameters = buffer(Buffer.from(kind === 'pss' ? pss : mixed, 'hex'))
    return new x509.AlgorithmIdentifier({ algorithm: '1.2.840.113549.1.1.10', parameters })
  }
  const place = { plain: 2, sha384: 3, sha512: 4, sha1: 1 }[kind]
  switch (key.asymmetricKeyType) {
    case 'ec':
      return new x509.AlgorithmIdentifier({
        algorithm: kind === 'sha1' ? '1.2.840.10045.4.1' : `1.2.840.10045.4.3.${place}`,
      })
    case 'rsa':
      return new x509.AlgorithmIdentifier({
        ...nothing,
        algorithm: `1.2.840.113549.1.1.${{ plain: 11, sha384: 12, sha512: 13, sha1: 5 }[kind]}`,
      })
    default:
      return new x509.AlgorithmIdentifier({ algorithm: '1.3.101.112' })
  }
}

function signed(bytes: ArrayBuffer, key: KeyObject, kind: SignatureKind): ArrayBuffer {
  const hash = {
    plain: 'sha256',
    pss: 'sha256',
    'pss-mixed': 'sha256',
    sha1: 'sha1',
    sha384: 'sha384',
    sha512: 'sha512',
  }
  const isPss = kind === 'pss' || kind === 'pss-mixed'
  const how = isPss ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 } : {}
  const name = key.asymmetricKeyType === 'ed25519' ? null : hash[kind]
  return buffer(sign(name, Buffer.from(bytes), { key, ...how }))
}

/** RFC 5280 section 4.2.1.2, method 1: also what OCSP calls a responder's key hash. */
export function keyIdOf({ tbsCertificate }: x509.Certificate): Buffer {
  return createHash('sha1').update(Buffer.from(tbsCertificate.subjectPublicKeyInfo.subjectPublicKey)).digest()
}

function make(commonName: string, issuer: Issued | undefined, options: IssueOptions): Issued {
  const { publicKey, privateKey } = newKey(options.key ?? 'p256')
  const signer = options.signWith ?? issuer?.privateKey ?? privateKey
  const algorithm = algorithmOf(signer, 'plain')
  const body = new x509.TBSCertificate({
    version: x509.Version.v3,
    serialNumber: buffer(options.serial ?? newSerial()),
    signature: algorithm,
    issuer: issuer?.parsed.tbsCertificate.subject ?? nameOf(commonName),
    subject: nameOf(commonName),
    validity: new x509.Validity({
      notBefore: second(options.notBefore ?? Date.now() - day),
      notAfter: second(options.notAfter ?? Date.now() + 30 * day),
    }),
    subjectPublicKeyInfo: AsnConvert.parse(
      buffer(publicKey.export({ type: 'spki', format: 'der' })),
      x509.SubjectPublicKeyInfo,
    ),
  })
  const parsed = new x509.Certificate({ tbsCertificate: body, signatureAlgorithm: algorithm })
  body.extensions = new x509.Extensions(extensionsOf(parsed, issuer?.parsed ?? parsed, options))
  parsed.signatureValue = signed(AsnConvert.serialize(body), signer, 'plain')
  const der = Buffer.from(AsnConvert.serialize(parsed))
  return {
    certificate: new X509Certificate(der),
    pem: pemOf('CERTIFICATE', der),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    privateKey,
    parsed,
  }
}

function extensionsOf(own: x509.Certificate, issuer: x509.Certificate, options: IssueOptions): x509.Extension[] {
  const { usage = 'client', ocsp: responders = [], crl = [], hosts = [] } = options
  const isAuthority = usage === 'authority'
  const uri = (url: string): x509.GeneralName => new x509.GeneralName({ uniformResourceIdentifier: url })
  // keyCertSign (bit 5) and cRLSign (bit 6), or digitalSignature (bit 0)
  const keyUsage = isAuthority ? bits(1, options.signsNoLists ? 0x04 : 0x06) : bits(7, 0x80)
  const purposes = { client: [2], server: [1], ocsp: [9], any: [1, 2], authority: [] }[usage]
  const found = [
    extension('2.5.29.19', new x509.BasicConstraints({ cA: isAuthority }), true),
    extension('2.5.29.15', keyUsage, true),
    extension('2.5.29.14', new OctetString(keyIdOf(own))),
    extension('2.5.29.35', new x509.AuthorityKeyIdentifier({ keyIdentifier: new x509.KeyIdentifier(keyIdOf(issuer)) })),
  ]
  if (purposes.length > 0) {
    found.push(extension('2.5.29.37', new x509.ExtendedKeyUsage(purposes.map(last => `1.3.6.1.5.5.7.3.${last}`))))
  }
  if (responders.length > 0) {
    const asked = responders.map(
      url => new x509.AccessDescription({ accessMethod: '1.3.6.1.5.5.7.48.1', accessLocation: uri(url) }),
    )
    found.push(extension('1.3.6.1.5.5.7.1.1', new x509.AuthorityInfoAccessSyntax(asked)))
  }
  if (crl.length > 0) {
    const points = crl.map(
      url =>
        new x509.DistributionPoint({ distributionPoint: new x509.DistributionPointName({ fullName: [uri(url)] }) }),
    )
    found.push(extension('2.5.29.31', new x509.CRLDistributionPoints(points)))
  }
  if (options.noCheck) found.push(extension('1.3.6.1.5.5.7.48.1.5', Buffer.of(0x05, 0)))
  if (hosts.length > 0) {
    const names = hosts.map(
      host => new x509.GeneralName(/^[0-9.]+$/.test(host) ? { iPAddress: host } : { dNSName: host }),
    )
    found.push(extension('2.5.29.17', new x509.SubjectAlternativeName(names)))
  }
  return [...found, ...(options.extensions ?? [])]
}

/** An authority that issues, lists and answers. */
export class TestAuthority {
  readonly issued: Issued

  constructor(commonName: string, issuer?: TestAuthority, options: IssueOptions = {}) {
    this.issued = make(commonName, issuer?.issued, { ...options, usage: 'authority' })
  }

  issue(commonName: string, options: IssueOptions = {}): Issued {
    return make(commonName, this.issued, options)
  }

  /** DER of a revocation list. */
  list(options: ListOptions = {}): Buffer {
    const key = options.signWith ?? this.issued.privateKey
    const kind = options.signature ?? 'plain'
    const keyId = 'authorityKeyId' in options ? options.authorityKeyId : keyIdOf(this.issued.parsed)
    const number = 'number' in options ? options.number : 1
    const extensions = [...(options.extensions ?? [])]
    if (keyId !== undefined) {
      const keyIdentifier = new x509.KeyIdentifier(keyId)
      extensions.push(extension('2.5.29.35', new x509.AuthorityKeyIdentifier({ keyIdentifier })))
    }
    if (number !== undefined) extensions.push(extension('2.5.29.20', Buffer.of(0x02, 1, number)))
    const body = new x509.TBSCertList({
      signature: algorithmOf(key, options.namesAnother ? 'sha512' : kind),
      issuer: (options.issuer ?? this).issued.parsed.tbsCertificate.subject,
      thisUpdate: new x509.Time(second(options.thisUpdate ?? Date.now() - hour)),
    })
    const version = 'version' in options ? options.version : x509.Version.v2
    if (version !== undefined) body.version = version
    const next = 'nextUpdate' in options ? options.nextUpdate : new Date(Date.now() + day)
    if (next !== undefined) body.nextUpdate = new x509.Time(second(next))
    if (options.revoked !== undefined && options.revoked.length > 0) {
      body.revokedCertificates = options.revoked.map(serial => {
        const entry = new x509.RevokedCertificate({
          userCertificate: buffer(serial),
          revocationDate: new x509.Time(second(Date.now() - 2 * hour)),
        })
        if (options.entryExtensions) entry.crlEntryExtensions = [...options.entryExtensions]
        return entry
      })
    }
    if (extensions.length > 0) body.crlExtensions = extensions
    const list = new x509.CertificateList({ tbsCertList: body, signatureAlgorithm: algorithmOf(key, kind) })
    list.signature = signed(AsnSerializer.serialize(body), key, kind)
    return Buffer.from(AsnConvert.serialize(list))
  }

  /** DER of an OCSPResponse about a certificate of this authority. */
  answer(subject: Issued, options: AnswerOptions = {}): Buffer {
    const signer = options.signer ?? this.issued
    const key = options.signWith ?? signer.privateKey
    const kind = options.signature ?? 'plain'
    const statuses = [options.status ?? 'good', ...(options.twice === undefined ? [] : [options.twice])]
    const extensions = [...(options.extensions ?? [])]
    if (options.nonce !== undefined) extensions.push(extension('1.3.6.1.5.5.7.48.1.2', new OctetString(options.nonce)))
    const tbsResponseData = new ocsp.ResponseData({
      responderID: options.byKey
        ? new ocsp.ResponderID({ byKey: new ocsp.KeyHash(keyIdOf(signer.parsed)) })
        : new ocsp.ResponderID({ byName: signer.parsed.tbsCertificate.subject }),
      producedAt: second(options.producedAt ?? Date.now() - 1_000),
      responses: statuses.map(status => this.#single(subject, status, options)),
    })
    if (extensions.length > 0) tbsResponseData.responseExtensions = extensions
    const basic = new ocsp.BasicOCSPResponse({ tbsResponseData, signatureAlgorithm: algorithmOf(key, kind) })
    basic.signature = signed(AsnConvert.serialize(tbsResponseData), key, kind)
    const brings = options.brings ?? (signer === this.issued ? [] : [signer])
    if (brings.length > 0) basic.certs = brings.map(({ parsed }) => parsed)
    return wrapAnswer(Buffer.from(AsnConvert.serialize(basic)))
  }

  #single(subject: Issued, status: 'good' | 'revoked' | 'unknown', options: AnswerOptions): ocsp.SingleResponse {
    const { subject: name, subjectPublicKeyInfo } = (options.about ?? this).issued.parsed.tbsCertificate
    const algorithm = options.certIdHash ?? 'sha1'
    const digest = (bytes: ArrayBuffer): OctetString =>
      new OctetString(createHash(algorithm).update(Buffer.from(bytes)).digest())
    const oids = {
      sha1: '1.3.14.3.2.26',
      sha256: '2.16.840.1.101.3.4.2.1',
      sha512: '2.16.840.1.101.3.4.2.3',
      md5: '1.2.840.113549.2.5',
    }
    const single = new ocsp.SingleResponse({
      certID: new ocsp.CertID({
        hashAlgorithm: new x509.AlgorithmIdentifier({ algorithm: oids[algorithm], parameters: null }),
        issuerNameHash: digest(AsnConvert.serialize(name)),
        issuerKeyHash: digest(subjectPublicKeyInfo.subjectPublicKey),
        serialNumber: options.serial ? buffer(options.serial) : subject.parsed.tbsCertificate.serialNumber,
      }),
      certStatus: new ocsp.CertStatus(
        status === 'revoked'
          ? { revoked: new ocsp.RevokedInfo({ revocationTime: second(Date.now() - hour) }) }
          : { [status]: null },
      ),
      thisUpdate: second(options.thisUpdate ?? Date.now() - 1_000),
    })
    const next = 'nextUpdate' in options ? options.nextUpdate : new Date(Date.now() + hour)
    if (next !== undefined) single.nextUpdate = second(next)
    if (options.singleExtensions) single.singleExtensions = [...options.singleExtensions]
    return single
  }
}

/** OCSPResponse of status successful. */
export function wrapAnswer(basic: Uint8Array, responseType = '1.3.6.1.5.5.7.48.1.1'): Buffer {
  const response = new ocsp.OCSPResponse({
    responseStatus: ocsp.OCSPResponseStatus.successful,
    responseBytes: new ocsp.ResponseBytes({ responseType, response: new OctetString(basic) }),
  })
  return Buffer.from(AsnConvert.serialize(response))
}

/** OCSPResponse of another status, which has nothing else. */
export const failedAnswer = (status: number): Buffer => Buffer.from([0x30, 0x03, 0x0a, 0x01, status])

/** What the schemas read of a request of ours. */
export function readRequest(der: Uint8Array): { readonly serial: string; readonly nonce: Buffer | undefined } {
  const { requestList, requestExtensions } = AsnConvert.parse(buffer(der), ocsp.OCSPRequest).tbsRequest
  const [one] = requestList
  if (one === undefined) throw new TypeError('a request about nothing')
  const nonce = requestExtensions?.find(({ extnID }) => extnID === '1.3.6.1.5.5.7.48.1.2')
  return {
    serial: Buffer.from(one.reqCert.serialNumber).toString('hex'),
    nonce: nonce && Buffer.from(AsnConvert.parse(nonce.extnValue.buffer, OctetString).buffer),
  }
}
