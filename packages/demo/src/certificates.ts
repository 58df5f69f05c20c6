import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { isIPv4 } from 'node:net'

// Certificates for the demo and the tests, made on the spot (RFC 5280, ECDSA P-256 with SHA-256). Node can read certificates but
// not make them, and `openssl` may be absent. Not for production: no revocation, no certificate policies.

export interface Certificate {
  /** PEM. */
  readonly certificate: string
  /** PEM, PKCS #8. */
  readonly key: string
}

export interface Authority extends Certificate {
  /** @param hosts DNS names and IPv4 addresses; empty for a client */
  issue(commonName: string, usage: 'server' | 'client', hosts?: readonly string[]): Certificate
}

const validDays = 365

/** A new certificate authority of its own. */
export function createAuthority(commonName: string, now = new Date()): Authority {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const issuer: Issuer = { commonName, key: privateKey, keyId: keyIdentifier(publicKey) }
  const own = assemble(issuer, commonName, publicKey, now, [
    extension(oid.basicConstraints, sequence(boolean(true), integer(Buffer.from([0]))), true),
    // keyCertSign (bit 5) and cRLSign (bit 6)
    extension(oid.keyUsage, bits(Buffer.from([0x06]), 1), true),
  ])
  return {
    certificate: own,
    key: pemOf(privateKey),
    issue(name, usage, hosts = []) {
      const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const extensions = [
        extension(oid.basicConstraints, sequence(), true),
        // digitalSignature (bit 0)
        extension(oid.keyUsage, bits(Buffer.from([0x80]), 7), true),
        extension(oid.extendedKeyUsage, sequence(objectId(usage === 'server' ? oid.serverAuth : oid.clientAuth))),
      ]
      if (hosts.length > 0) extensions.push(extension(oid.subjectAltName, sequence(...hosts.map(generalName))))
      return { certificate: assemble(issuer, name, pair.publicKey, now, extensions), key: pemOf(pair.privateKey) }
    },
  }
}

interface Issuer {
  readonly commonName: string
  readonly key: KeyObject
  readonly keyId: Buffer
}

function assemble(issuer: Issuer, subject: string, key: KeyObject, now: Date, extensions: readonly Buffer[]): string {
  const serial = randomBytes(16)
  // Positive and of full length: first bit 0, first byte not 0.
  serial[0] = (serial.readUInt8(0) & 0x7f) | 0x40
  const algorithm = sequence(objectId(oid.ecdsaWithSha256))
  const identifiers = [
    extension(oid.subjectKeyIdentifier, tlv(0x04, keyIdentifier(key))),
    extension(oid.authorityKeyIdentifier, sequence(tlv(0x80, issuer.keyId))),
  ]
  const body = sequence(
    tlv(0xa0, integer(Buffer.from([2]))),
    integer(serial),
    algorithm,
    distinguishedName(issuer.commonName),
    // An hour back: the clock of another machine may be behind.
    sequence(utcTime(now.getTime() - 3_600_000), utcTime(now.getTime() + validDays * 86_400_000)),
    distinguishedName(subject),
    key.export({ type: 'spki', format: 'der' }),
    tlv(0xa3, sequence(...extensions, ...identifiers)),
  )
  const signature = sign('sha256', body, issuer.key)
  const text = sequence(body, algorithm, bits(signature, 0)).toString('base64')
  return `-----BEGIN CERTIFICATE-----\n${text.replace(/.{1,64}/g, '$&\n')}-----END CERTIFICATE-----\n`
}

function pemOf(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString()
}

const oid = {
  commonName: '2.5.4.3',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyIdentifier: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const

/** RFC 5280 section 4.2.1.2, method 1; of the uncompressed point, which ends a P-256 SubjectPublicKeyInfo. */
function keyIdentifier(key: KeyObject): Buffer {
  return createHash('sha1')
    .update(key.export({ type: 'spki', format: 'der' }).subarray(-65))
    .digest()
}

function distinguishedName(commonName: string): Buffer {
  return sequence(tlv(0x31, sequence(objectId(oid.commonName), tlv(0x0c, Buffer.from(commonName)))))
}

function extension(id: string, value: Buffer, critical = false): Buffer {
  return sequence(objectId(id), ...(critical ? [boolean(true)] : []), tlv(0x04, value))
}

function generalName(host: string): Buffer {
  return isIPv4(host) ? tlv(0x87, Buffer.from(host.split('.').map(Number))) : tlv(0x82, Buffer.from(host, 'latin1'))
}

// DER (X.690): tag, length, value.

function tlv(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const value = Buffer.concat(parts)
  const length: number[] = []
  if (value.length < 0x80) length.push(value.length)
  else {
    for (let rest = value.length; rest > 0; rest >>>= 8) length.unshift(rest & 0xff)
    length.unshift(0x80 | length.length)
  }
  return Buffer.concat([Buffer.from([tag, ...length]), value])
}

const sequence = (...parts: readonly Uint8Array[]) => tlv(0x30, ...parts)
const integer = (bytes: Uint8Array) => tlv(0x02, bytes)
const boolean = (value: boolean) => tlv(0x01, Buffer.from([value ? 0xff : 0]))
const bits = (bytes: Uint8Array, unused: number) => tlv(0x03, Buffer.from([unused]), bytes)

function objectId(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  const bytes: number[] = [first * 40 + second]
  for (const arc of rest) {
    const groups = [arc & 0x7f]
    for (let left = arc >>> 7; left > 0; left >>>= 7) groups.unshift((left & 0x7f) | 0x80)
    bytes.push(...groups)
  }
  return tlv(0x06, Buffer.from(bytes))
}

/** UTCTime holds years to 2049, which is long enough for certificates that live a year. */
function utcTime(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replace(/[-:T]/g, '').slice(2, 14)
  return tlv(0x17, Buffer.from(`${digits}Z`))
}
