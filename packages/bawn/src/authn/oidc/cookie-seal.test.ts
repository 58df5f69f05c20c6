import assert from 'node:assert/strict'
import { createDecipheriv, hkdfSync, randomBytes, randomInt } from 'node:crypto'
import { test } from 'node:test'
import { AuthnError } from '../error.ts'
import { createCookieSeal, parseSealKey } from './cookie-seal.ts'

const key = Buffer.alloc(32, 7)
const seal = createCookieSeal(key)

test('what was sealed opens, with its key and for its context only', () => {
  for (let round = 0; round < 300; round++) {
    const text = randomBytes(randomInt(0, 400)).toString('latin1')
    const context = randomBytes(randomInt(0, 40)).toString('hex')
    const sealed = seal.seal(text, context)
    assert.match(sealed, /^[A-Za-z0-9_-]+$/)
    assert.equal(seal.open(sealed, context), text)
    assert.equal(seal.open(sealed, `${context}x`), undefined)
    assert.equal(createCookieSeal(randomBytes(32)).open(sealed, context), undefined)
  }
})

test('no two seals of one text are the same', () => {
  assert.equal(new Set(Array.from({ length: 100 }, () => seal.seal('text', ''))).size, 100)
})

test('it is 16 bytes of salt, AES-256-GCM, and its whole tag', () => {
  const bytes = Buffer.from(seal.seal('text', 'context'), 'base64url')
  assert.equal(bytes.length, 16 + 4 + 16)
  const derived = Buffer.from(hkdfSync('sha256', key, bytes.subarray(0, 16), 'bawn login cookie v1', 44))
  const decipher = createDecipheriv('aes-256-gcm', derived.subarray(0, 32), derived.subarray(32))
  decipher.setAAD(Buffer.from('context')).setAuthTag(bytes.subarray(-16))
  assert.equal(`${decipher.update(bytes.subarray(16, -16))}${decipher.final()}`, 'text')
})

test('whatever else comes does not open: changed, cut, longer, random', () => {
  const sealed = seal.seal('some text', 'context')
  const bytes = Buffer.from(sealed, 'base64url')
  for (let at = 0; at < bytes.length; at++) {
    const changed = Buffer.from(bytes)
    changed[at] = (changed[at] ?? 0) ^ (1 << randomInt(0, 8))
    assert.equal(seal.open(changed.toString('base64url'), 'context'), undefined)
    assert.equal(seal.open(bytes.subarray(0, at).toString('base64url'), 'context'), undefined)
    assert.equal(seal.open(bytes.subarray(at + 1).toString('base64url'), 'context'), undefined)
  }
  assert.equal(seal.open(`${sealed}AAAA`, 'context'), undefined)
  assert.equal(seal.open(`${sealed}=`, 'context'), undefined)
  assert.equal(seal.open('A'.repeat(4_097), 'context'), undefined)
  for (let round = 0; round < 500; round++) {
    const noise = randomBytes(randomInt(0, 100))
    assert.equal(seal.open(noise.toString('base64url'), 'context'), undefined)
    assert.equal(seal.open(noise.toString('latin1'), 'context'), undefined)
  }
})

test('a key is base64 of 32 bytes, and an error says nothing of it', () => {
  const bytes = Buffer.alloc(32, 0xfb)
  for (const text of [bytes.toString('base64'), bytes.toString('base64url'), `${bytes.toString('base64')}\n`]) {
    assert.deepEqual(parseSealKey(text), bytes)
  }
  for (const text of [
    '',
    'short',
    randomBytes(31).toString('base64'),
    randomBytes(33).toString('base64'),
    'ä'.repeat(44),
  ]) {
    assert.throws(
      () => parseSealKey(text),
      (error: unknown) =>
        error instanceof AuthnError &&
        error.code === 'authn.bad_login_key' &&
        (text === '' || !error.message.includes(text)),
    )
  }
})
