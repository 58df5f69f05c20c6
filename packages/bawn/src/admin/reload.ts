import type { GatewayError } from '../error.ts'

/** A problem of the configuration file, as `config/` finds it; here so that the door can send it without importing the reader. */
export interface ReloadProblem {
  readonly level: 'error' | 'warning'
  readonly file: string
  /** From 1. */
  readonly line: number
  /** From 1. */
  readonly column: number
  readonly length: number
  readonly path: string
  readonly message: string
  readonly suggestion: string | undefined
  readonly excerpt: string
}

/** What came of reading the configuration again. */
export type ReloadResult =
  /** The next state is in force. `changes`: one sentence each; empty when the file says the same. */
  | { readonly kind: 'reloaded'; readonly changes: readonly string[]; readonly warnings: readonly ReloadProblem[] }
  /** The last good configuration stays in force. */
  | { readonly kind: 'refused'; readonly problems: readonly ReloadProblem[] }

/** An error that has no place in the file. */
export function problemOf(file: string, error: GatewayError): ReloadProblem {
  return problemAt(file, `${error.code}: ${error.message}`, error.spec.hint)
}

/** A problem of the file as a whole. */
export function problemAt(file: string, message: string, suggestion: string): ReloadProblem {
  return {
    level: 'error',
    file,
    line: 1,
    column: 1,
    length: 1,
    path: '',
    excerpt: '',
    message,
    suggestion,
  }
}
