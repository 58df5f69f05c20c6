import type { Type } from './type.ts'

/** A value that expressions may use by name. `Input` is what they are asked about. */
export interface Variable<Input> {
  readonly kind: 'variable'
  readonly type: Type
  /** Throws a `CelFault` where there is none. */
  read(input: Input): unknown
  /** Of a map: one value, without making the whole of it. @returns undefined when there is none; throws a `CelFault` as `read` */
  lookUp?(input: Input, key: string): unknown
  /** Of a map: what is wrong with a key that the expression names. */
  checkKey?(key: string): string | undefined
}

/** Names below a name: `identity.id`. Not a value by itself. */
export interface Group<Input> {
  readonly kind: 'group'
  readonly members: Readonly<Record<string, Variable<Input> | Group<Input>>>
  /** Why it is not here, where it has members elsewhere: for the message. */
  readonly absent?: Readonly<Record<string, string>>
}

export type Environment<Input> = Group<Input>

export const group = <Input>(
  members: Group<Input>['members'],
  absent: Readonly<Record<string, string>> = {},
): Group<Input> => ({ kind: 'group', members, absent })

export const variable = <Input>(type: Type, read: (input: Input) => unknown): Variable<Input> => ({
  kind: 'variable',
  type,
  read,
})
