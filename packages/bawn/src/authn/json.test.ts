import assert from 'node:assert/strict'
import { randomBytes, randomInt } from 'node:crypto'
import { test } from 'node:test'
import { parseJson } from './json.ts'

const parse = (text: string) => parseJson(Buffer.from(text))

const refused = [
  '',
  ' ',
  '{',
  '[',
  '"',
  '{"a"}',
  '{"a":}',
  '{"a":1,}',
  '[1,]',
  '[,1]',
  '{a:1}',
  "{'a':1}",
  '{"a":1}x',
  '{} {}',
  '01',
  '1.',
  '.5',
  '+1',
  '-',
  '1e',
  '0x1',
  'NaN',
  'Infinity',
  '1e999',
  '-1e999',
  'nul',
  'truex',
  '"\n"',
  '"\\x"',
  '"\\u12"',
  '"\\u12G4"',
  '\ufeff{}',
  '{"a":1,"a":2}',
  '{"a":1,"\\u0061":2}',
  '{"b":{"a":1,"a":1}}',
  '{"__proto__":1,"__proto__":2}',
  `${'['.repeat(40)}${']'.repeat(40)}`,
  '//\n1',
  '[1 2]',
  '"\\ud800"',
  '"\\udc00\\ud800"',
  '{"\\ud83d":1}',
  '\u00a01',
]
for (const text of refused)
  test(`refused: ${JSON.stringify(text).slice(0, 40)}`, () => assert.equal(parse(text), undefined))

test('bytes that are not UTF-8 are refused', () => {
  for (const hex of ['22ff22', '22c080 22', '22eda08022', '22f490808022', 'c3']) {
    assert.equal(parseJson(Buffer.from(hex.replace(' ', ''), 'hex')), undefined)
  }
})

test('objects have no prototype, and __proto__ is a member', () => {
  const value = parse('{"__proto__":{"admin":true},"constructor":1}') as Record<string, unknown>
  assert.deepEqual(Object.keys(value), ['__proto__', 'constructor'])
  assert.equal(Object.getPrototypeOf(value), null)
  assert.equal(value['admin'], undefined)
  assert.ok(Object.isFrozen(value) && Object.values(value).every(member => Object.isFrozen(member)))
})

test('what JSON.parse reads, is read the same', () => {
  const make = (depth: number): unknown => {
    switch (randomInt(depth > 3 ? 4 : 6)) {
      case 0:
        return randomInt(1_000_000) / 10 ** randomInt(12) - 500
      case 1:
        return [true, false, null][randomInt(3)]
      case 2:
        return randomBytes(randomInt(9)).toString('latin1')
      case 3:
        return ['', '\u2028', '"\\/\b', '\u{1f511}', -0, 1e300][randomInt(6)]
      case 4:
        return Array.from({ length: randomInt(4) }, () => make(depth + 1))
      default:
        return Object.fromEntries(
          Array.from({ length: randomInt(4) }, (_, n) => [`${n}${randomBytes(2).toString('latin1')}`, make(depth + 1)]),
        )
    }
  }
  for (let round = 0; round < 1_000; round++) {
    const text = JSON.stringify(make(0), undefined, randomInt(3))
    assert.equal(JSON.stringify(parse(text)), JSON.stringify(JSON.parse(text)))
  }
})

test('nothing is read that JSON.parse refuses', () => {
  const seed = '{"iss":"https://id.example","aud":["a","b"],"exp":1.5e9,"n":{"x":[null,true,-0.1,"\\u0041"]}}'
  for (let round = 0; round < 3_000; round++) {
    const bytes = Buffer.from(seed)
    for (let change = 0; change <= round % 3; change++)
      bytes[randomInt(bytes.length)] = `${seed}\0\x1f\x7f`.charCodeAt(randomInt(seed.length + 3))
    const text = bytes.toString().slice(0, round % 5 === 0 ? randomInt(seed.length) : undefined)
    const ours = parse(text)
    if (ours !== undefined) assert.equal(JSON.stringify(ours), JSON.stringify(JSON.parse(text)))
    parseJson(randomBytes(round % 100))
  }
})

test('a megabyte of one token is read without a deep stack', () => {
  for (const token of ['a', '\\n', '\\u0041', 'ö']) {
    const text = `"${token.repeat(1_000_000 / token.length)}"`
    assert.equal(parse(text), JSON.parse(text))
    assert.equal(parse(text.slice(0, -1)), undefined)
  }
})
