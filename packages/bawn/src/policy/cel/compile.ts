import { suggest } from '../../nearest.ts'
import { call } from './calls.ts'
import { type Compiled, type Local, type Scope, withArticle } from './compiled.ts'
import type { Environment, Group, Variable } from './environment.ts'
import { CelError, CelFault, noOverload, noSuchKey, raise, type Span } from './fault.ts'
import { macroOf } from './macros.ts'
import { binary, ternary, unary } from './operators.ts'
import { type Node, parseCel } from './parser.ts'
import { agrees, join, listOf, mapOf, type Type } from './type.ts'
import { CelMap, isList, isNumber, keyOf, lookUp } from './value.ts'

/**
 * Checks the types of an expression and makes a function of it.
 *
 * @throws {CelError} for what is not well formed, a name that is not there, types that do not fit, and what is not supported
 */
export function compileCel<Input>(text: string, environment: Environment<Input>): Compiled<Input> {
  return compileNode(parseCel(text), { environment, locals: [], compile: compileNode })
}

/** As `compileCel`, of a part. */
export function compileNode<Input>(node: Node, scope: Scope<Input>): Compiled<Input> {
  switch (node.kind) {
    case 'literal':
      return literal(node.value)
    case 'name':
    case 'select': {
      const found = find(node, scope)
      if (found !== undefined) return ofVariable(node, found)
      if (node.kind === 'name') throw unknownName(node, node.name, scope.environment, scope.locals)
      return member(node, scope)
    }
    case 'index':
      return indexed(node, scope)
    case 'call':
      return call(node, scope)
    case 'unary':
      return unary(node, scope)
    case 'binary':
      return binary(node, scope)
    case 'ternary':
      return ternary(node, scope)
    case 'list':
      return list(node, scope)
    case 'map':
      return map(node, scope)
    case 'macro':
      return macroOf(node, scope)
  }
}

function literal<Input>(value: Extract<Node, { kind: 'literal' }>['value']): Compiled<Input> {
  return { type: typeOf(value), run: () => value }
}

function typeOf(value: Extract<Node, { kind: 'literal' }>['value']): Type {
  if (value === null) return 'null'
  if (value instanceof Uint8Array) return 'bytes'
  if (typeof value === 'bigint') return 'int'
  if (typeof value === 'number') return 'double'
  return typeof value === 'boolean' ? 'bool' : 'string'
}

/** What a path of names leads to. */
type Found<Input> = Variable<Input> | Group<Input> | Local

/** @returns undefined for what is no path of names, or leads beyond a variable */
function find<Input>(node: Node, scope: Scope<Input>): Found<Input> | undefined {
  if (node.kind === 'name') {
    const local = scope.locals.findLast(({ name }) => name === node.name)
    if (local !== undefined) return local
    const { members } = scope.environment
    return Object.hasOwn(members, node.name) ? members[node.name] : undefined
  }
  if (node.kind !== 'select') return undefined
  const of = find(node.of, scope)
  if (of === undefined || 'slot' in of || of.kind !== 'group') {
    if (of === undefined && node.of.kind === 'name') {
      throw unknownName(node.of, node.of.name, scope.environment, scope.locals)
    }
    return undefined
  }
  const found = Object.hasOwn(of.members, node.field) ? of.members[node.field] : undefined
  if (found === undefined) throw unknownName(node.fieldAt, node.field, of, [])
  return found
}

function unknownName<Input>(
  at: Span,
  name: string,
  { members, absent = {} }: Group<Input>,
  locals: readonly Local[],
): CelError {
  if (Object.hasOwn(absent, name)) return new CelError(`${name}: ${absent[name]}`, at)
  const known = [...locals.map(local => local.name), ...Object.keys(members)]
  return new CelError(`nothing is called ${JSON.stringify(name)} here`, at, suggest(name, known))
}

function ofVariable<Input>(node: Node, found: Found<Input>): Compiled<Input> {
  if (node.kind === 'select' && node.test) return { type: 'bool', run: () => true }
  if ('slot' in found) {
    const { slot, type } = found
    return { type, run: frame => frame.locals[slot] }
  }
  if (found.kind === 'group') {
    const known = Object.keys(found.members).join(', ')
    throw new CelError('this is no value by itself', node, `name one of its members: ${known}`)
  }
  return { type: found.type, run: frame => found.read(frame.input) }
}

/** Looks one key up. @returns undefined when there is none */
type LookUp<Input> = (frame: Parameters<Compiled<Input>['run']>[0], key: unknown) => unknown

/** How keys of a map are looked up, where it knows a way without making the whole of it. */
function lookUpOf<Input>(node: Node, of: Compiled<Input>, scope: Scope<Input>): LookUp<Input> {
  const found = node.kind === 'name' || node.kind === 'select' ? find(node, scope) : undefined
  const quick = found !== undefined && 'lookUp' in found ? found : undefined
  const { run } = of
  if (quick?.lookUp === undefined) return (frame, key) => lookUp(run(frame), key)
  return (frame, key) => (typeof key === 'string' ? quick.lookUp?.(frame.input, key) : undefined)
}

function checkKey<Input>(node: Node, key: string, at: Span, scope: Scope<Input>): void {
  const found = node.kind === 'name' || node.kind === 'select' ? find(node, scope) : undefined
  const problem = found !== undefined && 'checkKey' in found ? found.checkKey?.(key) : undefined
  if (problem !== undefined) throw new CelError(problem, at)
}

function member<Input>(node: Extract<Node, { kind: 'select' }>, scope: Scope<Input>): Compiled<Input> {
  const { of, field, test } = node
  const base = compileNode(of, scope)
  const { type } = base
  if (type !== 'dyn' && (typeof type === 'string' || type.kind !== 'map')) {
    throw new CelError(`${withArticle(type)} has no members`, node)
  }
  if (type !== 'dyn' && !agrees(type.key, 'string')) throw new CelError('the keys of this map are no texts', node)
  checkKey(of, field, node.fieldAt, scope)
  const look = lookUpOf(of, base, scope)
  if (test) return { type: 'bool', run: frame => look(frame, field) !== undefined }
  const missing = new CelFault(`no such key: ${field}`)
  const value = type === 'dyn' ? 'dyn' : type.value
  return {
    type: value,
    run: frame => {
      const found = look(frame, field)
      return found === undefined ? raise(missing) : found
    },
  }
}

function indexed<Input>(node: Extract<Node, { kind: 'index' }>, scope: Scope<Input>): Compiled<Input> {
  const base = compileNode(node.of, scope)
  const index = compileNode(node.index, scope)
  const { type } = base
  if (type !== 'dyn' && typeof type === 'string') throw new CelError(`${withArticle(type)} has no members`, node)
  const wants: Type = type === 'dyn' ? 'dyn' : type.kind === 'list' ? 'int' : type.key
  if (!agrees(index.type, wants)) {
    throw new CelError(`this wants ${withArticle(wants)}, and gets ${withArticle(index.type)}`, node.index)
  }
  const { run } = base
  const at = index.run
  if (type === 'dyn') return { type, run: frame => elementOf(run(frame), at(frame)) }
  if (type.kind === 'list') return { type: type.of, run: frame => elementOf(run(frame), at(frame)) }
  if (node.index.kind === 'literal' && typeof node.index.value === 'string') {
    checkKey(node.of, node.index.value, node.index, scope)
  }
  const look = lookUpOf(node.of, base, scope)
  return {
    type: type.value,
    run: frame => {
      const found = look(frame, at(frame))
      return found === undefined ? raise(noSuchKey) : found
    },
  }
}

function elementOf(of: unknown, index: unknown): unknown {
  if (isList(of)) {
    if (!isNumber(index)) return raise(noOverload)
    const at = Number(index)
    return Number.isInteger(at) && at >= 0 && at < of.length ? of[at] : raise(noSuchKey)
  }
  const found = lookUp(of, index)
  return found === undefined ? raise(noSuchKey) : found
}

function joined(types: readonly Type[]): Type {
  const [first, ...rest] = types
  return first === undefined ? 'dyn' : rest.reduce(join, first)
}

function list<Input>(node: Extract<Node, { kind: 'list' }>, scope: Scope<Input>): Compiled<Input> {
  const items = node.items.map(item => compileNode(item, scope))
  const type = listOf(joined(items.map(item => item.type)))
  // A list of literals is made once: roles that are looked for, mostly.
  const literals = node.items.flatMap(item => (item.kind === 'literal' ? [item.value] : []))
  if (literals.length === node.items.length) return { type, run: () => literals }
  const runs = items.map(({ run }) => run)
  return { type, run: frame => runs.map(run => run(frame)) }
}

function map<Input>(node: Extract<Node, { kind: 'map' }>, scope: Scope<Input>): Compiled<Input> {
  const entries = node.entries.map(([key, value]) => [compileNode(key, scope), compileNode(value, scope)] as const)
  for (const [at, [{ type }]] of entries.entries()) {
    if (['string', 'int', 'bool', 'dyn'].some(fit => fit === type)) continue
    throw new CelError('a key is a string, an int or a bool', node.entries[at]?.[0] ?? node)
  }
  const type = mapOf(joined(entries.map(([key]) => key.type)), joined(entries.map(([, value]) => value.type)))
  return {
    type,
    run: frame => {
      const made = new Map<unknown, unknown>()
      for (const [key, value] of entries) {
        const written = keyOf(key.run(frame))
        if (written === undefined) return raise(noOverload)
        if (made.has(written)) return raise(keyTwice)
        made.set(written, value.run(frame))
      }
      return new CelMap(made)
    },
  }
}

const keyTwice = new CelFault('a key stands here twice')
