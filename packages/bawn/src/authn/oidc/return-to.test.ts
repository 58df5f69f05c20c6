import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'
import { locationOf, maxReturnTo, parseReturnTo } from './return-to.ts'

const base = new URL('https://gate.example')

const rows: readonly (readonly [text: string, isGood: boolean])[] = [
  ['/', true],
  ['/orders', true],
  ['/orders?open=1&to=https://other.example/#/route', true],
  ['/%2F%2Fevil.example', true],
  ['/@evil.example', true],
  ['/.//evil.example', true],
  ['/..//evil.example', true],
  [`/${'a'.repeat(maxReturnTo - 1)}`, true],
  [`/${'a'.repeat(maxReturnTo)}`, false],
  ['', false],
  ['orders', false],
  ['//evil.example', false],
  ['///evil.example', false],
  ['/\\evil.example', false],
  ['\\\\evil.example', false],
  ['/a\\b', false],
  ['https:evil.example', false],
  ['https:/evil.example', false],
  ['https://evil.example', false],
  ['https://gate.example/orders', false],
  ['javascript:alert(1)', false],
  ['/\t/evil.example', false],
  ['/\n/evil.example', false],
  ['/a\r\nSet-Cookie: x=y', false],
  ['/a b', false],
  ['/ä', false],
  ['/\u2028', false],
  ['/a\u0000', false],
]
for (const [text, isGood] of rows) {
  test(`return_to ${JSON.stringify(text.slice(0, 60))} is ${isGood ? 'a path of ours' : 'refused'}`, () => {
    const returnTo = parseReturnTo(text, base)
    assert.equal(returnTo !== undefined, isGood)
    if (returnTo !== undefined)
      assert.equal(new URL(locationOf(returnTo, base), 'https://evil.example').origin, base.origin)
  })
}

test('whatever is taken leads to our origin, and to one line', () => {
  const pieces = [
    '/',
    '\\',
    '//',
    '.',
    '..',
    '@',
    ':',
    'https:',
    'evil.example',
    '?',
    '#',
    '%2f',
    '%5c',
    '\t',
    '\r\n',
    'a',
    '[',
    ';',
    '&',
  ]
  let taken = 0
  for (let round = 0; round < 20_000; round++) {
    const text = Array.from({ length: randomInt(1, 8) }, () => pieces[randomInt(pieces.length)]).join('')
    const returnTo = parseReturnTo(`/${text}`, base)
    if (returnTo === undefined) continue
    taken++
    const location = locationOf(returnTo, base)
    assert.equal(new URL(location, 'https://evil.example').origin, base.origin, text)
    assert.match(location, /^https:\/\/gate\.example\/[\x21-\x7e]*$/, text)
  }
  assert(taken > 1_000, String(taken))
})
