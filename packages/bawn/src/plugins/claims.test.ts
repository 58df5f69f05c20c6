import assert from 'node:assert/strict'
import { test } from 'node:test'
import { withExactIntegers } from '../authn/exact-claims.ts'
import { copyClaims } from './claims.ts'

test('claims are copied, frozen at every level, and without prototypes', () => {
  const list: unknown[] = [1, { x: 'y' }]
  const from = { a: list, b: null, c: undefined, d: { e: true } }
  const copy = copyClaims(from)
  assert.deepEqual(JSON.parse(JSON.stringify(copy)), { a: [1, { x: 'y' }], b: null, d: { e: true } })
  list.push('later')
  assert.equal(JSON.stringify(copy), '{"a":[1,{"x":"y"}],"b":null,"d":{"e":true}}')
  assert.equal(Reflect.set(Object(copy?.['d']), 'e', false), false)
  assert.equal(Object.getPrototypeOf(copy), null)
  assert.equal(Object.getPrototypeOf(copy?.['d']), null)
})

test('an integer that no double holds stays known', () => {
  const copy = copyClaims({ a: 9007199254740993n, b: [1n, { c: -9007199254740993n }], d: 2 ** 60 })
  assert(copy !== undefined)
  assert.deepEqual([copy['a'], typeof copy['a']], [9007199254740992, 'number'])
  const exact = withExactIntegers(copy) as Record<string, unknown>
  assert.equal(exact['a'], 9007199254740993n)
  assert.deepEqual(
    exact['b'],
    [1, Object.assign(Object.create(null), { c: -9007199254740993n })],
    'also in lists and below',
  )
  assert.equal('d' in exact, false, 'nobody knows which one a plug-in meant by a double')
})

test('a member called __proto__ is one like any other', () => {
  const copy = copyClaims(JSON.parse('{"__proto__":{"admin":true},"constructor":1}'))
  assert.deepEqual(Object.keys(copy ?? {}), ['__proto__', 'constructor'])
  assert.equal(Reflect.get({}, 'admin'), undefined)
})

const deep = (levels: number): unknown => (levels === 0 ? 1 : { in: deep(levels - 1) })
const circle: Record<string, unknown> = {}
circle['self'] = circle

const rows: readonly (readonly [name: string, value: unknown, isGood: boolean])[] = [
  ['nothing', {}, true],
  ['no object', 'x', false],
  ['a list', [], false],
  ['null', null, false],
  ['a class’s instance', new Date(), false],
  ['a Map inside', { a: new Map() }, false],
  ['a function inside', { a: () => 1 }, false],
  ['a symbol inside', { a: Symbol('x') }, false],
  ['a big integer', { a: 1n }, true],
  ['a big integer beyond a double', { a: 10n ** 400n }, false],
  ['no number', { a: Number.NaN }, false],
  ['no end', { a: Number.POSITIVE_INFINITY }, false],
  ['sixteen deep', deep(16), true],
  ['seventeen deep', deep(17), false],
  ['a circle', circle, false],
  ['a thousand values', { a: Array(998).fill(1) }, true],
  ['more', { a: Array(1_001).fill(1) }, false],
  ['a list without end', { a: Array(4_000_000_000) }, false],
]
for (const [name, value, isGood] of rows) {
  test(`claims may ${isGood ? '' : 'not '}be: ${name}`, () => {
    assert.equal(copyClaims(value) !== undefined, isGood)
  })
}

/** Small and repeatable (mulberry32): a failing seed can be run again. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

test('whatever JSON has within the limits comes out the same', () => {
  for (let seed = 1; seed <= 300; seed++) {
    const next = random(seed)
    const value = (depth: number): unknown => {
      const kind = Math.floor(next() * (depth > 4 ? 4 : 6))
      if (kind === 4) return Array.from({ length: Math.floor(next() * 4) }, () => value(depth + 1))
      if (kind === 5) return object(depth + 1)
      return [null, next() < 0.5, Math.round(next() * 1e6) / 8, String.fromCodePoint(Math.floor(next() * 0xd7ff))][kind]
    }
    const object = (depth: number): object =>
      Object.fromEntries(Array.from({ length: Math.floor(next() * 4) }, (_, at) => [`k${at}`, value(depth)]))
    const claims = object(0)
    assert.equal(JSON.stringify(copyClaims(claims)), JSON.stringify(claims), `seed ${seed}`)
  }
})
