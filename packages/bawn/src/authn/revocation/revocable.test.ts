import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import * as x509 from '@peculiar/asn1-x509'
import { AuthnError } from '../error.ts'
import { extension, type IssueOptions, keyIdOf, TestAuthority } from './authority.fixture.ts'
import { readPointUris, revocableOf } from './revocable.ts'

const root = new TestAuthority('root')
const read = (options: IssueOptions) => revocableOf(root.issue('app', options).certificate)

test('addresses stand in the certificate’s order, as others read them', () => {
  const ocsp = ['http://ocsp.example/a', 'ldap://x', 'http://ocsp.example/b']
  const crl = ['http://crl.example/1', 'http://crl.example/2']
  const { certificate, responderUrls, listUrls } = read({ ocsp, crl })
  assert.deepEqual(responderUrls, ocsp)
  assert.deepEqual(listUrls, crl)
  assert.deepEqual(certificate.infoAccess?.match(/http[^\s]*/g), ['http://ocsp.example/a', 'http://ocsp.example/b'])
  assert.deepEqual([read({}).responderUrls, read({}).listUrls], [[], []])
})

test('what else revocation needs is there', () => {
  const { serial, certificate, issuerName, ca, signsLists, isNotToBeChecked } = read({})
  assert.equal(serial, certificate.serialNumber.toLowerCase())
  assert.deepEqual(issuerName, revocableOf(root.issued.certificate).subjectName)
  assert.deepEqual([ca, signsLists, isNotToBeChecked], [false, false, false])
  assert.equal(read({ usage: 'ocsp', noCheck: true }).isNotToBeChecked, true)
  const silent = new TestAuthority('silent', undefined, { signsNoLists: true })
  const [may, mayNot] = [root, silent].map(({ issued }) => revocableOf(issued.certificate))
  assert.deepEqual([may?.ca, may?.signsLists, mayNot?.ca, mayNot?.signsLists], [true, true, true, false])
  assert.deepEqual(Buffer.from(may?.subjectKeyId ?? []), keyIdOf(root.issued.parsed))
})

test('points for some reasons, of another issuer, or without an address are none', () => {
  const uri = new x509.GeneralName({ uniformResourceIdentifier: 'http://crl.example/' })
  const named = new x509.DistributionPointName({ fullName: [uri] })
  const directory = new x509.GeneralName({ directoryName: root.issued.parsed.tbsCertificate.subject })
  const points = [
    new x509.DistributionPoint({ distributionPoint: named, reasons: new x509.Reason(x509.ReasonFlags.keyCompromise) }),
    new x509.DistributionPoint({ distributionPoint: named, cRLIssuer: [directory] }),
    new x509.DistributionPoint({ cRLIssuer: [directory] }),
    new x509.DistributionPoint({ distributionPoint: new x509.DistributionPointName({ fullName: [directory] }) }),
    new x509.DistributionPoint({ distributionPoint: named }),
  ]
  const issued = root.issue('app', { extensions: [extension('2.5.29.31', new x509.CRLDistributionPoints(points))] })
  assert.deepEqual(revocableOf(issued.certificate).listUrls, ['http://crl.example/'])
  assert.deepEqual(readPointUris(Buffer.from('a100', 'hex')), [])
})

test('certificates with changed bytes end in the typed error or in a reading', () => {
  const { raw } = root.issue('app', {
    ocsp: ['http://o.example'],
    crl: ['http://c.example'],
    noCheck: true,
  }).certificate
  let read = 0
  const begun = performance.now()
  for (let at = 0; performance.now() - begun < 300; at = (at + 7) % raw.length) {
    const changed = Buffer.from(raw)
    changed[at] = Math.floor(Math.random() * 256)
    let certificate: X509Certificate
    try {
      certificate = new X509Certificate(changed)
    } catch {
      continue
    }
    read += 1
    try {
      revocableOf(certificate)
    } catch (error) {
      assert.ok(error instanceof AuthnError, String(error))
    }
  }
  assert.ok(read > 10, `${read} that OpenSSL reads`)
})
