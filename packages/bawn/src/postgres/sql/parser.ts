import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { RawStmt } from 'libpg-query'

/** What PostgreSQL's own grammar (version 18) makes of a text. */
export type Parsed =
  | { readonly kind: 'parsed'; readonly statements: readonly RawStmt[] }
  /** `offset` in bytes, where the parser knows it. The parser's own message is left out: it quotes the statement. */
  | { readonly kind: 'invalid'; readonly offset: number | undefined }
  /** The parser itself failed; the instance is gone, the next one is being made. */
  | { readonly kind: 'failed' }

/**
 * Hosts the WebAssembly build of libpg_query. Anything but a syntax error leaves an instance in an unknown state (a stack overflow
 * does not wind its shadow stack back, and after some dozens of them every statement fails), so the instance is dropped and a new
 * one made from the compiled module: about 5 ms. Callers bound size, nesting and chains first (`lexer.ts`); with those bounds a
 * parse takes tens of milliseconds at worst, so there is no need of a thread and its round trip.
 */
export interface Parser {
  /** @param text UTF-8 without NUL. @returns at once but while an instance is being made */
  parse(text: Uint8Array): Parsed | Promise<Parsed>
  close(): void
}

interface Instance {
  readonly memory: () => Uint8Array
  readonly words: () => Uint32Array
  readonly allocate: (bytes: number) => number
  readonly free: (pointer: number) => void
  readonly parse: (pointer: number) => number
  readonly freeResult: (pointer: number) => void
}

/** Growth is never given back by WebAssembly: an instance that was once this big is replaced. */
const maxMemoryBytes = 128 * 1024 * 1024

/** A compiled module, as opaque to us as it is to JavaScript. */
type CompiledModule = object
/** What we use of the global; the compiler's own declaration comes only with those of a browser. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => CompiledModule
  readonly Instance: new (module: CompiledModule, imports: unknown) => { readonly exports: unknown }
}

const require = createRequire(import.meta.url)
let compiled: CompiledModule | undefined

function compile(): CompiledModule {
  compiled ??= new WebAssembly.Module(readFileSync(require.resolve('libpg-query/wasm/libpg-query.wasm')))
  return compiled
}

type Factory = (options: {
  instantiateWasm: (imports: unknown, done: (instance: object, module: CompiledModule) => void) => unknown
  print: (line: string) => void
  printErr: (line: string) => void
}) => Promise<Record<string, unknown>>

async function createInstance(): Promise<Instance> {
  // The package's own entry keeps one instance for ever; the factory beneath it has no types.
  const factory = require('libpg-query/wasm/libpg-query.js') as Factory
  const module = await factory({
    instantiateWasm(imports, done) {
      const instance = new WebAssembly.Instance(compile(), imports)
      done(instance, compile())
      return instance.exports
    },
    print: () => undefined,
    printErr: () => undefined,
  })
  const call = (name: string): ((argument: number) => number) => {
    const found = module[name]
    if (typeof found !== 'function') throw new TypeError(`libpg-query has no ${name}`)
    return found as (argument: number) => number
  }
  return {
    memory: () => module['HEAPU8'] as Uint8Array,
    words: () => module['HEAPU32'] as Uint32Array,
    allocate: call('_malloc'),
    free: call('_free'),
    parse: call('_wasm_parse_query_raw'),
    freeResult: call('_wasm_free_parse_result'),
  }
}

const decoder = new TextDecoder('utf-8', { fatal: true })

function textAt(instance: Instance, pointer: number): string {
  const memory = instance.memory()
  return decoder.decode(memory.subarray(pointer, memory.indexOf(0, pointer)))
}

/** The parser counts characters from 1; we count bytes from 0. */
function byteOffset(text: Uint8Array, cursor: number): number | undefined {
  if (cursor <= 0) return undefined
  let characters = 0
  for (let offset = 0; offset < text.length; offset++) {
    if (((text[offset] ?? 0) & 0xc0) !== 0x80 && ++characters === cursor) return offset
  }
  return text.length
}

function run(instance: Instance, text: Uint8Array): Parsed {
  const query = instance.allocate(text.length + 1)
  if (query === 0) throw new RangeError('out of memory in libpg-query')
  const memory = instance.memory()
  memory.set(text, query)
  memory[query + text.length] = 0
  const result = instance.parse(query)
  if (result === 0) throw new RangeError('out of memory in libpg-query')
  // struct PgQueryParseResult { char *parse_tree; char *stderr_buffer; PgQueryError *error }
  const words = instance.words()
  const tree = words[result >> 2] ?? 0
  const error = words[(result >> 2) + 2] ?? 0
  // struct PgQueryError { char *message, *funcname, *filename; int lineno, cursorpos; … }
  const cursor = error === 0 ? 0 : (words[(error >> 2) + 4] ?? 0)
  const json = error === 0 ? textAt(instance, tree) : undefined
  instance.free(query)
  instance.freeResult(result)
  if (json === undefined) return { kind: 'invalid', offset: byteOffset(text, cursor) }
  const { stmts } = JSON.parse(json) as { stmts?: RawStmt[] }
  return { kind: 'parsed', statements: stmts ?? [] }
}

/** Loads the parser (about 20 ms, once per process for the compilation). */
export async function createParser(): Promise<Parser> {
  let current: Instance | undefined = await createInstance()
  let making: Promise<Instance> | undefined
  let closed = false

  function replace(): void {
    current = undefined
    if (closed) return
    making = createInstance()
    making.then(
      instance => {
        current = instance
        making = undefined
      },
      () => {
        making = undefined
      },
    )
  }

  function guarded(instance: Instance, text: Uint8Array): Parsed {
    try {
      const parsed = run(instance, text)
      if (current === instance && instance.memory().length > maxMemoryBytes) replace()
      return parsed
    } catch {
      if (current === instance) replace()
      return { kind: 'failed' }
    }
  }

  function parse(text: Uint8Array): Parsed | Promise<Parsed> {
    if (closed) return { kind: 'failed' }
    if (current !== undefined) return guarded(current, text)
    if (making === undefined) replace()
    // Whoever waited before this caller may have broken the new instance too: then wait for the next.
    return (making ?? Promise.reject(new Error('closed'))).then(
      () => parse(text),
      (): Parsed => ({ kind: 'failed' }),
    )
  }

  return {
    parse,
    close() {
      closed = true
      current = undefined
    },
  }
}
