import type { Environment } from './environment.ts'
import { CelError } from './fault.ts'
import type { Node } from './parser.ts'
import { agrees, formatType, type Type } from './type.ts'
import type { Budget } from './value.ts'

/** One evaluation. */
export interface Frame<Input> extends Budget {
  readonly input: Input
  /** Variables of macros, by depth. */
  readonly locals: unknown[]
}

export type Run<Input> = (frame: Frame<Input>) => unknown

/** An expression, checked. `run` throws a `CelFault` where it has no answer. */
export interface Compiled<Input> {
  readonly type: Type
  readonly run: Run<Input>
}

/** A variable of a macro. */
export interface Local {
  readonly name: string
  readonly type: Type
  /** In `Frame.locals`. */
  readonly slot: number
}

/** What an expression may name, and what compiles its parts. */
export interface Scope<Input> {
  readonly environment: Environment<Input>
  readonly locals: readonly Local[]
  compile(node: Node, scope: Scope<Input>): Compiled<Input>
}

/** What takes a condition. @throws {CelError} where it is certain that it is none */
export function needBool<Input>(node: Node, { type, run }: Compiled<Input>, what: string): Run<Input> {
  if (!agrees(type, 'bool')) throw new CelError(`${what} must be true or false, and this is ${withArticle(type)}`, node)
  return run
}

export const withArticle = (type: Type): string =>
  type === 'null' ? 'null' : type === 'int' ? 'an int' : `a ${formatType(type)}`
