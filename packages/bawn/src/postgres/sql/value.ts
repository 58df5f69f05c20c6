import type { Node, TypeCast, TypeName } from 'libpg-query'
import type { Field } from '../../fields/field.ts'
import { type Context, placeholderNode } from './context.ts'
import { plaintextOf } from './literal.ts'
import { Refusal } from './refusal.ts'
import { namesOf, offsetOf } from './tree.ts'

/** Where a value goes: for messages, and what becomes of it. */
export interface Place {
  readonly field: Field
  /** `public.users.email` */
  readonly column: string
  readonly as: 'sealed' | 'searched'
}

/** Casts that leave a text as it is. Others change it (`varchar(5)`, `citext`, `jsonb`) and cannot be undone by leaving them out. */
const textTypes = new Set(['text', 'varchar'])

function castType(cast: TypeCast): 'text' | 'bytea' | undefined {
  return valueType(cast.typeName)
}

/** A type that holds any value of a field as it is. */
export function valueType(type: TypeName | undefined): 'text' | 'bytea' | undefined {
  const names = namesOf(type?.names)
  if (type === undefined || names === undefined || type.typmods !== undefined || type.arrayBounds !== undefined)
    return undefined
  if (type.setof === true || type.pct_type === true) return undefined
  const [first, second] = names
  const name = names.length === 1 ? first : names.length === 2 && first === 'pg_catalog' ? second : undefined
  if (name === 'bytea') return 'bytea'
  return name !== undefined && textTypes.has(name) ? 'text' : undefined
}

interface Uncast {
  readonly inner: Node
  /** From the inner to the outer one. */
  readonly casts: readonly TypeCast[]
}

function uncast(node: Node): Uncast {
  const casts: TypeCast[] = []
  let inner = node
  while ('TypeCast' in inner && inner.TypeCast.arg !== undefined) {
    casts.unshift(inner.TypeCast)
    inner = inner.TypeCast.arg
  }
  return { inner, casts }
}

/** Is it a literal or a parameter, with or without casts? */
export function isConstant(node: Node): boolean {
  const { inner } = uncast(node)
  return 'A_Const' in inner || 'ParamRef' in inner
}

function refuse(place: Place, what: string, hint: string, offset: number | undefined): Refusal {
  return new Refusal('postgres.statement_refused', `the value for ${place.column} ${what}`, hint, offset)
}

/** Token range of the value with all its casts, from that of the constant. */
function extent(
  context: Context,
  place: Place,
  first: number,
  last: number,
  casts: readonly TypeCast[],
): readonly [number, number] {
  const { tokens } = context
  let from = first
  let to = last
  for (const cast of casts) {
    const at = offsetOf(cast)
    const isFunction = at !== undefined && tokens.word(tokens.at(at)) === 'cast'
    // Parentheses leave no trace in the tree: step out of those that lie between this cast and what it casts.
    const fits = (): boolean =>
      isFunction
        ? tokens.start(from - 2) === at && tokens.word(to + 1) === 'as'
        : at !== undefined && tokens.start(to + 1) === at
    while (!fits()) {
      if (tokens.word(from - 1) !== '(' || tokens.word(to + 1) !== ')') {
        throw refuse(
          place,
          'has a cast in a form that is not understood',
          "Write the value without a cast, or as 'value'::text",
          at,
        )
      }
      from--
      to++
    }
    to += 2
    if (tokens.word(to) === 'pg_catalog' || tokens.word(to) === '"pg_catalog"') to += 2
    else if (tokens.word(to) === 'character' || tokens.word(to) === 'char') to++
    if (isFunction) {
      from -= 2
      to++
    }
  }
  return [from, to]
}

/**
 * Plans a literal, NULL or parameter that stands for a value of a field: it will be sealed, or hashed for a search, and its casts
 * are left out since the database holds bytes.
 *
 * @throws {Refusal} for anything else
 */
export function placeConstant(context: Context, node: Node, place: Place): void {
  const { inner, casts } = uncast(node)
  const types = casts.map(castType)
  const bad = types.indexOf(undefined)
  if (bad >= 0) {
    throw refuse(
      place,
      'has a cast that could change it before it is sealed',
      'Leave the cast out, or cast to text',
      offsetOf(casts[bad] ?? {}),
    )
  }
  const asBytea = place.field.type === 'bytes' || types.includes('bytea')
  const replace = (start: number, end: number, text: string, by: Node): void => {
    const outer = casts.at(-1)
    context.edits.push({ kind: 'text', start, end, text })
    context.expected.set(outer === undefined ? `A_Const@${start}` : `TypeCast@${outer.location ?? 0}`, by)
  }

  if ('ParamRef' in inner) {
    const index = inner.ParamRef.number ?? 0
    const offset = offsetOf(inner.ParamRef)
    context.parameter(index, place.field, place.as, offset)
    if (casts.length === 0) return
    const token = context.tokens.at(offset ?? 0)
    const [from, to] = extent(context, place, token, token, casts)
    replace(context.tokens.start(from), context.tokens.end(to), `$${index}`, { ParamRef: { number: index } })
    return
  }
  if (!('A_Const' in inner)) throw new TypeError('placeConstant takes a literal or a parameter')
  const constant = inner.A_Const
  if (constant.isnull === true && casts.length === 0) return
  const offset = offsetOf(constant) ?? 0
  const first = context.tokens.at(offset)
  const [from, to] = extent(context, place, first, context.tokens.literalEnd(first), casts)
  const start = context.tokens.start(from)
  const end = context.tokens.end(to)
  if (constant.isnull === true) {
    replace(start, end, 'NULL', { A_Const: { isnull: true } })
    return
  }
  const plaintext = plaintextOf(constant, place.field, asBytea)
  if (typeof plaintext === 'string') throw refuse(place, plaintext, "Write it as a string: 'value'", offset)
  if (plaintext.length === 0 && place.as === 'searched') {
    // Empty values are stored empty, so their hash would never be found.
    replace(start, end, "''", { A_Const: { sval: { sval: '' } } })
    return
  }
  context.edits.push({ kind: 'value', start, end, field: place.field, as: place.as, plaintext })
  context.expected.set(
    casts.length === 0 ? `A_Const@${offset}` : `TypeCast@${casts.at(-1)?.location ?? 0}`,
    placeholderNode,
  )
}
