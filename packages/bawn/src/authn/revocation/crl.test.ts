import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { AsnConvert } from '@peculiar/asn1-schema'
import { CertificateList } from '@peculiar/asn1-x509'
import { AuthnError } from '../error.ts'
import {
  day,
  extension,
  issuingDistributionPoint,
  type ListOptions,
  listPem,
  newSerial,
  TestAuthority,
} from './authority.fixture.ts'
import { isAbout, parseRevocationList, whyUnusable } from './crl.ts'
import { revocableOf } from './revocable.ts'

const now = Date.now()
const at = (offset: number) => new Date(now + offset)
const authority = new TestAuthority('root')
const namesake = new TestAuthority('root')
const leaf = authority.issue('app', { crl: ['http://crl.example/1.crl', 'http://crl.example/2.crl'] })
const serial = Buffer.from(leaf.certificate.serialNumber, 'hex')
const subject = revocableOf(leaf.certificate)
const intermediate = revocableOf(new TestAuthority('below', authority).issued.certificate)
const issuer = revocableOf(authority.issued.certificate)

/** What the list says of the leaf. */
async function read(bytes: Uint8Array, of = subject): Promise<string> {
  try {
    const list = await parseRevocationList(bytes)
    const why = await whyUnusable(list, issuer, now)
    if (why !== undefined) return why
    if (!isAbout(list, of)) return 'nothing'
    return list.revoked.has(of.serial) ? 'revoked' : 'good'
  } catch (error) {
    assert.ok(error instanceof AuthnError, String(error))
    return error.message
  }
}

const reason = (code: number, critical = false) => extension('2.5.29.21', Buffer.of(0x0a, 1, code), critical)
const uri = (url: string): string => {
  const text = Buffer.from(url).toString('hex')
  const tlv = (tag: string, content: string) => `${tag}${(content.length / 2).toString(16).padStart(2, '0')}${content}`
  return tlv('a0', tlv('a0', tlv('86', text)))
}

const rows: readonly { readonly name: string; readonly list: ListOptions; readonly expect: string }[] = [
  { name: 'an empty list', list: {}, expect: 'good' },
  { name: 'a list of others', list: { revoked: [newSerial(), newSerial()] }, expect: 'good' },
  { name: 'the certificate', list: { revoked: [newSerial(), serial, newSerial()] }, expect: 'revoked' },
  { name: 'with a reason', list: { revoked: [serial], entryExtensions: [reason(1)] }, expect: 'revoked' },
  { name: 'on hold', list: { revoked: [serial], entryExtensions: [reason(6)] }, expect: 'revoked' },
  {
    name: 'a serial number with a zero too many',
    list: { revoked: [Buffer.concat([Buffer.of(0), serial])] },
    expect: 'revoked',
  },
  {
    name: 'a part of the serial number',
    list: { revoked: [serial.subarray(1), serial.subarray(0, 15)] },
    expect: 'good',
  },
  {
    name: 'an entry of another issuer',
    list: { revoked: [serial], entryExtensions: [extension('2.5.29.29', Buffer.of(0x30, 0), true)] },
    expect: 'it has the critical extension 2.5.29.29',
  },
  {
    name: 'an entry with something critical',
    list: { revoked: [newSerial()], entryExtensions: [extension('1.2.3.4', Buffer.of(0x05, 0), true)] },
    expect: 'it has the critical extension 1.2.3.4',
  },
  {
    name: 'an entry with something else',
    list: { revoked: [newSerial()], entryExtensions: [extension('1.2.3.4', Buffer.of(0x05, 0))] },
    expect: 'good',
  },

  {
    name: 'another authority of that name',
    list: { signWith: namesake.issued.privateKey },
    expect: 'its signature is wrong',
  },
  {
    name: 'said to be signed with another key',
    list: { authorityKeyId: randomBytes(20) },
    expect: 'it is signed with another key of the issuer',
  },
  { name: 'not said which key', list: { authorityKeyId: undefined }, expect: 'good' },
  { name: 'another issuer', list: { issuer: new TestAuthority('other') }, expect: 'it is another issuer’s' },
  {
    name: 'signed with SHA-1',
    list: { signature: 'sha1' },
    expect: 'signature algorithm 1.2.840.10045.4.1 is weak or unknown',
  },
  { name: 'signed with SHA-384', list: { signature: 'sha384' }, expect: 'good' },
  { name: 'two algorithms', list: { namesAnother: true }, expect: 'it names two signature algorithms' },

  { name: 'outdated', list: { thisUpdate: at(-2 * day), nextUpdate: at(-1000) }, expect: 'it is outdated' },
  { name: 'its last second', list: { nextUpdate: at(2000) }, expect: 'good' },
  { name: 'of tomorrow', list: { thisUpdate: at(day), nextUpdate: at(2 * day) }, expect: 'it is from the future' },
  { name: 'a clock that is ahead a little', list: { thisUpdate: at(30_000) }, expect: 'good' },
  { name: 'without an end', list: { nextUpdate: undefined }, expect: 'not a certificate in DER: no time' },
  { name: 'of the years after 2049', list: { nextUpdate: new Date('2051-01-01T00:00:00Z') }, expect: 'good' },

  {
    name: 'version 1',
    list: { version: undefined, number: undefined, authorityKeyId: undefined },
    expect: 'not a certificate in DER: tag 2 was expected, found 48',
  },
  { name: 'version 3', list: { version: 2 }, expect: 'it is of another version than 2' },
  { name: 'not numbered', list: { number: undefined }, expect: 'good' },
  { name: 'a number below zero', list: { number: 255 }, expect: 'its number is none' },
  {
    name: 'a critical extension',
    list: { extensions: [extension('1.2.3.4', Buffer.of(0x05, 0), true)] },
    expect: 'it has the critical extension 1.2.3.4',
  },
  {
    name: 'a delta',
    list: { extensions: [extension('2.5.29.27', Buffer.of(0x02, 1, 1), true)] },
    expect: 'it has the critical extension 2.5.29.27',
  },
  {
    name: 'with a delta beside it',
    list: { extensions: [extension('2.5.29.46', Buffer.of(0x30, 0))] },
    expect: 'good',
  },
  {
    name: 'for users',
    list: { revoked: [serial], extensions: [issuingDistributionPoint('8101ff')] },
    expect: 'revoked',
  },
  { name: 'for authorities', list: { extensions: [issuingDistributionPoint('8201ff')] }, expect: 'nothing' },
  { name: 'for attributes', list: { extensions: [issuingDistributionPoint('8501ff')] }, expect: 'nothing' },
  {
    name: 'for users and authorities only',
    list: { extensions: [issuingDistributionPoint('8101ff8201ff')] },
    expect: 'it is about two kinds of certificates only',
  },
  {
    name: 'a truth value that is none',
    list: { extensions: [issuingDistributionPoint('810101')] },
    expect: 'not a certificate in DER: a truth value that is neither',
  },
  {
    name: 'for some reasons',
    list: { extensions: [issuingDistributionPoint('83020640')] },
    expect: 'it is for some reasons only',
  },
  {
    name: 'indirect',
    list: { extensions: [issuingDistributionPoint('8401ff')] },
    expect: 'it is indirect: with certificates of other issuers',
  },
  {
    name: 'a part that the certificate names',
    list: { extensions: [issuingDistributionPoint(uri('http://crl.example/2.crl'))], revoked: [serial] },
    expect: 'revoked',
  },
  {
    name: 'a part that the certificate does not name',
    list: { extensions: [issuingDistributionPoint(uri('http://crl.example/3.crl'))] },
    expect: 'nothing',
  },
  {
    name: 'a part by a relative name',
    list: { extensions: [issuingDistributionPoint('a002a100')] },
    expect: 'it is a part of a list, by a name that is no URI',
  },
]
for (const row of rows) {
  test(row.name, async () => assert.equal(await read(authority.list(row.list)), row.expect))
}

test('lists are for authorities too', async () => {
  const scoped = (content: string) => authority.list({ extensions: [issuingDistributionPoint(content)] })
  assert.equal(await read(scoped('8201ff'), intermediate), 'good')
  assert.equal(await read(scoped('8101ff'), intermediate), 'nothing')
})

test('an authority that may not sign lists signs none', async () => {
  const silent = new TestAuthority('root', undefined, { signsNoLists: true })
  const list = await parseRevocationList(silent.list())
  assert.equal(await whyUnusable(list, revocableOf(silent.issued.certificate), now), 'its issuer may not sign lists')
})

test('PEM is read as DER is, one list of it', async () => {
  const list = authority.list({ revoked: [serial] })
  assert.equal(await read(Buffer.from(`what openssl says\n${listPem(list)}`)), 'revoked')
  assert.equal(await read(Buffer.from(listPem(list) + listPem(list))), 'there are several lists in one file')
  for (const bytes of ['', 'nothing', '-----BEGIN X509 CRL-----\nMII', authority.issued.pem]) {
    assert.equal(await read(Buffer.from(bytes)), 'it is neither DER nor PEM of a list')
  }
})

test('large lists are read as others read them, in turns', async () => {
  const revoked = Array.from({ length: 20_000 }, newSerial)
  const bytes = authority.list({ revoked, entryExtensions: [reason(4)] })
  let turns = 0
  const timer = setImmediate(function again() {
    turns += 1
    if (turns < 1_000) handles.push(setImmediate(again))
  })
  const handles = [timer]
  const list = await parseRevocationList(bytes)
  for (const handle of handles) clearImmediate(handle)
  assert.ok(turns >= 15, `${turns} turns of others`)
  assert.deepEqual(
    [...list.revoked],
    revoked.map(one => one.toString('hex')),
  )
  assert.equal(await whyUnusable(list, issuer, now), undefined)
})

test('whatever is read, another reader reads the same', async () => {
  const lists = [
    {},
    { revoked: [serial] },
    { revoked: [newSerial(), newSerial()], number: 7, entryExtensions: [reason(3)] },
  ]
  for (const options of lists) {
    const bytes = authority.list(options)
    const [ours, theirs] = [await parseRevocationList(bytes), AsnConvert.parse(bytes, CertificateList).tbsCertList]
    assert.equal(ours.thisUpdate, theirs.thisUpdate.getTime().getTime())
    assert.equal(ours.validUntil, theirs.nextUpdate?.getTime().getTime())
    const entries = theirs.revokedCertificates ?? []
    assert.deepEqual(
      [...ours.revoked],
      entries.map(entry => Buffer.from(entry.userCertificate).toString('hex')),
    )
  }
})

test('a list with any one bit changed is refused, and so is one that is cut', async () => {
  const whole = authority.list({ revoked: [serial, newSerial()], entryExtensions: [reason(1)] })
  for (let cut = 0; cut < whole.length; cut += 3) {
    assert.ok(!['good', 'revoked'].includes(await read(whole.subarray(0, cut))), `cut at ${cut}`)
  }
  const begun = performance.now()
  for (let bit = 0; bit < whole.length * 8 && performance.now() - begun < 500; bit += 5) {
    const changed = Buffer.from(whole)
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    const outcome = await read(changed)
    assert.ok(!['good', 'revoked', 'nothing'].includes(outcome), `bit ${bit}: ${outcome}`)
  }
})

test('random bytes end in the typed error', async () => {
  const whole = authority.list({ revoked: [serial] })
  const begun = performance.now()
  for (let round = 0; performance.now() - begun < 200; round++) {
    const changed = Buffer.from(whole)
    randomBytes(1 + (round % 12)).copy(changed, round % changed.length)
    await read(changed)
    await read(Buffer.concat([Buffer.from('308201', 'hex'), randomBytes(round % 300)]))
  }
})
