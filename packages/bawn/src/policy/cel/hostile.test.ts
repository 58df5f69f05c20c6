import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compileCel } from './compile.ts'
import { type Group, group, variable } from './environment.ts'
import { CelError, CelFault } from './fault.ts'
import { mapOf } from './type.ts'

const nested = (depth: number): unknown => {
  let value: unknown = 'x'
  for (let at = 0; at < depth; at++) value = [value]
  return value
}

const [deep, other] = [nested(50_000), nested(50_000)]
const big = Array.from({ length: 100_000 }, (_, at) => at)
const text = 'a'.repeat(1_000_000)
const blanks = `x${' '.repeat(200_000)}x`

const environment: Group<unknown> = group<unknown>({
  claims: variable(mapOf('string', 'dyn'), input => input),
  big: variable('dyn', () => big),
  deep: variable('dyn', () => deep),
  other: variable('dyn', () => other),
  text: variable('string', () => text),
  blanks: variable('string', () => blanks),
})

function answer(text: string, claims: unknown = {}): unknown {
  const { run } = compileCel(text, environment)
  try {
    return run({ input: claims, steps: 100_000, locals: [] })
  } catch (error) {
    if (error instanceof CelFault) return error.message
    if (error instanceof RangeError) return 'nested too deep'
    throw error
  }
}

for (const [text, claims, wanted] of [
  ['claims.__proto__ == claims.__proto__', {}, 'no such key: __proto__'],
  ['has(claims.constructor)', {}, false],
  ['has(claims.toString)', {}, false],
  ["'hasOwnProperty' in claims", {}, false],
  ["claims['__proto__'] == 1", { __proto__: 1 }, 'no such key'],
  ['claims.__proto__ == 1', JSON.parse('{"__proto__":1}'), true],
  ['claims.list.length == 1', { list: ['a'] }, 'a value has another type than this needs'],
  ["claims.text[0] == 'a'", { text: 'abc' }, 'a value has another type than this needs'],
  ["claims.text.length == 'a'", { text: 'abc' }, 'a value has another type than this needs'],
  ['claims.list[0.5] == 1', { list: [1] }, 'no such key'],
  ['claims.list[-1] == 1', { list: [1] }, 'no such key'],
  ['claims.admin', { admin: 'true' }, 'true'],
  ['claims.admin && true', { admin: 'true' }, 'a value has another type than this needs'],
  ['claims.admin == true', { admin: 1 }, false],
  ["claims.sub == 'ann'", { sub: ['ann'] }, false],
  ["claims.sub == 'ann'", { sub: { toString: 'ann' } }, false],
  ["claims.name == 'Zoë'", { name: 'Zoe\u0308' }, false],
  ['size(claims.name) == 2', { name: '🙂🙂' }, true],
  ['big.all(a, big.all(b, a <= b))', {}, 'too many steps'],
  ['big.all(a, big.exists(b, b == a))', {}, 'too many steps'],
  ['big.map(a, big).size() == 0', {}, false],
  ['deep == other', {}, 'nested too deep'],
  ["text.matches('(a+)+$')", {}, 'too many steps'],
  ["(text + text + text + text + text + text + text + text).contains('b')", {}, 'too many steps'],
  ["blanks.trim() == 'x'", {}, 'too many steps'],
  ['big.map(a, text).size() == 1', {}, false],
  ['9223372036854775807 + 1 > 0', {}, 'a number out of range'],
  ['1 / 0 == 1', {}, 'a number out of range'],
  ["timestamp('2026-02-30T00:00:00Z') < timestamp('2027-01-01T00:00:00Z')", {}, 'this is no time'],
] as const) {
  test(`${text} of ${JSON.stringify(claims).slice(0, 40)}`, () => {
    const begun = performance.now()
    assert.equal(answer(text, claims), wanted)
    assert(performance.now() - begun < 10_000)
  })
}

test('ReDoS: a pattern that goes back has nothing to go back to', () => {
  const { run } = compileCel("claims.text.matches('^(a+)+$')", environment)
  const begun = performance.now()
  assert.equal(run({ input: { text: `${'a'.repeat(60_000)}!` }, steps: 100_000, locals: [] }), false)
  assert(performance.now() - begun < 10_000)
})

for (const [what, text, place, message] of [
  ['an unknown name', 'clams.sub == 1', 0, /nothing is called "clams" here/],
  ['text and number', "1 == 'a'", 0, /these do not fit/],
  ['no condition', 'true && 1', 8, /must be true or false/],
  ['an unknown function', "text.startWith('a')", 5, /no function is called startWith/],
  ['a function of another shape', 'startsWith(text)', 0, /no function is called startsWith/],
  ['wrong arguments', 'text.startsWith(1)', 0, /does not take/],
  ['one equals sign', 'text = 1', 5, /means nothing/],
  ['a pattern of a caller', 'text.matches(claims.pattern)', 13, /must be written here/],
  ['a pattern that is none', "text.matches('(')", 13, /no pattern/],
  ['look-around', "text.matches('(?=a)')", 13, /no pattern/],
  ['an unsigned number', '1u == 1u', 0, /unsigned/],
  ['a number that is too large', '9223372036854775808 == 1', 0, /64 bits/],
  ['a message', 'Person{name: 1} == 1', 6, /messages/],
  ['a string without an end', "text == 'a", 8, /no end/],
  ['an escape that is none', "text == 'a\\q'", 10, /no such escape/],
  ['a reserved word', 'while == 1', 0, /reserved/],
  ['nothing', '   ', 3, /missing/],
  ['a bracket too many', '(true))', 6, /not expected/],
  ['loops in loops', 'big.all(a, big.all(b, big.all(c, big.all(d, true))))', 33, /at most 3/],
] as const) {
  test(`refused at start: ${what}`, () => {
    assert.throws(
      () => compileCel(text, environment),
      error => error instanceof CelError && error.start === place && message.test(error.message),
      `${what}: ${refusal(text)}`,
    )
  })
}

function refusal(text: string): string {
  try {
    compileCel(text, environment)
    return 'compiled'
  } catch (error) {
    return error instanceof CelError ? `${error.start} ${error.message}` : String(error)
  }
}

for (const [what, text] of [
  ['parentheses', `${'('.repeat(5_000)}true`],
  ['brackets', `${'['.repeat(5_000)}`],
  ['negations', `${'!'.repeat(8_000)}true`],
  ['minuses', `${'-'.repeat(8_000)}1 == 1`],
  ['members', `claims${'.a'.repeat(4_000)} == 1`],
  ['conditions', 'true ? '.repeat(1_000)],
  ['a chain', `true${' && true'.repeat(900)}`],
  ['a long list', `[${'1,'.repeat(4_000)}] == []`],
  ['a long text', `'${'a'.repeat(10_000)}' == ''`],
] as const) {
  test(`refused at start: too many ${what}`, () => {
    assert.throws(() => compileCel(text, environment), CelError)
  })
}
