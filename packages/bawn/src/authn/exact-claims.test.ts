import assert from 'node:assert/strict'
import { test } from 'node:test'
import { withExactIntegers } from './exact-claims.ts'
import { parseJson } from './json.ts'

const view = (text: string): unknown => withExactIntegers(parseJson(Buffer.from(text)))

test('integers that a double does not hold are what was written, and everything else is as it was', () => {
  const rows: readonly (readonly [string, unknown])[] = [
    ['{"n":9007199254740993}', { n: 9007199254740993n }],
    ['{"n":-9007199254740993}', { n: -9007199254740993n }],
    ['{"n":9007199254740992}', { n: 9007199254740992n }],
    ['{"n":9007199254740991}', { n: 9007199254740991 }],
    ['{"n":18446744073709551617,"m":1}', { n: 18446744073709551617n, m: 1 }],
    ['{"a":{"b":[1,[9007199254740993,2]]},"c":1.5}', { a: { b: [1, [9007199254740993n, 2]] }, c: 1.5 }],
    ['{"a":9007199254740993,"b":9007199254740995}', { a: 9007199254740993n, b: 9007199254740995n }],
    ['[9007199254740993]', [9007199254740993n]],
    ['{"n":9007199254740993.5,"m":1e17,"k":[1e17],"o":1}', { o: 1 }],
    ['{"n":[9007199254740993,[1e300]],"o":{"p":1e300}}', { o: {} }],
  ]
  for (const [text, expected] of rows) {
    const found = view(text)
    assert.deepEqual(structuredClone(found), expected, text)
    assert.equal(Object.isFrozen(found), true)
  }
  const odd = view('{"__proto__":9007199254740993}')
  assert.equal(Object.entries(odd ?? {}).join(), '__proto__,9007199254740993')
})

test('what has none of them is the same document, and a view is made once', () => {
  const plain = parseJson(Buffer.from('{"a":[1,{"b":2.5}],"c":"x"}'))
  assert.equal(withExactIntegers(plain), plain)
  const big = parseJson(Buffer.from('{"n":9007199254740993}'))
  assert.equal(withExactIntegers(big), withExactIntegers(big))
  assert.equal(withExactIntegers('x'), 'x')
})

test('what was parsed by somebody else has no member that may be another number', () => {
  const foreign = JSON.parse('{"n":9007199254740993,"m":1,"l":[9007199254740993]}')
  assert.deepEqual(structuredClone(withExactIntegers(foreign)), { m: 1 })
})
