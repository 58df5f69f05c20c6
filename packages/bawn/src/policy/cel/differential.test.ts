import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CelInput, celEnv, isCelError, parse, plan } from '@bufbuild/cel'
import { compileCel } from './compile.ts'
import { group, variable } from './environment.ts'
import { CelError, CelFault } from './fault.ts'
import { listOf, mapOf, type Type } from './type.ts'
import { isObject } from './value.ts'

// Random expressions over values as tokens and requests have them, answered by us and by @bufbuild/cel: the same truth, or both none.

/** mulberry32: the same expressions each time, for a seed. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

const values: Readonly<Record<string, { readonly type: Type; readonly value: unknown }>> = {
  id: { type: 'string', value: 'ann' },
  empty: { type: 'string', value: '' },
  umlaut: { type: 'string', value: 'Zoë 🙂' },
  roles: { type: listOf('string'), value: ['support', 'ann'] },
  none: { type: listOf('string'), value: [] },
  secure: { type: 'bool', value: true },
  status: { type: 'int', value: 200n },
  claims: {
    type: mapOf('string', 'dyn'),
    value: {
      sub: 'ann',
      level: 3,
      half: 0.5,
      admin: true,
      tags: ['a', 1, null],
      nested: { deep: { sub: 'x' } },
      gone: null,
    },
  },
  headers: { type: mapOf('string', 'string'), value: { 'x-tenant': 'acme', accept: '' } },
}

const forOracle = (value: unknown): CelInput => {
  if (Array.isArray(value)) return value.map(forOracle)
  if (isObject(value)) return new Map(Object.entries(value).map(([key, inner]) => [key, forOracle(inner)]))
  if (value === null || ['string', 'number', 'bigint', 'boolean'].includes(typeof value)) return value as CelInput
  throw new TypeError('a value of another kind')
}

function generator(next: () => number) {
  const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(next() * items.length)] as Item
  const text = (depth: number): string =>
    pick([
      () => pick(["'ann'", "'a'", "''", "'support'", '"x-tenant"', "'ë'", "'🙂'"]),
      () =>
        pick([
          'id',
          'empty',
          'umlaut',
          'claims.sub',
          'claims.nested.deep.sub',
          'claims.missing',
          "headers['x-tenant']",
          'headers.accept',
        ]),
      () => (depth > 0 ? `(${text(depth - 1)} + ${text(depth - 1)})` : "'z'"),
      () => (depth > 0 ? `(${bool(depth - 1)} ? ${text(depth - 1)} : ${text(depth - 1)})` : 'id'),
      () => (depth > 0 ? `string(${number(depth - 1)})` : 'id'),
    ])()
  const number = (depth: number): string =>
    pick([
      () => pick(['0', '1', '-1', '200', '3.0', '0.5', '9223372036854775807', 'status', 'claims.level', 'claims.half']),
      () => (depth > 0 ? `size(${pick([text, list])(depth - 1)})` : '2'),
      () => (depth > 0 ? `(${number(depth - 1)} ${pick(['+', '-', '*', '/', '%'])} ${number(depth - 1)})` : '7'),
      () => (depth > 0 ? `int(${number(depth - 1)})` : '5'),
      () => (depth > 0 ? `double(${number(depth - 1)})` : '5.0'),
    ])()
  const list = (depth: number): string =>
    pick([
      () => pick(['roles', 'none', 'claims.tags', "['a', 'ann']", '[1, 2, 3]', '[]', "[1, 'a', null]"]),
      () => (depth > 0 ? `${list(depth - 1)}.filter(v${depth}, v${depth} == ${text(depth - 1)})` : 'roles'),
      () => (depth > 0 ? `${list(depth - 1)}.map(v${depth}, [v${depth}])` : 'roles'),
      () => (depth > 0 ? `[${any(depth - 1)}, ${any(depth - 1)}]` : 'none'),
    ])()
  const any = (depth: number): string => pick([text, number, list, bool])(depth)
  const bool = (depth: number): string =>
    pick([
      () =>
        pick([
          'true',
          'false',
          'secure',
          'claims.admin',
          'has(claims.sub)',
          'has(claims.nothing)',
          'has(claims.nested.no)',
          'claims.gone == null',
        ]),
      () => (depth > 0 ? `(${bool(depth - 1)} && ${bool(depth - 1)})` : 'true'),
      () => (depth > 0 ? `(${bool(depth - 1)} || ${bool(depth - 1)})` : 'false'),
      () => (depth > 0 ? `!${bool(depth - 1)}` : 'secure'),
      () => `${text(Math.max(0, depth - 1))} ${pick(['==', '!=', '<', '>='])} ${text(Math.max(0, depth - 1))}`,
      () =>
        `(${number(Math.max(0, depth - 1))} ${pick(['==', '!=', '<', '<=', '>'])} ${number(Math.max(0, depth - 1))})`,
      () => `(${any(Math.max(0, depth - 1))} == ${any(Math.max(0, depth - 1))})`,
      () => `(${any(Math.max(0, depth - 1))} in ${list(Math.max(0, depth - 1))})`,
      () => `(${text(0)} in ${pick(['claims', 'headers', 'claims.nested'])})`,
      () => `${text(0)}.${pick(['startsWith', 'endsWith', 'contains'])}(${text(0)})`,
      () => `${text(0)}.matches('${pick(['^a', 'n+$', '(a|b)*', '.', '^$'])}')`,
      () =>
        depth > 0
          ? `${list(depth - 1)}.${pick(['all', 'exists', 'exists_one'])}(v${depth}, v${depth} == ${any(depth - 1)})`
          : 'true',
      () => (depth > 0 ? `(${bool(depth - 1)} ? ${bool(depth - 1)} : ${bool(depth - 1)})` : 'false'),
    ])()
  return bool
}

type Outcome = boolean | 'no answer' | 'refused'

const environment = group<undefined>(
  Object.fromEntries(Object.entries(values).map(([name, { type, value }]) => [name, variable(type, () => value)])),
)

function ours(text: string): Outcome {
  try {
    const { run, type } = compileCel(text, environment)
    if (type !== 'bool' && type !== 'dyn') return 'refused'
    const value = run({ input: undefined, steps: 100_000, locals: [] })
    return typeof value === 'boolean' ? value : 'no answer'
  } catch (error) {
    if (error instanceof CelFault) return 'no answer'
    if (error instanceof CelError) return 'refused'
    throw error
  }
}

const oracleEnvironment = celEnv()
const bindings = Object.fromEntries(Object.entries(values).map(([name, { value }]) => [name, forOracle(value)]))

function theirs(text: string): Outcome {
  let parsed: ReturnType<typeof parse>
  try {
    parsed = parse(text)
  } catch {
    return 'refused'
  }
  const value = plan(oracleEnvironment, parsed)(bindings)
  return isCelError(value) || typeof value !== 'boolean' ? 'no answer' : value
}

const rounds = Number(process.env['BAWN_TEST_ROUNDS'] ?? 4_000)
const seed = Number(process.env['BAWN_TEST_SEED'] ?? 20_260)

test('random expressions have the same answers as those of @bufbuild/cel', () => {
  const next = random(seed)
  const bool = generator(next)
  const counted = { true: 0, false: 0, 'no answer': 0, refused: 0 }
  for (let round = 0; round < rounds; round++) {
    const text = bool(1 + Math.floor(next() * 4))
    const outcome = ours(text)
    counted[`${outcome}`]++
    if (outcome !== 'refused') assert.equal(outcome, theirs(text), `seed ${seed}, round ${round}: ${text}`)
  }
  // A generator whose expressions are all refused would show nothing.
  for (const kind of ['true', 'false', 'no answer'] as const)
    assert(counted[kind] > rounds / 50, JSON.stringify(counted))
})

test('cut, mixed and random text ends in an expression or a refusal, and soon', () => {
  const next = random(seed + 1)
  const bool = generator(next)
  const begun = performance.now()
  const alphabet = Array.from(`'"\\()[]{}?:.,!&|=<>+-*/% \n\t@#$\`_aAbBrRxXuU019éß🙂\u0000\u2028`)
  for (let round = 0; round < rounds; round++) {
    const text = bool(3)
    const second = bool(2)
    const at = Math.floor(next() * text.length)
    const letter = alphabet[Math.floor(next() * alphabet.length)] ?? ''
    for (const broken of [
      text.slice(0, at),
      text.slice(at),
      text.slice(0, at) + letter + text.slice(at),
      text.slice(0, at) + letter + text.slice(at + 1),
      text.slice(0, at) + second.slice(Math.floor(next() * second.length)),
      Array.from({ length: at % 40 }, () => alphabet[Math.floor(next() * alphabet.length)]).join(''),
    ]) {
      const outcome = ours(broken)
      // Of what both read, neither permits what the other does not; white space between two ! the other does not read.
      if (outcome === true) {
        const other = theirs(broken)
        assert(other === true || other === 'refused', `seed ${seed}, round ${round}: ${JSON.stringify(broken)}`)
      }
    }
  }
  assert(performance.now() - begun < 120_000, 'it took too long')
})
