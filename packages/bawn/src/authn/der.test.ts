import assert from 'node:assert/strict'
import { randomBytes, X509Certificate } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { serverEndPointHash } from './channel-binding.ts'
import { canonicalSubject } from './client-id.ts'
import {
  encodeDer,
  readBits,
  readBoolean,
  readDerElement,
  readDerElementAt,
  readDerElements,
  readOid,
  readPositiveInteger,
  readString,
  readTime,
} from './der.ts'
import { AuthnError } from './error.ts'
import { parseCertificate } from './x509.ts'

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')
const element = (text: string) => readDerElements(hex(text))[0] ?? assert.fail('no element')
const code = { code: 'authn.bad_certificate' }

const refused: readonly { readonly name: string; readonly bytes: string }[] = [
  { name: 'no length', bytes: '30' },
  { name: 'an indefinite length', bytes: '3080 0000' },
  { name: 'a long form that a short one holds', bytes: `04817f${'00'.repeat(127)}` },
  { name: 'a length with a leading zero', bytes: `04820080${'00'.repeat(128)}` },
  { name: 'a length of four octets', bytes: '048401000000' },
  { name: 'a length that is cut', bytes: '0482ff' },
  { name: 'content that is cut', bytes: '040300 01' },
  { name: 'a high tag number', bytes: '1f1f00' },
  { name: 'the second element is cut', bytes: '0500 04' },
]
for (const row of refused)
  test(`not DER: ${row.name}`, () => assert.throws(() => readDerElements(hex(row.bytes)), code))

test('something after the element, and another tag, are refused', () => {
  assert.throws(() => readDerElement(hex('0500 0500'), 5), code)
  assert.throws(() => readDerElement(hex('0500'), 4), code)
  assert.throws(() => readDerElement(hex(''), 4), code)
})

test('object identifiers', () => {
  assert.equal(readOid(element('0603550403')), '2.5.4.3')
  assert.equal(readOid(element('06092a864886f70d010901')), '1.2.840.113549.1.9.1')
  assert.equal(readOid(element('0603883703')), '2.999.3')
  assert.equal(readOid(element('060127')), '0.39')
  for (const bad of ['0600', '06028001', '0602558f', '060a2affffffffffffffff7f']) {
    assert.throws(() => readOid(element(bad)), code, bad)
  }
})

test('integers are positive and have no leading zero', () => {
  assert.equal(Buffer.from(readPositiveInteger(element('020101'))).toString('hex'), '01')
  assert.equal(Buffer.from(readPositiveInteger(element('020200ff'))).toString('hex'), 'ff')
  for (const bad of ['0200', '020100', '0202007f', '0201ff'])
    assert.throws(() => readPositiveInteger(element(bad)), code, bad)
})

test('strings', () => {
  assert.equal(readString(element('0c035ac3b6')), 'Zö')
  assert.equal(readString(element('1e04005a00f6')), 'Zö')
  assert.equal(readString(element('1e06005a00f60000')), 'Zö')
  assert.equal(readString(element('1603612a40')), 'a*@')
  assert.equal(readString(element('1302412a')), 'A*')
  for (const bad of [
    '0c01ff',
    '0c03eda080',
    '130140',
    '120141',
    '1601c3',
    '1401e9',
    '1e03004100',
    '1e02d800',
    '1c0400000041',
    '040141',
  ]) {
    assert.throws(() => readString(element(bad)), code, bad)
  }
})

test('truth values, and strings of whole octets', () => {
  assert.deepEqual([readBoolean(element('0101ff')), readBoolean(element('010100'))], [true, false])
  for (const bad of ['010101', '0100', '0102ffff', '0201ff']) assert.throws(() => readBoolean(element(bad)), code, bad)
  assert.deepEqual(Buffer.from(readBits(element('030200f0'))), hex('f0'))
  for (const bad of ['0300', '030204f0', '0401f0']) assert.throws(() => readBits(element(bad)), code, bad)
})

test('times', () => {
  const time = (tag: string, text: string) =>
    new Date(
      readTime(element(`${tag}${text.length.toString(16).padStart(2, '0')}${Buffer.from(text).toString('hex')}`)),
    )
  assert.equal(time('17', '491231235959Z').toISOString(), '2049-12-31T23:59:59.000Z')
  assert.equal(time('17', '500101000000Z').toISOString(), '1950-01-01T00:00:00.000Z')
  assert.equal(time('18', '20500101000000Z').toISOString(), '2050-01-01T00:00:00.000Z')
  assert.equal(time('18', '20240229120000Z').toISOString(), '2024-02-29T12:00:00.000Z')
  const bad: readonly (readonly [tag: string, text: string])[] = [
    ['17', '260101000000'],
    ['17', '2601010000Z'],
    ['17', '260101000000+0000'],
    ['17', '260230000000Z'],
    ['17', '260101240000Z'],
    ['17', '260101006000Z'],
    ['18', '20260101000000.5Z'],
    ['18', '20260101000060Z'],
    ['18', '20230229000000Z'],
    ['18', '260101000000Z'],
    ['13', '260101000000Z'],
  ]
  for (const [tag, text] of bad) assert.throws(() => time(tag, text), code, text)
})

test('what is encoded is read again, whatever its length', () => {
  for (const length of [0, 1, 127, 128, 255, 256, 65_535, 65_536, 100_000]) {
    const content = randomBytes(length)
    const bytes = encodeDer(0x04, content.subarray(0, length >> 1), content.subarray(length >> 1))
    const read = readDerElement(bytes, 0x04)
    assert.deepEqual([Buffer.from(read.content), Buffer.from(read.raw)], [content, bytes])
  }
  const two = Buffer.concat([encodeDer(0x04, hex('01')), encodeDer(0x05)])
  assert.deepEqual([readDerElementAt(two, 0).raw.length, readDerElementAt(two, 3).tag], [3, 5])
})

const folder = new URL('../../../../vectors/authn/', import.meta.url)
const certificates = readdirSync(folder)
  .filter(file => file.endsWith('.pem'))
  .map(file => ({ file, certificate: new X509Certificate(readFileSync(new URL(file, folder))) }))

test('certificates read as node:crypto reads them', () => {
  assert.ok(certificates.length >= 14)
  for (const { file, certificate } of certificates) {
    const parts = parseCertificate(certificate.raw)
    assert.equal(parts.ca, certificate.ca, file)
    assert.equal(Buffer.from(parts.serial).toString('hex').toUpperCase(), certificate.serialNumber, file)
    assert.deepEqual(parts.extendedKeyUsage, certificate.keyUsage ?? [], file)
    assert.equal(parts.signatureAlgorithm.oid, certificate.signatureAlgorithmOid, file)
  }
})

test('cut, flipped and random certificates end in the typed error or in a reading', () => {
  const attempt = (bytes: Uint8Array) => {
    try {
      canonicalSubject(parseCertificate(bytes).subject)
      serverEndPointHash(bytes)
    } catch (error) {
      assert.ok(error instanceof AuthnError, String(error))
    }
  }
  for (const { certificate } of certificates) {
    const { raw } = certificate
    for (let cut = 0; cut < raw.length; cut += 3) assert.throws(() => parseCertificate(raw.subarray(0, cut)), code)
    for (let at = 0; at < raw.length; at++) {
      const flipped = Buffer.from(raw)
      flipped[at] = (flipped[at] ?? 0) ^ (randomBytes(1)[0] ?? 0)
      attempt(flipped)
    }
  }
  for (let length = 0; length < 500; length++) attempt(Buffer.concat([hex('30820100'), randomBytes(length)]))
})
