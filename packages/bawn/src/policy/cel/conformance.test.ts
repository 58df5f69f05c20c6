import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Value } from '@bufbuild/cel-spec/cel/expr/value_pb.js'
import { getConformanceSuite, type IncrementalTest } from '@bufbuild/cel-spec/testdata/tests.js'
import { compileCel } from './compile.ts'
import { group, type Variable, variable } from './environment.ts'
import { CelError, CelFault } from './fault.ts'
import type { Type } from './type.ts'
import { CelMap, equal, keyOf } from './value.ts'

// The conformance data of cel-spec. What we compile, we answer as it says; what we do not compile is refused before anything runs, and
// the table says how much of each suite that is: unsigned numbers, messages, types as values, extensions.

const suites: Readonly<Record<string, { readonly equal: number; readonly refused: number }>> = {
  basic: { equal: 33, refused: 10 },
  comparisons: { equal: 205, refused: 197 },
  conversions: { equal: 59, refused: 50 },
  fields: { equal: 41, refused: 19 },
  fp_math: { equal: 29, refused: 1 },
  integer_math: { equal: 41, refused: 23 },
  lists: { equal: 32, refused: 7 },
  logic: { equal: 21, refused: 9 },
  macros: { equal: 44, refused: 0 },
  parse: { equal: 175, refused: 44 },
  plumbing: { equal: 5, refused: 0 },
  string: { equal: 51, refused: 0 },
  string_ext: { equal: 12, refused: 197 },
  timestamps: { equal: 71, refused: 5 },
}

/** We compare 2^63 - 1 with 2^63 exactly; the data has both as doubles, where they are one. */
const exact: ReadonlySet<string> = new Set([
  'not_lt_dyn_int_big_lossy_double',
  'not_gt_dyn_big_double_int',
  'lte_dyn_big_double_int',
  'gte_dyn_int_big_lossy_double',
])

const foreign = Symbol('a value that we do not have')

function readValue(value: Value | undefined): unknown {
  const kind = value?.kind
  switch (kind?.case) {
    case 'nullValue':
      return null
    case 'boolValue':
    case 'int64Value':
    case 'doubleValue':
    case 'stringValue':
    case 'bytesValue':
      return kind.value
    case 'listValue': {
      const items = kind.value.values.map(readValue)
      return items.includes(foreign) ? foreign : items
    }
    case 'mapValue': {
      const entries = kind.value.entries.map(({ key, value: of }) => [keyOf(readValue(key)), readValue(of)] as const)
      return entries.flat().some(item => item === foreign || item === undefined)
        ? foreign
        : new CelMap(new Map(entries))
    }
    default:
      return foreign
  }
}

function typeOf(value: unknown): Type {
  if (value === null) return 'null'
  if (typeof value === 'bigint') return 'int'
  if (typeof value === 'number') return 'double'
  if (typeof value === 'boolean') return 'bool'
  if (typeof value === 'string') return 'string'
  return value instanceof Uint8Array ? 'bytes' : 'dyn'
}

type Outcome = 'equal' | 'refused' | { readonly differs: string }

function run({ original }: IncrementalTest): Outcome {
  const members: Record<string, Variable<undefined>> = {}
  for (const [name, { kind }] of Object.entries(original.bindings)) {
    const value = kind.case === 'value' ? readValue(kind.value) : foreign
    if (value === foreign) return 'refused'
    members[name] = variable(original.disableCheck ? 'dyn' : typeOf(value), () => value)
  }
  let result: unknown
  try {
    const compiled = compileCel<undefined>(original.expr, group(members))
    result = compiled.run({ input: undefined, steps: 1_000_000, locals: [] })
  } catch (error) {
    if (error instanceof CelError) return 'refused'
    if (!(error instanceof CelFault)) throw error
    result = error
  }
  const { resultMatcher } = original
  if (resultMatcher.case === 'evalError' || resultMatcher.case === 'anyEvalErrors') {
    return result instanceof CelFault ? 'equal' : { differs: `${String(result)} in place of an error` }
  }
  if (result instanceof CelFault) return { differs: result.message }
  const wanted = resultMatcher.case === 'value' ? readValue(resultMatcher.value) : true
  if (wanted === foreign) return { differs: 'a value that we do not have' }
  const areNaN = Number.isNaN(result) && Number.isNaN(wanted)
  const isSame = areNaN || (typeof result === typeof wanted && equal(result, wanted, { steps: 1_000_000 }))
  return isSame ? 'equal' : { differs: `${String(result)} in place of ${String(wanted)}` }
}

test('expressions have the values of the specification', () => {
  const differs: string[] = []
  const counted: Record<string, { equal: number; refused: number }> = {}
  for (const suite of getConformanceSuite().suites) {
    if (suites[suite.name] === undefined) continue
    const count = { equal: 0, refused: 0 }
    counted[suite.name] = count
    for (const one of suite.suites.flatMap(({ tests }) => tests)) {
      const outcome = run(one)
      if (typeof outcome !== 'object') count[outcome]++
      else if (!exact.has(one.name)) differs.push(`${one.name}: ${one.original.expr}: ${outcome.differs}`)
    }
  }
  assert.deepEqual(differs, [])
  assert.deepEqual(counted, suites)
})

test('nothing of the other suites is answered otherwise: it is refused', () => {
  for (const name of [
    'bindings_ext',
    'block_ext',
    'dynamic',
    'enums',
    'macros2',
    'optionals',
    'proto2',
    'proto3',
    'wrappers',
  ]) {
    const suite = getConformanceSuite().suites.find(one => one.name === name)
    for (const one of suite?.suites.flatMap(({ tests }) => tests) ?? [])
      assert.equal(run(one), 'refused', one.original.expr)
  }
})
