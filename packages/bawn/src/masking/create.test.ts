import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'
import { createMask } from './create.ts'
import { maskOptions } from './option.ts'

const table = [
  { name: 'keep_first shows the beginning', options: { mask: 'keep_first', characters: 1 }, in: 'alice', out: 'a****' },
  {
    name: 'length of the hidden part does not show',
    options: { mask: 'keep_first', characters: 1 },
    in: 'al',
    out: 'a****',
  },
  {
    name: 'keep_first hides a value as long as what it keeps',
    options: { mask: 'keep_first', characters: 5 },
    in: 'alice',
    out: '****',
  },
  {
    name: 'keep_first hides a shorter value',
    options: { mask: 'keep_first', characters: 9 },
    in: 'alice',
    out: '****',
  },
  { name: 'keep_first of nothing', options: { mask: 'keep_first', characters: 0 }, in: 'alice', out: '****' },
  { name: 'an empty value', options: { mask: 'keep_first', characters: 3 }, in: '', out: '****' },
  {
    name: 'keep_first counts code points',
    options: { mask: 'keep_first', characters: 2 },
    in: '😀é漢字',
    out: '😀é****',
  },
  {
    name: 'keep_last shows the end',
    options: { mask: 'keep_last', characters: 4 },
    in: '4111111111111234',
    out: '****1234',
  },
  {
    name: 'keep_last hides a value as long as what it keeps',
    options: { mask: 'keep_last', characters: 4 },
    in: '1234',
    out: '****',
  },
  { name: 'keep_last of nothing', options: { mask: 'keep_last', characters: 0 }, in: '1234', out: '****' },
  {
    name: 'keep_last counts code points',
    options: { mask: 'keep_last', characters: 2 },
    in: 'ab😀漢',
    out: '****😀漢',
  },
  {
    name: 'keep_last does not take two low surrogates for one',
    options: { mask: 'keep_last', characters: 1 },
    in: 'a\udc00\udc01',
    out: '****\udc01',
  },
  { name: 'email shows first character and domain', options: { mask: 'email' }, in: 'alice@x.com', out: 'a****@x.com' },
  {
    name: 'email with a plus and dots',
    options: { mask: 'email' },
    in: 'alice.b+shop@mail.example.co.uk',
    out: 'a****@mail.example.co.uk',
  },
  {
    name: 'email of an international domain',
    options: { mask: 'email' },
    in: 'ülle@bücher.example',
    out: 'ü****@bücher.example',
  },
  { name: 'a local part of one character is hidden', options: { mask: 'email' }, in: 'a@x.com', out: '****@x.com' },
  { name: 'no at sign', options: { mask: 'email' }, in: 'alice.x.com', out: '****' },
  { name: 'two at signs', options: { mask: 'email' }, in: 'a@b@x.com', out: '****' },
  { name: 'a quoted local part', options: { mask: 'email' }, in: '"a@secret.com"@x.com', out: '****' },
  { name: 'a domain of one label', options: { mask: 'email' }, in: 'password@secret', out: '****' },
  { name: 'text around the address', options: { mask: 'email' }, in: 'Alice <alice@x.com>', out: '****' },
  { name: 'text behind the address', options: { mask: 'email' }, in: 'alice@x.com, bob@y.com', out: '****' },
  { name: 'a line end behind the address', options: { mask: 'email' }, in: 'alice@x.com\n', out: '****' },
  { name: 'an address literal', options: { mask: 'email' }, in: 'alice@[10.0.0.1]', out: '****' },
  {
    name: 'longer than any address',
    options: { mask: 'email' },
    in: `a${'b'.repeat(63)}@${'c'.repeat(60)}.${'d.'.repeat(100)}com`,
    out: '****',
  },
  { name: 'fixed', options: { mask: 'fixed', text: 'hidden' }, in: 'alice', out: 'hidden' },
  { name: 'fixed, empty', options: { mask: 'fixed', text: '' }, in: 'alice', out: '' },
] as const

for (const row of table) {
  test(row.name, () => {
    assert.equal(createMask(maskOptions.parse(row.options))(row.in), row.out)
  })
}

test('an unknown mask and an unknown option are refused', () => {
  assert.equal(maskOptions.safeParse({ mask: 'keep_middle', characters: 1 }).success, false)
  assert.equal(maskOptions.safeParse({ mask: 'email', characters: 1 }).success, false)
  assert.equal(maskOptions.safeParse({ mask: 'keep_first', characters: -1 }).success, false)
})

// Characters that never occur in a mask's own output, so that any of them in it comes from the plaintext.
const alphabet = ['a', 'b', 'c', 'é', 'e\u0301', '漢', '😀', '\ud83d', '\ude00', '👩‍👩‍👧', ' ', '\n', '\u0000', '.']
const randomText = (length: number) => Array.from({ length }, () => alphabet[randomInt(alphabet.length)]).join('')

test('no more than the promised characters show, and the rest has one length', () => {
  for (let round = 0; round < 2000; round++) {
    const plaintext = randomText(randomInt(40))
    const points = [...plaintext]
    const characters = randomInt(12)
    const kept = points.length > characters ? characters : 0
    const first = createMask({ mask: 'keep_first', characters })(plaintext)
    assert.equal(first, `${points.slice(0, kept).join('')}****`)
    const last = createMask({ mask: 'keep_last', characters })(plaintext)
    assert.equal(last, `****${points.slice(points.length - kept).join('')}`)
  }
})

test('email shows one character before the last at sign, whatever comes in', () => {
  const email = createMask({ mask: 'email' })
  for (let round = 0; round < 2000; round++) {
    const local = randomText(randomInt(6))
    const masked = email(`${local}@${randomText(randomInt(4))}x.com`)
    if (masked === '****') continue
    const [shown = ''] = masked.split('@')
    assert.ok(shown === '****' || (shown === `${[...local][0]}****` && [...local].length > 1), JSON.stringify(masked))
  }
})

test('hostile input of a megabyte is masked at once', () => {
  const email = createMask({ mask: 'email' })
  assert.equal(email('a@'.repeat(524_288)), '****')
  assert.equal(email(`a@${'b.'.repeat(150)}`), '****')
  assert.equal(createMask({ mask: 'keep_last', characters: 2 })('x'.repeat(1_048_576)), '****xx')
})
