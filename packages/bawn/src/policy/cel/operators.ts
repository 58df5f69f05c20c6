import { choose } from './calls.ts'
import { type Compiled, needBool, type Run, type Scope, withArticle } from './compiled.ts'
import { CelError, CelFault, noOverload, raise } from './fault.ts'
import { int64, sums } from './functions.ts'
import type { Node } from './parser.ts'
import { agrees, isNumeric, join, type Type } from './type.ts'
import { compare, contains, equal } from './value.ts'

// The operators of CEL. `&&` and `||` do not mind on which side a fault is: false && fault is false, whatever comes first.

export function unary<Input>(node: Extract<Node, { kind: 'unary' }>, scope: Scope<Input>): Compiled<Input> {
  const of = scope.compile(node.of, scope)
  if (node.operator === '!') {
    const run = needBool(node.of, of, 'what stands behind !')
    return {
      type: 'bool',
      run: frame => {
        const value = run(frame)
        return typeof value === 'boolean' ? !value : raise(noOverload)
      },
    }
  }
  if (!isNumeric(of.type) && of.type !== 'dyn') throw new CelError(`${withArticle(of.type)} has no negative`, node)
  const { run } = of
  return {
    type: of.type,
    run: frame => {
      const value = run(frame)
      if (typeof value === 'bigint') return int64(-value)
      return typeof value === 'number' ? -value : raise(noOverload)
    },
  }
}

export function binary<Input>(node: Extract<Node, { kind: 'binary' }>, scope: Scope<Input>): Compiled<Input> {
  const { operator } = node
  const left = scope.compile(node.left, scope)
  const right = scope.compile(node.right, scope)
  switch (operator) {
    case '&&':
    case '||': {
      const what = `both sides of ${operator}`
      const [first, second] = [needBool(node.left, left, what), needBool(node.right, right, what)]
      return { type: 'bool', run: logic(first, second, operator === '||') }
    }
    case '==':
    case '!=':
      return { type: 'bool', run: equality(node, left, right) }
    case 'in':
      return { type: 'bool', run: membership(node, left, right) }
    case '<':
    case '<=':
    case '>':
    case '>=':
      return { type: 'bool', run: order(node, left, right) }
    case '+':
    case '-':
    case '*':
    case '/':
    case '%':
      return choose(
        node,
        operator,
        sums.filter(({ name }) => name === operator),
        [left, right],
      )
  }
}

/** @param decisive what the one side has to be for the other not to matter */
function logic<Input>(left: Run<Input>, right: Run<Input>, decisive: boolean): Run<Input> {
  return frame => {
    let first: unknown
    try {
      first = left(frame)
    } catch (fault) {
      if (!(fault instanceof CelFault) || right(frame) !== decisive) throw fault
      return decisive
    }
    if (first === decisive) return decisive
    const second = right(frame)
    if (second === decisive) return decisive
    return typeof first === 'boolean' && typeof second === 'boolean' ? second : raise(noOverload)
  }
}

type Operands = Extract<Node, { kind: 'binary' }>

function mismatch(node: Operands, left: Type, right: Type): CelError {
  return new CelError(`${withArticle(left)} ${node.operator} ${withArticle(right)}: these do not fit`, node)
}

const compares = (left: Type, right: Type): boolean => agrees(left, right) || (isNumeric(left) && isNumeric(right))

function equality<Input>(node: Operands, left: Compiled<Input>, right: Compiled<Input>): Run<Input> {
  const isNull = (type: Type): boolean => type === 'null' || type === 'timestamp' || type === 'duration'
  const nulls = (left.type === 'null' && isNull(right.type)) || (right.type === 'null' && isNull(left.type))
  if (!compares(left.type, right.type) && !nulls) throw mismatch(node, left.type, right.type)
  const isWanted = node.operator === '=='
  const [first, second] = [left.run, right.run]
  const isSimple = [left.type, right.type].some(type => type === 'string' || type === 'bool' || type === 'null')
  if (isSimple) return frame => (first(frame) === second(frame)) === isWanted
  return frame => equal(first(frame), second(frame), frame) === isWanted
}

function membership<Input>(node: Operands, left: Compiled<Input>, right: Compiled<Input>): Run<Input> {
  const { type } = right
  const of = type === 'dyn' ? 'dyn' : typeof type === 'string' ? undefined : type.kind === 'list' ? type.of : type.key
  if (of === undefined) throw new CelError(`nothing is in ${withArticle(type)}: this wants a list or a map`, node.right)
  if (!compares(left.type, of)) throw mismatch(node, left.type, type)
  const [value, container] = [left.run, right.run]
  return frame => contains(container(frame), value(frame), frame)
}

const ordered: readonly Type[] = ['bool', 'int', 'double', 'string', 'bytes', 'timestamp', 'duration', 'dyn']

function order<Input>(node: Operands, left: Compiled<Input>, right: Compiled<Input>): Run<Input> {
  const isOrdered = ordered.includes(left.type) && ordered.includes(right.type)
  if (!isOrdered || !compares(left.type, right.type)) throw mismatch(node, left.type, right.type)
  const [first, second] = [left.run, right.run]
  switch (node.operator) {
    case '<':
      return frame => compare(first(frame), second(frame)) < 0
    case '<=':
      return frame => compare(first(frame), second(frame)) <= 0
    case '>':
      return frame => compare(first(frame), second(frame)) > 0
    default:
      return frame => compare(first(frame), second(frame)) >= 0
  }
}

export function ternary<Input>(node: Extract<Node, { kind: 'ternary' }>, scope: Scope<Input>): Compiled<Input> {
  const condition = needBool(node.condition, scope.compile(node.condition, scope), 'a condition')
  const then = scope.compile(node.then, scope)
  const otherwise = scope.compile(node.otherwise, scope)
  if (!agrees(then.type, otherwise.type)) {
    throw new CelError(`one side is ${withArticle(then.type)}, the other ${withArticle(otherwise.type)}`, node)
  }
  const [yes, no] = [then.run, otherwise.run]
  return {
    type: join(then.type, otherwise.type),
    run: frame => {
      const which = condition(frame)
      return which === true ? yes(frame) : which === false ? no(frame) : raise(noOverload)
    },
  }
}
