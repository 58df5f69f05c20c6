import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { afterScheme, parseAuthParams, quotedString } from './auth-params.ts'

test('parameters of an Authorization header', () => {
  const good: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
    ['', {}],
    ['a=b', { a: 'b' }],
    ['A=b', { a: 'b' }],
    ['a=b,c=d', { a: 'b', c: 'd' }],
    ['a = b ,\tc="d e"', { a: 'b', c: 'd e' }],
    ['a="b\\"c\\\\d"', { a: 'b"c\\d' }],
    ['a="b,c=d"', { a: 'b,c=d' }],
    ['a=""', { a: '' }],
    ['a=b,,c=d,', { a: 'b', c: 'd' }],
    ['username="J\u00c3\u00a4s\u00c3\u00b8n"', { username: 'J\u00c3\u00a4s\u00c3\u00b8n' }],
    ["username*=UTF-8''J%C3%A4s", { 'username*': "UTF-8''J%C3%A4s" }],
  ]
  for (const [text, expected] of good)
    assert.deepEqual(Object.fromEntries(parseAuthParams(text) ?? [['refused', '']]), expected, text)
  const many = Array.from({ length: 33 }, (_, at) => `a${at}=1`).join(',')
  const bad = [
    'a',
    'a=',
    '=b',
    'a=b c=d',
    'a="b',
    'a=b"c"',
    'a=b,a=c',
    'A=b,a=b',
    ',a=b',
    'a="b"c',
    'a="b\u0000"',
    many,
    'ü=b',
  ]
  for (const text of bad) assert.equal(parseAuthParams(text), undefined, JSON.stringify(text))
})

test('what is written as a quoted-string is read as itself', () => {
  for (let round = 0; round < 500; round++) {
    const text = Buffer.from(randomBytes(round % 40).map(byte => 0x20 + (byte % 0x5f))).toString('latin1')
    assert.equal(parseAuthParams(`a=${quotedString(text)}, b=1`)?.get('a'), text)
  }
})

test('random and cut input is read or refused, and ends', () => {
  const whole = 'username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", nc=00000001, qop=auth'
  for (let cut = 0; cut <= whole.length; cut++) parseAuthParams(whole.slice(0, cut))
  for (let round = 0; round < 2_000; round++) {
    const alphabet = 'ab=,"\\ \t\u00e9'
    const text = Array.from(randomBytes(40), byte => alphabet[byte % alphabet.length]).join('')
    const params = parseAuthParams(text)
    assert(params === undefined || params.size <= 32)
  }
  assert.equal(parseAuthParams(`a="${'\\'.repeat(100_001)}`), undefined)
})

test('a scheme is the whole word, in any case', () => {
  assert.equal(afterScheme('Basic YTpi', 'basic'), 'YTpi')
  assert.equal(afterScheme('bASIC   YTpi', 'basic'), 'YTpi')
  assert.equal(afterScheme('Basic', 'basic'), '')
  assert.equal(afterScheme('BasicYTpi', 'basic'), undefined)
  assert.equal(afterScheme('Bas', 'basic'), undefined)
  assert.equal(afterScheme('Basic\tYTpi', 'basic'), undefined)
})
