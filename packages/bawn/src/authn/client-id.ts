import { hash, type X509Certificate } from 'node:crypto'
import { encodeDer, tags } from './der.ts'
import { AuthnError } from './error.ts'
import { type NameAttribute, parseCertificate } from './x509.ts'

/** What of a certificate the client id is made from (Acra: `tls_identifier_extractor_type`). */
export type ClientIdSource = 'distinguished_name' | 'serial_number'

/**
 * The client id that selects keys, as Acra derives it: SHA-512 of the identifier, 128 lower-case hex digits.
 *
 * @throws {AuthnError} `authn.bad_certificate` when the certificate cannot be read, its subject is empty, or its serial number is not
 *   positive
 */
export function clientIdOf(certificate: X509Certificate, source: ClientIdSource = 'distinguished_name'): string {
  const { subject, serial } = parseCertificate(certificate.raw)
  return hash('sha512', source === 'serial_number' ? serial : canonicalSubject(subject), 'hex')
}

// Attributes that print by name, in the order in which they print; everything else follows.
const named: readonly { readonly oid: string; readonly label: string; readonly values: 'all' | 'last' }[] = [
  { oid: '2.5.4.5', label: 'SERIALNUMBER', values: 'last' },
  { oid: '2.5.4.3', label: 'CN', values: 'last' },
  { oid: '2.5.4.11', label: 'OU', values: 'all' },
  { oid: '2.5.4.10', label: 'O', values: 'all' },
  { oid: '2.5.4.17', label: 'POSTALCODE', values: 'all' },
  { oid: '2.5.4.9', label: 'STREET', values: 'all' },
  { oid: '2.5.4.7', label: 'L', values: 'all' },
  { oid: '2.5.4.8', label: 'ST', values: 'all' },
  { oid: '2.5.4.6', label: 'C', values: 'all' },
]

/**
 * The subject in Acra's canonical form: `CN=app one,OU=IT,O=Example Org,L=London,ST=London,C=GB`, whatever the certificate's own order.
 *
 * @throws {AuthnError} `authn.bad_certificate` when there is nothing in it
 */
export function canonicalSubject(subject: readonly NameAttribute[]): string {
  if (subject.length === 0) throw new AuthnError('authn.bad_certificate', 'the subject of the certificate is empty')
  const parts: string[] = []
  for (const { oid, label, values } of named) {
    const found = subject.filter(attribute => attribute.oid === oid).map(attribute => attribute.value)
    if (values === 'all') {
      if (found.length > 0) parts.push(found.map(value => `${label}=${escapeValue(value)}`).join('+'))
    } else {
      const last = found.at(-1)
      if (last !== undefined && last !== '') parts.push(`${label}=${escapeValue(last)}`)
    }
  }
  const others = subject.filter(attribute => named.every(({ oid }) => oid !== attribute.oid))
  for (const { oid, value } of others.reverse()) parts.push(`${oid}=#${encodeString(value).toString('hex')}`)
  return parts.join(',')
}

function escapeValue(value: string): string {
  return value.replace(/[,+"\\<>;]|^[# ]| $/g, '\\$&')
}

/** DER of the string: PrintableString where X.680's set has all of it, else UTF8String. */
function encodeString(value: string): Buffer {
  const content = Buffer.from(value, 'utf8')
  if (content.length > 0xffff) {
    throw new AuthnError('authn.bad_certificate', 'an attribute of the subject is longer than 64 KiB')
  }
  return encodeDer(/^[A-Za-z0-9 '()+,\-./:=?]*$/.test(value) ? tags.printableString : tags.utf8String, content)
}
