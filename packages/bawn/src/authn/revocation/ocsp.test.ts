import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { AsnConvert } from '@peculiar/asn1-schema'
import { AuthnError } from '../error.ts'
import {
  type AnswerOptions,
  day,
  extension,
  failedAnswer,
  newSerial,
  readRequest,
  TestAuthority,
  wrapAnswer,
} from './authority.fixture.ts'
import { buildOcspRequest, nonceBytes, readOcspAnswer } from './ocsp.ts'
import { revocableOf } from './revocable.ts'

const hour = 3_600_000
const now = Date.now()
const at = (offset: number) => new Date(now + offset)
const authority = new TestAuthority('root')
const other = new TestAuthority('other')
/** Of the same name, with another key. */
const namesake = new TestAuthority('root')
const leaf = authority.issue('app')
const delegate = authority.issue('responder', { usage: 'ocsp', noCheck: true })
const unvouched = authority.issue('responder', { usage: 'ocsp' })
const subject = revocableOf(leaf.certificate)
const issuer = revocableOf(authority.issued.certificate)
const nonce = randomBytes(nonceBytes)

async function read(bytes: Uint8Array, isNonceRequired = false, sent: Uint8Array | undefined = nonce): Promise<string> {
  try {
    const answer = await readOcspAnswer(bytes, { subject, issuer, nonce: sent, isNonceRequired }, now)
    return `${answer.status}${answer.unvouched === undefined ? '' : ', unvouched'}`
  } catch (error) {
    assert.ok(error instanceof AuthnError, String(error))
    return error.message
  }
}

const tlsFeature = (critical: boolean) => extension('1.3.6.1.5.5.7.1.24', Buffer.of(0x30, 0), critical)
const signers = 'it is signed by somebody whom the issuer did not let'

const rows: readonly { readonly name: string; readonly answer: AnswerOptions; readonly expect: string }[] = [
  { name: 'good, signed by the issuer', answer: {}, expect: 'good' },
  { name: 'revoked', answer: { status: 'revoked' }, expect: 'revoked' },
  { name: 'unknown', answer: { status: 'unknown' }, expect: 'unknown' },
  { name: 'the responder by the hash of its key', answer: { byKey: true }, expect: 'good' },
  { name: 'a CertID with SHA-256', answer: { certIdHash: 'sha256' }, expect: 'good' },
  { name: 'a CertID with SHA-512', answer: { certIdHash: 'sha512' }, expect: 'good' },
  { name: 'a CertID with MD5', answer: { certIdHash: 'md5' }, expect: 'it is about other certificates' },
  { name: 'another serial number', answer: { serial: newSerial() }, expect: 'it is about other certificates' },
  { name: 'another issuer of that serial', answer: { about: other }, expect: 'it is about other certificates' },
  {
    name: 'an issuer of that name and another key',
    answer: { about: namesake },
    expect: 'it is about other certificates',
  },
  { name: 'two answers that differ', answer: { twice: 'revoked' }, expect: 'it says twice what the certificate is' },
  { name: 'two answers that agree', answer: { twice: 'good' }, expect: 'it says twice what the certificate is' },

  { name: 'signed with SHA-384', answer: { signature: 'sha384' }, expect: 'good' },
  {
    name: 'signed with SHA-1',
    answer: { signature: 'sha1' },
    expect: 'signature algorithm 1.2.840.10045.4.1 is weak or unknown',
  },
  { name: 'a forged signature', answer: { signWith: other.issued.privateKey }, expect: 'its signature is wrong' },
  {
    name: 'signed by another authority, in its own name',
    answer: { signer: other.issued },
    expect: signers,
  },
  {
    name: 'signed by a namesake of the issuer',
    answer: { signer: namesake.issued, brings: [namesake.issued] },
    expect: 'its signature is wrong',
  },

  { name: 'a delegate', answer: { signer: delegate }, expect: 'good' },
  { name: 'a delegate by key', answer: { signer: delegate, byKey: true }, expect: 'good' },
  { name: 'a delegate that somebody has to vouch for', answer: { signer: unvouched }, expect: 'good, unvouched' },
  {
    name: 'a delegate whose certificate is not there',
    answer: { signer: delegate, brings: [] },
    expect: 'it is signed by somebody whose certificate is not there',
  },
  { name: 'a delegate whose certificate is another', answer: { signer: delegate, brings: [leaf] }, expect: signers },
  { name: 'the asked one itself', answer: { signer: leaf }, expect: signers },
  { name: 'a server of the authority', answer: { signer: authority.issue('s', { usage: 'server' }) }, expect: signers },
  { name: 'a delegate of another authority', answer: { signer: other.issue('r', { usage: 'ocsp' }) }, expect: signers },
  {
    name: 'a delegate of a namesake of the issuer',
    answer: { signer: namesake.issue('r', { usage: 'ocsp' }) },
    expect: signers,
  },
  {
    name: 'a delegate that was forged',
    answer: { signer: authority.issue('r', { usage: 'ocsp', signWith: other.issued.privateKey }) },
    expect: signers,
  },
  {
    name: 'a delegate that has expired',
    answer: { signer: authority.issue('r', { usage: 'ocsp', notBefore: at(-2 * day), notAfter: at(-1000) }) },
    expect: signers,
  },
  {
    name: 'a delegate that is not yet valid',
    answer: { signer: authority.issue('r', { usage: 'ocsp', notBefore: at(hour) }) },
    expect: signers,
  },
  {
    name: 'nine certificates',
    answer: { signer: delegate, brings: Array.from({ length: 9 }, () => delegate) },
    expect: 'it brings more than 8 certificates',
  },

  { name: 'outdated', answer: { thisUpdate: at(-2 * hour), nextUpdate: at(-1000) }, expect: 'it is outdated' },
  { name: 'its last second', answer: { nextUpdate: at(2000) }, expect: 'good' },
  { name: 'of tomorrow', answer: { thisUpdate: at(hour), nextUpdate: at(2 * hour) }, expect: 'it is from the future' },
  { name: 'made tomorrow', answer: { producedAt: at(hour) }, expect: 'it is from the future' },
  {
    name: 'a clock that is ahead a little',
    answer: { thisUpdate: at(30_000), producedAt: at(30_000) },
    expect: 'good',
  },
  { name: 'undated and new', answer: { nextUpdate: undefined }, expect: 'good' },
  {
    name: 'undated and not new',
    answer: { nextUpdate: undefined, thisUpdate: at(-301_000) },
    expect: 'it is outdated',
  },

  { name: 'our nonce', answer: { nonce }, expect: 'good' },
  { name: 'another nonce', answer: { nonce: randomBytes(32) }, expect: 'it has another nonce' },
  { name: 'a part of our nonce', answer: { nonce: nonce.subarray(0, 16) }, expect: 'it has another nonce' },
  { name: 'an extension', answer: { extensions: [tlsFeature(false)] }, expect: 'good' },
  {
    name: 'a critical extension',
    answer: { extensions: [tlsFeature(true)] },
    expect: 'it has the critical extension 1.3.6.1.5.5.7.1.24',
  },
  {
    name: 'a critical extension of the one answer',
    answer: { singleExtensions: [tlsFeature(true)] },
    expect: 'it has the critical extension 1.3.6.1.5.5.7.1.24',
  },
]
for (const row of rows) {
  test(row.name, async () => assert.equal(await read(authority.answer(leaf, row.answer)), row.expect))
}

test('a nonce that is required has to be there', async () => {
  assert.equal(await read(authority.answer(leaf), true), 'it has no nonce')
  assert.equal(await read(authority.answer(leaf, { nonce }), true), 'good')
})

test('an answer is good as long as it says, and no longer than who signed it', async () => {
  const until = async (options: AnswerOptions) =>
    (await readOcspAnswer(authority.answer(leaf, options), { subject, issuer, nonce, isNonceRequired: false }, now))
      .validUntil
  const nextUpdate = new Date(Math.floor(now / 1000) * 1000 + hour)
  assert.equal(await until({ nextUpdate }), nextUpdate.getTime())
  const notAfter = new Date(Math.floor(now / 1000) * 1000 + 60_000)
  assert.equal(
    await until({ nextUpdate, signer: authority.issue('r', { usage: 'ocsp', notAfter }) }),
    notAfter.getTime(),
  )
})

const failures: readonly (readonly [status: number, says: string])[] = [
  [1, 'it says malformedRequest'],
  [2, 'it says internalError'],
  [3, 'it says tryLater'],
  [5, 'it says sigRequired'],
  [6, 'it says unauthorized'],
  [9, 'it says status 9'],
]
for (const [status, says] of failures) {
  test(`no answer: ${says}`, async () => assert.equal(await read(failedAnswer(status)), says))
}

test('another type of answer is refused', async () => {
  assert.equal(await read(wrapAnswer(Buffer.of(0x30, 0), '1.3.6.1.5.5.7.48.1.9')), 'it is of another type than basic')
})

test('what we ask is read by others as we mean it', () => {
  const asked = readRequest(buildOcspRequest(subject, issuer, nonce))
  assert.deepEqual(asked, { serial: subject.serial, nonce })
  assert.equal(readRequest(buildOcspRequest(subject, issuer, undefined)).nonce, undefined)
  for (const [serial, asSent] of [
    ['01', '01'],
    ['ff', '00ff'],
    ['8000', '008000'],
  ] as const) {
    assert.equal(readRequest(buildOcspRequest({ ...subject, serial }, issuer, nonce)).serial, asSent)
  }
})

test('keys of every kind sign', async () => {
  for (const [key, signature] of [
    ['p384', 'sha384'],
    ['ed25519', 'plain'],
    ['rsa', 'plain'],
    ['rsa', 'sha512'],
    ['rsa', 'pss'],
  ] as const) {
    const own = new TestAuthority('root', undefined, { key })
    const peer = own.issue('app')
    const asked = {
      subject: revocableOf(peer.certificate),
      issuer: revocableOf(own.issued.certificate),
      nonce,
      isNonceRequired: false,
    }
    assert.equal(
      (await readOcspAnswer(own.answer(peer, { signature }), asked, now)).status,
      'good',
      `${key} ${signature}`,
    )
  }
  const weak = new TestAuthority('root', undefined, { key: 'rsa1024' })
  const peer = weak.issue('app')
  const asked = {
    subject: revocableOf(peer.certificate),
    issuer: revocableOf(weak.issued.certificate),
    nonce,
    isNonceRequired: false,
  }
  await assert.rejects(readOcspAnswer(weak.answer(peer), asked, now), { message: 'its signature is wrong' })
  const rsa = new TestAuthority('root', undefined, { key: 'rsa' })
  const mixed = {
    ...asked,
    subject: revocableOf(rsa.issue('app').certificate),
    issuer: revocableOf(rsa.issued.certificate),
  }
  const answer = rsa.answer(rsa.issue('app'), {
    serial: Buffer.from(mixed.subject.serial, 'hex'),
    signature: 'pss-mixed',
  })
  await assert.rejects(readOcspAnswer(answer, mixed, now), { message: /RSASSA-PSS with hashes/ })
})

test('an answer with any one bit changed is refused, and so is one that is cut', async () => {
  const whole = authority.answer(leaf, { nonce, signer: delegate })
  assert.equal(await read(whole), 'good')
  for (let cut = 0; cut < whole.length; cut += 7) assert.notEqual(await read(whole.subarray(0, cut)), 'good')
  const begun = performance.now()
  for (let round = 0; performance.now() - begun < 400; round++) {
    const changed = Buffer.from(whole)
    const bit = round < whole.length * 8 ? (round * 37) % (whole.length * 8) : 0
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    // A nonce or a date that is not ours any more, a signature that is wrong: whatever it is, it is never another answer.
    const outcome = await read(changed)
    assert.ok(!['revoked', 'unknown', 'good, unvouched'].includes(outcome), `bit ${bit}: ${outcome}`)
    if (outcome === 'good') assert.ok(isOutsideSignature(whole, bit >> 3), `bit ${bit} is signed`)
  }
})

/** The delegate's certificate brings its own signature: bits of what nobody reads of it (its own unsigned algorithm) may differ. */
function isOutsideSignature(whole: Buffer, byte: number): boolean {
  return byte > whole.indexOf(Buffer.from(AsnConvert.serialize(delegate.parsed)))
}

test('random bytes end in the typed error', async () => {
  const begun = performance.now()
  for (let round = 0; performance.now() - begun < 200; round++) {
    const length = round % 300
    const outcome = await read(
      Buffer.concat([Buffer.from('3082012c0a0100a0820125308201210609', 'hex'), randomBytes(length)]),
    )
    assert.notEqual(outcome, 'good')
    await read(randomBytes(length))
  }
})
