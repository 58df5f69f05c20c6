import assert from 'node:assert/strict'
import { hash, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import {
  decoyHa1,
  deriveDigestVerifiers,
  describeDigestVerifiers,
  digestAlgorithms,
  ha1Of,
  hasDigestVerifiers,
  hashedNames,
  mergeDigestVerifiers,
} from './digest-verifier.ts'
import type { Account } from './store.ts'

const every = { realm: 'http-auth@example.org', algorithms: digestAlgorithms }
const account = (more: Partial<Account>): Account => ({
  name: 'Mufasa',
  roles: [],
  scram: undefined,
  locked: false,
  ...more,
})

test('HA1 is H(name:realm:password), with the example of RFC 7616 section 3.9.1', () => {
  const text = 'Mufasa:http-auth@example.org:Circle of Life'
  assert.equal(
    deriveDigestVerifiers('Mufasa', 'Circle of Life', every),
    [
      `SHA-256 ${hash('sha256', text)} http-auth@example.org`,
      `SHA-512-256 ${hash('sha512-256', text)} http-auth@example.org`,
      `MD5 ${hash('md5', text)} http-auth@example.org`,
    ].join('\n'),
  )
  assert.equal(hash('md5', text), '3d78807defe7de2157e2b0b6573a855f')
})

test('a password typed in two forms of Unicode is one password', () => {
  const [composed, decomposed] = ['caf\u00e9', 'cafe\u0301'].map(text => deriveDigestVerifiers('a', text, every))
  assert.equal(composed, decomposed)
})

test('what cannot be said unambiguously is not made', () => {
  assert.equal(deriveDigestVerifiers('a:b', 'x', every), undefined)
  for (const realm of ['', 'caf\u00e9', 'a\nb', 'x'.repeat(129)])
    assert.equal(deriveDigestVerifiers('a', 'x', { ...every, realm }), undefined, realm)
})

test('stored and clear passwords give the same; an account without either gives what opens nothing', () => {
  const digest = deriveDigestVerifiers('Mufasa', 'Circle of Life', every)
  for (const algorithm of digestAlgorithms) {
    const stored = ha1Of(account({ digest }), every.realm, algorithm)
    assert.equal(stored.isOwn, true)
    const clear = account({ password: { kind: 'plain', password: 'Circle of Life' } })
    assert.deepEqual(ha1Of(clear, every.realm, algorithm), stored)
    const nobodys = { ha1: decoyHa1[algorithm], isOwn: false }
    assert.deepEqual(ha1Of(undefined, every.realm, algorithm), nobodys)
    assert.deepEqual(ha1Of(account({}), every.realm, algorithm), nobodys)
    assert.deepEqual(ha1Of(account({ digest }), 'another realm', algorithm), nobodys)
    const colon = account({ name: 'a:b', password: { kind: 'plain', password: 'x' } })
    assert.equal(ha1Of(colon, every.realm, algorithm).isOwn, false)
  }
  const only = deriveDigestVerifiers('Mufasa', 'x', { ...every, algorithms: ['MD5'] })
  assert.equal(ha1Of(account({ digest: only }), every.realm, 'SHA-256').isOwn, false)
})

test('newer ones replace those of their realm and leave others', () => {
  const one = deriveDigestVerifiers('a', 'x', { realm: 'one', algorithms: ['SHA-256', 'MD5'] })
  const two = deriveDigestVerifiers('a', 'x', { realm: 'two', algorithms: ['SHA-256'] })
  const both = mergeDigestVerifiers(one, two)
  assert.deepEqual(describeDigestVerifiers(both ?? ''), [
    { algorithm: 'SHA-256', realm: 'one' },
    { algorithm: 'MD5', realm: 'one' },
    { algorithm: 'SHA-256', realm: 'two' },
  ])
  assert.equal(mergeDigestVerifiers(both, one)?.split('\n').length, 3)
  assert.deepEqual([mergeDigestVerifiers(one, undefined), mergeDigestVerifiers(undefined, one)], [one, one])
  assert.equal(hasDigestVerifiers(both, { realm: 'two', algorithms: ['SHA-256'] }), true)
  assert.equal(hasDigestVerifiers(both, { realm: 'two', algorithms: ['SHA-256', 'MD5'] }), false)
  assert.equal(hasDigestVerifiers(undefined, { realm: 'two', algorithms: ['SHA-256'] }), false)
  assert.deepEqual(hashedNames('a', two), [hash('sha256', 'a:two')])
  assert.deepEqual(hashedNames('a', undefined), [])
})

test('what was made is read back, whatever the realm, name and password', () => {
  for (let round = 0; round < 200; round += 1) {
    const text = (bytes: number) => randomBytes(bytes).toString('latin1').replaceAll(':', '')
    const realm = randomBytes(12).toString('base64')
    const [name, password] = [text(8), randomBytes(round % 40).toString('utf8')]
    const digest = deriveDigestVerifiers(name, password, { realm, algorithms: digestAlgorithms })
    const algorithm = digestAlgorithms[round % 3] ?? 'MD5'
    const found = ha1Of(account({ name, digest }), realm, algorithm)
    assert.deepEqual(found, ha1Of(account({ name, password: { kind: 'plain', password } }), realm, algorithm))
  }
})

test('random and cut text is damage, never somebody’s', () => {
  const whole = deriveDigestVerifiers('a', 'x', every) ?? ''
  for (let cut = 0; cut < whole.length; cut += 1) {
    const digest = whole.slice(0, cut)
    try {
      const { ha1, isOwn } = ha1Of(account({ digest }), every.realm, 'MD5')
      assert(!isOwn && ha1 === decoyHa1.MD5, String(cut))
    } catch (error) {
      assert(error instanceof Error && 'code' in error && error.code === 'accounts.unavailable')
    }
  }
  for (let round = 0; round < 500; round += 1) {
    const digest = randomBytes(round % 80).toString('latin1')
    assert.throws(() => ha1Of(account({ digest }), every.realm, 'MD5'), { code: 'accounts.unavailable' })
  }
})
