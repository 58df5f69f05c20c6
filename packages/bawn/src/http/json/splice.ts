import { isUtf8 } from 'node:buffer'
import { foldKey, type PathNode } from './path-tree.ts'

/**
 * Why a document was not taken.
 * - `syntax`: not JSON (RFC 8259), or more than one document
 * - `encoding`: not UTF-8, or with a byte order mark
 * - `depth`: nested deeper than the limit
 * - `duplicate`: a protected key twice in one object; two readers would take different ones (RFC 8259 section 4)
 * - `spelling`: a key that differs from a protected one in case only
 * - `shape`: something else than what the paths say: a number where a protected string belongs, an object where an array does
 */
export type JsonFault = 'syntax' | 'encoding' | 'depth' | 'duplicate' | 'spelling' | 'shape'

export class JsonError extends Error {
  readonly fault: JsonFault
  /** Byte offset. */
  readonly at: number

  constructor(fault: JsonFault, at: number) {
    super(`JSON refused at byte ${at}: ${fault}`)
    this.name = 'JsonError'
    this.fault = fault
    this.at = at
  }
}

/** @param target index of the path @returns the new string, or undefined for null */
export type Replace = (target: number, text: string) => string | undefined

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d

/**
 * Replaces the strings at the paths of a tree and leaves every other byte as it is: big integers, order and number forms stay. Null at
 * a path stays null; anything else there is refused. Everything that is skipped is validated as JSON, so that no value is hidden from
 * it that another parser would find.
 *
 * @throws {JsonError}, and whatever `replace` throws
 */
export function spliceJson(document: Buffer, tree: PathNode, maxDepth: number, replace: Replace): Buffer {
  if (!isUtf8(document)) throw new JsonError('encoding', 0)
  if (document[0] === 0xef) throw new JsonError('encoding', 0)
  const scanner = new Scanner(document, maxDepth, replace)
  scanner.document(tree)
  return scanner.result()
}

class Scanner {
  readonly #bytes: Buffer
  readonly #end: number
  readonly #maxDepth: number
  readonly #replace: Replace
  readonly #pieces: Buffer[] = []
  #copied = 0
  #at = 0
  /** The string that was scanned last has an escape or a byte above 0x7f. */
  #plain = true

  constructor(bytes: Buffer, maxDepth: number, replace: Replace) {
    this.#bytes = bytes
    this.#end = bytes.length
    this.#maxDepth = maxDepth
    this.#replace = replace
  }

  document(tree: PathNode): void {
    this.#space()
    this.#follow(tree, 0)
    this.#space()
    if (this.#at < this.#end) throw this.#fault('syntax')
  }

  result(): Buffer {
    if (this.#pieces.length === 0) return this.#bytes
    this.#pieces.push(this.#bytes.subarray(this.#copied))
    return Buffer.concat(this.#pieces)
  }

  #fault(fault: JsonFault): JsonError {
    return new JsonError(fault, this.#at)
  }

  #peek(): number {
    return this.#at < this.#end ? (this.#bytes[this.#at] as number) : -1
  }

  #space(): void {
    const bytes = this.#bytes
    while (this.#at < this.#end) {
      const byte = bytes[this.#at] as number
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return
      this.#at++
    }
  }

  /** A value in which something is protected, or which is. */
  #follow(node: PathNode, depth: number): void {
    const first = this.#peek()
    if (first === 0x6e) {
      this.#word('null')
      return
    }
    if (node.target !== undefined) {
      this.#target(node.target, depth)
      return
    }
    if (first === OPEN_OBJECT && node.members.size > 0) {
      this.#object(node, depth + 1)
      return
    }
    if (first === OPEN_ARRAY && node.each !== undefined) {
      this.#array(node.each, depth + 1)
      return
    }
    // What stands here is of another shape than was declared, so what it holds cannot be told.
    const at = this.#at
    this.#skip(depth)
    throw new JsonError('shape', at)
  }

  #target(target: number, depth: number): void {
    const start = this.#at
    if (this.#peek() !== QUOTE) {
      this.#skip(depth)
      throw new JsonError('shape', start)
    }
    this.#string()
    const text = this.#text(start)
    // A lone surrogate has no UTF-8, so it would come out as something else than went in.
    if (!text.isWellFormed()) throw this.#fault('encoding')
    const replaced = this.#replace(target, text)
    this.#pieces.push(
      this.#bytes.subarray(this.#copied, start),
      Buffer.from(replaced === undefined ? 'null' : JSON.stringify(replaced)),
    )
    this.#copied = this.#at
  }

  #text(start: number): string {
    if (this.#plain) return this.#bytes.toString('latin1', start + 1, this.#at - 1)
    return JSON.parse(this.#bytes.toString('utf8', start, this.#at)) as string
  }

  #object(node: PathNode, depth: number): void {
    if (depth > this.#maxDepth) throw this.#fault('depth')
    const seen = new Set<string>()
    this.#at++
    this.#space()
    if (this.#peek() === CLOSE_OBJECT) {
      this.#at++
      return
    }
    for (;;) {
      const start = this.#at
      this.#key()
      const length = this.#at - start - 2
      let child: PathNode | undefined
      if (!this.#plain || node.lengths.has(length)) {
        const key = this.#text(start)
        child = node.members.get(key)
        if (child === undefined && node.folded.has(foldKey(key))) throw this.#fault('spelling')
        if (child !== undefined) {
          if (seen.has(key)) throw this.#fault('duplicate')
          seen.add(key)
        }
      }
      this.#colon()
      if (child === undefined) this.#skip(depth)
      else this.#follow(child, depth)
      if (this.#closes(CLOSE_OBJECT)) return
    }
  }

  #array(each: PathNode, depth: number): void {
    if (depth > this.#maxDepth) throw this.#fault('depth')
    this.#at++
    this.#space()
    if (this.#peek() === CLOSE_ARRAY) {
      this.#at++
      return
    }
    for (;;) {
      this.#follow(each, depth)
      if (this.#closes(CLOSE_ARRAY)) return
    }
  }

  /** A value that is not ours. */
  #skip(depth: number): void {
    switch (this.#peek()) {
      case QUOTE:
        this.#string()
        return
      case OPEN_OBJECT:
        this.#skipObject(depth + 1)
        return
      case OPEN_ARRAY:
        this.#skipArray(depth + 1)
        return
      case 0x74:
        this.#word('true')
        return
      case 0x66:
        this.#word('false')
        return
      case 0x6e:
        this.#word('null')
        return
      default:
        this.#number()
        return
    }
  }

  #skipObject(depth: number): void {
    if (depth > this.#maxDepth) throw this.#fault('depth')
    this.#at++
    this.#space()
    if (this.#peek() === CLOSE_OBJECT) {
      this.#at++
      return
    }
    for (;;) {
      this.#key()
      this.#colon()
      this.#skip(depth)
      if (this.#closes(CLOSE_OBJECT)) return
    }
  }

  #skipArray(depth: number): void {
    if (depth > this.#maxDepth) throw this.#fault('depth')
    this.#at++
    this.#space()
    if (this.#peek() === CLOSE_ARRAY) {
      this.#at++
      return
    }
    for (;;) {
      this.#skip(depth)
      if (this.#closes(CLOSE_ARRAY)) return
    }
  }

  #key(): void {
    if (this.#peek() !== QUOTE) throw this.#fault('syntax')
    this.#string()
  }

  #colon(): void {
    this.#space()
    if (this.#peek() !== COLON) throw this.#fault('syntax')
    this.#at++
    this.#space()
  }

  /** After a member or element: a comma and the next, or the end. */
  #closes(close: number): boolean {
    this.#space()
    const byte = this.#peek()
    if (byte !== COMMA && byte !== close) throw this.#fault('syntax')
    this.#at++
    if (byte === close) return true
    this.#space()
    return false
  }

  #string(): void {
    const bytes = this.#bytes
    const end = this.#end
    let at = this.#at + 1
    let plain = true
    while (at < end) {
      const byte = bytes[at] as number
      at++
      if (byte === QUOTE) {
        this.#at = at
        this.#plain = plain
        return
      }
      if (byte === BACKSLASH) {
        plain = false
        at = this.#escape(at)
      } else if (byte < 0x20) {
        this.#at = at
        throw this.#fault('syntax')
      } else if (byte > 0x7f) plain = false
    }
    this.#at = at
    throw this.#fault('syntax')
  }

  #escape(at: number): number {
    const letter = at < this.#end ? (this.#bytes[at] as number) : -1
    // " \ / b f n r t
    if (letter === QUOTE || letter === BACKSLASH || letter === 0x2f) return at + 1
    if (letter === 0x62 || letter === 0x66 || letter === 0x6e || letter === 0x72 || letter === 0x74) return at + 1
    if (letter === 0x75 && /^[0-9A-Fa-f]{4}$/.test(this.#bytes.toString('latin1', at + 1, at + 5))) return at + 5
    this.#at = at
    throw this.#fault('syntax')
  }

  #word(word: string): void {
    if (this.#bytes.toString('latin1', this.#at, this.#at + word.length) !== word) throw this.#fault('syntax')
    this.#at += word.length
  }

  #digits(): void {
    const start = this.#at
    while (this.#at < this.#end) {
      const byte = this.#bytes[this.#at] as number
      if (byte < 0x30 || byte > 0x39) break
      this.#at++
    }
    if (this.#at === start) throw this.#fault('syntax')
  }

  #number(): void {
    if (this.#peek() === 0x2d) this.#at++
    if (this.#peek() === 0x30) this.#at++
    else this.#digits()
    if (this.#peek() === 0x2e) {
      this.#at++
      this.#digits()
    }
    const exponent = this.#peek()
    if (exponent === 0x65 || exponent === 0x45) {
      this.#at++
      const sign = this.#peek()
      if (sign === 0x2b || sign === 0x2d) this.#at++
      this.#digits()
    }
  }
}
