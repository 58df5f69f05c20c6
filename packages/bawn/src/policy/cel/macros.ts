import { type Compiled, type Frame, needBool, type Run, type Scope, withArticle } from './compiled.ts'
import { CelError, CelFault, noOverload, raise } from './fault.ts'
import type { Node } from './parser.ts'
import { listOf, type Type } from './type.ts'
import { elementsOf, spend } from './value.ts'

// all, exists, exists_one, map and filter, over the elements of a list or the keys of a map. Each element is a step of the budget.

/** Loops in loops: more is no policy that a person reads, and its cost is a product. */
const maxLoops = 3

type Macro = Extract<Node, { kind: 'macro' }>

export function macroOf<Input>(node: Macro, outer: Scope<Input>): Compiled<Input> {
  const over = outer.compile(node.over, outer)
  const slot = outer.locals.length
  if (slot >= maxLoops) throw new CelError(`at most ${maxLoops} of these in each other`, node)
  const scope = {
    ...outer,
    locals: [...outer.locals, { name: node.variable, type: elementType(node, over.type), slot }],
  }
  const [first, second] = node.args
  if (first === undefined) throw new CelError(`${node.macro}() takes a variable and an expression`, node)
  const range = over.run
  const each = scope.compile(first, scope)
  const condition = (): Run<Input> => needBool(first, each, `the condition of ${node.macro}()`)
  switch (node.macro) {
    case 'all':
      return { type: 'bool', run: quantified(range, slot, condition(), false) }
    case 'exists':
      return { type: 'bool', run: quantified(range, slot, condition(), true) }
    case 'exists_one':
    case 'existsOne': {
      const test = condition()
      return { type: 'bool', run: frame => selected(frame, range, slot, test).length === 1 }
    }
    case 'filter': {
      const test = condition()
      return { type: listOf(elementType(node, over.type)), run: frame => selected(frame, range, slot, test) }
    }
    case 'map': {
      if (second === undefined) return { type: listOf(each.type), run: frame => mapped(frame, range, slot, each.run) }
      const test = condition()
      const { type, run } = scope.compile(second, scope)
      return { type: listOf(type), run: frame => mapped(frame, f => selected(f, range, slot, test), slot, run) }
    }
  }
}

function elementType(node: Macro, over: Type): Type {
  if (over === 'dyn') return 'dyn'
  if (typeof over === 'string')
    throw new CelError(`${node.macro}() goes over a list or a map, not ${withArticle(over)}`, node)
  return over.kind === 'list' ? over.of : over.key
}

/** One element that decides is enough, whatever faults the others have. */
function quantified<Input>(range: Run<Input>, slot: number, test: Run<Input>, decisive: boolean): Run<Input> {
  return frame => {
    const elements = elementsOf(range(frame))
    const { locals } = frame
    let fault: unknown
    for (const element of elements) {
      spend(frame, 1)
      locals[slot] = element
      try {
        const value = test(frame)
        if (value === decisive) return decisive
        if (typeof value !== 'boolean') fault ??= noOverload
      } catch (cause) {
        if (!(cause instanceof CelFault)) throw cause
        fault ??= cause
      }
    }
    if (fault !== undefined) throw fault
    return !decisive
  }
}

function selected<Input>(frame: Frame<Input>, range: Run<Input>, slot: number, test: Run<Input>): readonly unknown[] {
  const kept: unknown[] = []
  for (const element of elementsOf(range(frame))) {
    spend(frame, 1)
    frame.locals[slot] = element
    const value = test(frame)
    if (value === true) kept.push(element)
    else if (value !== false) raise(noOverload)
  }
  return kept
}

function mapped<Input>(frame: Frame<Input>, range: Run<Input>, slot: number, run: Run<Input>): readonly unknown[] {
  const made: unknown[] = []
  for (const element of elementsOf(range(frame))) {
    spend(frame, 1)
    frame.locals[slot] = element
    made.push(run(frame))
  }
  return made
}
