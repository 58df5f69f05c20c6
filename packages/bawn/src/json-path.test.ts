import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'
import { parseJsonPath } from './json-path.ts'

const good: readonly [text: string, path: readonly string[]][] = [
  ['$.email', ['email']],
  ['$.a.b', ['a', 'b']],
  ['$.items[*].email', ['items', '*', 'email']],
  ['$[*].x', ['*', 'x']],
  ['$[*][*]', ['*', '*']],
  ["$['a b']", ['a b']],
  ['$["a b"].c', ['a b', 'c']],
  ["$['first-name'][*]['x']", ['first-name', '*', 'x']],
  ["$['it\\'s \"so\"']", ['it\'s "so"']],
  ["$['\\u00fc\\n\\\\']", ['ü\n\\']],
  ["$['a.b[*]']", ['a.b[*]']],
  ["$['']", ['']],
  ['$.größe._x9', ['größe', '_x9']],
  ['$.__proto__', ['__proto__']],
]
for (const [text, path] of good) {
  test(`${text} is a path`, () => assert.deepEqual(parseJsonPath(text), { kind: 'path', path }))
}

const bad: readonly [text: string, position: number, words: RegExp][] = [
  ['', 1, /begins with \$/],
  ['email', 1, /begins with \$/],
  ['$', 2, /names a member/],
  ['$..email', 2, /searches/],
  ['$.a..email', 4, /searches/],
  ['$.*', 2, /elements of an array are \[\*\]/],
  ['$.a.', 5, /name is expected/],
  ['$.first-name', 8, /cannot be in a name/],
  ['$.9', 3, /name is expected/],
  ['$.items[0]', 9, /no index/],
  ['$.items[-1]', 9, /no index/],
  ['$.items[1:2]', 9, /no index/],
  ['$.items[?@.x]', 9, /no index, slice or filter/],
  ["$['a','b']", 6, /\] is expected/],
  ['$[* ]', 3, /no index/],
  ['$[*', 3, /no index/],
  ["$['a", 2, /not closed/],
  ["$['a'", 6, /\] is expected/],
  ["$['*']", 4, /member named \*/],
  ["$['\\x']", 4, /escape/],
  ["$['\\u12']", 4, /escape/],
  ["$['\n']", 4, /control character/],
  ['$email', 2, /\. or \[/],
  ['$.a b', 4, /cannot be in a name/],
  ['$.email ', 8, /cannot be in a name/],
  [`$${'.a'.repeat(65)}`, 132, /at most 64/],
]
for (const [text, position, words] of bad) {
  test(`${JSON.stringify(text).slice(0, 30)} is refused at its place`, () => {
    const parsed = parseJsonPath(text)
    assert.ok(parsed.kind === 'fault')
    assert.match(parsed.fault, words)
    assert.equal(parsed.position, position)
  })
}

test('any name comes back from its quoted form', () => {
  for (let round = 0; round < 1000; round++) {
    const name = Array.from({ length: randomInt(8) }, () => String.fromCharCode(randomInt(0x300))).join('')
    if (name === '*') continue
    assert.deepEqual(parseJsonPath(`$[${JSON.stringify(name)}]`), { kind: 'path', path: [name] })
  }
})

test('random and cut input ends in a path or a fault within the text', () => {
  const pieces = ['$', '.', '..', '[', ']', '*', "'", '"', '\\', 'a', 'ü', '[*]', "['x']", '\\u', '0', ' ', '?']
  for (let round = 0; round < 5000; round++) {
    const text = Array.from({ length: randomInt(12) }, () => pieces[randomInt(pieces.length)]).join('')
    for (const input of [text, `$${text}`]) {
      const parsed = parseJsonPath(input)
      if (parsed.kind === 'fault') assert.ok(parsed.position >= 1 && parsed.position <= input.length + 1)
      else assert.ok(parsed.path.length > 0)
    }
  }
})
