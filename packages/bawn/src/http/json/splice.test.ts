import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compilePaths, type PathNode } from './path-tree.ts'
import { JsonError, type JsonFault, spliceJson } from './splice.ts'

function tree(...paths: string[][]): PathNode {
  const compiled = compilePaths(paths)
  assert.ok(typeof compiled !== 'string', String(compiled))
  return compiled
}

const upper = (_target: number, text: string): string => text.toUpperCase()

function splice(json: string, node: PathNode, replace = upper): string {
  return spliceJson(Buffer.from(json), node, 64, replace).toString()
}

function faultOf(json: string | Buffer, node: PathNode): JsonFault | 'none' {
  try {
    spliceJson(Buffer.from(json), node, 64, upper)
    return 'none'
  } catch (error) {
    assert.ok(error instanceof JsonError, String(error))
    return error.fault
  }
}

test('only the values at the paths change, byte for byte', () => {
  const items = tree(['items', '*', 'email'], ['next'])
  const rows: readonly (readonly [string, string])[] = [
    ['{"items":[{"email":"a@x"},{"id":1,"email":"b"}]}', '{"items":[{"email":"A@X"},{"id":1,"email":"B"}]}'],
    ['{ "n" : 12345678901234567890.10e+5 , "next" : "q" }', '{ "n" : 12345678901234567890.10e+5 , "next" : "Q" }'],
    ['{"items":[]}', '{"items":[]}'],
    ['{"items":null,"next":null}', '{"items":null,"next":null}'],
    ['{"other":{"email":"stays"}}', '{"other":{"email":"stays"}}'],
    ['{"items":[{"\\u0065mail":"a"}]}', '{"items":[{"\\u0065mail":"A"}]}'],
    ['{"items":[{"email":"\\u0061\\n\\"é"}]}', '{"items":[{"email":"A\\n\\"É"}]}'],
    ['{"a":1,"a":2,"next":"q"}', '{"a":1,"a":2,"next":"Q"}'],
    ['\n\t {"next"\r:\n"q"} ', '\n\t {"next"\r:\n"Q"} '],
    ['null', 'null'],
  ]
  for (const [json, expected] of rows) assert.equal(splice(json, items), expected)
  assert.equal(splice('[["a"],["b",null]]', tree(['*', '*'])), '[["A"],["B",null]]')
  assert.equal(splice('"a"', tree([])), '"A"')
  assert.equal(
    splice('{"next":"a"}', items, () => undefined as unknown as string),
    '{"next":null}',
  )
})

test('what cannot be proved is refused', () => {
  const node = tree(['items', '*', 'email'], ['user', 'name'])
  const rows: readonly (readonly [string, JsonFault])[] = [
    ['{"items":[{"email":1}]}', 'shape'],
    ['{"items":[{"email":["a@x"]}]}', 'shape'],
    ['{"items":[{"email":{"a":1}}]}', 'shape'],
    ['{"items":[{"email":false}]}', 'shape'],
    ['{"items":{"email":"a@x"}}', 'shape'],
    ['{"items":["a@x"]}', 'shape'],
    ['{"items":"a@x"}', 'shape'],
    ['[{"items":[]}]', 'shape'],
    ['{"user":[{"name":"a"}]}', 'shape'],
    ['{"items":[{"email":"a","email":"b"}]}', 'duplicate'],
    ['{"items":[{"email":"a","\\u0065mail":"b"}]}', 'duplicate'],
    ['{"items":[],"items":[{"email":"b"}]}', 'duplicate'],
    ['{"user":null,"user":{"name":"b"}}', 'duplicate'],
    ['{"items":[{"Email":"a"}]}', 'spelling'],
    ['{"ITEMS":[{"email":"a"}]}', 'spelling'],
    ['{"items":[{"\\u0045MAIL":"a"}]}', 'spelling'],
    ['{"u\u017fer":{"name":"a"}}', 'spelling'],
    ['{"user":{"name":"\\ud800"}}', 'encoding'],
    [`{"x":${'['.repeat(64)}${']'.repeat(64)}}`, 'depth'],
    [`{"x":${'['.repeat(100_000)}`, 'depth'],
    [`{"items":${'['.repeat(100_000)}`, 'depth'],
    [`{"x":${'{"a":'.repeat(100_000)}`, 'depth'],
  ]
  for (const [json, fault] of rows) assert.equal(faultOf(json, node), fault, json.slice(0, 60))
  assert.equal(faultOf(Buffer.from([0x22, 0xff, 0x22]), node), 'encoding')
  assert.equal(faultOf(Buffer.from('\ufeff{}'), node), 'encoding')
  assert.equal(faultOf(Buffer.from('{"a":1}', 'utf16le'), node), 'syntax')
})

test('what JSON.parse refuses is refused, wherever it stands', () => {
  const bad = [
    ...['', ' ', '{', '}', '[', '"', '{"a"}', '{"a":}', '{"a":1,}', '{,}', '[1,]', '[,1]', '{"a":1 "b":2}', '{a:1}'],
    ...["{'a':1}", '{"a":01}', '{"a":-}', '{"a":1.}', '{"a":.5}', '{"a":1e}', '{"a":+1}', '{"a":0x1}', '{"a":NaN}'],
    ...['{"a":Infinity}', '{"a":tru}', '{"a":nul}', '{"a":"\\x"}', '{"a":"\\u12g4"}', '{"a":"\\u12', '{"a":"\n"}'],
    ...[
      '{"a":"\0"}',
      '{"a":1}x',
      '{"a":1}{}',
      '{}//',
      '/**/{}',
      '{"a":1}\0',
      '{"a"\u00a0:1}',
      '{"a":"b}',
      '{"next":"q"',
    ],
  ]
  const node = tree(['next'])
  for (const json of bad) {
    assert.throws(() => JSON.parse(json), `${json} should be no JSON`)
    assert.equal(faultOf(json, node), 'syntax', json)
    assert.notEqual(faultOf(`{"x":${json}}`, node), 'none', json)
  }
})

test('paths that collide are told', () => {
  assert.match(String(compilePaths([['a'], ['a']])), /named twice/)
  assert.match(String(compilePaths([['a'], ['a', 'b']])), /goes through/)
  assert.match(String(compilePaths([['a', '*'], ['a']])), /below it/)
})

/** Deterministic: a failure can be repeated. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

const keys = ['email', 'items', 'id', 'é', 'a b', 'm\u2028', '"', '__proto__', 'e']

function value(next: () => number, depth: number): unknown {
  const kind = Math.floor(next() * (depth > 3 ? 5 : 7))
  switch (kind) {
    case 0:
      return null
    case 1:
      return next() < 0.5
    case 2:
      return (next() - 0.5) * 10 ** Math.floor(next() * 30)
    case 3:
    case 4:
      return Array.from({ length: Math.floor(next() * 8) }, () =>
        String.fromCodePoint(Math.floor(next() * 0x2ff)),
      ).join('')
    case 5:
      return Array.from({ length: Math.floor(next() * 4) }, () => value(next, depth + 1))
    default: {
      const object: Record<string, unknown> = Object.create(null)
      for (let n = Math.floor(next() * 5); n > 0; n--)
        object[keys[Math.floor(next() * keys.length)] ?? ''] = value(next, depth + 1)
      return object
    }
  }
}

/** The oracle: the same change, on what JSON.parse made. `undefined`: of another shape. */
function transform(at: unknown, path: readonly string[]): unknown {
  if (at === null) return null
  const [step, ...rest] = path
  if (step === undefined) {
    if (typeof at !== 'string') throw new Error('shape')
    return at.toUpperCase()
  }
  if (step === '*') {
    if (!Array.isArray(at)) throw new Error('shape')
    return at.map(element => transform(element, rest))
  }
  if (typeof at !== 'object' || Array.isArray(at)) throw new Error('shape')
  return Object.fromEntries(
    Object.entries(at).map(([key, member]) => [key, key === step ? transform(member, rest) : member]),
  )
}

test('splicing equals parsing, changing and comparing', () => {
  const next = random(5)
  let same = 0
  for (let round = 0; round < 4000; round++) {
    const paths = [['items', '*', 'email'], ['email'], ['*', 'email'], ['*'], ['items', 'é']]
    const path = paths[round % paths.length] ?? []
    let json = JSON.stringify(value(next, 0), null, round % 3)
    // Some characters written as escapes, keys too.
    json = json.replace(/[a-z]/g, letter =>
      next() < 0.1 && !/(?:true|false|null|[0-9]e)/.test(json) ? `\\u00${letter.charCodeAt(0).toString(16)}` : letter,
    )
    let oracle: unknown
    try {
      oracle = JSON.parse(json)
    } catch {
      // An escape outside of a string.
      assert.notEqual(faultOf(json, tree(path)), 'none')
      continue
    }
    let expected: unknown
    try {
      expected = transform(oracle, path)
    } catch {
      assert.equal(faultOf(json, tree(path)), 'shape', json)
      continue
    }
    assert.deepEqual(JSON.parse(splice(json, tree(path))), JSON.parse(JSON.stringify(expected)), json)
    same++
  }
  assert.ok(same > 500, `only ${same} documents were compared`)
})

test('cut, flipped and random bytes end in a typed error or in JSON, never otherwise', () => {
  const next = random(3)
  const node = tree(['items', '*', 'email'], ['next'])
  const good = Buffer.from('{"items":[{"id":1.5e3,"email":"a\\u00e9é"},{"x":[true,null,{"y":""}]}],"next":null}')
  for (let cut = 0; cut < good.length; cut++) assert.match(faultOf(good.subarray(0, cut), node), /syntax|encoding/)
  for (let round = 0; round < 5000; round++) {
    const bytes = Buffer.from(good)
    for (let flips = 1 + Math.floor(next() * 3); flips > 0; flips--) {
      bytes[Math.floor(next() * bytes.length)] = Math.floor(next() * 256)
    }
    if (faultOf(bytes, node) === 'none') JSON.parse(spliceJson(bytes, node, 64, upper).toString())
  }
})
