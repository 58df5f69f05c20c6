import { suggest } from '../../nearest.ts'
import { type Compiled, type Scope, withArticle } from './compiled.ts'
import { CelError, noOverload, raise, type Span } from './fault.ts'
import { type CelFunction, compilePattern, fits, functions } from './functions.ts'
import type { Node } from './parser.ts'
import { agrees, listOf, type Type } from './type.ts'

type Call = Extract<Node, { kind: 'call' }>

export function call<Input>(node: Call, scope: Scope<Input>): Compiled<Input> {
  const { target, name, args } = node
  const operands = target === undefined ? args : [target, ...args]
  if (name === 'matches') return matches(node, operands, scope)
  const named = functions.filter(one => one.name === name && one.isMethod === (target !== undefined))
  if (named.length === 0) {
    const other = functions.some(one => one.name === name)
    const known = [...new Set(functions.filter(one => one.isMethod === (target !== undefined)).map(one => one.name))]
    const turned = target === undefined ? `write value.${name}(…)` : `write ${name}(value)`
    throw new CelError(
      `no function is called ${name}`,
      node.nameAt,
      other ? turned : suggest(name, [...known, 'matches']),
    )
  }
  const compiled = operands.map(operand => scope.compile(operand, scope))
  return choose(node, `${name}()`, named, compiled)
}

/** Takes the overload that fits; where only the values tell which, they are asked. */
export function choose<Input>(
  at: Span,
  what: string,
  overloads: readonly CelFunction[],
  operands: readonly Compiled<Input>[],
): Compiled<Input> {
  const possible = overloads.filter(
    ({ args }) =>
      args.length === operands.length && args.every((type, index) => agrees(type, operands[index]?.type ?? 'dyn')),
  )
  const [first, ...more] = possible
  if (first === undefined) {
    const given = operands.map(({ type }) => withArticle(type)).join(' and ')
    throw new CelError(`${what} does not take ${given === '' ? 'nothing' : given}`, at)
  }
  const runs = operands.map(({ run }) => run)
  const type = more.every(({ result }) => result === first.result) ? resultOf(first, operands) : 'dyn'
  if (more.length === 0)
    return {
      type,
      run: frame =>
        first.run(
          runs.map(run => run(frame)),
          frame,
        ),
    }
  return {
    type,
    run: frame => {
      const values = runs.map(run => run(frame))
      const fitting = possible.find(({ args }) => args.every((wanted, index) => fits(values[index], wanted)))
      return fitting === undefined ? raise(noOverload) : fitting.run(values, frame)
    },
  }
}

/** A sum of two lists is a list of what they hold. */
function resultOf<Input>({ result, name }: CelFunction, operands: readonly Compiled<Input>[]): Type {
  const [left, right] = operands
  if (name !== '+' || typeof result === 'string' || left === undefined || right === undefined) return result
  const [a, b] = [left.type, right.type]
  if (typeof a === 'string' || typeof b === 'string' || a.kind !== 'list' || b.kind !== 'list') return result
  return agrees(a.of, b.of) && a.of !== 'dyn' ? listOf(a.of) : result
}

/**
 * RE2, which takes time linear to the text. The pattern is a literal: what a caller sends is never taken for one, and a wrong one stops the
 * start.
 */
function matches<Input>(node: Call, operands: readonly Node[], scope: Scope<Input>): Compiled<Input> {
  const [subject, pattern, more] = operands
  if (subject === undefined || pattern === undefined || more !== undefined) {
    throw new CelError('matches() takes a text and a pattern', node)
  }
  if (pattern.kind !== 'literal' || typeof pattern.value !== 'string') {
    throw new CelError('the pattern of matches() must be written here, as a text', pattern)
  }
  const of = scope.compile(subject, scope)
  if (!agrees(of.type, 'string')) throw new CelError(`matches() does not take ${withArticle(of.type)}`, subject)
  const { run } = of
  let test: ReturnType<typeof compilePattern>
  try {
    test = compilePattern(pattern.value)
  } catch {
    throw new CelError('this is no pattern that RE2 takes', pattern, 'look-around and back-references are not in it')
  }
  return { type: 'bool', run: frame => test(run(frame), frame) }
}
