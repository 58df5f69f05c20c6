import { CelError, type Span } from './fault.ts'
import { type Token, tokenize } from './lexer.ts'

/** What the operators are called in an expression's tree. */
export type BinaryOperator = '||' | '&&' | '<' | '<=' | '>' | '>=' | '==' | '!=' | 'in' | '+' | '-' | '*' | '/' | '%'

export const macros = ['all', 'exists', 'exists_one', 'existsOne', 'map', 'filter'] as const
export type MacroName = (typeof macros)[number]

export type Node = Span &
  (
    | { readonly kind: 'literal'; readonly value: null | boolean | bigint | number | string | Uint8Array }
    | { readonly kind: 'name'; readonly name: string }
    /** @property test `has(of.field)` */
    | {
        readonly kind: 'select'
        readonly of: Node
        readonly field: string
        readonly test: boolean
        readonly fieldAt: Span
      }
    | { readonly kind: 'index'; readonly of: Node; readonly index: Node }
    | {
        readonly kind: 'call'
        readonly target: Node | undefined
        readonly name: string
        readonly args: readonly Node[]
        readonly nameAt: Span
      }
    | { readonly kind: 'unary'; readonly operator: '!' | '-'; readonly of: Node }
    | { readonly kind: 'binary'; readonly operator: BinaryOperator; readonly left: Node; readonly right: Node }
    | { readonly kind: 'ternary'; readonly condition: Node; readonly then: Node; readonly otherwise: Node }
    | { readonly kind: 'list'; readonly items: readonly Node[] }
    | { readonly kind: 'map'; readonly entries: readonly (readonly [key: Node, value: Node])[] }
    | {
        readonly kind: 'macro'
        readonly macro: MacroName
        readonly over: Node
        readonly variable: string
        readonly args: readonly Node[]
      }
  )

/** Longer ones are no policy that a person reads. UTF-16 units. */
export const maxTextLength = 8_192
const maxNodes = 1_000
const maxDepth = 40

const reserved: ReadonlySet<string> = new Set(
  'as break const continue else for function if import let loop package namespace return var void while'.split(' '),
)

/** Parses one expression. @throws {CelError} with the place of what is wrong */
export function parseCel(text: string): Node {
  if (text.length > maxTextLength) {
    throw new CelError(`an expression has at most ${maxTextLength} characters`, { start: 0, end: text.length })
  }
  const parser = new Parser(tokenize(text))
  return parser.whole()
}

class Parser {
  readonly #tokens: readonly Token[]
  #at = 0
  #depth = 0
  #nodes = 0

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  whole(): Node {
    if (this.#isEnd()) throw new CelError('an expression is missing', this.#token)
    const node = this.#expression()
    if (!this.#isEnd()) throw this.#unexpected()
    return node
  }

  get #token(): Token {
    return this.#tokens[this.#at] ?? { kind: 'end', start: 0, end: 0 }
  }

  #isEnd(): boolean {
    return this.#token.kind === 'end'
  }

  #is(text: string): boolean {
    const token = this.#token
    return token.kind === 'symbol' && token.text === text
  }

  #take(text: string): boolean {
    if (!this.#is(text)) return false
    this.#at++
    return true
  }

  #need(text: string): Token {
    const token = this.#token
    if (!this.#take(text)) throw this.#unexpected(`${text} is missing`)
    return token
  }

  #unexpected(message?: string): CelError {
    const token = this.#token
    if (token.kind === 'end') return new CelError(message ?? 'the expression ends too early', token)
    const text = 'text' in token ? token.text : 'a value'
    return new CelError(message ?? `${text} is not expected here`, token)
  }

  /** Counts: recursion has an end, and so has what is compiled. */
  #node(node: Node): Node {
    this.#nodes++
    if (this.#nodes > maxNodes) throw new CelError(`an expression has at most ${maxNodes} parts`, node)
    return node
  }

  #deeper<Result>(read: () => Result): Result {
    this.#depth++
    if (this.#depth > maxDepth) throw new CelError(`nested deeper than ${maxDepth} levels`, this.#token)
    const result = read()
    this.#depth--
    return result
  }

  #expression(): Node {
    return this.#deeper(() => {
      const condition = this.#binary(0)
      if (!this.#take('?')) return condition
      const then = this.#binary(0)
      this.#need(':')
      const otherwise = this.#expression()
      return this.#node({ kind: 'ternary', condition, then, otherwise, start: condition.start, end: otherwise.end })
    })
  }

  #binary(level: number): Node {
    const operators = levels[level]
    if (operators === undefined) return this.#unary()
    let left = this.#binary(level + 1)
    for (let links = 0; ; links++) {
      const token = this.#token
      const text = token.kind === 'symbol' || (token.kind === 'name' && token.text === 'in') ? token.text : undefined
      const operator = operators.find(one => one === text)
      if (operator === undefined) return left
      // A chain is a tree as deep as it is long.
      if (links >= maxChain)
        throw new CelError(`at most ${maxChain} of ${operator} in a row`, token, 'use a list, and in')
      this.#at++
      const right = this.#binary(level + 1)
      left = this.#node({ kind: 'binary', operator, left, right, start: left.start, end: right.end })
    }
  }

  #unary(): Node {
    const { start } = this.#token
    if (this.#is('!') || this.#is('-')) {
      const operator = this.#is('!') ? '!' : '-'
      this.#at++
      const next = this.#token
      const isNegative = operator === '-' && (next.kind === 'int' || next.kind === 'double')
      const of = this.#deeper(() => (isNegative ? this.#member(true) : this.#unary()))
      if (isNegative && of.kind === 'literal') return { ...of, start }
      if (isNegative) return of
      return this.#node({ kind: 'unary', operator, of, start, end: of.end })
    }
    return this.#member(false)
  }

  /** @param isNegative a minus stands before it, and belongs to the number that comes */
  #member(isNegative: boolean): Node {
    let node = this.#primary(isNegative)
    for (let links = 0; ; links++) {
      if (links >= maxDepth) throw new CelError(`nested deeper than ${maxDepth} levels`, this.#token)
      if (this.#take('.')) {
        const name = this.#token
        if (name.kind !== 'name' && name.kind !== 'quoted') throw this.#unexpected('a name is missing behind the dot')
        this.#at++
        if (name.kind === 'name' && this.#is('(')) node = this.#call(node, name.text, name)
        else {
          const { start, end } = name
          const fieldAt = { start, end }
          const select = { kind: 'select', of: node, field: name.text, test: false, fieldAt } as const
          node = this.#node({ ...select, start: node.start, end })
        }
      } else if (this.#take('[')) {
        const index = this.#expression()
        const { end } = this.#need(']')
        node = this.#node({ kind: 'index', of: node, index, start: node.start, end })
      } else if (this.#is('{')) throw this.#unexpected('messages are not used here')
      else return node
    }
  }

  #primary(isNegative: boolean): Node {
    const token = this.#token
    const { start, end } = token
    switch (token.kind) {
      case 'string':
      case 'bytes':
        this.#at++
        return this.#node({ kind: 'literal', value: token.value, start, end })
      case 'double':
        this.#at++
        return this.#node({ kind: 'literal', value: isNegative ? -token.value : token.value, start, end })
      case 'int':
        this.#at++
        if (!isNegative && token.value === 1n << 63n) throw new CelError('this number does not fit in 64 bits', token)
        return this.#node({ kind: 'literal', value: isNegative ? -token.value : token.value, start, end })
      case 'name':
        return this.#word(token.text, token)
      case 'symbol':
        return this.#bracket()
      case 'quoted':
      case 'end':
        throw this.#unexpected()
    }
  }

  #word(text: string, token: Token): Node {
    const { start, end } = token
    this.#at++
    if (text === 'true' || text === 'false') return this.#node({ kind: 'literal', value: text === 'true', start, end })
    if (text === 'null') return this.#node({ kind: 'literal', value: null, start, end })
    if (text === 'in' || reserved.has(text)) throw new CelError(`${text} is a reserved word`, token)
    if (this.#is('(')) return this.#call(undefined, text, { start, end })
    return this.#node({ kind: 'name', name: text, start, end })
  }

  #bracket(): Node {
    const { start } = this.#token
    if (this.#take('(')) {
      const inner = this.#expression()
      const { end } = this.#need(')')
      return { ...inner, start, end }
    }
    if (this.#take('[')) {
      const items = this.#items(']', () => this.#expression())
      return this.#node({ kind: 'list', items, start, end: this.#need(']').end })
    }
    if (this.#take('{')) {
      const entries = this.#items('}', () => {
        const key = this.#expression()
        this.#need(':')
        return [key, this.#expression()] as const
      })
      return this.#node({ kind: 'map', entries, start, end: this.#need('}').end })
    }
    throw this.#unexpected()
  }

  /** In lists and maps, a comma at the end is allowed. */
  #items<Item>(closing: string, read: () => Item): Item[] {
    const items: Item[] = []
    while (!this.#is(closing)) {
      items.push(read())
      if (!this.#take(',')) break
      if (closing === ')' && this.#is(')')) throw this.#unexpected()
    }
    return items
  }

  #call(target: Node | undefined, name: string, { start, end }: Span): Node {
    const nameAt = { start, end }
    this.#need('(')
    const args = this.#items(')', () => this.#expression())
    const whole: Span = { start: target?.start ?? start, end: this.#need(')').end }
    if (target === undefined && name === 'has') {
      const [of, more] = args
      if (of?.kind !== 'select' || of.test || more !== undefined) {
        throw new CelError('has() takes one member: has(identity.claims.name)', whole)
      }
      return { ...of, test: true, ...whole }
    }
    const macro = target === undefined ? undefined : macros.find(one => one === name)
    const [variable, ...rest] = args
    if (target === undefined || macro === undefined || variable === undefined) {
      return this.#node({ kind: 'call', target, name, args, nameAt, ...whole })
    }
    const most = macro === 'map' ? 2 : 1
    if (variable.kind !== 'name') throw new CelError(`${name}() begins with the name of a variable`, variable)
    if (rest.length === 0 || rest.length > most)
      throw new CelError(`${name}() takes a variable and an expression`, whole)
    return this.#node({ kind: 'macro', macro, over: target, variable: variable.name, args: rest, ...whole })
  }
}

/** Weakest first. */
const levels: readonly (readonly BinaryOperator[])[] = [
  ['||'],
  ['&&'],
  ['<', '<=', '>', '>=', '==', '!=', 'in'],
  ['+', '-'],
  ['*', '/', '%'],
]
const maxChain = 200
