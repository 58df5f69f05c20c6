import assert from 'node:assert/strict'
import { test } from 'node:test'
import { backendOptions } from './backend-option.ts'
import { parseExact } from './exact-json.ts'
import { compileAnswerShape, mergeAnswers } from './merge-answers.ts'

function shaped(document: string, option: Record<string, unknown>): string {
  const shape = compileAnswerShape(backendOptions.parse({ upstream: 'main', ...option }))
  const part = shape(parseExact(Buffer.from(document)))
  return typeof part === 'string'
    ? part
    : mergeAnswers([
        { members: part.members, group: backendOptions.parse({ upstream: 'main', ...option }).group },
      ]).toString()
}

test('what of a backend’s answer is taken, and where it goes', () => {
  const person = '{"id":7,"name":"Ann","secret":"s","at":{"city":"Ulm","pin":1},"tags":[{"a":1,"b":2},3]}'
  const rows: readonly (readonly [string, Record<string, unknown>, string])[] = [
    [person, {}, person],
    [person, { target: 'at' }, '{"city":"Ulm","pin":1}'],
    [person, { target: 'at.city' }, 'it is no object'],
    [person, { target: 'nothing.at' }, 'it has no nothing.at'],
    [person, { target: 'id' }, 'it is no object'],
    [person, { allow: ['id', 'at.city', 'missing'] }, '{"id":7,"at":{"city":"Ulm"}}'],
    [person, { allow: ['at.city', 'at'] }, '{"at":{"city":"Ulm","pin":1}}'],
    [person, { allow: ['name.first'] }, '{}'],
    [person, { allow: ['tags.a'] }, '{"tags":[{"a":1}]}'],
    [person, { deny: ['secret', 'at.pin', 'tags.b'] }, '{"id":7,"name":"Ann","at":{"city":"Ulm"},"tags":[{"a":1},3]}'],
    [person, { deny: ['name.first'], target: 'at' }, '{"city":"Ulm","pin":1}'],
    ['{"a":1,"b":2}', { mapping: { a: 'b', b: 'a' } }, '{"b":1,"a":2}'],
    ['{"a":1,"b":2,"c":3}', { mapping: { a: 'b', missing: 'x' } }, '{"b":1,"c":3}'],
    ['{"a":1}', { group: 'user', mapping: { a: 'id' } }, '{"user":{"id":1}}'],
    ['[1,{"x":2,"y":3}]', { collection: true, allow: ['collection.x'] }, '{"collection":[{"x":2}]}'],
    ['[1]', { collection: true, mapping: { collection: 'items' }, group: 'g' }, '{"g":{"items":[1]}}'],
    ['{"data":{"rows":[]}}', { target: 'data.rows', collection: true }, '{"collection":[]}'],
    ['[1]', {}, 'it is a list: say collection: true'],
    ['{}', { collection: true }, 'it is no list'],
    ['7', {}, 'it is no object'],
    ['12345678901234567890', {}, 'it is no object'],
    ['null', {}, 'it is no object'],
    // As they are written, however deep.
    [
      '{"n":12345678901234567890,"m":[{"x":1.50}],"e":1e400}',
      {},
      '{"n":12345678901234567890,"m":[{"x":1.50}],"e":1e400}',
    ],
    ['{"n":{"m":9007199254740993,"x":1}}', { deny: ['n.m.y', 'n.x'] }, '{"n":{"m":9007199254740993}}'],
    ['{"n":{"m":9007199254740993,"x":1}}', { allow: ['n.m'] }, '{"n":{"m":9007199254740993}}'],
    ['{"n":9007199254740993}', { allow: ['n.rawJSON'] }, '{}'],
    // Members like any other.
    [
      '{"__proto__":{"a":1},"constructor":{"prototype":{"b":2}}}',
      {},
      '{"__proto__":{"a":1},"constructor":{"prototype":{"b":2}}}',
    ],
    ['{"__proto__":{"a":1,"b":2}}', { deny: ['__proto__.b'] }, '{"__proto__":{"a":1}}'],
    ['{"x":1}', { target: '__proto__' }, 'it has no __proto__'],
    ['{"x":1}', { mapping: { x: '__proto__' }, group: '__proto__' }, '{"__proto__":{"__proto__":1}}'],
  ]
  for (const [document, option, expected] of rows) {
    assert.equal(shaped(document, option), expected, `${document} ${JSON.stringify(option)}`)
  }
  assert.equal(({} as Record<string, unknown>)['a'], undefined)
})

test('of two members of one name the later in the configuration counts, and objects become one', () => {
  const rows: readonly (readonly [string, readonly string[], string])[] = [
    ['nothing', [], '{}'],
    ['different ones', ['{"a":1}', '{"b":2}'], '{"a":1,"b":2}'],
    ['the later', ['{"a":1,"c":1}', '', '{"c":3}', '{"c":4}'], '{"a":1,"c":4}'],
    ['two objects', ['{"b":{"x":1,"z":0}}', '{"b":{"y":2,"z":1}}'], '{"b":{"x":1,"z":1,"y":2}}'],
    ['objects in objects', ['{"b":{"c":{"x":1}}}', '{"b":{"c":{"y":[2]}}}'], '{"b":{"c":{"x":1,"y":[2]}}}'],
    ['lists do not', ['{"b":[1,2]}', '{"b":[3]}'], '{"b":[3]}'],
    ['an object and none', ['{"b":{"x":1}}', '{"b":null}'], '{"b":null}'],
    ['none and an object', ['{"b":1e400}', '{"b":{"x":1}}'], '{"b":{"x":1}}'],
    ['a number beyond a double is none', ['{"b":{"x":1}}', '{"b":9007199254740993}'], '{"b":9007199254740993}'],
    [
      'members like any other',
      ['{"__proto__":{"a":1},"constructor":{"prototype":{"b":2}}}', '{"__proto__":{"c":3},"toString":{"d":4}}'],
      '{"__proto__":{"a":1,"c":3},"constructor":{"prototype":{"b":2}},"toString":{"d":4}}',
    ],
  ]
  for (const [name, documents, expected] of rows) {
    const parts = documents.map(text => ({
      members: text === '' ? undefined : (parseExact(Buffer.from(text)) as Record<string, unknown>),
      group: undefined,
    }))
    assert.equal(mergeAnswers(parts).toString(), expected, name)
  }
  assert.equal(({} as Record<string, unknown>)['a'], undefined)
})

test('nobody but its backend says what is in a group', () => {
  const user = { group: 'user', members: { user: { id: 1 } } }
  const other = { group: undefined, members: { user: { admin: true }, b: 2 } }
  assert.equal(mergeAnswers([user, other]).toString(), '{"user":{"id":1},"b":2}')
  assert.equal(mergeAnswers([other, user]).toString(), '{"b":2,"user":{"id":1}}')
  assert.equal(mergeAnswers([{ ...user, members: undefined }, other]).toString(), '{"b":2}')
})

test('settings that no backend may have', () => {
  for (const bad of [
    { allow: ['a'], deny: ['b'] },
    { mapping: { a: 'x', b: 'x' } },
    { allow: [] },
    { allow: ['a..b'] },
    { target: '' },
    { target: '.a' },
    { group: '' },
    { method: 'HEAD' },
    { name: '0' },
    { name: 'a.b' },
    { max_json_bytes: 0 },
  ]) {
    assert.equal(backendOptions.safeParse({ upstream: 'main', ...bad }).success, false, JSON.stringify(bad))
  }
})

test('random documents: what is denied is not there, what is allowed is nothing else', () => {
  let seed = Number(process.env['BAWN_TEST_SEED'] ?? 7)
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff
    return (seed >> 8) % below
  }
  const names = ['a', 'b', '__proto__', 'toString']
  const make = (depth: number): unknown => {
    const kind = random(depth > 4 ? 2 : 5)
    if (kind < 2) return kind === 0 ? 'leaf' : random(100)
    if (kind === 2) return Array.from({ length: random(3) }, () => make(depth + 1))
    const made = Object.create(null)
    for (const name of names) if (random(2) === 0) made[name] = make(depth + 1)
    return made
  }
  /** Whether a path leads to something, through lists as well. */
  const has = (value: unknown, path: readonly string[]): boolean => {
    if (path.length === 0) return true
    if (Array.isArray(value)) return value.some(item => has(item, path))
    const [name = '', ...rest] = path
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return false
    return has((value as Record<string, unknown>)[name], rest)
  }
  for (let round = 0; round < 2_000; round++) {
    const document = `{"a":${JSON.stringify(make(0))},"b":${JSON.stringify(make(0))}}`
    const path = Array.from({ length: 1 + random(3) }, () => names[random(names.length)] ?? 'a')
    const denied = JSON.parse(shaped(document, { deny: [path.join('.')] }))
    assert.equal(has(denied, path), false, `${document} without ${path}`)
    const allowed = JSON.parse(shaped(document, { allow: [path.join('.')] }))
    assert.deepEqual(
      Object.keys(allowed).filter(name => name !== path[0]),
      [],
      document,
    )
    assert.equal(has(allowed, path), has(JSON.parse(document), path), `${document} only ${path}`)
  }
})

test('numbers stay as they are written, and what is no JSON stays none', () => {
  for (const text of [
    '-0',
    '1.50',
    '1e5',
    '1E+2',
    '12345678901234567890',
    '[0,-1,1.5,1.0,"1.0"]',
    '{"__proto__":1.0,"a":{"__proto__":[1.0]}}',
    '{"1.0":"\\"1.0"}',
  ]) {
    assert.equal(JSON.stringify(parseExact(Buffer.from(text))), text)
  }
  for (const text of [
    '{1.0:1}',
    '{"a":1.0:1}',
    '01.0',
    '1.0.0',
    '+1.0',
    '-',
    '1.0"a"',
    '1.',
    '.5',
    '1.0 1.0',
    '1e',
    '--1.0',
  ]) {
    assert.throws(() => parseExact(Buffer.from(text)), SyntaxError, text)
  }
})

test('depth is limited before anything goes down', () => {
  const nested = (depth: number): Buffer => Buffer.from('['.repeat(depth) + ']'.repeat(depth))
  assert.ok(Array.isArray(parseExact(nested(64))))
  for (const depth of [65, 100_000]) assert.throws(() => parseExact(nested(depth)), RangeError)
  assert.throws(() => parseExact(Buffer.from('{"a":'.repeat(100_000))), RangeError)
  assert.equal(parseExact(Buffer.from(`"${'['.repeat(100)}\\"{{"`)), `${'['.repeat(100)}"{{`)
  for (const text of ['"', '"\\', '{"a":"\\"', '']) assert.throws(() => parseExact(Buffer.from(text)), SyntaxError)
})
