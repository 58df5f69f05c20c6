import { compileCel, compileNode } from './cel/compile.ts'
import type { Compiled, Scope } from './cel/compiled.ts'
import type { Environment } from './cel/environment.ts'
import { CelError, CelFault } from './cel/fault.ts'
import { type Node, parseCel } from './cel/parser.ts'
import { agrees, formatType, listOf, type Type } from './cel/type.ts'
import { environmentOf } from './environments.ts'
import type { Facts, PolicyUse } from './facts.ts'

/** What one decision may cost: elements looked at, and pieces of text. */
const maxSteps = 100_000

const evaluate = ({ run }: Compiled<Facts>, facts: Facts): unknown => run({ input: facts, steps: maxSteps, locals: [] })

/** A condition, compiled. @throws (when called) whatever it is that has no answer: who asks, denies */
export type Condition = (facts: Facts) => boolean

/** @throws {CelError} with the place in the text */
function compileAs(text: string, use: PolicyUse, wanted: Type, what: string): Compiled<Facts> {
  const compiled = compileCel(text, environmentOf(use))
  if (agrees(compiled.type, wanted)) return compiled
  const message = `${what}, and this is of type ${formatType(compiled.type)}`
  throw new CelError(message, { start: 0, end: text.length })
}

/** @throws {CelError} with the place in the text */
export function compileCondition(text: string, use: PolicyUse): Condition {
  const compiled = compileAs(text, use, 'bool', 'a policy must be true or false')
  return facts => {
    const value = evaluate(compiled, facts)
    if (typeof value !== 'boolean') throw notBool
    return value
  }
}

/** An expression whose answer goes elsewhere. @throws (when called) where it has none, or none that every reader reads as the same */
export type Value = (facts: Facts) => PlainValue

/** What JSON has a word for, without objects: where one is believed to be a value, it may be an operator of a query. */
export type PlainValue = string | number | boolean | readonly PlainValue[]

/** @throws {CelError} with the place in the text */
export function compileValue(text: string, use: PolicyUse): Value {
  const compiled = compileCel(text, environmentOf(use))
  if (plainTypes.some(type => agrees(compiled.type, type))) return facts => plainOf(evaluate(compiled, facts))
  const message = `a value must be a text, a number, true or false, or a list of them, and this is of type ${formatType(compiled.type)}`
  throw new CelError(message, { start: 0, end: text.length })
}

const plainTypes: readonly Type[] = ['string', 'int', 'double', 'bool', listOf('dyn')]
const notPlain = new CelFault('the value is no text, no exact number, not true or false, and no list of them')

function plainOf(value: unknown): PlainValue {
  if (typeof value === 'string' || typeof value === 'boolean') return value
  if (Array.isArray(value)) return value.map(plainOf)
  const number = typeof value === 'bigint' ? Number(value) : value
  // Beyond 2^53 an integer would be another one.
  if (typeof number !== 'number' || !Number.isFinite(number)) throw notPlain
  if (Number.isInteger(number) && !Number.isSafeInteger(number)) throw notPlain
  return number
}

const notBool = new CelFault('the answer is neither true nor false')

/** What is said of a condition that has no answer: for operators, and nothing of the values. */
export function whyNoAnswer(cause: unknown): string {
  if (cause instanceof CelFault) return cause.message
  return cause instanceof RangeError ? 'nested too deep' : 'it failed'
}

/** The operands of `&&` and `||`, each with its answer, for `bawn explain`. A single one has nothing to be told apart. */
export function explainCondition(text: string, use: PolicyUse, facts: Facts): readonly string[] {
  const environment: Environment<Facts> = environmentOf(use)
  const scope: Scope<Facts> = { environment, locals: [], compile: compileNode }
  const lines = operandsOf(parseCel(text)).map(node => {
    const written = text.slice(node.start, node.end).replaceAll(/\s+/g, ' ')
    return `${written}: ${answerOf(compileNode(node, scope), facts)}`
  })
  return lines
}

function answerOf(compiled: Compiled<Facts>, facts: Facts): string {
  try {
    const value = evaluate(compiled, facts)
    return value === true ? 'true' : value === false ? 'false' : 'neither true nor false'
  } catch (cause) {
    return `no answer, ${whyNoAnswer(cause)}`
  }
}

function operandsOf(node: Node): readonly Node[] {
  const isLogic = node.kind === 'binary' && (node.operator === '&&' || node.operator === '||')
  return isLogic ? [...operandsOf(node.left), ...operandsOf(node.right)] : [node]
}
